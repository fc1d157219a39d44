"""The epochs of a training: their metrics, the best of them, and when there are enough."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback
from torch import nn

from sqdr.experiment.options import RunOptions

#: Metrics of an epoch, with its number, counted from 0.
Row = dict[str, float]


def best_epoch(rows: Sequence[Row]) -> int:
    """Index of the row with the lowest validation loss, the first of equal ones; NaN is the worst."""
    losses = [row["validation_loss"] for row in rows]
    return losses.index(min(losses, key=lambda loss: math.inf if math.isnan(loss) else loss))


def has_diverged(rows: Sequence[Row]) -> bool:
    """Whether even the best epoch has no finite loss."""
    return not math.isfinite(rows[best_epoch(rows)]["validation_loss"])


def has_ended(rows: Sequence[Row], options: RunOptions) -> bool:
    """Whether these are all epochs of a training, or enough of them for `early_stopping`."""
    if len(rows) >= options.epochs:
        return True
    patience = options.early_stopping
    return patience is not None and bool(rows) and len(rows) - 1 - best_epoch(rows) >= patience


def is_finite(module: nn.Module) -> bool:
    """Whether all weights are finite, those of a trained model unless training has diverged."""
    return all(bool(tensor.isfinite().all()) for tensor in module.state_dict().values())


class EpochRows(Callback):
    """Keeps the metrics of each epoch, and ends the training when there are enough of them.

    The validation loss of weights that are not finite is NaN: their neurons may be silent, and what
    follows from that would look like a loss.

    Attributes:
        rows (list of dict): the metrics of each finished epoch; part of every checkpoint.
    """

    def __init__(self, options: RunOptions) -> None:
        self._options = options
        self.rows: list[Row] = []

    def on_train_start(self, trainer: lightning.Trainer, _: lightning.LightningModule) -> None:
        self._stop(trainer)  # where a run was killed after its last epoch

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        if not is_finite(module):
            metrics["validation_loss"] = math.nan
        self.rows.append({"epoch": trainer.current_epoch, **metrics})
        self._stop(trainer)

    def _stop(self, trainer: lightning.Trainer) -> None:
        if has_ended(self.rows, self._options):
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = state_dict["rows"]
