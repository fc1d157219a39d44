"""Noiseless circuits of any member of the family: the whole statevector."""

from collections.abc import Callable, Mapping
from typing import final

import torch
from torch import Tensor

from sqdr.ansatz import Pairs, PauliWord
from sqdr.backends.native.autograd import Evaluation, Tensors
from sqdr.backends.native.method import Method, Shape
from sqdr.backends.native.state import bit_signs, on_every_wire, smaller_circuit
from sqdr.noise import NoiseModel

#: A state and the number of an entangling layer -> the state after it.
Entangle = Callable[[Tensor, int], Tensor]

#: Beyond them the kernels' diagonals of words and of pairs would take more memory than states.
_MOST_WIRES_OF_TABLES = 14


@final
class Statevector(Method):
    """All amplitudes, advanced by each block."""

    name = "dense"

    @staticmethod
    def problem(shape: Shape) -> str | None:
        return None if shape.is_pure else "there is noise on the state"

    def multiply_adds(self) -> int:
        n, blocks = self.shape.n_wires, self.shape.n_blocks
        return n * blocks * 8 + 4 * len(self.shape.words) << n

    def numbers_per_sample(self, needs_gradient: bool) -> int:
        n, blocks = self.shape.n_wires, self.shape.n_blocks
        # Without a gradient: the state, its copies and the tables.
        return (n * blocks if needs_gradient else 6) << n + 1

    def numbers_per_sample_by_kernels(self) -> int:
        return super().numbers_per_sample_by_kernels() + (3 << self.shape.n_wires)

    def smaller_circuit(self) -> tuple[str, str]:
        return smaller_circuit(self.shape)

    def tables(self) -> Mapping[str, Tensor]:
        n = self.shape.n_wires
        tables = {} if self.shape.has_couplings else {"cz_signs": cz_signs(self.shape.pairs, n)}
        if self.shape.measures_z:
            tables["z_signs"] = z_signs(-(-n // 2))
        return tables

    def noise_tensors(self, noise: NoiseModel, like: Tensor) -> Tensors:  # noqa: ARG002
        return (like.new_empty(0, 1, self.shape.n_wires),)

    def kernels(self, has_general_noise: bool = False) -> Evaluation | None:  # noqa: ARG002
        shape = self.shape
        has_tables = shape.has_couplings or not shape.measures_one_letter
        if has_tables and shape.n_wires > _MOST_WIRES_OF_TABLES:
            return None
        from sqdr.backends.native.kernels.statevector import StatevectorByKernels

        return StatevectorByKernels(self)

    def values(self, angles: Tensor, weights: Tensor, couplings: Tensor, *noise: Tensor) -> Tensor:  # noqa: ARG002
        tables = self.tables_on(angles.device)
        state = statevector(self.quaternions(angles, weights), self._entangle(couplings, tables))
        if self.shape.measures_z:
            return z_of_every_wire(state, tables["z_signs"].to(state.dtype), self.shape.n_wires)
        values = [expectation_value(state, word, self.shape.n_wires) for word in self.shape.words]
        return torch.stack(values, dim=1)

    def _entangle(self, couplings: Tensor, tables: Mapping[str, Tensor]) -> Entangle:
        """What an entangling layer makes of a state (batch, 2 ** n_wires, 2)."""
        if not self.shape.has_couplings:
            signs = tables["cz_signs"].to(couplings.dtype)
            return lambda state, _: state * signs

        def turn(state: Tensor, block: int) -> Tensor:
            half = zz_angles(couplings[block] / 2, self.shape.pairs, self.shape.n_wires)
            cos, sin = torch.cos(half), torch.sin(half)
            re, im = state.unbind(-1)
            return torch.stack((cos * re + sin * im, cos * im - sin * re), dim=-1)

        return turn


def statevector(quaternions: Tensor, entangle: Entangle) -> Tensor:
    """The last state of a noiseless circuit.

    Args:
        quaternions (Tensor of shape (4, n_blocks, batch, n_wires)): rotations of each block.
        entangle (function): takes a state, as it is returned, and the number of a layer.

    Returns:
        Tensor of shape (batch, 2 ** n_wires, 2): real and imaginary parts of the amplitudes.
    """
    w, x, y, z = quaternions.unbind(0)
    # U = [[w - iz, -y - ix], [y - ix, w + iz]] on (Re 0, Im 0, Re 1, Im 1).
    gates = torch.stack((w, z, -y, x, -z, w, -x, -y, y, x, w, -z, -x, y, z, w), dim=-1)
    gates = torch.unflatten(gates, -1, (4, 4))
    state = quaternions.new_zeros(w.shape[1], 2 ** w.shape[2], 2)
    state[:, 0, 0] = 1
    for block, gate in enumerate(gates):
        if block > 0:
            state = entangle(state, block - 1)
        state = on_every_wire(state, gate)
    return state


def z_of_every_wire(state: Tensor, z_signs: Tensor, n_wires: int) -> Tensor:
    """<Z> (batch, n_wires) of a state (batch, 2 ** n_wires, 2).

    Args:
        z_signs (Tensor of shape (2 ** k, k)): diagonals of Z on each of k wires, half of all or, where
            their number is odd, one more.
    """
    # The wires in two halves: diagonals over all states would take more memory than the state.
    probabilities = torch.unflatten(state.square().sum(-1), -1, (-1, len(z_signs)))
    n_first = n_wires - z_signs.shape[1]
    of_first = probabilities.sum(2) @ z_signs[: 2**n_first, z_signs.shape[1] - n_first :]
    return torch.cat((of_first, probabilities.sum(1) @ z_signs), dim=-1)


def expectation_value(state: Tensor, word: PauliWord, n_wires: int) -> Tensor:
    """Of a Pauli word (Tensor of shape (batch,)), in a state (batch, 2 ** n_wires, 2)."""
    flipped, is_odd, signs = action_of(word, n_wires, state.device)
    signs = signs.to(state.dtype)
    re, im = state.unbind(-1)
    other_re, other_im = re, im
    if flipped:
        others = torch.arange(state.shape[1], device=state.device) ^ flipped
        other_re, other_im = re[:, others], im[:, others]
    if is_odd:
        return ((re * other_im - im * other_re) * signs).sum(1)
    return ((re * other_re + im * other_im) * signs).sum(1)


def action_of(
    word: PauliWord, n_wires: int, device: torch.device | str = "cpu"
) -> tuple[int, bool, Tensor]:
    """What a Pauli word does to amplitudes.

    Y is -i times Z X, so a word takes amplitude k to where the bits of its X and Y differ, times the
    sign of the bits of its Z and Y, times -i for each Y.

    Returns:
        int: the bits that differ; bool: whether the number of Y is odd; Tensor of shape
        (2 ** n_wires,): signs, those of pairs of Y among them.
    """
    flipped, n_y = 0, sum(letter == "Y" for _, letter in word)
    index = torch.arange(2**n_wires, device=device)
    negative = torch.full_like(index, n_y // 2)
    for wire, letter in word:
        place = n_wires - 1 - wire
        if letter != "Z":
            flipped |= 1 << place
        if letter != "X":
            negative = negative ^ index >> place
    return flipped, n_y % 2 == 1, bit_signs(negative)


def zz_angles(angles: Tensor, pairs: Pairs, n_wires: int) -> Tensor:
    """Sum of angles times Z Z over the pairs, on each basis state: shape (2 ** n_wires,)."""
    index = torch.arange(2**n_wires, device=angles.device)
    total = torch.zeros(2**n_wires, dtype=angles.dtype, device=angles.device)
    for angle, (first, second) in zip(angles.unbind(0), pairs, strict=True):
        parity = (index >> n_wires - 1 - first) ^ (index >> n_wires - 1 - second)
        total = total + angle * bit_signs(parity).to(angles.dtype)
    return total


def cz_signs(pairs: Pairs, n_wires: int) -> Tensor:
    """Diagonal of a CZ layer: shape (2 ** n_wires, 1)."""
    states = torch.arange(2**n_wires)
    negative = torch.zeros_like(states)
    for first, second in pairs:
        negative ^= (states >> (n_wires - 1 - first)) & (states >> (n_wires - 1 - second))
    return bit_signs(negative).unsqueeze(-1)


def z_signs(n_wires: int) -> Tensor:
    """Diagonals of Z on each wire: shape (2 ** n_wires, n_wires)."""
    places = torch.arange(n_wires - 1, -1, -1)
    return bit_signs(torch.arange(2**n_wires).unsqueeze(-1) >> places)
