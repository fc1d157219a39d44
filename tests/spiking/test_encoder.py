"""The spiking front end against the same layers run by SpikingJelly: as kernels, and layer by layer."""

import math
import pickle
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
import torch
from cases import DUPLICATES
from spikingjelly.activation_based import encoding, functional, layer, neuron, surrogate
from torch import nn

from sqdr import compilation
from sqdr.spiking import Convolution, IntegrateAndFire, SpikingEncoder, phase_code
from sqdr.spiking.stages import stages_of

OUT = 27


@pytest.fixture(params=["kernels", "layers"], autouse=True)
def way(request, monkeypatch):
    """How front ends run in a test."""
    if request.param == "layers":
        monkeypatch.setattr(compilation, "problem", lambda: "not wanted")
    return request.param


def reference_spikes(images, T):
    encoder = encoding.WeightedPhaseEncoder(8)
    return torch.stack([encoder(images * 255 / 256) for _ in range(T)]).to(images.dtype)


class Reference(nn.Module):
    """The published front end in SpikingJelly's own layers."""

    def __init__(self, T, in_channels, width):
        super().__init__()
        self.T = T
        layers = []
        for before, after in pairwise([in_channels, *(k * in_channels * width for k in (2, 4, 8))]):
            layers += [
                layer.Conv2d(before, after, kernel_size=3, padding=1, bias=False),
                layer.BatchNorm2d(after, momentum=math.sqrt(0.1)),
                neuron.IFNode(surrogate_function=surrogate.ATan()),
                layer.MaxPool2d(2, 2),
            ]
        layers += [layer.AdaptiveAvgPool2d((1, 1)), layer.Flatten(), layer.Linear(after, OUT)]
        layers += [neuron.IFNode(surrogate_function=surrogate.ATan())]
        self.layers = nn.Sequential(*layers)
        functional.set_step_mode(self, "m")

    def forward(self, images):
        functional.reset_net(self)
        return self.layers(reference_spikes(images, self.T)).mean(0)


def pair(T=10, channels=1, width=2, dtype=torch.float32):
    """A front end whose neurons fire at many rates, and the reference with the same state."""
    torch.manual_seed(7)
    encoder = SpikingEncoder(T, channels, OUT, width).to(dtype)
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            if name.endswith("bias"):
                parameter.uniform_(0.0, 1.3)
    reference = Reference(T, channels, width).to(dtype)
    reference.load_state_dict(encoder.state_dict())
    return encoder, reference


def pictures(batch=5, channels=1, size=(16, 16), dtype=torch.float32):
    torch.manual_seed(11)
    return torch.rand(batch, channels, *size, dtype=dtype)


def relative_error(actual, expected):
    return ((actual - expected).abs().max() / expected.abs().max()).item()


TIMES = pytest.mark.parametrize("T", [1, 8, 10, 17])
CHANNELS = pytest.mark.parametrize("channels", [1, 3])
IMAGE_SIZES = pytest.mark.parametrize("size", [(8, 8), (9, 13), (16, 16), (28, 28), (32, 32)], ids=str)
MODES = pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)


def test_state_dict_keys_are_those_of_the_reference():
    encoder, reference = pair()
    assert list(encoder.state_dict()) == list(reference.state_dict())


def test_front_end_runs_as_it_should(way):
    encoder, _ = pair()
    assert len(stages_of(encoder.layers, pictures())) == (3 if way == "kernels" else 0)


@TIMES
@CHANNELS
@IMAGE_SIZES
@MODES
def test_rates_equal_the_reference(T, channels, size, training):
    # In double precision, where no potential comes so near the threshold that rounding decides.
    encoder, reference = pair(T, channels, dtype=torch.float64)
    images = pictures(channels=channels, size=size, dtype=torch.float64)
    rates = encoder.train(training)(images)
    assert torch.equal(rates, reference.train(training)(images))
    assert 0 < rates.mean() < 1


@CHANNELS
@IMAGE_SIZES
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-14)], ids=str
)
def test_running_statistics_equal_the_reference(channels, size, dtype, tolerance):
    encoder, reference = pair(channels=channels, dtype=dtype)
    images = pictures(channels=channels, size=size, dtype=dtype)
    encoder(images)
    reference(images)
    torch.testing.assert_close(
        encoder.state_dict(), reference.state_dict(), rtol=tolerance, atol=tolerance
    )


