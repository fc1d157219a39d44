"""How long a training step of a circuit takes on each backend, on this machine."""

from __future__ import annotations

import math
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import NamedTuple

import torch
from torch import Tensor

from sqdr.circuit import ReuploadCircuit
from sqdr.errors import MissingPackageError
from sqdr.experiment.options import BenchOptions, build_noise
from sqdr.registry import backend_names, create_circuit
from sqdr.validation import argument_error


class StepTime(NamedTuple):
    """What a backend takes: median of the steps in seconds, with the better number of threads.

    `first_seconds` is from the import of the backend to the first gradient.
    """

    seconds: float
    first_seconds: float
    threads: int


class BackendTime(NamedTuple):
    """The timing of a backend, or None and the reason why there is none."""

    backend: str
    step: StepTime | None
    reason: str = ""


def time_backends(options: BenchOptions) -> Iterator[BackendTime]:
    """Time the backends one after the other, each in a process of its own.

    The values and gradients of each are compared with those of the native engine in double precision,
    unless the noise is drawn at random.

    Raises:
        ValueError: if an option is out of its domain.
    """
    names = backend_names()
    for name in options.backends:
        if name not in names:
            raise argument_error("backends", f"be among {', '.join(names)}", f"{name!r} is not")
    if options.device == "cuda" and not torch.cuda.is_available():
        raise argument_error("device", 'be "cpu" where there is no CUDA device', "is cuda")
    circuit = create_circuit(
        "native",
        options.n_wires,
        options.n_blocks,
        **options.family,
        noise=build_noise(options.noise),
        dtype=torch.float64,
    )
    angles = torch.empty(options.batch_size, circuit.n_features, dtype=torch.float64)
    angles.uniform_(0, 2 * math.pi, generator=torch.Generator().manual_seed(0))
    return (_timed_apart(name, circuit, angles, options) for name in options.backends or names)


def _timed_apart(
    name: str, reference: ReuploadCircuit, angles: Tensor, options: BenchOptions
) -> BackendTime:
    """What a process of its own measures, however it ends."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    arguments = sender, name, reference, angles, options.device
    process = context.Process(target=_send_time, args=arguments, daemon=True)
    process.start()
    sender.close()
    try:
        if not receiver.poll(options.time_limit):
            return BackendTime(name, None, f"takes more than {options.time_limit:g} s")
        received = receiver.recv()
    except EOFError:
        process.join()
        return BackendTime(name, None, f"its process ended with exit code {process.exitcode}")
    finally:
        process.kill()
    return BackendTime(name, *received)


def _send_time(
    sender: Connection, name: str, reference: ReuploadCircuit, angles: Tensor, device: str
) -> None:
    """Send the timing of a backend, or None and the reason why there is none."""
    try:
        sender.send((_step_time(name, reference, angles, device), ""))
    except (ValueError, MissingPackageError) as error:
        sender.send((None, str(error)))
    except Exception as error:  # whatever a backend raises, the others are measured
        summary = str(error).partition("\n")[0]
        sender.send((None, f"{type(error).__name__}: {summary}"))


def _step_time(name: str, reference: ReuploadCircuit, angles: Tensor, device: str) -> StepTime:
    expected = _step(reference, angles)
    threads = torch.get_num_threads()
    start = time.perf_counter()
    circuit = reference.to_backend(name, dtype=torch.float32).to(device)
    inputs = angles.to(device, torch.float32)
    computed = _step(circuit, inputs)
    first_seconds = time.perf_counter() - start
    if reference.generator is None:  # noise that is drawn differs by chance
        for of_backend, exact in zip(computed, expected, strict=True):
            difference = float((of_backend - exact).abs().max())
            if not difference < _TOLERANCE:
                raise ValueError(f"differs from the exact result by {difference:.2g}")
    timings = []
    for n_threads in sorted({1, threads}):
        torch.set_num_threads(n_threads)
        seconds = _median_seconds(lambda: _step(circuit, inputs))
        timings.append(StepTime(seconds, first_seconds, n_threads))
    return min(timings)


#: What the values and the gradients of their mean may differ by, far above rounding in float32.
_TOLERANCE = 1e-3


def _step(circuit: ReuploadCircuit, angles: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Expectation values, and the gradients of their mean over the batch, on the CPU."""
    inputs = angles.detach().requires_grad_()
    values = circuit(inputs)
    gradients = torch.autograd.grad(values.mean(0).sum(), (inputs, circuit.weights))
    return values.detach().cpu(), gradients[0].cpu(), gradients[1].cpu()


def _median_seconds(step: Callable[[], object]) -> float:
    """Of about a second of steps, after a warm-up."""
    step()
    seconds: list[float] = []
    while len(seconds) < 3 or (sum(seconds) < 1 and len(seconds) < 200):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)
