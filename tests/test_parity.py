"""Every backend against the oracle and closed forms, each case its own test."""

import math

import numpy as np
import oracle
import pytest
import torch
from cases import ALL_NOISE, BACKENDS, CHANNELS, NOISY_BACKENDS, Case, oracle_gradients, oracle_values

NOISELESS = [
    Case(n_wires, n_blocks, entanglement)
    for n_wires in (1, 2, 3, 5)
    for n_blocks in (1, 2, 3)
    for entanglement in ("none", "linear", "circular", "pairs")
]
NOISY = [
    Case(n_wires, n_blocks, entanglement, *ALL_NOISE)
    for n_wires, n_blocks in ((1, 1), (1, 3), (2, 2), (3, 1), (3, 2), (3, 3), (4, 3))
    for entanglement in ("none", "linear", "circular", "pairs")
]
ONE_CHANNEL = [Case(3, 2, "linear", after_rotation=((name, 0.3),)) for name in CHANNELS] + [
    Case(3, 3, "circular", after_entangler=((name, 0.3),)) for name in CHANNELS
]
ONE_CHANNEL_IDS = [f"{place}-{name}" for place in ("rotation", "entangler") for name in CHANNELS]
PRECISIONS = [
    pytest.param("native", torch.float64, 1e-10, id="native-float64"),
    pytest.param("pennylane", torch.float64, 1e-10, id="pennylane-float64"),
    pytest.param("native", torch.float32, 1e-5, id="native-float32"),
    pytest.param("pennylane", torch.float32, 1e-5, id="pennylane-float32"),
    pytest.param("torchquantum", torch.float32, 1e-5, id="torchquantum-float32"),
]
NOISY_PRECISIONS = PRECISIONS[:-1]


def check_values(case, backend, dtype, tolerance):
    angles, weights = case.draw()
    values = case.circuit(backend, weights, dtype)(torch.as_tensor(angles, dtype=dtype))
    assert values.dtype == dtype
    np.testing.assert_allclose(values.detach(), oracle_values(case), rtol=0, atol=tolerance)


def check_gradients(case, backend, dtype, tolerance):
    angles, weights = case.draw()
    circuit = case.circuit(backend, weights, dtype)
    sample = torch.as_tensor(angles[0], dtype=dtype).requires_grad_()
    (circuit(sample) * torch.linspace(1, 2, case.n_wires, dtype=dtype)).sum().backward()
    of_angles, of_weights = oracle_gradients(case)
    np.testing.assert_allclose(sample.grad, of_angles, rtol=0, atol=tolerance)
    np.testing.assert_allclose(circuit.weights.grad, of_weights, rtol=0, atol=tolerance)


@pytest.mark.parametrize(("backend", "dtype", "tolerance"), PRECISIONS)
@pytest.mark.parametrize("case", NOISELESS, ids=str)
def test_values(case, backend, dtype, tolerance):
    check_values(case, backend, dtype, tolerance)


@pytest.mark.parametrize(("backend", "dtype", "tolerance"), PRECISIONS)
@pytest.mark.parametrize("case", NOISELESS, ids=str)
def test_gradients(case, backend, dtype, tolerance):
    check_gradients(case, backend, dtype, 4 * tolerance)


@pytest.mark.parametrize(("backend", "dtype", "tolerance"), NOISY_PRECISIONS)
@pytest.mark.parametrize("case", NOISY, ids=str)
def test_values_with_noise(case, backend, dtype, tolerance):
    check_values(case, backend, dtype, tolerance)


@pytest.mark.parametrize(("backend", "dtype", "tolerance"), NOISY_PRECISIONS)
@pytest.mark.parametrize("case", NOISY, ids=str)
def test_gradients_with_noise(case, backend, dtype, tolerance):
    check_gradients(case, backend, dtype, 4 * tolerance)


@pytest.mark.parametrize(("backend", "dtype", "tolerance"), NOISY_PRECISIONS)
@pytest.mark.parametrize("case", ONE_CHANNEL, ids=ONE_CHANNEL_IDS)
def test_each_channel_alone(case, backend, dtype, tolerance):
    check_values(case, backend, dtype, tolerance)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shape", [(), (1,), (4,), (2, 3), (1, 1), (2, 1, 2)], ids=str)
