"""Circuits in which no CZ acts, for any number of blocks."""

from typing import final

from torch import Tensor

from sqdr.backends.native.autograd import Evaluation
from sqdr.backends.native.method import MatrixMethod, Shape


@final
class Unentangled(MatrixMethod):
    """The Bloch vector of each wire, for itself."""

    name = "closed-form"

    @staticmethod
    def can_evaluate(shape: Shape) -> bool:
        return shape.n_blocks == 1 or not shape.pairs

    def multiply_adds(self) -> int:
        return 16 * self.shape.n_wires * self.shape.n_blocks

    def numbers_per_sample(self, needs_gradient: bool) -> int:  # noqa: ARG002
        return 24 * self.shape.n_wires * self.shape.n_blocks

    def kernels(self) -> Evaluation:
        from sqdr.backends.native.kernels.unentangled import UnentangledByKernels

        return UnentangledByKernels(self)

    def values_of_matrices(self, matrices: Tensor) -> Tensor:
        first, *later = matrices.unbind(2)
        vector = first[:, 0] + first[:, 1]  # |0> has <I> = <Z> = 1
        for matrix in later:
            vector = (matrix * vector).sum(1)
        return vector[1]
