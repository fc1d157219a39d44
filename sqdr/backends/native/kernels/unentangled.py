"""Circuits in which no CZ acts: the Bloch vector of each wire."""

import numpy as np

from sqdr.backends.native.kernels.evaluation import Given
from sqdr.backends.native.kernels.matrices import MatrixEvaluation, words_of_wires
from sqdr.backends.native.kernels.tiles import Array
from sqdr.backends.native.method import Method
from sqdr.compilation import kernel
from sqdr.vectors import load, store, zeros_of


@kernel
def unentangled(
    matrices: Array, starts: Array, places: Array, letters: Array, vectors: Array, values: Array
) -> None:
    """Write values of words (Array of shape (tiles, words, width)).

    Args:
        matrices (Array): as in `matrices`.
        starts, places, letters (integer Arrays): as `words_of_wires` returns them.
        vectors (Array of shape (3 * n_blocks, width)): room.
    """
    n_wires = len(starts) - 1
    for tile in range(len(values)):
        for wire in range(n_wires):
            _write_vectors(matrices[tile], wire, n_wires, vectors)
            for word in range(starts[wire], starts[wire + 1]):
                store(values[tile], places[word], load(vectors, len(vectors) - 3 + letters[word]))


@kernel
def unentangled_backward(
    grad: Array,
    matrices: Array,
    starts: Array,
    places: Array,
    letters: Array,
    vectors: Array,
    grad_matrices: Array,
) -> None:
    """Write the gradient by the matrices, given that by the values."""
    n_wires, none = len(starts) - 1, zeros_of(grad)
    for tile in range(len(grad)):
        of, into = matrices[tile], grad_matrices[tile]
        for wire in range(n_wires):
            _write_vectors(of, wire, n_wires, vectors)
            by_z, by_x, by_y = none, none, none
            for word in range(starts[wire], starts[wire + 1]):
                by_word = load(grad[tile], places[word])
                if letters[word] == 0:
                    by_z += by_word
                elif letters[word] == 1:
                    by_x += by_word
                else:
                    by_y += by_word
            for block in range(len(vectors) // 3 - 1, -1, -1):
                row = 12 * (block * n_wires + wire)
                z, x, y = none + grad.dtype.type(1), none, none
                if block > 0:
                    before = 3 * block - 3
                    z, x, y = (
                        load(vectors, before),
                        load(vectors, before + 1),
                        load(vectors, before + 2),
                    )
                _write_products(into, row, by_z, z, x, y)
                _write_products(into, row + 4, by_x, z, x, y)
                _write_products(into, row + 8, by_y, z, x, y)
                by_z, by_x, by_y = (
                    by_z * load(of, row + 1) + by_x * load(of, row + 5) + by_y * load(of, row + 9),
                    by_z * load(of, row + 2) + by_x * load(of, row + 6) + by_y * load(of, row + 10),
                    by_z * load(of, row + 3) + by_x * load(of, row + 7) + by_y * load(of, row + 11),
                )


@kernel
def _write_vectors(of: Array, wire: int, n_wires: int, vectors: Array) -> None:
    """The Bloch vector (z, x, y) of a wire after each block."""
    none = zeros_of(of)
    z, x, y = none + of.dtype.type(1), none, none
    for block in range(len(vectors) // 3):
        row = 12 * (block * n_wires + wire)
        z, x, y = (
            load(of, row) + load(of, row + 1) * z + load(of, row + 2) * x + load(of, row + 3) * y,
            load(of, row + 4) + load(of, row + 5) * z + load(of, row + 6) * x + load(of, row + 7) * y,
            load(of, row + 8) + load(of, row + 9) * z + load(of, row + 10) * x + load(of, row + 11) * y,
        )
        store(vectors, 3 * block, z)
        store(vectors, 3 * block + 1, x)
        store(vectors, 3 * block + 2, y)


@kernel
def _write_products(into: Array, row: int, grad: Array, z: Array, x: Array, y: Array) -> None:
    store(into, row, grad)
    store(into, row + 1, grad * z)
    store(into, row + 2, grad * x)
    store(into, row + 3, grad * y)


class UnentangledByKernels(MatrixEvaluation):
    """`Unentangled` by kernels, for observables of one wire."""

    def __init__(self, method: Method) -> None:
        super().__init__(method)
        self._words = words_of_wires(self.shape)

    def values_of_matrices(self, matrices: Array, given: Given, kept: Array | None) -> Array:  # noqa: ARG002
        tiles, _, width = matrices.shape
        values = np.empty((tiles, len(self.shape.words), width), matrices.dtype)
        unentangled(matrices, *self._words, self._room(matrices), values)
        return values

    def gradient_of_matrices(
        self,
        grad: Array,
        matrices: Array,
        given: Given,  # noqa: ARG002
        kept: Array,  # noqa: ARG002
        grad_turns: Array,  # noqa: ARG002
    ) -> Array:
        into = np.empty_like(matrices)
        unentangled_backward(grad, matrices, *self._words, self._room(matrices), into)
        return into

    def _room(self, matrices: Array) -> Array:
        return np.empty((3 * self.shape.n_blocks, matrices.shape[2]), matrices.dtype)
