"""Stages of a front end, four layers each, as kernels that take all time steps at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from spikingjelly.activation_based import surrogate
from torch import Tensor, nn

from sqdr.compilation import in_parallel
from sqdr.spiking.codes import N_PHASES, repeated
from sqdr.spiking.neurons import Dynamics
from sqdr.spiking.stages import Stage

#: Images at a time where no gradients are wanted, so that memory does not grow with the batch.
IMAGES_AT_A_TIME = 512


def evaluate(
    stages: list[Stage],
    images: Tensor,
    T: int,
    code: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Images (batch, channels, height, width) -> spikes (T, batch, channels, height, width).

    Args:
        code (callable or None): gives the time steps (P, batch, channels, height, width) of images
            without those that come again; None stands for the phase code.
    """
    is_training = any(stage.normalisation.training for stage in stages)
    if torch.is_grad_enabled() or is_training or len(images) <= IMAGES_AT_A_TIME:
        return _evaluate(stages, images, T, code)
    parts = torch.split(images, IMAGES_AT_A_TIME)
    return torch.cat([_evaluate(stages, part, T, code) for part in parts], 1)


def _evaluate(
    stages: list[Stage], images: Tensor, T: int, code: Callable[[Tensor], Tensor] | None
) -> Tensor:
    n_images, _, height, width = images.shape
    dtype = stages[0].convolution.weight.dtype
    if code is None:
        n_steps, values = min(T, N_PHASES), _to_tiles(torch.floor(images * 255).to(dtype)).unsqueeze(1)
    else:
        steps = code(images).to(dtype)
        n_steps, values = len(steps), _framed_tiles(steps.transpose(0, 1))
    for i, (convolution, norm, neurons, _) in enumerate(stages):
        assert neurons.dynamics is not None
        is_image = i == 0 and code is None
        geometry = Geometry(T, n_images, height, width, n_steps if i == 0 else T, is_image)
        settings = Settings(geometry, neurons.dynamics, norm.eps, norm.training)
        values, mean, variance = _StageFunction.apply(
            values,
            convolution.weight,
            norm.weight,
            norm.bias,
            *((None, None) if norm.training else (norm.running_mean, norm.running_var)),
            settings,
        )
        if norm.training:
            with torch.no_grad():
                norm.num_batches_tracked.add_(1)
                norm.running_mean.lerp_(mean, norm.momentum)
                norm.running_var.lerp_(variance, norm.momentum)
        height, width = height // 2, width // 2
    return _from_tiles(_unframed(values, height, width), n_images)


def _to_tiles(values: Tensor) -> Tensor:
    """(batch, ...) -> (tiles, ..., lanes), filled up with zeros."""
    from sqdr.vectors import n_lanes as n_lanes_of

    n_lanes = n_lanes_of(values.dtype)
    missing = -len(values) % n_lanes
    if missing:
        values = torch.cat((values, values.new_zeros(missing, *values.shape[1:])))
    tiles = values.reshape(-1, n_lanes, *values.shape[1:])
    return tiles.movedim(1, -1).contiguous()


def _from_tiles(values: Tensor, n_images: int) -> Tensor:
    """(tiles, T, ..., lanes) -> (T, batch, ...), without what had filled it up."""
    images = values.movedim(-1, 1).flatten(0, 1)[:n_images]
    return images.transpose(0, 1)


def _framed_tiles(values: Tensor) -> Tensor:
    """(batch, steps, channels, height, width) -> inputs, as in kernels.py."""
    right, below = values.shape[-1] % 2 + 1, values.shape[-2] % 2 + 1
    return nn.functional.pad(_to_tiles(values), (0, 0, 1, right, 1, below))


def _unframed(values: Tensor, height: int, width: int) -> Tensor:
    """(..., height + 2.., width + 2.., lanes) -> (..., height, width, lanes)."""
    return values[..., 1 : height + 1, 1 : width + 1, :]


class Geometry(NamedTuple):
    """Numbers of a stage.

    Args:
        T, n_images: time steps, and images that are not there to fill a tile.
        height, width: of its inputs.
        n_steps: time steps that differ, which come again and again.
        is_image: whether the inputs are grey levels; else spikes.
    """

    T: int
    n_images: int
    height: int
    width: int
    n_steps: int
    is_image: bool


class Settings(NamedTuple):
    """What a stage is beside its tensors.

    Args:
        eps: of the batch normalisation.
        is_training: whether that takes mean and variance from the currents.
    """

    geometry: Geometry
    dynamics: Dynamics
    eps: float
    is_training: bool


