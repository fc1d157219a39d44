"""How far a training is: a bar on a terminal, elsewhere a line for each epoch."""

from __future__ import annotations

import sys
import time
from datetime import timedelta
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from torch import Tensor

#: Between changes of the bar, in seconds.
_INTERVAL = 0.2


class RunProgress(Callback):
    """Shows epoch, losses, images per second and the time that is left of the whole run.

    Args:
        batch_size (int): images in a training step, of all processes together.
    """

    def __init__(self, batch_size: int) -> None:
        self._batch_size = batch_size
        self._progress = Progress(
            TextColumn("Epoch {task.fields[epoch]} of {task.fields[epochs]}"),
            BarColumn(bar_width=20),
            TaskProgressColumn(),
            TextColumn("{task.fields[state]}"),
            transient=True,
            disable=not sys.stdout.isatty(),
        )
        self._task: Any = None
        self._began, self._shown = 0.0, 0.0
        self._first_step = 0

    def on_train_start(self, trainer: lightning.Trainer, _: lightning.LightningModule) -> None:
        self._began, self._first_step = time.monotonic(), trainer.global_step
        self._progress.start()
        self._task = self._progress.add_task(
            "training",
            total=trainer.estimated_stepping_batches,
            completed=trainer.global_step,
            epoch=trainer.current_epoch + 1,
            epochs=trainer.max_epochs,
            state="",
        )

    def on_train_batch_end(
        self, trainer: lightning.Trainer, _: lightning.LightningModule, outputs: Any, *__: Any
    ) -> None:
        if self._progress.disable or time.monotonic() - self._shown < _INTERVAL:
            return
        self._shown = time.monotonic()
        loss: Tensor = outputs["loss"]
        self._progress.update(
            self._task,
            completed=trainer.global_step,
            epoch=trainer.current_epoch + 1,
            state=f"loss {float(loss):.3f}, {self._pace(trainer)}",
        )

    def on_train_epoch_end(self, trainer: lightning.Trainer, _: lightning.LightningModule) -> None:
        if not self._progress.disable:
            return
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        print(
            f"Epoch {trainer.current_epoch + 1} of {trainer.max_epochs}: "
            f"training loss {metrics['training_loss']:.4f}, "
            f"validation loss {metrics['validation_loss']:.4f}, "
            f"validation accuracy {100 * metrics['validation_accuracy']:.2f} %, "
            f"{self._pace(trainer)}",
            flush=True,
        )

    def on_train_end(self, *_: Any) -> None:
        self._progress.stop()

    def on_exception(self, *_: Any) -> None:
        self._progress.stop()

    def _pace(self, trainer: lightning.Trainer) -> str:
        """Images per second since the beginning of this process's training, and the time left."""
        n_steps = trainer.global_step - self._first_step
        seconds = (time.monotonic() - self._began) / n_steps
        left = seconds * (trainer.estimated_stepping_batches - trainer.global_step)
        return f"{self._batch_size / seconds:,.0f} images/s, {timedelta(seconds=round(left))} left"
