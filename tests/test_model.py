"""SQDR-CNN: the published interface, its checks, and that nothing stays behind between calls."""

import copy
import math
import re

import pytest
import torch
from cases import BACKENDS, DUPLICATES
from torch import nn

import sqdr
from sqdr.backends.native import NativeCircuit


def model_of(**options):
    torch.manual_seed(0)
    return sqdr.SQDR_CNN(4, 1, 10, n_wires=3, **options).eval()


def images_of(batch=4, channels=1, size=16):
    return torch.rand(batch, channels, size, size, generator=torch.Generator().manual_seed(1))


def test_published_example_runs_unchanged():
    """The quickstart of the published README, its missing comma mended."""
    from sqdr_cnn import SQDR_CNN

    T = 10
    IN_CHANNELS = 1
    NUM_CLASS = 10  # Change if needed
    N_QUBITS = 9
    NUM_BLOCK = 2
    DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

    model = SQDR_CNN(T, IN_CHANNELS, NUM_CLASS, n_wires=N_QUBITS, qdr_block=NUM_BLOCK).to(DEVICE)

    output = model(torch.rand(T, IN_CHANNELS, 32, 32, device=DEVICE))
    assert output.shape == (10, 10)


def test_published_signature_by_position():
    model = sqdr.SQDR_CNN(10, 3, 5, 4, 3, "uniform", [0, 1], False)
    assert model.circuit.weights.shape == (3, 4, 3)
    assert 0 <= model.circuit.weights.min() <= model.circuit.weights.max() <= 1
    assert model(images_of(2, 3)).shape == (2, 4)


@pytest.mark.parametrize(
    ("in_channels", "width", "parameters"), [(1, 1, 803), (3, 1, 4315), (1, 4, 6989)]
)
def test_number_of_parameters(in_channels, width, parameters):
    model = sqdr.SQDR_CNN(10, in_channels, 10, width=width)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


def test_published_head_never_gives_negative_logits():
    logits = sqdr.SQDR_CNN.published(4, 1, 10, n_wires=3).eval()(images_of())
    assert logits.min() == 0
    assert logits.max() > 0


def test_linear_head_is_a_linear_map_of_the_expectation_values():
    model, images = model_of(head="linear"), images_of()
    values = model_of(head="none")(images)
    assert isinstance(model.head, nn.Linear)
    torch.testing.assert_close(model(images), values @ model.head.weight.T + model.head.bias)


def test_no_head_gives_the_expectation_values():
    model, images = model_of(use_mlp=False), images_of()
    assert torch.equal(model(images), model.circuit(model.angles(images)))


def test_angles_are_scaled_firing_rates():
    model, images = model_of(head="none", angle_scale=math.pi), images_of()
    assert torch.equal(model(images), model.circuit(math.pi * model.spiking(images)))


@pytest.mark.parametrize("source", BACKENDS)
@pytest.mark.parametrize("target", BACKENDS)
def test_to_backend_gives_an_independent_model_with_the_same_output(source, target):
    model, images = model_of(backend=source, entanglement="circular"), images_of()
    expected = model(images).detach()
    moved = model.to_backend(target)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    torch.testing.assert_close(moved(images), expected, rtol=0, atol=1e-5)
    assert moved.state_dict().keys() == model.state_dict().keys()
    assert not moved.training


def test_noise_reaches_the_circuit():
    noise = sqdr.NoiseModel((sqdr.Depolarizing(0.75),))
    values = model_of(head="none", noise=noise)(images_of())
    torch.testing.assert_close(values, torch.zeros(4, 3), rtol=0, atol=1e-6)


@pytest.mark.parametrize("training", [True, False])
def test_the_same_input_gives_the_same_output(training):
    model, images = model_of().train(training), images_of()
    first = model(images)
    model(images_of(7, size=20))
    assert torch.equal(model(images), first)


def test_rows_do_not_depend_on_each_other_in_eval_mode():
    model, images = model_of(), images_of()
    torch.testing.assert_close(model(images)[2:3], model(images[2:3]), rtol=0, atol=1e-6)


def test_empty_batch_in_eval_mode():
    assert model_of()(images_of(0)).shape == (0, 10)


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_parameter_gets_a_gradient(backend):
    model = model_of(backend=backend, head="linear").train()
    model(images_of()).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())


