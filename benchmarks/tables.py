"""Prints Markdown tables of ratios from the JSON that pytest-benchmark wrote: python tables.py FILE."""

import json
import sys
from pathlib import Path

JAX = "tensorcircuit-ng, jitted"
LARGE = "n=100 L=2 batch=16 noisy"


def main() -> None:
    report = json.loads(Path(sys.argv[1]).read_text())
    comparisons = [
        (b["extra_info"]["subject"] | {"median": b["stats"]["median"]}, b["extra_info"]["peer"])
        for b in report["benchmarks"]
    ]
    print("# Results of `make bench`\n")
    print("Float32, forward and backward, medians of calls in turns; each engine at its better number")
    print("of threads.\n")
    machine = report["machine_info"]
    print(f"{machine['cpu'].get('brand_raw', machine['machine'])}, {machine['cpu']['count']} cores,")
    print(f"Python {machine['python_version']}, {report['datetime'][:10]}\n")

    print("| engine | case | median | against | its median | times as fast |")
    print("|---|---|---|---|---|---|")
    for subject, peer in comparisons:
        against = peer["name"] if peer["case"] == subject["case"] else f"{peer['name']}, {peer['case']}"
        print(
            f"| {subject['name']} | {subject['case']} | {milliseconds(subject['median'])} | {against} "
            f"| {milliseconds(peer['median'])} | {ratio(peer['median'] / subject['median'])} |"
        )

    print("\nFrom construction to the first gradient, compilation included:\n")
    print("| engine | case | seconds |")
    print("|---|---|---|")
    engines = {(e["name"], e["case"]): e for pair in comparisons for e in pair}
    for (name, case), engine in engines.items():
        if name in ("native, compiled", JAX) or case == LARGE:
            print(f"| {name} | {case} | {engine['first_seconds']:.3g} |")
    ours, theirs = engines["native", LARGE], engines[JAX, "n=9 L=2 batch=16 noisy"]
    times = ratio(theirs["first_seconds"] / ours["first_seconds"])
    print(f"\nNative at n=100 is there {times} times as fast as {JAX}, at n=9.\n")
    large, small = (engines["native", f"n={n} L=2 batch=64 noisy"]["kept_bytes"] for n in (1000, 100))
    print(
        f"Kept for the backward pass at batch 64: {large / 2**20:.1f} MiB at n=1000, "
        f"{small / 2**20:.1f} MiB at n=100, {ratio(large / small)} times as much."
    )


def milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def ratio(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}" if value < 10 else f"{value:.0f}"


if __name__ == "__main__":
    main()
