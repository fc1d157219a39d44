"""Front ends of other neurons, codes, surrogate gradients and channels, against SpikingJelly."""

import copy
import math
from itertools import pairwise

import pytest
import torch
from spikingjelly.activation_based import encoding, functional, layer, neuron, surrogate
from torch import nn

import sqdr
from sqdr import compilation
from sqdr.spiking import SpikingEncoder
from sqdr.spiking.stages import stages_of

T, OUT = 6, 12
GRADIENTS = ["ATan", "Erf", "PiecewiseExp", "PiecewiseQuadratic", "Sigmoid", "SoftSign", "SuperSpike"]
NEURONS = ["IF", "LIF", "PLIF"]


@pytest.fixture(params=["kernels", "layers"])
def way(request, monkeypatch):
    """How front ends run in a test."""
    if request.param == "layers":
        monkeypatch.setattr(compilation, "problem", lambda: "not wanted")
    return request.param


def neuron_of_spikingjelly(kind, tau, gradient):
    how = {"surrogate_function": getattr(surrogate, gradient)()}
    match kind:
        case "IF":
            return neuron.IFNode(**how)
        case "LIF":
            return neuron.LIFNode(tau, **how)
    return neuron.ParametricLIFNode(tau, **how)


def spikes_of_spikingjelly(code, images):
    """Time steps (T, ...) as SpikingJelly's encoders make them; those drawn from torch's generator."""
    match code:
        case "phase":
            encoder = encoding.WeightedPhaseEncoder(8)
            return torch.stack([encoder(images * 255 / 256) for _ in range(T)]).to(images.dtype)
        case "latency":
            encoder = encoding.LatencyEncoder(T)
            return torch.stack([encoder(images) for _ in range(T)])
    return images.expand(T, *images.shape)


class Reference(nn.Module):
    """A front end in SpikingJelly's own layers."""

    def __init__(self, in_channels, width, channels, kind, tau, gradient):
        super().__init__()
        layers = []
        for before, after in pairwise([in_channels, *(k * in_channels * width for k in channels)]):
            layers += [
                layer.Conv2d(before, after, kernel_size=3, padding=1, bias=False),
                layer.BatchNorm2d(after, momentum=math.sqrt(0.1)),
                neuron_of_spikingjelly(kind, tau, gradient),
                layer.MaxPool2d(2, 2),
            ]
        layers += [layer.AdaptiveAvgPool2d((1, 1)), layer.Flatten(), layer.Linear(after, OUT)]
        layers += [neuron_of_spikingjelly(kind, tau, gradient)]
        self.layers = nn.Sequential(*layers)
        functional.set_step_mode(self, "m")

    def forward(self, spikes):
        functional.reset_net(self)
        return self.layers(spikes).mean(0)


def pair(channels=(2, 4, 8), neuron="IF", tau=2.0, gradient="ATan", code="phase"):
    """A front end whose neurons fire at many rates, and the reference with the same state."""
    torch.manual_seed(7)
    chosen = {"channels": channels, "neuron": neuron, "tau": tau, "surrogate": gradient}
    encoder = SpikingEncoder(T, 1, OUT, 2, **chosen, code=code).double()
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            if name.endswith("bias"):
                parameter.uniform_(0.3, 2.0)
    reference = Reference(1, 2, channels, neuron, tau, gradient).double()
    reference.load_state_dict(encoder.state_dict())
    return encoder, reference


def assert_alike(encoder, reference, images, spikes):
    """The same rates, statistics and gradients, in training and in evaluation."""
    rates, expected = encoder(images), reference(spikes)
    assert torch.equal(rates, expected)
    assert 0 < rates.mean() < 1
    torch.testing.assert_close(encoder.state_dict(), reference.state_dict())
    coefficients = torch.linspace(-1, 1, rates.numel(), dtype=rates.dtype).reshape(rates.shape)
    for result in (rates, expected):
        (result * coefficients).sum().backward()
    gradients, wanted = (
        {name: parameter.grad for name, parameter in model.named_parameters()}
        for model in (encoder, reference)
    )
    assert min(gradient.abs().max() for gradient in wanted.values()) > 0
    torch.testing.assert_close(gradients, wanted, rtol=1e-8, atol=1e-10)
    assert torch.equal(encoder.eval()(images), reference.eval()(spikes))


@pytest.mark.parametrize("kind", NEURONS)
@pytest.mark.parametrize("code", ["phase", "latency", "direct"])
@pytest.mark.parametrize("size", [(16, 16), (9, 13)], ids=str)
def test_neurons_and_codes(kind, code, size, way):
    encoder, reference = pair(neuron=kind, tau=1.7, code=code)
    images = torch.rand(5, 1, *size, dtype=torch.float64)
    assert bool(stages_of(encoder.layers, images)) is (way == "kernels" and kind != "PLIF")
    assert_alike(encoder, reference, images, spikes_of_spikingjelly(code, images))


