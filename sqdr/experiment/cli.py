"""The command `sqdr`: train, search, compare and use classifiers, list and time the backends."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

import sqdr
from sqdr.errors import BackendError, MissingPackageError
from sqdr.experiment.bench import BenchOptions, measure
from sqdr.experiment.evaluation import EvaluationOptions, PredictionOptions, evaluate, predict
from sqdr.experiment.option_names import SET_BY_STUDIES, new_parser, without
from sqdr.experiment.options import (
    ComparisonOptions,
    NoiseSweepOptions,
    RunOptions,
    SearchOptions,
    TrainerOptions,
)
from sqdr.experiment.tables import print_table
from sqdr.memory import is_lack_of_memory
from sqdr.registry import (
    backend_names,
    create_circuit,
    installed_version,
    shadowed_plugins,
)
from sqdr.validation import argument_error


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments (sequence of str or None): those after the program's name; None takes the process's.

    Returns:
        int: exit code. 2 after one line on stderr if a command is called wrongly or cannot start; 1
            after one line if it must give up, since a file cannot be written or memory is short; 130
            if it is interrupted, and 141 if nobody reads what it prints, as a shell has it. A
            training that is terminated raises SystemExit with 143.
    """
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except SystemExit as stop:
        if isinstance(stop.__context__, KeyboardInterrupt):  # which Lightning has caught
            return 130
        raise
    except BrokenPipeError:
        _abandon_output()
        return 141
    except (OSError, MemoryError) as error:
        _abandon_output()
        return _fail(error, code=1)
    except RuntimeError as error:
        if not is_lack_of_memory(error):
            raise
        return _fail(error, code=1)
    return code


def _run(arguments: Sequence[str] | None) -> int:
    """Run a command; its exit code."""
    try:
        import jsonargparse
    except ModuleNotFoundError:
        return _fail(MissingPackageError("The command sqdr", "train", "jsonargparse"))
    parser, commands = _parser()
    try:
        options = parser.parse_args(arguments)
        if options.subcommand:
            defaults = commands[options.subcommand].get_defaults()
            _check_values(options[options.subcommand], defaults)
            options = parser.instantiate(options)
    except (jsonargparse.ArgumentError, ValueError, OSError, RecursionError) as error:
        return _fail(error)  # the latter from files that are no text, or nested too deeply
    match options.subcommand:
        case "train":
            return _train(options.train)
        case "report":
            return _report(options.report)
        case "sweep-noise":
            return _sweep_noise(options["sweep-noise"])
        case "compare":
            return _compare(options.compare)
        case "search":
            return _search(options.search)
        case "predict":
            return _predict(options.predict)
        case "evaluate":
            return _evaluate(options.evaluate)
        case "bench":
            return _bench(options.bench)
        case "backends":
            return _backends()
        case "check-backend":
            return _check_backend(options["check-backend"].backend)
    parser.print_help()
    return 0


def _parser() -> tuple[Any, Mapping[str, Any]]:
    """The parser of the command line, and those of the commands by their names."""
    parser = new_parser("Spiking-quantum image classifiers on any simulator.", prog="sqdr")
    parser.add_argument("--version", action="version", version=f"sqdr {sqdr.__version__}")
    subcommands = parser.add_subcommands(required=False)
    train = new_parser("Train a classifier and write everything about the run into a folder.")
    train.add_argument("--config", action="config", help="YAML file of options")
    train.add_argument("--resume", action="store_true", help="go on with the run that `run` holds")
    train.add_class_arguments(RunOptions)
    subcommands.add_subcommand("train", train, help="train a classifier")
    report = new_parser("Write a report on a finished run into its folder.")
    report.add_argument("run", type=Path, help="folder of the run")
    report.add_argument(
        "--data.root", type=Path | None, help="folder of torchvision's data sets, by default the run's"
    )
    report.add_argument(
        "--data.download", type=bool, default=False, help="whether torchvision may download a data set"
    )
    subcommands.add_subcommand("report", report, help="write a report on a run")
    sweep = new_parser("Train without and with noise, and test under noise of many strengths.")
    compare = new_parser("Train the classifier and its twins without the quantum part, over seeds.")
    search = new_parser(
        "Search for options of training on the validation images; no test image is seen."
    )
    for study, options, varied in (
        (sweep, NoiseSweepOptions, {"seed"}),
        (compare, ComparisonOptions, {"seed"}),
        (search, SearchOptions, set()),
    ):
        study.add_argument("--config", action="config", help="YAML file of options, that of a run too")
        of_trainer = {name.removeprefix("trainer.") for name in SET_BY_STUDIES}
        study.add_class_arguments(RunOptions, skip=SET_BY_STUDIES | varied | {"trainer"})
        study.add_class_arguments(TrainerOptions, "trainer", skip=of_trainer)
        _ignore_in_files(SET_BY_STUDIES | varied, study)
        study.add_class_arguments(options, skip={"training"})
    subcommands.add_subcommand("sweep-noise", sweep, help="measure accuracy against noise")
    subcommands.add_subcommand("compare", compare, help="compare a classifier with its twins")
    subcommands.add_subcommand("search", search, help="search for options of training")
    predict = new_parser("Print the path of each image, its class and the probability of that class.")
    predict.add_argument("images", nargs="+", type=Path, help="PNG, JPEG, ... files")
    predict.add_class_arguments(PredictionOptions)
    subcommands.add_subcommand("predict", predict, help="classify image files with a trained model")
    evaluate = new_parser("Print the test accuracy of a trained model on each backend with each noise.")
    evaluate.add_argument("--config", action="config", help="YAML file of options")
    evaluate.add_class_arguments(EvaluationOptions)
    subcommands.add_subcommand("evaluate", evaluate, help="test a trained model")
    bench = new_parser("Time forward and backward pass of a circuit on each backend, on this machine.")
    bench.add_argument("--config", action="config", help="YAML file of options")
    bench.add_class_arguments(BenchOptions)
    subcommands.add_subcommand("bench", bench, help="find the fastest backend for a circuit")
    backends = new_parser("List the backends and whether they work here.")
    subcommands.add_subcommand("backends", backends, help="list the backends")
    check = new_parser("Check that a backend is right, against an independent simulator.")
    check.add_argument("backend", type=str, help="name of the backend")
    subcommands.add_subcommand("check-backend", check, help="check that a backend is right")
    return parser, subcommands.choices


