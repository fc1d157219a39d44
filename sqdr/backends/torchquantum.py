"""Batched statevectors, and with noise density matrices, on TorchQuantum."""

from collections.abc import Callable
from functools import reduce
from typing import Any, ClassVar

import torch
import torchquantum as tq
import torchquantum.functional as tqf
from torch import Tensor

from sqdr.ansatz import PauliWord
from sqdr.backends.words import Readout
from sqdr.circuit import FAMILY_CAPABILITIES, Capability, ReuploadCircuit
from sqdr.noise import (
    BlochMap,
    NoiseModel,
    Number,
    TransferMatrix,
    compose,
    compose_around_pairs,
    stack,
)

_BYTES_PER_AMPLITUDE = 8
_ROTATIONS = {"X": tqf.rx, "Y": tqf.ry, "Z": tqf.rz}
_MATRICES = {"X": tqf.rx_matrix, "Y": tqf.ry_matrix, "Z": tqf.rz_matrix}


class TorchQuantumCircuit(ReuploadCircuit):
    """A re-uploading circuit on TorchQuantum's batched engine.

    Without noise it holds a statevector. With noise it holds a density matrix, as the vector of a
    device with twice as many wires: wire i for the kets and wire n_wires + i for the bras of wire i.
    The rotations and channels of a block are then one 4x4 matrix on each such pair of wires.

    TorchQuantum computes in complex64, so float64 angles are rounded and results agree with the other
    backends to about 1e-5.

    Args:
        See `ReuploadCircuit`.

    Raises:
        ValueError: also if an evaluation would need more memory than there is, for one sample when the
            circuit is made, for a batch when it is called.
    """

    capabilities: ClassVar[frozenset[Capability]] = FAMILY_CAPABILITIES | {"noise", "device-noise"}

    def __init__(self, n_wires: int, n_blocks: int, **options: Any) -> None:
        super().__init__(n_wires, n_blocks, **options)
        has_shift = self._noise.is_directed
        self._readout = Readout(self.ansatz.observables, self.n_wires, has_shift)
        self.refuse_beyond_memory(1, torch.float32, self.weights.device, needs_gradient=False)

    def expectation_values(self, angles: Tensor, weights: Tensor) -> Tensor:
        noise = self.realised_noise(angles)
        evaluate = self._of_statevector if self.is_pure else self._of_density_matrix
        couplings = self.couplings_for(angles).float()
        values = evaluate(angles.float(), weights.float(), couplings, noise)
        return self._readout(values, noise.readout_scale, noise.readout_shift).to(angles.dtype)

    def _of_statevector(
        self, angles: Tensor, weights: Tensor, couplings: Tensor, _: NoiseModel
    ) -> Tensor:
        ansatz, batch = self.ansatz, angles.shape[-3]
        state = tq.QuantumDevice(self.n_wires, bsz=batch, device=angles.device)
        for block in range(self.n_blocks):
            of_block = angles[block] if ansatz.differs_between_blocks else angles
            for wire in range(self.n_wires):
                _rotate(state, ansatz.encoding, of_block[:, wire], wire)
                _rotate(state, ansatz.rotation, weights[block, wire : wire + 1], wire)
            if block < self.n_blocks - 1:
                self._entangle(state, couplings[block], 0)
        amplitudes = state.states.flatten(1)
        found = [
            (amplitudes.conj() * self._times(word, amplitudes.unsqueeze(-1)).squeeze(-1)).sum(1).real
            for word in self._readout.words
        ]
        return torch.stack(found, dim=-1)

    def _of_density_matrix(
        self, angles: Tensor, weights: Tensor, couplings: Tensor, noise: NoiseModel
    ) -> Tensor:
        ansatz, batch, n = self.ansatz, angles.shape[-3], self.n_wires
        of_data = _unitaries(ansatz.encoding, angles)
        unitaries = _unitaries(ansatz.rotation, weights).unsqueeze(1) @ of_data
        after_rotation = compose(noise.after_rotation)
        (*between, after_entangler), factors = compose_around_pairs(noise.after_entangler)
        state = tq.QuantumDevice(2 * n, bsz=batch, device=angles.device)
        for block, unitary in enumerate(unitaries):
            step = _superoperator(after_rotation.in_block(block), unitary) @ _on_kets_and_bras(unitary)
            if block > 0:  # noise on single wires after an entangling layer is taken in here
                step = step @ _superoperator(after_entangler.in_block(block - 1), unitary)
            for wire in range(n):
                tqf.qubitunitaryfast(state, wires=[wire, n + wire], params=step[:, wire])
            if block < self.n_blocks - 1:
                self._entangle(state, couplings[block], 0)
                self._entangle(state, -couplings[block], n)
                for on_wires, factor in zip(between, factors, strict=True):
                    step = _superoperator(on_wires.in_block(block), unitary)
                    for wire in range(n):
                        params = step.expand(batch, n, 4, 4)[:, wire]
                        tqf.qubitunitaryfast(state, wires=[wire, n + wire], params=params)
                    self._depolarize_pairs(state, factor, block)
        rho = state.states.reshape(batch, 2**n, 2**n)
        traces = [
            self._times(word, rho).diagonal(dim1=1, dim2=2).sum(-1).real for word in self._readout.words
        ]
        return torch.stack(traces, dim=-1)

    def _entangle(self, state: Any, couplings: Tensor, first: int) -> None:
        """An entangling layer on the wires from `first` on."""
        for place, pair in enumerate(self.pairs):
            wires = [first + wire for wire in pair]
            if self.ansatz.entangler == "CZ":
                tqf.cz(state, wires=wires)
            else:
                tqf.rzz(state, wires=wires, params=couplings[place].reshape(1, 1))

    def _depolarize_pairs(self, state: Any, factor: Number, block: int) -> None:
        """Two-wire depolarizing: rho to factor * rho + (1 - factor) * I/4 of the pair and the rest."""
        n, n_pairs = self.n_wires, len(self.pairs)
        factors = torch.as_tensor(factor, dtype=torch.float32, device=state.states.device)
        if factors.dim() == 3:
            factors = factors[min(block, len(factors) - 1)]
        factors = factors.expand(len(state.states), n_pairs)
        identity = torch.eye(4, device=factors.device) / 4
        for place, (first, second) in enumerate(self.pairs):
            axes = [1 + first, 1 + second, 1 + n + first, 1 + n + second]
            moved = state.states.movedim(axes, (-4, -3, -2, -1))
            flat = moved.flatten(-2).flatten(-3, -2)
            mixed = flat.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None] * identity
            scale = factors[:, place].reshape(-1, *(1,) * (flat.dim() - 1))
            flat = scale * flat + (1 - scale) * mixed
            state.states = flat.reshape(moved.shape).movedim((-4, -3, -2, -1), axes)

    def _times(self, word: PauliWord, state: Tensor) -> Tensor:
        """A Pauli word times a state (Tensor of shape (batch, 2 ** n_wires, columns))."""
        shape = state.shape
        for wire, letter in word:
            by_bit = state.reshape(len(state), 2**wire, 2, -1)
            zero, one = by_bit.unbind(2)
            entries = {"X": (one, zero), "Y": (-1j * one, 1j * zero), "Z": (zero, -one)}[letter]
            state = torch.stack(entries, dim=2)
        return state.reshape(shape)

    @property
    def method(self) -> str:
        return "statevector" if self.is_pure else "density-matrix"

    def bytes_per_sample(self, dtype: torch.dtype, device: torch.device, needs_gradient: bool) -> int:  # noqa: ARG002
        amplitudes: int = 2**self.n_wires if self.is_pure else 4**self.n_wires
        states = 4
        if needs_gradient:  # the state before each gate with parameters
            states += self.n_blocks * self.n_wires * (2 if self.is_pure else 1)
        return _BYTES_PER_AMPLITUDE * amplitudes * states


