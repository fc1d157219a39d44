"""Time of one forward and backward pass of a circuit: sqdr's backends beside their peers.

`make bench` runs this and prints the tables of `tables.py`. Values and gradients are compared with the
native engine's before anything is timed. The peers are torch's nn.Linear, PennyLane, TorchQuantum and
tensorcircuit-ng; torch engines run on one thread and on all, and the better counts. XLA chooses its
threads itself, and compiled code runs on one.
"""

import os
import platform
import time

import numpy as np
import pytest
import torch
from peers import (
    ALL_THREADS,
    Case,
    linear_step,
    published_step,
    sqdr_step,
    tensorcircuit_step,
    torch_threads,
)

NOISY, NOISELESS = Case(9, 2, 16, noisy=True), Case(9, 2, 16, noisy=False)

ENGINES = {
    "native": sqdr_step,
    "native, compiled": lambda case: sqdr_step(case, compile=True),
    "torchquantum": lambda case: sqdr_step(case, "torchquantum"),
    "pennylane": lambda case: sqdr_step(case, "pennylane", chunk_size=case.batch),
    "pennylane lightning.qubit": lambda case: sqdr_step(case, "pennylane", device="lightning.qubit"),
    "published method": published_step,
    "tensorcircuit-ng, jitted": tensorcircuit_step,
    "nn.Linear": linear_step,
}
ONE_SETTING = ("native, compiled", "tensorcircuit-ng, jitted")
CASES = [
    *[(engine, NOISELESS) for engine in ENGINES if engine != "published method"],
    *[(engine, NOISY) for engine in ("native", "native, compiled", "pennylane", "published method")],
    ("tensorcircuit-ng, jitted", NOISY),
    *[("native, compiled", Case(9, 3, 16, True)), ("native", Case(9, 3, 16, True))],
    ("tensorcircuit-ng, jitted", Case(9, 3, 16, True)),
    *[("native, compiled", Case(9, 4, 16, True)), ("native", Case(9, 4, 16, True))],
    ("tensorcircuit-ng, jitted", Case(9, 4, 16, False)),
    ("torchquantum", Case(9, 4, 16, False)),
    ("native", Case(100, 2, 16, True)),
    ("native", Case(100, 2, 64, True)),
    ("native", Case(1000, 2, 64, True)),
    ("native", Case(1000, 4, 16, True)),
]
MEASURED = [
    (engine, case, threads)
    for engine, case in CASES
    for threads in (ALL_THREADS[:1] if engine in ONE_SETTING else ALL_THREADS)
]


@pytest.mark.parametrize(("engine", "case", "threads"), MEASURED, ids=str)
def test_forward_and_backward(engine, case, threads, benchmark):
    with torch_threads(threads):
        start = time.perf_counter()
        step = ENGINES[engine](case)
        first = step()
        first_seconds = time.perf_counter() - start
        if engine != "nn.Linear":
            for computed, expected in zip(first, sqdr_step(case)(), strict=True):
                np.testing.assert_allclose(_array(computed), _array(expected), atol=1e-3)
        kept_bytes = kept_for_backward(step) if engine == "native" else None
        start = time.perf_counter()
        step()
        seconds = time.perf_counter() - start
        benchmark.extra_info.update(
            engine=engine,
            case=str(case),
            threads=threads,
            first_seconds=first_seconds,
            kept_bytes=kept_bytes,
            torch=torch.__version__,
            processor=platform.processor() or platform.machine(),
            cores=os.cpu_count(),
        )
        benchmark.pedantic(
            step,
            rounds=int(np.clip(2 / seconds, 3, 400)),
            iterations=max(1, int(5e-4 / seconds)),
        )


def kept_for_backward(step):
    """Bytes of the distinct storages that torch keeps for the backward pass."""
    storages = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        step()
    return sum(storages.values())


def _array(tensor):
    return tensor.detach().numpy() if isinstance(tensor, torch.Tensor) else np.asarray(tensor)
