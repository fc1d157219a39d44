"""The command `sqdr`: `train`, `sweep-noise` and `compare` classifiers, list the `backends`."""

from __future__ import annotations

import importlib.metadata
import sys
import time
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import torch

import sqdr
from sqdr.options import ComparisonOptions, NoiseSweepOptions, RunOptions
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
        case "sweep-noise":
            return _sweep_noise(parser.instantiate(options)["sweep-noise"])
        case "compare":
            return _compare(parser.instantiate(options).compare)
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
    train.add_argument("--resume", action="store_true", help="go on with the run that `run` holds")
    train.add_class_arguments(RunOptions)
    subcommands.add_subcommand("train", train, help="train a classifier")
    sweep = new_parser("Train without and with noise, and test under noise of many strengths.")
    compare = new_parser("Train the classifier and its twins without the quantum part, over seeds.")
    for repeated, options in ((sweep, NoiseSweepOptions), (compare, ComparisonOptions)):
        repeated.add_argument("--config", action="config", help="YAML file of options")
        repeated.add_class_arguments(RunOptions, skip={"seed", "trainer", "run"})
        repeated.add_class_arguments(options, skip={"training"})
    subcommands.add_subcommand("sweep-noise", sweep, help="measure accuracy against noise")
    subcommands.add_subcommand("compare", compare, help="compare a classifier with its twins")
    backends = new_parser("List the backends and whether they work here.")
    subcommands.add_subcommand("backends", backends, help="list the backends")
    return parser


def _fill(kind: Any, namespace: Any, **values: Any) -> Any:
    """An options dataclass of this kind with `values` and, where the namespace has them, its values."""
    names = [field.name for field in fields(kind) if field.name in namespace]
    return kind(**{name: namespace[name] for name in names}, **values)


def _train(namespace: Any) -> int:
    try:
        from sqdr.training import Run, count_parameters

        run = Run(_fill(RunOptions, namespace), resume=namespace.resume)
    except (ValueError, ImportError, OSError) as error:
        return _fail(error)
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
    print(f"Run folder: {run.folder}")
    return 0


def _sweep_noise(namespace: Any) -> int:
    try:
        from sqdr.sweep import NoiseSweep

        training = _fill(RunOptions, namespace)
        sweep = NoiseSweep(_fill(NoiseSweepOptions, namespace, training=training))
    except (ValueError, ImportError, OSError) as error:
        return _fail(error)
    files = sweep.run()
    if files is None:
        print(_RUNNING_ELSEWHERE)
        return 0
    n_trainings, n_tests = len(sweep.cells), len(sweep.cells) * len(sweep.tests)
    print(f"{n_trainings} trainings, {n_tests} tests: {files.table}, {files.picture}")
    return 0


def _compare(namespace: Any) -> int:
    try:
        from sqdr.comparison import Comparison

        training = _fill(RunOptions, namespace)
        comparison = Comparison(_fill(ComparisonOptions, namespace, training=training))
    except (ValueError, ImportError, OSError) as error:
        return _fail(error)
    files = comparison.run()
    if files is None:
        print(_RUNNING_ELSEWHERE)
        return 0
    print(files.markdown.read_text())
    print(f"{len(comparison.cells)} runs: {files.markdown}, {files.table}, {files.runs}")
    return 0


_RUNNING_ELSEWHERE = (
    "Other machines are still at work: the one that finishes last writes the results, "
    "or this command when it is run again."
)


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
