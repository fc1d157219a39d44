"""Noisy circuits: the vector of all Pauli coefficients, kept for each block.

Noise cannot be undone, as gates can. So the vector before each block but the first is kept; the
gradient makes those between the wires of a block anew. A row holds one coefficient of each sample of a
tile; I, Z, X, Y are the digits 0 to 3 of its number, wire 0 first. Where <Z> of every wire is all that
is asked for, of the last block only the Z rows matter, which take the coefficients of a Pauli on one
wire.
"""

from typing import Any

import numpy as np

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
    places: Array,
    room: Array,
    kept: Array,
    values: Array,
) -> None:
    """Values of words, or <Z> of every wire if there are none.

    Args:
        matrices (Array): as in `matrices`.
        n_wires (int): number of wires.
        source (integer Array of shape (4 ** n_wires,)), negative (Array of bools): of a CZ layer, as
            `cz_permutation` returns them; empty for ZZ.
        shifts (integer Array of shape (pairs, 2)): places of the bits of the digits of each pair of
            ZZ; empty for CZ.
        turns (Array of shape (2, layers * pairs)): as in `Given`.
        places (integer Array of shape (words,)): of the words among the coefficients.
        room (Array of shape (4 ** n_wires, width))
        kept (Array of shape (tiles, (n_blocks - 1) * 4 ** n_wires, width), or without rows): to be
            written, if it has rows.
        values (Array of shape (tiles, n_wires or words, width)): to be written.
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
            if len(own) > 0:
                start = layer * size
                _copy(room, own[start : start + size])
        if len(places) > 0:
            for wire in range(n_wires):
                _apply(room, room, size >> 2 * (wire + 1), of, last + 12 * wire)
            for word in range(len(places)):
                store(values[tile], word, load(room, places[word]))
            continue
        for wire in range(n_wires):
            value = zeros_of(room)
            for pauli in range(4):
                place = pauli * (size >> 2 * (wire + 1))
                value += load(of, last + 12 * wire + pauli) * load(room, place)
            store(values[tile], wire, value)


@kernel
def pauli_vector_backward(
    grad: Array,
    matrices: Array,
    n_wires: int,
    source: Array,
    negative: Array,
    shifts: Array,
    turns: Array,
    places: Array,
    kept: Array,
    room: Array,
    grad_matrices: Array,
    grad_turns: Array,
) -> None:
    """Gradient by the matrices, which is written, given that by the values.

    Args:
        grad (Array of shape (tiles, n_wires or words, width))
        matrices, n_wires, source, negative, shifts, turns, places, kept: as in `pauli_vector`, which
            has written the last.
        room (Array of shape ((n_wires + 1) * 4 ** n_wires, width))
        grad_matrices (Array): zeros, of the shape of `matrices`.
        grad_turns (Array of shape (2 * layers * pairs, width)): to which that by the turns is added.
    """
    size = len(room) // (n_wires + 1)
    grad_state = room[n_wires * size :]
    for tile in range(len(grad)):
        of, into = matrices[tile], grad_matrices[tile]
        last = len(of) - 12 * n_wires
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
            for wire in range(n_wires):
                by_value = load(grad[tile], wire)
                for pauli in range(4):
                    row, place = last + 12 * wire + pauli, pauli * (size >> 2 * (wire + 1))
                    store(into, row, by_value * load(before, place))
                    store(grad_state, place, load(grad_state, place) + by_value * load(of, row))
        for first in range(last if len(places) > 0 else last - 12 * n_wires, -1, -12 * n_wires):
            if first < last:
                layer = first // (12 * n_wires)
                _add_turns(room[:size], grad_state, shifts, turns, layer, grad_turns)
                _turn_pairs(grad_state, shifts, turns, layer, -1)
                _entangle(grad_state, source, negative)
            if first > 0:
                start = (first // (12 * n_wires) - 1) * size
                _copy(kept[tile][start : start + size], before)
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
    """Take the gradient by a vector back through `_apply`, and write that by the matrix."""
    none = zeros_of(of)
    zi, zz, zx, zy = none, none, none, none
    xi, xz, xx, xy = none, none, none, none
    yi, yz, yx, yy = none, none, none, none
    for base in range(0, len(before), 4 * stride):
        for row in range(base, base + stride):
            i, z = load(before, row), load(before, row + stride)
            x, y = load(before, row + 2 * stride), load(before, row + 3 * stride)
            by_z, by_x = load(grad_state, row + stride), load(grad_state, row + 2 * stride)
            by_y = load(grad_state, row + 3 * stride)
            zi, zz, zx, zy = zi + by_z * i, zz + by_z * z, zx + by_z * x, zy + by_z * y
            xi, xz, xx, xy = xi + by_x * i, xz + by_x * z, xx + by_x * x, xy + by_x * y
            yi, yz, yx, yy = yi + by_y * i, yz + by_y * z, yx + by_y * x, yy + by_y * y
            store(grad_state, row, load(grad_state, row) + _column(of, first, by_z, by_x, by_y))
            store(grad_state, row + stride, _column(of, first + 1, by_z, by_x, by_y))
            store(grad_state, row + 2 * stride, _column(of, first + 2, by_z, by_x, by_y))
            store(grad_state, row + 3 * stride, _column(of, first + 3, by_z, by_x, by_y))
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
        self._places = method.places().numpy() if self.gives_words() else np.empty(0, int)

    def gives_words(self) -> bool:
        return not self.shape.measures_one_letter

    def kept_numbers(self) -> int:
        return (self.shape.n_blocks - 1) << 2 * self.shape.n_wires

    def values_of_matrices(self, matrices: Array, turns: Array, kept: Array | None) -> Array:
        tiles, _, width = matrices.shape
        if kept is None:
            kept = np.empty((1, 0, width), matrices.dtype)
        n_wires, places = self.shape.n_wires, self._places
        room = np.empty((4**n_wires, width), matrices.dtype)
        values = np.empty((tiles, len(places) or n_wires, width), matrices.dtype)
        of_layers = *self._layer, self._shifts, turns
        pauli_vector(matrices, n_wires, *of_layers, places, room, kept, values)
        return values

    def gradient_of_matrices(
        self,
        grad: Array,
        matrices: Array,
        turns: Array,
        kept: Array,
        grad_turns: Array,
    ) -> Array:
        n_wires = self.shape.n_wires
        room = np.empty(((n_wires + 1) * 4**n_wires, matrices.shape[2]), matrices.dtype)
        into = np.zeros_like(matrices)
        given = matrices, n_wires, *self._layer, self._shifts, turns, self._places
        pauli_vector_backward(grad, *given, kept, room, into, grad_turns)
        return into
