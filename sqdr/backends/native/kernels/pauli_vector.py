"""Noisy circuits: the vector of all Pauli coefficients, kept for each block.

Noise cannot be undone, as gates can. So the vector before each block but the first is kept; the
gradient makes those between the wires of a block anew. A row holds one coefficient of each sample of a
tile; I, Z, X, Y are the digits 0 to 3 of its number, wire 0 first. Where all words are of one wire, of
the last block only their rows matter, which take the coefficients of a Pauli on one wire.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from sqdr.backends.native.kernels.evaluation import Given
from sqdr.backends.native.kernels.matrices import MatrixEvaluation
from sqdr.backends.native.kernels.tiles import Array, add_to
from sqdr.backends.native.pauli_vector import PauliVector, cz_permutation
from sqdr.compilation import kernel
from sqdr.vectors import load, spread, store, zeros_of


@kernel
def pauli_vector(
    matrices: Array,
    n_wires: int,
    source: Array,
    negative: Array,
    shifts: Array,
    turns: Array,
    acts: Array,
    maps: Array,
    factors: Array,
    places: Array,
    of_one: Array,
    room: Array,
    kept: Array,
    values: Array,
) -> None:
    """Values of words.

    Args:
        matrices (Array): as in `matrices`.
        n_wires (int): number of wires.
        source (integer Array of shape (4 ** n_wires,)), negative (Array of bools): of a CZ layer, as
            `cz_permutation` returns them; empty for ZZ.
        shifts (integer Array of shape (pairs, 2)): places of the bits of the digits of each pair of
            ZZ; empty for CZ.
        turns (Array of shape (2, layers * pairs)): as in `Given`.
        acts (Array of bools of shape (layers, noises)): whether something acts on wires before each
            noise on pairs; without columns where there is none.
        maps (Array of shape (12 * layers * noises * n_wires, width)): its transfer matrices, the rows
            Z, X, Y of each.
        factors (Array of shape (layers * noises, 4 ** n_wires)): by which noise on pairs multiplies.
        places (integer Array of shape (words,)): of the words among the coefficients; empty where all
            are of one wire.
        of_one (integer Array of shape (words, 2)): then their wires, and their letters, 0 to 2 for Z, X
            and Y.
        room (Array of shape (4 ** n_wires, width))
        kept (Array of shape (tiles, numbers, width), or without rows): to be written, if it has rows:
            for each layer the vector behind ZZ, if noise on pairs follows it, and that before the next
            block.
        values (Array of shape (tiles, words, width)): to be written.
    """
    size = len(room)
    for tile in range(len(values)):
        of, own = matrices[tile], kept[tile % len(kept)]
        last = len(of) - 12 * n_wires
        _write_ground(room)
        for first in range(0, last, 12 * n_wires):
            for wire in range(n_wires):
                _apply(room, room, size >> 2 * (wire + 1), of, first + 12 * wire)
            layer = first // (12 * n_wires)
            _entangle(room, source, negative)
            _turn_pairs(room, shifts, turns, layer, 1)
            end = (layer + 1) * (len(own) // (last // (12 * n_wires)))
            if len(own) > 0 and len(shifts) > 0 and acts.shape[1] > 0:
                _copy(room, own[end - 2 * size : end - size])
            _add_pair_noise(room, n_wires, layer, acts, maps, factors)
            if len(own) > 0:
                _copy(room, own[end - size : end])
        if len(places) > 0:
            for wire in range(n_wires):
                _apply(room, room, size >> 2 * (wire + 1), of, last + 12 * wire)
            for word in range(len(places)):
                store(values[tile], word, load(room, places[word]))
            continue
        for word in range(len(of_one)):
            value, wire = zeros_of(room), of_one[word, 0]
            row = last + 12 * wire + 4 * of_one[word, 1]
            for pauli in range(4):
                value += load(of, row + pauli) * load(room, pauli * (size >> 2 * (wire + 1)))
            store(values[tile], word, value)


@kernel
def pauli_vector_backward(
    grad: Array,
    matrices: Array,
    n_wires: int,
    source: Array,
    negative: Array,
    shifts: Array,
    turns: Array,
    acts: Array,
    maps: Array,
    factors: Array,
    places: Array,
    of_one: Array,
    kept: Array,
    room: Array,
    grad_matrices: Array,
    grad_turns: Array,
) -> None:
    """Gradient by the matrices, which is written, given that by the values.

    Args:
        grad (Array of shape (tiles, words, width))
        matrices, n_wires, source, negative, shifts, turns, acts, maps, factors, places, of_one, kept:
            as in `pauli_vector`, which has written the last.
        room (Array of shape ((n_wires + 1) * 4 ** n_wires, width))
        grad_matrices (Array): zeros, of the shape of `matrices`.
        grad_turns (Array of shape (2 * layers * pairs, width)): to which that by the turns is added.
    """
    size = len(room) // (n_wires + 1)
    grad_state = room[n_wires * size :]
    for tile in range(len(grad)):
        of, into = matrices[tile], grad_matrices[tile]
        last = len(of) - 12 * n_wires
        of_layer = kept.shape[1] // max(last // (12 * n_wires), 1)
        before = room[:size]
        for row in range(size):
            store(grad_state, row, zeros_of(grad))
        for word in range(len(places)):
            place = places[word]
            store(grad_state, place, load(grad_state, place) + load(grad[tile], word))
        if len(places) == 0:
            if last > 0:
                _copy(kept[tile][kept.shape[1] - size :], before)
            else:
                _write_ground(before)
            for word in range(len(of_one)):
                by_value, wire = load(grad[tile], word), of_one[word, 0]
                for pauli in range(4):
                    row = last + 12 * wire + 4 * of_one[word, 1] + pauli
                    place = pauli * (size >> 2 * (wire + 1))
                    add_to(into, row, by_value * load(before, place))
                    add_to(grad_state, place, by_value * load(of, row))
        for first in range(last if len(places) > 0 else last - 12 * n_wires, -1, -12 * n_wires):
            if first < last:
                layer = first // (12 * n_wires)
                behind = before
                if acts.shape[1] > 0:
                    _undo_pair_noise(grad_state, n_wires, layer, acts, maps, factors)
                    behind = kept[tile][layer * of_layer : layer * of_layer + size]
                _add_turns(behind, grad_state, shifts, turns, layer, grad_turns)
                _turn_pairs(grad_state, shifts, turns, layer, -1)
                _entangle(grad_state, source, negative)
            if first > 0:
                end = first // (12 * n_wires) * of_layer
                _copy(kept[tile][end - size : end], before)
            else:
                _write_ground(before)
            for wire in range(n_wires - 1):
                inner, outer = room[wire * size : (wire + 1) * size], room[(wire + 1) * size :]
                _apply(inner, outer, size >> 2 * (wire + 1), of, first + 12 * wire)
            for wire in range(n_wires - 1, -1, -1):
                inner = room[wire * size : (wire + 1) * size]
                _pull(inner, grad_state, size >> 2 * (wire + 1), of, first + 12 * wire, into)


@kernel
def _write_ground(state: Array) -> None:
    """|0> on every wire: 1 where each digit is 0 or 1, which are I and Z."""
    one = spread(state.dtype.type(1))
    store(state, 0, one)
    filled = 1
    while filled < len(state):
        for row in range(filled):
            store(state, filled + row, load(state, row))
            store(state, 2 * filled + row, one - one)
            store(state, 3 * filled + row, one - one)
        filled *= 4


@kernel
def _copy(of: Array, into: Array) -> None:
    for row in range(len(of)):
        store(into, row, load(of, row))


@kernel
def _entangle(state: Array, source: Array, negative: Array) -> None:
    """Apply a CZ layer, which exchanges rows in pairs."""
    for row in range(len(source)):
        other = source[row]
        if other >= row:
            one, two = load(state, row), load(state, other)
            if negative[row]:
                one, two = -one, -two
            store(state, row, two)
            store(state, other, one)


@kernel
def _turn_pairs(state: Array, shifts: Array, turns: Array, layer: int, sign: int) -> None:
    """Apply ZZ to each pair, as `pauli_vector.zz_layer`; or for the sign -1 undo it."""
    for pair in range(len(shifts)):
        place = layer * len(shifts) + pair
        cos, sin = spread(turns[0, place]), spread(turns.dtype.type(sign) * turns[1, place])
        for row in range(len(state)):
            other = _turned_with(row, shifts[pair, 0], shifts[pair, 1])
            if other > row:
                one, two = load(state, row), load(state, other)
                by = sin if _is_y(row, shifts[pair, 0], shifts[pair, 1]) else -sin
                store(state, row, cos * one + by * two)
                store(state, other, cos * two - by * one)


@kernel
def _add_turns(
    state: Array, grad: Array, shifts: Array, turns: Array, layer: int, grad_turns: Array
) -> None:
    """Add the gradient by the turns of a layer, given the state behind it and the gradient by that.

    All pairs of a layer commute, so that each can be taken for the last.
    """
    for pair in range(len(shifts)):
        place = layer * len(shifts) + pair
        by_angle = zeros_of(state)
        for row in range(len(state)):
            other = _turned_with(row, shifts[pair, 0], shifts[pair, 1])
            if other > row:
                of_two = load(grad, row) * load(state, other) - load(grad, other) * load(state, row)
                if _is_y(row, shifts[pair, 0], shifts[pair, 1]):
                    by_angle += of_two
                else:
                    by_angle -= of_two
        add_to(grad_turns, place, -spread(turns[1, place]) * by_angle)
        add_to(grad_turns, len(grad_turns) // 2 + place, spread(turns[0, place]) * by_angle)


@kernel
def _add_pair_noise(
    state: Array, n_wires: int, layer: int, acts: Array, maps: Array, factors: Array
) -> None:
    for number in range(acts.shape[1]):
        place = layer * acts.shape[1] + number
        if acts[layer, number]:
            for wire in range(n_wires):
                stride = len(state) >> 2 * (wire + 1)
                _apply(state, state, stride, maps, 12 * (place * n_wires + wire))
        for row in range(len(state)):
            store(state, row, factors[place, row] * load(state, row))


@kernel
def _undo_pair_noise(
    grad: Array, n_wires: int, layer: int, acts: Array, maps: Array, factors: Array
) -> None:
    """Take the gradient by a vector back through `_add_pair_noise`."""
    for back in range(acts.shape[1]):
        number = acts.shape[1] - 1 - back
        place = layer * acts.shape[1] + number
        for row in range(len(grad)):
            store(grad, row, factors[place, row] * load(grad, row))
        if acts[layer, number]:
            for wire in range(n_wires):
                stride = len(grad) >> 2 * (wire + 1)
                _apply_back(grad, stride, maps, 12 * (place * n_wires + wire))


@kernel
def _apply_back(grad: Array, stride: int, of: Array, first: int) -> None:
    """Take the gradient by a vector back through `_apply`."""
    for base in range(0, len(grad), 4 * stride):
        for row in range(base, base + stride):
            _pull_row(grad, row, stride, of, first)


@kernel
def _pull_row(grad: Array, row: int, stride: int, of: Array, first: int) -> Any:
    """Take the gradient by four coefficients back through a matrix; returns what it was by Z, X, Y."""
    by_z, by_x = load(grad, row + stride), load(grad, row + 2 * stride)
    by_y = load(grad, row + 3 * stride)
    store(grad, row, load(grad, row) + _column(of, first, by_z, by_x, by_y))
    store(grad, row + stride, _column(of, first + 1, by_z, by_x, by_y))
    store(grad, row + 2 * stride, _column(of, first + 2, by_z, by_x, by_y))
    store(grad, row + 3 * stride, _column(of, first + 3, by_z, by_x, by_y))
    return by_z, by_x, by_y


@kernel
def _turned_with(row: int, first: int, second: int) -> int:
    """The coefficient that ZZ turns one into; itself where both digits are I or Z, or both X or Y."""
    if (row >> first + 1 & 1) == (row >> second + 1 & 1):
        return row
    return row ^ 1 << first ^ 1 << second


@kernel
def _is_y(row: int, first: int, second: int) -> bool:
    """Whether the one digit that is X or Y is Y."""
    return (row >> (first if row >> first + 1 & 1 else second) & 1) == 1


@kernel
def _apply(state: Array, into: Array, stride: int, of: Array, first: int) -> None:
    """Apply a matrix to a wire, whose four coefficients are so many rows apart."""
    for base in range(0, len(state), 4 * stride):
        for row in range(base, base + stride):
            i, z = load(state, row), load(state, row + stride)
            x, y = load(state, row + 2 * stride), load(state, row + 3 * stride)
            store(into, row, i)
            store(into, row + stride, _row(of, first, i, z, x, y))
            store(into, row + 2 * stride, _row(of, first + 4, i, z, x, y))
            store(into, row + 3 * stride, _row(of, first + 8, i, z, x, y))


@kernel
def _row(of: Array, row: int, i: Any, z: Any, x: Any, y: Any) -> Any:
    return load(of, row) * i + load(of, row + 1) * z + load(of, row + 2) * x + load(of, row + 3) * y


@kernel
def _pull(before: Array, grad_state: Array, stride: int, of: Array, first: int, into: Array) -> None:
    """As `_apply_back`, and write the gradient by the matrix."""
    none = zeros_of(of)
    zi, zz, zx, zy = none, none, none, none
    xi, xz, xx, xy = none, none, none, none
    yi, yz, yx, yy = none, none, none, none
    for base in range(0, len(before), 4 * stride):
        for row in range(base, base + stride):
            i, z = load(before, row), load(before, row + stride)
            x, y = load(before, row + 2 * stride), load(before, row + 3 * stride)
            by_z, by_x, by_y = _pull_row(grad_state, row, stride, of, first)
            zi, zz, zx, zy = zi + by_z * i, zz + by_z * z, zx + by_z * x, zy + by_z * y
            xi, xz, xx, xy = xi + by_x * i, xz + by_x * z, xx + by_x * x, xy + by_x * y
            yi, yz, yx, yy = yi + by_y * i, yz + by_y * z, yx + by_y * x, yy + by_y * y
    _write_row(into, first, zi, zz, zx, zy)
    _write_row(into, first + 4, xi, xz, xx, xy)
    _write_row(into, first + 8, yi, yz, yx, yy)


@kernel
def _column(of: Array, row: int, by_z: Any, by_x: Any, by_y: Any) -> Any:
    return load(of, row) * by_z + load(of, row + 4) * by_x + load(of, row + 8) * by_y


@kernel
def _write_row(into: Array, row: int, i: Any, z: Any, x: Any, y: Any) -> None:
    store(into, row, i)
    store(into, row + 1, z)
    store(into, row + 2, x)
    store(into, row + 3, y)


#: What acts before noise on pairs, by which maps, and the factors; as the kernels take them.
PairNoise = tuple[Array, Array, Array]


def _no_pair_noise(dtype: Any, width: int) -> PairNoise:
    return np.empty((0, 0), bool), np.empty((0, width), dtype), np.empty((0, 0), dtype)


class PauliVectorByKernels(MatrixEvaluation):
    """`PauliVector` by kernels."""

    def __init__(self, method: PauliVector) -> None:
        super().__init__(method)
        n_wires, pairs = self.shape.n_wires, self.shape.pairs
        with_cz, with_zz = ((), pairs) if self.shape.has_couplings else (pairs, ())
        self._layer = np.empty(0, int), np.empty(0, bool)
        if with_cz:
            source, signs = cz_permutation(with_cz, n_wires)
            self._layer = source.numpy(), signs.numpy()[:, 0] < 0
        self._shifts = 2 * (n_wires - 1 - np.array(with_zz, int).reshape(-1, 2))
        if self.shape.most_factors == 1:
            self._words = np.empty(0, int), np.array(self.shape.wires_and_letters())
        else:
            self._words = method.places().numpy(), np.empty((0, 2), int)
        self._n_kept = method.vectors_kept()
        self._known_pairs: tuple[tuple[Tensor, Tensor], PairNoise] | None = None

    def kept_numbers(self) -> int:
        return self._n_kept << 2 * self.shape.n_wires

    def values_of_matrices(self, matrices: Array, given: Given, kept: Array | None) -> Array:
        tiles, _, width = matrices.shape
        if kept is None:
            kept = np.empty((1, 0, width), matrices.dtype)
        n_wires = self.shape.n_wires
        room = np.empty((4**n_wires, width), matrices.dtype)
        values = np.empty((tiles, len(self.shape.words), width), matrices.dtype)
        of_layers = *self._layer, self._shifts, given.turns, *self._noise_of_pairs(given, width)
        pauli_vector(matrices, n_wires, *of_layers, *self._words, room, kept, values)
        return values

    def gradient_of_matrices(
        self,
        grad: Array,
        matrices: Array,
        given: Given,
        kept: Array,
        grad_turns: Array,
    ) -> Array:
        n_wires, width = self.shape.n_wires, matrices.shape[2]
        room = np.empty(((n_wires + 1) * 4**n_wires, width), matrices.dtype)
        into = np.zeros_like(matrices)
        of_layers = *self._layer, self._shifts, given.turns, *self._noise_of_pairs(given, width)
        arguments = matrices, n_wires, *of_layers, *self._words, kept, room, into, grad_turns
        pauli_vector_backward(grad, *arguments)
        return into

    def _noise_of_pairs(self, given: Given, width: int) -> PairNoise:
        """Noise on pairs as the kernels take it; it is often the same again."""
        if not given.of_pairs:
            return _no_pair_noise(given.noise.dtype, width)
        maps, factors = given.of_pairs
        if self._known_pairs is not None:
            (of_maps, of_factors), arrays = self._known_pairs
            is_known = of_maps.dtype == maps.dtype and torch.equal(of_maps, maps)
            if is_known and torch.equal(of_factors, factors):
                return arrays
        arrays = self._arrays_of(maps, factors, width)
        self._known_pairs = (maps, factors), arrays
        return arrays

    def _arrays_of(self, maps: Tensor, factors: Tensor, width: int) -> PairNoise:
        n_wires = self.shape.n_wires
        digits = np.arange(4**n_wires) >> 2 * np.arange(n_wires)[::-1, None] & 3
        of_layers = maps[:, :, 0].transpose(0, 1).numpy(force=True)  # layers, noises, wires or 1, 4, 4
        acts = (of_layers != np.eye(4)).any((2, 3, 4))
        shape = *of_layers.shape[:2], n_wires, 4, 4
        rows = np.broadcast_to(of_layers, shape)[..., 1:, :].reshape(-1, 1)
        by_pair = factors[:, :, 0].transpose(0, 1).flatten(0, 1).numpy(force=True)
        products = np.ones((len(by_pair), 4**n_wires), by_pair.dtype)
        for (one, other), of_pair in zip(self.shape.pairs, by_pair.T, strict=True):
            products[:, digits[one] + digits[other] > 0] *= of_pair[:, None]
        return acts, np.repeat(rows, width, 1), products
