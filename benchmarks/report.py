"""Markdown tables and a picture from JSON: python report.py FILE... [--into FOLDER].

Prints the tables, or writes them as RESULTS.md and the picture as time-of-a-step.png into a folder.
"""

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import growth
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from sqdr.experiment.tables import markdown

PICTURE = "time-of-a-step.png"
NATIVE, LINEAR = "native", "nn.Linear"
#: Engine -> colour and marker, of the palettes of Okabe and Ito and of Tol.
LOOKS = {
    "native": ("#000000", "o"),
    "native-compiled": ("#777777", "s"),
    "torchquantum": ("#0072B2", "^"),
    "pennylane": ("#D55E00", "v"),
    "published-pennylane": ("#CC79A7", "X"),
    "tensorcircuit-ng": ("#009E73", "D"),
    "pennylane-jax": ("#E69F00", "P"),
    "torq-quantum": ("#56B4E9", "*"),
    "deepquantum": ("#882255", "p"),
    "pyqtorch": ("#999933", "h"),
    "jax-scan": ("#AA4499", "<"),
}
_WIRES = (2, 4, 9, 16, 30, 100, 300, 1000)
#: Title of a panel -> what grows along it, what is fixed, and its ticks; all of 16 samples.
PANELS: dict[str, tuple[str, dict[str, Any], tuple[int, ...]]] = {
    "2 blocks, without noise": ("n_wires", {"n_blocks": 2, "noisy": False}, _WIRES),
    "2 blocks, with noise": ("n_wires", {"n_blocks": 2, "noisy": True}, _WIRES),
    "9 wires, without noise": ("n_blocks", {"n_wires": 9, "noisy": False}, (2, 4, 8, 16, 32)),
}
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description="Tables and a picture of the benchmarks.")
    parser.add_argument("files", type=Path, nargs="+", help="JSON that pytest-benchmark wrote")
    parser.add_argument("--into", type=Path, help="folder to write into, instead of printing")
    arguments = parser.parse_args()
    reports = [json.loads(path.read_text()) for path in arguments.files]
    if arguments.into is None:
        print(tables(reports))
        return
    (arguments.into / "RESULTS.md").write_text(tables(reports, picture=PICTURE))
    time_of_a_step(times_of(rows_of(reports))).savefig(arguments.into / PICTURE)


def tables(reports: Sequence[dict[str, Any]], picture: str | None = None) -> str:
    """The whole of RESULTS.md; sections without a measurement are left out."""
    rows = rows_of(reports)
    times = times_of(rows)
    of_sqdr, of_peers = [], []
    for row in rows:
        if row["group"] == "circuit":
            is_own = row["peer"]["name"] in (*_own(), LINEAR)
            (of_sqdr if is_own else of_peers).append(row)
    sections = {
        "Time against wires and blocks": f"![time of a step against wires and blocks]({picture})"
        if picture
        else "",
        "sqdr's backends": comparisons(of_sqdr),
        "The published implementation and other simulators": comparisons(of_peers),
        "Seconds from construction to the first gradient": first_gradients(rows),
        "Growth": growths(times),
        "All combinations": grid([row for row in rows if row["group"] == "grid"]),
        "Front end and training step": comparisons(
            [row for row in rows if row["group"] in ("front end", "training step")]
        ),
        "Milliseconds of a training step by kernel, on one thread": kernels(rows),
        "Import and first step": comparisons(
            [row for row in rows if row["group"] in ("import", "first step")]
        ),
        "Memory": memory([row for row in rows if row["group"] == "memory"]),
    }
    parts = ["# Results of the benchmarks", INTRODUCTION, machine(reports)]
    parts += [f"## {title}\n\n{body}" for title, body in sections.items() if body]
    return "\n\n".join(parts) + "\n"


INTRODUCTION = """\
Written by `make bench-full`, and on a GPU by `make bench-cuda`. A step is a forward and a backward
pass, in single precision where nothing else is said, for the same angles and weights. Values and
gradients are compared with the native
engine's in double precision before anything is timed. Two engines take turns, each at its better number
of threads, and a ratio is that of the medians within such a pair. Noisy: bit flip 0.02, depolarizing
0.03 and amplitude damping 0.1 after the rotations of every wire. n: wires, L: blocks.

native, torchquantum and pennylane are sqdr's backends; native-compiled is `compile=True`.
published-pennylane is the published method, one sample at a time on default.qubit or default.mixed, and
published-torchquantum the published layer of TorchQuantum's modules, both rewritten. pennylane-jax and
tensorcircuit-ng run on JAX, jitted with their gradient, and jax-scan is a statevector by hand in
JAX, a scan over the blocks; as for native-compiled, compilation counts for the first gradient alone."""