def _rotate(state: Any, axes: str, angles: Tensor, wire: int) -> None:
    """Rotations of a wire by angles (batch or 1, letters) around the axes of a word."""
    if axes == "ZYZ":
        tqf.rot(state, wires=wire, params=angles)
        return
    for axis, angle in zip(axes, torch.split(angles, 1, dim=-1), strict=True):
        _ROTATIONS[axis](state, wires=wire, params=angle)


def _unitaries(axes: str, angles: Tensor) -> Tensor:
    """The product of rotations (complex Tensor of shape (..., 2, 2)) by angles (..., letters)."""
    if axes == "ZYZ":
        return _matrix(tqf.rot_matrix, angles)
    each = [
        _matrix(_MATRICES[axis], angle)
        for axis, angle in zip(axes, torch.split(angles, 1, dim=-1), strict=True)
    ]
    return reduce(lambda earlier, later: later @ earlier, each)


def _matrix(make: Callable[[Tensor], Tensor], angles: Tensor) -> Tensor:
    """Gates (..., 2, 2) that a function of TorchQuantum makes of angles (..., parameters)."""
    # TorchQuantum drops the axis of a batch of one.
    return make(angles.reshape(-1, angles.shape[-1])).reshape(*angles.shape[:-1], 2, 2)


def _on_kets_and_bras(unitary: Tensor) -> Tensor:
    """rho -> U rho U^dagger (Tensor of shape (..., 4, 4)) on entries 00, 01, 10, 11 of rho."""
    product = torch.einsum("...ij,...kl->...ikjl", unitary, unitary.conj())
    return product.flatten(-2).flatten(-3, -2)


def _superoperator(bloch_map: BlochMap | TransferMatrix, like: Tensor) -> Tensor:
    """A map of Bloch vectors (Tensor of shape (..., 4, 4)) on entries 00, 01, 10, 11 of rho.

    Unlike Kraus operators it has no square root of a probability, whose slope at 0 is infinite.
    """
    if isinstance(bloch_map, TransferMatrix):
        # Pauli expectation values (rows I, X, Y, Z) of the entries; half its adjoint goes back.
        to_paulis = like.new_tensor([[1, 0, 0, 1], [0, 1, 1, 0], [0, 1j, -1j, 0], [1, 0, 0, -1]])
        return to_paulis.mH @ bloch_map.matrix.to(like) @ to_paulis / 2
    scale_x, scale_y, scale_z, shift = bloch_map
    kept, swapped = (scale_x + scale_y) / 2, (scale_x - scale_y) / 2
    up, down = 1 + shift, 1 - shift
    entries = (
        *((up + scale_z) / 2, 0.0, 0.0, (up - scale_z) / 2),
        *(0.0, kept, swapped, 0.0),
        *(0.0, swapped, kept, 0.0),
        *((down - scale_z) / 2, 0.0, 0.0, (down + scale_z) / 2),
    )
    return torch.unflatten(stack(entries, like), -1, (4, 4))
