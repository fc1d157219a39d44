"""Trained scales of the data, in one node with the circuit that takes what they make of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from sqdr.backends.native.autograd import Evaluation, Tensors
from sqdr.compilation import kernel

if TYPE_CHECKING:  # it imports Numba
    from sqdr.backends.native.kernels.tiles import Array


@dataclass(frozen=True)
class Scaled:
    """An `Evaluation` of angles (batch, n_features), scales (n_blocks, ...) and what else there is.

    Args:
        evaluation (Evaluation): of scaled angles, of shape (batch, number of scales), and the rest.
    """

    evaluation: Evaluation

    def function(self, *inputs: Tensor) -> Tensor:
        angles, scales, *others = inputs
        by_input = angles.reshape(len(angles), -1, scales[0].numel())
        return self.evaluation.function((by_input * scales.flatten(1)).flatten(1), *others)

    def forward(self, *inputs: Tensor, keep: bool) -> tuple[Tensor, Tensors]:
        angles, scales, *others = inputs
        given = _arrays(angles, scales)
        rows = np.empty((len(given[0]), given[1].size), given[0].dtype)
        scale(*given, rows)
        of_angles = torch.from_numpy(rows)
        values, kept = self.evaluation.forward(of_angles, *others, keep=keep)
        return values, [of_angles, *kept]

    def backward(
        self, grad: Tensor, inputs: Tensors, kept: Tensors, needed: Sequence[bool]
    ) -> Sequence[Tensor | None]:
        angles, scales, *others = inputs
        of_angles, *kept = kept
        of_rows, *rest = self.evaluation.backward(grad, (of_angles, *others), kept, needed[1:])
        assert of_rows is not None
        given = *_arrays(angles, scales), of_rows.numpy()
        grad_angles, grad_scales = map(np.zeros_like, given[:2])
        scale_backward(*given, grad_angles, grad_scales)
        of_scales = torch.from_numpy(grad_scales.reshape(scales.shape))
        return torch.from_numpy(grad_angles), of_scales, *rest


@kernel
def scale(angles: Array, scales: Array, rows: Array) -> None:
    """Angles times scales.

    Args:
        angles (Array of shape (batch, n_features)): in radians; each block has its own, or all share
            them.
        scales (Array of shape (numbers,)): of all blocks.
        rows (Array of shape (batch, numbers)): to be written.
    """
    n_features = angles.shape[1]
    for sample in range(len(angles)):
        for start in range(0, len(scales), n_features):
            for place in range(n_features):
                rows[sample, start + place] = angles[sample, place] * scales[start + place]


@kernel
def scale_backward(
    angles: Array, scales: Array, grad_rows: Array, grad_angles: Array, grad_scales: Array
) -> None:
    """Add the gradients by angles and scales to Arrays of their shapes, given that of the rows."""
    n_features = angles.shape[1]
    for sample in range(len(angles)):
        for start in range(0, len(scales), n_features):
            for place in range(n_features):
                grad = grad_rows[sample, start + place]
                grad_angles[sample, place] += grad * scales[start + place]
                grad_scales[start + place] += grad * angles[sample, place]


def _arrays(angles: Tensor, scales: Tensor) -> tuple[Array, Array]:
    of_angles, of_scales = (tensor.numpy(force=True) for tensor in (angles, scales))
    return np.ascontiguousarray(of_angles), of_scales.reshape(-1)
