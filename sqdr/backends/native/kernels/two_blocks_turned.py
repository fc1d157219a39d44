"""Two blocks with ZZ on any pairs of wires; `sqdr.backends.native.pauli_words` has the formula.

X + iY of a wire becomes X + iY times cos t + i sin t z for each of its neighbours, t being the angle of
the pair and z that of the neighbour. `neighbours[starts[wire] : starts[wire + 1]]` are those of a wire,
and the pairs that it makes with them are in the same places of `pairs`.
"""

from typing import Any

import numpy as np

from sqdr.backends.native.kernels.evaluation import Given
from sqdr.backends.native.kernels.matrices import MatrixEvaluation, words_of_wires
from sqdr.backends.native.kernels.tiles import Array, add_to
from sqdr.backends.native.kernels.two_blocks import neighbours_of
from sqdr.backends.native.method import Method
from sqdr.compilation import kernel
from sqdr.vectors import load, spread, store


@kernel
def two_blocks_turned(
    matrices: Array,
    turns: Array,
    starts: Array,
    neighbours: Array,
    pairs: Array,
    word_starts: Array,
    words: Array,
    letters: Array,
    room: Array,
    values: Array,
) -> None:
    """Values of words.

    Args:
        matrices (Array): as in `matrices`, of two blocks.
        turns (Array of shape (2, couplings)): cosines and sines; without columns for CZ.
        starts, neighbours, pairs (integer Arrays): as above.
        word_starts, words, letters (integer Arrays): as `words_of_wires` returns them.
        room (Array of shape (3 * n_wires, width))
        values (Array of shape (tiles, words, width)): to be written.
    """
    n_wires = len(starts) - 1
    one = spread(values.dtype.type(1))
    for tile in range(len(values)):
        of = matrices[tile]
        _write_vectors(of, n_wires, room)
        for wire in range(n_wires):
            re, im = one, one - one
            for place in range(starts[wire], starts[wire + 1]):
                cos, sin = _factor(turns, pairs[place], room, neighbours[place])
                re, im = re * cos - im * sin, re * sin + im * cos
            z, x, y = load(room, wire), load(room, n_wires + wire), load(room, 2 * n_wires + wire)
            for word in range(word_starts[wire], word_starts[wire + 1]):
                row = 12 * (n_wires + wire) + 4 * letters[word]
                value = load(of, row) + load(of, row + 1) * z
                value += load(of, row + 2) * (x * re - y * im) + load(of, row + 3) * (x * im + y * re)
                store(values[tile], words[word], value)


