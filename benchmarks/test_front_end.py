"""Front end and whole training step, against the same layers run eagerly by SpikingJelly.

    python benchmarks/test_front_end.py [threads]

prints milliseconds, medians of calls that alternate between the two. `pytest benchmarks` runs the same
steps under pytest-benchmark.
"""

import copy
import math
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
import torch
from spikingjelly.activation_based import encoding, functional, layer, neuron, surrogate
from torch import Tensor, nn

import sqdr

SIZES = ((4, 16), (1, 32))  # width, image size
T, BATCH = 10, 64


class Reference(nn.Module):
    """The published front end in SpikingJelly's own layers, state dict as in `sqdr.spiking`."""

    def __init__(self, T: int, channels: Sequence[int], out_features: int) -> None:
        super().__init__()
        self.T = T
        layers: list[nn.Module] = []
        for before, after in pairwise(channels):
            layers += [
                layer.Conv2d(before, after, 3, padding=1, bias=False),
                layer.BatchNorm2d(after, momentum=math.sqrt(0.1)),
                neuron.IFNode(surrogate_function=surrogate.ATan()),
                layer.MaxPool2d(2, 2),
            ]
        layers += [
            layer.AdaptiveAvgPool2d((1, 1)),
            layer.Flatten(),
            layer.Linear(channels[-1], out_features),
        ]
        layers += [neuron.IFNode(surrogate_function=surrogate.ATan())]
        self.layers = nn.Sequential(*layers)
        functional.set_step_mode(self, "m")

    def forward(self, images: Tensor) -> Tensor:
        functional.reset_net(self)
        encoder = encoding.WeightedPhaseEncoder(8)
        spikes = torch.stack([encoder(images * 255 / 256) for _ in range(self.T)])
        return self.layers(spikes).mean(0)


def models(width: int) -> tuple[nn.Module, nn.Module]:
    """The model, and a copy of it with the reference front end."""
    torch.manual_seed(0)
    model = sqdr.SQDR_CNN(T, 1, 10, width=width)
    reference = copy.deepcopy(model)
    reference.spiking = Reference(T, [1, 2 * width, 4 * width, 8 * width], 27)
    reference.spiking.load_state_dict(model.spiking.state_dict())
    return model, reference


def training_step(model: nn.Module, size: int) -> Callable[[], None]:
    torch.manual_seed(1)
    images, labels = torch.rand(BATCH, 1, size, size), torch.randint(10, (BATCH,))

    def step() -> None:
        model.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()

    return step


def front_end_step(model: nn.Module, size: int) -> Callable[[], None]:
    torch.manual_seed(1)
    images, grad = torch.rand(BATCH, 1, size, size), torch.randn(BATCH, 27)

    def step() -> None:
        model.zero_grad()
        model.spiking(images).backward(grad)

    return step


@pytest.mark.parametrize(("width", "size"), SIZES)
@pytest.mark.parametrize("which", ["sqdr", "spikingjelly"])
def test_training_step(benchmark, width, size, which):
    step = training_step(models(width)[which == "spikingjelly"], size)
    benchmark.pedantic(step, rounds=10, warmup_rounds=3)


def alternate(steps: Sequence[Callable[[], None]], rounds: int = 25, warm_up: int = 5) -> list[float]:
    """Median milliseconds of each step, calls interleaved."""
    times: list[list[float]] = [[] for _ in steps]
    for turn in range(warm_up + rounds):
        for step, record in zip(steps, times, strict=True):
            start = time.perf_counter()
            step()
            if turn >= warm_up:
                record.append(1e3 * (time.perf_counter() - start))
    return [statistics.median(record) for record in times]


def main() -> None:
    if len(sys.argv) > 1:
        torch.set_num_threads(int(sys.argv[1]))
    print(f"{torch.get_num_threads()} threads, T={T}, batch {BATCH}: SpikingJelly / sqdr")
    for width, size in SIZES:
        for make in (training_step, front_end_step):
            ours, theirs = alternate([make(model, size) for model in models(width)])
            what = f"{make.__name__} width {width}, {size}x{size}"
            print(f"{what:36}{theirs:8.1f} ms / {ours:6.1f} ms = {theirs / ours:.2f}")


if __name__ == "__main__":
    main()
