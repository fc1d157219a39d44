"""Front end and training step, beside SpikingJelly's own layers and a Linear in the circuit's place.

Forward and backward, at batch 64. The reference is the published network as it is written there:
SpikingJelly's layers in multi-step mode, reset after each step.
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
#: Width, height and width of the images, and time steps.
SIZES = {"width 1, 32x32, T = 10": (1, 32, 10), "width 4, 28x28, T = 5": (4, 28, 5)}
#: Share of firing rates that rounding at a threshold may change.
MAX_DIFFERENT = 0.002
KERNELS = {
    "stages as kernels of sqdr": ("_StageFunction", "_StageFunctionBackward"),
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


def model_of(width, T):
    torch.manual_seed(0)
    return sqdr.SQDR_CNN(T, 1, 10, width=width, noise=NOISE)


def with_linear(model):
    model.circuit = nn.Linear(27, 9)
    return model


def with_spikingjelly(model):
    model.spiking = SpikingJellyEncoder(model.spiking)
    return model


SUBJECT, LINEAR, SPIKINGJELLY = "SQDR_CNN, noisy", "nn.Linear for the circuit", "SpikingJelly's layers"
NETWORKS = {
    SUBJECT: model_of,
    LINEAR: lambda *sizes: with_linear(model_of(*sizes)),
    SPIKINGJELLY: lambda *sizes: with_spikingjelly(model_of(*sizes)),
}


def training_step(name, size, device):
    """Forward, cross entropy and backward of a network, checked against SQDR-CNN where it is equal."""
    sizes, images = images_of(size, device)
    labels = torch.arange(BATCH, device=device) % 10
    model = NETWORKS[name](*sizes).to(device)
    if name == SPIKINGJELLY:
        check(model, model_of(*sizes).to(device), images)

    def step():
        model.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        if device == "cuda":
            torch.cuda.synchronize()

    return step


def front_end_step(name, size, device):
    """Images to firing rates, forward and backward, checked likewise."""
    sizes, images = images_of(size, device)
    encoder = NETWORKS[name](*sizes).spiking.to(device)
    check(encoder, SpikingJellyEncoder(model_of(*sizes).spiking).to(device), images)

    def step():
        encoder.zero_grad()
        encoder(images).sum().backward()
        if device == "cuda":
            torch.cuda.synchronize()

    return step


def check(model, reference, images):
    """Values and gradients are those of the reference, but where a spike hangs on a rounding error."""
    different = (model(images) - reference(images)).abs() > 1e-4
    assert different.double().mean() <= MAX_DIFFERENT
    gradients = []
    for either in (model, reference):
        either.zero_grad()
        either(images).square().sum().backward()
        gradients.append(torch.cat([parameter.grad.flatten() for parameter in either.parameters()]))
        either.zero_grad()
    actual, expected = gradients
    assert (actual - expected).norm() < 0.01 * expected.norm()


def images_of(size, device):
    width, side, T = SIZES[size]
    generator = torch.Generator().manual_seed(1)
    return (width, T), torch.rand(BATCH, 1, side, side, generator=generator).to(device)


def pytest_generate_tests(metafunc):
    """One thread in the short set, all of them as well in the full one; the front end always on two."""
    if "threads" in metafunc.fixturenames:
        more = {ALL_THREADS} if metafunc.config.option.full else set()
        if metafunc.function is test_front_end:
            more.add(min(2, ALL_THREADS))
        metafunc.parametrize("threads", sorted({1, *more}))


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

    What sqdr's own kernels do, PyTorch's do in the other network.
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
