"""Checkpoints within an epoch, from which a run goes on as if it had not been interrupted."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torchmetrics import Metric

from sqdr.experiment.data.sharing import Place
from sqdr.experiment.training.classifier import Classifier


class CheckpointsWithinEpoch(Callback):
    """Saves a checkpoint within an epoch when enough time has passed since the last one.

    Its state, which only such a checkpoint has, is where the epoch goes on, and what each process has
    measured so far and draws from.

    Args:
        file (Path): of the checkpoint, which is replaced.
        minutes (float or None): between checkpoints; None for none.
    """

    def __init__(self, file: Path, minutes: float | None) -> None:
        self._file, self._minutes = file, minutes
        self._saved_at = time.monotonic()
        self._state: dict[str, Any] = {}

    def on_fit_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        state, self._state = self._state, {}
        if not state:
            return
        of_process = state["processes"][trainer.global_rank]
        cast(Any, trainer).datamodule.place = Place(**state["place"])
        for metric, saved in zip(_metrics(module), of_process["metrics"], strict=True):
            for name, value in saved.items():
                setattr(metric, name, value.to(module.device))
            metric._update_count = of_process["n_updates"]
        for name, generator in cast(Classifier, module).generators.items():
            generator.set_state(of_process["generators"][name])

    def on_train_batch_end(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, *_: Any
    ) -> None:
        if self._minutes is None:
            return
        progress = trainer.fit_loop.epoch_loop.batch_progress
        due = time.monotonic() - self._saved_at >= 60 * self._minutes
        due = trainer.strategy.reduce_boolean_decision(due, all=False)
        if not due or progress.is_last_batch:  # after which the epoch has its own
            return
        classifier = cast(Classifier, module)
        classifier.clamp_strengths()
        of_process = {
            "metrics": [dict(metric.metric_state) for metric in _metrics(module)],
            "n_updates": progress.current.ready,
            "generators": {name: one.get_state() for name, one in classifier.generators.items()},
        }
        batches = cast(Any, trainer.train_dataloader).batch_sampler
        place = Place(batches.order, progress.current.ready, torch.get_rng_state())
        self._state = {"place": place._asdict(), "processes": _of_all(of_process)}
        trainer.save_checkpoint(self._file)
        self._state, self._saved_at = {}, time.monotonic()

    def on_train_epoch_end(self, *_: Any) -> None:
        self._saved_at = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        return self._state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._state = state_dict


def _metrics(module: lightning.LightningModule) -> Iterator[Metric]:
    """The metrics that are measured in training."""
    classifier = cast(Classifier, module)
    yield cast(Metric, classifier.losses["of_training"])
    yield cast(Metric, classifier.accuracies["of_training"])
    yield from cast(Iterator[Metric], classifier.norms.values())


def _of_all(of_process: dict[str, Any]) -> list[dict[str, Any]]:
    """What each process has, in the order of their ranks."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return [of_process]
    gathered: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(gathered, of_process)
    return gathered
