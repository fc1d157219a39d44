"""Circuits of any shape, entanglement and noise against density matrices, drawn by Hypothesis."""

import itertools
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from cases import BACKENDS
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import sqdr
from sqdr.noise import named_channel
from sqdr.testing import reference
from sqdr.testing.cases import CHANNELS, Case

#: In float64 where the backend can. PennyLane adds 2e-16 to probabilities before it takes their root.
TOLERANCE = {"native": 1e-10, "pennylane": 1e-7, "torchquantum": 1e-5, "qiskit": 1e-10}
DTYPE = dict.fromkeys(TOLERANCE, torch.float64) | {"torchquantum": torch.float32}
#: Of the statevector and density matrix of one sample.
MAX_WIRES = {"native": 5, "pennylane": 3, "torchquantum": 4, "qiskit": 3}
#: TorchQuantum rounds to float32.
ANGLES = st.floats(-10, 10, width=32)
BATCHES = st.lists(st.integers(0, 3), max_size=2)
#: What Hypothesis would meet too seldom in few examples.
SHAPES = pytest.mark.parametrize(
    ("n_blocks", "entanglement"),
    list(itertools.product([1, 2, 3, 4], ["none", "linear", "circular", "pairs"])),
)


@dataclass(frozen=True)
class Drawn:
    """A circuit with its input, for the reference and for sqdr."""

    pairs: list
    entanglement: object
    weights: np.ndarray
    angles: np.ndarray
    noise: dict

    def circuit(self, backend, **options):
        n_blocks, n_wires, _ = self.weights.shape
        places = {
            place: tuple(named_channel(name, strength) for name, strength in self.noise[place])
            for place in ("after_rotation", "after_entangler")
        }
        noise = sqdr.NoiseModel(**places, readout_error=self.noise["readout_error"])
        circuit = sqdr.create_circuit(
            backend,
            n_wires,
            n_blocks,
            entanglement=self.entanglement,
            noise=noise or None,
            dtype=DTYPE[backend],
            **options,
        )
        with torch.no_grad():
            circuit.weights.copy_(torch.as_tensor(self.weights))
        return circuit

    def expected(self):
        """<Z> by the reference, of the shape of the batch."""
        n_wires = self.weights.shape[1]
        rows = self.angles.reshape(-1, 3 * n_wires)
        shape = *self.angles.shape[:-1], n_wires
        if not len(rows):
            return np.zeros(shape)
        values = reference.expectation_values(rows, self.weights, self.pairs, **self.noise)
        return values.reshape(shape)


def probabilities(n_wires):
    """One for all wires or one for each, often at the ends of their range."""
    one = st.floats(0, 1) | st.sampled_from([0.0, 1.0])
    return one | st.tuples(*[one] * n_wires)


@st.composite
def circuits(draw, most_wires, n_blocks, entanglement, batch=BATCHES):
    """A circuit on up to `most_wires` wires, with noise, and its input."""
    n_wires = draw(st.integers(1, most_wires))
    pairs = Case(n_wires, n_blocks, entanglement).pairs
    if entanglement == "pairs":
        any_pair = st.tuples(*[st.integers(0, n_wires - 1)] * 2).filter(lambda pair: pair[0] != pair[1])
        lists = st.lists(any_pair, unique_by=frozenset, max_size=5)
        entanglement = pairs = draw(st.just([]) if n_wires == 1 else lists)
    leading = draw(batch)
    channels = st.lists(st.tuples(st.sampled_from(CHANNELS), probabilities(n_wires)), max_size=2)
    noise = {
        "after_rotation": draw(channels),
        "after_entangler": draw(channels),
        "readout_error": draw(st.just(0.0) | probabilities(n_wires)),
    }
    return Drawn(
        pairs,
        entanglement,
        draw(arrays(float, (n_blocks, n_wires, 3), elements=ANGLES)),
        draw(arrays(float, (*leading, 3 * n_wires), elements=ANGLES)),
        noise,
    )


def draw_method(data, drawn):
    """One of the methods of the native engine that can evaluate a circuit."""
    return data.draw(st.sampled_from(list(drawn.circuit("native").methods())))


def assert_values(circuit, drawn, backend):
    values = circuit(torch.as_tensor(drawn.angles, dtype=DTYPE[backend])).detach()
    np.testing.assert_allclose(values, drawn.expected(), rtol=0, atol=TOLERANCE[backend])


def assert_gradients(circuit, drawn, backend):
    angles = torch.as_tensor(drawn.angles, dtype=DTYPE[backend]).requires_grad_()
    cotangent = np.linspace(1, 2, drawn.weights.shape[1])
    (circuit(angles) * torch.as_tensor(cotangent)).sum().backward()
    expected = reference.gradients(
        drawn.angles[0], drawn.weights, drawn.pairs, cotangent, **drawn.noise
    )
    for name, gradient in {"angles": angles.grad[0], "weights": circuit.weights.grad}.items():
        np.testing.assert_allclose(gradient, expected[name], rtol=0, atol=4 * TOLERANCE[backend])


@SHAPES
@pytest.mark.parametrize("backend", BACKENDS)
@settings(max_examples=5)
@given(data=st.data())
def test_values(backend, n_blocks, entanglement, data):
    drawn = data.draw(circuits(MAX_WIRES[backend], n_blocks, entanglement))
    assert_values(drawn.circuit(backend), drawn, backend)


@SHAPES
@settings(max_examples=10)
@given(data=st.data())
def test_values_by_every_method_of_the_native_engine(n_blocks, entanglement, data):
    drawn = data.draw(circuits(5, n_blocks, entanglement))
    assert_values(drawn.circuit("native", method=draw_method(data, drawn)), drawn, "native")


@SHAPES
@pytest.mark.parametrize("backend", BACKENDS)
@settings(max_examples=2)
@given(data=st.data())
def test_gradients(backend, n_blocks, entanglement, data):
    drawn = data.draw(circuits(3, n_blocks, entanglement, st.just([1])))
    assert_gradients(drawn.circuit(backend), drawn, backend)


@SHAPES
@settings(max_examples=10)
@given(data=st.data())
def test_gradients_by_every_method_of_the_native_engine(n_blocks, entanglement, data):
    drawn = data.draw(circuits(3, n_blocks, entanglement, st.just([1])))
    assert_gradients(drawn.circuit("native", method=draw_method(data, drawn)), drawn, "native")
