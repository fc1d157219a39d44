"""Front end and training step, beside SpikingJelly's own layers and a Linear in the circuit's place.

Forward and backward, at batch 64 and T = 10. The reference is the published network as it is written
there: SpikingJelly's layers in multi-step mode, reset after each step.
"""

import pytest
import torch
from case import NOISE
from comparison import ALL_THREADS, Engine, compare, settled_seconds
from spikingjelly.activation_based import encoding, functional, layer, neuron, surrogate
from torch import nn
from torch.profiler import ProfilerActivity, profile

import sqdr
from sqdr.spiking import Convolution, IntegrateAndFire

BATCH = 64
SIZES = {"width 4, 16x16": (4, 16), "width 1, 32x32": (1, 32)}
KERNELS = {
    "convolution, forward": ("aten::mkldnn_convolution",),
    "convolution, backward": ("aten::convolution_backward",),
    "batch normalisation": ("aten::native_batch_norm", "aten::native_batch_norm_backward"),
    "max pooling": ("aten::max_pool2d_with_indices", "aten::max_pool2d_with_indices_backward"),
}
PROFILED_STEPS = 20


class SpikingJellyEncoder(nn.Module):
    """The front end from SpikingJelly's layers alone, with the weights of sqdr's."""

    def __init__(self, spiking):
        super().__init__()
        self.T = spiking.T
        self.encoder = encoding.WeightedPhaseEncoder(K=8)
        self.layers = nn.Sequential(*map(_spikingjelly_s_own, spiking.layers))
        functional.set_step_mode(self.layers, "m")

    def forward(self, images):
        spikes = torch.stack([self.encoder(images * 255 / 256) for _ in range(self.T)])
        rates = self.layers(spikes).mean(0)
        functional.reset_net(self)
        return rates


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


def with_spikingjelly(model):
    model.spiking = SpikingJellyEncoder(model.spiking)
    return model


SUBJECT, LINEAR, SPIKINGJELLY = "SQDR_CNN, noisy", "nn.Linear for the circuit", "SpikingJelly's layers"
NETWORKS = {
    SUBJECT: model_of,
    LINEAR: lambda width: with_linear(model_of(width)),
    SPIKINGJELLY: lambda width: with_spikingjelly(model_of(width)),
}


def training_step(name, size, device):
    """Forward, cross entropy and backward of a network, checked against SQDR-CNN where it is equal."""
    width, images = images_of(size, device)
    labels = torch.arange(BATCH, device=device) % 10
    model = NETWORKS[name](width).to(device)
    if name == SPIKINGJELLY:
        torch.testing.assert_close(model(images), model_of(width).to(device)(images), atol=1e-4, rtol=0)

    def step():
        model.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        if device == "cuda":
            torch.cuda.synchronize()

    return step


def front_end_step(name, size, device):
    """Images to firing rates, forward and backward, checked likewise."""
    width, images = images_of(size, device)
    encoder = NETWORKS[name](width).spiking.to(device)
    expected = model_of(width).spiking.to(device)(images)
    torch.testing.assert_close(encoder(images), expected, atol=1e-4, rtol=0)

    def step():
        encoder.zero_grad()
        encoder(images).sum().backward()
        if device == "cuda":
            torch.cuda.synchronize()

    return step


def images_of(size, device):
    width, side = SIZES[size]
    generator = torch.Generator().manual_seed(1)
    return width, torch.rand(BATCH, 1, side, side, generator=generator).to(device)


def pytest_generate_tests(metafunc):
    """One thread in the short set, all of them as well in the full one."""
    if "threads" in metafunc.fixturenames:
        full = metafunc.config.option.full
        metafunc.parametrize("threads", sorted({1, ALL_THREADS}) if full else [1])


@pytest.fixture
def device(request):
    return request.config.option.device


@pytest.mark.benchmark(group="training step")
@pytest.mark.parametrize("peer", [LINEAR, SPIKINGJELLY])
@pytest.mark.parametrize("size", SIZES)
def test_training_step(size, threads, peer, device, benchmark, seconds):
    steps = {name: training_step(name, size, device) for name in (SUBJECT, peer)}
    compare_on(benchmark, steps, size, threads, seconds)


@pytest.mark.benchmark(group="front end")
@pytest.mark.parametrize("size", SIZES)
def test_front_end(size, threads, device, benchmark, seconds):
    steps = {
        "front end": front_end_step(SUBJECT, size, device),
        SPIKINGJELLY: front_end_step(SPIKINGJELLY, size, device),
    }
    compare_on(benchmark, steps, size, threads, seconds)


def compare_on(benchmark, steps, size, threads, seconds):
    case = f"{size}, threads: {threads}"
    subject, peer = (
        Engine(name, case, step, settled_seconds(step, threads), threads)
        for name, step in steps.items()
    )
    compare(benchmark, subject, peer, seconds)


@pytest.mark.benchmark(group="kernels")
@pytest.mark.parametrize("name", [SUBJECT, SPIKINGJELLY])
@pytest.mark.parametrize("size", SIZES)
def test_kernels(size, name, device, benchmark):
    """Where a training step spends its time on one thread.

    Convolution, batch normalisation and pooling are PyTorch's kernels in both networks. What sqdr
    replaces is the rest, and the backward pass of the convolution.
    """
    if device == "cuda":
        pytest.skip("kernels are profiled on the CPU")
    torch.set_num_threads(1)
    step = training_step(name, size, device)
    benchmark.pedantic(step, rounds=5, warmup_rounds=1)
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        for _ in range(PROFILED_STEPS):
            step()
    seconds = {e.key: e.self_cpu_time_total / 1e6 / PROFILED_STEPS for e in profiled.key_averages()}
    named = {kernel: sum(seconds.get(key, 0) for key in keys) for kernel, keys in KERNELS.items()}
    rest = {"everything else": sum(seconds.values()) - sum(named.values())}
    benchmark.extra_info.update(network=name, size=size, kernels=named | rest)
