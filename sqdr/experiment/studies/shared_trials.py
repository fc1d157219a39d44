"""Work that processes and machines share: the cells of a study in a folder.

A cell is one piece of work, for instance one training run, described by plain data. Optuna keeps the
cells as the trials of a study, in a journal in the folder: which wait, which run, and the values of the
finished ones. The cells are known from the start (`SharedStudy`), or chosen one by one from the values
of those that are finished (`sqdr.experiment.studies.search.SearchTrials`).

Optuna's journal is made for shared folders, but nothing in it tells a running trial from one whose
worker is dead. (Heartbeats come with Optuna's database storage only, whose file database, SQLite, is
not safe on network file systems.) So a worker holds a file lock while it runs a cell. The operating
system releases the lock when the worker ends, however it ends, and whoever next looks for work queues
the cell again.

This needs a file system whose locks (flock) hold between the machines, as on NFS 4; where they do not,
as on sshfs, machines repeat each other's cells. The cells of a machine that loses its power or its
network are free when the file server gives up its locks, on NFS 4 after about 90 seconds.
"""

from __future__ import annotations

import logging
import math
import multiprocessing
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from threading import Thread
from typing import Any, Literal

import optuna
import torch
from filelock import BaseFileLock, FileLock, Timeout
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import TrialState
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn
from torch.multiprocessing.spawn import ProcessException, ProcessExitedException, spawn

from sqdr.experiment.folders import (
    check_folder,
    has_configuration,
    read_configuration,
    write_configuration,
)
from sqdr.experiment.option_names import NOT_OF_RESULT, names_of, what_is_shared
from sqdr.experiment.options import ComparisonOptions, NoiseSweepOptions, RunOptions, SearchOptions
from sqdr.experiment.provenance import keep_provenance
from sqdr.memory import is_lack_of_memory
from sqdr.validation import argument_error

#: Plain data that tells one piece of work from the others.
Cell = dict[str, Any]
#: What runs a cell and returns its values, one for each direction of the study.
CellFunction = Callable[[Cell], Sequence[float]]
#: What Optuna calls a better value.
Direction = Literal["maximize", "minimize"]

#: The value of a training that has diverged, which is worse than any accuracy.
DIVERGED = -math.inf

_LOCK = "study.lock"


