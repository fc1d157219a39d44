"""On a CUDA device: the values, gradients, draws and resumed runs of the CPU."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from cases import EVERY_ENGINE
from commands import TRAINING, read_rows

import sqdr
from sqdr.experiment.options import TrainerOptions
from sqdr.experiment.training.run import Run
from sqdr.testing.cases import ALL_NOISE, Case, reference_gradients, reference_values

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def tolerance_of(backend, gradient=False):
    return (2e-5 if backend == "torchquantum" else 1e-10) * (4 if gradient else 1)


@pytest.mark.parametrize("noise", [(), ALL_NOISE], ids=["noiseless", "noisy"])
@EVERY_ENGINE
def test_values_and_gradients(backend, options, n_blocks, entanglement, noise):
    if backend == "pennylane" and noise:
        n_blocks = 2  # density matrices take their time
    case = Case(5, n_blocks, entanglement, *noise)
    angles, weights = case.draw()
    circuit = case.circuit(backend, weights, **options).cuda()
    inputs = torch.as_tensor(angles, dtype=circuit.weights.dtype).cuda().requires_grad_()
    values = circuit(inputs)
    assert values.is_cuda
    expected = torch.as_tensor(reference_values(case)).to(values.device, values.dtype)
    torch.testing.assert_close(values, expected, atol=tolerance_of(backend), rtol=0)
    (values[0] @ torch.as_tensor(case.cotangent).to(values)).backward()
    expected = reference_gradients(case)
    tolerance = tolerance_of(backend, gradient=True)
    np.testing.assert_allclose(inputs.grad[0].cpu(), expected["angles"], atol=tolerance, rtol=0)
    np.testing.assert_allclose(circuit.weights.grad.cpu(), expected["weights"], atol=tolerance, rtol=0)


WORDS = {"observables": ["Z0", "X1 Y2", "Z0 Z3"]}
SPLIT = {"encoding": "XY", "rotation": "ZXZ", "inputs": "split", "scaling": True, "entangler": "ZZ"}
NOISE = sqdr.NoiseModel((sqdr.AmplitudeDamping([0.1, 0.2, 0.0, 0.3]),), (sqdr.BitFlip(0.05),), 0.02)
OF_DEVICES = sqdr.NoiseModel(
    (sqdr.Depolarizing(0.03),), (sqdr.TwoWireDepolarizing(0.1),), sqdr.ReadoutError(0.01, 0.03)
)


@pytest.mark.parametrize("noise", [None, NOISE, OF_DEVICES], ids=["noiseless", "noisy", "of devices"])
@pytest.mark.parametrize("options", [SPLIT, WORDS, SPLIT | WORDS | {"entanglement": "full"}], ids=str)
@pytest.mark.parametrize("n_blocks", [2, 3])
@pytest.mark.parametrize("backend", ["native", "torchquantum", "pennylane"])
def test_members_of_the_family_are_those_of_the_cpu(backend, n_blocks, options, noise):
    if backend == "pennylane" and noise:
        n_blocks = 2  # density matrices take their time
    circuit = sqdr.create_circuit(
        "native", 4, n_blocks, noise=noise, dtype=torch.float64, **options
    ).to_backend(backend)
    angles = torch.rand(5, circuit.n_features, dtype=circuit.weights.dtype)
    expected = circuit(angles)
    expected.square().sum().backward()
    on_cuda = copy.deepcopy(circuit).cuda()
    on_cuda.zero_grad()
    values = on_cuda(angles.cuda())
    values.square().sum().backward()
    torch.testing.assert_close(values.cpu(), expected, atol=tolerance_of(backend), rtol=0)
    tolerance = tolerance_of(backend, gradient=True)
    for name, parameter in circuit.named_parameters():
        found = on_cuda.get_parameter(name).grad.cpu()
        torch.testing.assert_close(found, parameter.grad, atol=tolerance, rtol=0)


@pytest.mark.parametrize(
    ("n_blocks", "n_before"),
    [(2, 3), (3, 4)],  # PyTorch 2.11 cannot compile three blocks for a second number of samples
)
def test_compiled(n_blocks, n_before):
    case = Case(5, n_blocks, "linear", *ALL_NOISE)
    angles, weights = case.draw()
    circuit = case.circuit("native", weights, compile=True).cuda()
    circuit(torch.rand(n_before, 15).double().cuda()).sum().backward()
    inputs = torch.as_tensor(angles).cuda().requires_grad_()
    values = circuit(inputs)
    (values[0] @ torch.as_tensor(case.cotangent).to(values)).backward()
    np.testing.assert_allclose(values.detach().cpu(), reference_values(case), atol=1e-10, rtol=0)
    of_angles = reference_gradients(case)["angles"]
    np.testing.assert_allclose(inputs.grad[0].cpu(), of_angles, atol=4e-10, rtol=0)


@pytest.mark.parametrize("backend", ["native", "torchquantum"])
def test_drawn_noise_and_shots_are_those_of_the_cpu(backend):
    """Both are drawn from the circuit's own generator, which is on the CPU."""
    noise = sqdr.NoiseModel.preset("author-code")
    circuit = sqdr.create_circuit(backend, 4, 2, noise=noise, shots=100)
    circuit.generator.manual_seed(3)
    on_cuda, angles = copy.deepcopy(circuit).cuda(), torch.rand(6, 12)
    torch.testing.assert_close(on_cuda(angles.cuda()).cpu(), circuit(angles), atol=0.021, rtol=0)


def test_trained_strengths_move_with_the_circuit():
    strength = torch.nn.Parameter(torch.tensor(0.1))
    noise = sqdr.NoiseModel((sqdr.BitFlip(strength),))
    circuit = sqdr.create_circuit("native", 2, 2, noise=noise)
    angles = torch.rand(3, 6)
    circuit(angles).sum().backward()
    on_cuda = copy.deepcopy(circuit).cuda()
    on_cuda.zero_grad()
    on_cuda(angles.cuda()).sum().backward()
    found = on_cuda.after_rotation_0_BitFlip.grad
    torch.testing.assert_close(found.cpu(), strength.grad, atol=1e-5, rtol=0)


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


def test_a_run_learns_and_is_finished_when_it_is_resumed(tmp_path):
    trainer = TrainerOptions(accelerator="gpu")
    options = replace(TRAINING, epochs=15, trainer=trainer, run=tmp_path / "run")
    accuracy = Run(options).train(show_progress=False)
    losses = [float(row["training_loss"]) for row in read_rows(tmp_path / "run" / "metrics.csv")]
    assert losses[-1] < losses[0]
    assert Run(options, resume=True).train() == accuracy