def _ignore_in_files(names: Collection[str], parser: Any) -> None:
    """Let the parser take files that hold these options, as that of a run does."""
    import yaml

    parse_string = parser.parse_string

    def parse_others(content: str, **how: Any) -> Any:
        with suppress(yaml.YAMLError, KeyError):  # which the parser reports
            options = yaml.safe_load(content)
            if isinstance(options, dict) and (others := without(options, names)) != options:
                content = yaml.safe_dump(others)
        return parse_string(content, **how)

    parser.parse_string = parse_others


def _check_values(options: Any, defaults: Any) -> None:
    """ValueError for what jsonargparse lets pass in files: groups that are no mappings, no value."""
    for name, default in defaults.items(branches=True):
        value = options.get(name)
        if isinstance(default, type(defaults)) and not isinstance(value, type(defaults)):
            raise argument_error(name, "be a mapping of options", f"is {value!r}")
        if value is None and default is not None:
            raise argument_error(name, "have a value", "has none")


def _fill(kind: Any, namespace: Any, **values: Any) -> Any:
    """An options dataclass of this kind with `values` and, where the namespace has them, its values."""
    names = [field.name for field in fields(kind) if field.name in namespace]
    return kind(**{name: namespace[name] for name in names}, **values)


def _train(namespace: Any) -> int:
    try:
        from sqdr.experiment.training.preparation import count_parameters
        from sqdr.experiment.training.run import Run

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
    if run.why_no_model is not None:
        print(f"No folder `model` to share: {run.why_no_model}")
    print(f"Run folder: {run.folder}")
    return 0


def _report(namespace: Any) -> int:
    try:
        from sqdr.experiment.reports.page import write_report

        page = write_report(namespace.run, root=namespace.data.root, download=namespace.data.download)
    except (ValueError, ImportError, FileNotFoundError) as error:
        return _fail(error)
    print(f"Report: {page}")
    return 0


def _sweep_noise(namespace: Any) -> int:
    def prepared(options: NoiseSweepOptions) -> Any:
        from sqdr.experiment.studies.noise_sweep import NoiseSweep

        return NoiseSweep(options)

    def show(sweep: Any, files: Any) -> None:
        n_trainings, n_tests = len(sweep.cells), len(sweep.cells) * len(sweep.tests)
        print(f"{n_trainings} trainings, {n_tests} tests: {files.table}, {files.picture}")
        _tell_diverged(files.diverged)

    return _study(namespace, NoiseSweepOptions, prepared, show)


def _compare(namespace: Any) -> int:
    def prepared(options: ComparisonOptions) -> Any:
        from sqdr.experiment.studies.comparison import Comparison

        return Comparison(options)

    def show(comparison: Any, files: Any) -> None:
        print(files.markdown.read_text())
        print(f"{len(comparison.cells)} trainings: {files.markdown}, {files.table}, {files.runs}")
        _tell_diverged(files.diverged)

    return _study(namespace, ComparisonOptions, prepared, show)


def _search(namespace: Any) -> int:
    def prepared(options: SearchOptions) -> Any:
        from sqdr.experiment.studies.search import Search

        return Search(options)

    def show(search: Any, found: Any) -> None:
        print(f"{found.n_trials} trials: {found.table}, {found.picture}")
        if found.n_failed:
            print(f"{found.n_failed} of them diverged, or had options that do not go together")
        print(f"Best {search.options.objective}: {found.value:.4f}")
        for name, value in found.parameters.items():
            print(f"  {name}: {value}")
        print(f"Train it: {shlex.join(['sqdr', 'train', '--config', str(found.configuration)])}")

    return _study(namespace, SearchOptions, prepared, show)