def rows_of(reports: Iterable[dict[str, Any]]) -> list[Row]:
    """What was timed: group, median and what was kept beside it."""
    return [
        {"group": benchmark["group"], "median": benchmark["stats"]["median"], **benchmark["extra_info"]}
        for report in reports
        for benchmark in report["benchmarks"]
    ]


def times_of(rows: Iterable[Row]) -> list[tuple[str, dict[str, Any], float]]:
    """Engine, sizes and seconds of the circuits that growth is fitted to.

    Of a pair that was timed for growth, that is the engine whose growth it was: not the yardstick, and
    not the native engine beside another one. Both of the pairs that are listed, none of the grid.
    """
    times = []
    for row in rows:
        if row["group"] not in ("growth", "circuit"):
            continue
        pair = row["subject"] | {"median": row["median"]}, row["peer"]
        if row["group"] == "growth":
            pair = pair[:1] if row["peer"]["name"] == LINEAR else pair[1:]
        times += [
            (engine["name"], engine["sizes"], engine["median"])
            for engine in pair
            if engine["median"] and engine["name"] != LINEAR
        ]
    return times


def machine(reports: Sequence[dict[str, Any]]) -> str:
    """Processor, day and versions."""
    infos = [report["machine_info"] for report in reports]
    machines = {
        f"{info['cpu'].get('brand_raw', info['machine'])}, {info['cpu']['count']} cores"
        for info in infos
    }
    extras = [b["extra_info"] for report in reports for b in report["benchmarks"]]
    devices = {extra["device"] for extra in extras} - {"cpu"}
    versions: dict[str, set[str]] = {}
    for extra in extras:
        for name, version in extra["versions"].items():
            versions.setdefault(name, set()).add(version)
    listed = ", ".join(f"{name} {' and '.join(sorted(of))}" for name, of in versions.items())
    day = max(report["datetime"] for report in reports)[:10]
    return f"{'; '.join(sorted(machines | devices))}; {day}; {listed}."


def comparisons(rows: Iterable[Row]) -> str:
    """A table of ratios; what a peer cannot do stands where its time would."""
    body = []
    for row in rows:
        subject, peer = row["subject"], row["peer"]
        against = peer["name"] if peer["case"] == subject["case"] else f"{peer['name']}, {peer['case']}"
        its_time, times = f"cannot: {peer['cannot']}", ""
        if peer["median"]:
            its_time, times = duration(peer["median"]), ratio(peer["median"] / row["median"])
        body.append(
            [subject["name"], subject["case"], duration(row["median"]), against, its_time, times]
        )
    return table(["engine", "case", "median", "against", "its median", "times as fast"], body)


def first_gradients(rows: Iterable[Row]) -> str:
    """Engines against the cases of nine wires, compilation included."""
    cases = ["n=9 L=2 batch=16 noiseless", "n=9 L=2 batch=16 noisy", "n=9 L=4 batch=16 noiseless"]
    seconds: dict[str, dict[str, float]] = {}
    for row in rows:
        for engine in (row.get("subject", {}), row.get("peer", {})):
            if engine.get("first_seconds") and engine["case"] in cases and engine["name"] != LINEAR:
                seconds.setdefault(engine["name"], {}).setdefault(
                    engine["case"], engine["first_seconds"]
                )
    body = [
        [name, *(f"{of[case]:.3g}" if case in of else "" for case in cases)]
        for name, of in seconds.items()
    ]
    return table(["engine", *cases], body)


