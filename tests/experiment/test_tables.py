"""Tables as they are printed."""

import sys

import pytest

from sqdr.experiment.tables import print_table

NOISE = "BitFlip 0.02, Depolarizing 0.03, AmplitudeDamping 0.1 after rotations; readout error 0.01"
COLUMNS = ["images", "accuracy (%)", "cross entropy", "time (s)", "error of values"]
ROW = ("torchquantum", NOISE, "10000", "98.89", "0.0412", "123.45", "0.0301")


@pytest.fixture
def printed(monkeypatch, capsys):
    def printed(is_terminal, n_numbers=5):
        monkeypatch.setenv("COLUMNS", "80")
        monkeypatch.setenv("TERM", "dumb")  # without bold letters
        monkeypatch.setattr(sys.stdout, "isatty", lambda: is_terminal)
        print_table(("backend", "noise"), COLUMNS[:n_numbers], iter([ROW[: 2 + n_numbers]]))
        return [line.rstrip() for line in capsys.readouterr().out.splitlines() if line.strip()]

    return printed


def test_on_a_terminal_of_80_columns_nothing_is_cut_but_lines(printed):
    lines = printed(is_terminal=True)
    assert max(map(len, lines)) <= 80
    whole = {word for cell in (*COLUMNS, *ROW[2:]) for word in cell.split()}
    assert whole <= set(" ".join(lines).split())
    assert "…" not in "".join(lines)


def test_where_there_is_room_no_word_is_broken(printed):
    lines = printed(is_terminal=True, n_numbers=3)
    assert {"AmplitudeDamping", "Depolarizing", "torchquantum"} <= set(" ".join(lines).split())


def test_elsewhere_it_is_markdown(printed):
    heading, rule, row = printed(is_terminal=False)
    assert [cell.strip() for cell in heading.strip("|").split("|")] == ["backend", "noise", *COLUMNS]
    assert set(rule) == set("|-")
    assert [cell.strip() for cell in row.strip("|").split("|")] == list(ROW)
