"""Which layers of a front end run as one."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from spikingjelly.activation_based import layer
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.modules import module as torch_module

from sqdr import compilation
from sqdr.spiking.layers import Convolution
from sqdr.spiking.neurons import IntegrateAndFire, LeakyIntegrateAndFire

#: Settings that the kernels know.
_CONVOLUTION = {
    "kernel_size": (3, 3),
    "stride": (1, 1),
    "padding": (1, 1),
    "dilation": (1, 1),
    "groups": 1,
    "padding_mode": "zeros",
    "bias": None,
}
_POOLING = {
    "kernel_size": 2,
    "stride": 2,
    "padding": 0,
    "dilation": 1,
    "return_indices": False,
    "ceil_mode": False,
}


class Stage(NamedTuple):
    """Four layers that become one."""

    convolution: Convolution
    normalisation: Any
    neurons: IntegrateAndFire | LeakyIntegrateAndFire
    pooling: nn.Module


def stages_of(layers: nn.Sequential, images: Tensor) -> list[Stage]:
    """The stages at the beginning of a front end; none if its layers must run one by one.

    That is wherever somebody could tell the difference: where a layer is watched or is not as it was
    made, where torch traces, transforms or differentiates forward, and off the CPU.
    """
    if type(layers) is not nn.Sequential:
        return []
    modules, stages = list(layers), []
    while len(modules) >= 4 and isinstance(modules[3], nn.MaxPool2d):
        stages.append(Stage(*modules[:4]))  # type: ignore[arg-type]
        del modules[:4]
    as_usual = _is_evaluated_as_usual(layers, images) and all(map(_is_as_made, stages))
    if not as_usual or not stages or not _fits(stages, images) or compilation.problem() is not None:
        return []
    return stages


def _is_evaluated_as_usual(layers: nn.Sequential, images: Tensor) -> bool:
    tensors = [images, *layers.parameters(), *layers.buffers()]
    return not (
        torch.compiler.is_compiling()
        or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
        or torch.is_autocast_enabled("cpu")
        or torch._C._functorch.maybe_current_level() is not None
        or torch._C._len_torch_dispatch_stack() > 0
        or torch._C._len_torch_function_stack() > 0
        or torch_module._has_any_global_hook()  # type: ignore[no-untyped-call]
        or any(map(_is_watched, layers.modules()))
        or any(type(tensor) not in (Tensor, nn.Parameter) for tensor in tensors)
        or any(tensor.device.type != "cpu" for tensor in tensors)
        or (forward_ad._current_level >= 0 and any(map(_has_tangent, tensors)))
    )


def _is_watched(module: nn.Module) -> bool:
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
        or "forward" in vars(module)
    )


def _has_tangent(tensor: Tensor) -> bool:
    return forward_ad.unpack_dual(tensor).tangent is not None  # type: ignore[no-untyped-call]


def _is_as_made(stage: Stage) -> bool:
    convolution, norm, neurons, pooling = stage
    return (
        _has(convolution, Convolution, _CONVOLUTION)
        and _has(pooling, layer.MaxPool2d, _POOLING)
        and type(norm) is layer.BatchNorm2d
        and type(neurons) in (IntegrateAndFire, LeakyIntegrateAndFire)
        and neurons.dynamics is not None
        and None not in (norm.weight, norm.running_mean, norm.momentum)
        and all(module.step_mode == "m" for module in stage)
    )


def _has(module: nn.Module, kind: type[nn.Module], settings: dict[str, Any]) -> bool:
    return type(module) is kind and all(getattr(module, name) == settings[name] for name in settings)


def _fits(stages: list[Stage], images: Tensor) -> bool:
    """Whether the kernels know the shapes and dtypes; what is wrong with others, the layers say."""
    weight = stages[0].convolution.weight
    numbers: list[Tensor] = []
    for convolution, norm, _, _ in stages:
        numbers += [convolution.weight, norm.weight, norm.bias, norm.running_mean, norm.running_var]
    return (
        images.dim() == 4
        and images.is_floating_point()
        and images.shape[0] > 0
        and images.shape[1] == weight.shape[1]
        and min(images.shape[2:]) >= 2 ** len(stages)
        and weight.dtype in (torch.float32, torch.float64)
        and all(number.dtype == weight.dtype for number in numbers)
    )