@pytest.mark.parametrize("channels", [(3,), (1, 5), (2, 2, 3, 1)], ids=str)
def test_channels(channels, way):
    encoder, reference = pair(channels)
    images = torch.rand(4, 1, 16, 16, dtype=torch.float64)
    assert len(stages_of(encoder.layers, images)) == (len(channels) if way == "kernels" else 0)
    assert_alike(encoder, reference, images, spikes_of_spikingjelly("phase", images))


@pytest.mark.parametrize("gradient", GRADIENTS)
@pytest.mark.parametrize("kind", NEURONS)
def test_surrogate_gradients(gradient, kind):
    encoder, reference = pair(neuron=kind, gradient=gradient)
    images = torch.rand(4, 1, 8, 8, dtype=torch.float64)
    assert_alike(encoder, reference, images, spikes_of_spikingjelly("phase", images))


@pytest.mark.usefixtures("way")
def test_images_have_a_gradient_with_the_direct_code():
    encoder, reference = pair(code="direct")
    images = torch.rand(4, 1, 9, 8, dtype=torch.float64, requires_grad=True)
    (found,) = torch.autograd.grad(encoder(images).sum(), images)
    (expected,) = torch.autograd.grad(reference(spikes_of_spikingjelly("direct", images)).sum(), images)
    torch.testing.assert_close(found, expected)
    assert expected.abs().max() > 0


def test_second_derivatives_of_leaky_neurons():
    encoder, reference = pair(neuron="LIF", code="latency")
    images = torch.rand(3, 1, 8, 8, dtype=torch.float64)
    assert stages_of(encoder.layers, images)

    def twice(model, inputs):
        weights = [module.weight for module in model.layers[:12:4]]
        gradients = torch.autograd.grad(model(inputs).square().sum(), weights, create_graph=True)
        return torch.autograd.grad(sum(one.square().sum() for one in gradients), weights)

    by_kernels = twice(encoder, images)
    expected = twice(reference, spikes_of_spikingjelly("latency", images))
    torch.testing.assert_close(by_kernels, expected)
    assert min(gradient.abs().max() for gradient in expected) > 0


def rate_coded(seed=3):
    """A front end that draws from this seed, and whose neurons fire at many rates."""
    encoder, _ = pair(code="rate")
    encoder.generator.manual_seed(seed)
    return encoder.float()


def test_rates_are_those_of_bernoulli_draws():
    """The draws of a pixel are independent, with its value as their probability."""
    encoder = rate_coded()
    seen = []
    encoder.layers[0].register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    images = torch.tensor([0.0, 0.1, 0.5, 0.9, 1.0]).repeat_interleave(400).reshape(5, 1, 20, 20)
    encoder(images)
    (spikes,) = seen
    assert set(spikes.unique().tolist()) == {0, 1}
    means = spikes.mean((0, 2, 3, 4))
    torch.testing.assert_close(means, torch.tensor([0.0, 0.1, 0.5, 0.9, 1.0]), rtol=0, atol=0.03)
    steps = spikes[:, 2].reshape(T, -1)
    assert torch.corrcoef(steps).fill_diagonal_(0).abs().max() < 0.2


def test_the_same_draws_by_kernels_and_by_layers(monkeypatch):
    images = torch.rand(700, 1, 8, 8)
    encoder = rate_coded().eval()
    with torch.no_grad():
        by_kernels = encoder(images)
        encoder.generator.manual_seed(3)
        monkeypatch.setattr(compilation, "problem", lambda: "not wanted")
        by_layers = encoder(images)
    assert (by_kernels == by_layers).float().mean() > 0.999
    with torch.no_grad():
        assert not torch.equal(encoder(images), by_layers)


def test_draws_follow_torch_s_seed_and_leave_its_generator_alone():
    images = torch.rand(4, 1, 8, 8)
    rates = []
    for _ in range(2):
        torch.manual_seed(1)
        encoder = SpikingEncoder(T, 1, OUT, 2, code="rate")
        encoder(images)
        state = torch.get_rng_state()
        rates.append(encoder(images))
        assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(*rates)


def test_a_copy_draws_the_same():
    encoder = rate_coded().eval()
    images = torch.rand(4, 1, 8, 8)
    other = copy.deepcopy(encoder)
    assert torch.equal(encoder(images), other(images))


