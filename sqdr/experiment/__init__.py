"""The tool around the library: train, study, report, on the command line (extra `train`)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from sqdr.experiment.options import (
    EvaluationOptions,
    ExportOptions,
    PredictionOptions,
    ReportOptions,
    RunOptions,
)
from sqdr.validation import check_boolean, check_path

if TYPE_CHECKING:
    from sqdr.experiment.evaluation import Evaluation, ImagePrediction
    from sqdr.experiment.training.run import Run


def train(options: RunOptions, *, resume: bool = False, show_progress: bool = False) -> Run:
    """Train a classifier, test its best epoch, and write everything about the run into a folder.

    Args:
        options (RunOptions): see there; `run` is the folder, by default a new one under `runs/`.
        resume (bool): whether to go on with the run in `options.run`, which begins if it has not begun
            yet. Default: False.
        show_progress (bool): whether to show how far it is. Default: False.

    Returns:
        Run: with the `accuracy` on the test images in [0, 1], the `folder`, and the `model` with the
            weights of the best epoch.

    Raises:
        ValueError: if options do not go together, or the folder is not one for this run.
        FileNotFoundError: if the data set is not there and may not be downloaded.
        ImportError: if a package that the run needs is missing.
    """
    from sqdr.experiment.training.run import Run

    show_progress = check_boolean("show_progress", show_progress)
    run = Run(options, check_boolean("resume", resume))
    run.train(show_progress)
    return run


def evaluate(options: EvaluationOptions) -> list[Evaluation]:
    """Test a trained model on backends and with noises, all on the same test images.

    Args:
        options (EvaluationOptions): see there.

    Returns:
        list of Evaluation: one for each backend and noise, with `accuracy` in [0, 1] and mean
            `cross_entropy` in nats.

    Raises:
        ValueError: if a backend cannot simulate a noise, the test images do not fit the model, or a
            file of the model is broken.
        FileNotFoundError: if the model or the data set is missing.
        ImportError: if a package that is needed is missing.
    """
    from sqdr.experiment.evaluation import evaluate

    return evaluate(options)


def predict(images: Iterable[str | Path], options: PredictionOptions) -> list[ImagePrediction]:
    """Classify image files with a trained model.

    Args:
        images (iterable of paths): image files, and folders of them.
        options (PredictionOptions): the model, and how many classes of each image.

    Returns:
        list of ImagePrediction: one for each file, with its most probable `classes`; one that cannot be
            read has none, and says why in `fault`.

    Raises:
        ValueError: if a file of the model is broken, or a folder holds no image.
        FileNotFoundError: if the model is missing.
        ImportError: if a package that is needed is missing.
    """
    from sqdr.experiment.evaluation import Predictor
    from sqdr.images import image_files

    return list(Predictor(options).predict(image_files(_paths(images))))


def export(options: ExportOptions, images: Iterable[str | Path] = ()) -> Path:
    """Write a trained model's circuits for some images as OpenQASM, without noise, into a folder.

    Args:
        options (ExportOptions): see there.
        images (iterable of paths): image files, and folders of them. Default: none, test images.

    Returns:
        Path: the folder. `circuits.json` in it says which image each program is of, its expectation
            values without noise, and what makes logits of them; nothing of it is there after an error.

    Raises:
        ValueError: if the folder holds anything, a file of the model is broken, or an image is none.
        FileNotFoundError: if the model or the data set is missing.
        ImportError: if a package that is needed is missing.
    """
    from sqdr.experiment.exporting import export
    from sqdr.images import image_files

    files = _paths(images)
    return export(options, image_files(files) if files else ())


def report(options: ReportOptions, *, show_progress: bool = False) -> Path:
    """Write a report on a finished run: one page of HTML and its pictures, into `report` in its folder.

    Args:
        options (ReportOptions): see there.
        show_progress (bool): whether to show a progress bar if stdout is a terminal. Default: False.

    Returns:
        Path: of the page.

    Raises:
        ValueError: if the folder is not that of a finished run, or the training has diverged.
        FileNotFoundError: if the data set is not there and may not be downloaded.
        ImportError: if a package that is needed is missing.
    """
    from sqdr.experiment.reports.page import Report

    return Report(options).write(check_boolean("show_progress", show_progress))


def _paths(images: Iterable[str | Path]) -> list[Path]:
    return [check_path("images", image) for image in images]