def growths(times: list[tuple[str, dict[str, Any], float]]) -> str:
    """Fits beside predictions."""
    body = []
    for one in growth.series(times):
        fit, fixed = growth.fit(one), one["fixed"]
        letters = {"n_wires": "n", "n_blocks": "L", "batch": "batch"}
        words = [f"{letters[name]}={fixed[name]}" for name in letters if name in fixed]
        words.append("noisy" if fixed["noisy"] else "noiseless")
        words += [fixed["dtype"]] * (fixed["dtype"] != "float32")
        grows = growth.SIZES[one["grows"]]
        unit = (
            f"times for each of the {grows}" if fit["kind"] == "factor" else f"{grows} to the power of"
        )
        sizes = ", ".join(map(str, fit["sizes"]))
        predicted = "" if fit["predicted"] is None else f"{fit['predicted']:.2f}"
        body.append([one["engine"], " ".join(words), unit, sizes, f"{fit['fitted']:.2f}", predicted])
    note = (
        "Least squares on the logarithms of the three largest sizes, of the times and of the\n"
        "multiply-adds that the method predicts. Below the prediction, fixed costs of a call still\n"
        "matter.\n\n"
    )
    header = ["engine", "case", "growth", "over", "fitted", "predicted"]
    return note + table(header, body) if body else ""


def grid(rows: Iterable[Row]) -> str:
    """Cases against backends: the native median, and how many times as fast it is."""
    cells: dict[str, dict[str, str]] = {}
    for row in rows:
        peer = row["peer"]
        cell = cells.setdefault(peer["case"], {NATIVE: duration(row["median"])})
        cell[peer["name"]] = ratio(peer["median"] / row["median"]) if peer["median"] else "cannot"
    names = list(dict.fromkeys(name for cell in cells.values() for name in cell if name != NATIVE))
    body = [
        [case, cell[NATIVE], *(cell.get(name, "") for name in names)] for case, cell in cells.items()
    ]
    return table(["case", "native", *(f"times as fast as {name}" for name in names)], body)


def kernels(rows: Iterable[Row]) -> str:
    """A row for each kernel, a column for each network and size."""
    columns = {f"{row['network']}, {row['size']}": row["kernels"] for row in rows if "kernels" in row}
    names = dict.fromkeys(name for column in columns.values() for name in column)
    body = [[name, *(f"{1e3 * of[name]:.1f}" for of in columns.values())] for name in names]
    return table(["kernel", *columns], body)


def memory(rows: Iterable[Row]) -> str:
    """What a step takes beyond a step of two wires, and what is kept of it for the backward pass."""
    body = [
        [
            row["engine"],
            row["case"],
            mebibytes(row["peak"]["after"] - row["peak"]["before"]),
            mebibytes(row["kept_bytes"]) if "kept_bytes" in row else "",
        ]
        for row in rows
    ]
    header = ["engine", "case", "peak of a fresh process, beyond n=2 batch=2 (MiB)"]
    return table([*header, "kept for the backward pass (MiB)"], body)


def time_of_a_step(times: list[tuple[str, dict[str, Any], float]]) -> Figure:
    """Milliseconds of a step against wires and against blocks, as `PANELS` says."""
    figure = Figure(figsize=(12.5, 4.8), dpi=150, layout="constrained")
    drawn = {}
    all_axes = figure.subplots(1, len(PANELS), sharey=True)
    for axes, (title, (grows, sizes, ticks)) in zip(all_axes, PANELS.items(), strict=True):
        usual = {"batch": 16, "dtype": "float32", "entanglement": "linear", **sizes}
        for one in growth.series(times):
            is_usual = one["grows"] == grows and usual.items() <= one["fixed"].items()
            if not is_usual or one["engine"] not in LOOKS:
                continue
            colour, marker = LOOKS[one["engine"]]
            milliseconds = [1e3 * seconds for seconds in one["points"].values()]
            (drawn[one["engine"]],) = axes.plot(
                list(one["points"]), milliseconds, color=colour, marker=marker, markersize=5
            )
        axes.set(xscale="log", yscale="log", title=title, xlabel=growth.SIZES[grows])
        axes.set_xlim(0.85 * ticks[0], 1.2 * ticks[-1])
        axes.set_xticks(ticks, map(str, ticks))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.grid(alpha=0.3)
    all_axes[0].set_ylabel("milliseconds")
    figure.suptitle("Forward and backward pass of 16 samples")
    names = [name for name in LOOKS if name in drawn]
    figure.legend([drawn[name] for name in names], names, loc="outside right center", frameon=False)
    return figure


def table(header: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A Markdown table, or nothing if it has no rows."""
    return markdown(header, [], body) if body else ""


def duration(seconds: float) -> str:
    return f"{1e3 * seconds:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def ratio(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def mebibytes(number: float) -> str:
    return f"{number / 2**20:,.1f}"


def _own() -> tuple[str, ...]:
    return (NATIVE, "native-compiled", "torchquantum", "pennylane", "pennylane-lightning")


if __name__ == "__main__":
    main()
