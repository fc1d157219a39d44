"""The spiking front end: images -> firing rates."""

import math
from itertools import pairwise
from typing import Any, cast

import torch
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

#: Phases of the phase code: the bits of an 8-bit image.
N_PHASES = 8
#: The smallest image that survives three poolings.
MIN_IMAGE_SIZE = 8
#: Numbers that a convolution computes in one call, 16 MB in single precision.
MAX_CONVOLVED = 2**22


class SpikingEncoder(nn.Module):
    """A convolutional spiking network that turns an image into firing rates.

    Three times convolution, batch normalisation, integrate-and-fire neurons and max pooling, then a
    global average, a linear layer and integrate-and-fire neurons, whose spikes are averaged over the
    time steps. The layers and their settings are those of arXiv 2512.03895, built from SpikingJelly.

    Args:
        T (int): number of time steps.
        in_channels (int): channels of the image.
        out_features (int): number of firing rates.
        width (int): factor of the number of channels, which are 2, 4 and 8 times in_channels * width.

    Shape:
        images (Tensor of shape (batch, in_channels, height, width)): in [0, 1], at least 8 x 8.
        returns (Tensor of shape (batch, out_features)): firing rates in [0, 1], in steps of 1 / T.
    """

    def __init__(self, T: int, in_channels: int, out_features: int, width: int = 1) -> None:
        super().__init__()
        self.T = T
        channels = [in_channels, *(factor * in_channels * width for factor in (2, 4, 8))]
        layers: list[nn.Module] = []
        for before, after in pairwise(channels):
            layers += [
                Convolution(before, after),
                layer.BatchNorm2d(after, momentum=math.sqrt(0.1)),
                IntegrateAndFire(),
                layer.MaxPool2d(2, 2),
            ]
        layers += [
            layer.AdaptiveAvgPool2d((1, 1)),
            layer.Flatten(),
            layer.Linear(channels[-1], out_features),
            IntegrateAndFire(),
        ]
        self.layers = nn.Sequential(*layers)
        functional.set_step_mode(self, "m")

    def forward(self, images: Tensor) -> Tensor:
        weight: Tensor = next(self.parameters())
        spikes = self.layers(phase_code(images, self.T).to(weight.dtype))
        return cast(Tensor, spikes.mean(0))


