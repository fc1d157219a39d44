"""Batched statevectors, and with noise density matrices, on TorchQuantum."""

from typing import Any, ClassVar, cast

import torch
import torchquantum as tq
import torchquantum.functional as tqf
from torch import Tensor

from sqdr.circuit import Capability, ReuploadCircuit
from sqdr.noise import BlochMap, NoiseModel, TransferMatrix, compose, stack

_BYTES_PER_AMPLITUDE = 8


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

    capabilities: ClassVar[frozenset[Capability]] = frozenset({"noise"})

    def __init__(self, n_wires: int, n_blocks: int, **options: Any) -> None:
        super().__init__(n_wires, n_blocks, **options)
        self._measure = tq.MeasureAll(tq.PauliZ)
        self.refuse_beyond_memory(1, torch.float32, self.weights.device, needs_gradient=False)

    def expectation_values(self, angles: Tensor, weights: Tensor) -> Tensor:
        noise = self.realised_noise(angles)
        evaluate = self._of_statevector if self.is_pure else self._of_density_matrix
        return noise.readout_scale * evaluate(angles.float(), weights.float(), noise)

    def _of_statevector(self, angles: Tensor, weights: Tensor, _: NoiseModel) -> Tensor:
        state = tq.QuantumDevice(self.n_wires, bsz=len(angles), device=angles.device)
        for block in range(self.n_blocks):
            for wire in range(self.n_wires):
                tqf.rot(state, wires=wire, params=angles[:, wire])
                tqf.rot(state, wires=wire, params=weights[block, wire : wire + 1])
            if block < self.n_blocks - 1:
                for pair in self.pairs:
                    tqf.cz(state, wires=list(pair))
        return cast(Tensor, self._measure(state))

    def _of_density_matrix(self, angles: Tensor, weights: Tensor, noise: NoiseModel) -> Tensor:
        batch, n = len(angles), self.n_wires
        unitaries = _rot(weights).unsqueeze(1) @ _rot(angles)
        after_rotation, after_entangler = compose(noise.after_rotation), compose(noise.after_entangler)
        state = tq.QuantumDevice(2 * n, bsz=batch, device=angles.device)
        for block, unitary in enumerate(unitaries):
            step = _superoperator(after_rotation.in_block(block), unitary) @ _on_kets_and_bras(unitary)
            if block > 0:  # noise after a CZ layer acts on one wire at a time, too
                step = step @ _superoperator(after_entangler.in_block(block - 1), unitary)
            for wire in range(n):
                tqf.qubitunitaryfast(state, wires=[wire, n + wire], params=step[:, wire])
            if block < self.n_blocks - 1:
                for first, second in self.pairs:
                    tqf.cz(state, wires=[first, second])
                    tqf.cz(state, wires=[n + first, n + second])
        diagonal = state.states.reshape(batch, 2**n, 2**n).diagonal(dim1=1, dim2=2).real
        marginals = [diagonal.reshape(batch, 2**wire, 2, -1).sum((1, 3)) for wire in range(n)]
        return torch.stack([zero - one for zero, one in (m.unbind(-1) for m in marginals)], dim=-1)

    @property
    def method(self) -> str:
        return "statevector" if self.is_pure else "density-matrix"

    def bytes_per_sample(self, dtype: torch.dtype, device: torch.device, needs_gradient: bool) -> int:  # noqa: ARG002
        amplitudes: int = 2**self.n_wires if self.is_pure else 4**self.n_wires
        states = 4
        if needs_gradient:  # the state before each gate with parameters
            states += self.n_blocks * self.n_wires * (2 if self.is_pure else 1)
        return _BYTES_PER_AMPLITUDE * amplitudes * states


def _rot(angles: Tensor) -> Tensor:
    """Rot gates (complex Tensor of shape (..., 2, 2)) of angles (Tensor of shape (..., 3))."""
    # TorchQuantum drops the axis of a batch of one.
    return cast(Tensor, tqf.rot_matrix(angles.reshape(-1, 3))).reshape(*angles.shape[:-1], 2, 2)


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
