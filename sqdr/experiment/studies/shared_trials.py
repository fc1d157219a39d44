"""Work that processes and machines share: the cells of a study.

A cell is one piece of work, for instance one training run, described by plain data. Optuna keeps the
cells as the trials of a study, see `sqdr.experiment.studies.places`. The cells are known from the start
(`SharedStudy`), or chosen one by one from the values of those that are finished
(`sqdr.experiment.studies.search.SearchTrials`).
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import multiprocessing
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from threading import Thread
from typing import Any

import optuna
import torch
from filelock import FileLock
from optuna.trial import TrialState
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn
from torch.multiprocessing.spawn import ProcessException, ProcessExitedException, spawn

from sqdr.experiment.data.folder import record_of
from sqdr.experiment.folders import (
    check_folder,
    difference,
    has_configuration,
    read_configuration,
    write_configuration,
)
from sqdr.experiment.option_names import NOT_OF_RESULT, names_of, what_is_shared
from sqdr.experiment.options import ComparisonOptions, NoiseSweepOptions, RunOptions, SearchOptions
from sqdr.experiment.provenance import keep_provenance
from sqdr.experiment.studies.places import LOCK, Direction, Place, StudyDatabase, StudyFolder
from sqdr.memory import is_lack_of_memory
from sqdr.validation import argument_error

#: Plain data that tells one piece of work from the others.
Cell = dict[str, Any]
#: What runs a cell and returns its values, one for each direction of the study.
CellFunction = Callable[[Cell], Sequence[float]]

#: The value of a training that has diverged, which is worse than any accuracy.
DIVERGED = -math.inf


class SharedTrials(ABC):
    """The trials of a study, of which each is one worker's at a time.

    A subclass says which trial is next. A trial's cell is its attributes and parameters together.

    Args:
        place (Place): where the study is, or will be, kept.
        name (str): of the study.
        directions (sequence of str): "maximize" or "minimize" for each value of a cell.
        n_cells (int): how many cells are to be finished.

    Raises:
        ValueError: if the place cannot be used.
    """

    def __init__(self, place: Place, name: str, directions: Sequence[Direction], n_cells: int) -> None:
        self.n_cells = n_cells
        self._place = place
        self._study = place.open(name, directions)

    @property
    def n_finished(self) -> int:
        """Number of cells that are finished."""
        return len(self._trials(TrialState.COMPLETE))

    def run_next(self, run_cell: CellFunction) -> bool:
        """Run a cell that is neither finished nor running anywhere.

        Args:
            run_cell (callable): called with the cell, returns its values.

        Returns:
            bool: False if there was no such cell.
        """
        with ExitStack() as held:
            with self._place.turn():
                self._place.queue_abandoned(self._study)
                trial = self._next_trial()
                if trial is None:
                    return False
                held.enter_context(self._place.hold(self._study, trial))
            values = run_cell(trial.user_attrs | trial.params)
            # One whose worker was thought to be dead may be another worker's by now.
            self._study.tell(trial, values, state=TrialState.COMPLETE, skip_if_finished=True)
        return True

    @abstractmethod
    def _next_trial(self) -> optuna.Trial | None:
        """A new running trial, or None if there is none to run. Called in the turn of the worker."""

    def _give_up(self, trial: optuna.Trial) -> None:
        """End a running trial that another worker's has made superfluous."""
        self._study.tell(trial, state=TrialState.FAIL)

    def _trials(self, *states: TrialState) -> list[optuna.trial.FrozenTrial]:
        return self._study.get_trials(deepcopy=False, states=states)


