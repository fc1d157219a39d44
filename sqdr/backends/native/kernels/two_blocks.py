"""Two blocks with any pairs of wires; `sqdr.backends.native.two_blocks` has the formula.

Rows of a tile's noise: for each letter that is measured, the seven numbers of `noise_of_two_blocks`,
each of all wires. The neighbours of a wire are `neighbours[starts[wire] : starts[wire + 1]]`. A word is
three numbers: its wire; its letter, 0 to 2 for Z, X and Y; and where the noise of the letter begins.
"""

from typing import Any

import numpy as np

from sqdr.ansatz import Pairs
from sqdr.backends.native.kernels.evaluation import Given, KernelEvaluation, Sums
from sqdr.backends.native.kernels.rotations import behind_quarter_turn
from sqdr.backends.native.kernels.tiles import Array, add_to
from sqdr.backends.native.method import Method
from sqdr.compilation import kernel
from sqdr.vectors import load, spread, store


@kernel
def two_blocks(
    quaternions: Array,
    noise: Array,
    starts: Array,
    neighbours: Array,
    words: Array,
    values: Array,
) -> None:
    """Values of words.

    Args:
        quaternions (Array of shape (tiles, 8 * n_wires, width)): as `rotations` writes them.
        noise (Array of shape (tiles or 1, 7 * letters * n_wires, width)): as above.
        starts, neighbours (integer Arrays), words (integer Array of shape (words, 3)): as above.
        values (Array of shape (tiles, words, width)): to be written.
    """
    n_wires = len(starts) - 1
    firsts = np.empty((n_wires, quaternions.shape[2]), quaternions.dtype)
    half = spread(values.dtype.type(0.5) ** values.dtype.type(0.5))
    for tile in range(len(values)):
        of, by, into = quaternions[tile], noise[tile % len(noise)], values[tile]
        _write_firsts(of, by, firsts)
        for word in range(len(words)):
            wire, letter, start = words[word, 0], words[word, 1], words[word, 2]
            product = spread(values.dtype.type(1))
            for place in range(starts[wire], starts[wire + 1]):
                product = product * load(firsts, neighbours[place])
            x, y, z = _vector(of, wire)
            last = _quaternion(of, n_wires + wire)
            row_x, row_y, row_z = _row(*behind_quarter_turn(letter, half, half, *last))
            row = start + wire
            flips = load(by, row) * x * row_x + load(by, row + n_wires) * y * row_y
            stays = load(by, row + 2 * n_wires) * z + load(by, row + 3 * n_wires)
            store(into, word, load(by, row + 6 * n_wires) + row_z * stays + flips * product)


@kernel
def two_blocks_backward(
    quaternions: Array,
    noise: Array,
    starts: Array,
    neighbours: Array,
    words: Array,
    most: int,
    grad: Array,
    grad_quaternions: Array,
    grad_noise: Array,
) -> None:
    """Gradients, given that of the values.

    Args:
        quaternions, noise, starts, neighbours, words (Arrays): as in `two_blocks`.
        most (int): neighbours of a wire, at most.
        grad (Array of shape (tiles, words, width))
        grad_quaternions (Array): to be written.
        grad_noise (Array): of the shape of `noise`; that of all tiles is added. Without rows it is left
            out.
    """
    n_wires, dtype = len(starts) - 1, grad.dtype
    room = np.empty((2 * n_wires + most, quaternions.shape[2]), dtype)
    firsts, grad_firsts, products = room[:n_wires], room[n_wires : 2 * n_wires], room[2 * n_wires :]
    one, two = spread(dtype.type(1)), dtype.type(2)
    half = spread(dtype.type(0.5) ** dtype.type(0.5))
    for tile in range(len(grad)):
        of, by, into = quaternions[tile], noise[tile % len(noise)], grad_quaternions[tile]
        _write_firsts(of, by, firsts)
        for wire in range(n_wires):
            store(grad_firsts, wire, one - one)
        for row in range(8 * n_wires):
            store(into, row, one - one)
        for word in range(len(words)):
            wire, letter, start = words[word, 0], words[word, 1], words[word, 2]
            product, begin, end = one, starts[wire], starts[wire + 1]
            for place in range(begin, end):
                store(products, place - begin, product)
                product = product * load(firsts, neighbours[place])
            g = load(grad[tile], word)
            x, y, z = _vector(of, wire)
            last = _quaternion(of, n_wires + wire)
            w, i, j, k = behind_quarter_turn(letter, half, half, *last)
            row_x, row_y, row_z = _row(w, i, j, k)
            row = start + wire
            scale_x, scale_y = load(by, row), load(by, row + n_wires)
            scale_z, shift_z = load(by, row + 2 * n_wires), load(by, row + 3 * n_wires)
            rest = g * (scale_x * x * row_x + scale_y * y * row_y)
            for place in range(end - 1, begin - 1, -1):
                add_to(grad_firsts, neighbours[place], rest * load(products, place - begin))
                rest = rest * load(firsts, neighbours[place])
            flips, stays = g * product, g * row_z
            by_x, by_y, by_z = flips * scale_x * x, flips * scale_y * y, g * (scale_z * z + shift_z)
            a = two * (j * by_x + i * by_y + w * by_z)
            b = two * (w * by_y - k * by_x - i * by_z)
            c = two * (w * by_x + k * by_y - j * by_z)
            d = two * (j * by_y - i * by_x + k * by_z)
            a, b, c, d = behind_quarter_turn(letter, half, -half, a, b, c, d)
            first = 4 * (n_wires + wire)
            add_to(into, first, a)
            add_to(into, first + 1, b)
            add_to(into, first + 2, c)
            add_to(into, first + 3, d)
            add_to(into, 4 * wire, flips * scale_x * row_x)
            add_to(into, 4 * wire + 1, flips * scale_y * row_y)
            add_to(into, 4 * wire + 2, stays * scale_z)
            if grad_noise.shape[1] > 0:
                sums = grad_noise[tile % len(noise)]
                add_to(sums, row, flips * x * row_x)
                add_to(sums, row + n_wires, flips * y * row_y)
                add_to(sums, row + 2 * n_wires, stays * z)
                add_to(sums, row + 3 * n_wires, stays)
                add_to(sums, row + 6 * n_wires, g)
        for wire in range(n_wires):
            row, of_first = 4 * wire, load(grad_firsts, wire)
            w, i, j, k = _quaternion(of, wire)
            by_x, by_y = load(into, row), load(into, row + 1)
            by_z = load(into, row + 2) + load(by, 4 * n_wires + wire) * of_first
            store(into, row, two * (j * by_x - i * by_y + w * by_z))
            store(into, row + 1, two * (k * by_x - w * by_y - i * by_z))
            store(into, row + 2, two * (w * by_x + k * by_y - j * by_z))
            store(into, row + 3, two * (i * by_x + j * by_y + k * by_z))
            if grad_noise.shape[1] > 0:
                sums = grad_noise[tile % len(noise)]
                add_to(sums, 4 * n_wires + wire, of_first * _vector(of, wire)[2])
                add_to(sums, 5 * n_wires + wire, of_first)


