"""Time to the first training step in a fresh interpreter, beside what comes before that step.

Of the published model: circuit and front end, forward and backward. Numba's cache has their kernels
already, or is empty, as on a machine that has not run sqdr before.
"""

import os
import subprocess
import sys
import tempfile

import pytest
from comparison import Engine, compare, seconds_of

MODEL = "import sqdr, torch; model = sqdr.SQDR_CNN(10, 1, 10)"
STEP = "; model(torch.rand(8, 1, 32, 32)).sum().backward()"


def run(code, cache):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


def run_with_empty_cache():
    with tempfile.TemporaryDirectory() as cache:
        run(MODEL + STEP, cache)


@pytest.mark.benchmark(group="first step")
@pytest.mark.parametrize("cache", ["with kernels", "empty"])
def test_first_step(cache, benchmark, seconds, tmp_path):
    def before():
        run(MODEL, tmp_path)

    def step():
        if cache == "empty":
            run_with_empty_cache()
        else:
            run(MODEL + STEP, tmp_path)

    step()  # fills the cache, and those of the disk
    subject, peer = (
        Engine(name, f"fresh interpreter, cache {cache}", timed, seconds_of(timed))
        for name, timed in (("first training step", step), ("import and model alone", before))
    )
    compare(benchmark, subject, peer, 5 * seconds)
