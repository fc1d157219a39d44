"""Every backend against the reference simulator and closed forms, each case its own test."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from cases import BACKENDS, needs_qiskit

import sqdr
from sqdr.noise import Strength
from sqdr.testing import reference
from sqdr.testing.cases import (
    ALL_NOISE,
    CHANNELS,
    Case,
    reference_gradients,
    reference_strength_gradients,
    reference_values,
)

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
PLACES = ("after_rotation", "after_entangler")
ONE_CHANNEL = {
    f"{place}-{name}-{entanglement}": Case(
        3, 3, entanglement, **{place: ((name, (0.3, 0.0, 0.05)),)}, readout_error=(0.0, 0.1, 0.02)
    )
    for place in PLACES
    for name in CHANNELS
    for entanglement in ("linear", "circular")
}
#: Every channel in both places, of strengths that differ between wires or do not.
TRAINABLE = [
    Case(
        3,
        2,
        entanglement,
        tuple((name, (0.02, 0.3, 0.1)) for name in CHANNELS),
        tuple((name, 0.05) for name in reversed(CHANNELS)),
        0.03,
    )
    for entanglement in ("linear", "circular")
]
PRECISIONS = [
    pytest.param("native", torch.float64, 1e-10, id="native-float64"),
    pytest.param("pennylane", torch.float64, 1e-10, id="pennylane-float64"),
    needs_qiskit("qiskit", torch.float64, 1e-10, id="qiskit-float64"),
    pytest.param("native", torch.float32, 1e-5, id="native-float32"),
    pytest.param("pennylane", torch.float32, 1e-5, id="pennylane-float32"),
    pytest.param("torchquantum", torch.float32, 1e-5, id="torchquantum-float32"),
]
#: Each backend at its best.
BEST = [*PRECISIONS[:3], PRECISIONS[-1]]
TOLERANCE = {"native": 1e-10, "pennylane": 1e-10, "torchquantum": 1e-5, "qiskit": 1e-10}


def check_values(case, backend, dtype, tolerance):
    angles, weights = case.draw()
    values = case.circuit(backend, weights, dtype)(torch.as_tensor(angles, dtype=dtype))
    assert values.dtype == dtype
    np.testing.assert_allclose(values.detach(), reference_values(case), rtol=0, atol=tolerance)


def check_gradients(case, backend, dtype, tolerance):
    angles, weights = case.draw()
    circuit = case.circuit(backend, weights, dtype)
    sample = torch.as_tensor(angles[0], dtype=dtype).requires_grad_()
    (circuit(sample) * torch.linspace(1, 2, case.n_wires, dtype=dtype)).sum().backward()
    expected = reference_gradients(case)
    np.testing.assert_allclose(sample.grad, expected["angles"], rtol=0, atol=tolerance)
    np.testing.assert_allclose(circuit.weights.grad, expected["weights"], rtol=0, atol=tolerance)


def check_strength_gradients(case, backend, dtype, tolerance):
    angles, weights = case.draw()
    circuit = case.circuit(backend, weights, dtype, noise=case.trainable_noise)
    sample = torch.as_tensor(angles[0], dtype=dtype).requires_grad_()
    (circuit(sample) * torch.linspace(1, 2, case.n_wires, dtype=dtype)).sum().backward()
    expected = reference_gradients(case) | reference_strength_gradients(case)
    inputs = {"angles": sample, **dict(circuit.named_parameters())}
    assert inputs.keys() == expected.keys()
    for name, gradient in expected.items():
        wanted = gradient if inputs[name].dim() else gradient.sum()
        np.testing.assert_allclose(inputs[name].grad, wanted, rtol=0, atol=tolerance)


@pytest.mark.parametrize(("backend", "dtype", "tolerance"), PRECISIONS)
@pytest.mark.parametrize("case", NOISELESS, ids=str)
def test_values(case, backend, dtype, tolerance):
    check_values(case, backend, dtype, tolerance)


@pytest.mark.parametrize(("backend", "dtype", "tolerance"), PRECISIONS)
@pytest.mark.parametrize("case", NOISELESS, ids=str)
def test_gradients(case, backend, dtype, tolerance):
    check_gradients(case, backend, dtype, 4 * tolerance)


@pytest.mark.parametrize(("backend", "dtype", "tolerance"), PRECISIONS)
@pytest.mark.parametrize("case", NOISY, ids=str)
def test_values_with_noise(case, backend, dtype, tolerance):
    check_values(case, backend, dtype, tolerance)


@pytest.mark.parametrize(("backend", "dtype", "tolerance"), PRECISIONS)
@pytest.mark.parametrize("case", NOISY, ids=str)
def test_gradients_with_noise(case, backend, dtype, tolerance):
    check_gradients(case, backend, dtype, 4 * tolerance)


@pytest.mark.parametrize(("backend", "dtype", "tolerance"), BEST)
@pytest.mark.parametrize("case", ONE_CHANNEL.values(), ids=ONE_CHANNEL)
def test_each_channel_alone(case, backend, dtype, tolerance):
    check_values(case, backend, dtype, tolerance)
    check_strength_gradients(case, backend, dtype, 4 * tolerance)


@pytest.mark.parametrize(("backend", "dtype", "tolerance"), BEST)
@pytest.mark.parametrize("case", TRAINABLE, ids=["linear", "circular"])
def test_all_channels_trained(case, backend, dtype, tolerance):
    check_values(case, backend, dtype, tolerance)
    check_strength_gradients(case, backend, dtype, 4 * tolerance)


@dataclass(frozen=True)
class Scattered(Strength):
    """A strength that differs between blocks, samples and wires."""

    seed: int

    def table(self, *shape):
        return np.random.default_rng(self.seed).uniform(0, 0.5, shape)

    def realise(self, angles, n_blocks, generator):  # noqa: ARG002
        return torch.as_tensor(self.table(n_blocks, *angles.shape[:2]))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("n_blocks", [2, 3])
@pytest.mark.parametrize("entanglement", ["none", "linear", "circular"])
def test_strengths_that_differ_between_blocks_samples_and_wires(backend, n_blocks, entanglement):
    case = Case(3, n_blocks, entanglement)
    angles, weights = case.draw(2)
    strengths = [Scattered(seed) for seed in range(4)]
    noise = sqdr.NoiseModel(
        (sqdr.BitFlip(strengths[0]), sqdr.AmplitudeDamping(strengths[1])),
        (sqdr.AmplitudeDamping(strengths[2]), sqdr.PhaseDamping(strengths[3])),
    )
    values = case.circuit(backend, weights, noise=noise)(torch.as_tensor(angles))
    tables = [strength.table(n_blocks, 2, 3) for strength in strengths]
    of_samples = [table.swapaxes(0, 1) for table in tables]
    expected = reference.expectation_values(
        angles,
        weights,
        case.pairs,
        (("BitFlip", of_samples[0]), ("AmplitudeDamping", of_samples[1])),
        (("AmplitudeDamping", of_samples[2]), ("PhaseDamping", of_samples[3])),
    )
    np.testing.assert_allclose(values.detach(), expected, rtol=0, atol=TOLERANCE[backend])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("entanglement", ["linear", "circular"])
def test_author_code_with_its_draws_reproduced(backend, entanglement):
    case = Case(3, 3, entanglement)
    angles, weights = case.draw(2)
    circuit = case.circuit(backend, weights, noise=sqdr.NoiseModel.preset("author-code"))
    circuit.generator.manual_seed(5)
    drawn = torch.randint(3, (3, 2, 3, 1), generator=torch.Generator().manual_seed(5)).numpy()
    assert (drawn[:, 0] != drawn[:, 1]).any()
    batch = torch.as_tensor(angles, dtype=torch.float64).requires_grad_()
    values = circuit(batch)
    (values[1] * torch.linspace(1, 2, 3)).sum().backward()

    uploads = np.broadcast_to(angles.reshape(2, 1, 3, 3), (2, 3, 3, 3))
    chosen = np.take_along_axis(uploads.swapaxes(0, 1), drawn, -1)[..., 0]
    gamma = 1 / (1 + np.exp(-chosen))
    last = np.array([0, 0, 1])
    for sample in range(2):
        noise = {
            "after_rotation": (
                ("BitFlip", 0.02),
                ("Depolarizing", 0.03),
                ("AmplitudeDamping", gamma[:, sample]),
            ),
            "after_entangler": (("BitFlip", 0.02 * last), ("Depolarizing", 0.03 * last)),
        }
        expected = reference.expectation_values(angles[sample], weights, case.pairs, **noise)
        np.testing.assert_allclose(values[sample].detach(), expected, rtol=0, atol=TOLERANCE[backend])
    # Gradients pass through gamma to the angles.
    cotangent = np.linspace(1, 2, 3)
    of_angles = reference.gradients(angles[1], weights, case.pairs, cotangent, **noise)["angles"]
    of_gamma = reference.strength_gradient(
        angles[1], weights, case.pairs, cotangent, "after_rotation", 2, **noise
    )
    of_chosen = of_gamma * gamma[:, 1] * (1 - gamma[:, 1])
    through_gamma = np.zeros((3, 3))
    for block, wire in np.ndindex(3, 3):
        through_gamma[wire, drawn[block, 1, wire, 0]] += of_chosen[block, wire]
    expected = of_angles + through_gamma.reshape(-1)
    np.testing.assert_allclose(batch.grad[1], expected, rtol=0, atol=4 * TOLERANCE[backend])
    assert not batch.grad[0].any()


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


@pytest.mark.parametrize("backend", BACKENDS)
def test_full_depolarisation_leaves_nothing(backend):
    """Depolarizing(3/4) is the completely depolarising channel."""
    case = Case(3, 2, after_rotation=(("Depolarizing", 0.75),))
    angles, weights = case.draw()
    values = case.circuit(backend, weights)(torch.as_tensor(angles))
    torch.testing.assert_close(values, torch.zeros_like(values), rtol=0, atol=TOLERANCE[backend])


@pytest.mark.parametrize("backend", BACKENDS)
def test_full_damping_returns_to_the_ground_state(backend):
    case = Case(3, 2, after_rotation=(("AmplitudeDamping", 1.0),), readout_error=0.1)
    angles, weights = case.draw()
    values = case.circuit(backend, weights)(torch.as_tensor(angles))
    torch.testing.assert_close(values, torch.full_like(values, 0.8), rtol=0, atol=TOLERANCE[backend])