@pytest.mark.parametrize("backend", BACKENDS)
@DUPLICATES
def test_copies_after_a_training_step(backend, duplicate):
    model, images = model_of(backend=backend).train(), images_of()
    model(images).sum().backward()
    assert torch.equal(duplicate(model.eval())(images), model(images))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (
            torch.zeros(1, 16, 16),
            "have shape (batch, 1, height, width) with height and width of at least 8, "
            "but has shape (1, 16, 16)",
        ),
        (
            torch.zeros(2, 3, 16, 16),
            "have shape (batch, 1, height, width) with height and width of at least 8, "
            "but has shape (2, 3, 16, 16)",
        ),
        (
            torch.zeros(2, 1, 16, 7),
            "have shape (batch, 1, height, width) with height and width of at least 8, "
            "but has shape (2, 1, 16, 7)",
        ),
        (torch.full((1, 1, 8, 8), 1.5), "lie in [0, 1], but spans [1.5, 1.5]"),
        (torch.full((1, 1, 8, 8), -0.5), "lie in [0, 1], but spans [-0.5, -0.5]"),
        (torch.full((1, 1, 8, 8), math.nan), "lie in [0, 1], but holds NaN"),
        (torch.full((1, 1, 8, 8), math.inf), "lie in [0, 1], but spans [inf, inf]"),
        (
            torch.zeros(1, 1, 8, 8, dtype=torch.uint8),
            "be a floating-point tensor in [0, 1], but is torch.uint8",
        ),
        ([[0.0]], "be a floating-point tensor in [0, 1], but is list"),
    ],
    ids=["rank", "channels", "size", "high", "low", "nan", "inf", "integers", "list"],
)
@pytest.mark.parametrize("training", [True, False])
def test_bad_images(images, message, training):
    with pytest.raises(ValueError) as refused:  # noqa: PT011  the whole message is compared
        model_of().train(training)(images)
    assert str(refused.value) == f"Argument `images` must {message}."


def test_bad_images_leave_the_running_statistics_alone():
    model = model_of().train()
    before = copy.deepcopy(model.state_dict())
    images = images_of()
    images[3] = math.nan
    with pytest.raises(ValueError, match="NaN"):
        model(images)
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"T": 0}, "Argument `T` must be an integer of at least 1, but is 0."),
        ({"in_channels": 0}, "Argument `in_channels` must be an integer of at least 1, but is 0."),
        ({"num_class": -1}, "Argument `num_class` must be an integer of at least 1, but is -1."),
        ({"width": 0.5}, "Argument `width` must be an integer of at least 1, but is 0.5."),
        ({"angle_scale": math.inf}, "Argument `angle_scale` must be a finite number, but is inf."),
        (
            {"head": "relu"},
            'Argument `head` must be "linear-relu", "linear" or "none", but is \'relu\'.',
        ),
        ({"n_wires": 0}, "Argument `n_wires` must be an integer of at least 1, but is 0."),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_refused_at_construction(arguments, message):
    with pytest.raises(ValueError) as refused:  # noqa: PT011  the whole message is compared
        sqdr.SQDR_CNN(**{"T": 2, "in_channels": 1, "num_class": 10} | arguments)
    assert str(refused.value) == message


