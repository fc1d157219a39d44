"""Options of the benchmarks, and what is written beside every time."""

import platform
from importlib.metadata import PackageNotFoundError, version

import pytest
import torch

import sqdr

#: Distributions whose versions are kept, where they are installed.
DISTRIBUTIONS = (
    "torch",
    "spikingjelly",
    "pennylane",
    "torchquantum-ng",
    "jax",
    "tensorcircuit-ng",
    "deepquantum",
    "pyqtorch",
    "torq-quantum",
)


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="all of sqdr's cases, not the short set")
    parser.addoption("--peer", metavar="NAME", help="the comparisons with one peer, and nothing else")
    parser.addoption("--device", default="cpu", choices=("cpu", "cuda"), help="where circuits run")
    parser.addoption("--seconds", type=float, default=2.0, help="for the rounds of a comparison")


@pytest.fixture
def seconds(request):
    return request.config.getoption("--seconds")


@pytest.fixture(autouse=True)
def described(request, benchmark):
    """Keep the device and the versions with what is timed."""
    yield
    device = request.config.getoption("--device")
    benchmark.extra_info["device"] = torch.cuda.get_device_name() if device == "cuda" else "cpu"
    benchmark.extra_info["versions"] = versions()


def versions():
    installed = {"python": platform.python_version(), "sqdr": sqdr.__version__}
    for name in DISTRIBUTIONS:
        try:
            installed[name] = version(name)
        except PackageNotFoundError:
            continue
    return installed
