"""Noiseless circuits: the statevector, differentiated by undoing each gate.

The gradient takes the last state back gate by gate, since gates are unitary, and the gradient by the
state along with it, so that no state but the last is kept (adjoint differentiation: Jones and Gacon,
arXiv 2009.02823). Real and imaginary parts lie in rows, the former first. A row holds one amplitude of
each sample of a tile. Or, where samples are few or states are large, each sample is a tile of its own,
and a row holds amplitudes that differ in the last wires, the inner ones: two or three. That is for CZ
and <Z> of every wire alone.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from sqdr.ansatz import PauliWord
from sqdr.backends.native.kernels.evaluation import Given, KernelEvaluation, Sums
from sqdr.backends.native.kernels.rotations import quarter_turn
from sqdr.backends.native.kernels.tiles import Array, each_alone, tiled
from sqdr.backends.native.statevector import Statevector, action_of, cz_signs
from sqdr.compilation import kernel
from sqdr.vectors import alternating, load, spread, store, swapped, zeros_of

#: From so many wires on, each sample is a tile of its own, so that the state fits into caches,
_LARGE = 12
#: and from so many on if there are few samples.
_WORTH_ROWS, _FEW = 5, 4


@kernel
def statevector(
    quaternions: Array,
    n_wires: int,
    n_inner: int,
    signs: Array,
    phases: Array,
    words: tuple[Array, Array, Array],
    states: Array,
    room: Array,
    values: Array,
) -> None:
    """Values of words, or <Z> of every wire if there are none.

    Those of inner wires are vectors whose numbers are to be added up.

    Args:
        quaternions (Array of shape (tiles, 4 * n_blocks * n_wires, width)): by block and wire.
        n_wires, n_inner (int): number of wires, and of inner wires.
        signs (Array of shape (2 ** (n_wires - n_inner), width)): the diagonal of a CZ layer.
        phases (Array of shape (2, layers, len(signs))): cosines and sines of the angles by which layers
            of ZZ turn amplitudes backwards; without layers for CZ.
        words (Arrays): as `_tables_of_words` returns them.
        states (Array of shape (tiles or 1, 2 * len(signs), width)): to be written, the last states.
        room (Array): of the shape of `signs`.
        values (Array of shape (tiles, n_wires or words, width)): to be written.
    """
    flips, odds, word_signs = words
    size, layers = len(signs), phases.shape[1]
    n_outer = n_wires - n_inner
    for tile in range(len(values)):
        state, of, into = states[tile % len(states)], quaternions[tile], values[tile]
        re, im = state[:size], state[size:]
        for row in range(2 * size):
            store(state, row, zeros_of(of))
        for lane in range(1 if n_inner > 0 else of.shape[1]):
            re[0, lane] = 1
        for first in range(0, len(of), 4 * n_wires):
            if first > 0 and layers > 0:
                layer = first // (4 * n_wires) - 1
                _turn_phases(re, im, phases[0, layer], phases[1, layer], 1)
            elif first > 0:
                _multiply(re, im, signs)
            for wire in range(n_wires):
                row = first + 4 * wire
                w, x, y, z = load(of, row), load(of, row + 1), load(of, row + 2), load(of, row + 3)
                if wire < n_outer:
                    _turn(re, im, size >> wire + 1, w, x, y, z)
                else:
                    _turn_inner(re, im, 1 << n_wires - 1 - wire, w, x, y, z)
        for word in range(len(flips)):
            store(into, word, _value_of(re, im, flips[word], odds[word], word_signs[word]))
        if len(flips) > 0:
            continue
        for row in range(size):
            real, imaginary = load(re, row), load(im, row)
            store(room, row, real * real + imaginary * imaginary)
        for wire in range(n_outer):
            store(into, wire, _fold(room, size >> wire + 1))
        for wire in range(n_outer, n_wires):
            store(into, wire, _signed(load(room, 0), 1 << n_wires - 1 - wire))


@kernel
def statevector_backward(
    grad: Array,
    quaternions: Array,
    n_wires: int,
    n_inner: int,
    signs: Array,
    phases: Array,
    pair_signs: Array,
    words: tuple[Array, Array, Array],
    states: Array,
    room: Array,
    grad_quaternions: Array,
    grad_couplings: Array,
) -> None:
    """Gradient by the quaternions, as vectors like the values, given that by the values.

    Args:
        grad (Array of shape (tiles, n_wires or words, width))
        quaternions, n_wires, n_inner, signs, phases, words, states: as in `statevector`, which has
            written the last.
        pair_signs (Array of shape (pairs, len(signs))): diagonals of Z Z of each pair.
        room (Array of shape (5 * len(signs), width))
        grad_quaternions (Array): of the shape of `quaternions`, to be written.
        grad_couplings (Array of shape (layers * pairs, width)): to which that by the angles of ZZ is
            added.
    """
    flips, odds, word_signs = words
    size, layers = len(signs), phases.shape[1]
    n_outer = n_wires - n_inner
    re, im, grad_re, grad_im, products = (
        room[:size],
        room[size : 2 * size],
        room[2 * size : 3 * size],
        room[3 * size : 4 * size],
        room[4 * size :],
    )
    two = grad.dtype.type(2)
    for tile in range(len(grad)):
        of, into, state = quaternions[tile], grad_quaternions[tile], states[tile]
        for row in range(2 * size):
            store(room, row, load(state, row))
        if len(flips) > 0:
            for row in range(size):
                store(grad_re, row, zeros_of(grad))
                store(grad_im, row, zeros_of(grad))
            for word in range(len(flips)):
                by_word = two * load(grad[tile], word)
                sign = word_signs[word]
                _add_word(re, im, grad_re, grad_im, flips[word], odds[word], sign, by_word)
        else:
            # What the observables, each times its gradient, are for each amplitude.
            sums = zeros_of(grad)
            for wire in range(n_outer, n_wires):
                sums += _signed(load(grad[tile], wire), 1 << n_wires - 1 - wire)
            store(grad_re, 0, sums)
            for wire in range(n_outer - 1, -1, -1):
                half, by_wire = size >> wire + 1, load(grad[tile], wire)
                for row in range(half):
                    store(grad_re, row + half, load(grad_re, row) - by_wire)
                    store(grad_re, row, load(grad_re, row) + by_wire)
            for row in range(size):
                sums = two * load(grad_re, row)
                store(grad_re, row, sums * load(re, row))
                store(grad_im, row, sums * load(im, row))
        for first in range(len(of) - 4 * n_wires, -1, -4 * n_wires):
            for wire in range(n_wires):
                row = first + 4 * wire
                w, x, y, z = load(of, row), load(of, row + 1), load(of, row + 2), load(of, row + 3)
                if wire < n_outer:
                    grads = _undo(re, im, grad_re, grad_im, size >> wire + 1, w, x, y, z)
                else:
                    distance = 1 << n_wires - 1 - wire
                    grads = _undo_inner(re, im, grad_re, grad_im, distance, w, x, y, z)
                store(into, row, grads[0])
                store(into, row + 1, grads[1])
                store(into, row + 2, grads[2])
                store(into, row + 3, grads[3])
            if first > 0 and layers > 0:
                layer = first // (4 * n_wires) - 1
                _turn_phases(re, im, phases[0, layer], phases[1, layer], -1)
                _turn_phases(grad_re, grad_im, phases[0, layer], phases[1, layer], -1)
                for row in range(size):
                    forwards = load(grad_re, row) * load(im, row)
                    store(products, row, forwards - load(grad_im, row) * load(re, row))
                for pair in range(len(pair_signs)):
                    by_angle = _halved_sum(products, pair_signs[pair])
                    place = layer * len(pair_signs) + pair
                    store(grad_couplings, place, load(grad_couplings, place) + by_angle)
            elif first > 0:
                _multiply(re, im, signs)
                _multiply(grad_re, grad_im, signs)


@kernel
def _turn_phases(re: Array, im: Array, cosines: Array, sines: Array, sign: int) -> None:
    """Multiply amplitudes by cosine - i sine, or for the sign -1 by cosine + i sine."""
    for row in range(len(cosines)):
        cos, sin = spread(cosines[row]), spread(cosines.dtype.type(sign) * sines[row])
        a, b = load(re, row), load(im, row)
        store(re, row, cos * a + sin * b)
        store(im, row, cos * b - sin * a)


@kernel
def _halved_sum(products: Array, signs: Array) -> Any:
    total, half = zeros_of(products), signs.dtype.type(0.5)
    for row in range(len(signs)):
        total += spread(half * signs[row]) * load(products, row)
    return total


@kernel
def _value_of(re: Array, im: Array, flip: int, is_odd: bool, signs: Array) -> Any:
    """Of a word, which takes an amplitude to where the bits of `flip` differ, with a sign."""
    total = zeros_of(re)
    for row in range(len(signs)):
        other, sign = row ^ flip, spread(signs[row])
        if is_odd:
            part = load(re, row) * load(im, other) - load(im, row) * load(re, other)
        else:
            part = load(re, row) * load(re, other) + load(im, row) * load(im, other)
        total += sign * part
    return total


@kernel
def _add_word(
    re: Array,
    im: Array,
    grad_re: Array,
    grad_im: Array,
    flip: int,
    is_odd: bool,
    signs: Array,
    by_word: Any,
) -> None:
    """Add the gradient by the amplitudes of `_value_of`, half that by its value given."""
    for row in range(len(signs)):
        other, by = row ^ flip, spread(signs[row]) * by_word
        if is_odd:
            store(grad_re, row, load(grad_re, row) + by * load(im, other))
            store(grad_im, row, load(grad_im, row) - by * load(re, other))
        else:
            store(grad_re, row, load(grad_re, row) + by * load(re, other))
            store(grad_im, row, load(grad_im, row) + by * load(im, other))


@kernel
def _multiply(re: Array, im: Array, signs: Array) -> None:
    for row in range(len(signs)):
        store(re, row, load(signs, row) * load(re, row))
        store(im, row, load(signs, row) * load(im, row))


@kernel
def _fold(room: Array, half: int) -> Any:
    """Sum of the first half of the rows less that of the second, which is then added to the first."""
    difference = zeros_of(room)
    for row in range(half):
        first, second = load(room, row), load(room, row + half)
        difference += first - second
        store(room, row, first + second)
    return difference


@kernel
def _turn(re: Array, im: Array, stride: int, w: Any, x: Any, y: Any, z: Any) -> None:
    """Apply w - i (x X + y Y + z Z) to a wire, whose two values are so many rows apart."""
    for base in range(0, len(re), 2 * stride):
        for k in range(base, base + stride):
            a, b, c, d = load(re, k), load(im, k), load(re, k + stride), load(im, k + stride)
            store(re, k, w * a + z * b - y * c + x * d)
            store(im, k, w * b - z * a - y * d - x * c)
            store(re, k + stride, y * a + x * b + w * c - z * d)
            store(im, k + stride, y * b - x * a + w * d + z * c)


@kernel
def _undo(
    re: Array, im: Array, grad_re: Array, grad_im: Array, stride: int, w: Any, x: Any, y: Any, z: Any
) -> Any:
    """Take a state, and the gradient by it, back through `_turn`; the gradients by w, x, y, z."""
    none = zeros_of(re)
    grad_w, grad_x, grad_y, grad_z = none, none, none, none
    for base in range(0, len(re), 2 * stride):
        for k in range(base, base + stride):
            e, f, g, h = load(re, k), load(im, k), load(re, k + stride), load(im, k + stride)
            a, b = w * e - z * f + y * g - x * h, w * f + z * e + y * h + x * g
            c, d = w * g - y * e - x * f + z * h, w * h - y * f + x * e - z * g
            store(re, k, a)
            store(im, k, b)
            store(re, k + stride, c)
            store(im, k + stride, d)
            e, f = load(grad_re, k), load(grad_im, k)
            g, h = load(grad_re, k + stride), load(grad_im, k + stride)
            grad_w += e * a + f * b + g * c + h * d
            grad_x += e * d - f * c + g * b - h * a
            grad_y += g * a - e * c - f * d + h * b
            grad_z += e * b - f * a - g * d + h * c
            store(grad_re, k, w * e - z * f + y * g - x * h)
            store(grad_im, k, w * f + z * e + y * h + x * g)
            store(grad_re, k + stride, w * g - y * e - x * f + z * h)
            store(grad_im, k + stride, w * h - y * f + x * e - z * g)
    return grad_w, grad_x, grad_y, grad_z


@kernel
def _turn_inner(re: Array, im: Array, distance: int, w: Any, x: Any, y: Any, z: Any) -> None:
    """`_turn` of a wire whose two values are so many places of a row apart."""
    y, z = _signed(y, distance), _signed(z, distance)
    for row in range(len(re)):
        a, b = load(re, row), load(im, row)
        c, d = _exchanged(a, distance), _exchanged(b, distance)
        store(re, row, w * a + z * b - y * c + x * d)
        store(im, row, w * b - z * a - y * d - x * c)


@kernel
def _undo_inner(
    re: Array, im: Array, grad_re: Array, grad_im: Array, distance: int, w: Any, x: Any, y: Any, z: Any
) -> Any:
    """`_undo` of `_turn_inner`."""
    none = zeros_of(re)
    grad_w, grad_x, grad_y, grad_z = none, none, none, none
    y, z = _signed(y, distance), _signed(z, distance)
    for row in range(len(re)):
        e, f = load(re, row), load(im, row)
        g, h = _exchanged(e, distance), _exchanged(f, distance)
        a, b = w * e - z * f + y * g - x * h, w * f + z * e + y * h + x * g
        c, d = _exchanged(a, distance), _exchanged(b, distance)
        store(re, row, a)
        store(im, row, b)
        e, f = load(grad_re, row), load(grad_im, row)
        g, h = _exchanged(e, distance), _exchanged(f, distance)
        grad_w += e * a + f * b
        grad_x += e * d - f * c
        grad_y -= e * c + f * d
        grad_z += e * b - f * a
        store(grad_re, row, w * e - z * f + y * g - x * h)
        store(grad_im, row, w * f + z * e + y * h + x * g)
    return grad_w, grad_x, _signed(grad_y, distance), _signed(grad_z, distance)


@kernel
def _exchanged(vector: Any, distance: int) -> Any:
    if distance == 1:
        return swapped(vector, 1)
    if distance == 2:
        return swapped(vector, 2)
    return swapped(vector, 4)


@kernel
def _signed(vector: Any, distance: int) -> Any:
    """The vector, negated where an inner wire is 1."""
    if distance == 1:
        return alternating(vector, 1)
    if distance == 2:
        return alternating(vector, 2)
    return alternating(vector, 4)


class StatevectorByKernels(KernelEvaluation):
    """`Statevector` by kernels."""

    def __init__(self, method: Statevector) -> None:
        super().__init__(method)
        shape = self.shape
        self._signs = cz_signs(shape.pairs, shape.n_wires).numpy()
        pairs = [((a, "Z"), (b, "Z")) for a, b in shape.pairs] if shape.has_couplings else []
        _, _, self._pair_signs = _tables_of_words(pairs, shape.n_wires)
        #: The one letter that is measured, and on which wires; else there are tables of words.
        self._letter = shape.letters[0] if shape.measures_one_letter else None
        self._wires = np.array([wire for wire, _ in shape.wires_and_letters()] if self._letter else [])
        self._words = _tables_of_words(() if self._letter else shape.words, shape.n_wires)
        self._in_dtype: dict[Any, tuple[tuple[Array, Array, Array], Array]] = {}

    def kept_numbers(self) -> int:
        return 2 << self.shape.n_wires

    def takes_samples_alone(self, size: int) -> bool:
        n_wires = self.shape.n_wires
        if self.shape.has_couplings or not self._letter:
            return False
        return n_wires >= _LARGE or (n_wires >= _WORTH_ROWS and size < _FEW)

    def values_of(self, quaternions: Array, given: Given, kept: Array | None) -> Array:
        alone = given.alone
        quaternions = self._turned(quaternions)
        signs, n_inner = self._signs_of(quaternions, alone)
        if alone:
            quaternions = each_alone(quaternions, alone)
        states = np.empty((1, 2 * len(signs), signs.shape[1]), signs.dtype) if kept is None else kept
        n_wires, n_words = self.shape.n_wires, len(self._words[0])
        values = np.empty((len(quaternions), n_words or n_wires, signs.shape[1]), signs.dtype)
        phases, words, _ = self._tables(given, signs.dtype)
        room = np.empty_like(signs)
        statevector(quaternions, n_wires, n_inner, signs, phases, words, states, room, values)
        values = tiled(values.sum(2)) if alone else values
        return values if self._measures_each_wire() else np.ascontiguousarray(values[:, self._wires])

    def gradient_of(
        self, grad: Array, quaternions: Array, given: Given, kept: Array, sums: Sums
    ) -> Array:
        alone = given.alone
        quaternions = self._turned(quaternions)
        signs, n_inner = self._signs_of(quaternions, alone)
        if not self._measures_each_wire():
            by_words, grad = grad, np.zeros((len(grad), self.shape.n_wires, grad.shape[2]), grad.dtype)
            np.add.at(grad.swapaxes(0, 1), self._wires, by_words.swapaxes(0, 1))
        if alone:
            grad, quaternions = each_alone(grad, alone), each_alone(quaternions, alone)
        into = np.empty_like(quaternions)
        room = np.empty((5 * len(signs), signs.shape[1]), signs.dtype)
        phases, words, pair_signs = self._tables(given, signs.dtype)
        by_angles = np.zeros((given.turns.shape[1], signs.shape[1]), signs.dtype)
        statevector_backward(
            grad,
            quaternions,
            self.shape.n_wires,
            n_inner,
            signs,
            phases,
            pair_signs,
            words,
            kept,
            room,
            into,
            by_angles,
        )
        if len(pair_signs) > 0:
            cosines, sines = given.turns[:, :, None]
            sums.turns[...] += np.concatenate((-sines * by_angles, cosines * by_angles))
        return self._turned(tiled(into.sum(2)) if alone else into, back=True)

    def _measures_each_wire(self) -> bool:
        return not self._letter or np.array_equal(self._wires, np.arange(self.shape.n_wires))

    def _turned(self, quaternions: Array, *, back: bool = False) -> Array:
        """With the last block's quarter turn behind which the letter is Z; or turned back."""
        if self._letter is None or self._letter == "Z":
            return quaternions
        letter, turned = "ZXY".index(self._letter), np.empty_like(quaternions)
        quarter_turn(quaternions, self.shape.n_wires, letter, -1 if back else 1, turned)
        return turned

    def _tables(self, given: Given, dtype: Any) -> tuple[Array, tuple[Array, Array, Array], Array]:
        """Phases of layers of ZZ, tables of words and diagonals of pairs, as the kernels take them."""
        if dtype not in self._in_dtype:
            flips, odds, word_signs = self._words
            of_dtype = (flips, odds, word_signs.astype(dtype)), self._pair_signs.astype(dtype)
            self._in_dtype[dtype] = of_dtype
        words, pair_signs = self._in_dtype[dtype]
        phases = np.empty((2, 0, 0), dtype)
        if len(pair_signs) > 0:
            angles = np.arctan2(given.turns[1], given.turns[0]).astype(float)
            halves = angles.reshape(-1, len(pair_signs)) / 2 @ self._pair_signs
            phases = np.stack((np.cos(halves), np.sin(halves))).astype(dtype)
        return phases, words, pair_signs

    def _signs_of(self, quaternions: Array, alone: int) -> tuple[Array, int]:
        """The diagonal of a CZ layer as the kernels take it, and the number of inner wires."""
        width, signs = quaternions.shape[2], self._signs.astype(quaternions.dtype)
        if alone:
            return signs.reshape(-1, width), width.bit_length() - 1
        return np.repeat(signs, width, 1), 0


def _tables_of_words(words: Sequence[PauliWord], n_wires: int) -> tuple[Array, Array, Array]:
    """What a word does to a statevector.

    Returns:
        integer Array of shape (words,): bits of the number of an amplitude that X and Y flip; Array of
        bools: whether the number of Y is odd; Array of shape (words, 2 ** n_wires): signs.
    """
    actions = [action_of(word, n_wires) for word in words]
    signs = np.array([each.numpy() for _, _, each in actions]).reshape(len(words), 2**n_wires)
    flips, odds = ([action[part] for action in actions] for part in (0, 1))
    return np.array(flips, int), np.array(odds, bool), signs
