"""`sqdr train`."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqdr.experiment.commands.command import Command, filled
from sqdr.experiment.commands.presets import (
    add_preset_option,
    check_no_preset_in_file,
    with_preset,
)
from sqdr.experiment.options import RunOptions
from sqdr.validation import argument_error

if TYPE_CHECKING:
    from sqdr.experiment.training.run import Run


def _with_run_to_resume(arguments: Sequence[str]) -> list[str]:
    """Arguments with "--resume FOLDER" as what it stands for: the folder's options, then the others."""
    others = list(arguments)
    for index, argument in enumerate(others):
        name, equals, folder = argument.partition("=")
        if name != "--resume":
            continue
        if not equals:
            folder = next(iter(others[index + 1 : index + 2]), "-")
            if folder.startswith("-"):
                break  # the run is that of `--run`
            del others[index + 1]
        del others[index]
        config = Path(folder).expanduser() / "config.yaml"
        if not config.is_file():
            raise argument_error("resume", "be the folder of a run", f"{folder} has no config.yaml")
        return ["--config", str(config), "--run", str(config.parent), *others, "--resume"]
    return others


def _add_options(parser: Any) -> None:
    parser.add_argument("--config", action="config", help="YAML file of options")
    add_preset_option(parser)
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with the run in a folder: --resume runs/NAME, which knows its options",
    )
    parser.add_class_arguments(RunOptions)


def _prepare(namespace: Any) -> Callable[[], int]:
    from sqdr.experiment.training.run import Run

    check_no_preset_in_file(namespace)
    return partial(_train, Run(filled(RunOptions, namespace), resume=namespace.resume))


def _train(run: Run) -> int:
    if not run.is_main_process:
        run.train()
        return 0
    try:
        return _train_and_tell(run)
    except (KeyboardInterrupt, SystemExit):
        go_on = shlex.join(["sqdr", "train", "--resume", str(run.folder)])
        print(f"sqdr: stopped. The run is in {run.folder}; go on with: {go_on}", file=sys.stderr)
        raise


def _train_and_tell(run: Run) -> int:
    from sqdr.experiment.training.preparation import count_parameters

    print(
        f"SQDR-CNN with {count_parameters(run.model):,} parameters on {run.options.data.name}: "
        f"{len(run.data.train.labels)} training, {len(run.data.validation.labels)} validation and "
        f"{len(run.data.test.labels)} test images; backend {run.options.model.backend}, "
        f"seed {run.options.seed}",
        flush=True,
    )
    if run.has_new_head:
        source = run.options.init_from
        print(f"The head begins anew: that of {source} is another or has other classes", flush=True)
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
        *(
            "model.noise.after_rotation",
            "epochs",
            "learning_rate",
            "seed",
            "run",
            "resume",
            "preset",
            "config",
        ),
    ),
    _add_options,
    _prepare,
    lambda arguments: with_preset(_with_run_to_resume(arguments)),
)
