"""Fixtures of more than one module."""

import pytest
import torch
from hypothesis import settings

# The same examples each time, whatever the machine and its load.
settings.register_profile("reproducible", derandomize=True, database=None, deadline=None)
settings.load_profile("reproducible")


def pytest_make_parametrize_id(val, argname):
    """Wrong calls of the command line are named by their options."""
    if argname == "options" and isinstance(val, list):
        return " ".join(val)
    return "" if argname == "message" else None


@pytest.fixture
def one_thread():
    """As in the processes of studies, since sums over several threads are rounded otherwise."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


@pytest.fixture
def empty_folder(tmp_path, monkeypatch):
    """The working directory, which must be empty at the end as well."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert not list(tmp_path.iterdir())
