"""Noisy circuits of any number of blocks and any pairs: the whole vector of Pauli coefficients."""

from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor

from sqdr.backends.native.autograd import Evaluation
from sqdr.backends.native.method import MatrixMethod, Shape
from sqdr.backends.native.state import bit_signs, on_every_wire, smaller_circuit
from sqdr.circuit import Pairs


@final
class PauliVector(MatrixMethod):
    """The expectation values of all Pauli strings, advanced by each block."""

    name = "dense"

    @staticmethod
    def can_evaluate(shape: Shape) -> bool:
        return not shape.is_pure

    def multiply_adds(self) -> int:
        n, blocks = self.shape.n_wires, self.shape.n_blocks
        return n * blocks * 4 << 2 * n

    def numbers_per_sample(self, needs_gradient: bool) -> int:
        n, blocks = self.shape.n_wires, self.shape.n_blocks
        # Without a gradient: the vector, its copies and the tables.
        return (n * blocks if needs_gradient else 9) << 2 * n

    def numbers_per_sample_by_kernels(self) -> int:
        numbers = self.shape.n_blocks << 2 * self.shape.n_wires
        return super().numbers_per_sample_by_kernels() + numbers

    def smaller_circuit(self) -> tuple[str, str]:
        return smaller_circuit(self.shape)

    def tables(self) -> Mapping[str, Tensor]:
        source, signs = cz_permutation(self.shape.pairs, self.shape.n_wires)
        return {"source": source, "signs": signs}

    def kernels(self) -> Evaluation:
        from sqdr.backends.native.kernels.pauli_vector import PauliVectorByKernels

        return PauliVectorByKernels(self)

    def values_of_matrices(self, matrices: Tensor) -> Tensor:
        tables = self.tables_on(matrices.device)
        return pauli_vector(matrices, tables["source"], tables["signs"].to(matrices.dtype))


def pauli_vector(matrices: Tensor, source: Tensor, signs: Tensor) -> Tensor:
    """<Z> of a noisy circuit.

    Args:
        matrices (Tensor of shape (4, 4, n_blocks, batch, n_wires)): transfer matrices, as
            `transfer_matrices` returns them.
        source (Tensor of shape (4 ** n_wires,)): where a CZ layer takes each coefficient from, and
        signs (Tensor of shape (4 ** n_wires, 1)): with which sign, as `cz_permutation` returns them.

    Returns:
        Tensor of shape (batch, n_wires)
    """
    batch, n_wires = matrices.shape[-2:]
    # |0><0| is (I + Z) / 2; the factor is left out, which makes the coefficients expectation values.
    ground = matrices.new_tensor([1, 1, 0, 0])
    state = ground
    for _ in range(n_wires - 1):
        state = torch.kron(state, ground)
    state = state.expand(batch, -1).unsqueeze(-1)
    for block, matrix in enumerate(matrices.permute(2, 3, 4, 0, 1)):
        if block > 0:
            state = state[:, source] * signs
        state = on_every_wire(state, matrix)
    z_on_one_wire = [4 ** (n_wires - 1 - wire) for wire in range(n_wires)]
    return state[:, z_on_one_wire, 0]


def cz_permutation(pairs: Pairs, n_wires: int) -> tuple[Tensor, Tensor]:
    """A CZ layer on a Pauli vector: new[p] = signs[p] * old[source[p]].

    I, Z, X, Y are the digits 0, 1, 2, 3 of p, wire 0 first. CZ multiplies each side by Z if the other
    side is X or Y, that is, if the upper bit of the other digit is set. That flips the lower bit: it
    swaps I with Z and X with Y. It costs a sign when both sides are X or Y and they differ (XY -> -YX,
    but XX -> YY).

    Returns:
        source (integer Tensor of shape (4 ** n_wires,)) and signs (Tensor of shape (4 ** n_wires, 1))
    """
    source = torch.arange(4**n_wires)
    negative = torch.zeros_like(source, dtype=torch.bool)
    for pair in pairs:
        first, second = (2 * (n_wires - 1 - wire) for wire in pair)
        flips_second, flips_first = _bit(source, first + 1), _bit(source, second + 1)
        negative ^= flips_second & flips_first & (_bit(source, first) ^ _bit(source, second))
        source ^= flips_first.long() << first
        source ^= flips_second.long() << second
    return source, bit_signs(negative).unsqueeze(-1)


def _bit(numbers: Tensor, place: int) -> Tensor:
    """One bit of each number of an integer tensor, as a tensor of bools, which take less memory."""
    return (numbers >> place & 1).bool()
