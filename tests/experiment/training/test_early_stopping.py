"""Early stopping: after which epoch, and that a killed run stops there too."""

from dataclasses import replace

import pytest
from commands import TRAINING, read_rows

from sqdr.experiment.training.epochs import EpochRows, best_epoch, has_diverged, has_ended
from sqdr.experiment.training.finished import read_run
from sqdr.experiment.training.run import Run

NAN = float("nan")


def rows_of(*losses):
    return [{"epoch": number, "validation_loss": loss} for number, loss in enumerate(losses)]


@pytest.mark.parametrize(
    ("losses", "best", "diverged"),
    [
        ([3, 1, 2], 1, False),
        ([1, 1], 0, False),
        ([NAN, 5], 1, False),
        ([NAN, NAN], 0, True),
        ([float("inf")], 0, True),
    ],
)
def test_the_best_epoch_and_divergence(losses, best, diverged):
    assert best_epoch(rows_of(*losses)) == best
    assert has_diverged(rows_of(*losses)) == diverged


@pytest.mark.parametrize(
    ("losses", "ended"),
    [([], False), ([1, 2], False), ([1, 2, 2], True), ([3, 2, 1], False), ([NAN, NAN, NAN], True)],
)
def test_patience_of_two_epochs(losses, ended):
    options = replace(TRAINING, early_stopping=2, epochs=9)
    assert has_ended(rows_of(*losses), options) == ended


def test_a_run_stops_early_and_is_finished(tmp_path, monkeypatch):
    options = replace(TRAINING, early_stopping=1, epochs=30, learning_rate=1.0, run=tmp_path / "a")
    Run(options).train()
    rows = read_rows(tmp_path / "a" / "metrics.csv")
    losses = [float(row["validation_loss"]) for row in rows]
    assert len(losses) < 30
    assert losses[-1] >= losses[-2] == min(losses)
    assert read_run(tmp_path / "a").best_epoch == len(losses) - 2
    # Killed after its last epoch, before its test:
    (tmp_path / "a" / "test.csv").unlink()
    monkeypatch.delattr(EpochRows, "on_train_epoch_end")
    assert Run(options, resume=True).train() == pytest.approx(read_accuracy(tmp_path / "a"))
    assert len(read_rows(tmp_path / "a" / "metrics.csv")) == len(losses)


def read_accuracy(folder):
    return float(read_rows(folder / "test.csv")[0]["test_accuracy"])
