"""Kernels, compiled by Numba, for values and first gradients of circuits on the CPU.

Each module here imports Numba, and is itself imported when a circuit is first evaluated.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from sqdr import compilation

_switched_off = 0


def problem() -> str | None:
    """Why circuits are evaluated by torch's operations alone; None if kernels evaluate them."""
    return "They are switched off." if _switched_off else compilation.problem()


@contextmanager
def switched_off() -> Iterator[None]:
    """Evaluate circuits by torch's operations, in all threads, for comparison."""
    global _switched_off
    _switched_off += 1
    try:
        yield
    finally:
        _switched_off -= 1
