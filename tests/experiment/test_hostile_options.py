"""Command lines and configuration files that are wrong: one line, exit code 2, nothing written."""

import json
import string
import subprocess
import sys
from dataclasses import replace

import pytest
import resume_worker
import torch
from commands import PROCESSES, assert_refused
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sqdr.experiment.cli import main
from sqdr.experiment.commands import COMMANDS

WORD = st.text(string.ascii_letters, min_size=1, max_size=8).map(lambda word: f"no-{word}")
NUMBER = st.sampled_from([".nan", ".inf", "-.inf", "1e999", "-1"]) | WORD
NEGATIVE = st.integers(max_value=-1).map(str)
FRACTION = st.floats(0.01, 0.99).map(str)
INTEGER = NEGATIVE | FRACTION | WORD | st.sampled_from(["0", "", "true", "[1]", "{a: 1}", ".nan"])
PROBABILITY = NUMBER | st.floats(1.01, 1e300).map(str) | st.just("{}")
GROUP = st.integers().map(str) | WORD | st.sampled_from(["[]", "true", ".nan"])

#: YAML of values that no option of the name takes.
WRONG = {
    "epochs": INTEGER,
    "learning_rate": NUMBER,
    "head_learning_rate": NUMBER,
    "weight_decay": NUMBER,
    "label_smoothing": PROBABILITY,
    "seed": FRACTION | NEGATIVE | WORD | st.integers(2**32).map(str),
    "tensorboard": WORD | st.just("3"),
    "data": GROUP,
    "data.name": WORD,
    "data.classes": st.sampled_from(["[0]", "[1, 1]", "[0, 10]", "[-1, 0]", "[0.5, 1]", "3"]),
    "data.image_size": INTEGER | st.integers(10_001).map(str),
    "data.validation_fraction": PROBABILITY,
    "data.batch_size": INTEGER,
    "data.augmentation": WORD,
    "data.download": WORD,
    "model": GROUP,
    "model.T": INTEGER | st.integers(10_001).map(str),
    "model.n_wires": INTEGER | st.integers(100_001).map(str),
    "model.qdr_block": INTEGER | st.integers(100_001).map(str),
    "model.width": INTEGER | st.integers(1_001).map(str),
    "model.angle_scale": st.sampled_from([".nan", ".inf", "1e999", "[1]"]) | WORD,
    "model.head": WORD,
    "model.init_mode": WORD,
    "model.init_range": st.sampled_from(["1", "[1]", "[1, 1]", "[2, 1]", "[0, .nan]", "[0, 1, 2]"]),
    "model.entanglement": WORD | st.sampled_from(["[[0, 16]]", "[[1, 1]]", "[[0]]", "0-16"]),
    "model.shots": INTEGER,
    "model.device": st.just("default.qubit"),
    "model.options": GROUP | st.just("{chunk_size: 8}"),
    "model.backend": WORD | st.sampled_from(["", "[native]"]),
    "model.circuit": WORD,
    "model.noise": GROUP,
    "model.noise.after_rotation": PROBABILITY.map(lambda p: f"{{BitFlip: {p}}}") | WORD | NUMBER,
    "model.noise.after_entangler": WORD.map(lambda name: f"{{{name}: 0.1}}") | st.just("[BitFlip]"),
    "model.noise.readout_error": PROBABILITY.filter(lambda p: p != "{}") | st.just("[0.1, 0.1]"),
    "model.noise.preset": WORD,
    "trainer": GROUP,
    "trainer.accelerator": WORD,
    "trainer.devices": INTEGER,
    "trainer.num_nodes": INTEGER,
    "trainer.precision": WORD | st.sampled_from(["16", "bf16"]),
}
WRONG_OPTIONS = st.sampled_from(list(WRONG)).flatmap(lambda n: st.tuples(st.just(n), WRONG[n]))
UNKNOWN = st.tuples(WORD, st.just("1"))
#: Those for which null is no value.
WITH_VALUE = WRONG.keys() - {
    *("head_learning_rate", "data.image_size", "model.noise.preset", "model.shots", "model.device"),
    *("trainer.devices", "trainer.num_nodes"),
}
REPEATED = settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])


