"""Stages as kernels against the same layers one by one, and where these must run all the same."""

import copy
from itertools import pairwise

import pytest
import torch
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch import nn

from sqdr import compilation
from sqdr.spiking import Convolution, IntegrateAndFire, SpikingEncoder, fused, phase_code
from sqdr.spiking.neurons import Dynamics
from sqdr.spiking.stages import Stage, stages_of

#: Nearer to the threshold than this, a potential may fire or not.
NEAR = {torch.float32: 1e-5, torch.float64: 1e-10}
DTYPES = pytest.mark.parametrize("dtype", list(NEAR), ids=str)
MODES = pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
CASES = pytest.mark.parametrize(
    ("T", "channels", "size", "batch"),
    [
        (1, (1, 2, 4), (8, 8), 8),
        (5, (1, 8, 16), (28, 28), 3),
        (10, (1, 2, 4), (32, 32), 5),
        (10, (3, 5, 7), (9, 13), 11),
        (17, (2, 1, 3), (14, 7), 1),
    ],
    ids=str,
)


def stage(before, after, dtype):
    """Four layers whose neurons fire at many rates."""
    norm = layer.BatchNorm2d(after, momentum=0.3)
    nn.init.uniform_(norm.weight, 0.5, 1.5)
    nn.init.uniform_(norm.bias, 0.2, 0.9)
    nn.init.uniform_(norm.running_mean, -0.2, 0.2)
    nn.init.uniform_(norm.running_var, 0.05, 0.2)
    layers = nn.Sequential(Convolution(before, after), norm, IntegrateAndFire(), layer.MaxPool2d(2, 2))
    functional.set_step_mode(layers.to(dtype), "m")
    return layers


def spikingjelly(layers, neurons=None):
    """The same layers, SpikingJelly's own, in double precision."""
    weight = layers[0].weight
    convolution = layer.Conv2d(*weight.shape[1::-1], kernel_size=3, padding=1, bias=False)
    neurons = neurons or neuron.IFNode(surrogate_function=surrogate.ATan())
    reference = nn.Sequential(convolution, copy.deepcopy(layers[1]), neurons, layer.MaxPool2d(2, 2))
    reference.load_state_dict(layers.state_dict())
    functional.set_step_mode(reference, "m")
    return reference.double()


def sure(currents, near):
    """Where pooled spikes (T, batch, channels, ...) do not hang on a rounding error."""
    v = torch.zeros_like(currents[0])
    far = torch.ones_like(v)
    steps = []
    for current in currents:
        h = v + current
        far = far * ((h - 1).abs() > near)
        steps.append(-nn.functional.max_pool2d(-far, 2))
        v = h * (h < 1)
    return torch.stack(steps).bool()


def two_stages(channels, size, batch, dtype, training):
    """The layers of two stages, and images for the first."""
    torch.manual_seed(3)
    first, second = (stage(*few, dtype).train(training) for few in pairwise(channels))
    return first, second, torch.rand(batch, channels[0], *size, dtype=dtype)


@CASES
@DTYPES
@MODES
@pytest.mark.parametrize("number", [1, 2])
def test_spikes_and_statistics(T, channels, size, batch, dtype, training, number):
    first, second, images = two_stages(channels, size, batch, dtype, training)
    layers, inputs = first, phase_code(images.double(), T)
    if number == 2:
        layers, inputs = second, fused.evaluate([Stage(*copy.deepcopy(first))], images, T).double()
    reference = spikingjelly(layers).train(training)
    currents = copy.deepcopy(reference[:2])(inputs)
    expected = reference(inputs)
    spikes = fused.evaluate([Stage(*first), Stage(*second)][:number], images, T)
    where = sure(currents, NEAR[dtype])
    assert where.double().mean() > 0.99
    assert spikes.dtype == dtype
    assert torch.equal(spikes[where].double(), expected[where])
    assert 0 < spikes.mean() < 1
    state = {key: value.double() for key, value in layers[1].state_dict().items()}
    expected_state = {key: value.double() for key, value in reference[1].state_dict().items()}
    torch.testing.assert_close(state, expected_state, rtol=NEAR[dtype] / 10, atol=NEAR[dtype] / 10)


