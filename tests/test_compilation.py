"""Kernels in good and bad surroundings, and parts of work on threads."""

import copy
import os
import pickle
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import torch

from sqdr import compilation
from sqdr.compilation import in_parallel, kernel


@kernel
def scale(x, factor, out):
    for i in range(len(x)):
        out[i] = factor * x[i]


@kernel
def scale_twice(x, factor, out):
    scale(x, factor, out)
    scale(out, factor, out)


def scaled(function=scale, n=5):
    out = np.empty(n)
    function(np.arange(float(n)), 3.0, out)
    return out.tolist()


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


TWO_THREADS = pytest.mark.usefixtures("two_threads")


def test_kernels_can_be_had_here():
    assert compilation.problem() is None


@pytest.mark.parametrize(("function", "factor"), [(scale, 3), (scale_twice, 9)])
def test_kernel_computes_what_the_function_does(function, factor):
    assert scaled(function) == [factor * i for i in range(5)]
    assert scale.__name__ == "scale"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_kernel_keeps_what_is_not_finite(value):
    out = np.empty(2)
    scale(np.array([value, 1.0]), 2.0, out)
    np.testing.assert_equal(out, [value, 2.0])


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_copy_is_the_kernel(duplicate):
    assert duplicate(scale) is scale


SCRIPT = """
import logging, sys
sys.path.insert(0, sys.argv[1])
logging.basicConfig(level=logging.INFO, format="%(message)s")
import numpy as np, some_kernel
from sqdr import compilation
out = np.empty(2)
if compilation.problem() is None:
    some_kernel.scale(np.ones(2), 2.0, out)
print(compilation.problem(), out.tolist() == [2, 2])
"""
KERNEL = """
from sqdr.compilation import kernel

@kernel
def scale(x, factor, out):
    for i in range(len(x)):
        out[i] = factor * x[i]
"""


def in_new_process(folder, **environment):
    """What a process prints that compiles a kernel whose source lies in `folder`."""
    (folder / "some_kernel.py").write_text(KERNEL)
    return run(SCRIPT, folder, **environment)


def run(script, folder, **environment):
    """A new process, which gets the folder as its argument."""
    root = Path(compilation.__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONWARNINGS": "ignore", **environment}
    command = [sys.executable, "-B", "-c", script, str(folder)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True)


def test_cache_spares_the_next_process_the_compiler(tmp_path):
    cache = str(tmp_path / "cache")
    first, second = (in_new_process(tmp_path, NUMBA_CACHE_DIR=cache) for _ in range(2))
    assert first.stdout == second.stdout == "None True\n"
    assert first.stderr.startswith("Compiling kernels, once on this machine")
    assert second.stderr == ""


CALLING = """
import sys
sys.path.insert(0, sys.argv[1])
import calling_kernel
print(calling_kernel.scaled(1.0))
"""
CALLING_KERNEL = """
from sqdr.compilation import kernel
from sqdr.kernels import factor

@kernel
def scaled(x):
    return factor() * x
"""
CALLED_KERNEL = """
from sqdr.compilation import kernel

@kernel
def factor():
    return {}
"""


def test_change_of_a_kernel_that_another_calls_is_seen(tmp_path):
    """Size and time are those of before, as those of a wheel's files may be."""
    ignore, package = shutil.ignore_patterns("__pycache__"), tmp_path / "sqdr"
    shutil.copytree(Path(compilation.__file__).parent, package, ignore=ignore)
    (tmp_path / "calling_kernel.py").write_text(CALLING_KERNEL)
    printed = []
    for factor in (2, 3):
        (package / "kernels.py").write_text(CALLED_KERNEL.format(factor))
        os.utime(package / "kernels.py", (0, 0))
        printed.append(run(CALLING, tmp_path, NUMBA_CACHE_DIR=str(tmp_path / "cache")).stdout)
    assert printed == ["2.0\n", "3.0\n"]


def test_without_a_folder_for_the_cache(tmp_path):
    (tmp_path / "file").touch()
    nowhere = str(tmp_path / "file" / "cache")
    assert in_new_process(tmp_path, NUMBA_CACHE_DIR=nowhere).stdout == "None True\n"


def test_broken_cache_is_mended(tmp_path):
    cache = tmp_path / "cache"
    in_new_process(tmp_path, NUMBA_CACHE_DIR=str(cache))
    files = [path for path in cache.rglob("*") if path.is_file()]
    assert files
    for path in files:
        path.write_bytes(b"broken")
    first, second = (in_new_process(tmp_path, NUMBA_CACHE_DIR=str(cache)) for _ in range(2))
    assert first.stdout == second.stdout == "None True\n"
    assert second.stderr == ""


def test_cache_that_cannot_be_written_later(monkeypatch):
    @kernel
    def twice(x):
        return 2 * x

    def fail(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr("numba.core.caching.IndexDataCacheFile.save", fail)
    assert twice(4.0) == 8


@pytest.mark.parametrize(
    ("module", "environment", "reason"),
    [
        ("raise ImportError('not today')", {}, "Numba cannot be imported: not today"),
        (None, {"NUMBA_DISABLE_JIT": "1"}, "NUMBA_DISABLE_JIT is set."),
    ],
)
def test_problem_says_why_there_are_no_kernels(tmp_path, module, environment, reason):
    if module:
        (tmp_path / "numba.py").write_text(module)
    assert in_new_process(tmp_path, **environment).stdout == f"{reason} False\n"


def test_problem_when_numba_does_not_compile(monkeypatch):
    def fail(_):
        raise RuntimeError("no LLVM")

    monkeypatch.setattr(compilation, "_successor", fail)
    assert compilation.problem.__wrapped__() == "Numba cannot compile: no LLVM"


@TWO_THREADS
@pytest.mark.parametrize(
    ("n", "at_least", "parts"),
    [
        (0, 1, []),
        (1, 1, [(0, 1)]),
        (5, 1, [(0, 2), (2, 5)]),
        (100_000, 1, [(0, 50_000), (50_000, 100_000)]),
        (9, 5, [(0, 9)]),
        (10, 5, [(0, 5), (5, 10)]),
    ],
)
def test_parts(n, at_least, parts):
    assert in_parallel(lambda *part: part, n, at_least) == parts


@TWO_THREADS
def test_parts_run_at_the_same_time():
    barrier = threading.Barrier(2)
    assert sorted(in_parallel(lambda *_: barrier.wait(timeout=60), 2)) == [0, 1]


@TWO_THREADS
@pytest.mark.parametrize("failing", [0, 1])
def test_failure_of_a_part_is_raised_when_all_have_ended(failing):
    ended = []

    def work(start, _):
        if start == failing:
            raise ValueError(f"part {start}")
        ended.append(start)

    with pytest.raises(ValueError, match=f"part {failing}"):
        in_parallel(work, 2)
    assert ended == [1 - failing]


def parallel_sum(n):
    torch.set_num_threads(2)
    return sum(in_parallel(lambda start, stop: sum(scaled()) * (stop - start), n))


@TWO_THREADS
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_in_other_processes(method):
    expected = parallel_sum(4)
    with ProcessPoolExecutor(2, mp_context=get_context(method)) as pool:
        assert list(pool.map(parallel_sum, [4, 4], timeout=120)) == [expected, expected]