@REPEATED
@given(option=WRONG_OPTIONS | UNKNOWN)
def test_a_wrong_option(option, empty_folder, capfd):
    name, value = option
    assert_refused(["train", f"--{name}={value}"], "", capfd)
    assert not list(empty_folder.iterdir())


@REPEATED
@given(option=WRONG_OPTIONS | UNKNOWN | st.tuples(st.sampled_from(sorted(WITH_VALUE)), st.just("null")))
def test_a_wrong_option_in_a_file(option, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    *groups, name = option[0].split(".")
    text = f"{name}: {option[1]}"
    for group in reversed(groups):
        text = f"{group}: {{{text}}}"
    (tmp_path / "wrong.yaml").write_text(text)
    assert_refused(["train", "--config", "wrong.yaml"], "", capfd)
    assert [path.name for path in tmp_path.iterdir()] == ["wrong.yaml"]


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@REPEATED
@given(content=st.binary(max_size=40) | PLAIN.map(lambda plain: json.dumps(plain).encode()))
def test_any_file_as_a_configuration(content, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "any.yaml").write_bytes(content)
    # Whatever the file says, there is one mistake in the call.
    assert_refused(["train", "--config", "any.yaml", "--epochs", "0"], "", capfd)
    assert [path.name for path in tmp_path.iterdir()] == ["any.yaml"]


NO_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
PRESET = ["--model.noise.preset", "device", "--model.noise.preset_options"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["train", *PRESET, "{1: 1}"], "Argument `preset` must have options among t1, t2,"),
        (["train", *PRESET, "{name: x}"], "Argument `preset` must have options among t1, t2,"),
        (["train", "--config", "\0"], "null byte"),
        (["train", "--run", "\0"], "Argument `run` must be a path, but is '\\x00', with a null"),
        (["train", "--run", "/dev/null/run"], "Not a directory: '/dev/null/run'"),
        (["train", "--model.n_wires", "9" * 20], "Argument `n_wires` must be at most 100,000, but is"),
        (["train", "--seed", str(2**32)], "Argument `seed` must be at most 4,294,967,295, but is"),
        (["sweep-noise", "--seeds", f"[{2**32}]"], "Argument `seeds` must be at most 4,294,967,295"),
        (
            ["compare", "--seeds", "[-1]"],
            "Argument `seeds` must be an integer of at least 0, but is -1.",
        ),
        (["search", "--seed", str(2**32)], "Argument `seed` must be at most 4,294,967,295, but is"),
        (["predict", "--model", ".", "--seed", str(2**64), "x"], "Argument `seed` must be at most"),
        (
            ["evaluate", "--model", ".", "--seed", "-1"],
            "Argument `seed` must be an integer of at least 0",
        ),
        (["report", "\0"], "Argument `run` must be a path, but is"),
        (["no-command"], "`sqdr` has no command no-command"),
        *(
            pytest.param([command, "--trainer.accelerator", "gpu"], "gpu", marks=NO_GPU)
            for command in ("compare", "search", "sweep-noise")
        ),
        (["bench", "--batch_size", "0"], "Argument `batch_size` must be an integer of at least 1"),
    ],
)
def test_a_wrong_call(options, message, empty_folder, capfd):  # noqa: ARG001  nothing is written
    assert_refused(options, message, capfd)