@pytest.mark.parametrize("shape", [(1, 2, 8, 8), (3, 5, 9, 13), (7, 1, 4, 7)], ids=str)
@DTYPES
def test_currents(shape, dtype):
    from sqdr.spiking import kernels

    torch.manual_seed(0)
    before, after, height, width = shape
    weight = torch.randn(after, before, 3, 3, dtype=dtype)
    spikes = (torch.rand(11, 4, before, height, width) < 0.5).to(dtype)
    right, below = width % 2 + 1, height % 2 + 1
    tiles = nn.functional.pad(fused._to_tiles(spikes), (0, 0, 1, right, 1, below)).numpy()
    currents = torch.empty(len(tiles), after, height, 4, width, tiles.shape[-1], dtype=dtype)
    kernels.convolve(tiles, False, weight.numpy(), tiles[0, 0], currents.numpy())
    actual = fused._from_tiles(currents.movedim(3, 1), 11).transpose(0, 1).flatten(0, 1)
    expected = nn.functional.conv2d(spikes.flatten(0, 1).double(), weight.double(), padding=1)
    torch.testing.assert_close(actual.double(), expected, rtol=NEAR[dtype], atol=NEAR[dtype])


def gradients(layers, inputs, spikes, coefficients):
    wanted = [inputs, layers[0].weight, layers[1].weight, layers[1].bias]
    return torch.autograd.grad((spikes * coefficients).sum(), wanted)


@CASES
@DTYPES
@MODES
def test_gradients(T, channels, size, batch, dtype, training):
    """Of the second stage, whose inputs have gradients, from the spikes that the first has made."""
    first, second, images = two_stages(channels, size, batch, dtype, training)
    spikes = fused.evaluate([Stage(*first)], images, T).detach()
    reference = spikingjelly(second).train(training)
    inputs = spikes.double().requires_grad_()
    expected_spikes = reference(inputs)
    coefficients = torch.randn_like(expected_spikes)
    expected = gradients(reference, inputs, expected_spikes, coefficients)
    tiled = to_inputs(spikes).requires_grad_()
    outputs = second_stage(tiled, spikes, second, training)
    assert torch.equal(outputs.double(), expected_spikes)
    actual = gradients(second, tiled, outputs, coefficients.to(dtype))
    height, width = spikes.shape[-2:]
    grad_inputs = fused._from_tiles(fused._unframed(actual[0], height, width), batch)
    tolerance = {torch.float32: 2e-5, torch.float64: 1e-10}[dtype]
    for got, wanted in zip((grad_inputs, *actual[1:]), expected, strict=True):
        assert wanted.abs().max() > 0
        assert (got.double() - wanted).abs().max() < tolerance * wanted.abs().max()


def to_inputs(spikes):
    """Spikes (T, batch, channels, height, width) as a kernel reads them."""
    height, width = spikes.shape[-2:]
    return nn.functional.pad(
        fused._to_tiles(spikes.transpose(0, 1)), (0, 0, 1, width % 2 + 1, 1, height % 2 + 1)
    )


