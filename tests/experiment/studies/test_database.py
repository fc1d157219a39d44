"""Studies in a database: SQLite's, and a PostgreSQL server that the tests start if it is installed."""

import os
import shutil
import subprocess
import tempfile
from dataclasses import replace
from functools import partial
from itertools import product

import optuna
import pytest
import search_worker
import sqlalchemy
from commands import SMALL, TRAINING, assert_refused, read_rows
from optuna.trial import TrialState
from PIL import Image
from sqlalchemy.exc import IntegrityError

from sqdr.experiment.cli import main
from sqdr.experiment.options import ComparisonOptions, DataOptions
from sqdr.experiment.studies import places
from sqdr.experiment.studies.places import StudyDatabase
from sqdr.experiment.studies.search import SearchTrials, search_space
from sqdr.experiment.studies.shared_trials import SharedStudy, finish_cells, place_of, run_in_processes

CELLS = [{"seed": seed} for seed in range(12)]
DIRECTIONS = ["maximize", "minimize"]
#: A comparison of two trainings.
COMMAND = [
    *("compare", *SMALL, "--epochs", "1", "--seeds", "[3]", "--jobs", "1"),
    *("--variants", "{no circuit: {circuit: none}}"),
]


def values_of(cell):
    return [cell["seed"] / 8, cell["seed"] + 0.5]


@pytest.fixture(scope="module")
def server():
    """The URL of a PostgreSQL server, which does not run as root."""
    if shutil.which("initdb") is None or shutil.which("pg_ctl") is None:
        pytest.skip("PostgreSQL is not installed")
    pytest.importorskip("psycopg")
    folder = tempfile.mkdtemp()
    user = {"user": "nobody"} if os.getuid() == 0 else {}
    if user:
        shutil.chown(folder, "nobody")
    run = partial(subprocess.run, check=True, stdout=subprocess.DEVNULL, cwd=folder, **user)
    run(["initdb", "--pgdata", "data", "--username", "somebody", "--auth", "trust", "--no-sync"])
    options = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off"
    run(["pg_ctl", "--pgdata", "data", "--options", options, "--log", "log", "--wait", "start"])
    yield f"postgresql+psycopg://somebody:secret@/postgres?host={folder}"
    run(["pg_ctl", "--pgdata", "data", "--mode", "immediate", "stop"])
    shutil.rmtree(folder)


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def url(request, tmp_path):
    if request.param == "SQLite":
        return f"sqlite:///{tmp_path / 'study.db'}"
    return request.getfixturevalue("server")


@pytest.fixture
def place(url, request):
    return StudyDatabase(url, request.node.name, heartbeat=1, grace=60)


def run_cells(place, cells=CELLS, at_most=100):
    """Run cells, and return which ones."""
    study, seeds = SharedStudy(place, cells, DIRECTIONS), []

    def run_cell(cell):
        seeds.append(cell["seed"])
        return values_of(cell)

    while at_most > 0 and study.run_next(run_cell):
        at_most -= 1
    return seeds


def values(place):
    return SharedStudy(place, CELLS, DIRECTIONS).values()


def test_every_cell_runs_once_in_order(place):
    assert run_cells(place, at_most=5) == [0, 1, 2, 3, 4]
    assert run_cells(place) == list(range(5, 12))
    assert values(place) == [values_of(cell) for cell in CELLS]


def note(file, cell):
    with file.open("a") as stream:  # which appends a short line as one
        stream.write(f"{cell['seed']}\n")
    return values_of(cell)


@pytest.mark.parametrize("url", ["PostgreSQL"], indirect=True)  # SQLite locks out others
def test_processes_divide_the_cells(place, tmp_path):
    run_cell = partial(note, tmp_path / "cells")
    assert finish_cells(place, CELLS, DIRECTIONS, run_cell, jobs=2) == list(map(values_of, CELLS))
    assert sorted(map(int, (tmp_path / "cells").read_text().split())) == list(range(12))


def test_a_cell_that_was_queued_twice_runs_once(place):
    study = SharedStudy(place, CELLS, DIRECTIONS)
    assert run_cells(place, at_most=1) == [0]
    study._study.add_trial(optuna.create_trial(state=TrialState.WAITING, user_attrs=CELLS[3]))
    study._study.add_trial(optuna.create_trial(state=TrialState.WAITING, user_attrs=CELLS[0]))
    assert run_cells(place) == list(range(1, 12))


def test_a_waiting_cell_that_another_has_taken_meanwhile(place, monkeypatch):
    """Of two that ask for the last one, the second gets none."""
    run_cells(place, at_most=11)
    study, others = SharedStudy(place, CELLS, DIRECTIONS), []
    ask = study._study.ask

    def ask_late():
        others.extend(run_cells(place))
        monkeypatch.setattr(study._study, "ask", ask)
        return ask()

    monkeypatch.setattr(study._study, "ask", ask_late)
    assert study.run_next(values_of) is False
    assert others == [11]


def test_the_cell_of_a_worker_without_heartbeats_runs_again(place):
    """What this worker says after it was given up is not heard."""
    study, others = SharedStudy(place, CELLS, DIRECTIONS), []

    def stop_beating(_):
        engine = sqlalchemy.create_engine(place.url)
        with engine.begin() as connection:
            connection.execute(sqlalchemy.text("UPDATE trial_heartbeats SET heartbeat = '2020-01-01'"))
        engine.dispose()
        others.extend(run_cells(place))
        return [7.0, 7.0]

    assert study.run_next(stop_beating)
    assert sorted(others) == list(range(12))
    assert values(place) == [values_of(cell) for cell in CELLS]


