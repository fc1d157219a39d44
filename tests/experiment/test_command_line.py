"""The command line as people write it: values, help, and what is said where something is wrong."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from commands import assert_refused
from filelock import FileLock

from sqdr import compilation
from sqdr.experiment.cli import main
from sqdr.experiment.commands import COMMANDS
from sqdr.experiment.commands.parsing import Parser


def parsed(command, *words):
    return Parser(COMMANDS[command]).parse(words)


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["--data.classes", "3,8"], "data.classes", (3, 8)),
        (["--data.classes=[3, 8]"], "data.classes", (3, 8)),
        (["--data.classes", "0-2,7"], "data.classes", (0, 1, 2, 7)),
        (["--data.download"], "data.download", True),
        (["--data.download", "false"], "data.download", False),
        (["--data.image_size", "none"], "data.image_size", None),
        (["--model.init_range", "0,1.5"], "model.init_range", (0, 1.5)),
        (["--model.entanglement", "circular"], "model.entanglement", "circular"),
        (["--model.entanglement", "0-1,1-2"], "model.entanglement", [(0, 1), (1, 2)]),
        (["--model.entanglement", "[[0, 1]]"], "model.entanglement", [(0, 1)]),
        (["--model.noise.after_rotation", "{BitFlip:0.1}"], None, {"BitFlip": 0.1}),
        (["--model.noise.after_rotation", "{BitFlip: 0.1}"], None, {"BitFlip": 0.1}),
        (["--model.noise.after_rotation", "BitFlip:0.1"], None, {"BitFlip": 0.1}),
        (["--model.noise.after_rotation", "[{BitFlip:0.1}]"], None, [{"BitFlip": 0.1}]),
        (["--model.noise.readout_error", "0.1,0.2"], "model.noise.readout_error", [0.1, 0.2]),
        (["--model.noise.readout_error", "0.1"], "model.noise.readout_error", 0.1),
        (["--model.options.chunk_size", "8"], "model.options", {"chunk_size": 8}),
        (["--model.options", "{chunk_size:8}"], "model.options", {"chunk_size": 8}),
        (["--learning_rate", "1e-3"], "learning_rate", 1e-3),
        (["--model.angle_scale", "-1"], "model.angle_scale", -1),
        (["--resume"], "resume", True),
        (["--run", "a:b,c"], "run", Path("a:b,c")),
    ],
)
def test_values_as_people_write_them(words, name, value):
    options = parsed("train", *words)
    for part in (name or "model.noise.after_rotation").split("."):
        options = getattr(options, part)
    assert options == value


@pytest.mark.parametrize(
    "words",
    [["m", "--top", "2", "--", "--top.png"], ["--top", "2", "--", "m", "--top.png"]],
)
def test_what_stands_behind_two_dashes_is_no_option(words):
    options = parsed("predict", *words)
    assert (options.paths, options.top) == ([Path("m"), Path("--top.png")], 2)


@pytest.mark.parametrize(
    "content",
    [b"# nothing", b"- 1", b"a:\n\tb: 1", b"\xff\xfee\x00", b"a: &a [*a]"],
    ids=["none", "list", "tab", "16", "itself"],
)
def test_a_file_without_options_is_named(content, tmp_path, capfd):
    file = tmp_path / "options.yaml"
    file.write_bytes(content)
    message = f"Argument `config` must be a YAML file of options and their values, but {file} is none"
    assert_refused(["train", "--config", str(file)], message, capfd)


@pytest.mark.parametrize(
    ("command", "words", "name", "value"),
    [
        ("sweep-noise", ["--seeds", "0-4"], "seeds", [0, 1, 2, 3, 4]),
        ("sweep-noise", ["--channels", "BitFlip,PhaseFlip"], "channels", ["BitFlip", "PhaseFlip"]),
        ("sweep-noise", ["--test_strengths", "0,0.5"], "test_strengths", [0, 0.5]),
        ("sweep-noise", ["--test_strengths", "0.5"], "test_strengths", [0.5]),
        ("compare", ["--seeds", "3"], "seeds", [3]),
        ("search", ["--space", "{learning_rate:[0.1,1]}"], "space", {"learning_rate": [0.1, 1]}),
        ("bench", ["--backends", "native,torchquantum"], "backends", ["native", "torchquantum"]),
        ("evaluate", ["--noises", "saved,none"], "noises", ["saved", "none"]),
    ],
)
def test_values_of_other_commands(command, words, name, value):
    assert parsed(command, *words)[name] == value


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "--epoch", "3"], "`sqdr train` has no option --epoch; did you mean --epochs?"),
        (
            ["train", "--n_wires=3"],
            "`sqdr train` has no option --n_wires; did you mean --model.n_wires?",
        ),
        (["train", "--xyz"], "`sqdr train` has no option --xyz; see sqdr train --help-all"),
        (["tran"], "`sqdr` has no command tran; did you mean train?"),
        (["train", "--epochs", "many"], "`epochs` must be an integer, for instance 200, but is many."),
        (["train", "--epochs"], "`epochs` must be an integer, for instance 200, but has no value."),
        (["train", "--learning_rate", "--epochs", "3"], "`learning_rate` must be a number, for"),
        (["train", "--data.classes", "3", "8"], "does not take 8: lists are written with commas"),
        (["train", "--data.classes", "a,b"], "must be integers, for instance 0,3-5, but is a,b."),
        (["train", "--data.download", "maybe"], "`data.download` must be true or false, but is maybe."),
        (["train", "--model.circuit", "x"], "must be quantum, frozen, mlp or none, but is x."),
        (["train", "--model.entanglement", "x"], "circular or full or be pairs of wires, but is x."),
        (["train", "--model.noise.after_rotation", "x"], "for instance {BitFlip:0.1}, but is x."),
        (["train", "--model.noise.readout_error", "x"], "be numbers or be names and values, but is x."),
        (["train", "--model.device", "x"], "`device` must be left out for backend native, which takes"),
        (["train", "--model.options.foo", "3"], "`foo` must be left out for backend native, which"),
        (["evaluate", "m", "--noises", "loud"], "`noises` must be a list, for instance saved,none"),
        (["report"], "`sqdr report` needs RUN; for instance: sqdr report runs/mine"),
    ],
)
def test_messages(words, message, empty_folder, capfd):
    assert message in assert_refused(words, message, capfd)
    assert not list(empty_folder.iterdir())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch: 3", "`sqdr train` has no option epoch; did you mean epochs?"),
        ("model: {n_wire: 3}", "`sqdr train` has no option model.n_wire; did you mean model.n_wires?"),
        ("model: {n_wires: [3]}", "`model.n_wires` must be an integer, for instance 16, but is [3]."),
    ],
)
def test_messages_on_files(text, message, tmp_path, capfd):
    (tmp_path / "options.yaml").write_text(text)
    assert_refused(["train", "--config", str(tmp_path / "options.yaml")], message, capfd)


@pytest.mark.parametrize("flag", ["--help", "--help-all"])
@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_the_screen_and_shows_no_types(command, flag, capfd):
    assert main([command, flag]) == 0
    output = capfd.readouterr().out
    assert max(map(len, output.splitlines())) < 80
    assert not any(
        word in output for word in ("Optional", "Literal", "<class", "Sequence", "Namespace")
    )
    assert f"Example: sqdr {command}" in output
    if flag == "--help":
        assert len(output.splitlines()) <= 30


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_help_lists_the_commands(words, capfd):
    assert main(words) == 0
    output = capfd.readouterr().out
    assert all(f"  {command.name:<15}{command.help}\n" in output for command in COMMANDS.values())


def test_help_of_train_names_the_rest(capfd):
    assert main(["train", "--help"]) == 0
    output = capfd.readouterr().out
    assert "  --epochs N                passes over the training images [200]" in output
    assert "All other options: sqdr train --help-all" in output
    assert "--weight_decay" not in output
    assert main(["train", "--help-all"]) == 0
    assert "--weight_decay" in capfd.readouterr().out


def test_the_configuration_is_printed_as_yaml(capfd):
    with pytest.raises(SystemExit) as stop:
        main(["train", "--data.classes", "3,8", "--print_config"])
    assert stop.value.code in (0, None)
    assert yaml.safe_load(capfd.readouterr().out)["data"]["classes"] == [3, 8]


def test_a_console_that_cannot_print_a_character(tmp_path):
    command = [sys.executable, "-m", "sqdr", "predict", "中.png"]
    narrow = os.environ | {"PYTHONIOENCODING": "ascii:strict"}
    done = subprocess.run(
        command, env=narrow, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def run_of(
    folder, *, metrics="epoch,training_loss,training_accuracy,validation_loss,validation_accuracy\n"
):
    """A folder as that of a run which has begun."""
    folder.mkdir(parents=True)
    text = "epochs: 5\nmodel: {noise: {after_rotation: {BitFlip: 0.1}}}\n"
    (folder / "config.yaml").write_text(text)
    (folder / "metrics.csv").write_text(f"{metrics}0,1,0.5,1,0.5\n1,1,0.5,1,0.5\n")
    return folder


def test_runs_are_listed_with_what_is_known_of_them(tmp_path, capfd):
    (run_of(tmp_path / "b-finished") / "test.csv").write_text("test_loss,test_accuracy\n1,0.925\n")
    run_of(tmp_path / "a-begun")
    run_of(tmp_path / "c-damaged", metrics="")
    run_of(tmp_path / "study" / "trainings" / "one")
    (tmp_path / "something").mkdir()
    with FileLock(run_of(tmp_path / "d-running") / "run.lock"):
        assert main(["runs", str(tmp_path)]) == 0
    assert not (tmp_path / "a-begun" / "run.lock").exists()
    lines = [[c.strip() for c in line.split("|")[1:-1]] for line in capfd.readouterr().out.splitlines()]
    rows = [line for line in lines if line and line[0].startswith(str(tmp_path))]
    noise = "BitFlip 0.1 after rotations"
    assert rows == [
        [f"{tmp_path}/a-begun", "digits", "native", noise, "stopped, 2 of 5 epochs", ""],
        [f"{tmp_path}/b-finished", "digits", "native", noise, "finished", "92.50"],
        [f"{tmp_path}/c-damaged", "", "", "", "damaged", ""],
        [f"{tmp_path}/d-running", "digits", "native", noise, "running, 2 of 5 epochs", ""],
        [f"{tmp_path}/study/trainings/one", "digits", "native", noise, "stopped, 2 of 5 epochs", ""],
    ]


def test_no_runs(tmp_path, capfd):
    assert main(["runs", str(tmp_path)]) == 0
    assert capfd.readouterr().out == "No runs here; `sqdr train` makes one\n"
    assert_refused(["runs", str(tmp_path / "none")], "must be a folder that holds runs", capfd)


def test_backends_are_listed_with_their_capabilities(capfd):
    assert main(["backends"]) == 0
    head, *lines = capfd.readouterr().out.splitlines()
    assert head.split() == ["backend", "state", "package", "capabilities"]
    (native,) = [line.split(maxsplit=4) for line in lines if line.startswith("native ")]
    assert native[:3] == ["native", "works", "sqdr"]
    assert native[4].startswith("noise, device-noise, float64, axes, inputs, couplings")


@pytest.mark.parametrize("is_terminal", [True, False])
def test_compilation_of_kernels_is_told_on_a_terminal(monkeypatch, capsys, is_terminal):
    def compile_something():
        compilation._log_compilation.__wrapped__()
        return 0

    command = replace(COMMANDS["backends"], prepare=lambda _: compile_something)
    monkeypatch.setitem(COMMANDS, "backends", command)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    assert main(["backends"]) == 0
    said = "sqdr: Compiling kernels, once on this machine; that takes a few seconds.\n"
    assert capsys.readouterr().err == (said if is_terminal else "")
    assert compilation.logger.handlers == []
