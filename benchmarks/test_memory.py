"""Memory of a step: what torch keeps for the backward pass, and the peak of a fresh process."""

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from case import Case
from engines import LINEAR, NATIVE, step_of

TWO, NOISY_TWO, NOISY_FOUR = (Case(9, *rest) for rest in ((2, 16, False), (2, 16, True), (4, 16, True)))
HUNDRED, THOUSAND = (Case(n_wires, 2, 64, noisy=True) for n_wires in (100, 1000))
SHORT = [
    (LINEAR, TWO),
    *((NATIVE, case) for case in (TWO, NOISY_TWO, NOISY_FOUR, HUNDRED, THOUSAND)),
    *((name, TWO) for name in ("torchquantum", "pennylane")),
    ("torchquantum", NOISY_TWO),
]
#: A state of 20 wires is 8 MiB; those of others keep gigabytes for a while.
FULL = [
    (NATIVE, Case(20, 10, 1, noisy=False)),
    *((name, NOISY_TWO) for name in ("pennylane", "published-pennylane")),
]
STATUS = Path("/proc/self/status")


def pytest_generate_tests(metafunc):
    options = metafunc.config.option
    chosen = [] if options.peer else SHORT + FULL * options.full
    ids = [f"{name}-{case.id}" for name, case in chosen]
    metafunc.parametrize(("name", "case"), chosen, ids=ids)


@pytest.mark.skipif(not STATUS.exists(), reason="reads the peak from Linux's /proc")
@pytest.mark.benchmark(group="memory")
def test_memory(name, case, benchmark):
    command = [
        sys.executable,
        Path(__file__).with_name("peak_memory.py"),
        name,
        json.dumps(asdict(case)),
    ]

    def fresh_process():
        return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)

    peak = benchmark.pedantic(fresh_process, rounds=1)
    benchmark.extra_info.update(engine=name, case=str(case), sizes=asdict(case), peak=peak)
    if not case.noisy or name in (NATIVE, "torchquantum"):
        benchmark.extra_info["kept_bytes"] = kept_for_backward(step_of(name, case))


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