@pytest.mark.parametrize(
    ("command", "content", "message"),
    [
        ("train", "model: 3", "Argument `model` must be a mapping of options, but is 3."),
        (
            "train",
            "model: {noise: []}",
            "Argument `model.noise` must be a mapping of options, but is [].",
        ),
        ("search", "data: null", "Argument `data` must be a mapping of options, but is None."),
        ("compare", "epochs: null", "Argument `epochs` must have a value, but has none."),
        ("sweep-noise", "channels: null", "Argument `channels` must have a value, but has none."),
    ],
)
def test_a_file_with_a_group_or_a_value_missing(
    command, content, message, tmp_path, monkeypatch, capfd
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wrong.yaml").write_text(content)
    assert_refused([command, "--config", "wrong.yaml"], message, capfd)


def test_a_file_that_is_nested_too_deeply(tmp_path, capfd):
    (tmp_path / "deep.yaml").write_text("a: " + "[" * 2000)
    assert_refused(["train", "--config", str(tmp_path / "deep.yaml")], "", capfd)


@pytest.mark.parametrize(
    ("raised", "code", "lines"),
    [
        (KeyboardInterrupt(), 130, []),
        (OSError(28, "No space left on device", "f"), 1, ["[Errno 28] No space left on device: 'f'"]),
        (MemoryError(), 1, ["MemoryError"]),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 1, ["DefaultCPUAllocator: can't"]),
    ],
    ids=["interrupt", "full disk", "memory", "tensor"],
)
def test_what_ends_a_command_before_its_time(raised, code, lines, monkeypatch, capfd):
    def fail():
        raise raised

    monkeypatch.setitem(COMMANDS, "backends", replace(COMMANDS["backends"], prepare=lambda _: fail))
    assert main(["backends"]) == code
    errors = capfd.readouterr().err.splitlines()
    assert len(errors) == len(lines)
    assert all(e.startswith(f"sqdr: error: {line}") for e, line in zip(errors, lines, strict=True))


@pytest.mark.parametrize(
    ("output", "code", "message"),
    [
        (resume_worker.full_device, 1, "sqdr: error: [Errno 28] No space left on device\n"),
        (resume_worker.pipe_that_nobody_reads, 141, ""),
    ],
)
def test_output_that_cannot_be_written(output, code, message):
    receiver, sender = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=resume_worker.work_with_output, args=(output, sender))
    process.start()
    process.join()
    assert (process.exitcode, receiver.recv()) == (code, message)


def test_a_real_fault_shows_its_traceback(monkeypatch):
    faulty = replace(COMMANDS["backends"], prepare=lambda _: lambda: [][0])
    monkeypatch.setitem(COMMANDS, "backends", faulty)
    with pytest.raises(IndexError):
        main(["backends"])


LEAVES_A_FILE = "from pathlib import Path\nPath('run').touch()\n"


@pytest.mark.parametrize(
    ("where", "arguments"),
    [
        ("model: {class_path: imported.Class}", ["train"]),
        ("model: {noise: {class_path: imported.Class, init_args: {}}}", ["train"]),
        ("model: {noise: {class_path: imported.Class}}", ["search"]),
        ("noises: [{class_path: imported.Class}]", ["evaluate", "--model", "model"]),
        ("", ["train", "--model.noise", "imported.Class"]),
    ],
)
def test_a_file_that_names_a_class_imports_nothing(where, arguments, tmp_path, monkeypatch, capfd):
    (tmp_path / "imported.py").write_text(LEAVES_A_FILE)
    (tmp_path / "config.yaml").write_text(where)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    command, *others = arguments
    assert_refused([command, "--config", "config.yaml", *others], "", capfd)
    assert not (tmp_path / "run").exists()


def test_reading_a_run_imports_nothing_that_it_names(tmp_path):
    """In a process of its own, where no command line has been parsed before."""
    (tmp_path / "imported.py").write_text(LEAVES_A_FILE)
    (tmp_path / "config.yaml").write_text("model: {class_path: imported.Class}")
    for name in ("metrics.csv", "checkpoints/best.ckpt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    read = "from sqdr.experiment.training import finished as f; f.read_run(f.Path())"
    process = subprocess.run(
        [sys.executable, "-c", read], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "must hold the configuration of a run" in process.stderr
    assert not (tmp_path / "run").exists()
