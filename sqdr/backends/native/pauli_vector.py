"""Noisy circuits of any member of the family: the whole vector of Pauli coefficients."""

from collections.abc import Callable, Mapping
from typing import final

import torch
from torch import Tensor

from sqdr.ansatz import Pairs
from sqdr.backends.native.autograd import Evaluation
from sqdr.backends.native.method import MatrixMethod, Shape
from sqdr.backends.native.state import bit_signs, on_every_wire, smaller_circuit
from sqdr.backends.words import word_tables

#: A state and the number of an entangling layer -> the state after it.
Entangle = Callable[[Tensor, int], Tensor]


@final
class PauliVector(MatrixMethod):
    """The expectation values of all Pauli strings, advanced by each block."""

    name = "dense"

    @staticmethod
    def problem(shape: Shape) -> str | None:
        return "a statevector does as well" if shape.is_pure else None

    def multiply_adds(self) -> int:
        n, blocks = self.shape.n_wires, self.shape.n_blocks
        return n * blocks * 4 << 2 * n

    def numbers_per_sample(self, needs_gradient: bool) -> int:
        n, blocks = self.shape.n_wires, self.shape.n_blocks
        # Without a gradient: the vector, its copies and the tables.
        return (n * blocks if needs_gradient else 9) << 2 * n

    def numbers_per_sample_by_kernels(self) -> int:
        numbers = (1 + self.vectors_kept()) << 2 * self.shape.n_wires
        return super().numbers_per_sample_by_kernels() + numbers

    def vectors_kept(self) -> int:
        """How many vectors kernels keep: for each layer that before the next block, and that behind ZZ.

        The latter only if noise on pairs comes between them.
        """
        has_both = self.shape.n_pair_noises and self.shape.has_couplings
        return (self.shape.n_blocks - 1) * (2 if has_both else 1)

    def smaller_circuit(self) -> tuple[str, str]:
        return smaller_circuit(self.shape)

    def tables(self) -> Mapping[str, Tensor]:
        places = self.places()
        if self.shape.has_couplings:
            return {"places": places}
        source, signs = cz_permutation(self.shape.pairs, self.shape.n_wires)
        return {"places": places, "source": source, "signs": signs}

    def places(self) -> Tensor:
        """Of the words among the coefficients: integer Tensor of shape (words,)."""
        wires, letters = word_tables(self.shape.words, 0)
        return (letters << 2 * (self.shape.n_wires - 1 - wires)).sum(0)

    def kernels(self, has_general_noise: bool = False) -> Evaluation | None:  # noqa: ARG002
        from sqdr.backends.native.kernels.pauli_vector import PauliVectorByKernels

        return PauliVectorByKernels(self)

    def values_of_matrices(self, matrices: Tensor, couplings: Tensor, *of_pairs: Tensor) -> Tensor:
        tables, n_wires = self.tables_on(matrices.device), self.shape.n_wires

        def entangle(state: Tensor, block: int) -> Tensor:
            if self.shape.has_couplings:
                state = zz_layer(state, couplings[block], self.shape.pairs, n_wires)
            else:
                state = state[:, tables["source"]] * tables["signs"].to(state.dtype)
            if of_pairs:
                for matrices, factors in zip(*(of_each[:, block] for of_each in of_pairs), strict=True):
                    shape = len(state), n_wires, 4, 4
                    state = on_every_wire(state, matrices.expand(shape))
                    state = two_wire_depolarizing(state, factors, self.shape.pairs, n_wires)
            return state

        return pauli_vector(matrices, entangle)[:, tables["places"], 0]


def pauli_vector(matrices: Tensor, entangle: Entangle) -> Tensor:
    """The last state of a noisy circuit.

    Args:
        matrices (Tensor of shape (4, 4, n_blocks, batch, n_wires)): transfer matrices, as
            `transfer_matrices` returns them.
        entangle (function): takes a state, as it is returned, and the number of a layer.

    Returns:
        Tensor of shape (batch, 4 ** n_wires, 1): expectation values of all Pauli strings, the digits of
        whose places are 0 to 3 for I, Z, X, Y, wire 0 first.
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
            state = entangle(state, block - 1)
        state = on_every_wire(state, matrix)
    return state


def zz_layer(state: Tensor, angles: Tensor, pairs: Pairs, n_wires: int) -> Tensor:
    """exp(-i angle/2 Z Z) on each pair, on a Pauli vector.

    Args:
        state (Tensor of shape (batch, 4 ** n_wires, 1)): as `pauli_vector` returns it.
        angles (Tensor of shape (len(pairs),)): in radians.

    Where one side of a pair is X or Y and the other is I or Z, a string is turned towards its product
    with Z Z: <X> becomes cos <X> - sin <Y Z>, and <Y> becomes cos <Y> + sin <X Z>.
    """
    place = torch.arange(4**n_wires, device=state.device)
    for angle, pair in zip(angles.unbind(0), pairs, strict=True):
        first, second = (2 * (n_wires - 1 - wire) for wire in pair)
        one, other = _bit(place, first + 1), _bit(place, second + 1)
        is_turned = one ^ other
        is_y = torch.where(one, _bit(place, first), _bit(place, second))
        sign = (is_turned * bit_signs(~is_y)).to(state.dtype).unsqueeze(-1)
        cos = torch.where(is_turned, torch.cos(angle), 1.0).to(state.dtype).unsqueeze(-1)
        turned = state[:, place ^ (1 << first) ^ (1 << second)]
        state = cos * state + torch.sin(angle) * sign * turned
    return state


def two_wire_depolarizing(state: Tensor, factors: Tensor, pairs: Pairs, n_wires: int) -> Tensor:
    """A Pauli vector with the strings that are not II on a pair multiplied by a factor of the pair.

    Args:
        state (Tensor of shape (batch, 4 ** n_wires, 1)): as `pauli_vector` returns it.
        factors (Tensor of shape (batch or 1, len(pairs)))
    """
    place = torch.arange(4**n_wires, device=state.device)
    for factor, pair in zip(factors.unbind(1), pairs, strict=True):
        digits = (place >> 2 * (n_wires - 1 - wire) & 3 for wire in pair)
        is_identity = next(digits) + next(digits) == 0
        state = state * torch.where(is_identity, 1.0, factor.unsqueeze(1)).unsqueeze(-1)
    return state


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
