"""Runs that are killed at any moment end, once resumed, as if they had not been."""

import errno
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import lightning
import pytest
import resume_worker
import torch
import yaml
from commands import PROCESSES, TRAINING, assert_refused
from filelock import FileLock
from lightning.fabric.utilities.exceptions import MisconfigurationException

from sqdr import files
from sqdr.experiment.cli import main
from sqdr.experiment.option_names import parse_run_options
from sqdr.experiment.training.classifier import Classifier
from sqdr.experiment.training.run import Run
from sqdr.experiment.training.run_folder import RunFolder
from sqdr.files import UNFINISHED

#: Three classes, a small model, three epochs of six steps, the second of which is the best.
SMALL = [
    "train",
    *("--data.classes", "[0, 1, 2]", "--data.image_size", "8"),
    *("--model.T", "2", "--model.width", "1", "--model.n_wires", "3"),
    *("--epochs", "3", "--seed", "3"),
]
#: Files that such a run replaces: its configuration, three for each epoch but two for the last, which
#: is not better, two pictures and the test.
N_FILES = 13


def run(folder, *options, **how):
    """Exit code of the command in a process of its own, see resume_worker."""
    arguments = [*SMALL, "--run", str(folder), *options]
    process = PROCESSES.Process(target=resume_worker.work, args=(arguments,), kwargs=how)
    process.start()
    process.join()
    return process.exitcode


def contents(folder):
    """Every file but the empty lock: checkpoints as what they hold, others as their bytes."""
    return {
        str(path.relative_to(folder)): plain(torch.load(path, weights_only=True))
        if path.suffix == ".ckpt"
        else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "run.lock"
    }


def plain(value):
    """What a checkpoint holds, with the bytes of tensors in their place."""
    match value:
        case torch.Tensor():
            return value.dtype, value.shape, value.numpy().tobytes()
        case dict():
            return {key: plain(inner) for key, inner in value.items()}
        case list() | tuple():
            return [plain(inner) for inner in value]
    return value


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "uninterrupted"
    assert run(folder) == 0
    return folder


@pytest.mark.parametrize(
    ("moment", "fatal_call"),
    [
        *(("replacing a file", call) for call in range(1, N_FILES + 1)),
        *(("writing a checkpoint", call) for call in (3, 4)),  # best.ckpt and last.ckpt, there already
        ("a training step", 15),
        ("a validation step", 2),
        ("a test step", 1),
        ("moving the model", 1),
    ],
)
def test_a_killed_run_ends_as_if_it_had_not_been(moment, fatal_call, uninterrupted, tmp_path):
    killed = run(tmp_path / "run", moment=moment, fatal_call=fatal_call)
    assert killed == -signal.SIGKILL
    assert run(tmp_path / "run", "--resume") == 0
    assert contents(tmp_path / "run") == contents(uninterrupted)


def test_no_file_is_written_after_those(uninterrupted, tmp_path):
    assert run(tmp_path / "run", moment="replacing a file", fatal_call=N_FILES + 1) == 0
    assert contents(tmp_path / "run") == contents(uninterrupted)


@pytest.mark.parametrize("drawn", ["noise", "shots"])
def test_noise_and_shots_are_drawn_as_if_the_run_had_gone_on(drawn, tmp_path):
    assert run(tmp_path / "expected", drawn=drawn) == 0
    killed = run(tmp_path / "run", moment="a training step", fatal_call=15, drawn=drawn)
    assert killed == -signal.SIGKILL
    assert run(tmp_path / "run", "--resume", drawn=drawn) == 0
    assert contents(tmp_path / "run") == contents(tmp_path / "expected")


@pytest.mark.parametrize("fatal_call", [3, 15])
def test_a_run_that_is_killed_within_an_epoch_goes_on_within_it(fatal_call, tmp_path):
    """In its first epoch and its third, with noise that is drawn."""
    often = ["--checkpoint_minutes", "0"]
    assert run(tmp_path / "expected", *often, drawn="noise") == 0
    killed = run(
        tmp_path / "run", *often, moment="a training step", fatal_call=fatal_call, drawn="noise"
    )
    assert killed == -signal.SIGKILL
    last = torch.load(RunFolder(tmp_path / "run").last, weights_only=True)
    assert last["global_step"] == fatal_call - 1
    assert run(tmp_path / "run", *often, "--resume", drawn="noise") == 0
    assert contents(tmp_path / "run") == contents(tmp_path / "expected")


@pytest.mark.parametrize("often", [[], ["--checkpoint_minutes", "0"]])
def test_spikes_are_drawn_as_if_the_run_had_gone_on(often, tmp_path):
    options = ["--model.code", "rate", *often]
    assert run(tmp_path / "expected", *options) == 0
    killed = run(tmp_path / "run", *options, moment="a training step", fatal_call=15)
    assert killed == -signal.SIGKILL
    assert run(tmp_path / "run", *options, "--resume") == 0
    assert contents(tmp_path / "run") == contents(tmp_path / "expected")