def _tell_diverged(trainings: Sequence[str]) -> None:
    for training in trainings:
        print(f"Diverged, and in no mean: {training}")


def _study(
    namespace: Any, kind: Any, prepared: Callable[[Any], Any], show: Callable[[Any, Any], None]
) -> int:
    """Prepare and run a study of many trainings, and show what it has found."""
    try:
        study = prepared(_fill(kind, namespace, training=_fill(RunOptions, namespace)))
    except (ValueError, ImportError, OSError) as error:
        return _fail(error)
    found = study.run()
    if found is None:
        print(
            "Other machines are still at work: the one that finishes last writes the results, "
            "or this command when it is run again."
        )
    else:
        show(study, found)
    return 0


def _predict(namespace: Any) -> int:
    """One line for each image: its path, then class and probability of the most probable classes."""
    try:
        predictions = predict(namespace.images, _fill(PredictionOptions, namespace))
    except (ValueError, ImportError, OSError) as error:
        return _fail(error)
    for file, classes in zip(namespace.images, predictions, strict=True):
        columns = [f"{name}\t{probability:.4f}" for name, probability in classes]
        print(file, *columns, sep="\t")
    return 0


def _evaluate(namespace: Any) -> int:
    """A table with one row for each backend and noise; Markdown where stdout is no terminal."""
    options = _fill(EvaluationOptions, namespace)
    try:
        rows = evaluate(options)
    except (ValueError, ImportError, OSError) as error:
        return _fail(error)
    table = []
    for row in rows:
        numbers = f"{100 * row.accuracy:.2f}", f"{row.cross_entropy:.4f}", f"{row.seconds:.2f}"
        table.append((row.backend, row.noise, str(row.n_images), *numbers))
    print_table(("backend", "noise"), ("images", "accuracy (%)", "cross entropy", "time (s)"), table)
    return 0


def _bench(namespace: Any) -> int:
    """A table of the backends that work, why the others do not, and the fastest."""
    from rich.progress import track

    options = _fill(BenchOptions, namespace)
    try:
        measurements = measure(options)
    except (ValueError, ImportError) as error:
        return _fail(error)
    total = len(options.backends or backend_names())
    bar = track(measurements, "Backends", total, transient=True, disable=not sys.stdout.isatty())
    rows = list(bar)
    timed = {row.backend: row.timing for row in rows if row.timing is not None}
    fastest = min(timed, key=lambda name: timed[name].seconds, default=None)
    table = []
    for backend, timing in timed.items():
        times = timing.seconds / timed[fastest or backend].seconds
        cells = 1000 * timing.seconds, times, timing.first_seconds
        table.append((backend, *(f"{number:,.3g}" for number in cells), str(timing.threads)))
    if table:
        numbers = "step (ms)", "times the fastest", "first step (s)", "threads"
        print_table(("backend",), numbers, table)
    for row in rows:
        if row.reason:
            print(f"{row.backend}: {row.reason}")
    if fastest is None:
        print("No backend can do this here")
        return 1
    print(f'The fastest here: backend="{fastest}", or --model.backend {fastest}')
    return 0


def _backends() -> int:
    """One line for each backend: its name, whether it works here, and its version or the remedy."""
    for name in backend_names():
        try:
            with torch.no_grad():
                create_circuit(name, n_wires=2, n_blocks=2)(torch.zeros(1, 6))
        except MissingPackageError as error:
            print(f"{name:<14}missing  {error}")
        except BackendError as error:
            print(f"{name:<14}broken   {error}")
        except Exception as error:  # whatever a plugin raises, the other backends are listed
            summary = str(error).partition("\n")[0]
            print(f"{name:<14}broken   {type(error).__name__}: {summary}")
        else:
            print(f"{name:<14}works    {installed_version(name)}")
    for name, distribution in shadowed_plugins():
        print(f"{name:<14}ignored  {distribution} registers this name, which is built in")
    return 0


def _check_backend(backend: str) -> int:
    """One line for each check of the conformance kit; 1 if the backend fails one."""

    def show(check: str, failure: Exception | None) -> None:
        print(f"{check:<30}{'passes' if failure is None else 'FAILS'}", flush=True)

    try:
        sqdr.testing.check_backend(backend, progress=show)
    except sqdr.testing.BackendCheckError as failures:
        print(failures)
        return 1
    except (ValueError, ImportError) as error:
        return _fail(error)
    return 0


def _fail(error: Exception, code: int = 2) -> int:
    message = " ".join(str(error).split()) or type(error).__name__
    print(f"sqdr: error: {message}", file=sys.stderr)
    return code


def _abandon_output() -> None:
    """Drop what stdout does not take, on which Python would fail again at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
