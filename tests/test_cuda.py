"""On a CUDA device: the values, gradients, draws and resumed runs of the CPU."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from cases import EVERY_ENGINE

import sqdr
from sqdr.testing.cases import ALL_NOISE, Case, reference_gradients, reference_values

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def tolerance_of(backend, gradient=False):
    return (2e-5 if backend == "torchquantum" else 1e-10) * (4 if gradient else 1)


@pytest.mark.parametrize("noise", [(), ALL_NOISE], ids=["noiseless", "noisy"])
@EVERY_ENGINE
def test_values_and_gradients(backend, options, n_blocks, entanglement, noise):
    if backend == "pennylane" and noise:
        entanglement = "none"  # density matrices on a GPU are not what this is about
    case = Case(5, n_blocks, entanglement, *noise)
    angles, weights = case.draw()
    circuit = case.circuit(backend, weights, **options).cuda()
    inputs = torch.as_tensor(angles, dtype=circuit.weights.dtype).cuda().requires_grad_()
    values = circuit(inputs)
    assert values.is_cuda
    expected = torch.as_tensor(reference_values(case)).to(values.device, values.dtype)
    torch.testing.assert_close(values, expected, atol=tolerance_of(backend), rtol=0)
    (values[0] @ torch.as_tensor(case.cotangent).to(values)).backward()
    of_angles, of_weights = reference_gradients(case)
    tolerance = tolerance_of(backend, gradient=True)
    np.testing.assert_allclose(inputs.grad[0].cpu(), of_angles, atol=tolerance, rtol=0)
    np.testing.assert_allclose(circuit.weights.grad.cpu(), of_weights, atol=tolerance, rtol=0)


@pytest.mark.parametrize("n_blocks", [2, 3])
def test_compiled(n_blocks):
    case = Case(5, n_blocks, "linear", *ALL_NOISE)
    angles, weights = case.draw()
    circuit = case.circuit("native", weights, compile=True).cuda()
    inputs = torch.as_tensor(angles).cuda().requires_grad_()
    values = circuit(inputs)
    (values[0] @ torch.as_tensor(case.cotangent).to(values)).backward()
    np.testing.assert_allclose(values.detach().cpu(), reference_values(case), atol=1e-10, rtol=0)
    np.testing.assert_allclose(inputs.grad[0].cpu(), reference_gradients(case)[0], atol=4e-10, rtol=0)


@pytest.mark.parametrize("backend", ["native", "torchquantum"])
def test_drawn_noise_and_shots_are_those_of_the_cpu(backend):
    """Both are drawn from the circuit's own generator, which is on the CPU."""
    noise = sqdr.NoiseModel.preset("author-code")
    circuit = sqdr.create_circuit(backend, 4, 2, noise=noise, shots=100)
    circuit.generator.manual_seed(3)
    on_cuda, angles = copy.deepcopy(circuit).cuda(), torch.rand(6, 12)
    torch.testing.assert_close(on_cuda(angles.cuda()).cpu(), circuit(angles), atol=0.021, rtol=0)


def test_a_strength_that_leaves_its_range_is_reported():
    strength = torch.nn.Parameter(torch.tensor(0.1))
    circuit = sqdr.create_circuit(
        "native", 2, 2, noise=sqdr.NoiseModel((sqdr.BitFlip(strength),))
    ).cuda()
    circuit(torch.rand(3, 6).cuda())
    torch.cuda.synchronize()
    assert next(circuit.buffers(), None) is None
    assert circuit.after_rotation_0_BitFlip.is_cuda


def test_more_samples_than_fit_are_refused():
    circuit = sqdr.create_circuit("native", 20, 3, method="dense").cuda()
    free, _ = torch.cuda.mem_get_info()
    samples = 2 * free // (2**21 * 4)
    angles = torch.zeros(1, 60).cuda().expand(samples, 60)
    with pytest.raises(ValueError, match="Argument `angles` must hold at most"):
        circuit(angles)


def test_the_model_is_that_of_the_cpu():
    torch.manual_seed(0)
    model = sqdr.SQDR_CNN(4, 1, 10, n_wires=6, backend="native").double()
    images = torch.rand(8, 1, 16, 16, dtype=torch.float64)
    expected = model(images)
    expected.square().sum().backward()
    on_cuda = copy.deepcopy(model).cuda()
    on_cuda.zero_grad()
    values = on_cuda(images.cuda())
    values.square().sum().backward()
    torch.testing.assert_close(values.cpu(), expected, atol=1e-8, rtol=0)
    for name, parameter in model.named_parameters():
        found = on_cuda.get_parameter(name).grad.cpu()
        torch.testing.assert_close(found, parameter.grad, atol=1e-7, rtol=1e-6)


def test_a_run_learns_and_resumes(tmp_path):
    from commands import TRAINING

    from sqdr.experiment.options import TrainerOptions
    from sqdr.experiment.training.run import Run

    options = replace(TRAINING, trainer=TrainerOptions(accelerator="gpu"))
    whole = Run(replace(options, run=tmp_path / "whole")).train(show_progress=False)
    assert whole > 0.5
    assert Run(replace(options, run=tmp_path / "whole"), resume=True).train() == whole
