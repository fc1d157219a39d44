"""Causal cones: `sqdr.backends.native.causal_cone` as a list of sums of products.

What that module computes with tensors is worked out once for each number of blocks with their entries
as variables, each of which has a value on every wire. What is known to be zero is left out. A variable
is `one`, an entry of a transfer matrix, or a sum of products of two others, each taken from a wire at
some distance. Wires are taken a few at a time, with those of their cones, so that variables stay in
caches.
"""

from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from sqdr.backends.native.kernels.matrices import MatrixEvaluation
from sqdr.backends.native.kernels.sums import run, run_back
from sqdr.backends.native.kernels.tiles import Array
from sqdr.backends.native.method import Method
from sqdr.compilation import kernel
from sqdr.vectors import load, spread, store, zeros_of

#: Rows of variables that are worked on at a time.
_AT_A_TIME = 2**13


@dataclass(frozen=True)
class _Terms:
    """Variables by their numbers, each times its sign, which is 0 for none; all at one distance."""

    number: Array
    sign: Array
    distance: int = 0

    def map(self, function: Any) -> "_Terms":
        """These with their axes rearranged by a function of arrays."""
        return _Terms(function(self.number), function(self.sign), self.distance)

    def at(self, distance: int) -> "_Terms":
        return _Terms(self.number, self.sign, distance)


@dataclass
class Program:
    """Sums of products for circuits of so many blocks.

    Attributes:
        stages (list of tuples): first variable to be written, how many, terms of each, place of its
            first term, distances of both factors, and wires at each end for which it is not needed.
        factors (list of Arrays of shape (terms, 2)): the variables multiplied.
        signs (list of Arrays of shape (terms,)): -1, 0 or 1.
        n_variables (int): the last of which is the expectation value.
    """

    n_blocks: int
    stages: list[tuple[int, ...]] = field(default_factory=list)
    factors: list[Array] = field(default_factory=list)
    signs: list[Array] = field(default_factory=list)
    n_variables: int = 0
    n_terms: int = 0

    def __post_init__(self) -> None:
        self.n_variables = 1 + 12 * self.n_blocks
        one = _Terms(np.zeros((3, 2), int), np.ones((3, 2), int))
        ground = self._sums(self._rows(0)[:, :2], one, 0)
        state = _Terms(np.append(0, ground.number), np.ones(4, int))
        sides = -1, 1
        reach = self.n_blocks - 1
        halves = [state.map(lambda a: a[:2]).at(side * reach) for side in sides]
        for block in range(1, reach):
            state = self._advance(state, block)
            wires = [state.map(lambda a: a[:2]).at(side * (reach - block)) for side in sides]
            halves = [self._absorb(*pair) for pair in zip(wires, halves, strict=True)]
        row = self._rows(reach)[:1].reshape(2, 2)
        row = row.reshape(2, 2, *(1,) * (state.number.ndim - 1))
        unflat = state.map(lambda a: np.moveaxis(a.reshape(2, 2, *a.shape[1:]), 1, -1))
        centre = self._sums(np.moveaxis(row, 1, -1), unflat, reach)
        self._join(centre, *halves)

    def _rows(self, block: int) -> Array:
        """Variables of the rows Z, X, Y of a block's matrix, by columns I, Z, X, Y."""
        return 1 + 12 * block + np.arange(12).reshape(3, 4)

    def _sums(self, entries: Array, terms: _Terms, margin: int) -> _Terms:
        """Variables for entries of matrices times terms, summed over the last axis."""
        return self._products(_Terms(entries, np.ones_like(entries)), terms, margin)

    def _products(self, one: _Terms, other: _Terms, margin: int) -> _Terms:
        """Variables for products of terms, summed over the last axis."""
        pairs = np.broadcast_arrays(one.number, other.number)
        signs = one.sign * other.sign
        *shape, terms = signs.shape
        first = self.n_variables
        n_sums = signs.size // terms
        self.stages.append((first, n_sums, terms, self.n_terms, one.distance, other.distance, margin))
        self.factors.append(np.stack([pair.reshape(-1) for pair in pairs], 1))
        self.signs.append(signs.reshape(-1))
        self.n_variables += n_sums
        self.n_terms += signs.size
        is_any = signs.any(-1).astype(int)
        return _Terms(first + np.arange(n_sums).reshape(shape), is_any)

    def _advance(self, state: _Terms, block: int) -> _Terms:
        i, z, x, y = zip(state.number, state.sign, strict=True)
        minus_x = x[0], -x[1]
        listed = (i, z, x, y, z, i, y, minus_x)  # which, control bit, parity
        number, sign = (np.stack(of).reshape(2, 2, 2, *i[0].shape) for of in zip(*listed, strict=True))
        before = _Terms(np.moveaxis(number, 0, -1), np.moveaxis(sign, 0, -1))
        entries = self._rows(block).reshape(3, 2, *(1,) * (before.number.ndim - 2), 2)
        rest = self._sums(entries, before, block)
        none = np.zeros_like(number[0, 1])
        of_identity = np.stack((number[0, 0], none)), np.stack((sign[0, 0], none))
        return _Terms(
            np.concatenate((of_identity[0][None], rest.number)),
            np.concatenate((of_identity[1][None], rest.sign)),
        )

    def _absorb(self, wire: _Terms, outer: _Terms) -> _Terms:
        n_pairs = (outer.number.ndim - 1) // 2
        outer = _by_parity(outer, n_pairs).map(lambda a: _repeated(_repeated(a, 0), 2))
        for pair in range(n_pairs):
            wire = wire.map(lambda a, axis=4 + 3 * pair: _repeated(a, axis))
        parities = range(5, 5 + 3 * n_pairs, 3)
        return self._over(wire, outer, parities)

    def _join(self, centre: _Terms, left: _Terms, right: _Terms) -> _Terms:
        n_pairs = (left.number.ndim - 1) // 2
        for pair in range(n_pairs):
            centre = centre.map(lambda a, axis=2 + 3 * pair: _repeated(a, axis))
            left = left.map(lambda a, axis=1 + 2 * pair: a.swapaxes(axis, axis + 1))
        joined = self._over(centre, _by_parity(right, n_pairs), range(3, 3 + 3 * n_pairs, 3))
        total = joined.map(np.ravel), left.map(np.ravel)
        return self._products(*total, self.n_blocks - 1)

    def _over(self, one: _Terms, other: _Terms, parities: range) -> _Terms:
        """Products summed over axes of parity."""

        def last(array: Array) -> Array:
            moved = np.moveaxis(array, list(parities), range(-len(parities), 0))
            return moved.reshape(*moved.shape[: moved.ndim - len(parities)], -1)

        return self._products(one.map(last), other.map(last), self.n_blocks - 1)


