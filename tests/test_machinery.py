"""Circuits and models under torch's own machinery: what it does to any module, it does to them."""

import copy
import multiprocessing
import warnings

import pytest
import torch
from cases import BACKENDS
from torch import nn
from torch.func import functional_call, jacfwd, jacrev, stack_module_state, vmap
from torch.nn.utils.parametrize import register_parametrization
from torch.optim.swa_utils import AveragedModel, update_bn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, Dataset

import sqdr


def trained_noise():
    """Strengths that are trained, for all wires and for each, and ones that are not."""
    return sqdr.NoiseModel(
        (sqdr.BitFlip(nn.Parameter(torch.full((4,), 0.1))), sqdr.AmplitudeDamping(0.2)),
        (sqdr.PhaseFlip([0.1, 0.2, 0.3, 0.0]),),
        nn.Parameter(torch.tensor(0.05)),
    )


KRAUS = sqdr.NoiseModel((sqdr.Kraus([[[0.6, -0.8j], [-0.8j, 0.6]]]),), readout_error=0.1)
TRIANGLE = [(0, 1), (1, 2), (0, 2)]
SHAPES = {
    "chain of two blocks": (2, "linear"),
    "pairs of two blocks": (2, TRIANGLE),
    "causal cone": (3, "linear"),
    "dense": (3, TRIANGLE),
    "unentangled": (3, "none"),
}
NOISES = {"noiseless": lambda: None, "trained noise": trained_noise, "Kraus": lambda: KRAUS}


@pytest.fixture(params=SHAPES.values(), ids=SHAPES)
def shape(request):
    return request.param


@pytest.fixture(params=NOISES.values(), ids=NOISES)
def make(request, shape):
    """Makes a circuit, with other weights each time."""
    n_blocks, entanglement = shape
    return lambda: sqdr.create_circuit(
        "native", 4, n_blocks, entanglement=entanglement, noise=request.param()
    )


@pytest.fixture
def angles():
    return torch.rand(3, 12, generator=torch.Generator().manual_seed(0))


def gradients(evaluate, angles, circuit):
    inputs = [angles.clone().requires_grad_(), *circuit.parameters()]
    return torch.autograd.grad(evaluate(inputs[0]).sum(), inputs)


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_a_checkpoint_has_the_gradients_of_the_circuit(make, angles, use_reentrant):
    circuit = make()
    expected = gradients(circuit, angles, circuit)
    given = angles.clone().requires_grad_()
    checkpoint(circuit, given, use_reentrant=use_reentrant).sum().backward()
    found = given.grad, *(parameter.grad for parameter in circuit.parameters())
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_checkpoint_would_draw_other_noise_and_says_so(backend, angles):
    circuit = sqdr.create_circuit(backend, 4, 2, noise=sqdr.NoiseModel.preset("author-code"))
    value = checkpoint(circuit, angles.requires_grad_(), use_reentrant=False).sum()
    with pytest.raises(RuntimeError, match=r"^A circuit with drawn noise or shots cannot be evaluated"):
        value.backward()


def test_a_checkpoint_of_shots_has_the_gradients_of_the_circuit(angles):
    circuit = sqdr.create_circuit("native", 4, 2, shots=10)
    expected = gradients(circuit, angles, circuit)
    found = gradients(lambda a: checkpoint(circuit, a, use_reentrant=False), angles, circuit)
    torch.testing.assert_close(found, expected)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::FutureWarning")
def test_jit_trace(make, angles):
    circuit = make()
    traced = torch.jit.trace(circuit, torch.rand(5, 12))
    torch.testing.assert_close(traced(angles), circuit(angles))


@pytest.mark.parametrize("how", ["assign", "to_empty", "to_empty of values"])
def test_weights_loaded_into_a_circuit_made_without_values(make, angles, how):
    real = make()
    with torch.device("cpu" if how == "to_empty of values" else "meta"):
        circuit = make()
    if how != "assign":
        circuit.to_empty(device="cpu")
    circuit.load_state_dict(real.state_dict(), assign=how == "assign")
    torch.testing.assert_close(circuit(angles), real(angles), rtol=0, atol=0)