@kernel
def _vector(of: Array, place: int) -> Any:
    """x, y and z of the Bloch vector that a rotation makes of |0>."""
    w, x, y, z = _quaternion(of, place)
    two = of.dtype.type(2)
    return two * (x * z + w * y), two * (y * z - w * x), w * w + z * z - x * x - y * y


@kernel
def _quaternion(of: Array, place: int) -> Any:
    row = 4 * place
    return load(of, row), load(of, row + 1), load(of, row + 2), load(of, row + 3)


@kernel
def _row(w: Any, x: Any, y: Any, z: Any) -> Any:
    """The row of a rotation of Bloch vectors that z is read from, its x negated."""
    wy, xz, yz, wx = w * y, x * z, y * z, w * x
    return wy - xz + (wy - xz), yz + wx + (yz + wx), w * w + z * z - x * x - y * y


@kernel
def _write_firsts(of: Array, by: Array, firsts: Array) -> None:
    """What the neighbours of each wire see of it: z after block 1, noise included."""
    n_wires = len(firsts)
    for wire in range(n_wires):
        z = _vector(of, wire)[2]
        store(firsts, wire, load(by, 4 * n_wires + wire) * z + load(by, 5 * n_wires + wire))


def neighbours_of(pairs: Pairs, n_wires: int) -> tuple[int, Array, Array, Array]:
    """Most neighbours of a wire; where those of each begin; all neighbours; the pairs with them."""
    of_wires: list[list[tuple[int, int]]] = [[] for _ in range(n_wires)]
    for place, (first, second) in enumerate(pairs):
        of_wires[first].append((second, place))
        of_wires[second].append((first, place))
    flat = np.array([entry for of in of_wires for entry in of], dtype=np.int64).reshape(-1, 2)
    neighbours, places = (np.ascontiguousarray(column) for column in flat.T)
    return max(map(len, of_wires)), np.cumsum([0, *map(len, of_wires)]), neighbours, places


class TwoBlocksByKernels(KernelEvaluation):
    """`TwoBlocks` by kernels, for observables of one wire behind CZ."""

    def __init__(self, method: Method) -> None:
        super().__init__(method)
        shape = self.shape
        self._most, self._starts, self._neighbours, _ = neighbours_of(shape.pairs, shape.n_wires)
        of_letters = shape.letter_tables()["of_letter"].numpy()
        self._words = np.column_stack((shape.wires_and_letters(), 7 * shape.n_wires * of_letters))

    def values_of(self, quaternions: Array, given: Given, kept: Array | None) -> Array:  # noqa: ARG002
        tiles, _, width = quaternions.shape
        values = np.empty((tiles, len(self._words), width), quaternions.dtype)
        two_blocks(quaternions, given.noise, self._starts, self._neighbours, self._words, values)
        return values

    def gradient_of(
        self,
        grad: Array,
        quaternions: Array,
        given: Given,
        kept: Array,  # noqa: ARG002
        sums: Sums,
    ) -> Array:
        into = np.empty_like(quaternions)
        tables = self._starts, self._neighbours, self._words, self._most
        two_blocks_backward(quaternions, given.noise, *tables, grad, into, sums.noise)
        return into
