"""Noise sweeps, by the command line as a user starts them."""

import itertools
import math
import multiprocessing
import signal
from dataclasses import replace

import numpy as np
import pytest
import resume_worker
import torch
import yaml
from commands import SMALL, TRAINING, assert_refused, read_rows
from matplotlib.image import imread

import sqdr
from sqdr.experiment.cli import main
from sqdr.experiment.options import NoiseSweepOptions
from sqdr.experiment.plots import noise_sweep
from sqdr.experiment.studies import noise_sweep as sweep
from sqdr.experiment.studies.shared_trials import DIVERGED
from sqdr.experiment.training.classifier import Classifier
from sqdr.experiment.training.preparation import prepare

#: Four short trainings.
COMMAND = [
    "sweep-noise",
    *SMALL,
    *("--channels", "[BitFlip]", "--training_strengths", "[0, 0.1]", "--test_strengths", "[0, 0.3]"),
    *("--seeds", "[3, 4]", "--jobs", "2"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweeps") / "small"
    assert main([*COMMAND, "--folder", str(folder)]) == 0
    return folder


def test_the_table_has_one_row_for_each_test(folder):
    rows = read_rows(folder / "accuracy.csv")
    assert [tuple(row.values())[:5] for row in rows] == [
        (*training, "BitFlip", strength, seed)
        for seed in ("3", "4")
        for training in (("none", "0.0"), ("BitFlip", "0.1"))
        for strength in ("0.0", "0.3")
    ]


@pytest.mark.parametrize("strength", [0.0, 0.3])
@pytest.mark.parametrize("channel", ["none", "BitFlip"])
def test_accuracies_are_those_of_the_trained_models_under_the_noise(channel, strength, folder):
    training_strength = "0.0" if channel == "none" else "0.1"
    keys = [channel, training_strength, "BitFlip", str(strength), "4"]
    (row,) = [row for row in read_rows(folder / "accuracy.csv") if list(row.values())[:5] == keys]
    run = folder / "trainings" / f"{channel}-{training_strength}-4"
    written = yaml.safe_load((run / "config.yaml").read_text())
    assert written["seed"] == 4
    noise = written["model"]["noise"]["after_rotation"]
    assert noise == ({} if channel == "none" else {"BitFlip": 0.1})

    noise = sqdr.NoiseModel((sqdr.BitFlip(strength),))
    model = sqdr.SQDR_CNN(2, 1, 3, n_wires=2, head="linear", angle_scale=torch.pi, noise=noise)
    state = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    model.load_state_dict({name.removeprefix("model."): state[name] for name in state})
    images, labels = prepare(TRAINING)[0].test
    expected = (model.eval()(images).argmax(1) == labels).double().mean()
    assert float(row["accuracy"]) == pytest.approx(float(expected))


def test_the_picture_shows_something(folder):
    assert imread(folder / "accuracy.png").std() > 0.05


def test_the_same_command_again_runs_nothing(folder, capfd):
    before = {file: file.stat().st_mtime_ns for file in folder.glob("trainings/*/*")}
    table = (folder / "accuracy.csv").read_bytes()
    assert main([*COMMAND, "--jobs", "1", "--folder", str(folder)]) == 0
    output = capfd.readouterr()
    files = f"{folder / 'accuracy.csv'}, {folder / 'accuracy.png'}"
    assert output.out == f"4 trainings, 8 tests: {files}\n"
    assert output.err == ""
    assert {file: file.stat().st_mtime_ns for file in folder.glob("trainings/*/*")} == before
    assert (folder / "accuracy.csv").read_bytes() == table


def test_a_killed_training_goes_on_and_a_killed_test_keeps_the_training(tmp_path, monkeypatch):
    tests, cell = [("BitFlip", 0.3)], {"channel": "BitFlip", "strength": 0.1, "seed": 3}
    expected, killed = (
        NoiseSweepOptions(TRAINING, ["BitFlip"], [0.1], [0.0, 0.3], [3], folder=tmp_path / name)
        for name in ("expected", "killed")
    )
    steps = []
    training_step = Classifier.training_step
    monkeypatch.setattr(
        Classifier, "training_step", lambda *step: steps.append(step) or training_step(*step)
    )
    accuracies = sweep._train_and_test(expected, tests, cell)
    in_all, per_epoch = len(steps), len(steps) // TRAINING.epochs
    noise = ["--model.noise.after_rotation", "{BitFlip: 0.1}"]
    command = ["train", *SMALL, *noise, "--seed", "3"]
    run = ["--run", str(tmp_path / "killed" / "trainings" / "BitFlip-0.1-3")]
    worker = multiprocessing.get_context("spawn").Process(
        target=resume_worker.work, args=([*command, *run], "a training step", 2 * per_epoch + 1)
    )
    worker.start()
    worker.join()
    assert worker.exitcode == -signal.SIGKILL
    assert sweep._train_and_test(killed, tests, cell) == accuracies
    assert len(steps) - in_all == in_all - 2 * per_epoch
    assert sweep._train_and_test(killed, tests, cell) == accuracies
    assert len(steps) - in_all == in_all - 2 * per_epoch


def test_the_folder_s_config_continues_the_sweep_and_another_is_refused(folder, capfd):
    again = ["sweep-noise", "--config", str(folder / "config.yaml"), "--folder", str(folder)]
    assert main(again) == 0
    assert main([*again, "--epochs", "3"]) == 2
    assert f"but {folder} has epochs 4, not 3." in capfd.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--channels", "[Foo]"], "Argument `channel` must be one of BitFlip"),
        (["--channels", "[]"], "Argument `channels` must be one or more distinct values, but is []"),
        (["--test_strengths", "[0, 1.5]"], "Argument `BitFlip.p` must be a finite number in [0, 1]"),
        (["--training_strengths", "[0, -1]"], "Argument `BitFlip.p` must be a finite number in [0, 1]"),
        (["--seeds", "[1, 1]"], "Argument `seeds` must be one or more distinct values, but is [1, 1]"),
        (["--seeds", "[-1]"], "Argument `seeds` must be an integer of at least 0, but is -1"),
        (["--jobs", "0"], "Argument `jobs` must be an integer of at least 1, but is 0"),
        (["--epochs", "0"], "Argument `epochs` must be an integer of at least 1, but is 0"),
        (["--seed", "1"], "seed"),
        (["--model.noise.readout_error", "0.1"], "Argument `noise` must be empty in a noise sweep"),
        (["--model.circuit", "mlp"], "Argument `circuit` must be a quantum one in a noise sweep"),
    ],
)
@pytest.mark.usefixtures("empty_folder")
def test_a_wrong_call_is_one_line_and_writes_nothing(options, message, capfd):
    assert_refused([*COMMAND, *options], message, capfd)


