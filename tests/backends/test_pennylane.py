"""What only the PennyLane backend has: devices, differentiation methods, shots, chunks."""

import numpy as np
import pytest
import torch
from cases import PENNYLANE_OPTIONS, gradients
from torch import nn

import sqdr
from sqdr.testing.cases import (
    ALL_NOISE,
    COHERENT,
    TWO_OPERATORS,
    Case,
    reference_gradients,
    reference_values,
)

CASE = Case(3, 2)
NOISY = Case(3, 2, "linear", *ALL_NOISE)


def circuit_of(case=CASE, **options):
    return case.circuit("pennylane", case.draw()[1], **options)


def angles_of(batch=3):
    return torch.as_tensor(CASE.draw(batch)[0])


@PENNYLANE_OPTIONS
def test_devices_and_methods_agree_with_the_native_engine(options):
    """The native engine stands for the reference here, with which it agrees to 1e-10 elsewhere."""
    angles = angles_of()
    expected_circuit = CASE.circuit("native", CASE.draw()[1])
    circuit = circuit_of(**options)
    torch.testing.assert_close(circuit(angles), expected_circuit(angles), rtol=0, atol=1e-12)
    torch.testing.assert_close(
        gradients(circuit, angles), gradients(expected_circuit, angles), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("operators", [COHERENT, TWO_OPERATORS], ids=["one", "two"])
def test_operators_of_a_channel_are_kept_by_the_parameter_shift_rule(operators):
    """PennyLane then makes channels anew, which took the rows of a single operator for operators."""
    case = Case(2, 2, "linear", (("Kraus", operators),))
    angles = torch.as_tensor(case.draw(1)[0]).requires_grad_()
    values = circuit_of(case, diff_method="parameter-shift")(angles)
    np.testing.assert_allclose(values.detach(), reference_values(case)[:1], rtol=0, atol=1e-10)
    (values @ torch.as_tensor(case.cotangent)).sum().backward()
    np.testing.assert_allclose(angles.grad[0], reference_gradients(case)["angles"], rtol=0, atol=1e-10)


@pytest.mark.parametrize("case", [CASE, NOISY], ids=["noiseless", "noisy"])
@pytest.mark.parametrize("chunk_size", [1, 2, 5])
def test_chunks_change_nothing(case, chunk_size):
    angles = angles_of(5)
    whole, chunked = circuit_of(case), circuit_of(case, chunk_size=chunk_size)
    torch.testing.assert_close(chunked(angles), whole(angles), rtol=0, atol=1e-12)
    torch.testing.assert_close(gradients(chunked, angles), gradients(whole, angles))


def test_default_chunk_is_bounded_by_its_memory():
    noise = NOISY.noise
    circuits = [sqdr.create_circuit("pennylane", n_wires, 2, noise=noise) for n_wires in (3, 9)]
    small, large = (circuit._samples_in_chunk(1000) for circuit in circuits)
    assert small >= 1000
    assert large == 2**31 // (16 * 4**9 * 2 * 9 * 8)


def test_shots_of_noise_and_readout_error_average_to_the_exact_value():
    torch.manual_seed(0)
    angles = angles_of(1)
    exact = circuit_of(NOISY)(angles).detach()
    sampled = circuit_of(NOISY, shots=40_000)(angles).detach()
    torch.testing.assert_close(sampled, exact, rtol=0, atol=4 / 200)


def test_gradients_with_shots_are_those_of_the_exact_value_on_average():
    torch.manual_seed(0)
    angles = angles_of(1)
    sampled = gradients(circuit_of(shots=20_000), angles)
    torch.testing.assert_close(sampled, gradients(circuit_of(), angles), rtol=0, atol=0.05)


@pytest.mark.parametrize("channel", [sqdr.AmplitudeDamping, sqdr.PhaseDamping])
def test_gradients_of_damping_with_shots_are_those_of_the_exact_value_on_average(channel):
    """PennyLane's own rule, finite differences, would divide the noise of shots by 1e-7."""

    def gradient(**options):
        strength = nn.Parameter(torch.tensor([0.1, 0.3, 0.6], dtype=torch.float64))
        circuit = circuit_of(noise=sqdr.NoiseModel((channel(strength),)), **options)
        (circuit(angles_of(1)) * torch.linspace(1, 2, 3)).sum().backward()
        return strength.grad

    torch.manual_seed(0)
    torch.testing.assert_close(gradient(shots=20_000), gradient(), rtol=0, atol=0.15)
    exact = gradient(diff_method="parameter-shift")
    torch.testing.assert_close(exact, gradient(), rtol=0, atol=1e-7)


def test_shots_can_be_changed():
    circuit, angles = circuit_of(), angles_of()
    exact = circuit(angles)
    circuit.shots = 3
    counts = 1.5 * (circuit(angles) + 1)
    torch.testing.assert_close(counts, counts.round())
    circuit.shots = None
    assert torch.equal(circuit(angles), exact)


@pytest.mark.parametrize("chunk_size", [1, 2])
def test_chunks_of_trained_noise(chunk_size):
    def evaluate(**options):
        circuit = circuit_of(NOISY, noise=NOISY.trainable_noise, **options)
        values = circuit(angles_of(3))
        return values, torch.autograd.grad(values.sum(), list(circuit.parameters()))

    torch.testing.assert_close(evaluate(chunk_size=chunk_size), evaluate())


def test_noise_needs_the_density_matrix_device():
    with pytest.raises(ValueError, match=r'`device` must be "default.mixed" with noise, but is'):
        circuit_of(NOISY, device="lightning.qubit")


@pytest.mark.parametrize("value", [0, 1.5])
def test_bad_chunk_size(value):
    with pytest.raises(ValueError, match=f"`chunk_size` must be an integer .* but is {value}"):
        circuit_of(chunk_size=value)


def test_unknown_device_is_reported_at_construction():
    with pytest.raises(Exception, match=r"Device no\.such\.device does not exist"):
        circuit_of(device="no.such.device")
