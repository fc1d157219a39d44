"""The engines by name, each checked against the native one before anything is timed."""

import functools
import time
from collections.abc import Callable
from dataclasses import asdict
from importlib import import_module
from typing import Any

import numpy as np
import torch
from case import CannotError, Case, Step
from comparison import Engine, best_threads, settled_seconds

LINEAR = "nn.Linear"
NATIVE, COMPILED, OPERATIONS = "native", "native-compiled", "native, torch's operations"
ONE_THREAD = "native, one thread"
#: The native engine by one method, whichever it would choose.
METHODS = ("causal-cone", "dense")

#: Name -> module in `peers`, function in it, and its options.
ENGINES: dict[str, tuple[str, str, dict[str, Any]]] = {
    NATIVE: ("sqdr_backends", "circuit_step", {}),
    COMPILED: ("sqdr_backends", "circuit_step", {"compile": True}),
    "torchquantum": ("sqdr_backends", "circuit_step", {"backend": "torchquantum"}),
    "pennylane": ("sqdr_backends", "circuit_step", {"backend": "pennylane"}),
    "pennylane-lightning": (
        "sqdr_backends",
        "circuit_step",
        {"backend": "pennylane", "device": "lightning.qubit"},
    ),
    **{name: ("sqdr_backends", "circuit_step", {"method": name}) for name in METHODS},
    OPERATIONS: ("sqdr_backends", "operations_step", {}),
    ONE_THREAD: ("sqdr_backends", "circuit_step", {}),
    LINEAR: ("sqdr_backends", "linear_step", {}),
    "published-pennylane": ("published", "pennylane_step", {}),
    "published-torchquantum": ("published", "torchquantum_step", {}),
    "tensorcircuit-ng": ("tensorcircuit_ng", "create_step", {}),
    "deepquantum": ("deepquantum", "create_step", {}),
    "pyqtorch": ("pyqtorch", "create_step", {}),
    "torq-quantum": ("torq_quantum", "create_step", {}),
    "pennylane-jax": ("pennylane_jax", "create_step", {}),
    "jax-scan": ("jax_scan", "create_step", {}),
}
#: XLA chooses its threads itself; compiled code runs on one.
ONE_SETTING = (COMPILED, ONE_THREAD, "tensorcircuit-ng", "pennylane-jax", "jax-scan")
#: Seconds beyond which the first step counts as any other.
SLOW = 5
#: Of the largest value or gradient, or of 1 where that is larger.
TOLERANCES = {"float32": 1e-4, "float64": 1e-7}


@functools.cache
def engine(name: str, case: Case) -> Engine:
    """An engine on a case, with the better number of threads.

    Values and gradients must equal the native engine's in double precision. What else goes wrong is the
    reason why the engine cannot do the case.
    """
    torch.set_num_threads(1)
    start = time.perf_counter()
    try:
        step = step_of(name, case)
        first = step()
    except Exception as error:
        return Engine(name, str(case), None, sizes=asdict(case), cannot=reason(error))
    first_seconds = time.perf_counter() - start
    if name != LINEAR:
        assert_equal(first, step_of(NATIVE, case.precisely)(), TOLERANCES[case.dtype])
    if name in ONE_SETTING:
        threads, seconds = 1, settled_seconds(step, 1)
    else:
        threads, seconds = best_threads(step, first_seconds if first_seconds > SLOW else None)
    return Engine(name, str(case), step, seconds, threads, asdict(case), first_seconds)


def step_of(name: str, case: Case) -> Step:
    module, function, options = ENGINES[name]
    create: Callable[..., Step] = getattr(import_module(f"peers.{module}"), function)
    return create(case, **options)


def reason(error: Exception) -> str:
    """One line that says why an engine cannot do a case."""
    message = " ".join(str(error).split())
    return message if isinstance(error, CannotError) else f"{type(error).__name__}: {message}"[:200]


def assert_equal(computed: tuple[Any, ...], expected: tuple[Any, ...], tolerance: float) -> None:
    for one, other in zip(map(_array, computed), map(_array, expected), strict=True):
        scale = max(1.0, float(np.abs(other).max()))
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance * scale)


def _array(tensor: Any) -> np.ndarray:
    if isinstance(tensor, torch.Tensor):
        return tensor.detach().cpu().numpy()
    return np.asarray(tensor)
