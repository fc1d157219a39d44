"""Transfer matrices of every block on every wire, noise included, and methods that take circuits so.

Rows of a tile's matrices: block, then wire, then the rows Z, X, Y of the matrix, then its columns I, Z,
X, Y. Rows of its noise: the numbers of `noise_of_matrices`, each of all wires.
"""

from abc import abstractmethod
from typing import Any

import numpy as np

from sqdr.backends.native.kernels.evaluation import Given, KernelEvaluation, Sums
from sqdr.backends.native.kernels.tiles import Array, add_to
from sqdr.backends.native.method import Shape
from sqdr.compilation import kernel
from sqdr.vectors import load, store, zeros_of


class MatrixEvaluation(KernelEvaluation):
    """A `MatrixMethod` by kernels."""

    @abstractmethod
    def values_of_matrices(self, matrices: Array, given: Given, kept: Array | None) -> Array:
        """Values (Array of shape (tiles, words, width)); what is given and kept as in `values_of`."""

    @abstractmethod
    def gradient_of_matrices(
        self, grad: Array, matrices: Array, given: Given, kept: Array, grad_turns: Array
    ) -> Array:
        """Gradient by the matrices, given that by the values; that by turns is added, as in `Sums`."""

    def values_of(self, quaternions: Array, given: Given, kept: Array | None) -> Array:
        of_matrices = _matrices_of(quaternions, given, self.shape.n_wires)
        return self.values_of_matrices(of_matrices, given, kept)

    def gradient_of(
        self, grad: Array, quaternions: Array, given: Given, kept: Array, sums: Sums
    ) -> Array:
        of_matrices = _matrices_of(quaternions, given, self.shape.n_wires)
        of_matrices = self.gradient_of_matrices(grad, of_matrices, given, kept, sums.turns)
        into = np.empty_like(quaternions)
        arguments = of_matrices, quaternions, given.noise
        if given.has_general_noise:
            general_matrices_backward(*arguments, into, sums.noise)
        else:
            matrices_backward(*arguments, self.shape.n_wires, into, sums.noise)
        return into


def words_of_wires(shape: Shape) -> tuple[Array, Array, Array]:
    """Words of one wire by their wires.

    Returns:
        integer Arrays: starts, places and letters. The words of a wire are `places[starts[wire] :
        starts[wire + 1]]`, and their letters, 0 to 2 for Z, X and Y, likewise.
    """
    wires, letters = np.array(shape.wires_and_letters()).T
    places = np.argsort(wires, kind="stable")
    return np.searchsorted(wires[places], np.arange(shape.n_wires + 1)), places, letters[places]


def _matrices_of(quaternions: Array, given: Given, n_wires: int) -> Array:
    tiles, rows, width = quaternions.shape
    into = np.empty((tiles, 3 * rows, width), quaternions.dtype)
    if given.has_general_noise:
        general_matrices(quaternions, given.noise, into)
    else:
        matrices(quaternions, given.noise, n_wires, into)
    return into


