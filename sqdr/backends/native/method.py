"""What a method of evaluation is: its cost, its memory, its tables and its values."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from sqdr.backends.native.autograd import Evaluation, Tensors
from sqdr.backends.native.rotation import general_noise, noise_of_matrices, transfer_matrices
from sqdr.circuit import Entanglement, Pairs, entangled_pairs
from sqdr.noise import BlochMap, NoiseModel, compose

Name = Literal["closed-form", "causal-cone", "dense"]
Topology = Literal["none", "chain", "ring", "other"]

#: Tensors of noise that is no `BlochMap`, as `general_noise` returns them; others are one or two.
N_GENERAL = 3


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
    def can_evaluate(shape: Shape) -> bool:
        """Whether the method evaluates circuits of this shape."""

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
        """The noise as `values` takes it, in the dtype and on the device of `like`.

        Returns:
            Tensor of shape (numbers, batch or 1, n_wires); and, unless it is in these numbers, readout
            error, if there is any: the factor of <Z>, of shape (n_wires,) or (). Or, for noise that is
            no `BlochMap`, what `general_noise` returns.
        """

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

    @abstractmethod
    def kernels(self) -> Evaluation | None:
        """The same by kernels, on the CPU. This imports Numba."""

    def evaluate(self, angles: Tensor, weights: Tensor, noise: Tensors) -> Tensor:
        """`values`, by the fastest way without kernels to them and to their gradients."""
        return self.values(angles, weights, *noise)

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
    def values_of_matrices(self, matrices: Tensor) -> Tensor:
        """<Z> (Tensor of shape (batch, n_wires)) of what `transfer_matrices` returns."""

    def noise_tensors(self, noise: NoiseModel, like: Tensor) -> Tensors:
        sizes = self.shape.n_blocks, self.shape.n_wires
        maps = compose(noise.after_rotation), compose(noise.after_entangler)
        if isinstance(maps[0], BlochMap) and isinstance(maps[1], BlochMap):
            return noise_of_matrices(maps[0], maps[1], *sizes, like), *readout_tensors(noise, like)
        return general_noise(*maps, *sizes, noise.readout_scale, like)

    def values(self, angles: Tensor, weights: Tensor, *noise: Tensor) -> Tensor:
        of_matrices, readout = (noise, ()) if len(noise) == N_GENERAL else (noise[:1], noise[1:])
        matrices = transfer_matrices(angles, weights, *of_matrices)
        return with_readout(self.values_of_matrices(matrices), readout)


def readout_tensors(noise: NoiseModel, like: Tensor) -> Tensors:
    """The factor of <Z> that readout error is, if there is any."""
    is_none = not isinstance(noise.readout_error, Tensor) and noise.readout_error == 0
    return (
        () if is_none else (torch.as_tensor(noise.readout_scale, dtype=like.dtype, device=like.device),)
    )


def with_readout(values: Tensor, readout: Tensors) -> Tensor:
    for scale in readout:
        values = scale * values
    return values