@pytest.mark.parametrize(
    ("T", "channels", "size"),
    [(1, 1, (16, 16)), (8, 1, (16, 16)), (10, 3, (9, 13)), (10, 1, (28, 28)), (17, 3, (32, 32))],
)
@MODES
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 2e-4), (torch.float64, 1e-10)], ids=str
)
def test_gradients_equal_the_reference(T, channels, size, training, dtype, tolerance):
    """In double precision; in single, rounding in PyTorch's batch normalisation is all one sees."""
    encoder, _ = pair(T, channels, dtype=dtype)
    _, reference = pair(T, channels, dtype=torch.float64)
    reference.load_state_dict(encoder.state_dict())
    images = pictures(channels=channels, size=size, dtype=dtype)
    coefficients = torch.linspace(-1, 1, 5 * OUT, dtype=dtype).reshape(5, OUT)
    gradients = []
    for model, inputs in ((encoder, images), (reference, images.double())):
        rates = model.train(training)(inputs)
        (rates * coefficients.to(rates.dtype)).sum().backward()
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    actual, expected = gradients
    assert min(gradient.abs().max() for gradient in expected.values()) > 0
    errors = {name: relative_error(actual[name].double(), expected[name]) for name in expected}
    assert max(errors.values()) < tolerance, errors


@pytest.mark.parametrize("T", [1, 8, 10, 17])
@pytest.mark.parametrize(
    "images",
    [torch.zeros(2, 1, 3, 3), torch.ones(2, 1, 3, 3), torch.arange(256) / 255, pictures()],
    ids=["zero", "one", "grey-levels", "random"],
)
def test_phase_code_equals_the_weighted_phase_encoder(images, T):
    assert torch.equal(phase_code(images, T), reference_spikes(images, T))


@DTYPES
@pytest.mark.parametrize("shape", [(1, 4), (2, 3, 5), (10, 4, 3, 6, 6), (17, 1, 33)], ids=str)
def test_neuron_equals_spikingjelly(shape, dtype):
    torch.manual_seed(0)
    currents = torch.randn(shape, dtype=dtype).requires_grad_()
    grad = torch.randn(shape, dtype=dtype)
    reference = neuron.IFNode(surrogate_function=surrogate.ATan(), step_mode="m")
    expected = reference(currents)
    (expected_grad,) = torch.autograd.grad(expected, currents, grad)
    ours = IntegrateAndFire()
    ours.step_mode = "m"
    spikes = ours(currents)
    assert torch.equal(spikes, expected)
    (actual_grad,) = torch.autograd.grad(spikes, currents, grad)
    assert relative_error(actual_grad, expected_grad) < 30 * torch.finfo(dtype).eps


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("v_threshold", 0.3),
        ("v_reset", None),
        ("detach_reset", True),
        ("surrogate_function", surrogate.Sigmoid()),
        ("surrogate_function", surrogate.ATan(alpha=4.0)),
    ],
    ids=str,
)
def test_a_neuron_whose_attributes_are_changed_equals_spikingjelly(attribute, value):
    torch.manual_seed(0)
    currents = torch.randn(6, 20).requires_grad_()
    reference = neuron.IFNode(surrogate_function=surrogate.ATan(), step_mode="m")
    ours = IntegrateAndFire()
    ours.step_mode = "m"
    results = []
    for node in (reference, ours):
        setattr(node, attribute, value)
        spikes = node(currents)
        results.append((spikes, *torch.autograd.grad(spikes.square().sum(), currents)))
    torch.testing.assert_close(results[1], results[0])


@DTYPES
def test_neuron_fires_at_the_threshold_exactly(dtype):
    ours = IntegrateAndFire()
    ours.step_mode = "m"
    below = 1 - torch.finfo(dtype).eps
    currents = torch.tensor([[0.5, 1.0, below], [0.5, 0.0, 0.0], [0.5, 1.0, 0.5]], dtype=dtype)
    assert ours(currents).tolist() == [[0, 1, 0], [1, 0, 0], [0, 1, 1]]


