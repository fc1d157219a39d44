"""Batch normalisation over the batches of all processes that train together."""

from __future__ import annotations

from typing import Any, cast

import torch
from lightning.pytorch.plugins import LayerSync
from spikingjelly.activation_based import layer
from torch import Tensor, distributed, nn


class SharedBatchNorm2d(layer.BatchNorm2d):  # type: ignore[misc]
    """SpikingJelly's batch normalisation over the images of all processes.

    PyTorch's own, `SyncBatchNorm`, needs CUDA. Gradients are those of the sum of the losses of all
    processes, of which `DistributedDataParallel` takes the mean.
    """

    def forward(self, x_seq: Tensor) -> Tensor:
        """Currents (T, batch, channels, height, width) -> normalised currents of the same shape."""
        if not self.training:
            return cast(Tensor, super().forward(x_seq))
        axes = 0, 1, 3, 4
        n_here = x_seq.numel() // x_seq.shape[2]
        total = _AllReduce.apply(torch.cat((x_seq.sum(axes), x_seq.new_tensor([n_here]))))
        n = total[-1].detach()
        centred = x_seq - _of_channels(total[:-1] / n)
        variance = _AllReduce.apply(centred.square().sum(axes)) / n
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(total[:-1] / n, self.momentum)
            self.running_var.lerp_(variance * n / (n - 1), self.momentum)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return centred * _of_channels(scale) + _of_channels(self.bias)


class SharedBatchNorm(LayerSync):
    """Lightning's plugin that lets the batch normalisation of a model see whole batches in training.

    Only the class of a layer changes, so it keeps its parameters, its buffers and its name.
    """

    def apply(self, model: nn.Module) -> nn.Module:
        return _with_class(model, layer.BatchNorm2d, SharedBatchNorm2d)

    def revert(self, model: nn.Module) -> nn.Module:
        return _with_class(model, SharedBatchNorm2d, layer.BatchNorm2d)


def _with_class(model: nn.Module, old: type[nn.Module], new: type[nn.Module]) -> nn.Module:
    for module in model.modules():
        if type(module) is old:
            module.__class__ = new
    return model


def _of_channels(values: Tensor) -> Tensor:
    """(channels,) -> what broadcasts to (T, batch, channels, height, width)."""
    return values.reshape(-1, 1, 1)


class _AllReduce(torch.autograd.Function):
    """The sum over all processes; so is its gradient."""

    @staticmethod
    def forward(tensor: Tensor) -> Tensor:
        total = tensor.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # noqa: ARG004
        return cast(Tensor, _AllReduce.apply(grad))
