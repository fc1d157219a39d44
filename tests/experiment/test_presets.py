"""Presets: their files, and `--preset`."""

import pytest
import torch
from commands import assert_refused

import sqdr
from sqdr.experiment.cli import main
from sqdr.experiment.commands import COMMANDS
from sqdr.experiment.commands.parsing import Parser
from sqdr.experiment.options import RunOptions
from sqdr.experiment.presets import PRESETS, preset
from sqdr.experiment.training.preparation import build_model


def parsed(command, *words):
    return Parser(COMMANDS[command]).parse(COMMANDS[command].rewritten(words))


def model_of(name):
    return build_model(preset(name).model, in_channels=1, num_class=10)


def test_digits_is_what_trains_by_default():
    assert preset("digits") == RunOptions(data=preset("digits").data)
    assert preset("digits").data.name == RunOptions().data.name


@pytest.mark.parametrize("name", ["digits", "fashion-mnist", "mnist"])
def test_fewer_than_ten_thousand_parameters(name):
    assert sum(parameter.numel() for parameter in model_of(name).parameters()) < 10_000


def test_published_is_the_published_architecture():
    model, published = model_of("published"), sqdr.SQDR_CNN.published(10, 1, 10).eval()
    published.load_state_dict(model.state_dict())
    images = torch.rand(4, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    assert torch.equal(model.eval()(images), published(images))
    assert sum(parameter.numel() for parameter in model.parameters()) == 803


def test_other_options_go_before_a_preset(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("epochs: 7\nlearning_rate: 0.5\n")
    options = parsed("train", "--epochs", "3", "--config", str(file), "--preset", "published")
    assert (options.epochs, options.learning_rate, options.model.T) == (7, 0.5, 10)


@pytest.mark.parametrize("command", ["compare", "search", "sweep-noise"])
def test_studies_begin_with_a_preset(command):
    options = parsed(command, "--preset=published", "--epochs", "3")
    assert (options.model.n_wires, options.epochs) == (9, 3)


@pytest.mark.parametrize("name", PRESETS)
def test_a_file_that_is_printed_gives_the_same_options(name, tmp_path, capfd):
    assert main(["presets", name]) == 0
    file = tmp_path / "mine.yaml"
    file.write_text(capfd.readouterr().out)
    copied = parsed("train", "--config", str(file))
    assert copied.model == preset(name).model
    assert copied.data == preset(name).data


def test_the_list(capfd):
    assert main(["presets"]) == 0
    assert capfd.readouterr().out.split() == list(PRESETS)


@pytest.mark.parametrize("words", [["presets", "x"], ["train", "--preset", "x"]])
def test_unknown_preset(words, capfd):
    assert_refused(words, f"`preset` must be one of {', '.join(PRESETS)}, but is 'x'.", capfd)


def test_preset_without_a_name(capfd):
    assert_refused(["train", "--preset"], "but is ''.", capfd)


@pytest.mark.parametrize("command", ["train", "compare"])
def test_a_preset_in_a_file_is_refused(command, tmp_path, capfd):
    file = tmp_path / "mine.yaml"
    file.write_text("preset: mnist\n")
    message = "`preset` must be given on the command line, once, but 'mnist' is not."
    assert_refused([command, "--config", str(file)], message, capfd)
