"""Circuits by kernels: what is the same for every method."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from sqdr.ansatz import all_wires
from sqdr.backends.native.autograd import Tensors
from sqdr.backends.native.kernels.rotations import quarter_turn, rotations, rotations_backward
from sqdr.backends.native.kernels.tiles import Array, tiled, untile
from sqdr.backends.native.method import Method
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
    """

    noise: Array
    turns: Array
    alone: int


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

    The inputs are those of `Method.values`. The batch is cut into tiles, which are shared out among
    threads. Each thread takes a few tiles at a time, and makes quaternions of their angles; a subclass
    makes values of those.
    """

    def __init__(self, method: Method) -> None:
        self.method = method
        self.shape = method.shape
        self.known_noise: tuple[Tensor | None, Array] = None, np.empty(0)
        #: Those that are measured as Z, one after the other, behind a quarter turn.
        self.letters = ("Z",) if self.gives_words() else self.shape.letters
        #: Places of words and their wires, for each letter; None if values are those of words in order.
        self._measured: dict[str, tuple[list[int], list[int]] | None] = dict.fromkeys(self.letters)
        for letter in () if self.gives_words() else self.letters:
            is_each_wire = self.shape.words == all_wires(letter, self.shape.n_wires)
            self._measured[letter] = None if is_each_wire else self.shape.measured_in(letter)

    @abstractmethod
    def values_of(self, quaternions: Array, given: Given, kept: Array | None) -> Array:
        """<Z> of every wire, or values of all words; see `gives_words`.

        Args:
            quaternions (Array of shape (tiles, 4 * n_blocks * n_wires, width)): by block and wire.
            given (Given): what else the values depend on.
            kept (Array of shape (tiles, numbers, width) or None): to be written, what the gradient
                needs besides, if there will be one; see `kept_numbers`. For samples alone of shape
                (samples, numbers / width, width).

        Returns:
            Array of shape (tiles, n_wires or words, width)
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
            grad (Array of shape (tiles, n_wires or words, width))
            quaternions, given, kept: as in `values_of`.
            sums (Sums): the gradients by what is given are added.
        """

    def gives_words(self) -> bool:
        """Whether values are those of all words at once, not <Z> of every wire for each letter."""
        return False

    def noise_for(self, letter: str, noise: Array) -> Array:  # noqa: ARG002
        """The noise where a letter is measured as Z, behind a quarter turn."""
        return noise

    def add_noise_gradient(self, letter: str, grad: Array, into: Array) -> None:  # noqa: ARG002
        """Add the gradient by what `noise_for` returns to that by the noise."""
        into += grad

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
        letters = self.letters
        values = angles.new_empty(batch.size, len(self.shape.words))
        into = values.numpy()
        numbers = self.kept_numbers() if keep else 0
        kept = [batch.empty_to_keep(numbers) for _ in letters] if numbers else []
        arrays = [tensor.numpy() for tensor in kept] if kept else [None] * len(letters)

        def part(start: int, stop: int) -> None:
            of_weights = batch.empty_of_weights()
            for tiles, samples in batch.groups(start, stop):
                _, quaternions = batch.rotated(samples, of_weights, tiles.start == start)
                noise = batch.noise_of(samples)
                alone = samples.stop - samples.start if batch.alone else 0
                for letter, array in zip(letters, arrays, strict=True):
                    own = None if array is None else array[samples if batch.alone else tiles]
                    turned = self._turned(quaternions, letter)
                    given = Given(self.noise_for(letter, noise), batch.turns, alone)
                    found = self.values_of(turned, given, own)
                    self._put(found, letter, into[samples])

        batch.in_parallel(part)
        return values, kept

    def backward(
        self, grad: Tensor, inputs: Tensors, kept: Tensors, needed: Sequence[bool]
    ) -> Sequence[Tensor | None]:
        angles, weights, couplings, noise = inputs
        batch = _Batch(self, *inputs)
        letters = self.letters
        of_wires = [self._of_wires(_rows(grad, len(self.shape.words)), letter) for letter in letters]
        nothing = np.empty((batch.size, 0, 0), batch.dtype)
        arrays = [tensor.numpy() for tensor in kept] if kept else [nothing] * len(letters)
        grad_angles = np.empty_like(batch.angles)
        grad_noise = np.zeros((len(noise) * self.shape.n_wires, noise.shape[1]), batch.dtype)

        def part(start: int, stop: int) -> tuple[Any, Any, Any]:
            of_turns = np.zeros((batch.turns.size, batch.width), batch.dtype)
            of_weights = batch.empty_of_weights()
            grad_weights, sums_of_weights = np.empty_like(batch.weights), np.zeros_like(of_weights)
            room = batch.empty_room()
            of_noise: Any = 0
            for tiles, samples in batch.groups(start, stop):
                own_angles, quaternions = batch.rotated(samples, of_weights, tiles.start == start)
                own_noise = batch.noise_of(samples)
                sums = np.zeros_like(own_noise) if needed[3] else own_noise[:, :0]
                alone = samples.stop - samples.start if batch.alone else 0
                found: Any = None
                for letter, rows, array in zip(letters, of_wires, arrays, strict=True):
                    own = array[samples if batch.alone else tiles]
                    noise_here = self.noise_for(letter, own_noise)
                    of_letter = np.zeros_like(noise_here) if needed[3] else noise_here[:, :0]
                    turned = self._turned(quaternions, letter)
                    by_wires = tiled(rows[samples])
                    given = Given(noise_here, batch.turns, alone)
                    by_turned = self.gradient_of(
                        by_wires, turned, given, own, Sums(of_letter, of_turns)
                    )
                    of_these = self._turned(by_turned, letter, back=True)
                    found = of_these if found is None else found + of_these
                    if needed[3]:
                        self.add_noise_gradient(letter, of_letter, sums)
                of_tiles = np.empty_like(own_angles)
                own_weights = grad_weights if tiles.stop == stop else grad_weights[:0]
                arguments = found, sums_of_weights, of_tiles, own_weights
                rotations_backward(own_angles, batch.weights, *batch.axes, room, of_weights, *arguments)
                untile(of_tiles, grad_angles[samples])
                if needed[3] and batch.noise_differs:
                    untile(sums, grad_noise.T[samples])
                elif needed[3]:
                    of_noise = of_noise + sums[0].sum(1, keepdims=True)
            return grad_weights[:, 0], of_noise, of_turns.sum(1).reshape(batch.turns.shape)

        parts = batch.in_parallel(part)
        of_weights = sum(of_weights for of_weights, _, _ in parts)
        grads = [
            _as_given(grad_angles, angles),
            torch.from_numpy(of_weights).reshape(weights.shape),
            None,
            None,
        ]
        if needed[2]:
            by_cosine, by_sine = sum(of_turns for _, _, of_turns in parts)
            cosines, sines = batch.turns
            of_couplings = torch.from_numpy(cosines * by_sine - sines * by_cosine)
            grads[2] = of_couplings.reshape(couplings.shape)
        if needed[3]:
            grad_noise += sum(of_noise for _, of_noise, _ in parts)
            of_numbers = torch.from_numpy(grad_noise).reshape(len(noise), self.shape.n_wires, -1)
            grads[3] = of_numbers.transpose(1, 2)
        return grads

    def _turned(self, quaternions: Array, letter: str, *, back: bool = False) -> Array:
        """With the last block's quarter turn behind which the letter is Z; or turned back."""
        if letter == "Z":
            return quaternions
        axis, sign = (1, -1) if letter == "X" else (0, 1)
        turned = np.empty_like(quaternions)
        quarter_turn(quaternions, self.shape.n_wires, axis, -sign if back else sign, turned)
        return turned

    def _put(self, values: Array, letter: str, into: Array) -> None:
        """Write values of wires (tiles, n_wires, width) as those of words (samples, words)."""
        measured = self._measured[letter]
        if measured is None:
            untile(values, into)
            return
        places, wires = measured
        rows = np.empty((len(into), len(wires)), into.dtype)
        untile(values[:, wires], rows)
        into[:, places] = rows

    def _of_wires(self, rows: Array, letter: str) -> Array:
        """Gradient by the values of wires, given that by those of words."""
        measured = self._measured[letter]
        if measured is None:
            return rows
        places, wires = measured
        found = np.zeros((len(rows), self.shape.n_wires), rows.dtype)
        np.add.at(found.T, wires, rows[:, places].T)
        return found


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
        ansatz = evaluation.shape.ansatz
        self.axes = _numbers_of(ansatz.encoding), _numbers_of(ansatz.rotation)
        by_sample = angles if angles.dim() == 3 else angles.transpose(0, 1)
        self.angles = _rows(by_sample, angles.numel() // len(by_sample))
        longer = max(len(ansatz.encoding), len(ansatz.rotation))
        self.size, self.dtype = len(self.angles), self.angles.dtype
        self.width = n_lanes(self.dtype)
        self._room = 2 * longer, self.width
        self.n_tiles = -(-self.size // self.width)
        self.weights = _first_lane(_rows(weights, weights.numel())[0], self.width)
        of_pairs = _rows(couplings, max(1, couplings.numel()))
        self.turns = np.stack((np.cos(of_pairs), np.sin(of_pairs))).reshape(2, -1)
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
        self._n_numbers = 4 * ansatz.n_blocks * ansatz.n_wires
        self._group = max(1, _AT_A_TIME // (self._n_numbers * self.width))
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

    def empty_room(self) -> Array:
        return np.empty(self._room, self.dtype)

    def empty_of_weights(self) -> Array:
        return np.empty((self._n_numbers, self.width), self.dtype)

    def rotated(self, samples: slice, of_weights: Array, is_first: bool) -> tuple[Array, Array]:
        """Tiles of the angles, and the quaternions of all blocks; those of the weights at first."""
        angles = tiled(self.angles[samples])
        quaternions = np.empty((len(angles), *of_weights.shape), self.dtype)
        weights = self.weights if is_first else self.weights[:0]
        rotations(angles, weights, *self.axes, self.empty_room(), of_weights, quaternions)
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


def _as_given(rows: Array, angles: Tensor) -> Tensor:
    """Rows for each sample, in the shape of the angles (..., batch, n_wires, letters)."""
    found = torch.from_numpy(rows)
    if angles.dim() == 3:
        return found.reshape(angles.shape)
    return found.reshape(angles.transpose(0, 1).shape).transpose(0, 1)


@cache
def _numbers_of(axes: str) -> Array:
    return np.array(["XYZ".index(axis) for axis in axes])


def _first_lane(numbers: Array, width: int) -> Array:
    lanes = np.zeros((len(numbers), width), numbers.dtype)
    lanes[:, 0] = numbers
    return lanes
