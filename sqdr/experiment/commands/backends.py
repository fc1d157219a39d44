"""`sqdr bench`, `backends` and `check-backend`: which simulators there are, how fast, and how right."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, get_args

import torch

import sqdr
from sqdr import compilation
from sqdr.circuit import Capability
from sqdr.errors import BackendError, MissingPackageError
from sqdr.experiment.commands.command import Command, filled
from sqdr.experiment.options import BenchOptions
from sqdr.experiment.tables import print_table
from sqdr.registry import (
    backend_names,
    create_circuit,
    installed_version,
    load_backend,
    shadowed_plugins,
)

if TYPE_CHECKING:
    from sqdr.experiment.bench import BackendTime


def _add_bench_options(parser: Any) -> None:
    parser.add_argument("--config", action="config", help="YAML file of options")
    parser.add_argument(  # by its former name too
        "--n_blocks", "--qdr_block", type=int, default=2, help="re-uploading blocks"
    )
    parser.add_class_arguments(BenchOptions, skip={"n_blocks"})


def _prepare_bench(namespace: Any) -> Callable[[], int]:
    from sqdr.experiment.bench import time_backends

    options: BenchOptions = filled(BenchOptions, namespace)
    return partial(_bench, time_backends(options), len(options.backends or backend_names()))


def _bench(measurements: Iterator[BackendTime], n_backends: int) -> int:
    """A table of the backends that work, why the others do not, and the fastest."""
    from rich.progress import track

    bar = track(measurements, "Backends", n_backends, transient=True, disable=not sys.stdout.isatty())
    rows = list(bar)
    timed = {row.backend: row.step for row in rows if row.step is not None}
    fastest = min(timed, key=lambda name: timed[name].seconds, default=None)
    table = []
    for backend, timing in timed.items():
        times = timing.seconds / timed[fastest or backend].seconds
        cells = 1000 * timing.seconds, times, timing.first_seconds
        table.append((backend, *(f"{number:,.3g}" for number in cells), str(timing.threads)))
    if table:
        numbers = "step (ms)", "times the fastest", "first step (s)", "threads"
        print_table(("backend",), numbers, table)
    for row in rows:
        if row.reason:
            print(f"{row.backend}: {row.reason}")
    if fastest is None:
        print("No backend can do this here")
        return 1
    print(f'The fastest here: backend="{fastest}", or --model.backend {fastest}')
    return 0


def _list_backends() -> int:
    """A line for each backend: whether it works here, its version and capabilities, or the remedy.

    Two more lines say whether native has kernels here, and what times them all.
    """
    _print_backend("backend", "state", f"{'package':<28}capabilities")
    for name in backend_names():
        try:
            with torch.no_grad():
                create_circuit(name, n_wires=2, n_blocks=2)(torch.zeros(1, 6))
        except MissingPackageError as error:
            _print_backend(name, "missing", str(error))
        except BackendError as error:
            _print_backend(name, "broken", str(error))
        except Exception as error:  # whatever a plugin raises, the other backends are listed
            summary = str(error).partition("\n")[0]
            _print_backend(name, "broken", f"{type(error).__name__}: {summary}")
        else:
            able = load_backend(name).capabilities
            capabilities = ", ".join(c for c in get_args(Capability) if c in able)
            _print_backend(name, "works", f"{installed_version(name):<28}{capabilities}".rstrip())
    for name, distribution in shadowed_plugins():
        _print_backend(name, "ignored", f"{distribution} registers this name, which is built in")
    problem = compilation.problem()
    if problem is None:
        print(f"Kernels for the CPU: compiled by {compilation.compiler()}")
    else:
        print(f"Kernels for the CPU: none; slower operations of torch serve. {problem}")
    print("How fast each is on this machine: sqdr bench")
    return 0


def _print_backend(name: str, state: str, text: str) -> None:
    """A line, or on a terminal the lines that it takes there."""
    line = f"{name:<14}{state:<9}{text}"
    if sys.stdout.isatty() and len(line) > 79:
        line = textwrap.fill(line, 79, subsequent_indent=" " * 23, break_on_hyphens=False)
    print(line)


def _prepare_check(namespace: Any) -> Callable[[], int]:
    load_backend(namespace.backend)
    return partial(_check_backend, namespace.backend)


def _check_backend(backend: str) -> int:
    """One line for each check of the conformance kit; 1 if the backend fails one."""
    left_out, result = list(sqdr.testing.CHECKS), 0

    def show(check: str, failure: Exception | None) -> None:
        left_out.remove(check)
        print(f"{check:<30}{'passes' if failure is None else 'FAILS'}", flush=True)

    try:
        sqdr.testing.check_backend(backend, progress=show)
    except sqdr.testing.BackendCheckError as failures:
        print(failures)
        result = 1
    if left_out:
        print(f"Left out for what the backend does not declare: {', '.join(left_out)}")
    return result


BENCH = Command(
    "bench",
    "find the fastest backend for a circuit",
    "Time forward and backward pass of a circuit on each backend, on this machine.",
    "sqdr bench --n_wires 12 --n_blocks 3 --backends native,pennylane",
    (
        *("n_wires", "n_blocks", "batch_size", "entanglement", "noise.after_rotation", "backends"),
        *("device", "time_limit", "config"),
    ),
    _add_bench_options,
    _prepare_bench,
)
BACKENDS = Command(
    "backends",
    "list the backends",
    "List the backends, whether they work here, and what they can do.",
    "sqdr backends",
    (),
    lambda _: None,
    lambda _: _list_backends,
)
CHECK_BACKEND = Command(
    "check-backend",
    "check that a backend is right",
    "Check that a backend is right, against an independent simulator.",
    "sqdr check-backend native",
    (),
    lambda parser: parser.add_argument("backend", help="name of the backend"),
    _prepare_check,
)
