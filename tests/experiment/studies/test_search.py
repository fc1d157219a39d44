"""Searches: no trial is lost and none runs twice, and no test image is seen."""

import json
import math
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from commands import assert_refused, read_rows
from search_worker import SPACE, loss_of, trials_of

from sqdr.experiment.cli import main
from sqdr.experiment.data.sets import ImageData
from sqdr.experiment.option_names import with_values
from sqdr.experiment.options import DataOptions, ModelOptions, RunOptions, SearchOptions
from sqdr.experiment.plots import search_history
from sqdr.experiment.studies.search import search_space, train
from sqdr.experiment.training.run import Run

#: Two classes, the smallest model, three trainings of one epoch.
SMALL = [
    "search",
    *("--data.classes", "[0, 1]", "--data.image_size", "8", "--epochs", "1", "--seed", "3"),
    *("--model.T", "1", "--model.width", "1", "--model.n_wires", "2"),
    *("--space", "{learning_rate: {low: 0.01, high: 0.1, log: true}, model.qdr_block: [1, 2]}"),
    *("--n_trials", "3", "--jobs", "2"),
]
TRAINING = RunOptions(
    DataOptions(classes=[0, 1], image_size=8), ModelOptions(T=1, width=1, n_wires=2), epochs=2
)


def run_trials(folder, n_trials, at_most=100, seed=0):
    """The parameters of the trials that this process has run."""
    trials, tried = trials_of(folder, n_trials, seed), []

    def run_trial(parameters):
        tried.append(parameters)
        return loss_of(parameters)

    while len(tried) < at_most and trials.run_next(run_trial):
        pass
    return tried


def finished(folder):
    """The parameters of the finished trials; each has the value of its parameters."""
    trials = trials_of(folder, 0).finished()
    assert [trial.values for trial in trials] == [loss_of(trial.params) for trial in trials]
    return [trial.params for trial in trials]


def in_order(tried):
    return sorted(tried, key=lambda parameters: parameters["learning_rate"])