def second_stage(tiled, spikes, layers, training, dynamics=None):
    """Outputs (T, batch, channels, ...) of a stage whose inputs are spikes."""
    T, batch, _, height, width = spikes.shape
    norm = layers[1]
    settings = fused.Settings(
        fused.Geometry(T, batch, height, width, n_steps=T, is_image=False),
        dynamics or layers[2].dynamics,
        norm.eps,
        training,
    )
    statistics = (None, None) if training else (norm.running_mean, norm.running_var)
    outputs, _, _ = fused._StageFunction.apply(
        tiled, layers[0].weight, norm.weight, norm.bias, *statistics, settings
    )
    return fused._from_tiles(fused._unframed(outputs, height // 2, width // 2), batch)


@pytest.mark.parametrize("decay_input", [True, False])
@pytest.mark.parametrize(("tau", "threshold", "alpha"), [(2.0, 1.0, 2.0), (1.25, 0.7, 4.0)])
def test_a_leaky_neuron(tau, threshold, alpha, decay_input):
    """Potentials that decay, another threshold and another slope, which the kernels know too."""
    torch.manual_seed(5)
    layers = stage(2, 3, torch.float64)
    gradient = surrogate.ATan(alpha)
    lif = neuron.LIFNode(tau, decay_input, threshold, surrogate_function=gradient)
    reference = spikingjelly(layers, lif)
    spikes = (torch.rand(9, 5, 2, 8, 8, dtype=torch.float64) < 0.3).double()
    inputs, tiled = spikes.clone().requires_grad_(), to_inputs(spikes).requires_grad_()
    gain = 1 / tau if decay_input else 1.0
    dynamics = Dynamics(1 - 1 / tau, gain, threshold, alpha / 2, torch.pi / 2 * alpha)
    expected, actual = reference(inputs), second_stage(tiled, spikes, layers, True, dynamics)
    assert torch.equal(actual, expected)
    coefficients = torch.randn_like(expected)
    expected_gradients = gradients(reference, inputs, expected, coefficients)
    actual_gradients = gradients(layers, tiled, actual, coefficients)
    torch.testing.assert_close(actual_gradients[1:], expected_gradients[1:])


def encoder_and_images(dtype=torch.float32, batch=5):
    torch.manual_seed(7)
    encoder = SpikingEncoder(6, 1, 12, 2).to(dtype)
    for norm in encoder.layers[1::4][:3]:
        nn.init.uniform_(norm.bias, 0.0, 1.3)
    return encoder, torch.rand(batch, 1, 16, 16, dtype=dtype)


def by_layers(encoder, images):
    """Rates, layer by layer."""
    spikes = encoder.layers(phase_code(images, encoder.T).to(encoder.layers[0].weight.dtype))
    return spikes.mean(0)


@MODES
def test_second_derivatives(training):
    """Of the fused front end, and of the layers by torch's operations."""
    encoder, images = encoder_and_images(torch.float64)
    encoder.train(training)
    assert stages_of(encoder.layers, images)
    reference = copy.deepcopy(encoder)
    for i in (2, 6, 10, 14):  # whose own gradient has one
        reference.layers[i] = neuron.IFNode(surrogate_function=surrogate.ATan(), step_mode="m")
    for i in (0, 4, 8):
        weight = reference.layers[i].weight
        reference.layers[i] = layer.Conv2d(
            *weight.shape[1::-1], 3, padding=1, bias=False, step_mode="m"
        )
        reference.layers[i].weight = weight
    encoder.layers[14] = copy.deepcopy(reference.layers[14])
    seconds = []
    for model in (encoder, reference):
        rates = model(images)
        parameters = list(model.parameters())
        first = torch.autograd.grad(rates.square().sum(), parameters, create_graph=True)
        squares = sum(gradient.square().sum() for gradient in first)
        seconds.append(torch.autograd.grad(squares, parameters))
        functional.reset_net(model)
    torch.testing.assert_close(*seconds, rtol=1e-8, atol=1e-8)


def test_gradient_of_images_is_zero():
    encoder, images = encoder_and_images()
    images.requires_grad_()
    (gradient,) = torch.autograd.grad(encoder(images).sum(), images)
    assert torch.equal(gradient, torch.zeros_like(images))


@MODES
@pytest.mark.parametrize(
    "trained", [("layers.0",), ("layers.4", "layers.9"), ("layers.5",), ("layers.14",)], ids=str
)
def test_frozen_parameters(training, trained):
    encoder, images = encoder_and_images(torch.float64)
    encoder.train(training)
    results = []
    for free in (encoder, copy.deepcopy(encoder)):
        if free is not encoder:
            for name, parameter in free.named_parameters():
                parameter.requires_grad_(name.startswith(trained))
        free(images).square().sum().backward()
        results.append({n: p.grad for n, p in free.named_parameters() if n.startswith(trained)})
    torch.testing.assert_close(results[1], results[0], rtol=1e-12, atol=1e-12)


def test_a_batch_normalisation_that_evaluates_while_others_train():
    encoder, images = encoder_and_images(torch.float64)
    encoder.layers[5].eval()
    other = copy.deepcopy(encoder)
    assert torch.equal(encoder(images), by_layers(other, images))
    torch.testing.assert_close(encoder.state_dict(), other.state_dict())


@pytest.mark.parametrize(
    "arrange",
    [
        lambda images: images.to(memory_format=torch.channels_last),
        lambda images: images.transpose(2, 3).contiguous().transpose(2, 3),
        lambda images: torch.cat((images, images), 3)[..., : images.shape[3]],
        lambda images: images[:1].expand(5, -1, -1, -1),
        lambda images: images[:1],
    ],
    ids=["channels-last", "transposed", "cut", "expanded", "one"],
)
def test_images_in_any_arrangement(arrange):
    encoder, images = encoder_and_images()
    images = arrange(images.expand(-1, -1, -1, -1))
    encoder.eval()
    expected = encoder(images.clone(memory_format=torch.contiguous_format))
    assert torch.equal(encoder(images), expected)


def test_weights_in_another_arrangement():
    encoder, images = encoder_and_images()
    other = copy.deepcopy(encoder).to(memory_format=torch.channels_last)
    results = []
    for model in (encoder, other):
        model(images).square().sum().backward()
        results.append({name: parameter.grad for name, parameter in model.named_parameters()})
    torch.testing.assert_close(*results)


def test_double_precision_with_images_in_single():
    encoder, images = encoder_and_images()
    encoder.double()
    assert stages_of(encoder.layers, images)
    assert torch.equal(encoder.eval()(images), by_layers(encoder, images))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.5, 3.0])
def test_a_pixel_out_of_range_is_coded_as_the_layers_see_it(value):
    encoder, images = encoder_and_images(torch.float64)
    images[2, 0, 3, 4] = value
    encoder.eval()
    assert torch.equal(encoder(images), by_layers(encoder, images))


