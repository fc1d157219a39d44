"""Two blocks with any pairs of wires; `sqdr.backends.native.two_blocks` has the formula.

Rows of a tile's noise: the seven numbers of `noise_of_two_blocks`, each of all wires. The neighbours of
a wire are `neighbours[starts[wire] : starts[wire + 1]]`.
"""

from typing import Any

import numpy as np

from sqdr.ansatz import Pairs
from sqdr.backends.native.kernels.evaluation import Given, KernelEvaluation, Sums
from sqdr.backends.native.kernels.tiles import Array, add_to
from sqdr.backends.native.method import Method
from sqdr.compilation import kernel
from sqdr.vectors import load, spread, store


@kernel
def two_blocks(
    quaternions: Array, noise: Array, starts: Array, neighbours: Array, firsts: Array, values: Array
) -> None:
    """<Z> of every wire.

    Args:
        quaternions (Array of shape (tiles, 8 * n_wires, width)): as `rotations` writes them.
        noise (Array of shape (tiles or 1, 7 * n_wires, width)): as above.
        starts, neighbours (integer Arrays): as above.
        firsts (Array of shape (n_wires, width)): room.
        values (Array of shape (tiles, n_wires, width)): to be written.
    """
    n_wires = values.shape[1]
    for tile in range(len(values)):
        of, by, into = quaternions[tile], noise[tile % len(noise)], values[tile]
        _write_firsts(of, by, firsts)
        for wire in range(n_wires):
            product = spread(values.dtype.type(1))
            for place in range(starts[wire], starts[wire + 1]):
                product = product * load(firsts, neighbours[place])
            x, y, z = _vector(of, wire)
            row_x, row_y, row_z = _row(of, n_wires + wire)
            flips = load(by, wire) * x * row_x + load(by, n_wires + wire) * y * row_y
            stays = load(by, 2 * n_wires + wire) * z + load(by, 3 * n_wires + wire)
            store(into, wire, load(by, 6 * n_wires + wire) + row_z * stays + flips * product)


@kernel
def two_blocks_backward(
    quaternions: Array,
    noise: Array,
    starts: Array,
    neighbours: Array,
    room: Array,
    grad: Array,
    grad_quaternions: Array,
    grad_noise: Array,
) -> None:
    """Gradients, given that of the values.

    Args:
        quaternions, noise, starts, neighbours (Arrays): as in `two_blocks`.
        room (Array of shape (2 * n_wires + most neighbours of a wire, width))
        grad (Array of shape (tiles, n_wires, width))
        grad_quaternions (Array): to be written.
        grad_noise (Array): of the shape of `noise`; that of all tiles is added. Without rows it is left
            out.
    """
    n_wires = grad.shape[1]
    firsts, grad_firsts, products = room[:n_wires], room[n_wires : 2 * n_wires], room[2 * n_wires :]
    one, two = spread(grad.dtype.type(1)), grad.dtype.type(2)
    for tile in range(len(grad)):
        of, by, into = quaternions[tile], noise[tile % len(noise)], grad_quaternions[tile]
        _write_firsts(of, by, firsts)
        for wire in range(n_wires):
            store(grad_firsts, wire, one - one)
        for wire in range(n_wires):
            product, start = one, starts[wire]
            for place in range(start, starts[wire + 1]):
                store(products, place - start, product)
                product = product * load(firsts, neighbours[place])
            g = load(grad[tile], wire)
            x, y, z = _vector(of, wire)
            row_x, row_y, row_z = _row(of, n_wires + wire)
            scale_x, scale_y = load(by, wire), load(by, n_wires + wire)
            scale_z, shift_z = load(by, 2 * n_wires + wire), load(by, 3 * n_wires + wire)
            rest = g * (scale_x * x * row_x + scale_y * y * row_y)
            for back in range(starts[wire + 1] - start):
                place = starts[wire + 1] - 1 - back
                neighbour = neighbours[place]
                share = load(grad_firsts, neighbour) + rest * load(products, place - start)
                store(grad_firsts, neighbour, share)
                rest = rest * load(firsts, neighbour)
            flips, stays = g * product, g * row_z
            by_x, by_y, by_z = flips * scale_x * x, flips * scale_y * y, g * (scale_z * z + shift_z)
            row = 4 * (n_wires + wire)
            w, i, j, k = load(of, row), load(of, row + 1), load(of, row + 2), load(of, row + 3)
            store(into, row, two * (j * by_x + i * by_y + w * by_z))
            store(into, row + 1, two * (w * by_y - k * by_x - i * by_z))
            store(into, row + 2, two * (w * by_x + k * by_y - j * by_z))
            store(into, row + 3, two * (j * by_y - i * by_x + k * by_z))
            store(into, 4 * wire, flips * scale_x * row_x)
            store(into, 4 * wire + 1, flips * scale_y * row_y)
            store(into, 4 * wire + 2, stays * scale_z)
            if grad_noise.shape[1] > 0:
                sums = grad_noise[tile % len(noise)]
                add_to(sums, wire, flips * x * row_x)
                add_to(sums, n_wires + wire, flips * y * row_y)
                add_to(sums, 2 * n_wires + wire, stays * z)
                add_to(sums, 3 * n_wires + wire, stays)
                add_to(sums, 6 * n_wires + wire, g)
        for wire in range(n_wires):
            row, of_first = 4 * wire, load(grad_firsts, wire)
            w, i, j, k = load(of, row), load(of, row + 1), load(of, row + 2), load(of, row + 3)
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
    w, x, y, z = (
        load(of, 4 * place),
        load(of, 4 * place + 1),
        load(of, 4 * place + 2),
        load(of, 4 * place + 3),
    )
    two = of.dtype.type(2)
    return two * (x * z + w * y), two * (y * z - w * x), w * w + z * z - x * x - y * y


@kernel
def _row(of: Array, place: int) -> Any:
    """The row of a rotation of Bloch vectors that z is read from, its x negated."""
    w, x, y, z = (
        load(of, 4 * place),
        load(of, 4 * place + 1),
        load(of, 4 * place + 2),
        load(of, 4 * place + 3),
    )
    two = of.dtype.type(2)
    return two * (w * y - x * z), two * (y * z + w * x), w * w + z * z - x * x - y * y


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
    """`TwoBlocks` by kernels."""

    def __init__(self, method: Method) -> None:
        super().__init__(method)
        tables = neighbours_of(self.shape.pairs, self.shape.n_wires)
        self._most, self._starts, self._neighbours, _ = tables

    def noise_for(self, letter: str, noise: Array) -> Array:
        if len(self.letters) == 1:
            return noise
        return np.ascontiguousarray(noise[:, self._rows_of(letter)])

    def add_noise_gradient(self, letter: str, grad: Array, into: Array) -> None:
        into[:, self._rows_of(letter)] += grad

    def _rows_of(self, letter: str) -> slice:
        """The letters' noises come one after the other."""
        start = self.shape.letters.index(letter) * 7 * self.shape.n_wires
        return slice(start, start + 7 * self.shape.n_wires)

    def values_of(self, quaternions: Array, given: Given, kept: Array | None) -> Array:  # noqa: ARG002
        tiles, _, width = quaternions.shape
        values = np.empty((tiles, self.shape.n_wires, width), quaternions.dtype)
        room = np.empty_like(values[0])
        two_blocks(quaternions, given.noise, self._starts, self._neighbours, room, values)
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
        shape = 2 * self.shape.n_wires + self._most, quaternions.shape[2]
        room = np.empty(shape, quaternions.dtype)
        two_blocks_backward(
            quaternions, given.noise, self._starts, self._neighbours, room, grad, into, sums.noise
        )
        return into
