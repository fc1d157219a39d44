"""One model in several threads, one folder in several processes."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest
import resume_worker
import torch
from cases import BACKENDS, EVERY_ENGINE, PENNYLANE_OPTIONS
from commands import PROCESSES, SMALL, TRAINING, assert_refused

import sqdr
from sqdr.experiment.cli import main
from sqdr.experiment.training import run as training

N_THREADS = 8
NOISE = sqdr.NoiseModel((sqdr.AmplitudeDamping(0.1),), (sqdr.BitFlip(0.1),), 0.1)


def in_threads(function, inputs):
    """Results of `function` for each input, all of them at the same time.

    Threads that wait for each other for ever fail the test instead of keeping it from its end.
    """
    start, results = threading.Barrier(len(inputs)), [None] * len(inputs)

    def work(index):
        start.wait()
        results[index] = function(inputs[index])

    threads = [threading.Thread(target=work, args=(i,), daemon=True) for i in range(len(inputs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
        assert not thread.is_alive()
    return results


def evaluated(module):
    """A function that gives the values for an input, and their gradients."""

    def evaluate(inputs):
        inputs = inputs.clone().requires_grad_()
        values = module(inputs)
        return values.detach(), torch.autograd.grad(
            values.square().sum(), [inputs, *module.parameters()]
        )

    return evaluate


def angles_of(n_wires=3):
    """A batch of its own size for each thread."""
    return [torch.linspace(-3, i, i * 3 * n_wires).reshape(i, -1) for i in range(1, N_THREADS + 1)]


@pytest.mark.parametrize("noise", [None, NOISE], ids=["noiseless", "noisy"])
@EVERY_ENGINE
def test_threads_share_a_circuit(backend, options, n_blocks, entanglement, noise):
    pairs = [(2, 0), (2, 1)] if entanglement == "pairs" else entanglement
    circuit = sqdr.create_circuit(backend, 3, n_blocks, entanglement=pairs, noise=noise, **options)
    expected = [evaluated(circuit)(angles) for angles in angles_of()]
    torch.testing.assert_close(in_threads(evaluated(circuit), angles_of()), expected)


@PENNYLANE_OPTIONS
def test_threads_share_a_pennylane_circuit_that_its_device_differentiates(options):
    circuit = sqdr.create_circuit("pennylane", 2, 2, **options)
    samples = [angles[-1:] for angles in angles_of(2)]
    expected = [evaluated(circuit)(angles) for angles in samples]
    torch.testing.assert_close(in_threads(evaluated(circuit), samples), expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_threads_share_a_circuit_that_draws_shots(backend):
    circuit = sqdr.create_circuit(backend, 2, 2, shots=1000)
    exact = circuit.to_backend("native")
    for values, angles in zip(in_threads(circuit, angles_of(2)), angles_of(2), strict=True):
        torch.testing.assert_close(values, exact(angles), rtol=0, atol=5 / 1000**0.5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_threads_share_a_model(backend):
    model = sqdr.SQDR_CNN(3, 1, 2, n_wires=3, width=2, backend=backend).eval()
    batches = [torch.rand(i, 1, 8, 8) for i in range(1, N_THREADS + 1)]
    expected = [evaluated(model)(images) for images in batches]
    torch.testing.assert_close(in_threads(evaluated(model), batches), expected)


@pytest.fixture
def folder_in_use(tmp_path):
    """The folder of a run that another process is at."""
    trains, may_go_on = PROCESSES.Event(), PROCESSES.Event()
    process = PROCESSES.Process(
        target=resume_worker.work_until,
        args=(["train", *SMALL, "--run", str(tmp_path / "run")], trains, may_go_on),
    )
    process.start()
    assert trains.wait(60)
    yield tmp_path / "run"
    may_go_on.set()
    process.join()
    assert process.exitcode == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "Argument `run` must be a new or empty folder, but"),
        (["--resume"], "Argument `run` must not be in use, but another process trains in"),
    ],
)
def test_a_second_run_into_one_folder_is_refused(options, message, folder_in_use, capfd):
    assert_refused(["train", *SMALL, "--run", str(folder_in_use), *options], message, capfd)


def test_a_folder_that_only_a_lock_was_left_in_is_new(tmp_path):
    (tmp_path / "run.lock").touch()
    assert main(["train", *SMALL, "--epochs", "1", "--run", str(tmp_path)]) == 0


@pytest.fixture
def same_second(tmp_path, monkeypatch):
    """Where all runs without a name begin in the same second."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(training, "_folder_of_now", lambda _: Path("runs/now"))


@pytest.mark.usefixtures("same_second")
def test_runs_of_the_same_second_have_folders_of_their_own():
    runs = [training.Run(replace(TRAINING, epochs=1, tensorboard=True)) for _ in range(3)]
    assert [run.folder for run in runs] == [Path("runs", f"now{end}") for end in ("", "-2", "-3")]
    runs[1].train()
    assert {path.name for path in Path("runs/now").iterdir()} == {
        "config.yaml",
        "made_with.yaml",
        "run.lock",
    }
    assert {"test.csv", "model", "tensorboard"} < {path.name for path in Path("runs/now-2").iterdir()}


@pytest.mark.usefixtures("same_second")
def test_a_folder_that_was_made_meanwhile_is_left_alone(monkeypatch):
    def prepare(options, **how):
        Path("runs/now").mkdir(parents=True)
        return real(options, **how)

    real = training.prepare
    monkeypatch.setattr(training, "prepare", prepare)
    assert training.Run(TRAINING).folder == Path("runs/now-2")
    assert not list(Path("runs/now").iterdir())


def test_a_run_that_began_meanwhile_is_not_trained_over(tmp_path, monkeypatch, capfd):
    """Another process claims the folder, and is done, while this one loads its data."""

    def prepare(options, **how):
        prepared = real(options, **how)
        (tmp_path / "config.yaml").write_text("of another run")
        return prepared

    real = training.prepare
    monkeypatch.setattr(training, "prepare", prepare)
    message = "Argument `run` must be a new or empty folder"
    assert_refused(["train", *SMALL, "--run", str(tmp_path)], message, capfd)
    assert (tmp_path / "config.yaml").read_text() == "of another run"
