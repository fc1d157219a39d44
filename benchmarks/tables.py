"""Prints Markdown tables of ratios from the JSON that pytest-benchmark wrote: python tables.py FILE."""

import json
import sys
from collections import defaultdict
from pathlib import Path

TWO, NOISY_TWO = "n=9 L=2 batch=16 noiseless", "n=9 L=2 batch=16 noisy"
THREE, FOUR, NOISY_FOUR = (
    "n=9 L=3 batch=16 noisy",
    "n=9 L=4 batch=16 noiseless",
    "n=9 L=4 batch=16 noisy",
)
NATIVE, COMPILED, JAX = "native", "native, compiled", "tensorcircuit-ng, jitted"

#: (what is timed, what it is compared with): each an engine and a case.
SPEED_UPS = [
    ((NATIVE, NOISY_TWO), ("pennylane", NOISY_TWO)),
    ((NATIVE, NOISY_TWO), ("published method", NOISY_TWO)),
    ((NATIVE, NOISY_TWO), (JAX, NOISY_TWO)),
    ((COMPILED, NOISY_TWO), (JAX, NOISY_TWO)),
    ((COMPILED, THREE), (JAX, THREE)),
    ((NATIVE, TWO), ("torchquantum", TWO)),
    ((COMPILED, TWO), ("torchquantum", TWO)),
    ((NATIVE, TWO), ("pennylane", TWO)),
    ((COMPILED, TWO), ("pennylane", TWO)),
    ((NATIVE, NOISY_TWO), (JAX, TWO)),
    ((COMPILED, NOISY_TWO), (JAX, TWO)),
    ((COMPILED, NOISY_FOUR), (JAX, FOUR)),
    ((NATIVE, NOISY_FOUR), ("torchquantum", FOUR)),
    ((NATIVE, NOISY_TWO), ("nn.Linear", TWO)),
    ((COMPILED, NOISY_TWO), ("nn.Linear", TWO)),
    ((NATIVE, "n=100 L=2 batch=64 noisy"), (NATIVE, "n=1000 L=2 batch=64 noisy")),
    ((NATIVE, "n=1000 L=4 batch=16 noisy"), ("nn.Linear", TWO)),
    *[
        (("SQDR_CNN, noisy", size), (network, size))
        for size in ("width 4, 16x16", "width 1, 32x32")
        for network in ("nn.Linear for the circuit", "SpikingJelly's layers")
    ],
]
BACKENDS = [NATIVE, COMPILED, "torchquantum", "pennylane", "pennylane lightning.qubit", JAX]


def main() -> None:
    report = json.loads(Path(sys.argv[1]).read_text())
    print("# Results of `make bench`\n")
    print("Float32, forward and backward, medians; each engine at its better number of threads.\n")
    machine = report["machine_info"]
    print(f"{machine['cpu'].get('brand_raw', machine['machine'])}, {machine['cpu']['count']} cores,")
    print(f"Python {machine['python_version']}, {report['datetime'][:10]}\n")
    seconds, first_seconds = best_times(report["benchmarks"])

    print("| engine | case | median | against | its median | times as fast |")
    print("|---|---|---|---|---|---|")
    for (engine, case), (peer, peer_case) in SPEED_UPS:
        time, peer_time = seconds[engine, case], seconds[peer, peer_case]
        against = peer if peer_case == case else f"{peer}, {peer_case}"
        print(
            f"| {engine} | {case} | {milliseconds(time)} | {against} | {milliseconds(peer_time)} | "
            f"{ratio(peer_time / time)} |"
        )
    start, peer_start = first_seconds[NATIVE, "n=100 L=2 batch=16 noisy"], first_seconds[JAX, NOISY_TWO]
    print(
        f"\nFrom construction to the first gradient: native at n=100 {milliseconds(start)}, "
        f"{JAX} at n=9 {peer_start:.1f} s, {ratio(peer_start / start)} times as fast.\n"
    )

    kept = {b["extra_info"]["case"]: b["extra_info"].get("kept_bytes") for b in report["benchmarks"]}
    large, small = (kept[f"n={n} L=2 batch=64 noisy"] for n in (1000, 100))
    print(
        f"Kept for the backward pass at batch 64: {large / 2**20:.1f} MiB at n=1000, "
        f"{small / 2**20:.1f} MiB at n=100, {ratio(large / small)} times as much.\n"
    )

    print("| engine | noiseless | with noise |")
    print("|---|---|---|")
    for engine in BACKENDS:
        cells = [
            f"{ratio(seconds[engine, case] / seconds[NATIVE, TWO])} x"
            if (engine, case) in seconds
            else "no"
            for case in (TWO, NOISY_TWO)
        ]
        print(f"| {engine} | {' | '.join(cells)} |")


def best_times(benchmarks: list) -> tuple[dict, dict]:
    """Median and first-call seconds by engine and case, each at its best number of threads."""
    medians, firsts = defaultdict(list), defaultdict(list)
    for benchmark in benchmarks:
        info = benchmark["extra_info"]
        key = info["engine"], info["case"]
        medians[key].append(benchmark["stats"]["median"])
        firsts[key].append(info.get("first_seconds", 0))
    return ({k: min(v) for k, v in medians.items()}, {k: min(v) for k, v in firsts.items()})


def milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def ratio(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}" if value < 10 else f"{value:.0f}"


if __name__ == "__main__":
    main()