@contextmanager
def worker(folder, n_trials, stay=-1):
    """A process that is ready to start when it gets a line."""
    script = Path(__file__).with_name("search_worker.py")
    command = [sys.executable, script, folder, str(n_trials), str(stay)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    with subprocess.Popen(command, **pipes) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def test_two_workers_lose_no_trial_and_run_none_twice(tmp_path):
    n_trials = 30
    with worker(tmp_path, n_trials) as first, worker(tmp_path, n_trials) as second:
        for process in (first, second):
            process.stdin.write("start\n")
        printed = [process.communicate()[0].splitlines() for process in (first, second)]
    tried = [json.loads(line) for lines in printed for line in lines]
    assert len({parameters["learning_rate"] for parameters in tried}) == len(tried) == n_trials
    assert in_order(finished(tmp_path)) == in_order(tried)
    assert run_trials(tmp_path, n_trials) == []


def test_the_trial_of_a_killed_worker_is_run_again_and_nothing_else_changes(tmp_path):
    uninterrupted = run_trials(tmp_path / "uninterrupted", 14)
    folder = tmp_path / "killed"
    with worker(folder, 14, stay=11) as process:
        process.stdin.write("start\n")
        tried = [json.loads(process.stdout.readline()) for _ in range(12)]
        process.kill()
    assert finished(folder) == tried[:11]
    assert run_trials(folder, 14) == [tried[11], *uninterrupted[12:]]
    assert finished(folder) == uninterrupted
    assert [row["state"] for row in trials_of(folder, 14).rows()].count("fail") == 1


def test_a_trial_that_runs_elsewhere_counts_and_is_left_alone(tmp_path):
    with worker(tmp_path, 4, stay=1) as process:
        process.stdin.write("start\n")
        elsewhere = [json.loads(process.stdout.readline()) for _ in range(2)]
        here = run_trials(tmp_path, 4)
        assert len(here) == 2
        assert len(finished(tmp_path)) == 3
        process.communicate("go on\n")
    assert in_order(finished(tmp_path)) == in_order(elsewhere + here)


def test_the_trial_of_a_killed_worker_is_run_again_beside_others(tmp_path):
    with worker(tmp_path, 4, stay=1) as process:
        process.stdin.write("start\n")
        elsewhere = [json.loads(process.stdout.readline()) for _ in range(2)]
        here = run_trials(tmp_path, 4, at_most=1)
        process.kill()
    here += run_trials(tmp_path, 4)
    assert here[1] == elsewhere[1]
    assert in_order(finished(tmp_path)) == in_order([elsewhere[0], *here])
    assert len({parameters["learning_rate"] for parameters in finished(tmp_path)}) == 4


def test_the_draws_are_those_of_the_seed_and_a_search_goes_on_with_more_trials(tmp_path):
    tried = run_trials(tmp_path / "at once", 13)
    assert run_trials(tmp_path / "in two", 4) + run_trials(tmp_path / "in two", 13) == tried
    assert run_trials(tmp_path / "other seed", 13, seed=1)[0] != tried[0]


def test_trials_move_to_low_values(tmp_path):
    values = [loss_of(parameters)[0] for parameters in run_trials(tmp_path, 40)]
    assert sum(values[-10:]) < sum(values[:10]) / 2


def test_a_search_goes_on_after_trials_of_infinite_loss(tmp_path):
    trials, losses = trials_of(tmp_path, 20), []

    def diverge_at_first(parameters):
        losses.append(math.inf if len(losses) < 12 else loss_of(parameters)[0])
        return losses[-1:]

    while trials.run_next(diverge_at_first):
        pass
    assert [trial.values[0] for trial in trials_of(tmp_path, 20).finished()] == losses


def test_draws_are_in_the_space(tmp_path):
    tried = run_trials(tmp_path, 10)
    assert all(1e-3 <= parameters["learning_rate"] <= 0.1 for parameters in tried)
    assert all(type(parameters["model.width"]) is int for parameters in tried)
    assert {parameters["model.head"] for parameters in tried} == set(SPACE["model.head"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("searches") / "small"
    assert main([*SMALL, "--folder", str(folder)]) == 0
    return folder


def test_the_same_command_again_prints_the_best_and_runs_nothing(folder, capfd):
    files = {name: (folder / name).read_bytes() for name in ("trials.csv", "best.yaml", "history.png")}
    assert main([*SMALL, "--jobs", "1", "--folder", str(folder)]) == 0
    output = capfd.readouterr()
    assert output.err == ""
    rows = read_rows(folder / "trials.csv")
    assert [(row["number"], row["state"]) for row in rows] == [(n, "complete") for n in "012"]
    best = min(rows, key=lambda row: float(row["validation_loss"]))
    assert output.out.splitlines() == [
        f"3 trials: {folder / 'trials.csv'}, {folder / 'history.png'}",
        f"Best validation_loss: {float(best['validation_loss']):.4f}",
        f"  learning_rate: {best['learning_rate']}",
        f"  model.qdr_block: {best['model.qdr_block']}",
        f"Train it: sqdr train --config {folder / 'best.yaml'}",
    ]
    assert {name: (folder / name).read_bytes() for name in files} == files


@pytest.mark.usefixtures("one_thread")
def test_the_best_configuration_trains_to_the_best_value(folder, tmp_path):
    run = tmp_path / "run"
    assert main(["train", "--config", str(folder / "best.yaml"), "--run", str(run)]) == 0
    (epoch,) = read_rows(run / "metrics.csv")
    values = [float(row["validation_loss"]) for row in read_rows(folder / "trials.csv")]
    assert float(epoch["validation_loss"]) == min(values)


@pytest.mark.parametrize(
    ("command", "option", "value"),
    [("compare", "seeds", "[]"), ("sweep-noise", "seeds", "[]"), ("search", "n_trials", "0")],
)
def test_the_best_configuration_is_one_of_a_study(command, option, value, folder, capfd):
    """Whose only fault is that of the command line."""
    study = [command, "--config", str(folder / "best.yaml"), f"--{option}", value]
    assert_refused(study, f"Argument `{option}` must be", capfd)


def test_another_search_does_not_go_on_in_the_folder(folder, capfd):
    before = (folder / "config.yaml").read_bytes()
    assert main([*SMALL, "--seed", "4", "--folder", str(folder)]) == 2
    assert capfd.readouterr().err.endswith(f"{folder} has seed 3, not 4.\n")
    assert (folder / "config.yaml").read_bytes() == before


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("objective", ["validation_loss", "validation_accuracy"])
def test_the_objective_is_that_of_the_epoch_which_a_run_keeps(objective, tmp_path, monkeypatch):
    options = SearchOptions(TRAINING, objective=objective)
    parameters = {"learning_rate": 0.09, "model.qdr_block": 1}
    Run(with_values(TRAINING, parameters | {"run": str(tmp_path / "run")})).train()
    rows = read_rows(tmp_path / "run" / "metrics.csv")
    kept = min(rows, key=lambda row: float(row["validation_loss"]))
    monkeypatch.delattr(ImageData, "test_dataloader")
    assert train(options, parameters) == [float(kept[objective])]


@pytest.mark.parametrize(
    "parameters",
    [{"learning_rate": 1e30}, {"model.head": "none", "model.n_wires": 3}],
    ids=["diverges", "do not go together"],
)
def test_parameters_that_cannot_be_trained_are_the_worst(parameters):
    assert train(SearchOptions(TRAINING), parameters) == [math.inf]
    assert train(SearchOptions(TRAINING, objective="validation_accuracy"), parameters) == [0]


def test_parameters_are_options_of_the_training():
    changed = with_values(TRAINING, {"model.width": 2, "data.batch_size": 32})
    assert (changed.model.width, changed.data.batch_size, changed.epochs) == (2, 32, 2)
    assert with_values(changed, {"model.width": 1, "data.batch_size": 64}) == TRAINING


def test_the_default_space_is_one():
    assert "learning_rate" in search_space(SearchOptions(TRAINING).space)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--space", "{}"], "`space` must be a mapping from options to lists or ranges, but is {}"),
        (["--space", "{rate: [1, 2]}"], "`space` must hold options of `sqdr train`"),
        (["--space", "{model: [1, 2]}"], "`space` must hold options of `sqdr train`"),
        (["--space", "{seed: [1, 2]}"], "`space` must not hold seed"),
        (["--space", "{learning_rate: 0.1}"], "`space.learning_rate` must be a list of values or a"),
        (["--space", "{learning_rate: {low: 0.1}}"], "must be a list of values or a range {low: ..."),
        (["--space", "{learning_rate: {low: 0.1, high: 1, step: 2}}"], "must be a list of values or"),
        (["--space", "{learning_rate: {low: 1, high: 0.1}}"], "from a lower to a higher number"),
        (["--space", "{learning_rate: {low: 1, high: 1}}"], "from a lower to a higher number"),
        (
            ["--space", "{learning_rate: {low: 0, high: 1, log: true}}"],
            "both positive if `log` is true",
        ),
        (["--space", "{learning_rate: {low: 0.1, high: 1, log: 10}}"], "`space.learning_rate.log`"),
        (["--space", "{learning_rate: {low: a, high: 1}}"], "must be a finite number, but is 'a'"),
        (["--space", "{trainer.devices: [1, 2]}"], "must not hold trainer.devices"),
        (
            ["--space", "{trainer.precision: [32-true, 64-true]}"],
            "must not hold trainer.precision",
        ),
        (["--space", "{learning_rate: {low: -1, high: 1}}"], "for -1.0: Argument `learning_rate`"),
        (["--space", "{learning_rate: [0.1, high]}"], "that `sqdr train` takes, but holds 'high'."),
        (
            ["--space", "{learning_rate: []}"],
            "`space.learning_rate` must be one or more distinct values",
        ),
        (["--space", "{learning_rate: [1, 1]}"], "must be one or more distinct values, but is [1, 1]"),
        (["--space", "{model.init_range: [[0, 1]]}"], "must hold single values, but holds [0, 1]"),
        (["--space", "{data.augmentation: [null]}"], "must hold single values, but holds None"),
        (["--space", "{model.width: {low: 1, high: 2.5}}"], "must be an integer of at least 0"),
        (["--space", "{model.width: {low: 0, high: 2}}"], "for 0: Argument `width`"),
        (["--space", "{model.width: [1.5]}"], "that `sqdr train` takes, but holds 1.5."),
        (
            ["--space", "{model.head: {low: 1, high: 2}}"],
            "must be a list of values, as the option is no",
        ),
        (["--space", "{model.entanglement: [around]}"], "that `sqdr train` takes, but holds 'around'."),
        (["--space", "{model.backend: [abacus]}"], "for 'abacus': Argument `backend`"),
        (["--space", "{label_smoothing: [0, 0.1]}"], '`objective` must be "validation_accuracy"'),
        (["--objective", "test_accuracy"], "objective"),
        (["--n_trials", "0"], "Argument `n_trials` must be an integer of at least 1"),
        (["--jobs", "0"], "Argument `jobs` must be an integer of at least 1"),
        (["--epochs", "0"], "Argument `epochs` must be an integer of at least 1"),
    ],
)
@pytest.mark.usefixtures("empty_folder")
def test_a_wrong_call_is_one_line_and_writes_nothing(options, message, capfd):
    assert_refused([*SMALL, *options], message, capfd)


def test_a_configuration_file_of_the_search_is_kept(folder):
    kept = yaml.safe_load((folder / "config.yaml").read_text())
    assert kept["space"]["model.qdr_block"] == [1, 2]
    assert kept["seed"] == 3


@pytest.mark.parametrize(("maximize", "best"), [(True, [1, 3, 3]), (False, [1, 1, -2])])
def test_the_picture_shows_the_trials_and_the_best_so_far(maximize, best):
    (axes,) = search_history([1, 3, -2], "validation_loss", maximize).axes
    assert [list(line.get_ydata()) for line in axes.lines] == [[1, 3, -2], best]
    assert axes.get_ylabel() == "validation loss"
