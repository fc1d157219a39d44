"""Two engines timed in turns, so that whatever else the machine does slows both."""

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True)
class Engine:
    """Something to time.

    Args:
        name, case: what is timed, in the words of the tables.
        step: one forward and backward pass.
        threads: of torch.
        first_seconds: from construction to the first gradient.
        kept_bytes: memory that is kept for the backward pass.
    """

    name: str
    case: str
    step: Callable[[], Any]
    threads: int
    first_seconds: float | None = None
    kept_bytes: int | None = None

    def information(self) -> dict[str, Any]:
        return {key: value for key, value in asdict(self).items() if key != "step"}


def best_threads(step: Callable[[], Any]) -> int:
    """The better number of torch's threads for a step: one, unless all are clearly faster."""
    everyone = os.cpu_count() or 1
    seconds = {}
    for threads in (1, everyone):
        torch.set_num_threads(threads)
        once = _seconds(step)
        is_fast = once < 0.1  # and may not have been warm
        seconds[threads] = statistics.median(_seconds(step) for _ in range(20)) if is_fast else once
    return everyone if seconds[everyone] < 0.9 * seconds[1] else 1


def compare(benchmark: Any, subject: Engine, peer: Engine) -> None:
    """Time `subject` by pytest-benchmark, and `peer` once before each of its rounds.

    Each call that is timed comes after calls that are not, as it would in a training loop.
    """
    peer_seconds = []

    def warm_up(engine: Engine, seconds: float) -> None:
        torch.set_num_threads(engine.threads)
        for _ in range(int(np.clip(0.02 / seconds, 0, 10))):
            engine.step()

    def setup() -> None:
        warm_up(peer, of_peer)
        peer_seconds.append(_seconds(peer.step))
        warm_up(subject, of_subject)

    of_peer, of_subject = _seconds(peer.step), _seconds(subject.step)
    rounds = int(np.clip(4 / (of_peer + of_subject), 3, 300))
    benchmark.pedantic(subject.step, setup=setup, rounds=rounds)
    benchmark.extra_info.update(
        subject=subject.information(),
        peer=peer.information() | {"median": statistics.median(peer_seconds)},
        torch=torch.__version__,
    )


def _seconds(step: Callable[[], Any]) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start
