"""What a method of evaluation is: its cost, its memory, its tables and its values."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from sqdr.ansatz import Ansatz, Entanglement, Pairs, PauliWord, all_wires, entangled_pairs
from sqdr.backends.native.autograd import Evaluation, Tensors
from sqdr.backends.native.rotation import (
    general_noise,
    noise_of_matrices,
    pair_noise,
    transfer_matrices,
)
from sqdr.gates import block_quaternions
from sqdr.noise import BlochMap, NoiseModel, compose, compose_around_pairs

Name = Literal["closed-form", "causal-cone", "dense"]
Topology = Literal["none", "chain", "ring", "other"]


@dataclass(frozen=True)
class Shape:
    """What a method needs to know of a circuit.

    Args:
        ansatz (Ansatz): the member of the family.
        words (tuple of Pauli words): what is measured; see `sqdr.backends.readout`.
        is_pure (bool): whether the state stays pure.
        n_pair_noises (int): how many noises act on pairs after each entangling layer.
    """

    ansatz: Ansatz
    words: tuple[PauliWord, ...]
    is_pure: bool
    n_pair_noises: int = 0

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}  # nothing cached

    @property
    def n_wires(self) -> int:
        return self.ansatz.n_wires

    @property
    def n_blocks(self) -> int:
        return self.ansatz.n_blocks

    @property
    def pairs(self) -> Pairs:
        return self.ansatz.pairs

    @property
    def has_couplings(self) -> bool:
        return self.ansatz.entangler == "ZZ"

    @cached_property
    def measures_z(self) -> bool:
        """Whether the words are Z of every wire, in their order."""
        return self.words == all_wires("Z", self.n_wires)

    @cached_property
    def most_factors(self) -> int:
        """Wires of the longest word."""
        return max(map(len, self.words))

    @cached_property
    def letters(self) -> tuple[str, ...]:
        """The letters that are measured."""
        return tuple(sorted({letter for word in self.words for _, letter in word}))

    @cached_property
    def measures_one_letter(self) -> bool:
        """Whether the words are of one wire and of the same letter, which a turn makes Z."""
        return self.most_factors == 1 and len(self.letters) == 1

    def wires_and_letters(self) -> list[tuple[int, int]]:
        """Of each word of one wire its wire, and its letter, 0 to 2 for Z, X and Y."""
        return [(wire, "ZXY".index(letter)) for ((wire, letter),) in self.words]

    def letter_tables(self) -> dict[str, Tensor]:
        """What `of_words` needs, where words are of one wire.

        Returns:
            dict of integer Tensors: "letters", places of `letters` in I, Z, X, Y; and for each word
            "wires" and "of_letter", its wire and where its letter is among `letters`.
        """
        factors = [word[0] for word in self.words]
        tables = {
            "letters": ["IZXY".index(letter) for letter in self.letters],
            "wires": [wire for wire, _ in factors],
            "of_letter": [self.letters.index(letter) for _, letter in factors],
        }
        return {name: torch.tensor(table) for name, table in tables.items()}

    @cached_property
    def topology(self) -> Topology:
        """The graph that the pairs of wires make."""
        graph = {frozenset(pair) for pair in self.pairs}
        names: dict[Topology, Entanglement] = {"none": "none", "chain": "linear", "ring": "circular"}
        for topology, entanglement in names.items():
            if graph == {frozenset(pair) for pair in entangled_pairs(entanglement, self.n_wires)}:
                return topology
        return "other"


def of_words(values: Tensor, tables: Mapping[str, Tensor]) -> Tensor:
    """Values of words (batch, words) of one wire, among those (letters, batch, n_wires) of all.

    Args:
        tables (mapping): that holds those of `Shape.letter_tables`.
    """
    return values[tables["of_letter"], :, tables["wires"]].T


class Method(nn.Module, ABC):
    """A way to evaluate circuits of one shape, exactly.

    Args:
        shape (Shape): of a circuit that the method can evaluate.
    """

    #: Of which `NativeCircuit` speaks.
    name: ClassVar[Name]

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self._tables: dict[torch.device, Mapping[str, Tensor]] = {}

    @staticmethod
    @abstractmethod
    def problem(shape: Shape) -> str | None:
        """Why the method does not evaluate circuits of this shape; None if it does."""

    @abstractmethod
    def multiply_adds(self) -> int:
        """What one sample costs: multiply-adds, weighed by how long kernels take for them."""

    @abstractmethod
    def numbers_per_sample(self, needs_gradient: bool) -> int:
        """How many numbers the evaluation of one sample by torch's operations holds at a time."""

    def numbers_per_sample_by_kernels(self) -> int:
        """The same by kernels with a gradient; without one they never hold more than those do."""
        return 5 * self.shape.n_wires  # what goes in and comes out

    @abstractmethod
    def noise_tensors(self, noise: NoiseModel, like: Tensor) -> Tensors:
        """The noise but its readout error as `values` takes it, of the dtype and device of `like`.

        Returns:
            Tensor of shape (numbers, batch or 1, n_wires). Or, for noise that is no `BlochMap`, what
            `general_noise` returns. Where noise acts on pairs, what `pair_noise` returns comes last.
        """

    @abstractmethod
    def values(self, angles: Tensor, weights: Tensor, couplings: Tensor, *noise: Tensor) -> Tensor:
        """Expectation values, by operations that torch differentiates in every way that it knows.

        Args:
            angles (Tensor of shape (batch, n_wires, letters), or (n_blocks, batch, n_wires, letters)):
                in radians.
            weights (Tensor of shape (n_blocks, n_wires, letters)): in radians.
            couplings (Tensor of shape (n_blocks - 1, pairs)): in radians; without pairs for CZ.
            *noise (Tensors): see `noise_tensors`.

        Returns:
            Tensor of shape (batch, words)
        """

    @abstractmethod
    def kernels(self, has_general_noise: bool = False) -> Evaluation | None:
        """The same by kernels, on the CPU, if there are any. This imports Numba.

        Args:
            has_general_noise (bool): whether noise is as `general_noise` returns it. Default: False.
        """

    def evaluate(self, angles: Tensor, weights: Tensor, couplings: Tensor, noise: Tensors) -> Tensor:
        """`values`, by the fastest way without kernels to them and to their gradients."""
        return self.values(angles, weights, couplings, *noise)

    def quaternions(self, angles: Tensor, weights: Tensor) -> Tensor:
        """Rotations (4, n_blocks, batch, n_wires) of every block."""
        ansatz = self.shape.ansatz
        return block_quaternions(angles, weights, ansatz.encoding, ansatz.rotation)

    def tables(self) -> Mapping[str, Tensor]:
        """Constants of the method by name, made anew, on the CPU."""
        return {}

    def tables_on(self, device: torch.device) -> Mapping[str, Tensor]:
        """`tables` on a device, made when they are first asked for there.

        They are no buffers, which a module that is made on the meta device and then filled with
        weights would never get.
        """
        if device not in self._tables:
            with torch.inference_mode(False), torch.device("cpu"):
                tables = self.tables()
            self._tables[device] = {name: table.to(device) for name, table in tables.items()}
        return self._tables[device]

    def smaller_circuit(self) -> tuple[str, str]:
        """The argument that must change if not even one sample fits into memory, and how."""
        return "n_blocks", "be smaller"