@DTYPES
@pytest.mark.parametrize(("before", "after"), [(1, 2), (1, 8), (3, 6), (8, 16), (2, 17)])
@pytest.mark.parametrize("most", [1, 7000, 2**22])
def test_convolution_equals_spikingjelly(monkeypatch, most, before, after, dtype):
    monkeypatch.setattr("sqdr.spiking.layers.MAX_CONVOLVED", most)
    torch.manual_seed(0)
    ours = Convolution(before, after).to(dtype)
    ours.step_mode = "m"
    reference = layer.Conv2d(before, after, 3, padding=1, bias=False, step_mode="m").to(dtype)
    reference.load_state_dict(ours.state_dict())
    spikes = (torch.rand(4, 3, before, 9, 13) < 0.5).to(dtype).requires_grad_()
    grad = torch.randn(4, 3, after, 9, 13, dtype=dtype)
    actual, expected = ours(spikes), reference(spikes)
    torch.testing.assert_close(actual, expected)
    actual_grads = torch.autograd.grad(actual, [spikes, ours.weight], grad)
    torch.testing.assert_close(
        actual_grads, torch.autograd.grad(expected, [spikes, reference.weight], grad)
    )


@MODES
def test_second_call_equals_the_first(training):
    encoder, _ = pair()
    encoder.train(training)
    images = pictures()
    assert torch.equal(encoder(images), encoder(images))


@pytest.mark.parametrize("batch", [1, 2, 9])
def test_call_of_another_batch_size_between(batch):
    encoder, _ = pair()
    encoder.eval()
    images = pictures()
    before = encoder(images)
    assert encoder(pictures(batch)).shape == (batch, OUT)
    assert torch.equal(encoder(images), before)


def test_call_leaves_nothing_on_the_modules():
    encoder, _ = pair()
    encoder.eval()
    before = pickle.dumps(encoder)
    encoder(pictures()).sum()
    assert pickle.dumps(encoder) == before


@pytest.mark.parametrize("row", range(5))
def test_row_does_not_depend_on_the_batch(row):
    encoder, _ = pair()
    encoder.eval()
    images = pictures()
    assert torch.equal(encoder(images)[row], encoder(images[row : row + 1])[0])


def test_empty_batch():
    encoder, _ = pair()
    assert encoder.eval()(pictures(0)).shape == (0, OUT)


@DUPLICATES
@pytest.mark.parametrize("used", [False, True])
def test_copy_computes_the_same(duplicate, used):
    encoder, _ = pair()
    encoder.eval()
    images = pictures()
    if used:
        encoder(images).sum().backward()
    assert torch.equal(duplicate(encoder)(images), encoder(images))


def test_threads_compute_what_serial_calls_do():
    encoder, _ = pair()
    encoder.eval()
    batches = [pictures(batch) for batch in range(1, 9)]
    expected = [encoder(images) for images in batches]
    with ThreadPoolExecutor(4) as pool:
        actual = list(pool.map(encoder, batches))
    torch.testing.assert_close(actual, expected, rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision(dtype):
    encoder, _ = pair(dtype=dtype)
    rates = encoder(pictures(dtype=dtype))
    assert rates.dtype == dtype
    assert ((rates >= 0) & (rates <= 1)).all()


def test_autocast_equals_the_reference():
    encoder, reference = pair()
    images = pictures()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rates, expected = encoder(images), reference(images)
    assert torch.equal(rates, expected)
    rates.sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())


def test_no_grad_equals_grad():
    encoder, _ = pair()
    encoder.eval()
    expected = encoder(pictures())
    with torch.inference_mode():
        assert torch.equal(encoder(pictures()), expected)


def test_function_transform_gives_the_gradient():
    encoder, _ = pair()
    encoder.eval()
    parameters = dict(encoder.named_parameters())
    images = pictures()

    def loss(parameters):
        return torch.func.functional_call(encoder, parameters, (images,)).square().sum()

    loss(parameters).backward()
    expected = {name: parameter.grad for name, parameter in parameters.items()}
    torch.testing.assert_close(torch.func.grad(loss)(parameters), expected)
