"""Random members of the family, with noise in every place: each backend and method beside NumPy."""

import math
from dataclasses import replace

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from cases import BACKENDS, METHODS_OF_ONE_WIRE, needs_qiskit
from hypothesis import HealthCheck, given, settings
from torch import nn

import sqdr
from sqdr.ansatz import AXES
from sqdr.backends.native import kernels
from sqdr.testing.cases import (
    ALL_NOISE,
    CHANNELS,
    COHERENT,
    TWO_OPERATORS,
    Case,
    reference_gradients,
    reference_strength_gradients,
    reference_values,
)

METHODS = ("closed-form", "causal-cone", "dense")
AXIS_WORDS = st.sampled_from(("Rot", "X", "Y", "ZX", "XYZ", "ZYZX"))


def strengths(size):
    """A number, or one for each place."""
    number = st.floats(0.01, 0.3)
    return number | st.tuples(*[number] * size) if size else number


def channels(n_wires):
    named = st.tuples(st.sampled_from(CHANNELS), strengths(n_wires))
    return st.sampled_from((("Kraus", COHERENT), ("Kraus", TWO_OPERATORS))) | named


def noises(n_wires, n_pairs):
    of_pairs = st.tuples(st.just("TwoWireDepolarizing"), strengths(n_pairs))
    of_each = st.tuples(*[st.floats(0.01, 0.3)] * n_wires)
    return st.fixed_dictionaries(
        {
            "after_rotation": st.lists(channels(n_wires), max_size=1).map(tuple),
            "after_entangler": st.lists(channels(n_wires) | of_pairs, max_size=3).map(tuple),
            "readout_error": st.just(0.0) | strengths(n_wires) | st.tuples(of_each, of_each),
        }
    )


@st.composite
def words(draw, n_wires):
    wires = draw(st.lists(st.integers(0, n_wires - 1), min_size=1, max_size=3, unique=True))
    return " ".join(f"{draw(st.sampled_from(AXES))}{wire}" for wire in wires)


@st.composite
def members(draw, noisy):
    n_wires, n_blocks = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    of_words = st.lists(words(n_wires), min_size=1, max_size=4).map(tuple)
    case = Case(
        n_wires,
        n_blocks,
        draw(st.sampled_from(("none", "linear", "circular", "full", "pairs"))),
        encoding=draw(AXIS_WORDS),
        rotation=draw(AXIS_WORDS),
        inputs=draw(st.sampled_from(("repeat", "split"))),
        scaling=draw(st.booleans()),
        entangler=draw(st.sampled_from(("CZ", "ZZ"))),
        observables=draw(st.sampled_from(AXES) | of_words),
    )
    return replace(case, **draw(noises(n_wires, len(case.pairs)))) if noisy else case


def check(backend, case, data, tolerance, **options):
    """Values of some samples, and gradients of a sum of them by the angles and by each parameter."""
    one_is_trained = st.booleans() if case.noise else st.just(False)

    def perhaps_trained(strength):
        tensor = torch.tensor(strength, dtype=torch.float64)
        return nn.Parameter(tensor) if data.draw(one_is_trained) else strength

    n_samples = data.draw(
        st.sampled_from((1, 2) if case.noise else (2, 11))
    )  # more than a vector holds
    angles, weights = case.draw(2)
    noise = case.noise_of(perhaps_trained)
    circuit = case.circuit(backend, weights, noise=noise, **options)
    which = np.arange(n_samples) % 2
    rows = torch.as_tensor(angles[which], dtype=circuit.weights.dtype).requires_grad_()
    values = circuit(rows)
    np.testing.assert_allclose(values.detach(), reference_values(case)[which], rtol=0, atol=tolerance)
    factors = np.linspace(1, 2, n_samples)
    (values * torch.as_tensor(np.outer(factors, case.cotangent)).to(values)).sum().backward()
    of_samples = [reference_gradients(case, i) | strength_gradients(case, i) for i in range(2)]
    of_rows = np.stack(
        [factor * of_samples[i]["angles"] for factor, i in zip(factors, which, strict=True)]
    )
    np.testing.assert_allclose(rows.grad, of_rows, rtol=0, atol=4 * tolerance)
    for name, parameter in circuit.named_parameters():
        expected = sum(factor * of_samples[i][name] for factor, i in zip(factors, which, strict=True))
        if parameter.numel() == 1:
            expected = expected.sum().reshape(parameter.shape)
        found = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        np.testing.assert_allclose(
            found, expected, rtol=0, atol=4 * n_samples * tolerance, err_msg=name
        )


def check_native(method, noisy, data):
    def can_evaluate(case):
        return method in case.circuit("native", case.draw()[1]).methods()

    check("native", data.draw(members(noisy).filter(can_evaluate)), data, 1e-10, method=method)


def strength_gradients(case, sample):
    return reference_strength_gradients(case, sample) if case.noise else {}


FEW = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
NOISY = pytest.mark.parametrize("noisy", [False, True], ids=["noiseless", "noisy"])


@NOISY
@pytest.mark.parametrize("method", METHODS)
@FEW
@given(data=st.data())
def test_native(method, noisy, data):
    check_native(method, noisy, data)


@pytest.mark.parametrize("noise", [(), ALL_NOISE], ids=["noiseless", "noisy"])
@pytest.mark.parametrize("observables", ["X", "Y", ("Y2", "X0", "Z1", "X0", "Z3")], ids=str)
@METHODS_OF_ONE_WIRE
def test_letters_in_any_order(method, n_blocks, entanglement, entangler, observables, noise):
    case = Case(4, n_blocks, entanglement, *noise, entangler=entangler, observables=observables)
    angles, weights = case.draw()
    circuit = case.circuit("native", weights, method=method)
    rows = torch.as_tensor(angles).requires_grad_()
    values = circuit(rows)
    np.testing.assert_allclose(values.detach(), reference_values(case), rtol=0, atol=1e-10)
    (values[0] @ torch.as_tensor(case.cotangent)).backward()
    expected = reference_gradients(case)
    np.testing.assert_allclose(rows.grad[0], expected["angles"], rtol=0, atol=4e-10)
    np.testing.assert_allclose(circuit.weights.grad, expected["weights"], rtol=0, atol=4e-10)


