"""Circuits in which no entangler acts, for any number of blocks."""

from collections.abc import Mapping
from typing import final

from torch import Tensor

from sqdr.backends.native.autograd import Evaluation
from sqdr.backends.native.method import MatrixMethod, Shape
from sqdr.backends.words import word_tables


@final
class Unentangled(MatrixMethod):
    """The Bloch vector of each wire, for itself; a word is the product of its factors."""

    name = "closed-form"

    @staticmethod
    def problem(shape: Shape) -> str | None:
        return "pairs of wires are entangled" if shape.n_blocks > 1 and shape.pairs else None

    def multiply_adds(self) -> int:
        words = len(self.shape.words) * self.shape.most_factors
        return 16 * self.shape.n_wires * self.shape.n_blocks + words

    def numbers_per_sample(self, needs_gradient: bool) -> int:  # noqa: ARG002
        words = len(self.shape.words) * self.shape.most_factors
        return 24 * self.shape.n_wires * self.shape.n_blocks + words

    def tables(self) -> Mapping[str, Tensor]:
        if self.shape.measures_z:
            return {}
        wires, letters = word_tables(self.shape.words, 0)
        return {"wires": wires, "letters": letters}

    def kernels(self, has_general_noise: bool = False) -> Evaluation | None:  # noqa: ARG002
        if self.shape.most_factors > 1:
            return None
        from sqdr.backends.native.kernels.unentangled import UnentangledByKernels

        return UnentangledByKernels(self)

    def values_of_matrices(self, matrices: Tensor, couplings: Tensor, *_: Tensor) -> Tensor:  # noqa: ARG002
        first, *later = matrices.unbind(2)
        vector = first[:, 0] + first[:, 1]  # |0> has <I> = <Z> = 1
        for matrix in later:
            vector = (matrix * vector).sum(1)
        if self.shape.measures_z:
            return vector[1]
        tables = self.tables_on(vector.device)
        factors = vector.transpose(1, 2)[tables["letters"], tables["wires"]]  # factors, words, batch
        return factors.prod(0).T
