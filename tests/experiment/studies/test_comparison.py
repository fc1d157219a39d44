"""Comparisons of the classifier with its twins, and the statistics of their table."""

import math
from dataclasses import replace

import pytest
import torch
import yaml
from commands import SMALL, TRAINING, assert_refused, read_rows

from sqdr.experiment.cli import main
from sqdr.experiment.intervals import mean_and_interval
from sqdr.experiment.options import ComparisonOptions, TrainerOptions
from sqdr.experiment.studies.comparison import _train_and_test, as_markdown, diverged, summary
from sqdr.experiment.studies.shared_trials import DIVERGED, claim_study
from sqdr.experiment.training.run import Run

#: Two short trainings for each of five variants.
COMMAND = ["compare", *SMALL, "--trainer.precision", "64-true", "--seeds", "[3, 4]", "--jobs", "2"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("comparisons") / "small"
    assert main([*COMMAND, "--folder", str(folder)]) == 0
    return folder


def test_every_variant_ran_with_every_seed(folder):
    runs = [(row["variant"], row["parameters"], row["seed"]) for row in read_rows(folder / "runs.csv")]
    sizes = {
        "quantum": "481",
        "no entanglement": "481",
        "frozen circuit": "469",
        "MLP of equal size": "481",
        "no circuit": "481",
    }
    assert runs == [(variant, sizes[variant], seed) for seed in ("3", "4") for variant in sizes]


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    ("variant", "changes"),
    [
        ("quantum", {}),
        ("no entanglement", {"entanglement": "none"}),
        ("frozen circuit", {"circuit": "frozen"}),
        ("MLP of equal size", {"circuit": "mlp"}),
        ("no circuit", {"circuit": "none"}),
    ],
)
def test_a_variant_is_the_training_run_with_its_option(variant, changes, folder, tmp_path):
    model = replace(TRAINING.model, **changes)
    trainer = TrainerOptions(precision="64-true")
    accuracy = Run(replace(TRAINING, model=model, trainer=trainer, seed=4, run=tmp_path)).train()
    (row,) = [r for r in read_rows(folder / "runs.csv") if (r["variant"], r["seed"]) == (variant, "4")]
    assert float(row["accuracy"]) == accuracy


def test_the_configuration_of_a_run_is_one_of_the_comparison(folder, capfd):
    run = folder / "trainings" / "quantum-4" / "config.yaml"
    again = ["compare", "--config", str(run), "--seeds", "[3, 4]", "--folder", str(folder)]
    runs = (folder / "runs.csv").read_bytes()
    assert main(again) == 0
    assert (folder / "runs.csv").read_bytes() == runs
    capfd.readouterr()
    message = f"but {folder} has trainer.precision 64-true, not 32-true."
    assert_refused([*again, "--trainer.precision", "32-true"], message, capfd)


def test_the_same_command_again_prints_the_table_and_runs_nothing(folder, capfd):
    runs = (folder / "runs.csv").read_bytes()
    assert main([*COMMAND, "--jobs", "1", "--folder", str(folder)]) == 0
    output = capfd.readouterr()
    assert output.out.startswith((folder / "comparison.md").read_text())
    assert output.out.splitlines()[-1].startswith(f"10 trainings: {folder / 'comparison.md'}, ")
    assert output.err == ""
    assert (folder / "runs.csv").read_bytes() == runs
    assert [row["variant"] for row in read_rows(folder / "comparison.csv")][:2] == [
        "quantum",
        "no entanglement",
    ]


def test_a_comparison_goes_on_with_more_seeds_but_not_with_fewer(folder, tmp_path, capfd):
    options = ComparisonOptions(TRAINING, [3, 4], folder=tmp_path / "more")
    claim_study(options, torch.device("cpu"))
    claim_study(replace(options, seeds=[4, 5, 3]), torch.device("cpu"))
    assert yaml.safe_load((tmp_path / "more" / "config.yaml").read_text())["seeds"] == [4, 5, 3]
    fewer = [*COMMAND, "--seeds", "[4]", "--folder", str(folder)]
    assert_refused(fewer, f"Argument `seeds` must hold the seeds of {folder}, but lacks 3.", capfd)
    assert yaml.safe_load((folder / "config.yaml").read_text())["seeds"] == [3, 4]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--seeds", "[]"], "Argument `seeds` must be one or more distinct values"),
        (["--jobs", "-1"], "Argument `jobs` must be an integer of at least 1, but is -1"),
        (["--trainer.devices", "2"], "trainer.devices"),
        (["--model.circuit", "frozen"], 'Argument `circuit` must be "quantum" in a comparison'),
        (
            ["--model.entanglement", "none"],
            "Argument `variants` must differ from the model, but 'no entanglement' does not.",
        ),
        (["--variants", "{scaled: {scalin: true}}"], "Argument `variants` must map each name to"),
        (["--variants", "{X: {observables: X9}}"], "Argument `observables` must be"),
        (["--variants", "{quantum: {scaling: true}}"], "Argument `variants` must not be named"),
        (["--variants", "{../up: {scaling: true}}"], "Argument `variants` must have names of"),
        (["--variants", "{X: 3}"], "variants"),
        (["--variants", f"{{{'X' * 61}: {{scaling: true}}}}"], "names of at most 60 letters, digits, "),
        (
            ["--model.head", "none", "--model.n_wires", "3"],
            'Argument `head` must not be "none" for circuit "none"',
        ),
    ],
)
@pytest.mark.usefixtures("empty_folder")
def test_a_wrong_call_is_one_line_and_writes_nothing(options, message, capfd):
    assert_refused([*COMMAND, *options], message, capfd)


