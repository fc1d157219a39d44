"""Cells shared by processes: none is lost and none runs twice, whoever is killed."""

import multiprocessing
import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import study_worker
import torch
import yaml
from study_worker import DIRECTIONS, cells_of, values_of

import sqdr
from sqdr import compilation
from sqdr.experiment import provenance
from sqdr.experiment.studies.places import StudyFolder
from sqdr.experiment.studies.shared_trials import SharedStudy, claim_folder, finish_cells

CELLS = cells_of(6)
ALL_VALUES = [values_of(cell) for cell in CELLS]


def run_cells(folder, at_most=6):
    """The seeds of the cells that this process has run."""
    study, seeds = SharedStudy(StudyFolder(folder), CELLS, DIRECTIONS), []

    def run_cell(cell):
        seeds.append(cell["seed"])
        return values_of(cell)

    while len(seeds) < at_most and study.run_next(run_cell):
        pass
    return seeds


def values(folder):
    return SharedStudy(StudyFolder(folder), CELLS, DIRECTIONS).values()


@contextmanager
def worker(folder, kind="worker", n_cells=6, stay=-1):
    """A process that is ready to start when it gets a line."""
    script = Path(__file__).with_name("study_worker.py")
    command = [sys.executable, script, kind, folder, str(n_cells), str(stay)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    with subprocess.Popen(command, **pipes, start_new_session=True) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture
def staying(tmp_path):
    """A process that has run cells 0 and 1 and is running cell 2."""
    with worker(tmp_path, stay=2) as process:
        process.stdin.write("start\n")
        assert [process.stdout.readline() for _ in range(3)] == ["0\n", "1\n", "2\n"]
        yield process


def test_every_cell_runs_once_in_order(tmp_path):
    assert values(tmp_path) == [None] * 6
    assert run_cells(tmp_path) == [0, 1, 2, 3, 4, 5]
    assert values(tmp_path) == ALL_VALUES


@pytest.mark.parametrize(
    ("run_cell", "error", "message"),
    [
        (study_worker.run_on_a_full_disk, OSError, "[Errno 28] No space left on device: 'metrics.csv'"),
        (study_worker.run_out_of_memory, MemoryError, "no room for 8 GiB"),
        (study_worker.allocate_too_much, RuntimeError, "DefaultCPUAllocator: can't allocate memory"),
        (
            study_worker.die,
            ChildProcessError,
            "A process ended by signal 9, perhaps for lack of memory.",
        ),
        (study_worker.exit_early, ChildProcessError, "A process ended with exit code 3. The same"),
    ],
)
def test_what_ends_one_process_ends_all_and_is_reported_as_it_is(
    run_cell, error, message, tmp_path, capfd
):
    with pytest.raises(error, match=re.escape(message)):
        finish_cells(StudyFolder(tmp_path), CELLS, DIRECTIONS, run_cell, jobs=2)
    assert multiprocessing.active_children() == []
    assert capfd.readouterr() == ("", "")


def test_finished_cells_stay_finished(tmp_path):
    assert run_cells(tmp_path, at_most=2) == [0, 1]
    assert values(tmp_path) == [*ALL_VALUES[:2], None, None, None, None]
    assert run_cells(tmp_path) == [2, 3, 4, 5]


def test_a_cell_that_runs_elsewhere_is_left_alone(staying, tmp_path):
    assert run_cells(tmp_path) == [3, 4, 5]
    assert values(tmp_path)[2] is None
    rest, _ = staying.communicate("go on\n")
    assert rest == ""
    assert values(tmp_path) == ALL_VALUES


def test_the_cell_of_a_killed_worker_runs_again(staying, tmp_path):
    staying.kill()
    staying.wait()
    assert run_cells(tmp_path) == [3, 4, 5, 2]
    assert values(tmp_path) == ALL_VALUES


def test_workers_that_start_together_divide_the_cells(tmp_path):
    n_cells = (
        60  # so many that queueing them takes longer than the start of one process after the other
    )
    with worker(tmp_path, n_cells=n_cells) as first, worker(tmp_path, n_cells=n_cells) as second:
        for process in (first, second):
            process.stdin.write("start\n")
        printed = [process.communicate()[0] for process in (first, second)]
    assert sorted(map(int, "".join(printed).split())) == list(range(n_cells))


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_command_that_is_ended_ends_its_processes_and_frees_their_cells(how, tmp_path):
    """The command alone is sent a signal, as by a supervisor, and not its processes."""
    with worker(tmp_path, "command") as command:
        command.stdin.write("start\n")
        assert {command.stdout.readline() for _ in range(2)} == {"0\n", "1\n"}
        command.send_signal(how)
        rest, _ = command.communicate(timeout=60)  # the pipe closes when its last process has ended
    assert rest == ""
    assert sorted(run_cells(tmp_path)) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("line", ["[1, 2, {a: b}]", "[]", "3", '{"op_code": 77}', "{}"])
def test_a_journal_that_is_none_is_refused(line, tmp_path):
    run_cells(tmp_path, at_most=1)
    journal = tmp_path / "journal.log"
    journal.write_text(f"{line}\n{journal.read_text()}")
    message = f"^Argument `folder` must hold a whole journal.log or none, but {journal} is damaged"
    with pytest.raises(ValueError, match=message):
        values(tmp_path)


def test_half_a_line_in_the_journal_is_overwritten(tmp_path):
    run_cells(tmp_path, at_most=2)
    with (tmp_path / "journal.log").open("a") as journal:
        journal.write('{"op_code":6,"worker')
    assert run_cells(tmp_path) == [2, 3, 4, 5]
    assert values(tmp_path) == ALL_VALUES


def test_a_cell_that_fails_is_not_finished(tmp_path):
    def fail(cell):
        raise RuntimeError(f"cell {cell['seed']}")

    with pytest.raises(RuntimeError, match="cell 0"):
        SharedStudy(StudyFolder(tmp_path), CELLS, DIRECTIONS).run_next(fail)
    assert sorted(run_cells(tmp_path)) == [0, 1, 2, 3, 4, 5]


def fail_at_three(cell):
    if cell["seed"] == 3:
        raise RuntimeError("as it should")
    return values_of(cell)


def test_processes_finish_the_cells_and_report_an_error(tmp_path):
    with pytest.raises(torch.multiprocessing.ProcessRaisedException, match="as it should"):
        finish_cells(StudyFolder(tmp_path), CELLS, DIRECTIONS, fail_at_three, jobs=1)
    assert values(tmp_path)[:4] == [*ALL_VALUES[:3], None]
    assert finish_cells(StudyFolder(tmp_path), CELLS, DIRECTIONS, values_of, jobs=2) == ALL_VALUES


def test_cells_run_beside_finished_ones_of_others(tmp_path):
    before, after = CELLS[:3], CELLS[3:5]
    finish_cells(StudyFolder(tmp_path), before, DIRECTIONS, values_of, jobs=1)
    found = finish_cells(StudyFolder(tmp_path), after, DIRECTIONS, values_of, jobs=2)
    assert found == [values_of(cell) for cell in after]


@pytest.mark.usefixtures("staying")
def test_nothing_is_returned_while_others_are_at_work(tmp_path):
    run_cells(tmp_path)
    assert finish_cells(StudyFolder(tmp_path), CELLS, DIRECTIONS, values_of, jobs=1) is None


CPU = torch.device("cpu")
CONFIGURATION = {"epochs": 2, "model": {"T": 5, "noise": {}}, "seeds": [0, 1]}


def test_a_folder_is_claimed_once_and_again(tmp_path):
    claim_folder(tmp_path / "new", CONFIGURATION, CPU)
    claim_folder(tmp_path / "new", CONFIGURATION, CPU)
    assert yaml.safe_load((tmp_path / "new" / "config.yaml").read_text()) == CONFIGURATION


def test_a_folder_that_another_version_began_is_noted(tmp_path, capfd, monkeypatch):
    claim_folder(tmp_path, CONFIGURATION, CPU)
    file = tmp_path / "made_with.yaml"
    made_with = yaml.safe_load(file.read_text())
    assert made_with == {
        "sqdr": sqdr.__version__,
        "torch": torch.__version__,
        "Python": sys.version.split()[0],
        "threads": 1,
        "device": "cpu",
        "kernels": compilation.compiler(),
    }
    monkeypatch.setattr(provenance, "__version__", "9.8.7")
    claim_folder(tmp_path, CONFIGURATION, torch.device("meta"))
    kernels = made_with["kernels"]
    note = (
        f"{tmp_path} was begun with sqdr {made_with['sqdr']}, device cpu, kernels {kernels}, "
        "not sqdr 9.8.7, device meta"
    )
    assert capfd.readouterr() == ("", f"sqdr: note: {note}\n")
    assert yaml.safe_load(file.read_text()) == made_with


@pytest.mark.parametrize("kernels", ["none", "Numba 0.0.1"])
def test_a_folder_that_other_kernels_began_is_noted(tmp_path, capfd, monkeypatch, kernels):
    here = compilation.compiler()
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(compilation, "compiler", lambda: kernels)
        claim_folder(tmp_path, CONFIGURATION, CPU)
    claim_folder(tmp_path, CONFIGURATION, CPU)
    note = f"{tmp_path} was begun with kernels {kernels}, not kernels {here}"
    assert capfd.readouterr().err == f"sqdr: note: {note}\n"


def test_a_folder_from_before_kernels_is_not_noted(tmp_path, capfd):
    claim_folder(tmp_path, CONFIGURATION, CPU)
    file = tmp_path / "made_with.yaml"
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(line for line in lines if not line.startswith("kernels")))
    claim_folder(tmp_path, CONFIGURATION, CPU)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"epochs": 3}, "has epochs 2, not 3"),
        ({"model": {"T": 6, "noise": {}}}, "has model.T 5, not 6"),
        ({"model": {"T": 5, "noise": {}, "width": 1}}, "has model.width None, not 1"),
        ({"seeds": [1, 0]}, "has seeds [0, 1], not [1, 0]"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_folder_of_other_options_is_refused(other, message, tmp_path):
    claim_folder(tmp_path, CONFIGURATION, CPU)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match="Argument `folder` must be a new or empty folder") as refused:
        claim_folder(tmp_path, CONFIGURATION | other, CPU)
    assert str(refused.value).endswith(f"but {tmp_path} {message}.")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_folder_of_something_else_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(ValueError, match=r"holds thesis\.tex"):
        claim_folder(tmp_path, CONFIGURATION, CPU)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="is no folder"):
        claim_folder(tmp_path / "file", CONFIGURATION, CPU)
