"""The rotations of every block on every wire as unit quaternions, and the gradient by their angles.

Rows of a tile's quaternions: block, then wire, then w, x, y, z. See `sqdr.backends.native.rotation`.
"""

from typing import Any

from sqdr.backends.native.kernels.tiles import Array
from sqdr.compilation import kernel
from sqdr.vectors import cosine_and_sine, load, store, zeros_of


@kernel
def rotations(angles: Array, weights: Array, of_weights: Array, quaternions: Array) -> None:
    """Rot(weights) Rot(angles).

    Args:
        angles (Array of shape (tiles, 3 * n_wires, width)): in radians, by wire.
        weights (Array of shape (3 * n_blocks * n_wires, width)): in radians, by block and wire; the
            first column counts. Without rows if their quaternions are there already.
        of_weights (Array of shape (4 * n_blocks * n_wires, width)): their quaternions, to be written.
        quaternions (Array of shape (tiles, 4 * n_blocks * n_wires, width)): to be written.
    """
    n_wires, n_rotations = angles.shape[1] // 3, len(of_weights) // 4
    for place in range(len(weights) // 3):
        w, x, y, z = _quaternion(weights, place)
        store(of_weights, 4 * place, w)
        store(of_weights, 4 * place + 1, x)
        store(of_weights, 4 * place + 2, y)
        store(of_weights, 4 * place + 3, z)
    for tile in range(len(angles)):
        into = quaternions[tile]
        for wire in range(n_wires):
            w, x, y, z = _quaternion(angles[tile], wire)
            for row in range(4 * wire, 4 * n_rotations, 4 * n_wires):
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
    of_weights: Array,
    grad: Array,
    sums: Array,
    grad_angles: Array,
    grad_weights: Array,
) -> None:
    """Gradients by angles and weights, given that of the quaternions.

    Args:
        angles, weights, of_weights (Arrays): as in `rotations`, which has written the last.
        grad (Array): of the shape of the quaternions.
        sums (Array): of the shape of `of_weights`; the gradient by it is added.
        grad_angles, grad_weights (Arrays): to be written; in the latter, which may have no rows if more
            is to be added to `sums`, the first column counts.
    """
    n_wires, n_rotations = angles.shape[1] // 3, len(of_weights) // 4
    width = angles.shape[2]
    none = zeros_of(angles)
    for tile in range(len(angles)):
        of = grad[tile]
        for wire in range(n_wires):
            w, x, y, z = _quaternion(angles[tile], wire)
            grad_w, grad_x, grad_y, grad_z = none, none, none, none
            for row in range(4 * wire, 4 * n_rotations, 4 * n_wires):
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
            _gradient(angles[tile], wire, grad_w, grad_x, grad_y, grad_z, grad_angles[tile])
    if len(grad_weights) == 0:
        return
    for row in range(4 * n_rotations):
        for lane in range(1, width):
            sums[row, 0] += sums[row, lane]
    for place in range(n_rotations):
        g, h = load(sums, 4 * place), load(sums, 4 * place + 1)
        i, j = load(sums, 4 * place + 2), load(sums, 4 * place + 3)
        _gradient(weights, place, g, h, i, j, grad_weights)


@kernel
def _quaternion(angles: Array, place: int) -> Any:
    """Of Rot: phi, theta and omega lie in three rows one after the other."""
    cos_t, sin_t, cos_s, sin_s, cos_d, sin_d = _halves(angles, place)
    return cos_t * cos_s, -(sin_t * sin_d), sin_t * cos_d, cos_t * sin_s


@kernel
def _gradient(
    angles: Array, place: int, grad_w: Any, grad_x: Any, grad_y: Any, grad_z: Any, into: Array
) -> None:
    """Write the gradient by the three angles, given that of the quaternion."""
    cos_t, sin_t, cos_s, sin_s, cos_d, sin_d = _halves(angles, place)
    half = angles.dtype.type(0.5)
    by_t = cos_t * (cos_d * grad_y - sin_d * grad_x) - sin_t * (cos_s * grad_w + sin_s * grad_z)
    by_s = cos_t * (cos_s * grad_z - sin_s * grad_w)
    by_d = sin_t * (cos_d * grad_x + sin_d * grad_y)
    store(into, 3 * place, half * (by_s + by_d))
    store(into, 3 * place + 1, half * by_t)
    store(into, 3 * place + 2, half * (by_s - by_d))


@kernel
def _halves(angles: Array, place: int) -> Any:
    """Cosine and sine of half of theta, of omega + phi and of omega - phi."""
    phi, theta, omega = (
        load(angles, 3 * place),
        load(angles, 3 * place + 1),
        load(angles, 3 * place + 2),
    )
    half = angles.dtype.type(0.5)
    cos_t, sin_t = cosine_and_sine(half * theta)
    cos_s, sin_s = cosine_and_sine(half * (omega + phi))
    cos_d, sin_d = cosine_and_sine(half * (omega - phi))
    return cos_t, sin_t, cos_s, sin_s, cos_d, sin_d
