"""Words of several wires behind two blocks; `sqdr.backends.native.pauli_words` has the formula.

It is worked out once for a circuit, as a list of sums of products of the entries of its matrices and of
the cosines and sines of its couplings. What several words have in common is computed once.
"""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from sqdr.ansatz import PauliWord
from sqdr.backends.native.kernels.evaluation import Given
from sqdr.backends.native.kernels.matrices import MatrixEvaluation
from sqdr.backends.native.kernels.sums import run, run_back
from sqdr.backends.native.kernels.tiles import Array, add_to
from sqdr.backends.native.method import Method, Shape
from sqdr.compilation import kernel
from sqdr.vectors import load, spread, store, zeros_of

#: A factor and the number of the variable that it multiplies.
Number = tuple[float, int]
#: Real and imaginary part.
Complex = tuple[Number, Number]

ZERO, ONE = (0.0, 0), (1.0, 0)


class Sums:
    """Sums of products of variables, the first of which is 1.

    Args:
        n_given (int): how many variables are given behind it.
    """

    def __init__(self, n_given: int) -> None:
        self._n_given = 1 + n_given
        self._sums: list[tuple[tuple[float, int, int], ...]] = []
        self._known: dict[tuple[tuple[float, int, int], ...], int] = {}

    def __call__(self, *products: tuple[Number, Number]) -> Number:
        """The sum of some products."""
        terms = [(a[0] * b[0], min(a[1], b[1]), max(a[1], b[1])) for a, b in products if a[0] * b[0]]
        if not terms:
            return ZERO
        if len(terms) == 1:
            factor, one, other = terms[0]
            if one == 0:
                return factor, other
            terms = [(1.0, one, other)]
        else:
            factor = 1.0
        key = tuple(terms)
        if key not in self._known:
            self._known[key] = self._n_given + len(self._sums)
            self._sums.append(key)
        return factor, self._known[key]

    def product(self, one: Complex, other: Complex) -> Complex:
        (a, b), (c, d) = one, other
        return self((a, c), (_negative(b), d)), self((a, d), (b, c))

    def program(self, results: Sequence[Number]) -> tuple[Array, Array, Array, Array]:
        """Stages, factors and signs as `run` takes them, and the variables that are the results.

        What no result depends on is left out.
        """
        outputs = [self._as_sum(number) for number in results]
        is_needed = np.zeros(self._n_given + len(self._sums), bool)
        is_needed[: self._n_given] = is_needed[outputs] = True
        for number in range(len(is_needed) - 1, self._n_given - 1, -1):
            if is_needed[number]:
                is_needed[
                    [place for term in self._sums[number - self._n_given] for place in term[1:]]
                ] = True
        places = np.cumsum(is_needed) - 1
        sums = [of for of, needed in zip(self._sums, is_needed[self._n_given :], strict=True) if needed]
        stages: list[list[int]] = []
        n_terms = 0
        for place, terms in enumerate(sums, self._n_given):
            if stages and stages[-1][2] == len(terms):
                stages[-1][1] += 1
            else:
                stages.append([place, 1, len(terms), n_terms, 0, 0, 0])
            n_terms += len(terms)
        listed = [term for terms in sums for term in terms]
        factors = places[np.array([term[1:] for term in listed])]
        return np.array(stages), factors, np.array([term[0] for term in listed]), places[outputs]

    def _as_sum(self, number: Number) -> int:
        """A variable that is a number, which no other number is."""
        self._sums.append(((number[0], 0, number[1]),))
        return self._n_given + len(self._sums) - 1


def _negative(number: Number) -> Number:
    return -number[0], number[1]


class _Words:
    """The values of words as sums of products."""

    def __init__(self, shape: Shape) -> None:
        self._n_wires, self._n_couplings = shape.n_wires, len(shape.pairs) * shape.has_couplings
        self._neighbours: list[dict[int, int]] = [{} for _ in range(shape.n_wires)]
        for place, (one, other) in enumerate(shape.pairs):
            self._neighbours[one][other] = self._neighbours[other][one] = place
        self.sums = Sums(24 * shape.n_wires + 2 * self._n_couplings)
        self.values = [self._value(word) for word in shape.words]

    def _entry(self, block: int, wire: int, row: int, column: int) -> Number:
        return 1.0, 1 + 12 * (block * self._n_wires + wire) + 4 * row + column

    def _vector(self, wire: int) -> tuple[Number, Number, Number]:
        """z, x and y of a wire behind block 1."""
        z, x, y = (
            self.sums((self._entry(0, wire, row, 0), ONE), (self._entry(0, wire, row, 1), ONE))
            for row in range(3)
        )
        return z, x, y

    def _value(self, word: PauliWord) -> Number:
        sums = self.sums
        stays, flips = [], []
        for wire, letter in word:
            z, x, y = self._vector(wire)
            row = "ZXY".index(letter)
            by_one, by_z, by_x, by_y = (self._entry(1, wire, row, column) for column in range(4))
            # What becomes of I and Z where Z of the wire comes in an even or an odd number of times.
            stays.append((sums((by_one, ONE), (by_z, z)), sums((by_one, z), (by_z, ONE))))
            flips.append((sums((by_x, x), (by_y, y)), sums((by_x, y), (_negative(by_y), x))))
        values = []
        for choice in product((0, 1, -1), repeat=len(word)):  # I or Z, X + iY, X - iY
            turned = [sign for sign in choice if sign]
            if turned[:1] == [-1]:
                continue  # the complex conjugate of another
            value: Complex = (0.5 ** max(len(turned) - 1, 0), 0), ZERO
            for wire, turn in self._outside(word, choice):
                value = sums.product(value, self._turned(turn, ONE, self._vector(wire)[0]))
            for (wire, _), sign, pair in zip(word, choice, stays, strict=True):
                if not sign:
                    value = sums.product(value, self._turned(self._turns(word, choice, wire), *pair))
            for sign, (re, im) in zip(choice, flips, strict=True):
                if sign:
                    value = sums.product(value, (re, (sign * im[0], im[1])))
            values.append((sums((value[0], self._exchange(word, choice))), ONE))
        return sums(*values)

    def _turns(self, word: PauliWord, choice: Sequence[int], wire: int) -> list[tuple[int, int]]:
        """Signs and pairs by which the factors of a word turn a wire."""
        pairs = (
            (sign, self._neighbours[wire].get(own)) for (own, _), sign in zip(word, choice, strict=True)
        )
        return [(sign, pair) for sign, pair in pairs if sign and pair is not None]

    def _outside(self, word: PauliWord, choice: Sequence[int]) -> Any:
        """Wires next to a word, and by what it turns them."""
        own = {wire for wire, _ in word}
        wires = {other for wire in own for other in self._neighbours[wire]} - own
        return [(wire, self._turns(word, choice, wire)) for wire in sorted(wires)]

    def _turned(self, turns: Sequence[tuple[int, int]], plain: Number, other: Number) -> Complex:
        """One number times the cosine of a sum of angles, and another times i times its sine."""
        if not self._n_couplings:
            return (other if len(turns) % 2 else plain), ZERO
        total: Complex = ONE, ZERO
        for sign, pair in turns:
            cos = 1 + 24 * self._n_wires + pair
            total = self.sums.product(total, ((1.0, cos), (float(sign), cos + self._n_couplings)))
        return self.sums((total[0], plain)), self.sums((total[1], other))

    def _exchange(self, word: PauliWord, choice: Sequence[int]) -> Number:
        """The sign by which CZ turns XX into YY, and the like, within a word."""
        sign = 1.0
        for place, (one, _) in enumerate(word):
            for later in range(place):
                if not self._n_couplings and word[later][0] in self._neighbours[one]:
                    sign *= -choice[place] * choice[later] or 1
        return sign, 0