def test_a_worker_with_heartbeats_is_left_alone(place):
    study, others = SharedStudy(place, CELLS, DIRECTIONS), []

    def run_beside(cell):
        others.extend(run_cells(place))
        return values_of(cell)

    assert study.run_next(run_beside)
    assert others == list(range(1, 12))


def test_a_cell_that_fails_runs_again_at_once(place):
    def fail(cell):
        raise RuntimeError(f"cell {cell['seed']}")

    with pytest.raises(RuntimeError, match="cell 0"):
        SharedStudy(place, CELLS, DIRECTIONS).run_next(fail)
    assert sorted(run_cells(place)) == list(range(12))


def loss_of(parameters):
    return search_worker.loss_of(parameters)


@pytest.mark.parametrize("url", ["PostgreSQL"], indirect=True)  # SQLite locks out others
def test_a_search_of_two_processes_has_as_many_trials_as_asked_for(place):
    space = search_space(search_worker.SPACE)
    open_trials = partial(SearchTrials, place, space, "validation_loss", 9, 0)
    run_in_processes(open_trials, loss_of, jobs=2)
    finished = open_trials().finished()
    assert len(finished) == 9
    assert len({trial.params["learning_rate"] for trial in finished}) == 9


def test_a_trial_beyond_those_asked_for_is_given_up(place, monkeypatch):
    space = search_space(search_worker.SPACE)
    trials = SearchTrials(place, space, "validation_loss", 1, 0)
    started = trials._started
    monkeypatch.setattr(trials, "_started", list)

    def run_another(parameters):
        monkeypatch.setattr(trials, "_started", started)
        assert not trials.run_next(loss_of)
        return loss_of(parameters)

    assert trials.run_next(run_another)
    assert len(trials.finished()) == 1


def test_tables_that_another_worker_was_making(place, monkeypatch):
    make, failures = places.RDBStorage, [IntegrityError("", {}, ValueError("duplicate key"))]

    def make_late(*arguments, **options):
        if failures:
            raise failures.pop()
        return make(*arguments, **options)

    monkeypatch.setattr(places, "RDBStorage", make_late)
    assert run_cells(place, at_most=1) == [0]


def test_machines_with_other_images_are_refused(tmp_path):
    def options(machine, shade):
        root = tmp_path / machine
        for name, number in product(("a", "b"), range(4)):
            (root / name).mkdir(parents=True, exist_ok=True)
            Image.new("L", (8, 8), shade + number + 9 * (name == "b")).save(
                root / name / f"{number}.png"
            )
        training = replace(TRAINING, data=DataOptions("folder", root))
        folder = tmp_path / "studies" / "mine"
        url = f"sqlite:///{tmp_path / 'study.db'}"
        return ComparisonOptions(training, folder=folder, storage=url, jobs=1)

    place_of(options("one", 10))
    place_of(options("two", 10))
    with pytest.raises(ValueError, match=r"`storage` must hold a study .* but has images "):
        place_of(options("three", 100))


def test_two_machines_compare_in_a_database(url, request, tmp_path, capfd):
    """The folders have the same name, on two machines."""
    folders = [tmp_path / machine / request.node.name for machine in ("one", "two")]
    for folder in folders:
        assert main([*COMMAND, "--folder", str(folder), "--storage", url]) == 0
    assert capfd.readouterr().err == ""
    first, second = (read_rows(folder / "runs.csv") for folder in folders)
    assert first == second
    assert (folders[0] / "trainings").exists()
    assert not (folders[1] / "trainings").exists()
    kept = [file.read_bytes() for folder in folders for file in folder.rglob("*") if file.is_file()]
    assert not any(b"secret" in content for content in kept)


def test_a_study_of_other_options_is_refused(url, request, tmp_path, capfd):
    folder = tmp_path / "one" / request.node.name
    command = [*COMMAND, "--storage", url, "--folder"]
    assert main([*command, str(folder)]) == 0
    capfd.readouterr()
    other = tmp_path / "two" / folder.name
    message = f"`storage` must hold a study of the same options by the name of {folder.name}, or none, "
    error = assert_refused([*command, str(other), "--model.T", "3"], message, capfd)
    assert "but has model.T 2, not 3." in error
    assert not other.exists()


@pytest.mark.parametrize(("jobs", "but"), [("null", "is not given"), ("2", "is 2")])
def test_sqlite_is_for_one_process(jobs, but, tmp_path, capfd):
    """Others would find it locked in the middle of their work."""
    place = ["--folder", str(tmp_path / "study"), "--storage", f"sqlite:///{tmp_path / 'study.db'}"]
    assert_refused([*COMMAND, "--jobs", jobs, *place], f"use, but {but}.", capfd)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("a database", "must be the URL of a database that Optuna can use, such as postgresql+psycopg"),
        ("postgresql+nothing://me:secret@here/study", "is postgresql+nothing://me:***@here/study: "),
        ("postgresql+psycopg://me:secret@127.0.0.1:1/study", "me:***@127.0.0.1:1/study: "),
        ("sqlite://", "must be the URL of a database that lasts, but is sqlite://, in memory alone."),
        ("sqlite:///:memory:", "in memory alone."),
        ("sqlite:////no/such/folder/study.db", "unable to open database file"),
    ],
)
def test_a_database_that_cannot_be_used_is_one_line(url, reason, tmp_path, capfd):
    pytest.importorskip("psycopg")
    folder = tmp_path / "study"
    error = assert_refused([*COMMAND, "--folder", str(folder), "--storage", url], reason, capfd)
    assert "secret" not in error
    assert not folder.exists()
