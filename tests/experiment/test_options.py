"""Options check themselves, and say what they belong to."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from sqdr.errors import ArgumentError
from sqdr.experiment.option_names import (
    NOT_OF_RESULT,
    SET_BY_STUDIES,
    as_configuration,
    as_plain,
    flat,
    nested,
    options_of,
    parse_run_options,
    what_is_shared,
    with_values,
    without,
)
from sqdr.experiment.options import (
    ComparisonOptions,
    DataOptions,
    EvaluationData,
    EvaluationOptions,
    ModelOptions,
    NoiseOptions,
    NoiseSweepOptions,
    PredictionOptions,
    ReportData,
    ReportOptions,
    RunOptions,
    SearchOptions,
    TrainerOptions,
)

TRAINING = RunOptions()


@pytest.mark.parametrize(
    ("kind", "values", "name"),
    [
        (RunOptions, {"epochs": -3}, "epochs"),
        (RunOptions, {"epochs": True}, "epochs"),
        (RunOptions, {"epochs": 10**12}, "epochs"),
        (RunOptions, {"learning_rate": 1e38}, "learning_rate"),
        (RunOptions, {"head_learning_rate": 1e38}, "head_learning_rate"),
        (DataOptions, {"batch_size": 10**20}, "batch_size"),
        (RunOptions, {"seed": 2**32}, "seed"),
        (RunOptions, {"learning_rate": float("nan")}, "learning_rate"),
        (RunOptions, {"head_learning_rate": -1}, "head_learning_rate"),
        (RunOptions, {"weight_decay": "much"}, "weight_decay"),
        (RunOptions, {"label_smoothing": 1.5}, "label_smoothing"),
        (RunOptions, {"run": "~no-such-user/run"}, "run"),
        (RunOptions, {"early_stopping": 0}, "early_stopping"),
        (RunOptions, {"checkpoint_minutes": -1}, "checkpoint_minutes"),
        (RunOptions, {"logger": "paper"}, "logger"),
        (RunOptions, {"optimizer": "Newton"}, "optimizer"),
        (RunOptions, {"optimizer_options": {"momentum": 0.9}}, "optimizer_options"),
        (RunOptions, {"optimizer_options": {"betas": [2, 3]}}, "optimizer_options"),
        (RunOptions, {"optimizer_options": {"lr": 0.1}}, "optimizer_options"),
        (RunOptions, {"optimizer_options": {"betas": [0.9]}}, "optimizer_options"),
        (RunOptions, {"optimizer_options": {"betas": [0.9, "x"]}}, "optimizer_options.betas"),
        (RunOptions, {"optimizer_options": {"maximize": "false"}}, "optimizer_options"),
        (RunOptions, {"optimizer_options": {"differentiable": True}}, "optimizer_options"),
        (RunOptions, {"optimizer_options": {"capturable": True}}, "optimizer_options"),
        (
            RunOptions,
            {"optimizer": "SGD", "optimizer_options": {"momentum": float("nan")}},
            "optimizer_options.momentum",
        ),
        (DataOptions, {"name": "imagenet"}, "name"),
        (DataOptions, {"augmentation": "cutout"}, "augmentation"),
        (DataOptions, {"classes": [3]}, "classes"),
        (DataOptions, {"classes": [3, -8]}, "classes"),
        (DataOptions, {"image_size": 1}, "image_size"),
        (DataOptions, {"validation_fraction": 0}, "validation_fraction"),
        (DataOptions, {"batch_size": 0}, "batch_size"),
        (ModelOptions, {"T": 0}, "T"),
        (ModelOptions, {"n_wires": 2.5}, "n_wires"),
        (ModelOptions, {"width": 10**6}, "width"),
        (ModelOptions, {"angle_scale": float("inf")}, "angle_scale"),
        (ModelOptions, {"head": "two"}, "head"),
        (ModelOptions, {"init_mode": "zero"}, "init_mode"),
        (ModelOptions, {"circuit": "qft"}, "circuit"),
        (ModelOptions, {"circuit": "mlp", "noise": NoiseOptions({"BitFlip": 0.1})}, "noise"),
        (TrainerOptions, {"accelerator": "abacus"}, "accelerator"),
        (TrainerOptions, {"precision": "16"}, "precision"),
        (TrainerOptions, {"devices": 0}, "devices"),
        (NoiseSweepOptions, {"training": TRAINING, "test_strengths": [0, 2]}, "BitFlip.p"),
        (NoiseSweepOptions, {"training": TRAINING, "seeds": []}, "seeds"),
        (ComparisonOptions, {"training": TRAINING, "jobs": 0}, "jobs"),
        (ComparisonOptions, {"training": TRAINING, "seeds": [1, 1]}, "seeds"),
        (SearchOptions, {"training": TRAINING, "n_trials": 0}, "n_trials"),
        (SearchOptions, {"training": TRAINING, "objective": "test_accuracy"}, "objective"),
    ],
)
def test_a_value_out_of_its_domain_is_refused_at_once(kind, values, name):
    with pytest.raises(ArgumentError, match=f"^Argument `{name}` must "):
        kind(**values)


def test_numbers_of_numpy_are_plain_in_files():
    options = RunOptions(
        DataOptions(classes=np.array([3, 8])), epochs=np.int8(7), learning_rate=np.float32(0.5)
    )
    assert parse_run_options(json.dumps(as_plain(options))) == options
    assert type(options.epochs) is int


@pytest.mark.parametrize("name", ["run", "data.root"])
def test_a_path_in_the_home_folder(name, monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    changed = with_values(TRAINING, {name: "~/x"})
    assert flat(as_plain(changed))[name] == "/home/ada/x"
    assert RunOptions(run=Path("~/x")).run == Path("/home/ada/x")


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (ReportOptions, "run"),
        (ReportData, "root"),
        (PredictionOptions, "model"),
        (EvaluationOptions, "model"),
        (EvaluationData, "root"),
    ],
)
def test_a_path_in_the_home_folder_of_what_is_trained(kind, name, monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    assert getattr(kind(**{name: Path("~/x")}), name) == Path("/home/ada/x")


def test_options_by_what_they_belong_to():
    assert {
        *("run", "tensorboard", "logger", "checkpoint_minutes"),
        *("trainer.devices", "trainer.num_nodes"),
    } == SET_BY_STUDIES
    assert SET_BY_STUDIES | {"data.root", "data.download", "trainer.accelerator"} == NOT_OF_RESULT
    kinds = {name: option.kind for name, option in options_of(RunOptions).items()}
    assert {name for name in kinds if kinds[name] == "task"} == {
        *("data.name", "data.classes", "data.split_seed", "data.validation_fraction"),
        *("trainer.precision", "seed"),
    }


def test_what_the_machines_of_a_study_share():
    shared = what_is_shared(ComparisonOptions(replace(TRAINING, seed=3, epochs=7), jobs=2))
    assert shared["epochs"] == 7
    assert not {"seed", "jobs", "folder", "run", "training"} & shared.keys()
    assert "root" not in shared["data"]
    search = what_is_shared(SearchOptions(replace(TRAINING, seed=3)))
    assert search["seed"] == 3
    assert search["space"]["data.batch_size"] == [32, 64, 128]


PLAIN = {"epochs": 3, "model": {"T": 5, "noise": {"after_rotation": {"BitFlip": 0.1}, "preset": {}}}}
FLAT = {
    "epochs": 3,
    "model.T": 5,
    "model.noise.after_rotation": {"BitFlip": 0.1},
    "model.noise.preset": {},
}


def test_dotted_names():
    assert flat(PLAIN) == FLAT
    assert nested(FLAT) == PLAIN
    assert without(PLAIN, {"epochs", "model.noise.preset"}) == {
        "model": {"T": 5, "noise": {"after_rotation": {"BitFlip": 0.1}}}
    }


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("epochs: 3\nepochs: 4", "epochs"),
        ("model: {T: 2, n_wires: 3, T: 2}", "T"),
        ("model: {noise: {after_rotation: {BitFlip: 0.1, BitFlip: 0.2}}}", "BitFlip"),
        ("model: {noise: {after_rotation: [{BitFlip: 0.1, BitFlip: 0.2}]}}", "BitFlip"),
    ],
)
def test_two_keys_of_one_name_are_refused(text, name):
    with pytest.raises(ArgumentError, match=f"^Argument `{name}` must be given once in a mapping"):
        parse_run_options(text)


def test_a_channel_twice_is_a_list():
    options = parse_run_options("model: {noise: {after_rotation: [{BitFlip: 0.1}, {BitFlip: 0.2}]}}")
    assert options.model.noise.after_rotation == [{"BitFlip": 0.1}, {"BitFlip": 0.2}]


def test_numbers_of_numpy_become_plain():
    model = replace(TRAINING.model, init_range=(np.float32(0), np.int64(2)))
    options = ComparisonOptions(replace(TRAINING, model=model), seeds=np.arange(2))
    assert (options.seeds, options.training.model.init_range) == ((0, 1), (0.0, 2.0))
    assert yaml.safe_load(yaml.safe_dump(as_configuration(options.training)))
