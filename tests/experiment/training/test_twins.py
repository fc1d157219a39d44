"""Twins: what stands in the circuit's place, and that all else stays as it is."""

import numpy as np
import pytest
import torch
from torch import nn

import sqdr
from sqdr.experiment.options import ModelOptions, NoiseOptions
from sqdr.experiment.training.preparation import build_model, count_parameters
from sqdr.experiment.training.twins import WireMLP, make_twin
from sqdr.model import SQDR_CNN

TWINS = ("quantum", "frozen", "mlp", "none")


def model_of(circuit, **options):
    torch.manual_seed(0)
    options = {"T": 4, "n_wires": 3, "width": 1, "circuit": circuit} | options
    return build_model(ModelOptions(**options), in_channels=1, num_class=10)


def images_of(batch=4):
    return torch.rand(batch, 1, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("circuit", "parameters"), [("quantum", 18), ("frozen", 0), ("mlp", 18), ("none", 0)]
)
def test_trainable_parameters_in_the_circuit_s_place(circuit, parameters):
    assert count_parameters(model_of(circuit).circuit) == parameters


@pytest.mark.parametrize(("n_blocks", "n_hidden"), [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (20, 12)])
def test_the_mlp_has_the_size_of_the_circuit(n_blocks, n_hidden):
    n_parameters = count_parameters(WireMLP(sqdr.create_circuit("native", 7, n_blocks)))
    assert n_parameters == 7 * (5 * n_hidden + 1)
    nearest = min((5 * n + 1 for n in range(1, 20)), key=lambda size: abs(size - 3 * n_blocks))
    assert n_parameters == 7 * nearest


MEMBER = {"encoding": "XY", "inputs": "split", "scaling": True, "observables": ["Z0", "Z1", "X0", "X1"]}


def test_the_mlp_of_a_member_has_its_features_outputs_and_size():
    circuit = sqdr.create_circuit("native", 2, 2, **MEMBER)
    mlp = WireMLP(circuit)
    assert mlp(torch.rand(3, circuit.n_features)).shape == (3, circuit.n_outputs)
    n_trained = 2 * (6 + 4)  # weights and scales; of 7 h + 2 a wire, 9 is nearest to 10
    assert n_trained == sum(tensor.numel() for tensor in circuit.trained_tensors())
    assert count_parameters(mlp) == 2 * 9


def test_the_mlp_of_a_member_reads_each_wire_s_own_angles_of_all_blocks():
    circuit = sqdr.create_circuit("native", 2, 2, **MEMBER)
    angles = torch.rand(1, 8, requires_grad=True)
    WireMLP(circuit)(angles)[0, :2].sum().backward()  # those of wire 0
    by_block_and_wire = angles.grad[0].reshape(2, 2, 2)
    assert by_block_and_wire[:, 0].all()
    assert not by_block_and_wire[:, 1].any()


def test_the_mlp_is_a_tanh_network_of_each_wire_s_own_angles():
    torch.manual_seed(0)
    mlp, angles = WireMLP(sqdr.create_circuit("native", 2, 3)), torch.randn(5, 6)
    weights, biases, out_weights, out_biases = (p.detach().numpy() for p in mlp.parameters())
    expected = np.zeros((5, 2))
    for image, wire, unit in np.ndindex(5, 2, 2):
        own = angles[image, 3 * wire : 3 * wire + 3].numpy()
        hidden = np.tanh(weights[2 * wire + unit, :, 0] @ own + biases[2 * wire + unit])
        expected[image, wire] += out_weights[wire, unit, 0] * hidden + out_biases[wire] / 2
    np.testing.assert_allclose(mlp(angles).detach().numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("head", ["linear", "linear-relu"])
def test_without_circuit_the_head_reads_the_angles(head):
    model, images = model_of("none", head=head), images_of()
    linear = model.head[0] if head == "linear-relu" else model.head
    logits = model.angles(images) @ linear.weight.T + linear.bias
    assert linear.weight.shape == (10, 9)
    torch.testing.assert_close(model(images), logits.relu() if head == "linear-relu" else logits)


@pytest.mark.parametrize("circuit", TWINS)
def test_twins_share_the_front_end_and_the_random_numbers_that_follow(circuit):
    quantum, expected = model_of("quantum"), torch.rand(3)
    twin, drawn = model_of(circuit), torch.rand(3)
    torch.testing.assert_close(twin.spiking.state_dict(), quantum.spiking.state_dict(), rtol=0, atol=0)
    assert torch.equal(drawn, expected)
    if circuit != "none":
        assert torch.equal(twin.head.weight, quantum.head.weight)


def test_a_frozen_circuit_computes_the_same_and_keeps_its_weights():
    frozen, images = model_of("frozen"), images_of()
    assert torch.equal(frozen(images), model_of("quantum")(images))
    nn.functional.cross_entropy(frozen(images), torch.zeros(4, dtype=torch.long)).backward()
    assert frozen.circuit.weights.grad is None
    assert frozen.spiking.layers[0].weight.grad.abs().max() > 0


def test_all_that_the_gates_train_is_frozen():
    frozen = model_of("frozen", scaling=True, entangler="ZZ")
    assert not any(parameter.requires_grad for parameter in frozen.circuit.parameters())


def test_the_head_reads_the_angles_of_a_member():
    twin = model_of("none", encoding="X", inputs="split", scaling=True)
    assert twin.head.in_features == 6
    assert twin(images_of()).shape == (4, 10)


@pytest.mark.parametrize(
    ("circuit", "options", "message"),
    [
        ("qft", {}, "Argument `circuit` must be one of quantum, frozen, mlp, none, but is 'qft'."),
        ("none", {"head": "none"}, 'Argument `head` must not be "none" for circuit "none", but is.'),
        ("mlp", {"noise": NoiseOptions({"BitFlip": 0.1})}, 'must be empty for circuit "mlp"'),
        ("none", {"noise": NoiseOptions(readout_error=0.1)}, 'must be empty for circuit "none"'),
        (
            "mlp",
            {"observables": ["Z0"]},
            'must be as many for each wire for circuit "mlp", but they are 1',
        ),
    ],
)
def test_refused(circuit, options, message):
    with pytest.raises(ValueError, match="Argument") as refused:
        model_of(circuit, **options)
    assert message in str(refused.value)


@pytest.mark.parametrize("circuit", ["mlp", "none"])
def test_twins_of_models_in_double_precision(circuit):
    twin = make_twin(model_of("quantum").double(), circuit)
    assert twin(images_of()).dtype == torch.float64


def test_without_circuit_and_head_nothing_is_left():
    model = SQDR_CNN(4, 1, 3, n_wires=3, head="none")
    with pytest.raises(
        ValueError, match=r'^Argument `circuit` must not be "none" for a model with head='
    ):
        make_twin(model, "none")
    assert model(images_of()).shape == (4, 3)


def test_a_twin_has_no_twin():
    with pytest.raises(ValueError, match=r"^Argument `model` must have its circuit, but has a WireMLP"):
        make_twin(model_of("mlp"), "none")