@pytest.mark.parametrize("how", ["assign", "to_empty"])
def test_weights_loaded_into_a_model_made_without_values(how):
    real = sqdr.SQDR_CNN(2, 1, 3, n_wires=4, entanglement=TRIANGLE).eval()
    with torch.device("meta"):
        model = sqdr.SQDR_CNN(2, 1, 3, n_wires=4, entanglement=TRIANGLE).eval()
    if how == "to_empty":
        model.to_empty(device="cpu")
    model.load_state_dict(real.state_dict(), assign=how == "assign")
    images = torch.rand(2, 1, 8, 8)
    torch.testing.assert_close(model(images), real(images), rtol=0, atol=0)


def test_functional_call(make, angles):
    circuit = make()
    other = {name: torch.rand_like(p).requires_grad_() for name, p in circuit.named_parameters()}
    values = functional_call(circuit, other, (angles,))
    found = torch.autograd.grad(values.sum(), list(other.values()))
    circuit.load_state_dict(other, strict=False)
    torch.testing.assert_close(values, circuit(angles))
    torch.testing.assert_close(found, torch.autograd.grad(circuit(angles).sum(), circuit.parameters()))


def test_an_ensemble_by_vmap_over_every_parameter(make, angles):
    circuits = [make() for _ in range(3)]
    parameters, buffers = stack_module_state(circuits)
    values = vmap(lambda p, b: functional_call(circuits[0], (p, b), (angles,)))(parameters, buffers)
    torch.testing.assert_close(values, torch.stack([circuit(angles) for circuit in circuits]))


def test_a_bad_strength_is_reported_in_an_ensemble(angles):
    circuits = [sqdr.create_circuit("native", 4, 2, noise=trained_noise()) for _ in range(2)]
    parameters, buffers = stack_module_state(circuits)
    parameters["readout_error"] = torch.tensor([0.1, 1.1])
    with pytest.raises(sqdr.ArgumentError, match=r"^Argument `readout_error` must .* holds 1\.1"):
        vmap(lambda p, b: functional_call(circuits[0], (p, b), (angles,)))(parameters, buffers)


def test_jacobians_of_both_modes_agree(make, angles):
    circuit = make()

    def values(parameters):
        return functional_call(circuit, parameters, (angles,)).sum(0)

    parameters = dict(circuit.named_parameters())
    torch.testing.assert_close(jacrev(values)(parameters), jacfwd(values)(parameters))


def test_export(make, angles):
    circuit = make().eval()
    torch.testing.assert_close(
        torch.export.export(circuit, (angles,)).module()(angles), circuit(angles)
    )


def test_another_default_device_changes_nothing(make, angles):
    circuit = make()
    expected = gradients(circuit, angles, circuit)
    torch.set_default_device("meta")
    try:
        found = gradients(circuit, angles, circuit)
        copied = copy.deepcopy(circuit)
        of_copy = gradients(copied, angles, copied)
    finally:
        torch.set_default_device(None)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(of_copy, expected)


def test_deterministic_algorithms(make, angles):
    circuit = make()
    expected = gradients(circuit, angles, circuit)
    torch.use_deterministic_algorithms(True)
    try:
        found = gradients(circuit, angles, circuit)
    finally:
        torch.use_deterministic_algorithms(False)
    torch.testing.assert_close(found, expected)


def test_training_after_inference_mode(make, angles):
    circuit = make()
    expected = gradients(circuit, angles, circuit)
    with torch.inference_mode():
        circuit(angles)
    torch.testing.assert_close(gradients(circuit, angles, circuit), expected)


def test_an_average_of_weights(make, angles):
    circuit, other = make(), make()
    averaged = AveragedModel(circuit)
    for model in (circuit, other):
        averaged.update_parameters(model)
    with torch.no_grad():
        for mine, its in zip(circuit.parameters(), other.parameters(), strict=True):
            mine.add_(its).div_(2)
    torch.testing.assert_close(averaged(angles), circuit(angles))


def test_the_batch_normalisation_of_an_average():
    model = sqdr.SQDR_CNN(2, 1, 3, n_wires=2)
    averaged = AveragedModel(model)
    images = torch.rand(8, 1, 8, 8)
    update_bn([images], averaged)
    model.train()(images)
    norms = [m for m in averaged.modules() if isinstance(m, nn.BatchNorm2d)]
    assert all(int(m.num_batches_tracked) == 1 for m in norms)
    assert norms


class Twice(nn.Module):
    def forward(self, weights):
        return 2 * weights