def test_a_killed_run_in_double_precision(tmp_path):
    precision = ["--trainer.precision", "64-true"]
    assert run(tmp_path / "expected", *precision) == 0
    run(tmp_path / "run", *precision, moment="a training step", fatal_call=15)
    assert run(tmp_path / "run", "--resume", *precision) == 0
    assert contents(tmp_path / "run") == contents(tmp_path / "expected")


def test_a_run_that_failed_can_be_resumed_in_the_same_process(tmp_path, monkeypatch):
    options = replace(TRAINING, run=tmp_path, epochs=1)
    failing = Run(options)
    with monkeypatch.context() as patched:
        patched.delattr(Classifier, "training_step")
        with pytest.raises(MisconfigurationException):
            failing.train()
    assert Run(options, resume=True).train() == RunFolder(tmp_path).read_accuracy()


def write(content):
    return lambda file: file.write_bytes(content)


def cut(file):
    file.write_bytes(file.read_bytes()[:-1000])


def drop_a_wire(file):
    checkpoint = torch.load(file, weights_only=True)
    weights = checkpoint["state_dict"]
    weights["model.circuit.weights"] = weights["model.circuit.weights"][:, :2]
    torch.save(checkpoint, file)


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("config.yaml", write(b""), "config.yaml holds no options"),
        ("config.yaml", write(b"a: ["), "config.yaml holds no options"),
        ("test.csv", write(b""), "test.csv has no accuracy"),
        ("test.csv", write(b"test_loss,test_accuracy\n0.5\n"), "test.csv has no accuracy"),
        ("test.csv", write(b"test_accuracy\nhigh\n"), "test.csv has no accuracy"),
        ("checkpoints/last.ckpt", write(b""), "last.ckpt does not load"),
        ("checkpoints/last.ckpt", cut, "last.ckpt does not load"),
        (
            "checkpoints/last.ckpt",
            write(b"a: 1"),
            "does not load: it is no checkpoint, or damaged.",
        ),
        (
            "checkpoints/last.ckpt",
            drop_a_wire,
            "last.ckpt does not load: Error(s) in loading state_dict",
        ),
        ("checkpoints/best.ckpt", cut, "best.ckpt does not load"),
        ("checkpoints/best.ckpt", Path.unlink, "best.ckpt does not load"),
    ],
)
def test_a_damaged_file_is_one_line_and_changes_nothing(
    name, damage, message, uninterrupted, tmp_path, capfd
):
    folder = shutil.copytree(uninterrupted, tmp_path / "run")
    if name.startswith("checkpoints"):
        (folder / "test.csv").unlink()
    damage(folder / name)
    before = {file: file.read_bytes() for file in folder.rglob("*.*")}
    line = assert_refused([*SMALL, "--run", str(folder), "--resume"], message, capfd)
    assert line.startswith("sqdr: error: Argument `run` must ")
    assert {file: file.read_bytes() for file in folder.rglob("*.*")} == before


def test_a_folder_that_is_refused_is_not_kept_from_others(uninterrupted, tmp_path):
    folder = shutil.copytree(uninterrupted, tmp_path / "run")
    (folder / "test.csv").write_text("")
    options = parse_run_options((folder / "config.yaml").read_text())
    with pytest.raises(ValueError, match="has no accuracy") as refused:
        Run(replace(options, run=folder), resume=True)
    with FileLock(folder / "run.lock", blocking=False):
        assert refused.tb is not None  # through which the refused run lives on


def test_a_run_that_is_killed_after_each_epoch(uninterrupted, tmp_path):
    exit_codes = [
        run(tmp_path / "run", "--resume", moment="a training step", fatal_call=7) for _ in range(3)
    ]
    assert exit_codes == [-signal.SIGKILL, -signal.SIGKILL, 0]
    assert contents(tmp_path / "run") == contents(uninterrupted)


@pytest.mark.parametrize(
    ("n_files", "file"),
    [
        (2, "metrics.csv"),
        (3, "checkpoints/best.ckpt"),
        (7, "checkpoints/last.ckpt"),
        (10, "curves.png"),
        (12, "model"),
    ],
)
def test_a_full_disk_costs_nothing_that_was_good(n_files, file, uninterrupted, tmp_path):
    receiver, sender = PROCESSES.Pipe(duplex=False)
    full = {"moment": "the last file that fits", "fatal_call": n_files, "errors": sender}
    assert run(tmp_path / "run", **full) == 1
    assert receiver.recv().splitlines() == [
        f"sqdr: error: [Errno {errno.EFBIG}] File too large: '{tmp_path / 'run' / file}'"
    ]
    assert not list((tmp_path / "run").rglob(f"{UNFINISHED}*"))
    assert run(tmp_path / "run", "--resume") == 0
    assert contents(tmp_path / "run") == contents(uninterrupted)


