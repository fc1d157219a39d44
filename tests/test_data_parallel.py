"""Processes that share each batch train as one process does."""

import csv
import os
import signal
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest
import torch
from data_parallel_worker import N_PROCESSES, shared_step, step
from torch.distributed.run import __file__ as torchrun
from torch.multiprocessing.spawn import spawn

import sqdr
from sqdr.cli import main
from sqdr.data import augment
from sqdr.parallel import Share, SharedBatches

SHARES = [Share(rank, N_PROCESSES) for rank in range(N_PROCESSES)]

#: Three classes, of which 43 images validate, a small model, three epochs.
SMALL = [
    "train",
    *("--data.classes", "[0, 1, 2]", "--data.image_size", "8"),
    *("--model.T", "2", "--model.width", "1", "--model.n_wires", "3"),
    *("--epochs", "3", "--seed", "3", "--trainer.accelerator", "cpu"),
]
TORCHRUN = [sys.executable, torchrun, "--standalone", "--nproc-per-node", "2"]


def run(command):
    """Its lines on stdout."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True, timeout=300
    ).stdout.splitlines()


def read(file):
    with file.open() as stream:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(stream)]


@pytest.fixture(scope="module")
def one_process(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "one"
    run([sys.executable, "-m", "sqdr", *SMALL, "--run", str(folder)])
    return folder


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "two"
    lines = run([*TORCHRUN, "-m", "--", "sqdr", *SMALL, "--run", str(folder)])
    return folder, lines


@pytest.mark.parametrize("file", ["metrics.csv", "test.csv"])
def test_two_processes_have_the_loss_curve_of_one(file, one_process, two_processes):
    rows, expected = read(two_processes[0] / file), read(one_process / file)
    assert len(rows) == len(expected)
    for row, expected_row in zip(rows, expected, strict=True):
        assert row == pytest.approx(expected_row, abs=1e-5)


def test_one_of_the_processes_speaks(two_processes):
    folder, lines = two_processes
    assert len(lines) == 4
    assert lines[-1] == f"Run folder: {folder}"


def test_lightning_starts_the_processes_itself(tmp_path):
    """In double precision, where rounding can hardly turn into another spike."""
    options = ["--trainer.precision", "64-true", "--epochs", "2"]
    run([sys.executable, "-m", "sqdr", *SMALL, *options, "--run", str(tmp_path / "one")])
    options += ["--trainer.devices", "2"]
    run([sys.executable, "-m", "sqdr", *SMALL, *options, "--run", str(tmp_path / "two")])
    rows, expected = (read(tmp_path / name / "metrics.csv") for name in ("two", "one"))
    for row, expected_row in zip(rows, expected, strict=True):
        assert row == pytest.approx(expected_row, abs=1e-12)


def test_a_killed_process_and_a_resume(two_processes, tmp_path):
    worker = Path(__file__).with_name("resume_worker.py")
    arguments = [*SMALL, "--run", str(tmp_path / "run")]
    with pytest.raises(subprocess.CalledProcessError) as failed:
        run([*TORCHRUN, "--", str(worker), "a training step", "15", *arguments])
    assert f"(exitcode: {-signal.SIGKILL})" in failed.value.stderr
    run([*TORCHRUN, "-m", "--", "sqdr", *arguments, "--resume"])
    for file in ("metrics.csv", "test.csv"):
        assert (tmp_path / "run" / file).read_bytes() == (two_processes[0] / file).read_bytes()


@pytest.mark.parametrize(
    ("backend", "dtype", "tolerance"),
    [
        ("native", torch.float64, 1e-10),
        ("pennylane", torch.float64, 1e-10),
        ("torchquantum", torch.float32, 1e-4),
    ],
)
def test_a_step_of_two_processes_is_that_of_one(backend, dtype, tolerance, tmp_path):
    """Models travel to the processes as pickles."""
    torch.manual_seed(0)
    model = sqdr.SQDR_CNN(2, 1, 3, n_wires=2, backend=backend, head="linear").to(dtype)
    batch = torch.rand(6, 1, 8, 8, dtype=dtype), torch.arange(6) % 3
    spawn(shared_step, (str(tmp_path), model, *batch), nprocs=N_PROCESSES)
    results = torch.load(tmp_path / "step.pt", weights_only=True)
    for result, expected in zip(results, step(model, *batch), strict=True):
        assert any(value.abs().max() > 0 for value in expected.values())
        torch.testing.assert_close(result, expected, rtol=tolerance, atol=tolerance)


def test_shares_make_up_the_batches_of_one_process():
    torch.manual_seed(0)
    whole = list(SharedBatches(range(23), 6, Share()))
    shares = []
    for share in SHARES:
        torch.manual_seed(0)
        shares.append(list(SharedBatches(range(23), 6, share)))
    assert len(whole) == 3
    for batch, *parts in zip(whole, *shares, strict=True):
        assert [len(part) for part in parts] == [3, 3]
        assert sorted(chain(*parts)) == sorted(batch)


@pytest.mark.parametrize("augmentation", ["affine", "flip"])
def test_an_image_is_changed_as_in_one_process(augmentation):
    images = torch.rand(8, 1, 8, 8)
    torch.manual_seed(0)
    whole = augment(images, augmentation)
    assert not torch.equal(whole, images)
    for share in SHARES:
        torch.manual_seed(0)
        assert torch.equal(augment(share.of(images), augmentation, share), share.of(whole))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--trainer.devices", "3"], "Argument `batch_size` must be divisible by the 3 processes"),
        (
            ["--trainer.devices", "8", "--data.validation_fraction", "0.01"],
            "Argument `validation_fraction` must leave an image for each of 8 processes",
        ),
        (["--trainer.devices", "0"], "Argument `devices` must be an integer of at least 1"),
        (["--trainer.num_nodes", "0"], "Argument `num_nodes` must be an integer of at least 1"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_processes_that_cannot_share_are_refused(options, message, tmp_path, capfd):
    assert main([*SMALL, *options, "--run", str(tmp_path / "run")]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert message in line
    assert not list(tmp_path.iterdir())
