"""Prints the peak memory of one step in this process: python peak_memory.py ENGINE CASE-AS-JSON.

Both numbers are bytes of resident memory: the most that a circuit of two wires took, and the most that
the case took after it.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

import torch
from case import Case
from engines import step_of


def peak_bytes() -> int:
    """Linux's high-water mark, which unlike getrusage's is of this process alone."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    raise OSError("/proc/self/status has no VmHWM")


def main() -> None:
    name, case = sys.argv[1], Case(**json.loads(sys.argv[2]))
    torch.set_num_threads(1)
    step_of(name, replace(case, n_wires=2, batch=2))()  # what the imports and any gradient take
    before = peak_bytes()
    step_of(name, case)()
    print(json.dumps({"before": before, "after": peak_bytes()}))


if __name__ == "__main__":
    main()