def test_a_disk_that_is_full_from_the_start(tmp_path, monkeypatch, capfd):
    def fail(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(files.os, "fsync", fail)
        assert main([*SMALL, "--run", str(tmp_path / "run")]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.endswith(f"No space left on device: '{tmp_path / 'run' / 'config.yaml'}'")
    assert main([*SMALL, "--run", str(tmp_path / "run"), "--epochs", "1"]) == 0


@pytest.mark.parametrize(("moment", "code"), [("termination", 143), ("interrupt", 130)])
def test_a_stopped_run_says_where_it_is_and_how_to_go_on(moment, code, uninterrupted, tmp_path):
    receiver, sender = PROCESSES.Pipe(duplex=False)
    folder = tmp_path / "run"
    assert run(folder, moment=moment, fatal_call=15, errors=sender) == code
    message = f"sqdr: stopped. The run is in {folder}; go on with: sqdr train --resume {folder}\n"
    assert receiver.recv() == message
    assert main(["train", "--resume", str(folder)]) == 0
    assert contents(tmp_path / "run") == contents(uninterrupted)


def test_a_folder_that_was_moved(uninterrupted, tmp_path):
    run(tmp_path / "before", moment="a training step", fatal_call=15)
    (tmp_path / "before").rename(tmp_path / "after")
    assert run(tmp_path / "after", "--resume") == 0
    assert contents(tmp_path / "after") == contents(uninterrupted)


def test_a_finished_run_says_so(uninterrupted, tmp_path, monkeypatch, capfd):
    folder = shutil.copytree(uninterrupted, tmp_path / "run")
    monkeypatch.delattr(lightning.Trainer, "fit")
    assert main([*SMALL, "--run", str(folder), "--resume"]) == 0
    output = capfd.readouterr()
    assert output.out.splitlines()[1:] == [
        "This run is finished",
        f"Test accuracy: {100 * RunFolder(folder).read_accuracy():.2f} %",
        f"Run folder: {folder}",
    ]
    assert contents(folder) == contents(uninterrupted)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--epochs", "4"], "has epochs 3, not 4."),
        (["--model.T", "3"], "has model.T 2, not 3."),
        (["--trainer.precision", "64-true"], "has trainer.precision 32-true, not 64-true."),
    ],
)
def test_other_options_are_refused(options, message, uninterrupted, capfd):
    before = contents(uninterrupted)
    line = assert_refused([*SMALL, *options, "--run", str(uninterrupted), "--resume"], message, capfd)
    assert line.startswith("sqdr: error: Argument `run` must be a new or empty folder, or one with")
    assert line.endswith(f"{message}\n")
    assert contents(uninterrupted) == before


def test_other_options_beside_the_folder_are_refused_and_machines_may_differ(uninterrupted, capfd):
    resume = ["train", "--resume", str(uninterrupted)]
    assert_refused([*resume, "--epochs", "4"], "has epochs 3, not 4.", capfd)
    assert_refused(["train", "--epochs", "4", *resume[1:]], "has epochs 3, not 4.", capfd)
    assert main([*resume, "--data.root", "elsewhere", "--checkpoint_minutes", "5"]) == 0
    assert main(["train", f"--resume={uninterrupted}"]) == 0


def test_a_folder_without_a_configuration_is_not_resumed(tmp_path, capfd):
    message = f"Argument `resume` must be the folder of a run, but {tmp_path} has no config.yaml."
    assert_refused(["train", "--resume", str(tmp_path)], message, capfd)


def test_a_run_of_an_older_version_has_the_defaults_of_younger_options(uninterrupted, tmp_path):
    folder = shutil.copytree(uninterrupted, tmp_path / "run")
    kept = yaml.safe_load((folder / "config.yaml").read_text())
    for name in ("optimizer", "optimizer_options", "early_stopping", "init_from", "logger"):
        del kept[name]
    del kept["checkpoint_minutes"]
    (folder / "config.yaml").write_text(yaml.safe_dump(kept))
    assert main([*SMALL, "--run", str(folder), "--resume"]) == 0
    assert main(["train", "--resume", str(folder)]) == 0


def test_a_folder_that_is_no_run_is_refused(tmp_path, capfd):
    (tmp_path / "thesis.tex").write_text("")
    assert main([*SMALL, "--run", str(tmp_path), "--resume"]) == 2
    assert "holds thesis.tex" in capfd.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_run_must_be_named_to_be_resumed(capfd):
    assert main([*SMALL, "--resume"]) == 2
    assert "Argument `run` must be given to resume a run" in capfd.readouterr().err


def test_a_run_in_use_is_refused(uninterrupted, tmp_path, capfd):
    folder = shutil.copytree(uninterrupted, tmp_path / "run")
    unfinished = folder / f"{UNFINISHED}file"
    unfinished.write_text("of the process that trains")
    with FileLock(folder / "run.lock"):
        assert main([*SMALL, "--run", str(folder), "--resume"]) == 2
    assert "Argument `run` must not be in use" in capfd.readouterr().err
    assert unfinished.exists()


def test_the_last_checkpoint_is_of_the_last_epoch(uninterrupted):
    epochs = [
        torch.load(uninterrupted / "checkpoints" / f"{name}.ckpt", weights_only=True)["epoch"]
        for name in ("best", "last")
    ]
    assert epochs == [1, 2]
