"""Forward and backward pass of a circuit by one engine, beside another engine: one test a comparison.

The two take turns, so that whatever else the machine does slows both. Values and gradients are compared
with the native engine's before anything is timed. torch engines run on one thread or on all, whichever
is faster; XLA chooses its threads itself, and compiled code runs on one.
"""

import time
from functools import cache

import numpy as np
import pytest
import torch
from comparison import Engine, best_threads, compare
from peers import Case, linear_step, published_step, sqdr_step, tensorcircuit_step

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

NATIVE, COMPILED, JAX = "native", "native, compiled", "tensorcircuit-ng, jitted"
TWO, NOISY_TWO = Case(9, 2, 16, noisy=False), Case(9, 2, 16, noisy=True)
NOISY_THREE = Case(9, 3, 16, noisy=True)
FOUR, NOISY_FOUR = Case(9, 4, 16, noisy=False), Case(9, 4, 16, noisy=True)

#: (what is timed, what it is compared with): each an engine and a case.
COMPARISONS = [
    ((NATIVE, NOISY_TWO), ("pennylane", NOISY_TWO)),
    ((NATIVE, NOISY_TWO), ("published method", NOISY_TWO)),
    ((NATIVE, NOISY_TWO), ("torchquantum", NOISY_TWO)),
    ((NATIVE, NOISY_TWO), (JAX, NOISY_TWO)),
    ((COMPILED, NOISY_TWO), (JAX, NOISY_TWO)),
    ((COMPILED, NOISY_THREE), (JAX, NOISY_THREE)),
    ((NATIVE, TWO), ("torchquantum", TWO)),
    ((COMPILED, TWO), ("torchquantum", TWO)),
    ((NATIVE, TWO), ("pennylane", TWO)),
    ((COMPILED, TWO), ("pennylane", TWO)),
    ((NATIVE, TWO), ("pennylane lightning.qubit", TWO)),
    ((NATIVE, TWO), (JAX, TWO)),
    ((NATIVE, NOISY_TWO), (JAX, TWO)),
    ((COMPILED, NOISY_TWO), (JAX, TWO)),
    ((COMPILED, NOISY_FOUR), (JAX, FOUR)),
    ((NATIVE, NOISY_FOUR), ("torchquantum", FOUR)),
    ((NATIVE, NOISY_TWO), (NATIVE, TWO)),
    ((NATIVE, Case(100, 2, 16, noisy=True)), (JAX, NOISY_TWO)),  # to the first gradient
    ((NATIVE, NOISY_TWO), ("nn.Linear", TWO)),
    ((COMPILED, NOISY_TWO), ("nn.Linear", TWO)),
    ((NATIVE, Case(100, 2, 64, noisy=True)), (NATIVE, Case(1000, 2, 64, noisy=True))),
    ((NATIVE, Case(1000, 4, 16, noisy=True)), ("nn.Linear", TWO)),
]


@pytest.mark.parametrize(("subject", "peer"), COMPARISONS, ids=lambda pair: ", ".join(map(str, pair)))
def test_forward_and_backward(subject, peer, benchmark):
    compare(benchmark, _engine(*subject), _engine(*peer))


@cache
def _engine(name, case):
    """An engine on a case, checked against the native one."""
    start = time.perf_counter()
    step = ENGINES[name](case)
    first = step()
    first_seconds = time.perf_counter() - start
    if name != "nn.Linear":
        for computed, expected in zip(first, sqdr_step(case)(), strict=True):
            np.testing.assert_allclose(_array(computed), _array(expected), atol=1e-3)
    threads = 1 if name in ONE_SETTING else best_threads(step)
    kept_bytes = kept_for_backward(step) if name == "native" else None
    return Engine(name, str(case), step, threads, first_seconds, kept_bytes)


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
