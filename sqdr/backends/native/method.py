"""What a method of evaluation is: its cost, its memory, its tables and its values."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from sqdr.backends.native.autograd import Tensors
from sqdr.backends.native.rotation import general_noise, noise_of_matrices, transfer_matrices
from sqdr.circuit import Entanglement, Pairs, entangled_pairs
from sqdr.noise import BlochMap, NoiseModel, Number, compose

Name = Literal["closed-form", "causal-cone", "dense"]
Topology = Literal["none", "chain", "ring", "other"]


@dataclass(frozen=True)
class Shape:
    """What a method needs to know of a circuit.

    Args:
        n_wires, n_blocks (ints): sizes.
        pairs (tuple of pairs of ints): the pairs of wires that a CZ layer acts on.
        is_pure (bool): whether the state stays pure.
    """

    n_wires: int
    n_blocks: int
    pairs: Pairs
    is_pure: bool

    @cached_property
    def topology(self) -> Topology:
        """The graph that the pairs of wires make."""
        graph = {frozenset(pair) for pair in self.pairs}
        names: dict[Topology, Entanglement] = {"none": "none", "chain": "linear", "ring": "circular"}
        for topology, entanglement in names.items():
            if graph == {frozenset(pair) for pair in entangled_pairs(entanglement, self.n_wires)}:
                return topology
        return "other"


class Method(nn.Module, ABC):
    """A way to evaluate circuits of one shape, exactly.

    It is a module so that its tables, which are buffers and are not saved, move with the circuit.

    Args:
        shape (Shape): of a circuit that the method can evaluate. Tables are made by `make_tables`, once
            it is known that there is memory for them.
    """

    #: Of which `NativeCircuit` speaks.
    name: ClassVar[Name]

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape

    @staticmethod
    @abstractmethod
    def can_evaluate(shape: Shape) -> bool:
        """Whether the method evaluates circuits of this shape."""

    @abstractmethod
    def multiply_adds(self) -> int:
        """What one sample costs."""

    @abstractmethod
    def numbers_per_sample(self, needs_gradient: bool) -> int:
        """How many numbers the evaluation of one sample holds at a time."""

    @abstractmethod
    def noise_tensors(self, noise: NoiseModel, like: Tensor) -> Tensors:
        """The noise as `values` takes it, in the dtype and on the device of `like`."""

    @abstractmethod
    def values(self, angles: Tensor, weights: Tensor, *noise: Tensor) -> Tensor:
        """<Z>, by operations that torch differentiates in every way that it knows.

        Args:
            angles (Tensor of shape (batch, n_wires, 3)): in radians.
            weights (Tensor of shape (n_blocks, n_wires, 3)): in radians.
            *noise (Tensors): see `noise_tensors`.

        Returns:
            Tensor of shape (batch, n_wires)
        """

    def evaluate(self, angles: Tensor, weights: Tensor, noise: Tensors) -> Tensor:
        """`values`, by the fastest way that there is to them and to their gradients."""
        return self.values(angles, weights, *noise)

    def tables(self) -> Mapping[str, Tensor]:
        """Constants of the method by the names of its buffers."""
        return {}

    def make_tables(self) -> None:
        for name, table in self.tables().items():
            self.register_buffer(name, table, persistent=False)

    def smaller_circuit(self) -> tuple[str, str]:
        """The argument that must change if not even one sample fits into memory, and how."""
        return "n_blocks", "be smaller"


class MatrixMethod(Method):
    """A method that takes each block on each wire as a transfer matrix, noise included."""

    @abstractmethod
    def values_of_matrices(self, matrices: Tensor) -> Tensor:
        """<Z> (Tensor of shape (batch, n_wires)) of what `transfer_matrices` returns."""

    def noise_tensors(self, noise: NoiseModel, like: Tensor) -> Tensors:
        n_blocks = self.shape.n_blocks
        channels, entangler_channels = compose(noise.after_rotation), compose(noise.after_entangler)
        if isinstance(channels, BlochMap) and isinstance(entangler_channels, BlochMap):
            matrices = noise_of_matrices(channels, entangler_channels, n_blocks, like)
            return *matrices, *readout_tensors(noise, like)
        return general_noise(channels, entangler_channels, n_blocks, noise.readout_scale, like)

    def values(self, angles: Tensor, weights: Tensor, *noise: Tensor) -> Tensor:
        # Readout error is a third tensor; general noise, which is four, has it within.
        of_matrices, readout = (noise[:2], noise[2:]) if len(noise) == 3 else (noise, ())
        matrices = transfer_matrices(angles, weights, *of_matrices)
        return with_readout(self.values_of_matrices(matrices), readout)


def readout_tensors(noise: NoiseModel, like: Tensor) -> Tensors:
    """The factor of <Z> that readout error is, if there is any."""
    is_none = not isinstance(noise.readout_error, Tensor) and noise.readout_error == 0
    return () if is_none else (as_tensor(noise.readout_scale, like),)


def with_readout(values: Tensor, readout: Tensors) -> Tensor:
    for scale in readout:
        values = scale * values
    return values


def as_tensor(number: Number, like: Tensor) -> Tensor:
    return torch.as_tensor(number, dtype=like.dtype, device=like.device)
