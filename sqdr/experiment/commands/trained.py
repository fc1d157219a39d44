"""`sqdr report`, `sqdr predict` and `sqdr evaluate`: what trained models have learnt, and their use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqdr.experiment.commands.command import Command, filled
from sqdr.experiment.options import EvaluationOptions, PredictionOptions, ReportOptions
from sqdr.experiment.tables import print_table

if TYPE_CHECKING:
    from sqdr.experiment.evaluation import Evaluation, Prediction
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
    parser.add_argument("images", nargs="+", type=Path, help="PNG, JPEG, ... files")
    parser.add_class_arguments(PredictionOptions)


def _prepare_prediction(namespace: Any) -> Callable[[], int]:
    from sqdr.experiment.evaluation import predict

    predictions = predict(namespace.images, filled(PredictionOptions, namespace))
    return partial(_show_predictions, namespace.images, predictions)


def _show_predictions(files: Sequence[Path], predictions: Sequence[Sequence[Prediction]]) -> int:
    """One line for each image: its path, then class and probability of the most probable classes."""
    for file, classes in zip(files, predictions, strict=True):
        columns = [f"{name}\t{probability:.4f}" for name, probability in classes]
        print(file, *columns, sep="\t")
    return 0


def _add_evaluation_options(parser: Any) -> None:
    parser.add_argument("--config", action="config", help="YAML file of options")
    parser.add_class_arguments(EvaluationOptions)


def _prepare_evaluation(namespace: Any) -> Callable[[], int]:
    from sqdr.experiment.evaluation import evaluate

    return partial(_show_evaluation, evaluate(filled(EvaluationOptions, namespace)))


def _show_evaluation(rows: Sequence[Evaluation]) -> int:
    """A table with one row for each backend and noise; Markdown where stdout is no terminal."""
    table = []
    for row in rows:
        numbers = f"{100 * row.accuracy:.2f}", f"{row.cross_entropy:.4f}", f"{row.seconds:.2f}"
        table.append((row.backend, row.noise, str(row.n_images), *numbers))
    print_table(("backend", "noise"), ("images", "accuracy (%)", "cross entropy", "time (s)"), table)
    return 0


REPORT = Command(
    "report",
    "write a report on a run",
    "Write a report on a finished run into its folder.",
    _add_report_options,
    _prepare_report,
)
PREDICT = Command(
    "predict",
    "classify image files with a trained model",
    "Print the path of each image, its class and the probability of that class.",
    _add_prediction_options,
    _prepare_prediction,
)
EVALUATE = Command(
    "evaluate",
    "test a trained model",
    "Print the test accuracy of a trained model on each backend with each noise.",
    _add_evaluation_options,
    _prepare_evaluation,
)
