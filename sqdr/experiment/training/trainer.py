"""Lightning's trainer as runs use it: devices, processes, whole checkpoints, no notes."""

from __future__ import annotations

import io
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.plugins import TorchCheckpointIO
from lightning.pytorch.strategies import DDPStrategy

from sqdr.experiment.options import TrainerOptions
from sqdr.experiment.training.batch_norm import SharedBatchNorm
from sqdr.files import whole_file
from sqdr.validation import argument_error


def new_trainer(
    options: TrainerOptions, devices: int, num_nodes: int, **settings: Any
) -> lightning.Trainer:
    """Lightning's trainer of this process.

    Args:
        options (TrainerOptions): accelerator and precision.
        devices (int): processes on each machine.
        num_nodes (int): machines.
        **settings: further arguments of `lightning.Trainer`.

    Raises:
        ValueError: if there are no such devices.
    """
    is_shared = devices * num_nodes > 1
    plugins: list[Any] = [WholeCheckpoints(), *([SharedBatchNorm()] if is_shared else [])]
    if not torch.distributed.is_torchelastic_launched():
        # Else Lightning takes the tasks of a SLURM job for processes of one training.
        environment = LightningEnvironment()
        environment.set_global_rank(0)
        plugins.append(environment)
    try:
        with quiet():
            return lightning.Trainer(
                accelerator=options.accelerator,
                devices=devices,
                num_nodes=num_nodes,
                precision=options.precision,
                # All processes compute the same statistics, so there are no buffers to send.
                strategy=DDPStrategy(broadcast_buffers=False) if is_shared else "auto",
                plugins=plugins,
                use_distributed_sampler=False,
                enable_checkpointing=False,
                enable_model_summary=False,
                num_sanity_val_steps=0,
                **{"logger": False} | settings,
            )
    except MisconfigurationException as error:
        raise ValueError(str(error)) from error


def device_of(options: TrainerOptions) -> torch.device:
    """Where a training in one process computes.

    Raises:
        As `new_trainer`.
    """
    device: torch.device = new_trainer(options, devices=1, num_nodes=1).strategy.root_device
    return device


def count_processes(options: TrainerOptions) -> tuple[int, int]:
    """Processes on each machine, and machines: those that torchrun has started, if it has."""
    asked_for = {"devices": options.devices, "num_nodes": options.num_nodes}
    started = None
    if torch.distributed.is_torchelastic_launched():
        devices = int(os.environ["LOCAL_WORLD_SIZE"])
        started = {"devices": devices, "num_nodes": int(os.environ["WORLD_SIZE"]) // devices}
    for name, number in asked_for.items():
        if started and number not in (None, started[name]):
            must = f"be the {started[name]} of torchrun"
            raise argument_error(name, must, f"is {number}")
    if started is None and (options.num_nodes or 1) > 1:
        must = "be left out unless torchrun starts the command on each machine"
        raise argument_error("num_nodes", must, f"is {options.num_nodes}")
    numbers = started or {name: number or 1 for name, number in asked_for.items()}
    return numbers["devices"], numbers["num_nodes"]


class WholeCheckpoints(TorchCheckpointIO):
    """Checkpoints that are whole or not there at all.

    Lightning writes a temporary file too, but elsewhere: moving it from another disk is a copy, and
    half of it may be there when the process is killed.
    """

    def save_checkpoint(
        self,
        checkpoint: dict[str, Any],
        path: str | Path,
        storage_options: Any = None,  # noqa: ARG002
    ) -> None:
        file = Path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        # Into memory first: on a full disk torch.save ends in an error about positions in its file.
        content = io.BytesIO()
        torch.save(checkpoint, content)
        with whole_file(file) as unfinished:
            unfinished.write_bytes(content.getbuffer())


@contextmanager
def quiet() -> Iterator[None]:
    """Lightning and DDP without their notes on hardware and their advice."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*does not have many workers")
            warnings.filterwarnings("ignore", ".*LeafSpec", FutureWarning)  # Lightning 2.6, torch 2.15
            warnings.filterwarnings("ignore", ".*`broadcast_buffers` is deprecated")  # torch 2.15
            warnings.filterwarnings("ignore", "You're resuming from a checkpoint that ended before")
            warnings.filterwarnings("ignore", "Grad strides do not match bucket view")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