def _repeated(array: Array, axis: int) -> Array:
    return np.repeat(np.expand_dims(array, axis), 2, axis)


def _by_parity(outer: _Terms, n_pairs: int) -> _Terms:
    """`causal_cone._by_parity`, of terms."""
    number, sign = outer.number, outer.sign
    for axis in range(2 * n_pairs - 1, 0, -2):
        shape = (*number.shape[:axis], 4, *number.shape[axis + 2 :])
        order, signs = [0, 2, 2, 0, 1, 3, 3, 1], np.array([1, 1, 1, 1, 1, 1, -1, 1])
        signs = signs.reshape(-1, *(1,) * (len(shape) - axis - 1))
        number = number.reshape(shape).take(order, axis)
        sign = sign.reshape(shape).take(order, axis) * signs
        split = (*shape[:axis], 2, 2, 2, *shape[axis + 1 :])
        number, sign = number.reshape(split), sign.reshape(split)
    return _Terms(number, sign, outer.distance)


@cache
def program(n_blocks: int) -> tuple[Array, Array, Array, int]:
    """Stages, factors and signs of `Program`, and the number of its variables."""
    made = Program(n_blocks)
    stages, factors = np.array(made.stages), np.concatenate(made.factors)
    return stages, factors, np.concatenate(made.signs), made.n_variables


