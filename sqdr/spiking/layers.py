"""Layers with weights."""

import math
from typing import Any, cast

import torch
from spikingjelly.activation_based import layer
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from sqdr.spiking.neurons import has_fast_path

#: Numbers that a convolution computes in one call, 16 MB in single precision.
MAX_CONVOLVED = 2**22


class Convolution(layer.Conv2d):  # type: ignore[misc]
    """SpikingJelly's 3 x 3 convolution with padding 1 and no bias, faster for the few channels here.

    The forward values are those of `layer.Conv2d` bit by bit, because a neuron turns a rounding error
    at its threshold into another spike. The gradients are equal up to rounding.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size=3, padding=1, bias=False)

    def forward(self, x_seq: Tensor) -> Tensor:
        """Spikes (T, batch, in_channels, ...) -> currents (T, batch, out_channels, ...)."""
        if not has_fast_path(x_seq, self.weight):
            return cast(Tensor, super().forward(x_seq))
        currents = _ConvolutionFunction.apply(x_seq.flatten(0, 1), self.weight)
        return cast(Tensor, currents.unflatten(0, x_seq.shape[:2]))


class _ConvolutionFunction(torch.autograd.Function):
    """Images (n, c, height, width), weight (o, c, 3, 3) -> (n, o, height, width)."""

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], images: Tensor, weight: Tensor
    ) -> tuple[Tensor, int]:
        """One after the other."""
        each = [
            _ConvolutionFunction.apply(
                *(
                    tensor if dim is None else tensor.select(dim, i)
                    for tensor, dim in zip((images, weight), in_dims, strict=True)
                )
            )
            for i in range(info.batch_size)
        ]
        return torch.stack(each), 0

    @staticmethod
    def forward(images: Tensor, weight: Tensor) -> Tensor:
        return _convolve(images, weight)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:  # noqa: ARG004
        ctx.save_for_backward(*inputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        images, weight = ctx.saved_tensors
        grad_images = grad_weight = None
        if ctx.needs_input_grad[0]:
            # The convolution with the flipped kernel: oneDNN's kernel for it is several times faster
            # than its backward kernel when the channels are few.
            grad_images = _convolve(grad, weight.flip(2, 3).transpose(0, 1))
        if ctx.needs_input_grad[1]:
            _, grad_weight, _ = torch.ops.aten.convolution_backward(
                _channels_last(grad),
                _channels_last(images),
                weight,
                None,
                stride=[1, 1],
                padding=[1, 1],
                dilation=[1, 1],
                transposed=False,
                output_padding=[0, 0],
                groups=1,
                output_mask=[False, True, False],
            )
        return grad_images, grad_weight


def _convolve(images: Tensor, weight: Tensor) -> Tensor:
    """Images (n, c, height, width), weight (o, c, 3, 3) -> (n, o, height, width).

    Some images at a time: oneDNN pads the channels of its result to a multiple of 16. For all images
    at once that can exceed what the allocator reuses, and getting fresh memory takes most of the time.
    """
    n, _, height, width = images.shape
    padded_channels = math.ceil(weight.shape[0] / 16) * 16
    at_once = max(1, MAX_CONVOLVED // (padded_channels * height * width))
    if n <= at_once:
        return nn.functional.conv2d(images, weight, padding=1)
    currents = images.new_empty(n, weight.shape[0], height, width)
    for some, result in zip(torch.split(images, at_once), torch.split(currents, at_once), strict=True):
        result.copy_(nn.functional.conv2d(some, weight, padding=1))
    return currents


def _channels_last(images: Tensor) -> Tensor:
    """A copy of images (n, c, height, width) with the channels last in memory, also for one channel."""
    return images.movedim(1, -1).clone(memory_format=torch.contiguous_format).movedim(-1, 1)