@kernel
def two_blocks_turned_backward(
    matrices: Array,
    turns: Array,
    starts: Array,
    neighbours: Array,
    pairs: Array,
    word_starts: Array,
    words: Array,
    letters: Array,
    room: Array,
    grad: Array,
    grad_matrices: Array,
    grad_turns: Array,
) -> None:
    """Gradients, given that of the values.

    Args:
        matrices, turns, starts, neighbours, pairs, word_starts, words, letters: as in
            `two_blocks_turned`.
        room (Array of shape (4 * n_wires + 2 * most neighbours of a wire, width))
        grad (Array of shape (tiles, words, width))
        grad_matrices (Array): of the shape of `matrices`, zeros; to be written.
        grad_turns (Array of shape (2 * couplings, width)): that of all tiles is added.
    """
    n_wires, n_couplings = len(starts) - 1, turns.shape[1]
    grad_z, products = room[3 * n_wires : 4 * n_wires], room[4 * n_wires :]
    one = spread(grad.dtype.type(1))
    for tile in range(len(grad)):
        of, into = matrices[tile], grad_matrices[tile]
        _write_vectors(of, n_wires, room)
        for wire in range(n_wires):
            store(grad_z, wire, one - one)
        for wire in range(n_wires):
            re, im, start = one, one - one, starts[wire]
            for place in range(start, starts[wire + 1]):
                store(products, 2 * (place - start), re)
                store(products, 2 * (place - start) + 1, im)
                cos, sin = _factor(turns, pairs[place], room, neighbours[place])
                re, im = re * cos - im * sin, re * sin + im * cos
            z, x, y = load(room, wire), load(room, n_wires + wire), load(room, 2 * n_wires + wire)
            by_z, by_x, by_y = one - one, one - one, one - one
            for word in range(word_starts[wire], word_starts[wire + 1]):
                row, g = 12 * (n_wires + wire) + 4 * letters[word], load(grad[tile], words[word])
                by_z += g * load(of, row + 1)
                by_x += g * load(of, row + 2)
                by_y += g * load(of, row + 3)
                add_to(into, row, g)
                add_to(into, row + 1, g * z)
                add_to(into, row + 2, g * (x * re - y * im))
                add_to(into, row + 3, g * (x * im + y * re))
            store(grad_z, wire, load(grad_z, wire) + by_z)
            for column in range(2):
                store(into, 12 * wire + 4 + column, by_x * re + by_y * im)
                store(into, 12 * wire + 8 + column, by_y * re - by_x * im)
            rest_re, rest_im = by_x * x + by_y * y, by_y * x - by_x * y
            for back in range(starts[wire + 1] - start):
                place = starts[wire + 1] - 1 - back
                pair, neighbour = pairs[place], neighbours[place]
                re, im = load(products, 2 * (place - start)), load(products, 2 * (place - start) + 1)
                by_cos, by_sin = rest_re * re + rest_im * im, rest_im * re - rest_re * im
                of_neighbour = load(room, neighbour)
                if n_couplings > 0:
                    add_to(grad_turns, pair, by_cos)
                    add_to(grad_turns, n_couplings + pair, by_sin * of_neighbour)
                    add_to(grad_z, neighbour, turns[1, pair] * by_sin)
                else:
                    add_to(grad_z, neighbour, by_cos)
                cos, sin = _factor(turns, pair, room, neighbour)
                rest_re, rest_im = rest_re * cos + rest_im * sin, rest_im * cos - rest_re * sin
        for wire in range(n_wires):
            for column in range(2):
                store(into, 12 * wire + column, load(grad_z, wire))


@kernel
def _factor(turns: Array, pair: int, room: Array, neighbour: int) -> Any:
    """Real and imaginary part of what a neighbour turns a wire by; of CZ its Z."""
    z = load(room, neighbour)
    if turns.shape[1] == 0:
        return z, z - z
    return spread(turns[0, pair]), turns[1, pair] * z


@kernel
def _write_vectors(of: Array, n_wires: int, room: Array) -> None:
    """z, then x, then y of each wire after block 1."""
    for wire in range(n_wires):
        for number in range(3):
            row = 12 * wire + 4 * number
            store(room, number * n_wires + wire, load(of, row) + load(of, row + 1))


class TurnedTwoBlocksByKernels(MatrixEvaluation):
    """`TwoBlocks` by kernels, for observables of one wire behind ZZ, or behind CZ with any noise."""

    def __init__(self, method: Method) -> None:
        super().__init__(method)
        self._most, *neighbours = neighbours_of(self.shape.pairs, self.shape.n_wires)
        self._tables = *neighbours, *words_of_wires(self.shape)

    def values_of_matrices(
        self,
        matrices: Array,
        given: Given,
        kept: Array | None,  # noqa: ARG002
    ) -> Array:
        tiles, _, width = matrices.shape
        values = np.empty((tiles, len(self.shape.words), width), matrices.dtype)
        room = np.empty((3 * self.shape.n_wires, width), matrices.dtype)
        two_blocks_turned(matrices, given.turns, *self._tables, room, values)
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
        rows = 4 * self.shape.n_wires + 2 * self._most
        room = np.empty((rows, matrices.shape[2]), matrices.dtype)
        two_blocks_turned_backward(matrices, given.turns, *self._tables, room, grad, into, grad_turns)
        return into
