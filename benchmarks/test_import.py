"""Time of `import sqdr` in a fresh interpreter, beside what it needs anyway."""

import subprocess
import sys

import pytest
from comparison import Engine, compare, seconds_of

IMPORTS = {
    "import torch": "import torch",
    "import torch and spikingjelly": "import torch, spikingjelly.activation_based.neuron",
}


def engine(name, code):
    def step():
        subprocess.run([sys.executable, "-c", code], check=True)

    step()  # fills the caches of the disk
    return Engine(name, "fresh interpreter", step, seconds_of(step))


@pytest.mark.benchmark(group="import")
@pytest.mark.parametrize("peer", IMPORTS)
def test_import(peer, benchmark, seconds):
    subject = engine("import sqdr", "import sqdr")
    compare(benchmark, subject, engine(peer, IMPORTS[peer]), 5 * seconds)
