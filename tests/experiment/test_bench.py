"""`sqdr bench`, as a user calls it."""

import re

import pytest
import torch
from commands import assert_refused

from sqdr.experiment.bench import time_backends
from sqdr.experiment.cli import main
from sqdr.experiment.options import BenchOptions, NoiseOptions

PLUGINS = """
import os
import sqdr


class Slightly(sqdr.ReuploadCircuit):
    def expectation_values(self, angles, weights):
        return 0.99 * self.to_backend("native").expectation_values(angles, weights)


class Raising(sqdr.ReuploadCircuit):
    def expectation_values(self, angles, weights):
        raise RuntimeError("The simulator is out of order\\nin line 7")


class Dying(sqdr.ReuploadCircuit):
    def expectation_values(self, angles, weights):
        os._exit(7)
"""


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    """Backends of another distribution: wrong, raising and dying."""
    (tmp_path / "faulty.py").write_text(PLUGINS)
    information = tmp_path / "faulty-1.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Name: faulty\nVersion: 1\n")
    (information / "entry_points.txt").write_text(
        "[sqdr.backends]\nslightly = faulty:Slightly\nraising = faulty:Raising\ndying = faulty:Dying\n"
    )
    monkeypatch.syspath_prepend(tmp_path)


def test_the_table_has_each_backend_and_the_fastest_is_named(capfd):
    noise = ["--noise.after_rotation", "{BitFlip: 0.1}"]
    member = ["--encoding", "XY", "--scaling", "true", "--observables", "[Z0, X1]"]
    assert (
        main(["bench", "--n_wires", "4", "--backends", "[torchquantum, native]", *noise, *member]) == 0
    )
    output = capfd.readouterr()
    assert output.err == ""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in output.out.splitlines()]
    rows = {row[0]: row[1:] for row in rows if len(row) == 5 and not row[0].startswith("-")}
    assert list(rows) == ["backend", "torchquantum", "native"]
    milliseconds, times, first, threads = (float(cell) for cell in rows["torchquantum"][:4])
    assert float(rows["native"][1]) == 1
    assert times == pytest.approx(milliseconds / float(rows["native"][0]), rel=0.01)
    assert first > 0
    assert threads in (1, torch.get_num_threads())
    assert 'The fastest here: backend="native", or --model.backend native' in output.out


@pytest.mark.usefixtures("plugins")
def test_what_does_not_work_is_listed_with_the_reason():
    names = "slightly", "raising", "dying", "native"
    rows = {
        row.backend: row for row in time_backends(BenchOptions(n_wires=2, batch_size=2, backends=names))
    }
    assert [row.step is None for row in rows.values()] == [True, True, True, False]
    assert re.fullmatch(r"differs from the exact result by 0\.00\d+", rows["slightly"].reason)
    assert rows["raising"].reason == "RuntimeError: The simulator is out of order"
    assert rows["dying"].reason == "its process ended with exit code 7"


@pytest.mark.usefixtures("plugins")
def test_a_backend_without_noise_says_so():
    noise = NoiseOptions(after_rotation={"BitFlip": 0.1})
    (row,) = time_backends(BenchOptions(noise=noise, backends=["raising"]))
    assert row.step is None
    assert row.reason.startswith("Argument `noise` must be None for a Raising, but is ")


def test_the_time_limit_ends_a_backend(capfd):
    assert main(["bench", "--backends", "[pennylane]", "--time_limit", "0.01"]) == 1
    assert "takes more than 0.01 s" in capfd.readouterr().out


def test_drawn_noise_is_timed_without_a_comparison():
    options = BenchOptions(n_wires=2, noise=NoiseOptions(preset="author-code"), backends=["native"])
    (row,) = time_backends(options)
    assert row.step is not None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--backends", "[abacus]"],
            "Argument `backends` must be among native, pennylane, ",
        ),
        (["--n_wires", "0"], "Argument `n_wires` must be an integer of at least 1"),
        (["--n_blocks", "0"], "Argument `n_blocks` must be an integer of at least 1"),
        (["--batch_size", "0"], "Argument `batch_size` must be an integer of at least 1"),
        (["--time_limit", "-1"], "Argument `time_limit` must be a finite number in [0, inf]"),
        (["--noise.after_rotation", "{BitFlip: 2}"], "Argument `BitFlip.p` must be"),
        (
            ["--noise.readout_error", "[0.1, 0.2]"],
            "Argument `readout_error` must have one value",
        ),
    ],
)
def test_a_wrong_call_is_one_line(options, message, capfd):
    assert_refused(["bench", *options], message, capfd)
