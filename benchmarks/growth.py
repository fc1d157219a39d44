"""How times grow with the sizes of a circuit, beside what the method predicts."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

#: Fits take the largest sizes, where the fixed cost of a call matters least.
FITTED = 3
SIZES = {"n_wires": "wires", "n_blocks": "blocks", "batch": "batch"}


def exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """p of seconds ~ size ** p, by least squares of the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def factor(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """f of seconds ~ f ** size, likewise."""
    return math.exp(np.polyfit(sizes, np.log(seconds), 1)[0])


def multiply_adds(engine: str, sizes: dict[str, Any]) -> float | None:
    """What a step costs by its method, up to a constant; None where that is not known.

    The native engine's counts, and its choice between them, are those of docs/causal-cone.md. Others
    keep a statevector, or with noise a density matrix, and change all of it in each gate.
    tensorcircuit-ng contracts tensor networks along paths that it searches.
    """
    n_wires, n_blocks, batch = (sizes[name] for name in SIZES)
    if engine.startswith("native"):
        if n_blocks <= 2:
            return batch * n_wires * 16 * n_blocks
        dense = n_blocks * (4 * 4**n_wires if sizes["noisy"] else 8 * 2**n_wires)
        return batch * n_wires * min(64 * n_blocks + 8**n_blocks, dense)
    if engine == "tensorcircuit-ng":
        return None
    return batch * n_wires * n_blocks * (4**n_wires if sizes["noisy"] else 2**n_wires)


def series(times: list[tuple[str, dict[str, Any], float]]) -> list[dict[str, Any]]:
    """Every growth that was measured: three sizes or more of an engine that differ in one number.

    Args:
        times: name, sizes and seconds of an engine on a case; a case may occur several times.

    Returns:
        list of dict: "engine", "grows" (a key of `SIZES`), "fixed" (the other sizes), "points" (size ->
        seconds, the median of what was measured, in order of size).
    """
    found: dict[tuple[Any, ...], dict[int, list[float]]] = {}
    for engine, sizes, seconds in times:
        for grows in SIZES:
            fixed = tuple((name, value) for name, value in sizes.items() if name != grows)
            found.setdefault((engine, grows, fixed), {}).setdefault(sizes[grows], []).append(seconds)
    return [
        {
            "engine": engine,
            "grows": grows,
            "fixed": dict(fixed),
            "points": {size: float(np.median(points[size])) for size in sorted(points)},
        }
        for (engine, grows, fixed), points in found.items()
        if len(points) >= FITTED
    ]


def fit(one: dict[str, Any]) -> dict[str, Any]:
    """The growth of a series and the predicted one, fitted alike to its largest sizes.

    Returns:
        dict: "kind" ("exponent", or "factor" for growth by each wire or block), "sizes", "fitted" and
        "predicted", the last None where nothing is predicted.
    """
    sizes = list(one["points"])[-FITTED:]
    native = one["engine"].startswith("native")
    exponential = one["grows"] == ("n_blocks" if native else "n_wires")
    slope = factor if exponential else exponent
    costs = [multiply_adds(one["engine"], one["fixed"] | {one["grows"]: size}) for size in sizes]
    return {
        "kind": "factor" if exponential else "exponent",
        "sizes": sizes,
        "fitted": slope(sizes, [one["points"][size] for size in sizes]),
        "predicted": None if None in costs else slope(sizes, [c for c in costs if c is not None]),
    }