class SharedStudy(SharedTrials):
    """The cells of a study, with what has become of them.

    Args:
        place (Place): where the study is, or will be, kept.
        cells (sequence of Cell): all distinct.
        directions (sequence of str): "maximize" or "minimize" for each value of a cell.
    """

    def __init__(self, place: Place, cells: Sequence[Cell], directions: Sequence[Direction]) -> None:
        super().__init__(place, "cells", directions, len(cells))
        self.cells = list(cells)

    @property
    def n_finished(self) -> int:
        # The study may hold others too, of which the cells are not.
        return sum(values is not None for values in self.values())

    def values(self) -> list[list[float] | None]:
        """The values of each cell, in the order of `cells`; None for those that are not finished."""
        finished = self._trials(TrialState.COMPLETE)
        return [
            next((trial.values for trial in finished if trial.user_attrs == cell), None)
            for cell in self.cells
        ]

    def _next_trial(self) -> optuna.Trial | None:
        """The cell that has waited longest, after every cell that is nowhere has been queued."""
        while True:
            known = [trial.user_attrs for trial in self._alive()]
            for cell in self.cells:
                if cell not in known:
                    queued = optuna.create_trial(state=TrialState.WAITING, user_attrs=dict(cell))
                    self._study.add_trial(queued)
            if not self._trials(TrialState.WAITING):
                return None
            trial = self._place.ask(self._study)
            if self._is_first(trial):
                return trial
            self._give_up(trial)

    def _is_first(self, trial: optuna.Trial) -> bool:
        """Whether a running trial is a cell that no earlier one is.

        Workers that do not take turns may have queued a cell twice, or asked for the same waiting one,
        of which the second gets an empty one.
        """
        cell = trial.user_attrs
        before = [other for other in self._alive() if other.number < trial.number]
        return bool(cell) and all(other.user_attrs != cell for other in before)

    def _alive(self) -> list[optuna.trial.FrozenTrial]:
        return self._trials(TrialState.WAITING, TrialState.RUNNING, TrialState.COMPLETE)


#: Options of any study.
StudyOptions = NoiseSweepOptions | ComparisonOptions | SearchOptions


def place_of(options: StudyOptions) -> Place:
    """Where the trials of a study are kept: in its folder or, by the name of this, in a database.

    Raises:
        ValueError: if the database cannot be used, or holds a study of other options by this name.
    """
    if options.storage is None:
        return StudyFolder(options.folder)
    place = StudyDatabase(options.storage, options.folder.name)
    study = place.open("options", ["minimize"])
    here = json.loads(json.dumps(what_is_shared(options)))
    if record := record_of(options.training.data):
        here["images"] = hashlib.sha256(json.dumps(record).encode()).hexdigest()
    there = study.user_attrs.get("configuration")
    if there is None:
        study.set_user_attr("configuration", here)
    elif differ := difference(there, here, **_may_differ(options)):
        must = f"hold a study of the same options by the name of {options.folder.name}, or none"
        raise argument_error("storage", must, f"has {differ}")
    return place


def _may_differ(options: StudyOptions) -> dict[str, Any]:
    """In what the options of the same study may differ; see `difference`."""
    ignored = NOT_OF_RESULT | names_of(type(options), "size")
    return {"ignored": ignored, "defaults": what_is_shared(replace(options, training=RunOptions()))}


def claim_study(options: StudyOptions, device: torch.device) -> None:
    """Make the folder of a study its own; seeds may be added, and trials too.

    Args:
        options: of the study.
        device (torch.device): that the trainings compute on here; see `keep_provenance`.

    Raises:
        ValueError: if the folder belongs to another study or to something else, or lacks seeds that it
            had.
    """
    folder, configuration = options.folder, what_is_shared(options)
    claim_folder(folder, configuration, device, **_may_differ(options))
    with FileLock(folder / LOCK):
        kept = read_configuration(folder)
        if isinstance(options, SearchOptions):
            kept["n_trials"] = max(options.n_trials, kept.get("n_trials", 0))
        elif missing := [seed for seed in kept["seeds"] if seed not in options.seeds]:
            but = f"lacks {', '.join(map(str, missing))}"
            raise argument_error("seeds", f"hold the seeds of {folder}", but)
        else:
            kept["seeds"] = configuration["seeds"]
        write_configuration(folder, kept)


def claim_folder(
    folder: Path, configuration: Mapping[str, Any], device: torch.device, **how: Any
) -> None:
    """Make `folder` that of this configuration, which it keeps as config.yaml.

    Args:
        folder (Path): new, empty, or of the same configuration.
        configuration (mapping): plain data.
        device (torch.device): that the cells compute on here; see `keep_provenance`.
        **how: "ignored" and "defaults" of `check_folder`.

    Raises:
        ValueError: if the folder belongs to another configuration or to something else.
    """
    check_folder("folder", folder, configuration, own={LOCK}, **how)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / LOCK):
        check_folder("folder", folder, configuration, own={LOCK}, **how)
        if not has_configuration(folder):
            write_configuration(folder, configuration)
        keep_provenance(folder, device, n_threads=1)


