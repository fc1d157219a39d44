"""Causal cones: `sqdr.backends.native.causal_cone` as a list of sums of products.

What that module computes with tensors is worked out once for each number of blocks with their entries
as variables, each of which has a value on every wire. What is known to be zero is left out. A variable
is `one`, an entry of a transfer matrix, the cosine or sine of the coupling of a wire and the next, or a
sum of products of two others, each taken from a wire at some distance. Wires are taken a few at a time,
with those of their cones, so that variables stay in caches.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from sqdr.backends.native.causal_cone import pair_of_wire
from sqdr.backends.native.kernels.evaluation import Given
from sqdr.backends.native.kernels.matrices import MatrixEvaluation, words_of_wires
from sqdr.backends.native.kernels.sums import run, run_back
from sqdr.backends.native.kernels.tiles import Array, add_to
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
    """Sums of products for circuits of so many blocks, with couplings ZZ or with CZ.

    Args:
        n_blocks (int): number of blocks.
        has_couplings (bool): whether the entangler is ZZ.
        letters (tuple of ints): that are measured, 0 to 2 for Z, X and Y.

    Attributes:
        stages (list of tuples): first variable to be written, how many, terms of each, place of its
            first term, distances of both factors, and wires at each end for which it is not needed.
        factors (list of Arrays of shape (terms, 2)): the variables multiplied.
        signs (list of Arrays of shape (terms,)): -1, 0 or 1.
        n_variables (int): number of variables.
        results (list of ints): the variables that are the expectation values.
    """

    n_blocks: int
    has_couplings: bool
    letters: tuple[int, ...]
    stages: list[tuple[int, ...]] = field(default_factory=list)
    factors: list[Array] = field(default_factory=list)
    signs: list[Array] = field(default_factory=list)
    n_variables: int = 0
    n_terms: int = 0
    results: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        reach = self.n_blocks - 1
        self.n_variables = 1 + 12 * self.n_blocks + (2 * reach if self.has_couplings else 0)
        one = _Terms(np.zeros((3, 2), int), np.ones((3, 2), int))
        ground = self._sums(self._rows(0)[:, :2], one, 0)
        state = _Terms(np.append(0, ground.number), np.ones(4, int))
        sides = -1, 1
        halves = [state.map(lambda a: a[:2]).at(side * reach) for side in sides]
        absorb = self._absorb_turned if self.has_couplings else self._absorb
        for block in range(1, reach):
            state = self._advance(state, block)
            wires = [state.map(lambda a: a[:2]).at(side * (reach - block)) for side in sides]
            if self.has_couplings:
                halves = self._pass_on(halves, reach - block)
            halves = [absorb(*pair) for pair in zip(wires, halves, strict=True)]
        if self.has_couplings:
            halves = self._pass_on(halves, 0)
        for letter in self.letters:
            row = self._rows(reach)[letter : letter + 1]
            if self.has_couplings:
                self._join_turned(self._turned(state, row, reach), *halves)
            else:
                row = row.reshape(2, 2, *(1,) * (state.number.ndim - 1))
                unflat = state.map(lambda a: np.moveaxis(a.reshape(2, 2, *a.shape[1:]), 1, -1))
                self._join(self._sums(np.moveaxis(row, 1, -1), unflat, reach), *halves)
            self.results.append(self.n_variables - 1)

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
        rest = self._turned(state, self._rows(block), block)
        # At odd parity I comes from Z; neither has the control bit set.
        of_identity = (state.number[:2], state.sign[:2])
        number, sign = (np.stack((of, np.zeros_like(of)))[None] for of in of_identity)
        return _Terms(np.concatenate((number, rest.number)), np.concatenate((sign, rest.sign)))

    def _turned(self, state: _Terms, rows: Array, margin: int) -> _Terms:
        """`causal_cone._advance`, to some rows of a matrix."""
        i, z, x, y = zip(state.number, state.sign, strict=True)
        minus_x = x[0], -x[1]
        listed = (i, z, x, y, z, i, y, minus_x)  # which, control bit, parity
        number, sign = (np.stack(of).reshape(2, 2, 2, *i[0].shape) for of in zip(*listed, strict=True))
        before = _Terms(np.moveaxis(number, 0, -1), np.moveaxis(sign, 0, -1))
        entries = rows.reshape(len(rows), 2, *(1,) * (before.number.ndim - 2), 2)
        return self._sums(entries, before, margin)

    def _absorb(self, wire: _Terms, outer: _Terms) -> _Terms:
        n_pairs = (outer.number.ndim - 1) // 2
        outer = _by_parity(outer, n_pairs).map(lambda a: _repeated(_repeated(a, 0), 2))
        for pair in range(n_pairs):
            wire = wire.map(lambda a, axis=4 + 3 * pair: _repeated(a, axis))
        parities = range(5, 5 + 3 * n_pairs, 3)
        return self._over(wire, outer, parities)

    def _pass_on(self, halves: Sequence[_Terms], distance: int) -> list[_Terms]:
        """`causal_cone._pass_on`, of the left and the right half."""
        places = -distance - 1, distance  # of the wire whose coupling with the next is passed
        return [self._passed(*each, distance) for each in zip(halves, places, strict=True)]

    def _passed(self, outer: _Terms, place: int, distance: int) -> _Terms:
        layer = self.n_blocks - 2 - distance
        left, turned = zip(outer.number, outer.sign, strict=True)
        none, one, cosine, sine = self._of_coupling(layer)
        front = [[(left, one)], [(left, cosine)], [(left, none)], [(turned, sine)]]
        passed = self._weighed(front, outer.distance, place)
        for axis in range(2, passed.number.ndim, 2):
            layer -= 1
            none, one, cosine, sine = self._of_coupling(layer)
            off_0, off_1, on_0, on_1 = _entries(passed, axis)
            sums = [
                [(off_0, one), (on_0, cosine)],
                [(on_0, one), (off_0, cosine)],
                [(on_1, sine), (on_1, none)],
                [(off_1, sine), (off_1, none)],
            ]
            passed = self._weighed(sums, 0, place).map(
                lambda a, axis=axis: np.moveaxis(a, (0, 1), (axis, axis + 1))
            )
        return passed

    def _of_coupling(self, layer: int) -> list[tuple[int, int]]:
        """Number and sign of what is none, `one`, the cosine and, turned as in `_advance`, the sine."""
        cosine = 1 + 12 * self.n_blocks + 2 * layer
        return [(0, 0), (0, 1), (cosine, 1), (cosine + 1, -1)]

    def _weighed(self, sums: Any, distance: int, place: int) -> _Terms:
        """Sums of terms times what `_of_coupling` gives.

        Args:
            sums (list of lists): for whether the wire outside is turned, and the bit of the one inside:
                terms (numbers and signs, at a distance), each with its factor (number and sign).
            distance (int): of the terms.
            place (int): distance of the wire whose coupling with the next it is.
        """

        def stacked(which: int, part: int) -> Array:
            of = [[product[which][part] for product in products] for products in sums]
            shape = np.shape(sums[0][0][0][part])
            return np.stack([np.stack([np.broadcast_to(a, shape) for a in each], -1) for each in of])

        terms = _Terms(stacked(0, 0), stacked(0, 1), distance)
        factors = _Terms(stacked(1, 0), stacked(1, 1), place)
        found = self._products(terms, factors, self.n_blocks - 1)
        return found.map(lambda a: a.reshape(2, 2, *a.shape[1:]))

    def _absorb_turned(self, wire: _Terms, outer: _Terms) -> _Terms:
        n_pairs = outer.number.ndim // 2
        for pair in range(n_pairs):
            wire = wire.map(lambda a, axis=2 + 3 * pair: _repeated(a, axis))
        outer = _by_parity(outer.map(lambda a: a[None]), n_pairs)
        return self._over(wire, outer, range(3, 3 + 3 * n_pairs, 3))

    def _join_turned(self, centre: _Terms, left: _Terms, right: _Terms) -> _Terms:
        joined = self._absorb_turned(centre, right)
        for axis in range(0, left.number.ndim, 2):
            left = left.map(lambda a, axis=axis: a.swapaxes(axis, axis + 1))
        return self._products(joined.map(np.ravel), left.map(np.ravel), self.n_blocks - 1)

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


def _entries(terms: _Terms, axis: int) -> list[tuple[Array, Array]]:
    """Numbers and signs by the entries of two axes."""
    flat = terms.map(lambda a: a.reshape(*a.shape[:axis], 4, *a.shape[axis + 2 :]))
    return [(flat.number.take(entry, axis), flat.sign.take(entry, axis)) for entry in range(4)]


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
def program(
    n_blocks: int, has_couplings: bool, letters: tuple[int, ...]
) -> tuple[Array, Array, Array, list[int], int]:
    """Stages, factors, signs and results of `Program`, and the number of its variables."""
    made = Program(n_blocks, has_couplings, letters)
    stages, factors = np.array(made.stages), np.concatenate(made.factors)
    return stages, factors, np.concatenate(made.signs), made.results, made.n_variables


@kernel
def causal_cone(
    matrices: Array,
    turns: Array,
    pair_of_wire: Array,
    ring: bool,
    reach: int,
    starts: Array,
    places: Array,
    results: Array,
    stages: Array,
    factors: Array,
    signs: Array,
    room: Array,
    values: Array,
) -> None:
    """Write values of words (Array of shape (tiles, words, width)).

    Args:
        matrices (Array): as in `matrices`.
        turns (Array of shape (2, reach * pairs)): as in `Given`.
        pair_of_wire (integer Array of shape (n_wires,)): as `causal_cone.pair_of_wire` returns it;
            empty for CZ.
        ring (bool): whether the last wire is next to the first.
        reach (int): blocks less one, the distance of the farthest wires of a cone.
        starts, places (integer Arrays): as `words_of_wires` returns them.
        results (integer Array): the variable of each of these words.
        stages, factors (integer Arrays), signs (Array): the program.
        room (Array of shape (variables, wires at a time + 2 * reach, width))
    """
    n_wires, wires = len(starts) - 1, room.shape[1]
    for tile in range(len(values)):
        for first in range(0, n_wires, wires - 2 * reach):
            _fill(matrices[tile], first - reach, n_wires, ring, reach + 1, room)
            _fill_couplings(turns, pair_of_wire, first - reach, ring, reach, room)
            run(stages, factors, signs, room)
            for wire in range(first, min(first + wires - 2 * reach, n_wires)):
                for word in range(starts[wire], starts[wire + 1]):
                    value = load(room[results[word]], wire - first + reach)
                    store(values[tile], places[word], value)


@kernel
def causal_cone_backward(
    grad: Array,
    matrices: Array,
    turns: Array,
    pair_of_wire: Array,
    ring: bool,
    reach: int,
    starts: Array,
    places: Array,
    results: Array,
    stages: Array,
    factors: Array,
    signs: Array,
    room: Array,
    grads: Array,
    grad_matrices: Array,
    grad_turns: Array,
) -> None:
    """Add the gradient by the matrices to `grad_matrices`, given that by the values.

    Args:
        grads (Array): room, of the shape of `room`.
        grad_turns (Array of shape (2 * reach * pairs, width)): to which that by the turns is added.
        others: as in `causal_cone`.
    """
    n_wires, wires = len(starts) - 1, room.shape[1]
    none = zeros_of(grad)
    for tile in range(len(grad)):
        into = grad_matrices[tile]
        for first in range(0, n_wires, wires - 2 * reach):
            _fill(matrices[tile], first - reach, n_wires, ring, reach + 1, room)
            _fill_couplings(turns, pair_of_wire, first - reach, ring, reach, room)
            run(stages, factors, signs, room)
            for row in range(len(grads) * wires):
                store(grads, row, none)
            for wire in range(first, min(first + wires - 2 * reach, n_wires)):
                for word in range(starts[wire], starts[wire + 1]):
                    by_value = load(grad[tile], places[word])
                    add_to(grads[results[word]], wire - first + reach, by_value)
            run_back(stages, factors, signs, room, grads)
            for place in range(wires):
                wire = first - reach + place
                if ring:
                    wire = wire % n_wires
                if 0 <= wire < n_wires:
                    for entry in range(12 * (reach + 1)):
                        row = 12 * (entry // 12 * n_wires + wire) + entry % 12
                        store(into, row, load(into, row) + load(grads[1 + entry], place))
            _add_couplings(grads, pair_of_wire, first - reach, ring, reach, grad_turns)


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


@kernel
def _fill_couplings(
    turns: Array, pair_of_wire: Array, first: int, ring: bool, layers: int, room: Array
) -> None:
    """Write cosines and sines, behind the matrices; those of a wire without a next one are 1 and 0."""
    if len(pair_of_wire) > 0:
        n_pairs, row = turns.shape[1] // layers, 1 + 12 * (layers + 1)
        for place in range(room.shape[1]):
            pair = _pair_at(pair_of_wire, first + place, ring, n_pairs)
            for layer in range(layers):
                cos, sin = turns.dtype.type(1), turns.dtype.type(0)
                if pair < n_pairs:
                    cos, sin = turns[0, layer * n_pairs + pair], turns[1, layer * n_pairs + pair]
                store(room[row + 2 * layer], place, spread(cos))
                store(room[row + 2 * layer + 1], place, spread(sin))


@kernel
def _add_couplings(
    grads: Array, pair_of_wire: Array, first: int, ring: bool, layers: int, grad_turns: Array
) -> None:
    """Add the gradients by what `_fill_couplings` writes."""
    if len(pair_of_wire) > 0:
        n_couplings, row = len(grad_turns) // 2, 1 + 12 * (layers + 1)
        n_pairs = n_couplings // layers
        for place in range(grads.shape[1]):
            pair = _pair_at(pair_of_wire, first + place, ring, n_pairs)
            if pair < n_pairs:
                for layer in range(layers):
                    to = layer * n_pairs + pair
                    add_to(grad_turns, to, load(grads[row + 2 * layer], place))
                    add_to(grad_turns, n_couplings + to, load(grads[row + 2 * layer + 1], place))


@kernel
def _pair_at(pair_of_wire: Array, wire: int, ring: bool, none: int) -> Any:
    """The pair of a wire and the next, of a chain or ring of any length."""
    if ring:
        return pair_of_wire[wire % len(pair_of_wire)]
    if 0 <= wire < len(pair_of_wire):
        return pair_of_wire[wire]
    return none


class CausalConeByKernels(MatrixEvaluation):
    """`CausalCone` by kernels."""

    def __init__(self, method: Method) -> None:
        super().__init__(method)
        shape = self.shape
        self._reach = shape.n_blocks - 1
        self._ring = shape.topology == "ring"
        self._pair_of_wire = np.empty(0, int)
        if shape.has_couplings:
            self._pair_of_wire = pair_of_wire(shape.pairs, shape.n_wires).numpy()
        starts, places, letters = words_of_wires(shape)
        measured = tuple(sorted(set(letters.tolist())))
        *program_, results, self._n_variables = program(shape.n_blocks, shape.has_couplings, measured)
        self._program = tuple(program_)
        of_words = [results[measured.index(letter)] for letter in letters.tolist()]
        self._words = starts, places, np.array(of_words)

    def values_of_matrices(self, matrices: Array, given: Given, kept: Array | None) -> Array:  # noqa: ARG002
        tiles, _, width = matrices.shape
        values = np.empty((tiles, len(self.shape.words), width), matrices.dtype)
        causal_cone(matrices, *self._arguments(given, matrices), values)
        return values

    def gradient_of_matrices(
        self,
        grad: Array,
        matrices: Array,
        given: Given,
        kept: Array,  # noqa: ARG002
        grad_turns: Array,
    ) -> Array:
        into = np.zeros_like(matrices)
        arguments = self._arguments(given, matrices)
        room_of_grads = np.empty_like(arguments[-1])
        causal_cone_backward(grad, matrices, *arguments, room_of_grads, into, grad_turns)
        return into

    def _arguments(self, given: Given, matrices: Array) -> tuple[Any, ...]:
        """What the kernels take behind the matrices; the room comes last."""
        stages, factors, signs = self._program
        at_a_time = max(8, min(self.shape.n_wires, _AT_A_TIME // self._n_variables))
        of_room = self._n_variables, at_a_time + 2 * self._reach, matrices.shape[2]
        of_pairs = given.turns, self._pair_of_wire, self._ring, self._reach
        of_program = *self._words, stages, factors, signs.astype(matrices.dtype)
        return *of_pairs, *of_program, np.empty(of_room, matrices.dtype)
