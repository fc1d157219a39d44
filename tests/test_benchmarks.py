"""The parts of the benchmarks that only compute: fits, tables, and the check for what became slower."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import growth
import pytest
import report
import results
import slower

from sqdr.experiment.presets import preset

SIZES = {
    "n_wires": 9,
    "n_blocks": 2,
    "batch": 16,
    "noisy": False,
    "dtype": "float32",
    "entanglement": "linear",
    "device": "cpu",
}


def engine(name, median=None, cannot=None, **sizes):
    """What the JSON keeps of an engine."""
    sizes = SIZES | sizes
    case = f"n={sizes['n_wires']} L={sizes['n_blocks']}"
    return {
        "name": name,
        "case": case,
        "median": median,
        "min": median,
        "cannot": cannot,
        "sizes": sizes,
        "first_seconds": 1.5,
    }


def report_of(*comparisons, group="circuit"):
    """JSON as pytest-benchmark writes it, of pairs of engines."""
    return {
        "datetime": "2026-01-02T03:04:05",
        "machine_info": {"machine": "x86_64", "cpu": {"brand_raw": "Some CPU", "count": 4}},
        "benchmarks": [
            {
                "name": f"{subject['name']} against {peer['name']}",
                "group": group,
                "stats": {"median": subject["median"], "min": subject["median"]},
                "extra_info": {
                    "subject": subject,
                    "peer": peer,
                    "device": "cpu",
                    "versions": {"sqdr": "1.2.3"},
                },
            }
            for subject, peer in comparisons
        ],
    }


def test_exponent():
    assert growth.exponent([10, 20, 80], [3.0, 12.0, 192.0]) == pytest.approx(2)


def test_factor():
    assert growth.factor([3, 4, 6], [1.0, 2.0, 8.0]) == pytest.approx(2)


@pytest.mark.parametrize(
    ("name", "sizes", "expected"),
    [
        ("native", {"n_wires": 100}, 16 * 100 * 32),
        ("native-compiled", {"n_wires": 100, "n_blocks": 4}, 16 * 100 * (256 + 4096)),
        ("native", {"n_wires": 2, "n_blocks": 4}, 16 * 2 * 4 * 8 * 4),  # dense is cheaper
        ("torchquantum", {}, 16 * 9 * 2 * 2**9),
        ("torchquantum", {"noisy": True}, 16 * 9 * 2 * 4**9),
        ("tensorcircuit-ng", {"noisy": True}, None),
    ],
)
def test_multiply_adds(name, sizes, expected):
    assert growth.multiply_adds(name, SIZES | sizes) == expected


def test_series_are_what_differs_in_one_size():
    times = [("native", SIZES | {"n_wires": n}, float(n)) for n in (30, 3, 10)]
    times += [("native", SIZES | {"n_wires": 3}, 5.0), ("native", SIZES | {"batch": 2}, 1.0)]
    (one,) = growth.series(times)
    assert (one["engine"], one["grows"]) == ("native", "n_wires")
    assert list(one["points"].items()) == [(3, 4.0), (10, 10.0), (30, 30.0)]
    assert one["fixed"] == {name: value for name, value in SIZES.items() if name != "n_wires"}


def test_fit_takes_the_largest_sizes():
    times = [("native", SIZES | {"n_wires": n}, max(n, 20) / 7) for n in (2, 20, 200, 2000)]
    (one,) = growth.series(times)
    fit = growth.fit(one)
    assert (fit["kind"], fit["sizes"]) == ("exponent", [20, 200, 2000])
    assert [fit["fitted"], fit["predicted"]] == pytest.approx([1, 1])


def test_statevectors_grow_by_a_factor():
    times = [("torchquantum", SIZES | {"n_wires": n}, n * 2.0**n) for n in (9, 12, 14)]
    (one,) = growth.series(times)
    fit = growth.fit(one)
    assert fit["kind"] == "factor"
    assert fit["fitted"] == pytest.approx(fit["predicted"])
    assert 2 < fit["fitted"] < 2.3


def test_table_has_the_ratio_and_what_a_peer_cannot_do():
    text = report.tables(
        [
            report_of(
                (engine("native", 0.002), engine("deepquantum", 3.0)),
                (engine("native", 0.002), engine("torq-quantum", cannot="has no a|b")),
            )
        ]
    )
    assert "| native | n=9 L=2 | 2 ms | deepquantum | 3 s | 1,500 |" in text
    assert "| native | n=9 L=2 | 2 ms | torq-quantum | cannot: has no a\\|b |  |" in text
    assert "Some CPU, 4 cores; 2026-01-02; sqdr 1.2.3." in text
    assert "## Memory" not in text


@pytest.mark.parametrize(
    ("group", "peer", "expected"),
    [
        ("circuit", "torchquantum", ["native", "torchquantum"]),
        ("growth", "torchquantum", ["torchquantum"]),
        ("growth", "nn.Linear", ["native"]),
        ("grid", "torchquantum", []),
    ],
)
def test_growth_is_of_what_was_timed_for_it(group, peer, expected):
    timed = report_of((engine("native", 0.002), engine(peer, 3.0)), group=group)
    assert [name for name, _, _ in report.times_of(report.rows_of([timed]))] == expected


@pytest.mark.parametrize(
    ("value", "text"), [(0.24, "0.24"), (4.25, "4.2"), (59.4, "59"), (35441.2, "35,441")]
)
def test_ratio(value, text):
    assert report.ratio(value) == text


def test_picture_has_a_line_for_each_engine_and_panel():
    times = [
        (name, SIZES | {"n_wires": n, "noisy": noisy}, 0.001 * n)
        for name, noisy in (("native", False), ("native", True), ("torchquantum", True))
        for n in (2, 4, 8)
    ]
    times += [("jax-scan", SIZES | {"n_blocks": blocks}, 0.003 * blocks) for blocks in (2, 4, 8)]
    figure = report.time_of_a_step(times)
    without, _, blocks = figure.axes
    assert [len(axes.lines) for axes in figure.axes] == [1, 2, 1]
    assert list(blocks.lines[0].get_ydata()) == pytest.approx([6, 12, 24])
    assert list(without.lines[0].get_ydata()) == pytest.approx([2, 4, 8])
    assert (without.get_xscale(), without.get_yscale()) == ("log", "log")


@pytest.mark.parametrize(
    ("own", "peers", "is_slower"),
    [
        (2.0, 1.0, True),
        (2.0, 2.0, False),  # the whole machine is slower
        (1.0, 0.5, False),  # the peer became faster
        (1.2, 1.0, False),
    ],
)
def test_slower_is_by_the_clock_and_against_the_peer(own, peers, is_slower):
    old = report_of((engine("native", 0.001), engine("torchquantum", 0.05)))
    new = report_of((engine("native", 0.001 * own), engine("torchquantum", 0.05 * peers)))
    lines = slower.slowdowns(old, new, 1.3)
    assert [line.startswith("native against torchquantum: 1 ms -> 2 ms") for line in lines] == (
        [True] if is_slower else []
    )


def run_slower(monkeypatch, tmp_path, new, *options):
    old = report_of((engine("native", 0.001), engine("torchquantum", 0.05)))
    for name, content in (("old.json", old), ("new.json", new)):
        (tmp_path / name).write_text(json.dumps(content))
    files = [str(tmp_path / "old.json"), str(tmp_path / "new.json")]
    monkeypatch.setattr(sys, "argv", ["slower.py", *files, *options])
    with pytest.raises(SystemExit) as raised:
        slower.main()
    return raised.value.code


@pytest.mark.parametrize(("ratio", "code"), [("1.3", 1), ("2.5", 0)])
def test_slower_exits_with_1_if_anything_is(ratio, code, monkeypatch, tmp_path, capsys):
    new = report_of((engine("native", 0.002), engine("torchquantum", 0.05)))
    assert run_slower(monkeypatch, tmp_path, new, "--ratio", ratio) == code
    assert f"{code} of 1 became slower." in capsys.readouterr().out


def test_slower_refuses_files_without_a_common_comparison(monkeypatch, tmp_path, capsys):
    new = report_of((engine("native", 0.002), engine("torq-quantum", cannot="has no noise")))
    assert run_slower(monkeypatch, tmp_path, new) == 2
    assert "no comparison in common" in capsys.readouterr().err


@pytest.mark.parametrize("before", ["", "an older table\n"])
def test_a_part_of_the_page_is_written_between_its_marks(before):
    page = f"text\n<!-- mnist -->\n{before}<!-- end of mnist -->\nmore\n"
    written = "text\n<!-- mnist -->\n\na table\n\n<!-- end of mnist -->\nmore\n"
    assert results.written_into(page, "mnist", "a table") == written


@pytest.mark.parametrize("part", results.DATA_SETS)
def test_the_page_of_results_has_the_marks_of_each_part(part):
    page = results.PAGE.read_text(encoding="utf-8")
    assert "\nx\n" in results.written_into(page, part, "x")


def test_a_page_without_marks_is_refused():
    with pytest.raises(ValueError, match="must have the marks of 'mnist'"):
        results.written_into("text", "mnist", "x")


def test_the_variants_of_the_results_differ_in_their_models_alone():
    variants = results.variants_of(preset("mnist").data)
    runs = [run for name, run in variants.items() if name != "published"]
    assert len({repr(run.model) for run in runs}) == len(runs) == 6
    assert {repr(replace(run, model=runs[0].model)) for run in runs} == {repr(runs[0])}


def test_the_data_sets_of_the_results_take_turns():
    order = [(variant.data, variant.name) for variant in results.in_order(Path())]
    assert order[:2] == [("mnist", "quantum"), ("fashion-mnist", "quantum")]
    assert len(order) == len(set(order)) == 14


QUANTUM, NOISY, *_ = (variant for variant in results.in_order(Path()) if variant.data == "mnist")


def rows_of(*accuracies):
    made = {"parameters": 1234, "synops": 51_400, "made_with": "sqdr on a machine"}
    return [{"seed": seed, "accuracy": accuracy, **made} for seed, accuracy in enumerate(accuracies)]


def test_rows_of_results_are_kept_until_they_are_trained_otherwise(tmp_path):
    rows = results.Rows(tmp_path / "results.csv")
    rows.add(QUANTUM, rows_of(0.98))
    rows.add(NOISY, rows_of(0.9))
    rows.add(QUANTUM, [rows_of(0.98, 0.99)[1]])
    again = results.Rows(tmp_path / "results.csv")
    assert [row["accuracy"] for row in again.of(QUANTUM).values()] == ["0.98", "0.99"]
    longer = QUANTUM._replace(training=replace(QUANTUM.training, epochs=100))
    assert again.of(longer) == {}
    again.add(longer, rows_of(0.97))
    last = results.Rows(tmp_path / "results.csv")
    assert last.of(QUANTUM) == {}
    assert [list(last.of(variant)) for variant in (longer, NOISY)] == [[0], [0]]


def test_where_the_images_are_does_not_matter():
    elsewhere = replace(
        QUANTUM.training, data=replace(QUANTUM.training.data, root=Path("there")), seed=5
    )
    assert QUANTUM._replace(training=elsewhere).configuration == QUANTUM.configuration
    assert NOISY.configuration != QUANTUM.configuration


def test_table_of_results(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "minutes_of_training", lambda _: 20.4)
    rows = results.Rows(tmp_path / "results.csv")
    assert results.table([QUANTUM, NOISY], rows, [0, 1]).startswith("Not trained yet")
    rows.add(QUANTUM, rows_of(0.98, 0.99))
    table = results.table([QUANTUM, NOISY], rows, [0, 1])
    assert "| quantum | 1,234 | 98.50 ± 0.71 |  |  |  | 20 | 51 |\n" in table
    assert "Seeds 0, 1. Made with sqdr on a machine." in table
    assert table.endswith("of those that there are: quantum, with noise none.")
    rows.add(NOISY, rows_of(0.9))
    table = results.table([QUANTUM, NOISY], rows, [0, 1])
    assert table.endswith("of those that there are: quantum, with noise 90.00.")
    rows.add(NOISY, rows_of(0.9, 0.93))
    table = results.table([QUANTUM, NOISY], rows, [0, 1])
    assert "| quantum, with noise | 1,234 | 91.50 ± 2.12 |  | -7.00 |  | 20 | 51 |\n" in table
