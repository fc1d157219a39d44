"""`sqdr train`."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from sqdr.experiment.commands.command import Command, filled
from sqdr.experiment.options import RunOptions

if TYPE_CHECKING:
    from sqdr.experiment.training.run import Run


def _add_options(parser: Any) -> None:
    parser.add_argument("--config", action="config", help="YAML file of options")
    parser.add_argument("--resume", action="store_true", help="go on with the run that `run` holds")
    parser.add_class_arguments(RunOptions)


def _prepare(namespace: Any) -> Callable[[], int]:
    from sqdr.experiment.training.run import Run

    return partial(_train, Run(filled(RunOptions, namespace), resume=namespace.resume))


def _train(run: Run) -> int:
    from sqdr.experiment.training.preparation import count_parameters

    if not run.is_main_process:
        run.train()
        return 0
    print(
        f"SQDR-CNN with {count_parameters(run.model):,} parameters on {run.options.data.name}: "
        f"{len(run.data.train.labels)} training, {len(run.data.validation.labels)} validation and "
        f"{len(run.data.test.labels)} test images; backend {run.options.model.backend}, "
        f"seed {run.options.seed}",
        flush=True,
    )
    start = time.perf_counter()
    if run.accuracy is None:
        if run.checkpoint is not None:
            print(f"Resuming from {run.checkpoint}", flush=True)
        accuracy = run.train()
        print(f"Trained and tested in {time.perf_counter() - start:.0f} s")
    else:
        accuracy = run.accuracy
        print("This run is finished")
    print(f"Test accuracy: {100 * accuracy:.2f} %")
    if run.why_no_model is not None:
        print(f"No folder `model` to share: {run.why_no_model}")
    print(f"Run folder: {run.folder}")
    return 0


TRAIN = Command(
    "train",
    "train a classifier",
    "Train a classifier and write everything about the run into a folder.",
    "sqdr train --data.classes 3,8 --epochs 20 --model.backend pennylane",
    (
        *("data.name", "data.classes", "model.n_wires", "model.qdr_block", "model.backend"),
        *("model.noise.after_rotation", "epochs", "learning_rate", "seed", "run", "resume", "config"),
    ),
    _add_options,
    _prepare,
)
