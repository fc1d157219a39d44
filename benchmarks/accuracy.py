"""Prints the README's table of accuracies on the digits: five seeds of each recipe.

Each recipe was chosen on the validation images; the test images are looked at here alone. Run folders
are kept under the folder named on the command line (default: a new one under runs/).
"""

import statistics
import sys
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import torch

from sqdr.options import ModelOptions, NoiseOptions, RunOptions
from sqdr.training import Run

SEEDS = range(5)
DEFAULT = RunOptions()
NOISE = NoiseOptions({"BitFlip": 0.02, "Depolarizing": 0.03, "AmplitudeDamping": 0.1})
# The published layers, wires, blocks and head; small initial angles and a slow head train it best,
# since the ReLU on the logits otherwise silences whole classes.
PUBLISHED = ModelOptions(
    T=10, width=1, angle_scale=1.0, head="linear-relu", init_mode="uniform", init_range=(0.0, 0.5)
)
RECIPES = {
    "`make train`": DEFAULT,
    "the same, with noise": replace(DEFAULT, model=replace(DEFAULT.model, noise=NOISE)),
    "the published architecture": replace(
        DEFAULT, model=PUBLISHED, epochs=160, learning_rate=0.05, head_learning_rate=0.002
    ),
}


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else f"runs/accuracy-{datetime.now():%Y%m%d-%H%M%S}")
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads\n")
    print(
        "| recipe | parameters | test accuracy (%), mean ± standard deviation | worst seed | seconds |"
    )
    print("|---|---|---|---|---|")
    for number, (name, options) in enumerate(RECIPES.items()):
        accuracies, seconds = [], []
        for seed in SEEDS:
            run = Run(replace(options, seed=seed, run=folder / f"{number}-{seed}"))
            start = time.perf_counter()
            accuracies.append(100 * run.train())
            seconds.append(time.perf_counter() - start)
        n_parameters = sum(parameter.numel() for parameter in run.model.parameters())
        print(
            f"| {name} | {n_parameters:,} | {statistics.mean(accuracies):.2f} ± "
            f"{statistics.stdev(accuracies):.2f} | {min(accuracies):.2f} | "
            f"{statistics.median(seconds):.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
