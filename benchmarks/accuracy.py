"""Prints the README's table of accuracies on the digits: five seeds of each recipe.

Each recipe was chosen on the validation images. The runs go in parallel, on one thread each; their
folders are kept under the folder named on the command line (default: a new one under runs/).
"""

import os
import statistics
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import datetime
from multiprocessing import get_context
from pathlib import Path

import torch

from sqdr.experiment.options import ModelOptions, NoiseOptions, RunOptions
from sqdr.experiment.training.preparation import count_parameters
from sqdr.experiment.training.run import Run

SEEDS = range(5)
DEFAULT = RunOptions()
NOISE = NoiseOptions({"BitFlip": 0.02, "Depolarizing": 0.03, "AmplitudeDamping": 0.1})
# The published layers, wires, blocks and head; small initial angles and a slow head train it best,
# since the ReLU on the logits otherwise silences whole classes.
PUBLISHED = ModelOptions(
    T=10,
    n_wires=9,
    width=1,
    angle_scale=1.0,
    head="linear-relu",
    init_mode="uniform",
    init_range=(0.0, 0.5),
)
RECIPES = {
    "`make train`": DEFAULT,
    "the same, with noise": replace(DEFAULT, model=replace(DEFAULT.model, noise=NOISE)),
    "the published architecture": replace(
        DEFAULT,
        model=PUBLISHED,
        epochs=160,
        learning_rate=0.05,
        head_learning_rate=0.002,
        label_smoothing=0.0,
    ),
}


def test_accuracy(options: RunOptions) -> tuple[int, float]:
    """Number of trainable parameters and test accuracy (%) of a run on one thread."""
    torch.set_num_threads(1)
    run = Run(options)
    return count_parameters(run.model), 100 * run.train(show_progress=False)


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else f"runs/accuracy-{datetime.now():%Y%m%d-%H%M%S}")
    runs = [
        replace(options, seed=seed, run=folder / f"{number}-{seed}")
        for number, options in enumerate(RECIPES.values())
        for seed in SEEDS
    ]
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        results = list(pool.map(test_accuracy, runs))
    print("| recipe | parameters | test accuracy (%), mean ± standard deviation | each seed |")
    print("|---|---|---|---|")
    for number, name in enumerate(RECIPES):
        of_seeds = results[number * len(SEEDS) : (number + 1) * len(SEEDS)]
        accuracies = [accuracy for _, accuracy in of_seeds]
        print(
            f"| {name} | {of_seeds[0][0]:,} | {statistics.mean(accuracies):.2f} ± "
            f"{statistics.stdev(accuracies):.2f} | {', '.join(f'{a:.1f}' for a in accuracies)} |"
        )


if __name__ == "__main__":
    main()
