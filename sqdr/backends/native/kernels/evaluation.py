"""Circuits by kernels: what is the same for every method."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sqdr.backends.native.autograd import Tensors
from sqdr.backends.native.kernels.rotations import rotations, rotations_backward
from sqdr.backends.native.kernels.tiles import Array, tiled, untile
from sqdr.backends.native.method import Method
from sqdr.compilation import in_parallel
from sqdr.vectors import n_lanes

#: Numbers in the quaternions that are made at a time, so that they stay in the processor's cache.
_AT_A_TIME = 2**16
#: Multiply-adds that are worth a thread: a fifth of a millisecond.
_WORTH_A_THREAD = 2 * 10**6


class KernelEvaluation(ABC):
    """Values and first gradients of a method on the CPU; all else is left to `Method.values`.

    The inputs are angles (Tensor of shape (batch, n_wires, 3)), weights, couplings and the noise as
    `Method.noise_tensors` returns it. The batch is cut into tiles, which are shared out among threads.
    Each thread takes a few tiles at a time, and makes quaternions of their angles; a subclass makes
    values of those.
    """

    def __init__(self, method: Method) -> None:
        self.method = method
        self.shape = method.shape
        self.known_noise: tuple[Tensor | None, Array] = None, np.empty(0)

    @abstractmethod
    def values_of(self, quaternions: Array, noise: Array, alone: int, kept: Array | None) -> Array:
        """Values of the words.

        Args:
            quaternions (Array of shape (tiles, 4 * n_blocks * n_wires, width)): by block and wire.
            noise (Array of shape (tiles or 1, numbers * n_wires, width)): by number and wire.
            alone (int): number of samples, if each is to be a tile of its own; else 0.
            kept (Array of shape (tiles, numbers, width) or None): to be written, what the gradient
                needs besides, if there will be one; see `kept_numbers`. For samples alone of shape
                (samples, numbers / width, width).

        Returns:
            Array of shape (tiles, n_wires, width)
        """

    @abstractmethod
    def gradient_of(
        self,
        grad: Array,
        quaternions: Array,
        noise: Array,
        alone: int,
        kept: Array,
        grad_noise: Array,
    ) -> Array:
        """Gradient by the quaternions, given that by the values.

        Args:
            grad (Array of shape (tiles, n_wires, width))
            quaternions, noise, alone, kept: as in `values_of`.
            grad_noise (Array): of the shape of `noise`; the gradient by it is added. Without rows if it
                is not asked for.
        """

    def kept_numbers(self) -> int:
        """How many numbers of a sample are kept for the gradient."""
        return 0

    def takes_samples_alone(self, size: int) -> bool:  # noqa: ARG002
        """Whether each of so many samples is to be a tile of its own."""
        return False

    def function(self, *inputs: Tensor) -> Tensor:
        return self.method.values(*inputs)

    def forward(self, *inputs: Tensor, keep: bool) -> tuple[Tensor, Tensors]:
        angles = inputs[0]
        batch = _Batch(self, *inputs)
        values = angles.new_empty(batch.size, self.shape.n_wires)
        into = values.numpy()
        kept = [batch.empty_to_keep(numbers)] if keep and (numbers := self.kept_numbers()) else []
        array = kept[0].numpy() if kept else None

        def part(start: int, stop: int) -> None:
            of_weights = batch.empty_of_weights()
            for tiles, samples in batch.groups(start, stop):
                _, quaternions = batch.rotated(samples, of_weights, tiles.start == start)
                own = None if array is None else array[samples if batch.alone else tiles]
                alone = samples.stop - samples.start if batch.alone else 0
                untile(self.values_of(quaternions, batch.noise_of(samples), alone, own), into[samples])

        batch.in_parallel(part)
        return values, kept

    def backward(
        self, grad: Tensor, inputs: Tensors, kept: Tensors, needed: Sequence[bool]
    ) -> Sequence[Tensor | None]:
        angles, weights, _, noise = inputs
        batch = _Batch(self, *inputs)
        rows = _rows(grad, self.shape.n_wires)
        array = kept[0].numpy() if kept else np.empty((batch.size, 0, 0), batch.dtype)
        grad_angles = angles.new_empty(angles.shape)
        into = grad_angles.numpy().reshape(batch.size, -1)
        grad_noise = np.zeros((len(noise) * self.shape.n_wires, noise.shape[1]), batch.dtype)

        def part(start: int, stop: int) -> tuple[Any, Any]:
            of_weights = batch.empty_of_weights()
            grad_weights, sums_of_weights = np.empty_like(batch.weights), np.zeros_like(of_weights)
            of_noise: Any = 0
            for tiles, samples in batch.groups(start, stop):
                own_angles, quaternions = batch.rotated(samples, of_weights, tiles.start == start)
                own_noise = batch.noise_of(samples)
                sums = np.zeros_like(own_noise) if needed[3] else own_noise[:, :0]
                own = array[samples if batch.alone else tiles]
                alone = samples.stop - samples.start if batch.alone else 0
                found = self.gradient_of(tiled(rows[samples]), quaternions, own_noise, alone, own, sums)
                of_tiles = np.empty_like(own_angles)
                own_weights = grad_weights if tiles.stop == stop else grad_weights[:0]
                arguments = found, sums_of_weights, of_tiles, own_weights
                rotations_backward(own_angles, batch.weights, of_weights, *arguments)
                untile(of_tiles, into[samples])
                if needed[3] and batch.noise_differs:
                    untile(sums, grad_noise.T[samples])
                elif needed[3]:
                    of_noise = of_noise + sums[0].sum(1, keepdims=True)
            return grad_weights[:, 0], of_noise

        parts = batch.in_parallel(part)
        of_weights = sum(of_weights for of_weights, _ in parts)
        grads = [grad_angles, torch.from_numpy(of_weights).reshape(weights.shape), None, None]
        if needed[3]:
            grad_noise += sum(of_noise for _, of_noise in parts)
            of_numbers = torch.from_numpy(grad_noise).reshape(len(noise), self.shape.n_wires, -1)
            grads[3] = of_numbers.transpose(1, 2)
        return grads


class _Batch:
    """The inputs as arrays, cut into tiles."""

    def __init__(
        self, evaluation: KernelEvaluation, angles: Tensor, weights: Tensor, _: Tensor, noise: Tensor
    ) -> None:
        self.angles = _rows(angles, 3 * evaluation.shape.n_wires)
        self.size, self.dtype = len(self.angles), self.angles.dtype
        self.width = n_lanes(self.dtype)
        self.n_tiles = -(-self.size // self.width)
        self.weights = _first_lane(_rows(weights, weights.numel())[0], self.width)
        self.alone = evaluation.takes_samples_alone(self.size)
        self.noise_differs = noise.shape[1] > 1
        known, tile = evaluation.known_noise
        if self.noise_differs:
            self.noise = _rows(noise.permute(1, 0, 2), noise.shape[0] * noise.shape[2])
        elif known is noise:
            self.noise = tile
        else:
            self.noise = np.repeat(_rows(noise, 1), self.width, 1)[None]
            if not noise.requires_grad:
                evaluation.known_noise = noise, self.noise
        per_sample = len(self.weights) // 3 * 4
        self._group = max(1, _AT_A_TIME // (per_sample * self.width))
        cost = evaluation.method.multiply_adds() * self.width
        self._at_least = max(1, _WORTH_A_THREAD // cost)

    def in_parallel(self, part: Any) -> list[Any]:
        """Results of `part(start, stop)` for ranges of tiles, one for each thread."""
        if self.n_tiles < 2 * self._at_least:
            return [part(0, self.n_tiles)]
        return in_parallel(part, self.n_tiles, self._at_least)

    def groups(self, start: int, stop: int) -> Iterator[tuple[slice, slice]]:
        """A few tiles at a time, and the samples in them."""
        for first in range(start, stop, self._group):
            last = min(first + self._group, stop)
            end = min(last * self.width, self.size)
            yield slice(first, last), slice(first * self.width, end)

    def empty_of_weights(self) -> Array:
        return np.empty((len(self.weights) // 3 * 4, self.width), self.dtype)

    def rotated(self, samples: slice, of_weights: Array, is_first: bool) -> tuple[Array, Array]:
        """Tiles of the angles, and the quaternions of all blocks; those of the weights at first."""
        angles = tiled(self.angles[samples])
        quaternions = np.empty((len(angles), *of_weights.shape), self.dtype)
        rotations(angles, self.weights if is_first else self.weights[:0], of_weights, quaternions)
        return angles, quaternions

    def noise_of(self, samples: slice) -> Array:
        return tiled(self.noise[samples]) if self.noise_differs else self.noise

    def empty_to_keep(self, numbers: int) -> Tensor:
        if self.alone:
            shape = self.size, numbers // self.width, self.width
        else:
            shape = self.n_tiles, numbers, self.width
        return torch.from_numpy(np.empty(shape, self.dtype))


def _rows(tensor: Tensor, numbers: int) -> Array:
    """A tensor as a contiguous array of two axes, the second of so many numbers."""
    rows: Array = tensor.detach().resolve_neg().contiguous().numpy().reshape(-1, numbers)
    return rows


def _first_lane(numbers: Array, width: int) -> Array:
    lanes = np.zeros((len(numbers), width), numbers.dtype)
    lanes[:, 0] = numbers
    return lanes