class Sigmoid(nn.Module):
    def forward(self, raw):
        return torch.sigmoid(raw)

    def right_inverse(self, p):
        return torch.logit(p)


@pytest.mark.parametrize("backend", BACKENDS[1:])
def test_a_parametrised_circuit_moves_to_another_backend(backend, angles):
    circuit = sqdr.create_circuit("native", 4, 2, noise=trained_noise())
    register_parametrization(circuit, "weights", Twice())
    register_parametrization(circuit, "after_rotation_0_BitFlip", Sigmoid())
    circuit(angles).sum().backward()
    moved = circuit.to_backend(backend)
    torch.testing.assert_close(moved(angles), circuit(angles), rtol=0, atol=1e-5)
    assert isinstance(moved.after_rotation_0_BitFlip, nn.Parameter)


def test_two_channels_of_one_strength_share_it_on_another_backend():
    shared = nn.Parameter(torch.tensor(0.1))
    noise = sqdr.NoiseModel((sqdr.BitFlip(shared), sqdr.PhaseFlip(shared)))
    moved = sqdr.create_circuit("native", 2, 2, noise=noise).to_backend("torchquantum")
    assert moved.after_rotation_0_BitFlip is moved.after_rotation_1_PhaseFlip
    assert moved.after_rotation_0_BitFlip is not shared


# Processes


class Draws(Dataset):
    """Values of a circuit whose noise is drawn, one evaluation for each item."""

    def __init__(self):
        self.circuit = sqdr.create_circuit("native", 3, 2, noise=sqdr.NoiseModel.preset("author-code"))

    def __len__(self):
        return 8

    def __getitem__(self, _):
        with torch.no_grad():
            return self.circuit(torch.arange(9.0))


def draws_of_workers(draws, context, epochs=2):
    loader = DataLoader(draws, num_workers=2, batch_size=1, multiprocessing_context=context)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
        return torch.cat([values for _ in range(epochs) for values in loader])


@pytest.mark.parametrize(
    ("context", "epochs", "is_made"),
    [("fork", 2, True), ("fork", 2, False), ("spawn", 1, True)],
    ids=["generator there", "no generator yet", "spawn"],
)
def test_workers_and_epochs_draw_for_themselves_and_reproducibly(context, epochs, is_made):
    draws = Draws()
    if is_made:
        draws.circuit.generator.manual_seed(0)
    torch.manual_seed(1)
    found = draws_of_workers(draws, context, epochs)
    assert len(found.unique(dim=0)) == len(found)
    torch.manual_seed(1)
    assert torch.equal(draws_of_workers(draws, context, epochs), found)


def _send_draw(circuit, connection):
    connection.send(circuit(torch.arange(9.0)).tolist())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_forked_processes_draw_for_themselves():
    context = multiprocessing.get_context("fork")
    circuit = Draws().circuit
    found = []
    for _ in range(3):
        here, there = context.Pipe()
        process = context.Process(target=_send_draw, args=(circuit, there))
        process.start()
        found.append(tuple(here.recv()))
        process.join()
    found.append(tuple(circuit(torch.arange(9.0)).tolist()))
    assert len(set(found)) == 4


def test_two_circuits_of_one_worker_draw_for_themselves():
    class Both(Draws):
        def __init__(self):
            super().__init__()
            self.other = copy.deepcopy(self.circuit)
            self.circuit.generator.manual_seed(0)
            self.other.generator.manual_seed(1)

        def __getitem__(self, _):
            with torch.no_grad():
                return torch.stack([c(torch.arange(9.0)) for c in (self.circuit, self.other)])

    with torch.no_grad():
        both = Both()
        both.other.weights.copy_(both.circuit.weights)
    found = draws_of_workers(both, "fork", 1)
    assert not (found[:, 0] == found[:, 1]).all(-1).any()


def test_a_transform_leaves_nothing_behind():
    circuit = sqdr.create_circuit("native", 3, 3)
    angles = torch.rand(5, 9)

    def value(parameters, sample):
        return torch.func.functional_call(circuit, parameters, (sample,)).sum()

    of_each = torch.func.vmap(torch.func.grad(value), (None, 0))
    gradients = of_each(dict(circuit.named_parameters()), angles)["weights"]
    circuit(angles).sum().backward()  # by kernels, which read memory
    torch.testing.assert_close(gradients.sum(0), circuit.weights.grad)
