"""Where the trials of a study are kept, and how a worker has one for itself.

Optuna keeps which trials wait, which run, and the values of the finished ones, in a journal in the
folder of the study or in a database. These differ in how workers take turns, and in how one finds out
that the worker of a running trial is dead.
"""

from __future__ import annotations

import logging
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any, Literal

import optuna
from filelock import BaseFileLock, FileLock, Timeout
from optuna.exceptions import ExperimentalWarning
from optuna.storages import JournalStorage, RDBStorage, fail_stale_trials
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, IntegrityError, ProgrammingError, SQLAlchemyError

from sqdr.validation import argument_error

#: What Optuna calls a better value.
Direction = Literal["maximize", "minimize"]

#: In the folder of a study.
LOCK = "study.lock"


class Place(ABC):
    """Where the trials of a study are kept."""

    @abstractmethod
    def open(self, name: str, directions: Sequence[Direction]) -> Study:
        """The study, which is made if it is not there.

        Args:
            name (str): of the study, among those of this place.
            directions (sequence of str): "maximize" or "minimize" for each value of a trial.

        Raises:
            ValueError: if the place cannot be used.
        """

    @abstractmethod
    def turn(self) -> AbstractContextManager[Any]:
        """Within it no other worker looks for a trial, where that can be had."""

    def ask(self, study: Study) -> optuna.Trial:
        """The trial that has waited longest, now running, or a new one if none waits."""
        return study.ask()

    @abstractmethod
    def queue_abandoned(self, study: Study) -> None:
        """Queue again what workers were running that are dead."""

    @abstractmethod
    def hold(self, study: Study, trial: optuna.Trial) -> AbstractContextManager[Any]:
        """Within it the running trial is that of a living worker. Entered in the turn of the worker."""


@dataclass(frozen=True)
class StudyFolder(Place):
    """A journal in a folder that machines share.

    Optuna's journal is made for shared folders, but nothing in it tells a running trial from one whose
    worker is dead. So a worker holds a file lock while it runs a trial. The operating system releases
    the lock when the worker ends, however it ends, and whoever next looks for work queues the trial
    again.

    This needs a file system whose locks (flock) hold between the machines, as on NFS 4; where they do
    not, as on sshfs, machines repeat each other's trials. The trials of a machine that loses its power
    or its network are free when the file server gives up its locks, on NFS 4 after about 90 seconds.
    """

    folder: Path

    def open(self, name: str, directions: Sequence[Direction]) -> Study:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._claims.mkdir(parents=True, exist_ok=True)
        journal = self.folder / "journal.log"
        backend = JournalFileBackend(str(journal), _JournalLock(journal))
        try:
            return optuna.create_study(
                storage=JournalStorage(backend),
                study_name=name,
                directions=list(directions),
                load_if_exists=True,
            )
        except (AssertionError, AttributeError, KeyError, TypeError, ValueError) as error:
            must = "hold a whole journal.log or none"
            raise argument_error("folder", must, f"{journal} is damaged") from error

    def turn(self) -> AbstractContextManager[Any]:
        return _lock_of(self.folder)

    def queue_abandoned(self, study: Study) -> None:
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            try:
                with self._claim(trial.number).acquire(blocking=False):
                    study.tell(trial.number, state=TrialState.FAIL)
            except Timeout:
                continue
            study.enqueue_trial(trial.params, user_attrs=trial.user_attrs)

    def hold(self, study: Study, trial: optuna.Trial) -> AbstractContextManager[Any]:  # noqa: ARG002
        return self._claim(trial.number).acquire()

    @property
    def _claims(self) -> Path:
        return self.folder / "claims"

    def _claim(self, number: int) -> BaseFileLock:
        """The lock that the worker of this trial holds."""
        return FileLock(self._claims / f"{number}.lock")


def _lock_of(folder: Path) -> BaseFileLock:
    """One for all who ask in this process, so that who has it can take it again."""
    return FileLock(folder / LOCK, is_singleton=True)


class _JournalLock(JournalFileOpenLock):
    """The journal's lock as one of the operating system, which a killed worker cannot leave behind.

    What such a worker may leave is half a line at the end of the journal, which the next writer takes
    away.
    """

    def __init__(self, journal: Path) -> None:
        super().__init__(str(journal))
        self._journal = journal
        self._system_lock = _lock_of(journal.parent)

    def acquire(self) -> bool:
        self._system_lock.acquire()
        with self._journal.open("rb+") as stream:
            written = stream.read()
            if written and not written.endswith(b"\n"):
                stream.truncate(written.rfind(b"\n") + 1)
        return True

    def release(self) -> None:
        self._system_lock.release()


@dataclass(frozen=True)
class StudyDatabase(Place):
    """A database that Optuna knows, such as PostgreSQL, which machines reach by a network.

    Workers do not take turns: whoever uses a trial makes sure that it is the first of its kind. A
    worker tells the database from time to time that it lives; after `grace` seconds without a word its
    trial is queued again.

    Args:
        url (str): as SQLAlchemy takes it, "postgresql+psycopg://user@host/database" for instance.
        label (str): of the study, in the database.
        heartbeat (int): seconds between words of a worker. Default: 30.
        grace (int): seconds. Default: 120.
    """

    url: str
    label: str
    heartbeat: int = 30
    grace: int = 120

    def open(self, name: str, directions: Sequence[Direction]) -> Study:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        logging.getLogger("alembic").setLevel(logging.WARNING)
        with self._named_errors(), warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return optuna.create_study(
                storage=self._storage(),
                study_name=f"{self.label}: {name}",
                directions=list(directions),
                load_if_exists=True,
            )

    def _storage(self, attempts: int = 5) -> RDBStorage:
        """Optuna's tables, which are made if they are not there."""
        try:
            return RDBStorage(
                self.url,
                engine_kwargs={"pool_pre_ping": True},
                heartbeat_interval=self.heartbeat,
                grace_period=self.grace,
                heartbeat_stale_trial_callback=_queue_again,
            )
        except (IntegrityError, ProgrammingError):  # as another worker was making them
            if attempts == 1:
                raise
            return self._storage(attempts - 1)

    def turn(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def ask(self, study: Study) -> optuna.Trial:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Heartbeat of storage is supposed to be used with")
            return study.ask()

    def queue_abandoned(self, study: Study) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            fail_stale_trials(study)

    @contextmanager
    def hold(self, study: Study, trial: optuna.Trial) -> Iterator[None]:
        storage: Any = study._storage
        ended = Event()
        storage.record_heartbeat(trial._trial_id)

        def beat() -> None:
            while not ended.wait(self.heartbeat):
                try:
                    storage.record_heartbeat(trial._trial_id)
                except SQLAlchemyError:  # which may be over the next time
                    continue

        thread = Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        except BaseException:
            study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)
            raise
        finally:
            ended.set()
            thread.join()

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        """Errors of the database are about the argument, and hold no password."""
        must = "be the URL of a database that Optuna can use"
        try:
            shown = make_url(self.url).render_as_string(hide_password=True)
        except (ArgumentError, ValueError):
            example = "postgresql+psycopg://user@host/database"
            raise argument_error("storage", f"{must}, such as {example}", "is no URL") from None
        try:
            yield
        except (SQLAlchemyError, ImportError, ValueError) as error:
            lines = [line for line in str(error).splitlines() if line.strip()]
            reason = lines[0] if lines else type(error).__name__
            raise argument_error("storage", must, f"is {shown}: {reason}") from None


def _queue_again(study: Study, trial: FrozenTrial) -> None:
    study.enqueue_trial(trial.params, user_attrs=trial.user_attrs)
