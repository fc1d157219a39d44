"""The rotations of every block on every wire as unit quaternions, and the gradient by their angles.

Rows of a tile's quaternions: block, then wire, then w, x, y, z. See `sqdr.backends.native.rotation`.
Axes are arrays of the numbers 0, 1 and 2 for X, Y and Z, in the order in which they act.
"""

from typing import Any

import numpy as np

from sqdr.backends.native.kernels.tiles import Array, pack, unpack
from sqdr.compilation import kernel
from sqdr.vectors import cosine_and_sine, load, spread, store, zeros_of


@kernel
def rotations(
    rows: Array,
    weights: Array,
    encoding: Array,
    rotation: Array,
    angles: Array,
    of_weights: Array,
    quaternions: Array,
) -> None:
    """Those of the data, then those of the weights.

    Args:
        rows (Array of shape (samples, letters of encoding * n_turned)): angles of the data in radians,
            by wire, or by block and wire where blocks differ.
        weights (Array of shape (letters of rotation * n_blocks * n_wires,)): in radians, by block and
            wire. Empty if their quaternions are there already.
        encoding, rotation (integer Arrays): axes.
        angles (Array of shape (tiles, letters of encoding * n_turned, width)): the rows, to be written.
        of_weights (Array of shape (4 * n_blocks * n_wires, width)): their quaternions, to be written.
        quaternions (Array of shape (tiles, 4 * n_blocks * n_wires, width)): to be written.
    """
    n_turned, n_rotations = angles.shape[1] // len(encoding), len(of_weights) // 4
    width = angles.shape[2]
    room = np.empty((2 * max(len(encoding), len(rotation)), width), angles.dtype)
    own = np.empty((len(rotation), width), angles.dtype)
    for place in range(len(weights) // len(rotation)):
        _spread(weights, place, own)
        w, x, y, z = _quaternion(own, 0, rotation, room)
        store(of_weights, 4 * place, w)
        store(of_weights, 4 * place + 1, x)
        store(of_weights, 4 * place + 2, y)
        store(of_weights, 4 * place + 3, z)
    for tile in range(len(angles)):
        into = quaternions[tile]
        pack(rows, tile, angles[tile])
        for turned in range(n_turned):
            w, x, y, z = _quaternion(angles[tile], turned, encoding, room)
            for row in range(4 * turned, 4 * n_rotations, 4 * n_turned):
                a, b = of_weights[row, 0], of_weights[row + 1, 0]
                c, d = of_weights[row + 2, 0], of_weights[row + 3, 0]
                store(into, row, a * w - b * x - c * y - d * z)
                store(into, row + 1, b * w + a * x - d * y + c * z)
                store(into, row + 2, c * w + d * x + a * y - b * z)
                store(into, row + 3, d * w - c * x + b * y + a * z)


@kernel
def rotations_backward(
    angles: Array,
    weights: Array,
    encoding: Array,
    rotation: Array,
    of_weights: Array,
    grad: Array,
    sums: Array,
    grad_rows: Array,
    grad_weights: Array,
) -> None:
    """Gradients by angles and weights, given that of the quaternions.

    Args:
        angles, weights, encoding, rotation, of_weights (Arrays): as in `rotations`, which has written
            the first and the last.
        grad (Array): of the shape of the quaternions.
        sums (Array): of the shape of `of_weights`; the gradient by it is added.
        grad_rows (Array of shape (samples, letters of encoding * n_turned)): to be written.
        grad_weights (Array): of the shape of the weights, to be written; or empty if more is to be
            added to `sums` first.
    """
    n_turned, n_rotations = angles.shape[1] // len(encoding), len(of_weights) // 4
    width = angles.shape[2]
    none = zeros_of(angles)
    room = np.empty((2 * max(len(encoding), len(rotation)), width), angles.dtype)
    grad_angles = np.empty(angles.shape[1:], angles.dtype)
    own = np.empty((len(rotation), width), angles.dtype)
    grad_own = np.empty_like(own)
    for tile in range(len(angles)):
        of = grad[tile]
        for turned in range(n_turned):
            w, x, y, z = _quaternion(angles[tile], turned, encoding, room)
            grad_w, grad_x, grad_y, grad_z = none, none, none, none
            for row in range(4 * turned, 4 * n_rotations, 4 * n_turned):
                a, b = of_weights[row, 0], of_weights[row + 1, 0]
                c, d = of_weights[row + 2, 0], of_weights[row + 3, 0]
                g, h, i, j = load(of, row), load(of, row + 1), load(of, row + 2), load(of, row + 3)
                grad_w += a * g + b * h + c * i + d * j
                grad_x += a * h - b * g + d * i - c * j
                grad_y += a * i - c * g - d * h + b * j
                grad_z += a * j - d * g + c * h - b * i
                store(sums, row, load(sums, row) + w * g + x * h + y * i + z * j)
                store(sums, row + 1, load(sums, row + 1) + w * h - x * g - z * i + y * j)
                store(sums, row + 2, load(sums, row + 2) + w * i - y * g + z * h - x * j)
                store(sums, row + 3, load(sums, row + 3) + w * j - z * g - y * h + x * i)
            found = w, x, y, z, grad_w, grad_x, grad_y, grad_z
            _gradient(turned, encoding, room, *found, grad_angles)
        unpack(grad_angles, tile, grad_rows)
    if len(grad_weights) == 0:
        return
    for row in range(4 * n_rotations):
        for lane in range(1, width):
            sums[row, 0] += sums[row, lane]
    for place in range(n_rotations):
        row = 4 * place
        _spread(weights, place, own)
        w, x, y, z = _quaternion(own, 0, rotation, room)
        g, h, i, j = load(sums, row), load(sums, row + 1), load(sums, row + 2), load(sums, row + 3)
        _gradient(0, rotation, room, w, x, y, z, g, h, i, j, grad_own)
        for letter in range(len(rotation)):
            grad_weights[place * len(rotation) + letter] = grad_own[letter, 0]


@kernel
def quarter_turn(quaternions: Array, n_wires: int, letter: int, sign: int, into: Array) -> None:
    """Write quaternions, those of the last block as `behind_quarter_turn`; for the sign -1 undone."""
    half = quaternions.dtype.type(0.5) ** quaternions.dtype.type(0.5)
    for tile in range(len(quaternions)):
        of, to = quaternions[tile], into[tile]
        first = len(of) - 4 * n_wires
        for row in range(first):
            store(to, row, load(of, row))
        cos = spread(half)
        sin = cos if sign > 0 else -cos
        for row in range(first, len(of), 4):
            w, x, y, z = load(of, row), load(of, row + 1), load(of, row + 2), load(of, row + 3)
            w, x, y, z = behind_quarter_turn(letter, cos, sin, w, x, y, z)
            store(to, row, w)
            store(to, row + 1, x)
            store(to, row + 2, y)
            store(to, row + 3, z)


@kernel
def behind_quarter_turn(letter: int, cos: Any, sin: Any, w: Any, x: Any, y: Any, z: Any) -> Any:
    """A rotation with the quarter turn behind which a letter, 0 to 2 for Z, X and Y, is Z.

    Cosine and sine are of half the turn; a negative sine undoes it.
    """
    if letter == 1:
        return _about_axis(1, cos, -sin, w, x, y, z)
    if letter == 2:
        return _about_axis(0, cos, sin, w, x, y, z)
    return w, x, y, z


@kernel
def _spread(weights: Array, place: int, into: Array) -> None:
    """Write the weights of a rotation (Array of shape (letters, width)), each in all lanes."""
    for letter in range(len(into)):
        store(into, letter, spread(weights[place * len(into) + letter]))


@kernel
def _quaternion(angles: Array, place: int, axes: Array, room: Array) -> Any:
    """Of rotations about axes; the angles lie in as many rows one after the other.

    The cosine and the sine of half of each angle are left in `room`.
    """
    half, first = angles.dtype.type(0.5), place * len(axes)
    cos, sin = cosine_and_sine(half * load(angles, first))
    store(room, 0, cos)
    store(room, 1, sin)
    none = zeros_of(angles)
    w, x, y, z = cos, none, none, none
    if axes[0] == 0:
        x = sin
    elif axes[0] == 1:
        y = sin
    else:
        z = sin
    for letter in range(1, len(axes)):
        cos, sin = cosine_and_sine(half * load(angles, first + letter))
        store(room, 2 * letter, cos)
        store(room, 2 * letter + 1, sin)
        w, x, y, z = _about_axis(axes[letter], cos, sin, w, x, y, z)
    return w, x, y, z


@kernel
def _gradient(
    place: int,
    axes: Array,
    room: Array,
    w: Any,
    x: Any,
    y: Any,
    z: Any,
    grad_w: Any,
    grad_x: Any,
    grad_y: Any,
    grad_z: Any,
    into: Array,
) -> None:
    """Write the gradient by the angles, given that of the quaternion; the last turn is undone first."""
    half, first = into.dtype.type(0.5), place * len(axes)
    for back in range(len(axes)):
        letter = len(axes) - 1 - back
        if axes[letter] == 0:
            by_angle = grad_x * w - grad_w * x + grad_z * y - grad_y * z
        elif axes[letter] == 1:
            by_angle = grad_y * w - grad_w * y + grad_x * z - grad_z * x
        else:
            by_angle = grad_z * w - grad_w * z + grad_y * x - grad_x * y
        store(into, first + letter, half * by_angle)
        if letter > 0:
            cos, sin = load(room, 2 * letter), load(room, 2 * letter + 1)
            w, x, y, z = _about_axis(axes[letter], cos, -sin, w, x, y, z)
            grad_w, grad_x, grad_y, grad_z = _about_axis(
                axes[letter], cos, -sin, grad_w, grad_x, grad_y, grad_z
            )


@kernel
def _about_axis(axis: int, cos: Any, sin: Any, w: Any, x: Any, y: Any, z: Any) -> Any:
    """The product (cos + sin times the unit of an axis) (w, x, y, z)."""
    if axis == 0:
        return cos * w - sin * x, cos * x + sin * w, cos * y - sin * z, cos * z + sin * y
    if axis == 1:
        return cos * w - sin * y, cos * x + sin * z, cos * y + sin * w, cos * z - sin * x
    return cos * w - sin * z, cos * x - sin * y, cos * y + sin * x, cos * z + sin * w