def test_drawn_spikes_are_not_drawn_again_in_a_backward_pass():
    from torch.utils.checkpoint import checkpoint

    encoder = rate_coded()
    images = torch.rand(2, 1, 8, 8, requires_grad=True)
    rates = checkpoint(encoder, images, use_reentrant=False)
    with pytest.raises(RuntimeError, match="front end with drawn spikes cannot be evaluated again"):
        rates.sum().backward()


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"channels": ()}, "`channels` must be for 1 to 13 stages, but is []"),
        ({"channels": (2, 0)}, "`channels` must be an integer of at least 1, but is 0"),
        ({"channels": 3}, "`channels` must be a list of integers, but is 3"),
        ({"neuron": "GLIF"}, "`neuron` must be one of IF, LIF, PLIF, but is 'GLIF'"),
        ({"tau": 1.0}, "`tau` must be more than 1, but is 1"),
        ({"tau": math.nan}, "`tau` must be a finite number, but is nan"),
        ({"code": "spike"}, "`code` must be one of phase, rate, latency, direct, but is 'spike'"),
        ({"surrogate": "atan"}, "`surrogate` must be one of ATan, Erf"),
        (
            {"width": 2, "spiking": nn.Identity()},
            "`width` must not be given with a `spiking`, but is 2",
        ),
        ({"code": "rate", "spiking": nn.Identity()}, "`code` must not be given with a `spiking`"),
    ],
    ids=str,
)
def test_what_is_refused(chosen, message):
    with pytest.raises(ValueError, match="Argument") as raised:
        sqdr.SQDR_CNN(4, 1, 3, 2, **chosen)
    assert message in str(raised.value)


def test_the_smallest_image():
    model = sqdr.SQDR_CNN(4, 1, 3, 2, channels=(2, 4)).eval()
    assert model.min_image_size == 4
    assert model(torch.rand(2, 1, 4, 4)).shape == (2, 3)
    with pytest.raises(ValueError, match="height and width of at least 4, but"):
        model(torch.rand(2, 1, 3, 4))


def test_a_front_end_of_one_s_own():
    spiking = nn.Sequential(nn.Flatten(), nn.Linear(4, 6), nn.Sigmoid())
    model = sqdr.SQDR_CNN(4, 1, 3, 2, spiking=spiking)
    assert model.spiking is spiking
    assert model(torch.rand(5, 1, 2, 2)).shape == (5, 3)


def test_one_s_own_is_not_saved(tmp_path):
    spiking = nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.Sigmoid())
    model = sqdr.SQDR_CNN(4, 1, 3, 2, spiking=spiking)
    with pytest.raises(ValueError, match=r"`spiking` must be a SpikingEncoder .*, but is a Sequential"):
        model.save_pretrained(tmp_path / "model")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    "chosen",
    [
        {"channels": (2, 3), "code": "latency"},
        {"neuron": "PLIF", "tau": 3.0},
        {"neuron": "LIF", "surrogate": "Sigmoid", "code": "direct"},
        {"code": "rate"},
    ],
    ids=str,
)
def test_it_is_saved_and_loaded(chosen, tmp_path):
    model = sqdr.SQDR_CNN(4, 1, 3, 2, width=2, **chosen)
    images = torch.rand(6, 1, 8, 8)
    model(images)
    model.eval().save_pretrained(tmp_path / "model")
    loaded = sqdr.SQDR_CNN.from_pretrained(tmp_path / "model")
    assert loaded.spiking.front_end() == chosen
    for one in (model, loaded):
        if chosen.get("code") == "rate":
            one.spiking.generator.manual_seed(5)
    assert torch.equal(model(images), loaded(images))


def test_the_published_front_end_is_saved_as_before(tmp_path):
    model = sqdr.SQDR_CNN(4, 1, 3, 2, channels=[2, 4, 8], neuron="IF", code="phase")
    model.save_pretrained(tmp_path / "model")
    assert '"channels"' not in (tmp_path / "model" / "config.json").read_text()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("PLIF", "`tensors` must be those of the model, but lack spiking.layers.2.w"),
        ("XIF", "`neuron` must be one of IF, LIF, PLIF"),
    ],
)
def test_a_configuration_of_another_front_end_is_refused(change, message, tmp_path):
    sqdr.SQDR_CNN(4, 1, 3, 2, neuron="LIF").save_pretrained(tmp_path / "model")
    file = tmp_path / "model" / "config.json"
    file.write_text(file.read_text().replace('"LIF"', f'"{change}"'))
    with pytest.raises(ValueError, match="Argument") as raised:
        sqdr.SQDR_CNN.from_pretrained(tmp_path / "model")
    assert message in str(raised.value)


def test_the_card_says_what_it_is(tmp_path):
    model = sqdr.SQDR_CNN(4, 1, 3, 2, width=2, channels=(2, 3), neuron="LIF", code="rate")
    model.save_pretrained(tmp_path / "model")
    card = (tmp_path / "model" / "README.md").read_text()
    assert (
        "2 convolutions of 4, 6 channels, rate code, leaky integrate-and-fire neurons (tau 2)" in card
    )