@pytest.mark.parametrize("n_wires", [1, 3])
def test_leading_axes(backend, shape, n_wires):
    case = Case(n_wires, 2)
    angles, weights = case.draw(math.prod(shape))
    angles = torch.as_tensor(angles, dtype=torch.float32).reshape(*shape, 3 * n_wires)
    values = case.circuit(backend, weights, torch.float32)(angles)
    assert values.shape == (*shape, n_wires)
    expected = oracle.batch_expectation_values(
        angles.reshape(-1, 3 * n_wires).double().numpy(), weights, case.pairs
    )
    np.testing.assert_allclose(values.detach().reshape(-1, n_wires), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("n_blocks", [2, 3])
def test_row_of_a_batch_is_the_single_sample(backend, n_blocks):
    case = Case(3, n_blocks, "circular")
    angles, weights = case.draw()
    angles = torch.as_tensor(angles, dtype=torch.float32)
    circuit = case.circuit(backend, weights, torch.float32)
    torch.testing.assert_close(circuit(angles)[2], circuit(angles[2]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_block_without_data_is_the_cosine_of_theta(backend):
    """RZ leaves <Z> alone, so for one block <Z_i> = cos(theta_i)."""
    theta = torch.linspace(-3, 3, 4)
    weights = torch.zeros(1, 4, 3)
    weights[0, :, 1] = theta
    weights[0, :, 0] = 0.7
    values = Case(4, 1).circuit(backend, weights, torch.float32)(torch.zeros(12))
    torch.testing.assert_close(values.detach(), torch.cos(theta), rtol=0, atol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_graph_state_stabiliser(backend):
    """|+> on every wire, CZ along the chain, then H-like rotations of wire 1 alone measure X_1 there.

    X_1 Z_0 Z_2 stabilises the state, so X_1 itself averages to zero; with wires 0 and 2 left in |0>
    the CZ gates do nothing and X_1 is one.
    """
    half_pi = math.pi / 2
    weights = torch.zeros(2, 3, 3)
    weights[0, 1, 1] = half_pi
    weights[1, 1, 1] = -half_pi
    product = Case(3, 2).circuit(backend, weights, torch.float32)(torch.zeros(9))
    torch.testing.assert_close(product.detach(), torch.ones(3), rtol=0, atol=1e-6)
    weights[0, :, 1] = half_pi
    graph = Case(3, 2).circuit(backend, weights, torch.float32)(torch.zeros(9))
    torch.testing.assert_close(graph.detach(), torch.zeros(3), rtol=0, atol=1e-6)


@pytest.mark.parametrize("source", BACKENDS)
@pytest.mark.parametrize("target", BACKENDS)
def test_to_backend_keeps_the_output(source, target):
    case = Case(3, 3, "circular")
    angles, weights = case.draw()
    angles = torch.as_tensor(angles, dtype=torch.float32)
    circuit = case.circuit(source, weights, torch.float32)
    moved = circuit.to_backend(target)
    assert type(moved).__module__.startswith(f"sqdr.backends.{target}")
    torch.testing.assert_close(moved(angles), circuit(angles), rtol=0, atol=1e-5)


@pytest.mark.parametrize("source", BACKENDS)
@pytest.mark.parametrize("target", BACKENDS)
def test_state_dict_moves_between_backends(source, target):
    case = Case(3, 2)
    angles, weights = case.draw()
    angles = torch.as_tensor(angles, dtype=torch.float32)
    circuit = case.circuit(source, weights, torch.float32)
    other = case.circuit(target, 0 * weights, torch.float32)
    other.load_state_dict(circuit.state_dict())
    assert list(circuit.state_dict()) == ["weights"]
    torch.testing.assert_close(other(angles), circuit(angles), rtol=0, atol=1e-5)


@pytest.mark.parametrize("backend", NOISY_BACKENDS)
def test_full_depolarisation_leaves_nothing(backend):
    """Depolarizing(3/4) is the completely depolarising channel."""
    case = Case(3, 2, after_rotation=(("Depolarizing", 0.75),))
    angles, weights = case.draw()
    values = case.circuit(backend, weights)(torch.as_tensor(angles))
    torch.testing.assert_close(values, torch.zeros_like(values), rtol=0, atol=1e-12)


@pytest.mark.parametrize("backend", NOISY_BACKENDS)
def test_full_damping_returns_to_the_ground_state(backend):
    case = Case(3, 2, after_rotation=(("AmplitudeDamping", 1.0),), readout_error=0.1)
    angles, weights = case.draw()
    values = case.circuit(backend, weights)(torch.as_tensor(angles))
    torch.testing.assert_close(values, torch.full_like(values, 0.8), rtol=0, atol=1e-12)
