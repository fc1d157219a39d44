"""Runs the cells of a study for test_study.py, in processes that can be killed.

It says "ready", waits for a line on stdin before it starts, and says on stdout which cells it runs. In
the cell that it is told to stay in, it waits for a second line on stdin.
"""

import errno
import os
import signal
import sys
from functools import partial
from pathlib import Path
from threading import Event

import torch

from sqdr.experiment.studies.places import StudyFolder
from sqdr.experiment.studies.shared_trials import SharedStudy, finish_cells

DIRECTIONS = ["maximize", "minimize"]


def cells_of(n_cells):
    return [{"seed": seed} for seed in range(n_cells)]


def values_of(cell):
    return [cell["seed"] / 8, cell["seed"] + 0.5]


def run_cell(stay, cell):
    print(cell["seed"], flush=True)
    if cell["seed"] == stay:
        sys.stdin.readline()
    return values_of(cell)


def run_forever(cell):
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in a command that a script starts with &
    print(cell["seed"], flush=True)
    Event().wait()


def wait_beside(cell):
    """In every cell but the first."""
    if cell["seed"]:
        Event().wait()


def run_on_a_full_disk(cell):
    wait_beside(cell)
    raise OSError(errno.ENOSPC, "No space left on device", "metrics.csv")


def run_out_of_memory(cell):
    wait_beside(cell)
    raise MemoryError("no room for 8 GiB")


def allocate_too_much(cell):
    wait_beside(cell)
    torch.empty(2**60)


def die(cell):
    wait_beside(cell)
    os.kill(os.getpid(), signal.SIGKILL)


def exit_early(cell):
    wait_beside(cell)
    sys.exit(3)


def main(kind, folder, n_cells, stay):
    print("ready", flush=True)
    sys.stdin.readline()
    if kind == "command":
        finish_cells(StudyFolder(folder), cells_of(n_cells), DIRECTIONS, run_forever, jobs=2)
    else:
        study = SharedStudy(StudyFolder(folder), cells_of(n_cells), DIRECTIONS)
        while study.run_next(partial(run_cell, stay)):
            pass


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