def test_double_precision_and_one_image():
    model = model_of().double()
    assert model(images_of(1).double()).dtype == torch.float64


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_cuda_training_step_does_not_wait_for_the_device():
    model, images = model_of().train().cuda(), images_of().cuda()
    model(images).sum().backward()
    torch.cuda.set_sync_debug_mode("error")
    try:
        model(images).sum().backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("of_images", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("of_model", [torch.float32, torch.float64])
def test_images_of_another_precision(of_model, of_images):
    """Each pixel is read as exactly as it is stored; the weights say what is computed in."""
    model, images = model_of().to(of_model).eval(), images_of().to(of_images)
    logits = model(images)
    assert logits.dtype == of_model
    assert torch.equal(logits, model(images.to(of_model)))


class Unregistered(NativeCircuit):
    """A backend that no distribution registers."""


def test_a_class_is_a_backend():
    model = sqdr.SQDR_CNN(2, 1, 3, n_wires=2, backend=Unregistered)
    assert (model.backend, type(model.quantum)) == (Unregistered, Unregistered)
    moved = model.to_backend("native")
    assert moved.backend == "native"
    assert moved.to_backend(Unregistered).backend is Unregistered


def test_the_backend_is_that_of_the_circuit():
    model = sqdr.SQDR_CNN(2, 1, 3, n_wires=2)
    model.circuit = model.quantum.to_backend("pennylane")
    assert model.backend == "pennylane"
    with pytest.raises(AttributeError):
        model.backend = "native"


def test_a_model_without_a_circuit_has_no_backend():
    model = sqdr.SQDR_CNN(2, 1, 3, n_wires=2)
    model.circuit = torch.nn.Linear(6, 2)
    assert (model.quantum, model.backend) == (None, None)
    with pytest.raises(sqdr.ArgumentError, match=r"^Argument `circuit` must be a ReuploadCircuit to "):
        model.to_backend("native")


@pytest.mark.parametrize(("use_mlp", "head"), [(True, "linear-relu"), (False, "none")])
def test_the_published_defaults(use_mlp, head):
    from sqdr_cnn import SQDR_CNN

    arguments = 4, 1, 10, 3, 2, "normal", (0, 1), use_mlp
    for model in (sqdr.SQDR_CNN.published(*arguments), SQDR_CNN(*arguments)):
        assert (model.head_name, model.angle_scale) == (head, 1.0)


@pytest.mark.parametrize(("use_mlp", "head"), [(True, "linear"), (False, "none")])
def test_the_defaults_are_those_that_train(use_mlp, head):
    model = sqdr.SQDR_CNN(4, 1, 10, n_wires=3, use_mlp=use_mlp)
    assert (model.head_name, model.angle_scale) == (head, math.pi)


@pytest.mark.parametrize("name", ["T", "in_channels", "num_class", "width", "head_name"])
def test_what_the_layers_were_made_for_cannot_be_set(name):
    model = model_of()
    with pytest.raises(AttributeError, match=name):
        setattr(model, name, getattr(model, name))


@pytest.mark.parametrize("name", ["n_wires", "n_blocks", "pairs", "entanglement"])
def test_what_a_circuit_was_made_for_cannot_be_set(name):
    circuit = sqdr.create_circuit("native", 2, 2)
    with pytest.raises(AttributeError, match=name):
        setattr(circuit, name, getattr(circuit, name))


class Brightness(torch.nn.Module):
    """A front end of one's own: the mean brightness as every firing rate."""

    def forward(self, images):
        return images.mean((1, 2, 3), keepdim=True).flatten(1).expand(-1, 6)


def test_parts_of_ones_own():
    circuit = sqdr.create_circuit("native", 2, 3, entanglement="none")
    model = sqdr.SQDR_CNN(2, 1, 2, n_wires=2, head="none", spiking=Brightness(), circuit=circuit)
    images = images_of(3)
    angles = torch.pi * images.mean((1, 2, 3)).unsqueeze(1).expand(-1, 6)
    torch.testing.assert_close(model(images), circuit(angles))
    assert model.quantum is circuit


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"noise": sqdr.NoiseModel((sqdr.BitFlip(0.1),))},
            "`noise` must not be given with a `circuit`",
        ),
        ({"backend": "pennylane"}, "`backend` must not be given with a `circuit`"),
        ({"shots": 10}, "`shots` must not be given with a `circuit`"),
        ({"qdr_block": 3}, "`qdr_block` must not be given with a `circuit`"),
        ({"n_wires": 9}, "`n_wires` must be the 2 of `circuit`, but is 9"),
        ({"spiking": "mine"}, "`spiking` must be a module or None, but is 'mine'"),
    ],
)
def test_arguments_that_ones_own_parts_leave_without_meaning(arguments, message):
    circuit = sqdr.create_circuit("native", 2, 2)
    with pytest.raises(ValueError, match=re.escape(message)):
        sqdr.SQDR_CNN(2, 1, 2, **{"n_wires": 2, "circuit": circuit} | arguments)


def test_a_module_that_is_no_circuit():
    model = sqdr.SQDR_CNN(2, 1, 2, n_wires=2, circuit=torch.nn.Linear(6, 2))
    assert model.quantum is None
    assert model(images_of(3)).shape == (3, 2)


@pytest.mark.parametrize("angle_scale", ["2", math.inf, torch.tensor(2.0, requires_grad=True)])
def test_a_scale_of_angles_that_is_no_number_is_refused_when_it_is_set(angle_scale):
    model = sqdr.SQDR_CNN(2, 1, 3, 3)
    with pytest.raises(ValueError, match="Argument `angle_scale` must be a finite number"):
        model.angle_scale = angle_scale
    assert model.angle_scale == math.pi


def test_a_trained_scale_of_angles_is_refused():
    with pytest.raises(ValueError, match="has a gradient, which nothing would follow"):
        sqdr.SQDR_CNN(2, 1, 3, 3, angle_scale=nn.Parameter(torch.tensor(2.0)))


def test_an_ensemble_of_models_by_vmap():
    models = [sqdr.SQDR_CNN(4, 1, 3, n_wires=3, width=2).eval() for _ in range(3)]
    parameters, buffers = torch.func.stack_module_state(models)
    images = torch.rand(5, 1, 8, 8)

    def evaluate(*state):
        return torch.func.functional_call(models[0], state, (images,))

    expected = torch.stack([model(images) for model in models])
    torch.testing.assert_close(torch.func.vmap(evaluate)(parameters, buffers), expected)


@pytest.mark.parametrize("largest", [1.0, 1.5])
def test_images_one_by_one_in_vmap(largest):
    model = sqdr.SQDR_CNN(4, 1, 3, n_wires=3, width=2).eval()
    images = largest * torch.rand(5, 1, 8, 8)
    images[0, 0, 0, 0] = largest
    one_by_one = torch.func.vmap(lambda image: model(image[None])[0])
    if largest > 1:
        with pytest.raises(ValueError, match="`images` must lie in"):
            one_by_one(images)
    else:
        torch.testing.assert_close(one_by_one(images), model(images))