@pytest.mark.parametrize("at_a_time", [1, 3, 8])
def test_many_images_without_gradients_run_some_at_a_time(monkeypatch, at_a_time):
    encoder, images = encoder_and_images(batch=19)
    encoder.eval()
    expected = encoder(images)
    monkeypatch.setattr(fused, "IMAGES_AT_A_TIME", at_a_time)
    with torch.no_grad():
        assert torch.equal(encoder(images), expected)


@MODES
@pytest.mark.parametrize("n_threads", [2, 3])
def test_threads_share_the_images(n_threads, training):
    encoder, images = encoder_and_images(torch.float64, 19)
    before, results = torch.get_num_threads(), []
    try:
        for n, model in ((1, encoder), (n_threads, copy.deepcopy(encoder))):
            torch.set_num_threads(n)
            rates = model.train(training)(images)
            rates.square().sum().backward()
            results.append((rates, *(parameter.grad for parameter in model.parameters())))
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(*results, rtol=1e-10, atol=1e-10)


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")  # there is no gradient of images
@pytest.mark.parametrize("hook", ["forward", "forward_pre", "full_backward", "full_backward_pre"])
@pytest.mark.parametrize(
    "name", ["layers", "layers.0", "layers.5", "layers.6", "layers.11", "layers.14"]
)
def test_a_watched_layer_is_called(hook, name):
    encoder, images = encoder_and_images(torch.float64)
    expected, calls = encoder(images), []
    handle = getattr(encoder.get_submodule(name), f"register_{hook}_hook")(
        lambda *arguments: calls.append(arguments[0])
    )
    rates = encoder(images)
    rates.sum().backward()
    assert calls == [encoder.get_submodule(name)]
    assert torch.equal(rates, expected)
    handle.remove()
    assert stages_of(encoder.layers, images)


def test_a_hook_on_all_modules_sees_all_layers():
    encoder, images = encoder_and_images()
    seen = []
    with nn.modules.module.register_module_forward_hook(lambda module, *_: seen.append(module)):
        encoder(images)
    assert {*encoder.layers} <= {*seen}


class Doubled(IntegrateAndFire):
    """A neuron of a kind of its own."""

    def multi_step_forward(self, x_seq):
        return super().multi_step_forward(2 * x_seq)


def exchange(index, module):
    def change(encoder):
        module.step_mode = "m"
        encoder.layers[index] = module

    return change


def assign(index, name, value):
    return lambda encoder: setattr(encoder.layers[index], name, value)


@pytest.mark.parametrize(
    "change",
    [
        exchange(2, Doubled()),
        exchange(3, layer.AvgPool2d(2, 2)),
        exchange(3, layer.MaxPool2d(3, 2, padding=1)),
        exchange(4, layer.Conv2d(4, 8, 3, padding=1, bias=True)),
        exchange(4, layer.Conv2d(4, 8, 5, padding=2, bias=False)),
        exchange(5, layer.BatchNorm2d(8, affine=False)),
        exchange(5, layer.BatchNorm2d(8, track_running_stats=False)),
        exchange(5, layer.BatchNorm2d(8, momentum=None)),
        exchange(6, neuron.LIFNode()),
        assign(6, "v_threshold", 0.6),
        assign(6, "v_reset", None),
        assign(6, "v_reset", -0.2),
        assign(6, "detach_reset", True),
        assign(6, "surrogate_function", surrogate.Sigmoid()),
        assign(6, "surrogate_function", surrogate.ATan(5.0)),
        assign(7, "ceil_mode", True),
        assign(7, "kernel_size", 1),
        assign(4, "padding_mode", "circular"),
        assign(0, "forward", lambda spikes: spikes.repeat(1, 1, 4, 1, 1)),
    ],
)
def test_a_changed_layer_is_heeded(change):
    encoder, images = encoder_and_images()
    change(encoder.double())
    encoder.double()
    other = copy.deepcopy(encoder)
    rates = encoder(images.double())
    expected = by_layers(other, images.double())
    torch.testing.assert_close(rates, expected, rtol=0, atol=1e-12)


def test_compiled_front_end():
    encoder, images = encoder_and_images()
    encoder.eval()
    compiled = torch.compile(encoder, backend="eager", fullgraph=True)
    assert torch.equal(compiled(images), by_layers(encoder, images))


def test_operations_are_seen_where_somebody_counts_them():
    from torch.utils.flop_counter import FlopCounterMode

    encoder, images = encoder_and_images()
    with FlopCounterMode(display=False) as counter:
        encoder(images)
    assert counter.get_total_flops() > 0


def test_without_numba(monkeypatch):
    encoder, images = encoder_and_images(torch.float64)
    expected = encoder(images)
    monkeypatch.setattr(compilation, "problem", lambda: "Numba cannot be imported")
    assert torch.equal(encoder(images), expected)