@kernel
def causal_cone(
    matrices: Array,
    ring: bool,
    reach: int,
    stages: Array,
    factors: Array,
    signs: Array,
    room: Array,
    values: Array,
) -> None:
    """Write <Z> (Array of shape (tiles, n_wires, width)).

    Args:
        matrices (Array): as in `matrices`.
        ring (bool): whether the last wire is next to the first.
        reach (int): blocks less one, the distance of the farthest wires of a cone.
        stages, factors (integer Arrays), signs (Array): the program.
        room (Array of shape (variables, wires at a time + 2 * reach, width))
    """
    n_wires, wires = values.shape[1], room.shape[1]
    for tile in range(len(values)):
        for first in range(0, n_wires, wires - 2 * reach):
            _fill(matrices[tile], first - reach, n_wires, ring, reach + 1, room)
            run(stages, factors, signs, room)
            for wire in range(first, min(first + wires - 2 * reach, n_wires)):
                store(values[tile], wire, load(room[len(room) - 1], wire - first + reach))


@kernel
def causal_cone_backward(
    grad: Array,
    matrices: Array,
    ring: bool,
    reach: int,
    stages: Array,
    factors: Array,
    signs: Array,
    room: Array,
    grads: Array,
    grad_matrices: Array,
) -> None:
    """Add the gradient by the matrices to `grad_matrices`, given that by the values.

    Args:
        grads (Array): room, of the shape of `room`.
        others: as in `causal_cone`.
    """
    n_wires, wires = grad.shape[1], room.shape[1]
    none = zeros_of(grad)
    for tile in range(len(grad)):
        into = grad_matrices[tile]
        for first in range(0, n_wires, wires - 2 * reach):
            _fill(matrices[tile], first - reach, n_wires, ring, reach + 1, room)
            run(stages, factors, signs, room)
            for row in range(len(grads) * wires):
                store(grads, row, none)
            for wire in range(first, min(first + wires - 2 * reach, n_wires)):
                store(grads[len(room) - 1], wire - first + reach, load(grad[tile], wire))
            run_back(stages, factors, signs, room, grads)
            for place in range(wires):
                wire = first - reach + place
                if ring:
                    wire = wire % n_wires
                if 0 <= wire < n_wires:
                    for entry in range(12 * (reach + 1)):
                        row = 12 * (entry // 12 * n_wires + wire) + entry % 12
                        store(into, row, load(into, row) + load(grads[1 + entry], place))


@kernel
def _fill(of: Array, first: int, n_wires: int, ring: bool, n_blocks: int, room: Array) -> None:
    """Write `one` and the entries of matrices; beyond the ends of a chain nothing happens to a wire."""
    one = spread(of.dtype.type(1))
    for place in range(room.shape[1]):
        store(room[0], place, one)
        wire = first + place
        if ring:
            wire = wire % n_wires
        for entry in range(12 * n_blocks):
            if 0 <= wire < n_wires:
                row = 12 * (entry // 12 * n_wires + wire) + entry % 12
                store(room[1 + entry], place, load(of, row))
            elif entry % 12 in (1, 6, 11):
                store(room[1 + entry], place, one)
            else:
                store(room[1 + entry], place, one - one)


class CausalConeByKernels(MatrixEvaluation):
    """`CausalCone` by kernels."""

    def __init__(self, method: Method) -> None:
        super().__init__(method)
        self._reach = self.shape.n_blocks - 1
        self._ring = self.shape.topology == "ring"

    def values_of_matrices(self, matrices: Array, turns: Array, kept: Array | None) -> Array:  # noqa: ARG002
        tiles, _, width = matrices.shape
        values = np.empty((tiles, self.shape.n_wires, width), matrices.dtype)
        *of_program, room = self._program(matrices)
        causal_cone(matrices, self._ring, self._reach, *of_program, room, values)
        return values

    def gradient_of_matrices(
        self,
        grad: Array,
        matrices: Array,
        turns: Array,  # noqa: ARG002
        kept: Array,  # noqa: ARG002
        grad_turns: Array,  # noqa: ARG002
    ) -> Array:
        into = np.zeros_like(matrices)
        *of_program, room = self._program(matrices)
        arguments = matrices, self._ring, self._reach, *of_program, room, np.empty_like(room)
        causal_cone_backward(grad, *arguments, into)
        return into

    def _program(self, matrices: Array) -> tuple[Array, ...]:
        stages, factors, signs, n_variables = program(self.shape.n_blocks)
        at_a_time = max(8, min(self.shape.n_wires, _AT_A_TIME // n_variables))
        shape = n_variables, at_a_time + 2 * self._reach, matrices.shape[2]
        return stages, factors, signs.astype(matrices.dtype), np.empty(shape, matrices.dtype)
