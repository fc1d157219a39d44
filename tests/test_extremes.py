"""Numbers at the ends of their range: angles, strengths, shots, precisions."""

import math

import numpy as np
import pytest
import torch
from cases import BACKENDS, EVERY_ENGINE

import sqdr
from sqdr.testing import reference
from sqdr.testing.cases import CHANNELS, Case, reference_strength_gradients

SOME_NOISE = {"after_rotation": (("AmplitudeDamping", 0.1),), "after_entangler": (("BitFlip", 0.1),)}
NOISES = pytest.mark.parametrize("noise", [{}, SOME_NOISE], ids=["noiseless", "noisy"])


def assert_valid(values, *gradients):
    assert values.abs().max() <= 1 + 1e-6
    assert all(gradient.isfinite().all() for gradient in gradients)


@NOISES
@pytest.mark.parametrize("largest", [1e6, 1e-12], ids=str)
@EVERY_ENGINE
def test_extreme_angles_give_the_value_of_the_float32_angles(
    backend, options, n_blocks, entanglement, largest, noise
):
    """Whole numbers, whose sums float32 holds exactly, so that nothing is rounded before the cosine."""
    case = Case(3, n_blocks, entanglement, **noise)
    generator = np.random.default_rng(0)
    angles = generator.uniform(-1, 1, (3, 9))
    angles = np.float32(largest * angles) if largest < 1 else np.round(largest * angles)
    weights = np.round(generator.uniform(-9, 9, (n_blocks, 3, 3)))
    circuit = case.circuit(backend, weights, torch.float32, **options)
    batch = torch.as_tensor(angles, dtype=torch.float32).requires_grad_()
    values = circuit(batch)
    values.sum().backward()
    expected = reference.expectation_values(angles, weights, **case.in_reference)
    np.testing.assert_allclose(values.detach(), expected, rtol=0, atol=1e-5)
    assert_valid(values, batch.grad, circuit.weights.grad)


@pytest.mark.parametrize("largest", [1e6, 1e30], ids=str)
@EVERY_ENGINE
def test_rounded_angles_stay_in_range(backend, options, n_blocks, entanglement, largest):
    case = Case(3, n_blocks, entanglement)
    angles, weights = case.draw(8)
    circuit = case.circuit(backend, weights, torch.float32, **options)
    batch = torch.as_tensor(largest * angles, dtype=torch.float32).requires_grad_()
    values = circuit(batch)
    values.sum().backward()
    assert_valid(values, batch.grad, circuit.weights.grad)


@NOISES
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@EVERY_ENGINE
def test_a_sample_that_is_not_finite_is_nan_and_changes_no_other(
    backend, options, n_blocks, entanglement, bad, noise
):
    case = Case(4, n_blocks, entanglement, **noise)
    angles, weights = case.draw(3)
    circuit = case.circuit(backend, weights, torch.float32, **options)
    batch = torch.as_tensor(angles, dtype=torch.float32)
    expected = circuit(batch).detach()
    batch[1, 1] = bad
    values = circuit(batch.requires_grad_())
    others = values[[0, 2]]
    torch.testing.assert_close(others, expected[[0, 2]], rtol=0, atol=1e-6)
    assert values[1, 0].isnan()
    (gradient,) = torch.autograd.grad(others.sum(), batch)
    assert gradient[[0, 2]].isfinite().all()


DRAWN = {
    "shots": {"shots": 10},
    "author-code": {"noise": sqdr.NoiseModel.preset("author-code")},
    "noise with shots": {"shots": 10, "noise": sqdr.NoiseModel((sqdr.BitFlip(0.1),))},
}


@pytest.mark.parametrize("options", DRAWN.values(), ids=DRAWN)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_sample_that_is_not_finite_is_nan_where_noise_or_shots_are_drawn(backend, bad, options):
    angles = torch.ones(2, 6)
    angles[0, 1] = bad
    angles.requires_grad_()
    values = sqdr.create_circuit(backend, 2, 2, **options)(angles)
    assert values[0].isnan().all()
    values[1].sum().backward()
    assert_valid(values[1], angles.grad[1])


@pytest.mark.parametrize("strength", [0.0, 1.0])
@pytest.mark.parametrize("channels", [*([name] for name in CHANNELS), list(CHANNELS)], ids="+".join)
@EVERY_ENGINE
def test_trained_strengths_at_the_ends_of_their_range(
    backend, options, n_blocks, entanglement, channels, strength
):
    named = tuple((name, strength) for name in channels)
    case = Case(3, n_blocks, entanglement, named, named, strength)
    angles, weights = case.draw(2)
    circuit = case.circuit(backend, weights, noise=case.trainable_noise, **options)
    batch = torch.as_tensor(angles, dtype=circuit.weights.dtype).requires_grad_()
    values = circuit(batch)
    values.sum().backward()
    expected = reference.expectation_values(angles, weights, **case.in_reference)
    np.testing.assert_allclose(values.detach(), expected, rtol=0, atol=1e-5)
    assert_valid(values, batch.grad, *(parameter.grad for parameter in circuit.parameters()))


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradients_of_strengths_of_zero(backend):
    named = tuple((name, 0.0) for name in CHANNELS)
    case = Case(3, 2, "linear", named, named)
    angles, weights = case.draw()
    circuit = case.circuit(backend, weights, noise=case.trainable_noise)
    sample = torch.as_tensor(angles[0], dtype=circuit.weights.dtype)
    (circuit(sample) * torch.linspace(1, 2, 3)).sum().backward()
    gradients = {name: parameter.grad for name, parameter in circuit.named_parameters()}
    expected = reference_strength_gradients(case)
    total = {name: float(gradients[name].sum()) for name in expected}
    by_reference = {name: float(gradient.sum()) for name, gradient in expected.items()}
    assert total == pytest.approx(by_reference, rel=0, abs=1e-4)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_circuit_in_half_precision_computes_in_single(backend, dtype):
    circuit = sqdr.create_circuit(backend, 3, 2, noise=sqdr.NoiseModel((sqdr.BitFlip([0.1] * 3),)))
    circuit = circuit.to(dtype)
    angles = torch.linspace(-3, 3, 9, dtype=dtype).requires_grad_()
    values = circuit(angles)
    values.sum().backward()
    assert values.dtype == circuit.weights.grad.dtype == dtype
    expected = circuit.float()(angles.detach().float())
    torch.testing.assert_close(values.float(), expected, rtol=0, atol=torch.finfo(dtype).eps)


@pytest.mark.parametrize("scale", [0.0, 1e-300, 1e6, -1e38], ids=str)
def test_any_finite_scale_of_the_angles(scale):
    model = sqdr.SQDR_CNN(3, 1, 2, n_wires=3, angle_scale=scale)
    logits = model(torch.rand(2, 1, 8, 8))
    logits.sum().backward()
    assert logits.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
