"""Random members of the family, with noise in every place: each backend and method beside PennyLane.

PennyLane applies gate after gate and Kraus operator after Kraus operator, and shares no formula with
the engines; `sqdr/backends/pennylane.py` is itself checked beside the reference.
"""

import math

import hypothesis.strategies as st
import pytest
import torch
from cases import BACKENDS, needs_qiskit
from hypothesis import HealthCheck, given, settings
from torch import nn

import sqdr
from sqdr.ansatz import AXES, entangled_pairs

METHODS = ("closed-form", "causal-cone", "dense")
#: A rotation by a small angle around a tilted axis.
GENERATOR = torch.tensor([[0.1, 0.2 - 0.1j], [0.2 + 0.1j, -0.3]], dtype=torch.complex128)
COHERENT = sqdr.Kraus(torch.linalg.matrix_exp(1j * GENERATOR)[None])
CHANNELS = (sqdr.BitFlip, sqdr.PhaseFlip, sqdr.Depolarizing, sqdr.AmplitudeDamping, sqdr.PhaseDamping)

AXIS_WORDS = st.sampled_from(("Rot", "X", "Y", "ZX", "XYZ", "ZYZX"))


@st.composite
def strengths(draw, size):
    """A number, one for each place, or trained."""
    number = st.floats(0.01, 0.3)
    if size > 1 and draw(st.booleans()):
        return draw(st.lists(number, min_size=size, max_size=size))
    value = draw(number)
    return nn.Parameter(torch.tensor(value, dtype=torch.float64)) if draw(st.booleans()) else value


@st.composite
def noises(draw, n_wires, n_pairs):
    def channel():
        return draw(
            st.one_of(
                st.just(COHERENT),
                st.sampled_from(CHANNELS).flatmap(lambda kind: strengths(n_wires).map(kind)),
            )
        )

    def after_entangler():
        if draw(st.booleans()):
            return sqdr.TwoWireDepolarizing(draw(strengths(n_pairs)))
        return channel()

    rotation = [channel() for _ in range(draw(st.integers(0, 1)))]
    entangler = [after_entangler() for _ in range(draw(st.integers(0, 3)))]
    directed = st.builds(sqdr.ReadoutError, strengths(n_wires), strengths(n_wires))
    readout = draw(st.one_of(st.just(0.0), strengths(n_wires), directed))
    return sqdr.NoiseModel(rotation, entangler, readout) or None


@st.composite
def words(draw, n_wires):
    wires = draw(st.lists(st.integers(0, n_wires - 1), min_size=1, max_size=3, unique=True))
    return " ".join(f"{draw(st.sampled_from(AXES))}{wire}" for wire in wires)


@st.composite
def members(draw, noisy):
    """A circuit on native's engine, in float64, with scales that differ from 1, and angles for it."""
    n_wires, n_blocks = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    entanglement = draw(st.sampled_from(("none", "linear", "circular", "full")))
    observables = st.one_of(st.sampled_from(AXES), st.lists(words(n_wires), min_size=1, max_size=4))
    options = {
        "encoding": draw(AXIS_WORDS),
        "rotation": draw(AXIS_WORDS),
        "inputs": draw(st.sampled_from(("repeat", "split"))),
        "scaling": draw(st.booleans()),
        "entangler": draw(st.sampled_from(("CZ", "ZZ"))),
        "entanglement": entanglement,
        "observables": draw(observables),
    }
    n_pairs = len(entangled_pairs(entanglement, n_wires))
    noise = draw(noises(n_wires, n_pairs)) if noisy else None
    torch.manual_seed(draw(st.integers(0, 2**16)))
    circuit = sqdr.create_circuit(
        "native", n_wires, n_blocks, noise=noise, dtype=torch.float64, **options
    )
    if circuit.scaling:
        nn.init.uniform_(circuit.scales, 0.5, 1.5)
    samples = draw(st.sampled_from((1, 2) if noisy else (2, 11)))  # more than a vector holds
    return circuit, 2 * math.pi * torch.rand(samples, circuit.n_features, dtype=torch.float64)


def values_and_gradients(circuit, angles):
    """By name: the values, and the gradients of a sum of them by the angles and by each parameter."""
    angles = angles.clone().requires_grad_()
    values = circuit(angles)
    cotangent = torch.linspace(1, 2, values.numel()).reshape(values.shape).to(values)
    inputs = {"angles": angles, **dict(circuit.named_parameters())}
    total = (values * cotangent).sum()
    found = torch.autograd.grad(total, list(inputs.values()), allow_unused=True)
    gradients = {
        name: torch.zeros_like(tensor) if gradient is None else gradient
        for (name, tensor), gradient in zip(inputs.items(), found, strict=True)
    }
    return {"values": values.detach(), **gradients}


def can_evaluate(circuit, method):
    return method in circuit.methods()


FEW = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("noisy", [False, True], ids=["noiseless", "noisy"])
@pytest.mark.parametrize("method", METHODS)
@FEW
@given(data=st.data())
def test_native(method, noisy, data):
    circuit, angles = data.draw(members(noisy).filter(lambda drawn: can_evaluate(drawn[0], method)))
    found = values_and_gradients(circuit.to_backend("native", method=method), angles)
    expected = values_and_gradients(circuit.to_backend("pennylane"), angles)
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize("noisy", [False, True], ids=["noiseless", "noisy"])
@FEW
@given(data=st.data())
def test_torchquantum(noisy, data):
    circuit, angles = data.draw(members(noisy))
    found = values_and_gradients(circuit.to_backend("torchquantum"), angles.float())
    expected = values_and_gradients(circuit.to_backend("pennylane"), angles)
    assert found.keys() == expected.keys()
    torch.testing.assert_close(
        {name: tensor.double() for name, tensor in found.items()}, expected, atol=1e-4, rtol=0
    )


@pytest.mark.parametrize("backend", [needs_qiskit("qiskit")])
@pytest.mark.parametrize("noisy", [False, True], ids=["noiseless", "noisy"])
@settings(FEW, max_examples=10)
@given(data=st.data())
def test_qiskit(backend, noisy, data):
    circuit, angles = data.draw(members(noisy))
    found = values_and_gradients(circuit.to_backend(backend), angles)
    expected = values_and_gradients(circuit.to_backend("pennylane"), angles)
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=0)


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
