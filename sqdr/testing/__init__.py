"""The conformance kit: what a backend must do, checked against an independent simulator.

    def test_backend():
        sqdr.testing.check_backend("my-backend")

or, each check as a test of its own,

    @pytest.mark.parametrize("check", sqdr.testing.CHECKS)
    def test_backend(check):
        sqdr.testing.check_backend("my-backend", [check])

The class of a backend may stand for its name. Circuits have at most four wires and three blocks. The
reference is `sqdr.testing.reference`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from sqdr.circuit import Backend, Capability
from sqdr.testing import family, layer, noise, values
from sqdr.testing.subject import Subject
from sqdr.validation import argument_error

#: Every check by name, in the order in which faults are best mended; each says in its docstring what a
#: backend must do.
CHECKS: Mapping[str, Callable[[Subject], None]] = {
    check.__name__: check for check in (*values.CHECKS, *noise.CHECKS, *family.CHECKS, *layer.CHECKS)
}


class BackendCheckError(AssertionError):
    """A backend failed checks.

    Attributes:
        failures (dict): the exception of each failed check, by its name.
    """

    def __init__(self, backend: str, n_checks: int, failures: Mapping[str, Exception]) -> None:
        self.failures = dict(failures)
        lines = [f"Backend `{backend}` fails {len(failures)} of {n_checks} checks:"]
        for name, failure in failures.items():
            kind = "" if isinstance(failure, AssertionError) else f"{type(failure).__name__}: "
            lines += [f"- {name}: {kind}{failure}", f"    wanted: {_first_line(CHECKS[name])}"]
        super().__init__("\n".join(lines))
        self._arguments = backend, n_checks, self.failures

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._arguments  # it may be raised in another process


def check_backend(
    backend: Backend,
    checks: Sequence[str] | None = None,
    *,
    progress: Callable[[str, Exception | None], None] | None = None,
    **options: Any,
) -> None:
    """Check that a backend is right, differentiable, and keeps to itself.

    Needs neither pytest nor an optional package beyond those of the backend. What goes beyond the
    published circuit is checked where the backend declares the capability for it, noise where it does
    not refuse it with these options, too. Checks
    that send a circuit away need a class that is found by its name where the circuit arrives: neither
    `pickling` nor `processes` is made for a class of a function, nor `processes` for one of the main
    program.

    Args:
        backend (str or class): one of `sqdr.backend_names()`, or a subclass of `ReuploadCircuit`.
        checks (sequence of str or None): names of `CHECKS`. Default: all.
        progress (function or None): called after each check, with its name and, if it failed, its
            exception. Default: None.
        **options: arguments of the backend's own class, for instance `device="lightning.qubit"`.

    Raises:
        BackendCheckError: an AssertionError that has a line for each failed check. Its cause is the
            exception of the first.
        ValueError, ImportError: if there is no such check or none at all, or the backend does not load.
    """
    chosen = check_names(checks)
    with _settings_as_they_were():
        subject = Subject(backend, options)
    chosen = [check for check in chosen if check not in _left_out(subject)]
    failures: dict[str, Exception] = {}
    for check in chosen:
        try:
            with _settings_as_they_were():
                torch.manual_seed(0)
                CHECKS[check](subject)
        except Exception as error:  # whatever a backend raises, the other checks are made
            failures[check] = error
        if progress is not None:
            progress(check, failures.get(check))
    if failures:
        first, *_ = failures.values()
        raise BackendCheckError(subject.name, len(chosen), failures) from first


def check_names(checks: Sequence[str] | None) -> list[str]:
    """The checks to be made; ValueError if one has no such name, or there is none."""
    chosen = list(CHECKS) if checks is None else list(checks)
    if not chosen:
        raise argument_error("checks", "hold a name", "is empty")
    for check in chosen:
        if check not in CHECKS:
            raise argument_error("checks", f"be among {', '.join(CHECKS)}", f"holds {check!r}")
    return chosen


def _left_out(subject: Subject) -> set[str]:
    """Names of the checks that say nothing about this backend."""
    of_noise: frozenset[Capability] = frozenset({"noise"})
    needed = dict.fromkeys(noise.CHECKS, of_noise) | dict(family.CHECKS)
    found = {check.__name__ for check, of in needed.items() if not all(map(subject.can, of))}
    if not subject.is_importable:
        found |= {"processes"}
        if not subject.is_named:
            found |= {"pickling"}
    return found


@contextmanager
def _settings_as_they_were() -> Iterator[None]:
    """Gives torch its default dtype and the state of its random generator back."""
    default_dtype = torch.get_default_dtype()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_default_dtype(default_dtype)


def _first_line(check: Callable[[Subject], None]) -> str:
    return (check.__doc__ or "").partition("\n")[0]
