"""Circuits by kernels: what is the same for every method."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from sqdr.backends.native.autograd import Tensors
from sqdr.backends.native.kernels.rotations import rotations, rotations_backward
from sqdr.backends.native.kernels.tiles import Array, tiled, untile
from sqdr.backends.native.method import Method
from sqdr.backends.native.rotation import is_general
from sqdr.compilation import in_parallel
from sqdr.vectors import n_lanes

#: Numbers in the quaternions that are made at a time, so that they stay in the processor's cache.
_AT_A_TIME = 2**16
#: Multiply-adds that are worth a thread: a fifth of a millisecond.
_WORTH_A_THREAD = 2 * 10**6


class Given(NamedTuple):
    """What values depend on beside quaternions.

    Args:
        noise (Array of shape (tiles or 1, numbers * n_wires, width)): by number and wire.
        turns (Array of shape (2, couplings)): cosines and sines of the angles of ZZ, by layer and pair.
        alone (int): number of samples, if each is to be a tile of its own; else 0.
        has_general_noise (bool): whether the noise is as `general_noise` returns it.
        of_pairs (sequence of Tensors): what `pair_noise` returns, the same for every sample and without
            a gradient; empty without such noise.
    """

    noise: Array
    turns: Array
    alone: int
    has_general_noise: bool
    of_pairs: Tensors


class Sums(NamedTuple):
    """Gradients by what is given.

    Args:
        noise (Array): of the shape of the noise; without rows if it is not asked for.
        turns (Array of shape (2 * couplings, width)): by cosines, then by sines.
    """

    noise: Array
    turns: Array


class KernelEvaluation(ABC):
    """Values and first gradients of a method on the CPU; all else is left to `Method.values`.

    The inputs are those of `Method.values`; angles may also have the shape (batch, n_features). The
    batch is cut into tiles, which are shared out among threads. Each thread takes a few tiles at a
    time, and makes quaternions of their angles; a subclass makes values of those.
    """

    def __init__(self, method: Method) -> None:
        self.method = method
        self.shape = method.shape
        self.known_noise: tuple[Tensor | None, Array] = None, np.empty(0)
        self._constants: dict[np.dtype[Any], _Constants] = {}

    @abstractmethod
    def values_of(self, quaternions: Array, given: Given, kept: Array | None) -> Array:
        """Values of the words.

        Args:
            quaternions (Array of shape (tiles, 4 * n_blocks * n_wires, width)): by block and wire.
            given (Given): what else the values depend on.
            kept (Array of shape (tiles, numbers, width) or None): to be written, what the gradient
                needs besides, if there will be one; see `kept_numbers`. For samples alone of shape
                (samples, numbers / width, width).

        Returns:
            Array of shape (tiles, words, width)
        """

    @abstractmethod
    def gradient_of(
        self,
        grad: Array,
        quaternions: Array,
        given: Given,
        kept: Array,
        sums: Sums,
    ) -> Array:
        """Gradient by the quaternions, given that by the values.

        Args:
            grad (Array of shape (tiles, words, width))
            quaternions, given, kept: as in `values_of`.
            sums (Sums): the gradients by what is given are added.
        """

    def kept_numbers(self) -> int:
        """How many numbers of a sample are kept for the gradient."""
        return 0

    def takes_samples_alone(self, size: int) -> bool:  # noqa: ARG002
        """Whether each of so many samples is to be a tile of its own."""
        return False

    def constants(self, dtype: np.dtype[Any]) -> "_Constants":
        """What is the same for every batch of a dtype."""
        if dtype not in self._constants:
            self._constants[dtype] = _Constants(self.method, dtype)
        return self._constants[dtype]

    def function(self, *inputs: Tensor) -> Tensor:
        angles, *others = inputs
        if angles.dim() == 2:
            ansatz = self.shape.ansatz
            by_block = angles.reshape(len(angles), -1, ansatz.n_wires, len(ansatz.encoding))
            differs = ansatz.differs_between_blocks
            angles = by_block.transpose(0, 1) if differs else by_block.squeeze(1)
        return self.method.values(angles, *others)

    def forward(self, *inputs: Tensor, keep: bool) -> tuple[Tensor, Tensors]:
        batch, of_pairs = _Batch(self, *inputs[:4]), inputs[4:]
        values = np.empty((batch.size, len(self.shape.words)), batch.dtype)
        numbers = self.kept_numbers() if keep else 0
        kept = batch.empty_to_keep(numbers) if numbers else None

        def part(start: int, stop: int) -> None:
            of_weights = batch.empty_of_weights()
            for tiles, samples in batch.groups(start, stop):
                _, quaternions = batch.rotated(tiles, samples, of_weights, tiles.start == start)
                own = None if kept is None else kept[samples if batch.alone else tiles]
                given = batch.given(samples, of_pairs)
                untile(self.values_of(quaternions, given, own), values[samples])

        batch.in_parallel(part)
        return torch.from_numpy(values), [] if kept is None else [torch.from_numpy(kept)]

    def backward(
        self, grad: Tensor, inputs: Tensors, kept: Tensors, needed: Sequence[bool]
    ) -> Sequence[Tensor | None]:
        angles, weights, couplings, noise, *of_pairs = inputs
        batch = _Batch(self, angles, weights, couplings, noise)
        grad_rows = _array(grad).reshape(batch.size, -1)
        of_kept = kept[0].numpy() if kept else np.empty((batch.size, 0, 0), batch.dtype)
        grad_angles = np.empty_like(batch.rows)
        grad_noise: Any = np.zeros(batch.shape_of_noise, batch.dtype) if needed[3] else None

        def part(start: int, stop: int) -> tuple[Any, Any, Any]:
            of_turns = np.zeros((batch.turns.size, batch.width), batch.dtype)
            of_weights = batch.empty_of_weights()
            grad_weights, sums_of_weights = np.empty_like(batch.weights), np.zeros_like(of_weights)
            of_noise: Any = 0
            for tiles, samples in batch.groups(start, stop):
                is_first, is_last = tiles.start == start, tiles.stop == stop
                own_angles, quaternions = batch.rotated(tiles, samples, of_weights, is_first)
                given = batch.given(samples, of_pairs)
                sums = np.zeros_like(given.noise) if needed[3] else given.noise[:, :0]
                own = of_kept[samples if batch.alone else tiles]
                by_values = tiled(grad_rows[samples])
                found = self.gradient_of(by_values, quaternions, given, own, Sums(sums, of_turns))
                arguments = of_weights, found, sums_of_weights, grad_angles[samples]
                own_weights = grad_weights if is_last else grad_weights[:0]
                rotations_backward(own_angles, batch.weights, *batch.axes, *arguments, own_weights)
                if needed[3] and batch.noise_differs:
                    untile(sums, grad_noise.T[samples])
                elif needed[3]:
                    of_noise = of_noise + sums[0].sum(1, keepdims=True)
            return grad_weights, of_noise, of_turns

        parts = batch.in_parallel(part)
        of_weights = _sum([of_weights for of_weights, _, _ in parts])
        grads = [
            _as_given(grad_angles, angles),
            torch.from_numpy(of_weights.reshape(weights.shape)),
            *[None] * (len(inputs) - 2),
        ]
        if needed[2]:
            of_turns = _sum([of_turns for _, _, of_turns in parts]).sum(1)
            by_cosine, by_sine = of_turns.reshape(batch.turns.shape)
            cosines, sines = batch.turns
            of_couplings = torch.from_numpy(cosines * by_sine - sines * by_cosine)
            grads[2] = of_couplings.reshape(couplings.shape)
        if needed[3]:
            grad_noise += _sum([of_noise for _, of_noise, _ in parts])
            of_numbers = torch.from_numpy(grad_noise)
            of_numbers = of_numbers.reshape(*noise.shape[:-2], self.shape.n_wires, -1)
            grads[3] = of_numbers.transpose(-1, -2)
        return grads


class _Constants:
    """What is the same for every batch of a dtype."""

    def __init__(self, method: Method, dtype: np.dtype[Any]) -> None:
        ansatz = method.shape.ansatz
        self.axes = _numbers_of(ansatz.encoding), _numbers_of(ansatz.rotation)
        self.width = n_lanes(dtype)
        self.of_weights = 4 * ansatz.n_blocks * ansatz.n_wires, self.width
        self.group = max(1, _AT_A_TIME // math.prod(self.of_weights))
        # Rotations and their gradient, beside what `multiply_adds` counts.
        of_rotations = 128 * ansatz.n_blocks * ansatz.n_wires
        cost = (method.multiply_adds() + of_rotations) * self.width
        self.at_least = max(1, _WORTH_A_THREAD // cost)
        self.no_turns = np.empty((2, 0), dtype)


class _Batch:
    """The inputs as arrays, cut into tiles."""

    def __init__(
        self,
        evaluation: KernelEvaluation,
        angles: Tensor,
        weights: Tensor,
        couplings: Tensor,
        noise: Tensor,
    ) -> None:
        by_sample = _array(angles)
        if by_sample.ndim == 4:
            by_sample = by_sample.swapaxes(0, 1)
        self.size, self.dtype = len(by_sample), by_sample.dtype
        self.rows = np.ascontiguousarray(by_sample).reshape(self.size, -1)
        self._constants = constants = evaluation.constants(self.dtype)
        self.axes, self.width = constants.axes, constants.width
        self.n_tiles = -(-self.size // self.width)
        self.weights = _array(weights).reshape(-1)
        self.turns = constants.no_turns
        if evaluation.shape.has_couplings:
            of_pairs = _array(couplings).reshape(-1)
            self.turns = np.empty((2, len(of_pairs)), self.dtype)
            np.cos(of_pairs, out=self.turns[0])
            np.sin(of_pairs, out=self.turns[1])
        self.alone = evaluation.takes_samples_alone(self.size)
        self.has_general_noise = is_general(noise)
        known, tile = evaluation.known_noise
        if known is noise:
            self.noise, self.noise_differs = tile, False
        else:
            self._take(noise, evaluation)

    def _take(self, noise: Tensor, evaluation: KernelEvaluation) -> None:
        *of_wire, n_samples, n_wires = noise.shape
        self.noise_differs = n_samples > 1
        self.shape_of_noise = math.prod(of_wire) * n_wires, n_samples
        by_sample = np.ascontiguousarray(np.moveaxis(_array(noise), -2, 0)).reshape(n_samples, -1)
        if self.noise_differs:
            self.noise = by_sample
            return
        self.noise = np.repeat(by_sample.T, self.width, 1)[None]
        if not noise.requires_grad:
            evaluation.known_noise = noise, self.noise

    def in_parallel(self, part: Any) -> list[Any]:
        """Results of `part(start, stop)` for ranges of tiles, one for each thread."""
        at_least = self._constants.at_least
        if self.n_tiles < 2 * at_least:
            return [part(0, self.n_tiles)]
        return in_parallel(part, self.n_tiles, at_least)

    def groups(self, start: int, stop: int) -> Iterator[tuple[slice, slice]]:
        """A few tiles at a time, and the samples in them."""
        width, group = self.width, self._constants.group
        for first in range(start, stop, group):
            last = min(first + group, stop)
            yield slice(first, last), slice(first * width, min(last * width, self.size))

    def empty_of_weights(self) -> Array:
        return np.empty(self._constants.of_weights, self.dtype)

    def rotated(
        self, tiles: slice, samples: slice, of_weights: Array, is_first: bool
    ) -> tuple[Array, Array]:
        """Tiles of the angles, and the quaternions of all blocks; those of the weights at first."""
        rows, n_tiles = self.rows[samples], tiles.stop - tiles.start
        angles = np.empty((n_tiles, rows.shape[1], self.width), self.dtype)
        quaternions = np.empty((n_tiles, *of_weights.shape), self.dtype)
        weights = self.weights if is_first else self.weights[:0]
        rotations(rows, weights, *self.axes, angles, of_weights, quaternions)
        return angles, quaternions

    def given(self, samples: slice, of_pairs: Tensors) -> Given:
        noise = tiled(self.noise[samples]) if self.noise_differs else self.noise
        alone = samples.stop - samples.start if self.alone else 0
        return Given(noise, self.turns, alone, self.has_general_noise, of_pairs)

    def empty_to_keep(self, numbers: int) -> Array:
        if self.alone:
            return np.empty((self.size, numbers // self.width, self.width), self.dtype)
        return np.empty((self.n_tiles, numbers, self.width), self.dtype)


def _array(tensor: Tensor) -> Array:
    """The numbers of a tensor, one after the other."""
    return np.ascontiguousarray(tensor.numpy(force=True))


def _sum(parts: list[Any]) -> Any:
    return parts[0] if len(parts) == 1 else sum(parts)


def _as_given(rows: Array, angles: Tensor) -> Tensor:
    """Rows for each sample, in the shape of the angles."""
    shape = angles.shape
    if len(shape) < 4:
        return torch.from_numpy(rows.reshape(shape))
    return torch.from_numpy(rows.reshape(shape[1], shape[0], *shape[2:]).swapaxes(0, 1))


@cache
def _numbers_of(axes: str) -> Array:
    return np.array(["XYZ".index(axis) for axis in axes])
