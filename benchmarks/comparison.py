"""Two engines timed in turns, so that whatever else the machine does slows both."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

#: torch's own choice, which heeds OMP_NUM_THREADS and taskset.
ALL_THREADS = torch.get_num_threads()
#: Seconds of calls that are not timed, before each that is.
WARM_UP = 0.02
MIN_ROUNDS, MAX_ROUNDS = 5, 100


@dataclass(frozen=True)
class Engine:
    """Something to time.

    Args:
        name, case: what is timed, in the words of the tables.
        step: what is timed; None if the engine cannot do the case.
        seconds: about what a step takes.
        threads: of torch.
        sizes: the case by its numbers, for fits of growth.
        first_seconds: from construction to the first gradient.
        cannot: why there is no step.
    """

    name: str
    case: str
    step: Callable[[], Any] | None
    seconds: float = 0.0
    threads: int = 1
    sizes: dict[str, Any] | None = None
    first_seconds: float | None = None
    cannot: str | None = None

    @property
    def information(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key not in ("step", "seconds")}

    def warm_up(self) -> None:
        """Set the threads, and take a few steps if they are fast."""
        torch.set_num_threads(self.threads)
        for _ in range(int(np.clip(WARM_UP / self.seconds, 0, 10))):
            self.step()


def best_threads(step: Callable[[], Any], on_one: float | None = None) -> tuple[int, float]:
    """The better number of torch's threads, one unless all are clearly faster, and seconds of a step.

    Args:
        on_one: seconds of a step on one thread, where that is known.
    """
    on_one = on_one or settled_seconds(step, 1)
    if ALL_THREADS == 1:
        return 1, on_one
    on_all = settled_seconds(step, ALL_THREADS)
    return (ALL_THREADS, on_all) if on_all < 0.9 * on_one else (1, on_one)


def settled_seconds(step: Callable[[], Any], threads: int) -> float:
    """Seconds of a step on a number of threads; the median of a few where a step is fast."""
    torch.set_num_threads(threads)
    once = seconds_of(step)
    more = int(np.clip(0.3 / once, 0, 20))  # the first call may not have been warm
    return statistics.median(seconds_of(step) for _ in range(more)) if more else once


def compare(benchmark: Any, subject: Engine, peer: Engine, seconds: float) -> None:
    """Time `subject` by pytest-benchmark, and `peer` once before each of its rounds.

    Each call that is timed comes after calls that are not, as it would in a training loop. A slow peer
    is called in the first rounds only. One that cannot do its case is left out, and the reason kept.

    Args:
        seconds: what the rounds with the peer may take; there is one at least.
    """
    assert subject.step is not None, f"{subject.name} cannot do {subject.case}: {subject.cannot}"
    peer_seconds: list[float] = []
    a_round = subject.seconds + peer.seconds + 2 * WARM_UP
    rounds_with_peer = int(np.clip(seconds / a_round, 1, MAX_ROUNDS)) if peer.step else 0

    def setup() -> None:
        if len(peer_seconds) < rounds_with_peer:
            peer.warm_up()
            peer_seconds.append(seconds_of(peer.step))
        subject.warm_up()

    benchmark.pedantic(subject.step, setup=setup, rounds=max(rounds_with_peer, MIN_ROUNDS))
    times = {"median": None, "min": None}
    if peer_seconds:
        times = {"median": statistics.median(peer_seconds), "min": min(peer_seconds)}
    benchmark.extra_info["subject"] = subject.information
    benchmark.extra_info["peer"] = peer.information | times


def seconds_of(step: Callable[[], Any]) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start