@kernel
def words_of_two_blocks(
    matrices: Array,
    turns: Array,
    stages: Array,
    factors: Array,
    signs: Array,
    results: Array,
    room: Array,
    values: Array,
) -> None:
    """Write values (Array of shape (tiles, words, width)).

    Args:
        matrices (Array): as in `matrices`, of two blocks.
        turns (Array of shape (2 * couplings,)): cosines, then sines.
        stages, factors, results (integer Arrays), signs (Array): as `Sums.program` returns them.
        room (Array of shape (variables, 1, width))
    """
    for tile in range(len(values)):
        _fill(matrices[tile], turns, room)
        run(stages, factors, signs, room)
        for word in range(len(results)):
            store(values[tile], word, load(room, results[word]))


@kernel
def words_of_two_blocks_backward(
    grad: Array,
    matrices: Array,
    turns: Array,
    stages: Array,
    factors: Array,
    signs: Array,
    results: Array,
    room: Array,
    grads: Array,
    grad_matrices: Array,
    grad_turns: Array,
) -> None:
    """Write the gradient by the matrices, given that by the values; that by the turns is added.

    Args:
        grads (Array): room, of the shape of `room`.
        others: as in `words_of_two_blocks`.
    """
    n_rows = matrices.shape[1]
    for tile in range(len(grad)):
        _fill(matrices[tile], turns, room)
        run(stages, factors, signs, room)
        for row in range(len(grads)):
            store(grads, row, zeros_of(grad))
        for word in range(len(results)):
            store(grads, results[word], load(grad[tile], word))
        run_back(stages, factors, signs, room, grads)
        for row in range(n_rows):
            store(grad_matrices[tile], row, load(grads, 1 + row))
        for turn in range(len(turns)):
            add_to(grad_turns, turn, load(grads, 1 + n_rows + turn))


@kernel
def _fill(of: Array, turns: Array, room: Array) -> None:
    """Write `one`, the entries of matrices, and turns."""
    store(room, 0, spread(of.dtype.type(1)))
    for row in range(len(of)):
        store(room, 1 + row, load(of, row))
    for turn in range(len(turns)):
        store(room, 1 + len(of) + turn, spread(turns[turn]))


class WordsOfTwoBlocksByKernels(MatrixEvaluation):
    """`TwoBlocks` by kernels, for words of any number of wires."""

    def __init__(self, method: Method) -> None:
        super().__init__(method)
        words = _Words(self.shape)
        self._program = words.sums.program(words.values)

    def values_of_matrices(self, matrices: Array, given: Given, kept: Array | None) -> Array:  # noqa: ARG002
        tiles, _, width = matrices.shape
        values = np.empty((tiles, len(self.shape.words), width), matrices.dtype)
        words_of_two_blocks(matrices, given.turns.reshape(-1), *self._arguments(matrices), values)
        return values

    def gradient_of_matrices(
        self,
        grad: Array,
        matrices: Array,
        given: Given,
        kept: Array,  # noqa: ARG002
        grad_turns: Array,
    ) -> Array:
        into = np.empty_like(matrices)
        *program, room = self._arguments(matrices)
        room_of_grads = np.empty_like(room)
        words_of_two_blocks_backward(
            grad, matrices, given.turns.reshape(-1), *program, room, room_of_grads, into, grad_turns
        )
        return into

    def _arguments(self, matrices: Array) -> tuple[Array, ...]:
        """The program, and room for its variables."""
        stages, factors, signs, results = self._program
        room = np.empty((1 + results[-1], 1, matrices.shape[2]), matrices.dtype)
        return stages, factors, signs.astype(matrices.dtype), results, room