class SharedTrials(ABC):
    """The trials of a folder's study, of which each is one worker's at a time.

    A subclass says which trial is next. A trial's cell is its attributes and parameters together.

    Args:
        folder (Path): where the study is, or will be, kept.
        name (str): of the study.
        directions (sequence of str): "maximize" or "minimize" for each value of a cell.
        n_cells (int): how many cells are to be finished.
    """

    def __init__(self, folder: Path, name: str, directions: Sequence[Direction], n_cells: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.n_cells = n_cells
        self._claims = folder / "claims"
        self._claims.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(folder / _LOCK)
        journal = folder / "journal.log"
        backend = JournalFileBackend(str(journal), _JournalLock(journal, self._lock))
        self._study = optuna.create_study(
            storage=JournalStorage(backend),
            study_name=name,
            directions=list(directions),
            load_if_exists=True,
        )

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
        with self._lock:
            self._queue_abandoned()
            trial = self._next_trial()
            if trial is None:
                return False
            claim = self._claim(trial.number).acquire()
        with claim:
            values = run_cell(trial.user_attrs | trial.params)
            self._study.tell(trial, values, state=TrialState.COMPLETE)
        return True

    @abstractmethod
    def _next_trial(self) -> optuna.Trial | None:
        """A new running trial, or None if there is none to run. Called with the lock held."""

    def _queue_abandoned(self) -> None:
        """Queue again what workers were running that are dead."""
        for trial in self._trials(TrialState.RUNNING):
            try:
                with self._claim(trial.number).acquire(blocking=False):
                    self._study.tell(trial.number, state=TrialState.FAIL)
            except Timeout:
                continue
            self._study.enqueue_trial(trial.params, user_attrs=trial.user_attrs)

    def _trials(self, *states: TrialState) -> list[optuna.trial.FrozenTrial]:
        return self._study.get_trials(deepcopy=False, states=states)

    def _claim(self, number: int) -> BaseFileLock:
        """The lock that the worker of this trial holds."""
        return FileLock(self._claims / f"{number}.lock")


class SharedStudy(SharedTrials):
    """The cells of a folder, with what has become of them.

    Args:
        folder (Path): where the study is, or will be, kept.
        cells (sequence of Cell): all distinct.
        directions (sequence of str): "maximize" or "minimize" for each value of a cell.
    """

    def __init__(self, folder: Path, cells: Sequence[Cell], directions: Sequence[Direction]) -> None:
        super().__init__(folder, "cells", directions, len(cells))
        self.cells = list(cells)

    def values(self) -> list[list[float] | None]:
        """The values of each cell, in the order of `cells`; None for those that are not finished."""
        finished = self._trials(TrialState.COMPLETE)
        return [
            next((trial.values for trial in finished if trial.user_attrs == cell), None)
            for cell in self.cells
        ]

    def _next_trial(self) -> optuna.Trial | None:
        """The cell that has waited longest, after every cell that is nowhere has been queued."""
        states = TrialState.WAITING, TrialState.RUNNING, TrialState.COMPLETE
        known = [trial.user_attrs for trial in self._trials(*states)]
        for cell in self.cells:
            if cell not in known:
                queued = optuna.create_trial(state=TrialState.WAITING, user_attrs=dict(cell))
                self._study.add_trial(queued)
        return self._study.ask() if self._trials(TrialState.WAITING) else None


class _JournalLock(JournalFileOpenLock):
    """The journal's lock as one of the operating system, which a killed worker cannot leave behind.

    What such a worker may leave is half a line at the end of the journal, which the next writer takes
    away.
    """

    def __init__(self, journal: Path, lock: BaseFileLock) -> None:
        super().__init__(str(journal))
        self._journal = journal
        self._system_lock = lock

    def acquire(self) -> bool:
        self._system_lock.acquire()
        with self._journal.open("rb+") as stream:
            written = stream.read()
            if written and not written.endswith(b"\n"):
                stream.truncate(written.rfind(b"\n") + 1)
        return True

    def release(self) -> None:
        self._system_lock.release()


def claim_study(
    options: NoiseSweepOptions | ComparisonOptions | SearchOptions, device: torch.device
) -> None:
    """Make the folder of a study its own; seeds may be added, and trials too.

    Args:
        options: of the study.
        device (torch.device): that the trainings compute on here; see `keep_provenance`.

    Raises:
        ValueError: if the folder belongs to another study or to something else, or lacks seeds that it
            had.
    """
    folder, configuration = options.folder, what_is_shared(options)
    size = names_of(type(options), "size")
    young = what_is_shared(replace(options, training=RunOptions()))
    claim_folder(folder, configuration, device, ignored=NOT_OF_RESULT | size, defaults=young)
    with FileLock(folder / _LOCK):
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
    check_folder("folder", folder, configuration, own={_LOCK}, **how)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / _LOCK):
        check_folder("folder", folder, configuration, own={_LOCK}, **how)
        if not has_configuration(folder):
            write_configuration(folder, configuration)
        keep_provenance(folder, device, n_threads=1)


def finish_cells(
    folder: Path,
    cells: Sequence[Cell],
    directions: Sequence[Direction],
    run_cell: CellFunction,
    jobs: int | None = None,
) -> list[list[float]] | None:
    """Run, in parallel processes, all cells of a `SharedStudy` that are neither finished nor running.

    Args:
        folder (Path): of the study; see `claim_study`.
        cells (sequence of Cell): all distinct.
        directions (sequence of str): "maximize" or "minimize" for each value of a cell.
        run_cell (callable): called with a cell, returns its values; can be pickled.
        jobs (int or None): processes, of one thread each; None, the default, stands for all cores.

    Returns:
        list or None: the values of each cell; None if other machines are still running some.

    Raises:
        As `run_in_processes`.
    """
    open_study = partial(SharedStudy, folder, cells, directions)
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
    columns = *Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeElapsedColumn()
    try:
        with Progress(*columns, disable=not sys.stdout.isatty()) as progress:
            bar = progress.add_task("trainings", total=trials.n_cells, completed=trials.n_finished)
            while not context.join(timeout=1):
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