def rows_of(channels, seeds, accuracy):
    trainings = [("none", 0.0), *((channel, 0.1) for channel in channels)]
    return [
        {
            "training_channel": training,
            "training_strength": training_strength,
            "test_channel": channel,
            "test_strength": strength,
            "seed": seed,
            "accuracy": accuracy(training, channel, strength, seed),
        }
        for training, training_strength in trainings
        for channel, strength, seed in itertools.product(channels, (0.0, 0.2), seeds)
    ]


def test_a_panel_shows_its_channel_trained_without_and_with_it():
    def accuracy(training, channel, strength, seed):
        return 0.5 + (training == channel) / 4 - strength + seed / 100

    figure = noise_sweep(rows_of(["BitFlip", "PhaseFlip", "Depolarizing"], [1, 2, 3], accuracy))
    assert [axes.get_title() for axes in figure.axes] == ["BitFlip", "PhaseFlip", "Depolarizing"]
    without, with_noise = figure.axes[1].containers
    assert without.get_label() == "trained without noise"
    assert with_noise.get_label() == "trained with strength 0.1"
    assert without[0].get_xydata() == pytest.approx(np.array([[0, 52], [0.2, 32]]), abs=0.005)
    assert with_noise[0].get_xydata() == pytest.approx(np.array([[0, 77], [0.2, 57]]), abs=0.005)
    (bars,) = without[2]
    # 4.302653 is Student's t for 2 degrees of freedom and 97.5 %; 1, 2, 3 have standard deviation 1.
    half_width = 4.302653 / 3**0.5
    assert bars.get_segments()[0][:, 1] == pytest.approx([52 - half_width, 52 + half_width])


def test_a_training_that_diverges_has_no_accuracy_and_is_in_no_mean(tmp_path):
    training = replace(TRAINING, learning_rate=1e30, epochs=1)
    options = NoiseSweepOptions(training, ["BitFlip"], [0.1], [0.0], [3], folder=tmp_path)
    cell = {"channel": "BitFlip", "strength": 0.1, "seed": 3}
    assert sweep._train_and_test(options, [("BitFlip", 0.0)], cell) == [DIVERGED]
    figure = noise_sweep(rows_of(["BitFlip"], [1, 2], lambda *test: [0.5, math.nan][test[-1] - 1]))
    points = figure.axes[0].containers[0][0].get_xydata()
    assert points == pytest.approx(np.array([[0, 50], [0.2, 50]]), abs=0.005)  # bars stand side by side


def test_one_seed_has_no_interval():
    figure = noise_sweep(rows_of(["BitFlip"], [1], lambda *_: 0.5))
    points = figure.axes[0].containers[0][0].get_xydata()
    assert points == pytest.approx(np.array([[0, 50], [0.2, 50]]), abs=0.005)  # bars stand side by side
