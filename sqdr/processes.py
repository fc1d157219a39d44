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


class OwnGenerator:
    """The random generator of a module, on the CPU, made when it is first asked for.

    Its seed is drawn from torch's default generator. In a process that was forked, and in a worker of a
    DataLoader, it is seeded anew, so that each draws for itself: by its state and the order of the
    forks, or by the worker's seed, which follows torch's.
    """

    def __init__(self) -> None:
        self._generator: Generator | None = None
        self._home = home()

    def get(self) -> torch.Generator:
        """The generator of this process."""
        here = home()
        if self._generator is None:
            seed = int(torch.randint(2**63 - 1, (), device="cpu"))
            self.manual_seed(here.seed(seed) if here.is_away else seed)
        elif here != self._home:
            self._generator.manual_seed(here.seed(self._generator))
        self._home = here
        assert self._generator is not None
        return self._generator

    def manual_seed(self, seed: int) -> None:
        """Make it with this seed, in this process."""
        self._home, self._generator = home(), Generator()
        self._generator.manual_seed(seed)

    def to_draw_from(self, what: str) -> torch.Generator:
        """The generator, for a draw that is made now.

        Args:
            what (str): draws, for the message.

        Raises:
            RuntimeError: within a backward pass, where `torch.utils.checkpoint` evaluates again and
                would be given another draw, and a wrong gradient.
        """
        if torch.is_grad_enabled() and torch._C._current_graph_task_id() != -1:
            raise RuntimeError(
                f"{what} cannot be evaluated again in a backward pass, where it would draw anew: "
                "leave it out of torch.utils.checkpoint."
            )
        return self.get()


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
