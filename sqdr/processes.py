"""In which process is drawn, so that each draws for itself, reproducibly."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import get_worker_info

#: For each fork on the way from the first process to this one, the how manieth it was of its parent.
_forks: tuple[int, ...] = ()
_n_children = 0


@dataclass(frozen=True)
class Home:
    """Where a random generator is at home.

    Args:
        forks (tuple of ints): on the way to the process, in the order in which each parent made them.
        worker_seed (int or None): of the worker of a DataLoader; it differs between workers and epochs,
            and follows torch's seed.
    """

    forks: tuple[int, ...]
    worker_seed: int | None

    @property
    def is_away(self) -> bool:
        """Whether there are other processes with the same memory."""
        return bool(self.forks) or self.worker_seed is not None

    def seed(self, of: int | torch.Generator) -> int:
        """A seed of this place for what was seeded with a number, or for a generator from elsewhere."""
        where: object = self.forks if self.worker_seed is None else self.worker_seed
        if isinstance(of, torch.Generator):
            of_worker = self.worker_seed is not None  # whatever was drawn before it was started
            what = str(of.initial_seed()) if of_worker else of.get_state().numpy().tobytes().hex()
        else:
            what = str(of)
        digest = hashlib.sha256(f"{where} {what}".encode()).digest()
        return int.from_bytes(digest[:8], "big") >> 1


class Generator(torch.Generator):
    """That of torch on the CPU, pickled as bytes: its way through shared memory fails in workers."""

    def __reduce__(self) -> Any:
        return _generator_of, (self.get_state().numpy().tobytes(),)


def _generator_of(state: bytes) -> Generator:
    generator = Generator()
    generator.set_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))
    return generator


def home() -> Home:
    """That of the generators of this process, or of this worker of a DataLoader."""
    worker = get_worker_info()
    return Home(_forks, None) if worker is None else Home((), worker.seed)


def _before_fork() -> None:
    global _n_children
    _n_children += 1


def _after_fork_in_child() -> None:
    global _forks, _n_children
    _forks, _n_children = (*_forks, _n_children), 0


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)
