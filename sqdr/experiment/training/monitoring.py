"""What a training run records beside loss and accuracy: gradients of the model's parts, loggers."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import lightning
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger as LightningLogger
from lightning.pytorch.loggers import MLFlowLogger, TensorBoardLogger, WandbLogger
from torch import nn
from torch.nn.utils import get_total_norm

from sqdr.errors import MissingPackageError
from sqdr.experiment.options import Logger
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


def check_logger(name: Logger) -> None:
    """Find out whether a logger can be had, without a file of it.

    Raises:
        MissingPackageError: if its package is not installed.
    """
    if find_spec(name) is None:
        raise MissingPackageError("Option `logger`", name, name)
    if name == "tensorboard":
        try:
            TensorBoardLogger(Path())
        except ModuleNotFoundError as error:  # Lightning finds no version that it can use
            raise MissingPackageError("Option `logger`", name, name) from error


def new_logger(name: Logger, folder: Path) -> LightningLogger:
    """What writes the metrics of the run in `folder`, into that folder.

    MLflow has its own way to another place, the variable MLFLOW_TRACKING_URI.
    """
    match name:
        case "tensorboard":
            return TensorBoardLogger(folder, name="", version="tensorboard")
        case "wandb":
            return WandbLogger(name=folder.name, save_dir=folder, project="sqdr")
        case "mlflow":
            place = folder.resolve()
            return MLFlowLogger(
                "sqdr",
                run_name=folder.name,
                tracking_uri=os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{place}/mlflow.db"),
                artifact_location=f"{place}/mlflow",
            )
