"""Loops that Numba compiles for the CPU, shared out among as many threads as torch uses.

    @kernel
    def scale(x, factor, out):
        for i in range(len(x)):
            out[i] = factor * x[i]

    if compilation.problem() is None:  # else torch operations serve
        in_parallel(lambda start, stop: scale(x[start:stop], 2.0, out[start:stop]), len(x))

Numba is imported at the first call of a kernel or of `problem`. What it has compiled is kept on disk
and loaded by later processes, until the source of a kernel changes. `NUMBA_DISABLE_JIT=1` in the
environment turns all kernels off.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import torch

from sqdr._version import __version__

Result = TypeVar("Result")

#: Says once in a process, as information, that kernels compile.
logger = logging.getLogger(__name__)

_OPTIONS = {
    "nogil": True,
    "no_cfunc_wrapper": True,  # not called from C
    "error_model": "numpy",  # a check for division by zero would stop vectorisation
    # Sums in any order, multiply and add in one: fast, and NaN and infinity stay what they are.
    "fastmath": {"contract", "reassoc", "nsz"},
}


class Kernel:
    """A function that Numba compiles when it is called, once for each set of argument types.

    Attributes:
        python (callable): the function as it is written.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self.python = function

    def __call__(self, *arguments: Any) -> Any:
        return self._compiled(*arguments)

    @functools.cached_property
    def _compiled(self) -> Any:
        import numba

        _report_compilation()
        compiled = numba.njit(self.python, **_OPTIONS)
        try:
            compiled.enable_caching()
        except RuntimeError:  # no folder that can be written, neither beside the source nor the user's
            return compiled
        cache = compiled._cache  # which raises what goes wrong with its files
        # Numba's own stamp is that of the function's file: other files' kernels are compiled into it.
        cache._cache_file._source_stamp = cache._cache_file._source_stamp, _digest()
        cache.load_overload = _guarded(cache.load_overload, otherwise=_guarded(cache.flush))
        cache.save_overload = _guarded(cache.save_overload)
        return compiled

    @property
    def _numba_type_(self) -> Any:
        """What Numba takes this object for where another kernel calls it."""
        return self._compiled._numba_type_

    def __reduce__(self) -> str:
        return self.python.__qualname__  # pickled by name, as functions are


def kernel(function: Callable[..., Any]) -> Kernel:
    """Let Numba compile a function of a module when it is first called.

    Give it contiguous arrays: each other layout is one more set of types. A kernel may call kernels of
    its own module and of sqdr's modules and packages named `kernels`: a change in one of these, or in
    `sqdr.vectors`, compiles all anew.
    """
    return Kernel(function)


@functools.cache
def _digest() -> str:
    """Of sqdr's version and all sources that the machine code of its kernels may come from."""
    here = Path(__file__).parent
    places = "compilation.py", "vectors.py", "**/kernels.py", "**/kernels/*.py"
    digest = hashlib.sha256(__version__.encode())
    for source in (source for place in places for source in sorted(here.glob(place))):
        digest.update(hashlib.sha256(source.read_bytes()).digest())
    return digest.hexdigest()


@functools.cache
def problem() -> str | None:
    """Why there are no kernels in this process, None if there are. Numba is tried once."""
    try:
        import numba
    except Exception as error:  # not only ImportError: NumPy may be too new for it
        return f"Numba cannot be imported: {error}"
    if numba.config.DISABLE_JIT:
        return "NUMBA_DISABLE_JIT is set."
    try:
        _successor(1)
    except Exception as error:
        return f"Numba cannot compile: {error}"
    return None


def compiler() -> str:
    """What compiles kernels in this process, and its version; "none" if torch operations serve."""
    if problem() is not None:
        return "none"
    import numba

    return f"Numba {numba.__version__}"


@kernel
def _successor(number: int) -> int:
    return number + 1


def in_parallel(function: Callable[[int, int], Result], n: int, at_least: int = 1) -> list[Result]:
    """Call `function(start, stop)` for parts of range(n), one for each of torch's threads.

    Args:
        function (callable): leaves the interpreter's lock to others most of the time, as kernels do.
        n (int): number of items, such as samples.
        at_least (int): fewest items that are worth a thread.

    Returns:
        list: the results, in the order of the parts; empty if n is 0.
    """
    n_parts = max(1, min(torch.get_num_threads(), n // at_least))
    bounds = [n * i // n_parts for i in range(n_parts + 1)]
    first, *others = pairwise(bounds)
    if n == 0:
        return []
    futures = [_threads().submit(function, *part) for part in others]
    try:
        result = function(*first)
    finally:
        wait(futures)  # if it fails, the others still write into its arrays
    return [result, *(future.result() for future in futures)]


@functools.cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="sqdr-kernels")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_threads.cache_clear)  # a fork has none of the threads


def _guarded(
    function: Callable[..., Any], otherwise: Callable[[], Any] = lambda: None
) -> Callable[..., Any]:
    """The function, which where it would fail calls another and returns None."""

    def guarded(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except Exception:
            otherwise()
            return None

    return guarded


@functools.cache
def _report_compilation() -> None:
    """Log once that kernels compile, if one is not found in the cache."""
    from numba.core import event

    class Report(event.Listener):  # type: ignore[misc]
        def on_start(self, event: Any) -> None:
            if event.data["dispatcher"].py_func.__module__.startswith("sqdr."):
                _log_compilation()

        def on_end(self, event: Any) -> None:
            pass

    event.register("numba:compile", Report())


@functools.cache
def _log_compilation() -> None:
    logger.info("Compiling kernels, once on this machine; that takes a few seconds.")
