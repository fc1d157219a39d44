"""Work that processes and machines share: the cells of a study in a folder.

A cell is one piece of work, for instance one training run, described by plain data. Optuna keeps the
cells as the trials of a study, in a journal in the folder: which wait, which run, and the values of the
finished ones. Its journal is made for shared folders, but nothing in it tells a running trial from one
whose worker is dead. (Heartbeats come with Optuna's database storage only, whose file database, SQLite,
is not safe on network file systems.) So a worker holds a file lock while it runs a cell. The operating
system releases the lock when the worker ends, however it ends, and whoever next looks for work queues
the cell again.

This needs a file system whose locks (flock) hold between the machines, as on NFS 4; where they do not,
as on sshfs, machines repeat each other's cells. The cells of a machine that loses its power or its
network are free when the file server gives up its locks, on NFS 4 after about 90 seconds.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Mapping, Sequence
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
from torch.multiprocessing.spawn import spawn

from sqdr.folders import check_folder, write_configuration
from sqdr.validation import check_integer

#: Plain data that tells one piece of work from the others.
Cell = dict[str, Any]
#: What runs a cell and returns its values, one for each direction of the study.
CellFunction = Callable[[Cell], Sequence[float]]
#: What Optuna calls a better value.
Direction = Literal["maximize", "minimize"]

_LOCK = "study.lock"


class SharedStudy:
    """The cells of a folder, with what has become of them.

    Args:
        folder (Path): where the study is, or will be, kept.
        cells (sequence of Cell): all distinct.
        directions (sequence of str): "maximize" or "minimize" for each value of a cell.
    """

    def __init__(self, folder: Path, cells: Sequence[Cell], directions: Sequence[Direction]) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.cells = list(cells)
        self._claims = folder / "claims"
        self._claims.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(folder / _LOCK)
        journal = folder / "journal.log"
        backend = JournalFileBackend(str(journal), _JournalLock(journal, self._lock))
        self._study = optuna.create_study(
            storage=JournalStorage(backend),
            study_name="cells",
            directions=list(directions),
            load_if_exists=True,
        )

    def values(self) -> list[list[float] | None]:
        """The values of each cell, in the order of `cells`; None for those that are not finished."""
        finished = self._trials(TrialState.COMPLETE)
        return [
            next((trial.values for trial in finished if trial.user_attrs == cell), None)
            for cell in self.cells
        ]

    def run_next(self, run_cell: CellFunction) -> bool:
        """Run a cell that is neither finished nor running anywhere.

        Args:
            run_cell (callable): called with the cell, returns its values.

        Returns:
            bool: False if there was no such cell.
        """
        with self._lock:
            self._queue_cells()
            if not self._trials(TrialState.WAITING):
                return False
            trial = self._study.ask()
            claim = self._claim(trial.number).acquire()
        with claim:
            values = run_cell(trial.user_attrs)
            self._study.tell(trial, values, state=TrialState.COMPLETE)
        return True

    def _queue_cells(self) -> None:
        """Queue every cell that is not queued, finished, or running on a worker that is alive."""
        for trial in self._trials(TrialState.RUNNING):
            try:
                with self._claim(trial.number).acquire(blocking=False):
                    self._study.tell(trial.number, state=TrialState.FAIL)
            except Timeout:
                continue
        states = TrialState.WAITING, TrialState.RUNNING, TrialState.COMPLETE
        known = [trial.user_attrs for trial in self._trials(*states)]
        for cell in self.cells:
            if cell not in known:
                queued = optuna.create_trial(state=TrialState.WAITING, user_attrs=dict(cell))
                self._study.add_trial(queued)

    def _trials(self, *states: TrialState) -> list[optuna.trial.FrozenTrial]:
        return self._study.get_trials(deepcopy=False, states=states)

    def _claim(self, number: int) -> BaseFileLock:
        """The lock that the worker of this trial holds."""
        return FileLock(self._claims / f"{number}.lock")


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


def claim_folder(folder: Path, configuration: Mapping[str, Any]) -> None:
    """Make `folder` that of this configuration, which it keeps as config.yaml.

    Args:
        folder (Path): new, empty, or of the same configuration.
        configuration (mapping): plain data.

    Raises:
        ValueError: if the folder belongs to another configuration or to something else.
    """
    check_folder("folder", folder, configuration, own={_LOCK})
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / _LOCK):
        check_folder("folder", folder, configuration, own={_LOCK})
        write_configuration(folder, configuration)


def finish_cells(
    folder: Path,
    cells: Sequence[Cell],
    directions: Sequence[Direction],
    run_cell: CellFunction,
    jobs: int | None = None,
) -> list[list[float]] | None:
    """Run, in parallel processes, all cells that are neither finished nor running anywhere.

    Where stdout is a terminal, a bar shows the progress of all machines.

    Args:
        folder (Path): of the study; see `claim_folder`.
        cells (sequence of Cell): all distinct.
        directions (sequence of str): "maximize" or "minimize" for each value of a cell.
        run_cell (callable): called with a cell, returns its values; can be pickled.
        jobs (int or None): processes, of one thread each; None, the default, stands for all cores.

    Returns:
        list or None: the values of each cell; None if other machines are still running some.

    Raises:
        torch.multiprocessing.ProcessException: if a process fails, which ends the others. Finished
            cells stay finished.
    """
    study = SharedStudy(folder, cells, directions)
    n_open = study.values().count(None)
    processes = spawn(  # type: ignore[no-untyped-call]
        _work,
        (folder, cells, directions, run_cell),
        nprocs=min(check_jobs(jobs), n_open),
        join=False,
    )
    columns = *Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, disable=not sys.stdout.isatty()) as progress:
        bar = progress.add_task("cells", total=len(cells), completed=len(cells) - n_open)
        while not processes.join(timeout=1):
            progress.update(bar, completed=len(cells) - study.values().count(None))
        progress.update(bar, completed=len(cells) - study.values().count(None))
    values = [of_cell for of_cell in study.values() if of_cell is not None]
    return values if len(values) == len(cells) else None


def check_jobs(jobs: int | None) -> int:
    """Number of processes: `jobs`, or one for each core; ValueError if it is out of its domain."""
    return os.cpu_count() or 1 if jobs is None else check_integer("jobs", jobs, 1)


def _work(
    _: int, folder: Path, cells: Sequence[Cell], directions: Sequence[Direction], run_cell: CellFunction
) -> None:
    """What each process does: run cells until there are none left, or the parent process is gone."""
    Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    study = SharedStudy(folder, cells, directions)
    while study.run_next(run_cell):
        pass


def _end_with_parent() -> None:
    """A killed command must not go on; its cells are free as soon as its processes are gone."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
