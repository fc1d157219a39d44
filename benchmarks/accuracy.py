"""Prints the documented table of accuracies on the digits: five seeds of each recipe.

Each recipe was chosen on the validation images. The trainings go in parallel, on one thread each, and
stay under the folder named on the command line (default: runs/accuracy), in which the same command
goes on where it was stopped.
"""

import sys
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev

import torch

from sqdr.experiment import tables
from sqdr.experiment.option_names import as_configuration
from sqdr.experiment.options import NoiseOptions
from sqdr.experiment.presets import preset
from sqdr.experiment.studies.comparison import Trainings
from sqdr.experiment.studies.shared_trials import claim_folder

SEEDS = range(5)
DEFAULT = preset("digits")
NOISE = NoiseOptions({"BitFlip": 0.02, "Depolarizing": 0.03, "AmplitudeDamping": 0.1})
RECIPES = {
    "make train": DEFAULT,
    "the same, with noise": replace(DEFAULT, model=replace(DEFAULT.model, noise=NOISE)),
    "the published architecture": preset("published"),
}


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/accuracy")
    trainings = Trainings(folder, RECIPES, SEEDS)
    configuration = {name: as_configuration(recipe) for name, recipe in RECIPES.items()}
    claim_folder(folder, configuration, torch.device("cpu"))
    runs = trainings.run()
    if runs is None:
        print("Other machines are still at work.")
        return
    rows = []
    for name in RECIPES:
        of_recipe = [run for run in runs if run["variant"] == name]
        accuracies = [100 * run["accuracy"] for run in of_recipe]  # NaN if one has diverged
        rows.append(
            [
                name.replace("make train", "`make train`"),
                f"{of_recipe[0]['parameters']:,}",
                f"{fmean(accuracies):.2f} ± {stdev(accuracies):.2f}",
                ", ".join(f"{accuracy:.1f}" for accuracy in accuracies),
            ]
        )
    numbers = "parameters", "test accuracy (%), mean ± standard deviation", "each seed"
    print(tables.markdown(["recipe"], numbers, rows))


if __name__ == "__main__":
    main()