@NOISY
@pytest.mark.parametrize("method", METHODS)
@settings(FEW, max_examples=10)
@given(data=st.data())
def test_native_by_torch(method, noisy, data):
    with kernels.switched_off():
        check_native(method, noisy, data)


@NOISY
@pytest.mark.parametrize(
    ("backend", "tolerance"),
    [("pennylane", 1e-10), ("torchquantum", 2e-5), needs_qiskit("qiskit", 1e-10)],
)
@settings(FEW, max_examples=10)
@given(data=st.data())
def test_others(backend, tolerance, noisy, data):
    check(backend, data.draw(members(noisy)), data, tolerance)


@pytest.mark.parametrize(
    ("n_blocks", "options"),
    [
        (2, {"entangler": "ZZ", "observables": ["X0 Y1", "Z2"], "scaling": True}),
        (3, {"entangler": "ZZ", "observables": "Y"}),
        (2, {"encoding": "XY", "rotation": "Z", "inputs": "split"}),
    ],
    ids=str,
)
@pytest.mark.parametrize("method", METHODS)
def test_gradcheck(method, n_blocks, options):
    torch.manual_seed(0)
    circuit = sqdr.create_circuit("native", 3, n_blocks, dtype=torch.float64, **options)
    if method not in circuit.methods():
        method = None
    circuit = circuit.to_backend("native", method=method)
    angles = torch.rand(2, circuit.n_features, dtype=torch.float64, requires_grad=True)
    trained = dict(circuit.named_parameters())

    def function(angles, *tensors):
        return torch.func.functional_call(circuit, dict(zip(trained, tensors, strict=True)), (angles,))

    assert torch.autograd.gradcheck(function, (angles, *trained.values()))
    assert torch.autograd.gradgradcheck(function, (angles, *trained.values()))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_two_wire_word_is_no_product(backend):
    """A Bell-like state: <Z0 Z1> = 1 while <Z0> = <Z1> = 0."""
    options = {"encoding": "Y", "rotation": "Y", "observables": ["Z0", "Z1", "Z0 Z1", "X0 X1", "Y0 Y1"]}
    circuit = sqdr.create_circuit(backend, 2, 2, **options)
    with torch.no_grad():
        circuit.weights.zero_()
        circuit.weights[0] = math.pi / 2
        circuit.weights[1, 1] = (
            math.pi / 2
        )  # CZ between two turns of the second wire is CX, up to order
    values = circuit(torch.zeros(2))
    torch.testing.assert_close(values[:2], torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(values[2:].abs(), torch.ones(3), atol=1e-5, rtol=0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_coupling_turns_by_its_angle(backend):
    """exp(-i t/2 Z Z) on |+>|0> turns x towards y by t: <X0> = cos t and <Y0> = sin t."""
    circuit = sqdr.create_circuit(
        backend,
        2,
        2,
        encoding="Y",
        rotation="Z",
        entangler="ZZ",
        observables=["X0", "Y0"],
        inputs="split",
    )
    with torch.no_grad():
        circuit.weights.zero_()
        circuit.couplings.fill_(0.7)
    values = circuit(torch.tensor([math.pi / 2, 0.0, 0.0, 0.0]))
    expected = torch.tensor([math.cos(0.7), math.sin(0.7)])
    torch.testing.assert_close(values, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_axis_word_acts_from_its_first_letter_on(backend):
    """RX(pi/2), then RZ(t) on |0>: <X> = sin t and <Y> = -cos t; in the other order <X> = 0."""
    circuit = sqdr.create_circuit(
        backend, 1, 1, encoding="XZ", rotation="Z", observables=["X0", "Y0", "Z0"]
    )
    with torch.no_grad():
        circuit.weights.zero_()
    values = circuit(torch.tensor([math.pi / 2, 0.4]))
    expected = torch.tensor([math.sin(0.4), -math.cos(0.4), 0.0])
    torch.testing.assert_close(values, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_directions_of_readout_error(backend):
    """|0> is read as 1 with probability a, |1> as 0 with b; a word has one factor for each wire."""
    noise = sqdr.NoiseModel(readout_error=sqdr.ReadoutError(0.1, 0.3))
    options = {"encoding": "X", "rotation": "X", "observables": ["Z0", "Z1", "Z0 Z1"], "noise": noise}
    circuit = sqdr.create_circuit(backend, 2, 1, **options)
    with torch.no_grad():
        circuit.weights.zero_()
    values = circuit(torch.tensor([0.0, math.pi]))
    expected = torch.tensor([0.8, -0.4, -0.32])  # 1 - 2a, 2b - 1 and their product
    torch.testing.assert_close(values, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_two_wire_depolarizing_scales_each_string_once(backend):
    """By 1 - 16 p / 15 for Z0, Z1 and Z0 Z1 alike, on a product state that CZ leaves alone."""
    noise = sqdr.NoiseModel(after_entangler=(sqdr.TwoWireDepolarizing(0.3),))
    options = {"encoding": "Z", "rotation": "Z", "observables": ["Z0", "Z1", "Z0 Z1"], "noise": noise}
    values = sqdr.create_circuit(backend, 2, 2, **options)(torch.zeros(2))
    torch.testing.assert_close(values, torch.full((3,), 1 - 16 * 0.3 / 15), atol=1e-5, rtol=0)
