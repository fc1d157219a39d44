"""The command `sqdr`: `train` a classifier, list the `backends`."""

from __future__ import annotations

import importlib.metadata
import sys
import time
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import torch

import sqdr
from sqdr.options import RunOptions
from sqdr.registry import MissingPackageError, backend_names, create_circuit, distribution


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments (sequence of str or None): those after the program's name; None takes the process's.

    Returns:
        int: exit code; 2 after one line on stderr if a command is called wrongly or cannot start.
    """
    try:
        import jsonargparse
    except ModuleNotFoundError:
        return _fail(MissingPackageError("The command sqdr", "train", "jsonargparse"))
    parser = _parser(jsonargparse)
    try:
        options = parser.parse_args(arguments)
    except jsonargparse.ArgumentError as error:
        return _fail(error)
    match options.subcommand:
        case "train":
            return _train(parser.instantiate(options).train)
        case "backends":
            return _backends()
    parser.print_help()
    return 0


def _parser(jsonargparse: Any) -> Any:
    def new_parser(description: str, **options: Any) -> Any:
        return jsonargparse.ArgumentParser(description=description, exit_on_error=False, **options)

    parser = new_parser("Spiking-quantum image classifiers on any simulator.", prog="sqdr")
    parser.add_argument("--version", action="version", version=f"sqdr {sqdr.__version__}")
    subcommands = parser.add_subcommands(required=False)
    train = new_parser("Train a classifier and write everything about the run into a folder.")
    train.add_argument("--config", action="config", help="YAML file of options")
    train.add_class_arguments(RunOptions)
    subcommands.add_subcommand("train", train, help="train a classifier")
    backends = new_parser("List the backends and whether they work here.")
    subcommands.add_subcommand("backends", backends, help="list the backends")
    return parser


def _train(namespace: Any) -> int:
    values = {field.name: getattr(namespace, field.name) for field in fields(RunOptions)}
    try:
        from sqdr.training import Run

        run = Run(RunOptions(**values))
    except (ValueError, ImportError, OSError) as error:
        return _fail(error)
    n_parameters = sum(parameter.numel() for parameter in run.model.parameters())
    print(
        f"SQDR-CNN with {n_parameters:,} parameters on {run.options.data.name}: "
        f"{len(run.data.train.labels)} training, {len(run.data.validation.labels)} validation and "
        f"{len(run.data.test.labels)} test images; backend {run.options.model.backend}, "
        f"seed {run.options.seed}",
        flush=True,
    )
    start = time.perf_counter()
    accuracy = run.train()
    print(f"Trained and tested in {time.perf_counter() - start:.0f} s")
    print(f"Test accuracy: {100 * accuracy:.2f} %")
    print(f"Run folder: {run.folder}")
    return 0


def _backends() -> int:
    """One line for each backend: its name, whether it works here, and its version or the remedy."""
    for name in backend_names():
        try:
            with torch.no_grad():
                create_circuit(name, n_wires=2, n_blocks=2)(torch.zeros(1, 6))
        except MissingPackageError as error:
            print(f"{name:<14}missing  {error}")
        except Exception as error:  # whatever a plugin raises, the other backends are listed
            summary = str(error).partition("\n")[0]
            print(f"{name:<14}broken   {type(error).__name__}: {summary}")
        else:
            package = distribution(name)
            print(f"{name:<14}works    {package} {importlib.metadata.version(package)}")
    return 0


def _fail(error: Exception) -> int:
    message = " ".join(str(error).split())
    print(f"sqdr: error: {message}", file=sys.stderr)
    return 2
