"""Time of a training step: SQDR-CNN, a Linear in the circuit's place, and SpikingJelly's own layers.

Forward, cross entropy and backward, at batch 64 and T = 10. The reference is the published network as
it is written there: SpikingJelly's layers in multi-step mode, reset after each step.
"""

import os

import pytest
import torch
from comparison import Engine, compare
from peers import NOISE
from spikingjelly.activation_based import encoding, functional, layer, neuron, surrogate
from torch import nn

import sqdr
from sqdr.spiking import Convolution, IntegrateAndFire

THREADS = sorted({1, os.cpu_count() or 1})
SIZES = {"width 4, 16x16": (4, 16), "width 1, 32x32": (1, 32)}


class SpikingJellyNetwork(nn.Module):
    """The spiking front end from SpikingJelly's layers alone, then the native circuit and the head."""

    def __init__(self, model):
        super().__init__()
        self.encoder = encoding.WeightedPhaseEncoder(K=8)
        self.layers = nn.Sequential(*map(_spikingjelly_s_own, model.spiking.layers))
        functional.set_step_mode(self.layers, "m")
        self.model = model

    def forward(self, images):
        spikes = torch.stack([self.encoder(images * 255 / 256) for _ in range(self.model.T)])
        rates = self.layers(spikes).mean(0)
        logits = self.model.head(self.model.circuit(rates))
        functional.reset_net(self)
        return logits


def _spikingjelly_s_own(module):
    """The layer that sqdr's layer is a subclass of, with the same weights."""
    match module:
        case IntegrateAndFire():
            return neuron.IFNode(surrogate_function=surrogate.ATan())
        case Convolution():
            channels = module.in_channels, module.out_channels
            convolution = layer.Conv2d(*channels, kernel_size=3, padding=1, bias=False)
            convolution.weight = module.weight
            return convolution
    return module


def model_of(width):
    torch.manual_seed(0)
    return sqdr.SQDR_CNN(10, 1, 10, width=width, noise=NOISE)


def with_linear(model):
    model.circuit = nn.Linear(27, 9)
    return model


NETWORKS = {
    "SQDR_CNN, noisy": model_of,
    "nn.Linear for the circuit": lambda width: with_linear(model_of(width)),
    "SpikingJelly's layers": lambda width: SpikingJellyNetwork(model_of(width)),
}


SUBJECT = "SQDR_CNN, noisy"
COMPARISONS = [
    (size, threads, peer)
    for size in SIZES
    for threads in THREADS
    for peer in NETWORKS
    if peer != SUBJECT
]


def training_step(name, size):
    """Forward, cross entropy and backward of a network, checked against SQDR-CNN where it is equal."""
    width, side = SIZES[size]
    images = torch.rand(64, 1, side, side, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(64) % 10
    model = NETWORKS[name](width)
    if name == "SpikingJelly's layers":
        torch.testing.assert_close(model(images), model_of(width)(images), atol=1e-4, rtol=0)

    def step():
        model.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()

    return step


@pytest.mark.parametrize(("size", "threads", "peer"), COMPARISONS)
def test_training_step(size, threads, peer, benchmark):
    case = f"{size}, threads: {threads}"
    subject, peer = (Engine(name, case, training_step(name, size), threads) for name in (SUBJECT, peer))
    compare(benchmark, subject, peer)