class Convolution(layer.Conv2d):  # type: ignore[misc]
    """SpikingJelly's 3 x 3 convolution with padding 1 and no bias, faster for the few channels here.

    The forward values are those of `layer.Conv2d` bit by bit, because a neuron turns a rounding error
    at its threshold into another spike. The gradients are equal up to rounding.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size=3, padding=1, bias=False)

    def forward(self, x_seq: Tensor) -> Tensor:
        """Spikes (T, batch, in_channels, ...) -> currents (T, batch, out_channels, ...)."""
        if not _has_fast_path(x_seq, self.weight):
            return cast(Tensor, super().forward(x_seq))
        currents = _ConvolutionFunction.apply(x_seq.flatten(0, 1), self.weight)
        return cast(Tensor, currents.unflatten(0, x_seq.shape[:2]))


class IntegrateAndFire(neuron.IFNode):  # type: ignore[misc]
    """SpikingJelly's integrate-and-fire neuron with the ATan surrogate gradient, without memory.

    Each call starts from a membrane potential of zero and leaves nothing behind, so there is nothing
    to reset, and calls of different batch sizes or from different threads do not meet.
    """

    def __init__(self) -> None:
        super().__init__(surrogate_function=surrogate.ATan())

    def multi_step_forward(self, x_seq: Tensor) -> Tensor:
        """Input currents (T, ...) -> spikes (T, ...)."""
        if _has_fast_path(x_seq) and self._is_standard:
            return cast(Tensor, _IntegrateAndFireFunction.apply(x_seq)[0])
        spikes, _, _ = functional.if_multi_step(
            x_seq,
            torch.zeros_like(x_seq[0]),
            v_threshold=self.v_threshold,
            v_reset=self.v_reset,
            surrogate_function=self.surrogate_function,
            detach_reset=self.detach_reset,
        )
        return cast(Tensor, spikes)

    @property
    def _is_standard(self) -> bool:
        """Whether the neuron is as it was made; its attributes may be changed."""
        gradient = self.surrogate_function
        has_gradient = type(gradient) is surrogate.ATan and gradient.alpha == 2 and gradient.spiking
        return has_gradient and (self.v_threshold, self.v_reset, self.detach_reset) == (1, 0, False)


def _has_fast_path(*tensors: Tensor) -> bool:
    """Whether the functions below apply; elsewhere SpikingJelly chooses kernels for the device."""
    return not torch.compiler.is_compiling() and all(
        tensor.device.type == "cpu"
        and tensor.dtype in (torch.float32, torch.float64)
        and tensor.dtype == tensors[0].dtype
        and not torch.is_autocast_enabled("cpu")
        for tensor in tensors
    )


class _ConvolutionFunction(torch.autograd.Function):
    """Images (n, c, height, width), weight (o, c, 3, 3) -> (n, o, height, width)."""

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


class _IntegrateAndFireFunction(torch.autograd.Function):
    """Currents (T, ...) -> spikes (T, ...) and minus the potentials before the reset (T, ...).

    A step is h = v + x, s = [h >= 1], v = (1 - s) h. The potentials have the opposite sign in here,
    which makes `threshold` and its backward kernel the reset and its gradient, one operation each.
    The gradient of s is that of SpikingJelly's ATan with alpha = 2, 1 / (1 + (pi (h - 1))^2).
    """

    @staticmethod
    def forward(currents: Tensor) -> tuple[Tensor, Tensor]:
        minus_h = torch.empty_like(currents, memory_format=torch.contiguous_format)
        torch.neg(currents[0], out=minus_h[0])
        for t in range(1, len(currents)):
            minus_v = nn.functional.threshold(minus_h[t - 1], -1.0, 0.0)
            torch.sub(minus_v, currents[t], out=minus_h[t])
        spikes = torch.empty_like(minus_h)
        torch.le(minus_h, -1.0, out=spikes)
        return spikes, minus_h

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: tuple[Tensor, Tensor]) -> None:  # noqa: ARG004
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(output[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_spikes: Tensor, _: Tensor) -> Tensor:
        (minus_h,) = ctx.saved_tensors
        grad = torch.empty_like(minus_h)
        ones = torch.ones_like(minus_h[0])
        grad_v = torch.zeros_like(minus_h[0])
        for t in reversed(range(len(minus_h))):
            distance = minus_h[t] + 1
            slope = torch.addcmul(ones, distance, distance, value=math.pi**2, out=distance)  # 1 / slope
            grad_s = torch.addcmul(grad_spikes[t], minus_h[t], grad_v)
            past_reset = torch.ops.aten.threshold_backward(grad_v, minus_h[t], -1.0)
            grad_v = torch.addcdiv(past_reset, grad_s, slope, out=grad[t])
        return grad


def phase_code(images: Tensor, T: int) -> Tensor:
    """Bits of the pixels as spikes, the most significant first, over and over for T time steps.

    This is SpikingJelly's `WeightedPhaseEncoder(K=8)` on images scaled by 255 / 256, without its check
    of the range, which would wait for a CUDA device. Source: Kim et al., Neurocomputing 311 (2018).

    Args:
        images (Tensor of shape (...)): in [0, 1].
        T (int): number of time steps.

    Returns:
        Tensor of shape (T, ...): zeros and ones.
    """
    phases = torch.arange(T, device=images.device) % N_PHASES
    place_values = (2.0 ** (phases + 1)).to(images.dtype).reshape(T, *[1] * images.dim())
    return torch.floor(images * 255 / 256 * place_values) % 2