@kernel
def matrices(quaternions: Array, noise: Array, n_wires: int, into: Array) -> None:
    """Write the transfer matrices.

    Args:
        quaternions (Array of shape (tiles, 4 * n_blocks * n_wires, width)): by block and wire.
        noise (Array of shape (tiles or 1, 8 * n_blocks * n_wires, width)): as above.
        n_wires (int): number of wires.
        into (Array of shape (tiles, 12 * n_blocks * n_wires, width)): as above.
    """
    for tile in range(len(quaternions)):
        by, of = noise[tile % len(noise)], into[tile]
        for place in range(quaternions.shape[1] // 4):
            r_zz, r_zx, r_zy, r_xz, r_xx, r_xy, r_yz, r_yx, r_yy = _rotation(quaternions[tile], place)
            first = place // n_wires * 8 * n_wires + place % n_wires
            row = 12 * place
            _write_row(of, row, r_zz, r_zx, r_zy, by, first, n_wires, 4)
            _write_row(of, row + 4, r_xz, r_xx, r_xy, by, first, n_wires, 5)
            _write_row(of, row + 8, r_yz, r_yx, r_yy, by, first, n_wires, 6)
            store(of, row, load(of, row) + load(by, first + 7 * n_wires))


@kernel
def matrices_backward(
    grad: Array, quaternions: Array, noise: Array, n_wires: int, into: Array, grad_noise: Array
) -> None:
    """Write the gradient by the quaternions, and add that by the noise if `grad_noise` has rows."""
    for tile in range(len(quaternions)):
        by, of, own = noise[tile % len(noise)], grad[tile], quaternions[tile]
        sums = grad_noise[tile % len(noise)]
        for place in range(quaternions.shape[1] // 4):
            r_zz, r_zx, r_zy, r_xz, r_xx, r_xy, r_yz, r_yx, r_yy = _rotation(own, place)
            first = place // n_wires * 8 * n_wires + place % n_wires
            row = 12 * place
            if len(sums) > 0:
                _add_of_row(of, row, r_zz, r_zx, r_zy, by, first, n_wires, 4, sums)
                _add_of_row(of, row + 4, r_xz, r_xx, r_xy, by, first, n_wires, 5, sums)
                _add_of_row(of, row + 8, r_yz, r_yx, r_yy, by, first, n_wires, 6, sums)
                last = first + 7 * n_wires
                store(sums, last, load(sums, last) + load(of, row))
            g_zz, g_zx, g_zy = _of_rotation(of, row, by, first, n_wires, 4)
            g_xz, g_xx, g_xy = _of_rotation(of, row + 4, by, first, n_wires, 5)
            g_yz, g_yx, g_yy = _of_rotation(of, row + 8, by, first, n_wires, 6)
            of_rotation = g_zz, g_zx, g_zy, g_xz, g_xx, g_xy, g_yz, g_yx, g_yy
            _write_gradient(own, place, of_rotation, into[tile])


@kernel
def general_matrices(quaternions: Array, noise: Array, into: Array) -> None:
    """Write the transfer matrices with any noise before and after the rotations.

    Args:
        quaternions, into (Arrays): as in `matrices`.
        noise (Array of shape (tiles or 1, 24 * n_blocks * n_wires, width)): the numbers of
            `general_noise`, each of all blocks and wires.
    """
    n_rotations = quaternions.shape[1] // 4
    behind = np.empty((12, quaternions.shape[2]), quaternions.dtype)
    for tile in range(len(quaternions)):
        by, of = noise[tile % len(noise)], into[tile]
        for place in range(n_rotations):
            _write_behind(_rotation(quaternions[tile], place), by, place, n_rotations, behind)
            for row in range(3):
                for column in range(4):
                    entry = zeros_of(by)
                    if column == 0:
                        entry = _entry(by, 4 * row, place, n_rotations)
                    for inner in range(3):
                        after = _entry(by, 4 * row + 1 + inner, place, n_rotations)
                        entry += after * load(behind, 4 * inner + column)
                    store(of, 12 * place + 4 * row + column, entry)


@kernel
def general_matrices_backward(
    grad: Array, quaternions: Array, noise: Array, into: Array, grad_noise: Array
) -> None:
    """Write the gradient by the quaternions, and add that by the noise if `grad_noise` has rows."""
    n_rotations = quaternions.shape[1] // 4
    behind = np.empty((12, quaternions.shape[2]), quaternions.dtype)
    of_rotation = np.empty((9, quaternions.shape[2]), quaternions.dtype)
    for tile in range(len(quaternions)):
        by, of, sums = noise[tile % len(noise)], grad[tile], grad_noise[tile % len(noise)]
        for place in range(n_rotations):
            rotation = _rotation(quaternions[tile], place)
            if len(sums) > 0:
                _write_behind(rotation, by, place, n_rotations, behind)
                for row in range(3):
                    first = 12 * place + 4 * row
                    add_to(sums, 4 * row * n_rotations + place, load(of, first))
                    for inner in range(3):
                        total = zeros_of(by)
                        for column in range(4):
                            total += load(of, first + column) * load(behind, 4 * inner + column)
                        add_to(sums, (4 * row + 1 + inner) * n_rotations + place, total)
            for inner in range(3):
                for column in range(4):
                    total = zeros_of(by)
                    for row in range(3):
                        after = _entry(by, 4 * row + 1 + inner, place, n_rotations)
                        total += after * load(of, 12 * place + 4 * row + column)
                    store(behind, 4 * inner + column, total)  # the gradient by it now
            for row in range(3):
                for inner in range(3):
                    total = zeros_of(by)
                    for column in range(4):
                        before = _entry(by, 12 + 4 * inner + column, place, n_rotations)
                        total += load(behind, 4 * row + column) * before
                    store(of_rotation, 3 * row + inner, total)
            if len(sums) > 0:
                for inner in range(3):
                    for column in range(4):
                        total = rotation[inner] * load(behind, column)
                        total += rotation[3 + inner] * load(behind, 4 + column)
                        total += rotation[6 + inner] * load(behind, 8 + column)
                        add_to(sums, (12 + 4 * inner + column) * n_rotations + place, total)
            of_z = load(of_rotation, 0), load(of_rotation, 1), load(of_rotation, 2)
            of_x = load(of_rotation, 3), load(of_rotation, 4), load(of_rotation, 5)
            of_y = load(of_rotation, 6), load(of_rotation, 7), load(of_rotation, 8)
            _write_gradient(quaternions[tile], place, (*of_z, *of_x, *of_y), into[tile])


@kernel
def _entry(noise: Array, number: int, place: int, n_rotations: int) -> Any:
    return load(noise, number * n_rotations + place)


@kernel
def _write_behind(rotation: Any, noise: Array, place: int, n_rotations: int, into: Array) -> None:
    """Write the rows Z, X, Y of a rotation behind the noise before it."""
    for column in range(4):
        z = _entry(noise, 12 + column, place, n_rotations)
        x = _entry(noise, 16 + column, place, n_rotations)
        y = _entry(noise, 20 + column, place, n_rotations)
        store(into, column, rotation[0] * z + rotation[1] * x + rotation[2] * y)
        store(into, 4 + column, rotation[3] * z + rotation[4] * x + rotation[5] * y)
        store(into, 8 + column, rotation[6] * z + rotation[7] * x + rotation[8] * y)


@kernel
def _write_gradient(of: Array, place: int, by_rotation: Any, into: Array) -> None:
    """Write the gradient by a quaternion, given that by its rotation of Bloch vectors."""
    two = of.dtype.type(2)
    g_zz, g_zx, g_zy, g_xz, g_xx, g_xy, g_yz, g_yx, g_yy = by_rotation
    w, x = two * load(of, 4 * place), two * load(of, 4 * place + 1)
    y, z = two * load(of, 4 * place + 2), two * load(of, 4 * place + 3)
    odd_x, odd_y, odd_z = g_zy - g_yz, g_xz - g_zx, g_yx - g_xy
    even_x, even_y, even_z = g_zy + g_yz, g_xz + g_zx, g_yx + g_xy
    store(into, 4 * place, w * (g_zz + g_xx + g_yy) + x * odd_x + y * odd_y + z * odd_z)
    store(into, 4 * place + 1, x * (g_xx - g_yy - g_zz) + w * odd_x + z * even_y + y * even_z)
    store(into, 4 * place + 2, y * (g_yy - g_xx - g_zz) + w * odd_y + z * even_x + x * even_z)
    store(into, 4 * place + 3, z * (g_zz - g_xx - g_yy) + w * odd_z + x * even_y + y * even_x)


@kernel
def _rotation(of: Array, place: int) -> Any:
    """A rotation of Bloch vectors, by rows z, x, y and columns z, x, y."""
    w, x, y, z = (
        load(of, 4 * place),
        load(of, 4 * place + 1),
        load(of, 4 * place + 2),
        load(of, 4 * place + 3),
    )
    ww, xx, yy, zz = w * w, x * x, y * y, z * z
    two = of.dtype.type(2)
    wx, wy, wz = two * w * x, two * w * y, two * w * z
    xy, yz, zx = two * x * y, two * y * z, two * z * x
    of_z = ww + zz - xx - yy, zx - wy, yz + wx
    of_x = zx + wy, ww + xx - yy - zz, xy - wz
    return *of_z, *of_x, yz - wx, xy + wz, ww + yy - xx - zz


@kernel
def _write_row(
    of: Array,
    row: int,
    by_z: Any,
    by_x: Any,
    by_y: Any,
    noise: Array,
    first: int,
    n_wires: int,
    after: int,
) -> None:
    scale = load(noise, first + after * n_wires)
    store(of, row, scale * by_z * load(noise, first + 3 * n_wires))
    store(of, row + 1, scale * by_z * load(noise, first))
    store(of, row + 2, scale * by_x * load(noise, first + n_wires))
    store(of, row + 3, scale * by_y * load(noise, first + 2 * n_wires))


@kernel
def _of_rotation(grad: Array, row: int, noise: Array, first: int, n_wires: int, after: int) -> Any:
    """Gradients by the three entries of the rotation in a row."""
    scale = load(noise, first + after * n_wires)
    by_z = load(grad, row) * load(noise, first + 3 * n_wires) + load(grad, row + 1) * load(noise, first)
    by_x = load(grad, row + 2) * load(noise, first + n_wires)
    by_y = load(grad, row + 3) * load(noise, first + 2 * n_wires)
    return scale * by_z, scale * by_x, scale * by_y


@kernel
def _add_of_row(
    grad: Array,
    row: int,
    by_z: Any,
    by_x: Any,
    by_y: Any,
    noise: Array,
    first: int,
    n_wires: int,
    after: int,
    sums: Array,
) -> None:
    scale = load(noise, first + after * n_wires)
    entries = load(grad, row) * by_z, load(grad, row + 1) * by_z, load(grad, row + 2) * by_x
    shift, of_z, of_x, of_y = *entries, load(grad, row + 3) * by_y
    add_to(sums, first, scale * of_z)
    add_to(sums, first + n_wires, scale * of_x)
    add_to(sums, first + 2 * n_wires, scale * of_y)
    add_to(sums, first + 3 * n_wires, scale * shift)
    by_scale = shift * load(noise, first + 3 * n_wires) + of_z * load(noise, first)
    by_scale += of_x * load(noise, first + n_wires) + of_y * load(noise, first + 2 * n_wires)
    add_to(sums, first + after * n_wires, by_scale)
