"""What several test modules share; the circuits that backends are compared on are sqdr.testing's."""

import copy
import pickle
from importlib.util import find_spec

import pytest
import torch

NEEDS_QISKIT = pytest.mark.skipif(find_spec("qiskit") is None, reason="Qiskit is not installed")


def needs_qiskit(*values, **options):
    """Values of a parametrised test that is skipped where Qiskit is not installed."""
    return pytest.param(*values, marks=NEEDS_QISKIT, **options)


BACKENDS = ("native", "pennylane", "torchquantum", needs_qiskit("qiskit"))

DUPLICATES = pytest.mark.parametrize(
    "duplicate",
    [copy.deepcopy, lambda module: pickle.loads(pickle.dumps(module))],
    ids=["deepcopy", "pickle"],
)

#: PennyLane's devices and ways to differentiate, besides the defaults.
PENNYLANE_OPTIONS = pytest.mark.parametrize(
    "options",
    [
        {"device": "lightning.qubit"},
        {"device": "lightning.qubit", "diff_method": "parameter-shift"},
        {"diff_method": "parameter-shift"},
        {"diff_method": "adjoint"},
        {"device": "default.mixed"},
    ],
    ids=str,
)

#: Every method of every backend: backend, its options, blocks, entanglement.
_ENGINES = [
    pytest.param("native", {"method": "closed-form"}, 2, "linear", id="chain"),
    pytest.param("native", {"method": "closed-form"}, 2, "circular", id="ring"),
    pytest.param("native", {"method": "closed-form"}, 2, "pairs", id="pairs"),
    pytest.param("native", {"method": "closed-form"}, 3, "none", id="unentangled"),
    pytest.param("native", {"method": "causal-cone"}, 3, "linear", id="causal-cone"),
    pytest.param("native", {"method": "dense"}, 3, "circular", id="dense"),
    pytest.param("pennylane", {}, 3, "linear", id="pennylane"),
    pytest.param("torchquantum", {}, 3, "linear", id="torchquantum"),
]
EVERY_ENGINE = pytest.mark.parametrize(("backend", "options", "n_blocks", "entanglement"), _ENGINES)

#: Methods of the native engine for observables of one wire, on 4 wires.
METHODS_OF_ONE_WIRE = pytest.mark.parametrize(
    ("method", "n_blocks", "entanglement", "entangler"),
    [
        ("closed-form", 2, "linear", "CZ"),
        ("closed-form", 2, "full", "ZZ"),
        ("closed-form", 3, "none", "CZ"),
        ("causal-cone", 3, "linear", "CZ"),
        ("causal-cone", 3, "linear", "ZZ"),
        ("dense", 1, "linear", "CZ"),
        ("dense", 3, "linear", "CZ"),
        ("dense", 3, "linear", "ZZ"),
        ("dense", 3, "full", "CZ"),
    ],
)


def gradients(circuit, angles):
    """Gradients of a weighted sum of the values, by angles and weights."""
    angles = angles.clone().requires_grad_()
    values = circuit(angles)
    weighted = (values * torch.linspace(1, 2, values.numel()).reshape(values.shape)).sum()
    return torch.autograd.grad(weighted, (angles, circuit.weights))
