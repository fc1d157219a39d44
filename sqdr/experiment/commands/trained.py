"""`sqdr report`, `sqdr predict` and `sqdr evaluate`: what trained models have learnt, and their use."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqdr.experiment.commands.command import Command, filled
from sqdr.experiment.options import (
    EvaluationOptions,
    ExportOptions,
    PredictionOptions,
    ReportOptions,
)
from sqdr.experiment.tables import print_table

if TYPE_CHECKING:
    from sqdr.experiment.evaluation import Evaluation, Predictor
    from sqdr.experiment.reports.page import Report


def _add_report_options(parser: Any) -> None:
    parser.add_class_arguments(ReportOptions, as_positional=True)


def _prepare_report(namespace: Any) -> Callable[[], int]:
    from sqdr.experiment.reports.page import Report

    return partial(_report, Report(filled(ReportOptions, namespace)))


def _report(report: Report) -> int:
    print(f"Report: {report.write()}")
    return 0


def _add_prediction_options(parser: Any) -> None:
    images = "image files (PNG, JPEG, ...), folders of them"
    _add_model_and_images(parser, PredictionOptions, "IMAGES_OR_FOLDERS...", images)


def _add_model_and_images(parser: Any, options: type, metavar: str, images: str) -> None:
    """What stands first on the command line, and the options of the command."""
    parser.add_argument(
        "paths",
        nargs="*",
        type=Path,
        metavar=f"MODEL_OR_RUN {metavar}",
        help=f"folder of a model or of a finished run; {images}",
    )
    parser.add_class_arguments(options, skip={"model"})
    _add_model(parser)


def _add_model(parser: Any) -> None:
    parser.add_argument("--model", type=Path | None, help="the model, if it does not stand first")


def _prepare_prediction(namespace: Any) -> Callable[[], int]:
    from sqdr.experiment.evaluation import Predictor
    from sqdr.images import image_files

    model, images = _model_and_others(namespace, PREDICT)
    if not images:
        raise ValueError(f"`sqdr predict` needs a model and images; for instance: {PREDICT.example}")
    options = filled(PredictionOptions, namespace, model=model)
    return partial(_predict, Predictor(options), image_files(images))


def _model_and_others(namespace: Any, command: Command) -> tuple[Path, list[Path]]:
    """The model, by its option or as the first of the paths, and the other paths."""
    paths = list(namespace.paths)
    if namespace.model is not None:
        return namespace.model, paths
    if not paths:
        raise ValueError(f"`sqdr {command.name}` needs a model; for instance: {command.example}")
    return paths[0], paths[1:]


def _predict(predictor: Predictor, files: Sequence[Path]) -> int:
    """One line for each image: its path, then class and probability of the most probable classes.

    The line of a file that cannot be read says why; the exit code is 1 then.
    """
    n_read = n_bright = 0
    for image in predictor.predict(files):
        columns = [f"{name}\t{probability:.4f}" for name, probability in image.classes]
        print(
            str(image.file).translate(_IN_ONE_COLUMN),
            *columns or [f"error: {image.fault}"],
            sep="\t",
            flush=True,
        )
        n_read, n_bright = n_read + (not image.fault), n_bright + image.is_bright_outside
    if n_read and n_bright >= _NEARLY_ALL * n_read and predictor.is_light_on_dark:
        print(
            f"sqdr: note: {n_bright} of {n_read} images are brighter at the border than in the middle, "
            "and the model knows light on dark: --invert exchanges the two",
            file=sys.stderr,
        )
    if n_read == len(files):
        return 0
    print(f"sqdr: error: {len(files) - n_read} of {len(files)} files cannot be read", file=sys.stderr)
    return 1


#: What a file's name may hold, but not a column.
_IN_ONE_COLUMN = str.maketrans({"\t": r"\t", "\n": r"\n", "\r": r"\r"})
#: Share of the images.
_NEARLY_ALL = 0.9


def _add_evaluation_options(parser: Any) -> None:
    parser.add_argument(
        "paths",
        nargs="*",
        type=Path,
        metavar="MODEL_OR_RUN",
        help="folder of a model or of a finished run",
    )
    parser.add_argument("--config", action="config", help="YAML file of options")
    parser.add_class_arguments(EvaluationOptions, skip={"model"})
    _add_model(parser)


def _prepare_evaluation(namespace: Any) -> Callable[[], int]:
    from sqdr.experiment.evaluation import evaluate

    model, others = _model_and_others(namespace, EVALUATE)
    if others:
        raise ValueError(f"`sqdr evaluate` takes one model, and {others[0]} is another")
    return partial(_show_evaluation, evaluate(filled(EvaluationOptions, namespace, model=model)))


def _show_evaluation(rows: Sequence[Evaluation]) -> int:
    """A table with one row for each backend and noise; Markdown where stdout is no terminal."""
    columns = ["images", "accuracy (%)", "cross entropy", "time (s)"]
    table = []
    for row in rows:
        numbers = [f"{100 * row.accuracy:.2f}", f"{row.cross_entropy:.4f}", f"{row.seconds:.2f}"]
        if row.error is not None:
            numbers.append(f"{row.error:.4f}")
        table.append((row.backend, row.noise, str(row.n_images), *numbers))
    if rows[0].error is not None:
        columns.append("error of values")
    print_table(("backend", "noise"), columns, table)
    return 0


def _add_export_options(parser: Any) -> None:
    images = "image files, or test images if there are none"
    _add_model_and_images(parser, ExportOptions, "[IMAGES...]", images)


def _prepare_export(namespace: Any) -> Callable[[], int]:
    from sqdr.experiment import export

    model, images = _model_and_others(namespace, EXPORT)
    return partial(_show_export, export(filled(ExportOptions, namespace, model=model), images))


def _show_export(folder: Path) -> int:
    print(f"Programs: {folder}")
    return 0


REPORT = Command(
    "report",
    "write a report on a run",
    "Write a report on a finished run into its folder.",
    "sqdr report runs/mine",
    (),
    _add_report_options,
    _prepare_report,
)
PREDICT = Command(
    "predict",
    "classify image files with a trained model",
    "Print the path of each image, its class and the probability of that class.",
    "sqdr predict runs/mine photo.png scans/ --invert",
    (),
    _add_prediction_options,
    _prepare_prediction,
)
EVALUATE = Command(
    "evaluate",
    "test a trained model",
    "Print the test accuracy of a trained model on each backend with each noise.",
    "sqdr evaluate runs/mine --backends native,pennylane --noises none",
    (),
    _add_evaluation_options,
    _prepare_evaluation,
)
EXPORT = Command(
    "export",
    "write circuits as OpenQASM",
    "Write a trained model's circuits for some images as OpenQASM, and what says what they are.",
    "sqdr export runs/mine --max_images 5 --folder circuits",
    (),
    _add_export_options,
    _prepare_export,
)
