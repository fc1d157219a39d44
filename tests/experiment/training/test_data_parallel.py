"""Processes that share each batch train as one process does."""

import os
import signal
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest
import torch
from commands import assert_refused, read_rows
from data_parallel_worker import N_PROCESSES, shared_step, step
from torch.distributed.run import __file__ as torchrun
from torch.multiprocessing.spawn import spawn

import sqdr
from sqdr.experiment.cli import main
from sqdr.experiment.data.sets import augment
from sqdr.experiment.data.sharing import Share, SharedBatches

SHARES = [Share(rank, N_PROCESSES) for rank in range(N_PROCESSES)]

#: Three classes, of which 43 images validate, a small model, three epochs of six steps.
SMALL = [
    "train",
    *("--data.classes", "[0, 1, 2]", "--data.image_size", "8"),
    *("--model.T", "2", "--model.width", "1", "--model.n_wires", "3"),
    *("--epochs", "3", "--seed", "3", "--trainer.accelerator", "cpu"),
]
TORCHRUN = [sys.executable, torchrun, "--standalone", "--nproc-per-node", "2"]


def run(command):
    """Its lines on stdout, within a job of SLURM, which says nothing about the run."""
    job = {"SLURM_NTASKS": "4", "SLURM_JOB_NAME": "job", "SLURM_JOB_ID": "5", "SLURM_PROCID": "0"}
    environment = os.environ | job | {"OMP_NUM_THREADS": "1"}
    try:
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True, timeout=300
        ).stdout.splitlines()
    except subprocess.CalledProcessError as failed:
        failed.add_note(failed.stderr)  # which the test's report would not show
        raise


def read(file):
    return [{name: float(value) for name, value in row.items()} for row in read_rows(file)]


@pytest.mark.parametrize(
    ("launcher", "options"),
    [([*TORCHRUN, "-m", "--"], []), ([sys.executable, "-m"], ["--trainer.devices", "2"])],
    ids=["torchrun", "Lightning"],
)
def test_two_processes_have_the_loss_curve_of_one(launcher, options, tmp_path):
    """In double precision, where rounding can hardly turn into another spike."""
    precision = ["--trainer.precision", "64-true"]
    lines = run([*launcher, "sqdr", *SMALL, *precision, *options, "--run", str(tmp_path / "two")])
    assert len(lines) == 4 + 3  # one of the processes speaks, of each epoch too
    assert main([*SMALL, *precision, "--run", str(tmp_path / "one")]) == 0
    for file in ("metrics.csv", "test.csv"):
        rows, expected = read(tmp_path / "two" / file), read(tmp_path / "one" / file)
        assert len(rows) == len(expected)
        for row, expected_row in zip(rows, expected, strict=True):
            assert row == pytest.approx(expected_row, abs=1e-12)


@pytest.mark.parametrize("often", [[], ["--checkpoint_minutes", "0"]], ids=str)
def test_a_killed_process_and_a_resume(often, tmp_path):
    """With noise that each process draws for its own images; checkpoints of epochs or of steps."""
    worker = [*TORCHRUN, "--", str(Path(__file__).with_name("resume_worker.py"))]

    def train(folder, fatal_call, *options):
        how = ["a training step", fatal_call, "noise"]
        run([*worker, *how, *SMALL, *often, "--run", str(tmp_path / folder), *options])

    train("expected", "0")
    with pytest.raises(subprocess.CalledProcessError) as failed:
        train("run", "15")
    assert f"(exitcode: {-signal.SIGKILL})" in failed.value.stderr
    steps = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)["global_step"]
    assert steps == (14 if often else 12)
    train("run", "0", "--resume")
    for file in ("metrics.csv", "test.csv"):
        written = [(tmp_path / folder / file).read_bytes() for folder in ("run", "expected")]
        assert written[0] == written[1]


TOLERANCES = {"native": 1e-10, "pennylane": 1e-10, "torchquantum": 1e-4}


def new_model(backend):
    torch.manual_seed(0)
    model = sqdr.SQDR_CNN(2, 1, 3, n_wires=2, backend=backend, head="linear")
    return model if backend == "torchquantum" else model.double()


@pytest.fixture(scope="module")
def batch():
    return torch.rand(6, 1, 8, 8, dtype=torch.float64), torch.arange(6) % 3


@pytest.fixture(scope="module")
def shared_steps(batch, tmp_path_factory):
    """Models travel to the processes as pickles."""
    folder = tmp_path_factory.mktemp("steps")
    models = {backend: new_model(backend) for backend in TOLERANCES}
    spawn(shared_step, (str(folder), models, *batch), nprocs=N_PROCESSES)
    return torch.load(folder / "steps.pt", weights_only=True)


@pytest.mark.parametrize("backend", TOLERANCES)
def test_a_step_of_two_processes_is_that_of_one(backend, batch, shared_steps):
    tolerance = TOLERANCES[backend]
    for result, expected in zip(shared_steps[backend], step(new_model(backend), *batch), strict=True):
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
        (
            ["--trainer.devices", "3"],
            "Argument `batch_size` must be divisible by the 3 processes, but is 64.",
        ),
        (
            ["--trainer.devices", "5", "--data.batch_size", "2048"],
            "Argument `batch_size` must make batches that 5 processes can divide, but is 2048, "
            "which puts all 387 training images into one.",
        ),
        (
            ["--trainer.devices", "8", "--data.validation_fraction", "0.01"],
            "Argument `validation_fraction` must leave an image for each of 8 processes",
        ),
        (["--trainer.devices", "0"], "Argument `devices` must be an integer of at least 1"),
        (["--trainer.num_nodes", "2"], "Argument `num_nodes` must be left out unless torchrun starts"),
        (["--trainer.num_nodes", "0"], "Argument `num_nodes` must be an integer of at least 1"),
    ],
)
def test_processes_that_cannot_share_are_refused(options, message, tmp_path, capfd):
    assert_refused([*SMALL, *options, "--run", str(tmp_path / "run")], message, capfd)
    assert not list(tmp_path.iterdir())
