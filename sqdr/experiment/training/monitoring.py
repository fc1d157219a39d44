"""What a training run records beside loss and accuracy: gradients of the model's parts, TensorBoard."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, cast

import lightning
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from torch import nn
from torch.nn.utils import get_total_norm

from sqdr.errors import MissingPackageError
from sqdr.model import SQDR_CNN

#: Parts of a classifier, in the order in which images pass through them.
PARTS = ("spiking", "quantum", "classical")


def gradient_norm_name(part: str) -> str:
    """Name of the metric of one of `PARTS`."""
    return f"gradient_norm_{part}"


def parameters_of_parts(model: SQDR_CNN) -> dict[str, list[nn.Parameter]]:
    """Trainable parameters of the spiking front end, the quantum circuit and the classical rest.

    Args:
        model (SQDR_CNN): or a twin of one, whose small network in the circuit's place is classical.

    Returns:
        dict: one list for each of `PARTS`, empty if there is nothing to train.
    """
    modules: dict[str, list[nn.Module]] = {
        "spiking": [model.spiking],
        "quantum": [model.quantum] if model.quantum else [],
        "classical": [model.head] if model.quantum else [model.circuit, model.head],
    }
    return {
        part: [
            parameter
            for module in modules[part]
            for parameter in module.parameters()
            if parameter.requires_grad
        ]
        for part in PARTS
    }


class EpochRows(Callback):
    """Keeps the metrics of each epoch; the validation loss of weights that are not finite is NaN.

    Their neurons may be silent, and what follows from that would look like a loss.

    Attributes:
        rows (list of dict): the metrics of each finished epoch, with its number, counted from 0; part
            of every checkpoint.
    """

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        if not is_finite(module):
            metrics["validation_loss"] = math.nan
        self.rows.append({"epoch": trainer.current_epoch, **metrics})

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = state_dict["rows"]


def is_finite(module: nn.Module) -> bool:
    """Whether all weights are finite, those of a trained model unless training has diverged."""
    return all(bool(tensor.isfinite().all()) for tensor in module.state_dict().values())


class GradientNorms(Callback):
    """Logs the Euclidean norm of the gradient of each part, averaged over the steps of an epoch.

    A part without a gradient, such as the circuit of a frozen twin, is left out.
    """

    def on_before_optimizer_step(
        self, _: lightning.Trainer, module: lightning.LightningModule, *__: object
    ) -> None:
        for part, parameters in parameters_of_parts(cast(SQDR_CNN, module.model)).items():
            gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
            if gradients:
                norm = cast(Any, module.norms)[part]
                norm.update(get_total_norm(gradients), 1)
                module.log(gradient_norm_name(part), norm, on_step=False, on_epoch=True)


def tensorboard_logger(folder: Path) -> TensorBoardLogger:
    """What writes the metrics of the run in `folder` for TensorBoard; it touches no file yet.

    Raises:
        MissingPackageError: if tensorboard is not installed.
    """
    try:
        return TensorBoardLogger(folder, name="", version="tensorboard")
    except ModuleNotFoundError as error:
        raise MissingPackageError("Option `tensorboard`", "tensorboard", "tensorboard") from error