class _StageFunction(torch.autograd.Function):
    """Inputs -> outputs, as in kernels.py, and mean and unbiased variance of the currents."""

    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        weight: Tensor,
        scale: Tensor,
        shift: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        settings: Settings,
    ) -> tuple[Tensor, Tensor, Tensor]:
        from sqdr.spiking import kernels

        geometry = settings.geometry
        T, n_images, height, width, P, is_image = geometry
        tiles, n_lanes, out = len(inputs), inputs.shape[-1], len(weight)
        n = T * n_images * height * width
        currents = inputs.new_empty(tiles, out, height, P, width, n_lanes)
        x, w, c = _numpy(inputs), _numpy(weight.contiguous()), _numpy(currents)
        repeats = _repeats(T, P, c.dtype)

        def convolve_part(start: int, stop: int) -> NDArray[np.float64]:
            sums = np.zeros((out, 2))
            kernels.convolve(
                x[start:stop], is_image, w, _plane(c, geometry, weight.shape[1]), c[start:stop]
            )
            if settings.is_training:
                kernels.add_moments(c[start:stop], repeats, sums)
            return sums

        sums = np.sum(in_parallel(convolve_part, tiles), axis=0)
        if running_mean is None or running_var is None:
            mean = sums[:, 0] / n
            variance = np.maximum(sums[:, 1] / n - mean**2, 0)
        else:
            mean, variance = (_numpy(values).astype(float) for values in (running_mean, running_var))
        inverse = 1 / np.sqrt(variance + settings.eps)
        gain = settings.dynamics.gain
        a = gain * _numpy(scale) * inverse
        b = gain * _numpy(shift) - mean * a
        a, b = a.astype(c.dtype), b.astype(c.dtype)
        outputs = inputs.new_empty(tiles, T, out, *map(_framed, (height // 2, width // 2)), n_lanes)
        present = _present(n_images, tiles, n_lanes, c.dtype)
        neuron = np.array(settings.dynamics.of_kernels, c.dtype)
        y = _numpy(outputs)

        def fire_part(start: int, stop: int) -> None:
            part = slice(start, stop)
            kernels.fire(c[part], a, b, neuron, present[part], y[part])

        in_parallel(fire_part, tiles)
        ctx.save_for_backward(inputs, weight, scale, shift, running_mean, running_var, currents)
        ctx.settings = settings
        ctx.rest = mean, inverse, a, b, repeats, present, neuron
        unbiased = variance * n / max(n - 1, 1)
        mean_, variance_ = (torch.from_numpy(values).to(inputs.dtype) for values in (mean, unbiased))
        ctx.mark_non_differentiable(mean_, variance_)
        return outputs, mean_, variance_

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        from sqdr.spiking import kernels

        *tensors, currents = ctx.saved_tensors
        inputs, weight, *_ = tensors
        settings: Settings = ctx.settings
        if torch.is_grad_enabled():
            return _differentiable_gradients(grad, tensors, settings)
        mean, inverse, a, b, repeats, present, neuron = ctx.rest
        geometry = settings.geometry
        T, n_images, height, width, _steps, is_image = geometry
        tiles, out = len(inputs), len(weight)
        odd = height % 2 or width % 2
        grad_currents = torch.zeros_like(currents) if odd else torch.empty_like(currents)
        x, c, g, gc = _numpy(inputs), _numpy(currents), _numpy(grad.contiguous()), _numpy(grad_currents)
        centre = mean.astype(c.dtype)

        def fire_part(start: int, stop: int) -> NDArray[np.float64]:
            sums = np.zeros((out, 2))
            part = slice(start, stop)
            kernels.fire_backward(c[part], a, b, centre, neuron, g[part], gc[part], sums)
            return sums

        sums = np.sum(in_parallel(fire_part, tiles), axis=0)
        gain = settings.dynamics.gain
        grad_scale = torch.from_numpy(gain * sums[:, 1] * inverse).to(weight.dtype)
        grad_shift = torch.from_numpy(gain * sums[:, 0]).to(weight.dtype)
        wanted = ctx.needs_input_grad[1], ctx.needs_input_grad[0] and not is_image
        grad_weight = None
        grad_inputs: Tensor | None = None
        if ctx.needs_input_grad[0]:
            grad_inputs = torch.zeros_like(inputs) if is_image else torch.empty_like(inputs)
        if any(wanted):
            normalisation = np.zeros((out, 4))
            normalisation[:, 0], normalisation[:, 3] = a, mean
            if settings.is_training:
                n = T * n_images * height * width
                normalisation[:, 1], normalisation[:, 2] = sums[:, 0] / n, sums[:, 1] * inverse**2 / n
            normalisation = normalisation.astype(c.dtype)
            flipped = _numpy(weight.flip(2, 3).transpose(0, 1).contiguous())
            gx = x if grad_inputs is None else _numpy(grad_inputs)

            def convolve_part(start: int, stop: int) -> NDArray[np.float64]:
                gw = np.zeros((out, weight.shape[1], 9))
                part = slice(start, stop)
                kernels.convolve_backward(
                    x[part],
                    is_image,
                    flipped,
                    c[part],
                    gc[part],
                    normalisation,
                    repeats,
                    present[part],
                    _plane(c, geometry, weight.shape[1]),
                    _plane(c, geometry, out),
                    gw,
                    gx[part],
                    wanted,
                )
                return gw

            gw = np.sum(in_parallel(convolve_part, tiles), axis=0)
            if wanted[0]:
                grad_weight = torch.from_numpy(gw).to(weight.dtype).view(weight.shape)
        return grad_inputs, grad_weight, grad_scale, grad_shift, None, None, None


def _differentiable_gradients(
    grad: Tensor, tensors: list[Any], settings: Settings
) -> tuple[Tensor | None, ...]:
    """What `backward` returns, by operations that torch differentiates once more."""
    gradients: list[Tensor | None] = [None] * (len(tensors) + 1)
    wanted = [i for i, tensor in enumerate(tensors) if tensor is not None and tensor.requires_grad]
    outputs = _by_operations(settings, *tensors)
    found = torch.autograd.grad(outputs, [tensors[i] for i in wanted], grad, create_graph=True)
    for i, gradient in zip(wanted, found, strict=True):
        gradients[i] = gradient
    return tuple(gradients)


def _by_operations(
    settings: Settings,
    inputs: Tensor,
    weight: Tensor,
    scale: Tensor,
    shift: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
) -> Tensor:
    """The outputs of a stage by torch's own operations."""
    T, n_images, height, width, _, is_image = settings.geometry
    if is_image:
        places = 2.0 ** (torch.arange(T) % N_PHASES + 1 - N_PHASES).to(inputs.dtype)
        levels = _from_tiles(inputs, n_images)
        spikes = torch.floor(levels * places.reshape(T, 1, 1, 1, 1)) % 2
    else:
        spikes = repeated(_from_tiles(_unframed(inputs, height, width), n_images), T)
    currents = nn.functional.batch_norm(
        nn.functional.conv2d(spikes.flatten(0, 1), weight, padding=1),
        running_mean,
        running_var,
        scale,
        shift,
        settings.is_training,
        eps=settings.eps,
    )
    decay, gain, threshold, surrogate_height, _ = settings.dynamics
    spike = surrogate.ATan(2 * surrogate_height)
    potentials, steps = torch.zeros_like(currents[:n_images]), []
    for current in torch.split(currents, n_images):
        potentials = decay * potentials + gain * current
        steps.append(spike(potentials - threshold))
        potentials = (1 - steps[-1]) * potentials
    return _framed_tiles(torch.stack([nn.functional.max_pool2d(step, 2) for step in steps], 1))


def _numpy(tensor: Tensor) -> NDArray[Any]:
    return tensor.detach().numpy()


def _plane(like: NDArray[Any], geometry: Geometry, channels: int) -> NDArray[Any]:
    """Zeros (channels, height, width, lanes) with a frame, for one tile and time step."""
    shape = channels, _framed(geometry.height), _framed(geometry.width), like.shape[-1]
    return np.zeros(shape, like.dtype)


def _framed(length: int) -> int:
    """Pixels of a row of so many within its frame."""
    return length + length % 2 + 2


def _repeats(T: int, P: int, dtype: Any) -> NDArray[Any]:
    """How often each of the P time steps that differ comes in T."""
    return np.bincount(np.arange(T) % P, minlength=P).astype(dtype)


def _present(n_images: int, tiles: int, n_lanes: int, dtype: Any) -> NDArray[Any]:
    """(tiles, lanes), 1 where there is an image, else 0."""
    return (np.arange(tiles * n_lanes) < n_images).astype(dtype).reshape(tiles, n_lanes)