class MatrixMethod(Method):
    """A method that takes each block on each wire as a transfer matrix, noise included."""

    @abstractmethod
    def values_of_matrices(self, matrices: Tensor, couplings: Tensor, *of_pairs: Tensor) -> Tensor:
        """Values (batch, words).

        Args:
            matrices (Tensor): as `transfer_matrices` returns them.
            couplings (Tensor): as in `values`.
            *of_pairs (Tensors): what `pair_noise` returns, if noise acts on pairs.
        """

    def noise_tensors(self, noise: NoiseModel, like: Tensor) -> Tensors:
        n_blocks, n_wires = self.shape.n_blocks, self.shape.n_wires
        first, last = compose(noise.after_rotation), compose(noise.on_wires_after_entangler)
        of_pairs: Tensors = ()
        if self.shape.n_pair_noises:
            (*between, last), factors = compose_around_pairs(noise.after_entangler)
            of_pairs = pair_noise(between, factors, n_blocks, len(self.shape.pairs), like)
        if isinstance(first, BlochMap) and isinstance(last, BlochMap):
            return noise_of_matrices(first, last, n_blocks, n_wires, like), *of_pairs
        return general_noise(first, last, n_blocks, n_wires, like), *of_pairs

    def values(self, angles: Tensor, weights: Tensor, couplings: Tensor, *noise: Tensor) -> Tensor:
        of_wires, *of_pairs = noise
        matrices = transfer_matrices(self.quaternions(angles, weights), of_wires)
        return self.values_of_matrices(matrices, couplings, *of_pairs)
