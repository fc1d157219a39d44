"""The tool around the library: train, study, report, on the command line (extra `train`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqdr.experiment.options import RunOptions

if TYPE_CHECKING:
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

    run = Run(options, resume)
    run.train(show_progress)
    return run
