"""Names what became slower between two JSON files: python slower.py OLD.json NEW.json --ratio 1.3

Exits with 1 if anything did, with 2 if the files cannot be compared.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any


def slowdowns(old: dict[str, Any], new: dict[str, Any], ratio: float) -> list[str]:
    """One line for each comparison whose subject became slower by more than `ratio`.

    Its shortest round must have grown by more than that, and so must that over the shortest of the peer
    that took turns with it. The first alone may be the machine, the second alone a faster peer.
    Whatever else a machine does lengthens a round, so the shortest of many is disturbed least.
    """
    before, after = by_name(old), by_name(new)
    lines = []
    for name in sorted(before.keys() & after.keys()):
        (own_before, relative_before), (own_after, relative_after) = before[name], after[name]
        growth, relative_growth = own_after / own_before, relative_after / relative_before
        if min(growth, relative_growth) > ratio:
            lines.append(
                f"{name}: {1e3 * own_before:.3g} ms -> {1e3 * own_after:.3g} ms, {growth:.2f} times, "
                f"and {relative_growth:.2f} times against its peer"
            )
    return lines


def by_name(report: dict[str, Any]) -> dict[str, tuple[float, float]]:
    """Name -> shortest round, and that over the peer's, where the peer could do its case."""
    return {
        benchmark["name"]: (
            benchmark["stats"]["min"],
            benchmark["stats"]["min"] / benchmark["extra_info"]["peer"]["min"],
        )
        for benchmark in report["benchmarks"]
        if benchmark["extra_info"].get("peer", {}).get("min")
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Name what became slower between two JSON files.")
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--ratio", type=float, default=1.3, help="default: %(default)s")
    arguments = parser.parse_args()
    old, new = (json.loads(path.read_text()) for path in (arguments.old, arguments.new))
    common = by_name(old).keys() & by_name(new).keys()
    if not common:
        parser.error("the two files have no comparison in common")
    lines = slowdowns(old, new, arguments.ratio)
    print("\n".join([*lines, f"{len(lines)} of {len(common)} became slower."]))
    sys.exit(1 if lines else 0)


if __name__ == "__main__":
    main()