RUNS = [
    {"variant": variant, "seed": seed, "parameters": size, "accuracy": accuracy, "seconds": seconds}
    for seed, variant, size, accuracy, seconds in (
        (0, "quantum", 1234, 0.90, 10),
        (0, "no circuit", 999, 0.92, 5),
        (1, "quantum", 1234, 0.94, 20),
        (1, "no circuit", 999, 0.95, 7),
        (2, "quantum", 1234, 0.98, 30),
        (2, "no circuit", 999, 0.98, 9),
    )
]
#: Student's t for 2 degrees of freedom and 97.5 %.
T_2 = 4.302653


def test_differences_are_between_runs_of_the_same_seed():
    quantum, without = summary(RUNS)
    assert quantum["difference"] == quantum["difference_half_width"] == 0
    assert without["difference"] == pytest.approx(0.01)
    assert without["difference_half_width"] == pytest.approx(T_2 * 0.01 / math.sqrt(3), rel=1e-6)


def test_the_table_to_paste():
    header, _, *lines = as_markdown(summary(RUNS)).splitlines()
    assert header.count("|") == lines[0].count("|") == lines[1].count("|") == 8
    # 0.94 ± 0.04 with half width 4.302653 * 0.04 / sqrt(3) = 0.0993655
    assert lines[0] == "| quantum | 1,234 | 94.00 ± 4.00 | 84.06 to 103.94 |  |  | 20 |"
    assert lines[1] == (
        "| no circuit | 999 | 95.00 ± 3.00 | 87.55 to 102.45 | +1.00 | -1.48 to +3.48 | 7 |"
    )


def test_a_training_that_has_diverged_is_in_no_mean_and_no_difference():
    runs = [run | {"accuracy": math.nan} if run is RUNS[2] else run for run in RUNS]
    quantum, without = summary(runs)
    assert (quantum["trainings"], quantum["diverged"]) == (2, 1)
    assert quantum["accuracy"] == pytest.approx(0.94)
    assert (without["trainings"], without["diverged"]) == (3, 0)
    assert without["difference"] == pytest.approx(0.01)  # of seeds 0 and 2
    lines = as_markdown([quantum, without]).splitlines()[2:]
    assert lines[0].startswith("| quantum (1 diverged) | 1,234 | 94.00 ± 5.66 |  |")
    assert diverged(runs) == ["quantum with seed 1"]


def test_where_all_have_diverged_there_is_no_number():
    quantum, _ = summary([run | {"accuracy": math.nan} for run in RUNS])
    assert as_markdown([quantum]).splitlines()[2] == "| quantum (3 diverged) | 1,234 |  |  |  |  | 20 |"


def test_a_training_that_diverges_has_no_accuracy(tmp_path):
    variants = {"quantum": replace(TRAINING, learning_rate=1e30, epochs=1)}
    cell = {"variant": "quantum", "seed": 0}
    assert _train_and_test(tmp_path, variants, cell)[0] == DIVERGED


def test_one_seed_says_nothing_of_the_spread():
    row = summary(RUNS[:2])[0]
    assert math.isnan(row["standard_deviation"])
    assert math.isnan(row["half_width"])
    (line,) = as_markdown([row]).splitlines()[2:]
    assert line == "| quantum | 1,234 | 90.00 |  |  |  | 10 |"


@pytest.mark.parametrize(
    ("confidence", "quantile"), [(0.95, 12.706205), (0.99, 63.656741)]
)  # Student's t for one degree of freedom
def test_mean_and_interval(confidence, quantile):
    mean, half_width = mean_and_interval([1.0, 3.0], confidence)
    assert mean == 2
    assert half_width == pytest.approx(quantile, rel=1e-6)
