"""Runs the trials of a search for test_search.py, in processes that can be killed.

It says "ready", waits for a line on stdin before it starts, and says on stdout which parameters it
tries. In the trial that it is told to stay in, its n-th, it waits for a second line on stdin.
"""

import json
import sys
from itertools import count
from pathlib import Path

from sqdr.experiment.studies.places import StudyFolder
from sqdr.experiment.studies.search import SearchTrials, search_space

SPACE = {
    "learning_rate": {"low": 1e-3, "high": 0.1, "log": True},
    "model.width": {"low": 1, "high": 1000},
    "model.head": ["linear", "linear-relu"],
}


def trials_of(folder, n_trials, seed=0):
    return SearchTrials(StudyFolder(folder), search_space(SPACE), "validation_loss", n_trials, seed)


def loss_of(parameters):
    return [parameters["learning_rate"] + parameters["model.width"] / 1000]


def main(folder, n_trials, stay):
    print("ready", flush=True)
    sys.stdin.readline()
    trials, numbers = trials_of(folder, n_trials), count()

    def run_trial(parameters):
        print(json.dumps(parameters), flush=True)
        if next(numbers) == stay:
            sys.stdin.readline()
        return loss_of(parameters)

    while trials.run_next(run_trial):
        pass


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