def finish_cells(
    place: Place,
    cells: Sequence[Cell],
    directions: Sequence[Direction],
    run_cell: CellFunction,
    jobs: int | None = None,
) -> list[list[float]] | None:
    """Run, in parallel processes, all cells of a `SharedStudy` that are neither finished nor running.

    Args:
        place (Place): of the study; see `claim_study`.
        cells (sequence of Cell): all distinct.
        directions (sequence of str): "maximize" or "minimize" for each value of a cell.
        run_cell (callable): called with a cell, returns its values; can be pickled.
        jobs (int or None): processes, of one thread each; None, the default, stands for all cores.

    Returns:
        list or None: the values of each cell; None if other machines are still running some.

    Raises:
        As `run_in_processes`.
    """
    open_study = partial(SharedStudy, place, cells, directions)
    run_in_processes(open_study, run_cell, jobs)
    values = [of_cell for of_cell in open_study().values() if of_cell is not None]
    return values if len(values) == len(cells) else None


def run_in_processes(
    open_trials: Callable[[], SharedTrials], run_cell: CellFunction, jobs: int | None = None
) -> None:
    """Run, in parallel processes, cells until there is none left to run.

    Where stdout is a terminal, a bar shows the progress of all machines.

    Args:
        open_trials (callable): returns the trials, in each process its own; can be pickled.
        run_cell (callable): called with a cell, returns its values; can be pickled.
        jobs (int or None): processes, of one thread each; None, the default, stands for all cores.

    Raises:
        OSError, MemoryError, RuntimeError: if a process cannot read or write a file or lacks memory, or
            the system ends it (ChildProcessError).
        torch.multiprocessing.ProcessRaisedException: if one fails for another reason, with its
            traceback.

        Any exception, KeyboardInterrupt too, ends all processes. Finished cells stay finished.
    """
    trials = open_trials()
    n_open = max(0, trials.n_cells - trials.n_finished)
    failures = multiprocessing.get_context("spawn").SimpleQueue()
    logging.getLogger(spawn.__module__).setLevel(logging.ERROR)  # it tells which processes it ends
    context = spawn(  # type: ignore[no-untyped-call]
        _work,
        (open_trials, run_cell, failures),
        nprocs=min(jobs or os.cpu_count() or 1, n_open),
        join=False,
    )
    is_shown = sys.stdout.isatty()  # else nobody asks where the trials are, which takes time
    columns = *Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeElapsedColumn()
    try:
        with Progress(*columns, disable=not is_shown) as progress:
            bar = progress.add_task("trainings", total=trials.n_cells, completed=trials.n_finished)
            while not context.join(timeout=1):
                if is_shown:
                    progress.update(bar, completed=trials.n_finished)
            progress.update(bar, completed=trials.n_finished)
    except ProcessException as failure:
        if not failures.empty():
            raise failures.get() from None
        if isinstance(failure, ProcessExitedException):
            raise _ended(failure.exit_code) from None
        raise
    finally:
        # Python would wait for them at its end. They may be killed at any moment, see above.
        for process in context.processes:
            process.kill()
            process.join()


def _ended(exit_code: int) -> ChildProcessError:
    """The error for a process that has ended without an exception."""
    how = f"by signal {-exit_code}" if exit_code < 0 else f"with exit code {exit_code}"
    why = ", perhaps for lack of memory" if exit_code == -9 else ""
    rest = "The same command goes on where it was, if need be with fewer `jobs`."
    return ChildProcessError(f"A process ended {how}{why}. {rest}")


def _work(
    _: int,
    open_trials: Callable[[], SharedTrials],
    run_cell: CellFunction,
    failures: SimpleQueue[Exception],
) -> None:
    """What each process does: run cells until there are none left, or the parent process is gone."""
    Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    try:
        trials = open_trials()
        while trials.run_next(run_cell):
            pass
    except Exception as error:
        if isinstance(error, OSError) or is_lack_of_memory(error):
            failures.put(error)
        raise


def _end_with_parent() -> None:
    """A killed command must not go on; its cells are free as soon as its processes are gone."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
