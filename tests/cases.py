"""What several test modules share; the circuits that backends are compared on are sqdr.testing's."""

import copy
import pickle

import pytest

BACKENDS = ("native", "pennylane", "torchquantum")

DUPLICATES = pytest.mark.parametrize(
    "duplicate",
    [copy.deepcopy, lambda module: pickle.loads(pickle.dumps(module))],
    ids=["deepcopy", "pickle"],
)
