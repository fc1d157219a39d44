"""Channels as data, what they do to a Bloch vector, and how they are written down."""

import copy
import json
import math

import numpy as np
import pytest
import torch
from torch import nn

import sqdr
from sqdr.noise import BlochMap, OnLastWire, SigmoidOfDrawnAngle, compose, named_channel
from sqdr.testing import reference
from sqdr.testing.cases import CHANNELS

PAULIS = (reference.X, reference.Y, reference.Z)


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("name", CHANNELS)
def test_bloch_map_is_that_of_the_kraus_operators(name, strength):
    bloch = np.array([0.3, -0.5, 0.6])
    rho = (reference.I + sum(v * p for v, p in zip(bloch, PAULIS, strict=True))) / 2
    rho = sum(k @ rho @ k.conj().T for k in reference.kraus_operators(name, strength))
    expected = [np.trace(pauli @ rho).real for pauli in PAULIS]
    scale_x, scale_y, scale_z, shift_z = named_channel(name, strength).bloch_map()
    mapped = np.array([scale_x, scale_y, scale_z]) * bloch + [0, 0, shift_z]
    np.testing.assert_allclose(mapped, expected, atol=1e-14)


@pytest.mark.parametrize("name", CHANNELS)
def test_slope_of_the_bloch_map(name):
    def map_of(strength):
        numbers = named_channel(name, 0).with_strength(strength).bloch_map()
        return torch.stack([torch.ones(2, dtype=torch.float64) * number for number in numbers])

    strength = torch.tensor([0.1, 0.7], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(map_of, strength)


@pytest.mark.parametrize("name", CHANNELS)
def test_slope_of_the_bloch_map_is_finite_at_the_ends(name):
    strength = torch.tensor([0.0, 1.0], requires_grad=True)
    sum(named_channel(name, strength).bloch_map()).sum().backward()
    assert strength.grad.isfinite().all()


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("name", CHANNELS)
def test_kraus_operators(name, strength):
    operators = named_channel(name, strength).kraus_operators()
    assert operators.dtype == torch.complex128
    np.testing.assert_allclose(operators, reference.kraus_operators(name, strength), rtol=0, atol=1e-14)
    identity = torch.eye(2, dtype=torch.complex128)
    torch.testing.assert_close((operators.mH @ operators).sum(0), identity, rtol=0, atol=1e-14)


@pytest.mark.parametrize("name", CHANNELS)
def test_kraus_operators_of_a_strength_for_each_wire(name):
    operators = named_channel(name, [0.1, 0.4]).kraus_operators()
    alone = [named_channel(name, strength).kraus_operators() for strength in (0.1, 0.4)]
    torch.testing.assert_close(operators, torch.stack(alone), rtol=0, atol=0)


def test_kraus_operators_need_a_number():
    with pytest.raises(ValueError, match=r"^Argument `BitFlip.p` must be a number or a tensor here"):
        sqdr.BitFlip(OnLastWire(0.1)).kraus_operators()


def test_compose_applies_the_first_channel_first():
    damped, flipped = sqdr.AmplitudeDamping(0.5), sqdr.BitFlip(1.0)
    assert compose([damped, flipped]).shift_z == -0.5
    assert compose([flipped, damped]).shift_z == 0.5
    assert compose([]) == BlochMap(1, 1, 1, 0)


@pytest.mark.parametrize("name", CHANNELS)
@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan"), "0.1", None, True], ids=str)
def test_a_strength_that_is_no_probability_is_refused_by_name(name, strength):
    with pytest.raises(
        ValueError, match=rf"^Argument `{name}\.\w+` must be a finite number in \[0, 1\]"
    ):
        getattr(sqdr, name)(strength)


@pytest.mark.parametrize(
    "strength",
    [
        torch.tensor([0.1, 1.1]),
        nn.Parameter(torch.tensor(-0.1)),
        torch.tensor([0.1, math.nan]),
        [0.1, math.inf],
        np.array([0.1, -0.1]),
        [0.1, "0.1"],
        [[0.1, 0.2]],
    ],
    ids=str,
)
def test_tensors_and_sequences_of_no_probabilities_are_refused_by_name(strength):
    with pytest.raises(
        ValueError, match=r"^Argument `Depolarizing.p` must be a finite number in \[0, 1\]"
    ):
        sqdr.Depolarizing(strength)


@pytest.mark.parametrize("strength", [torch.zeros(2, 3), torch.tensor([0, 1]), torch.zeros(0)], ids=str)
def test_tensors_of_another_kind_are_refused_by_name(strength):
    with pytest.raises(
        ValueError, match=r"^Argument `PhaseDamping.gamma` must be .* tensor of one axis"
    ):
        sqdr.PhaseDamping(strength)


SEQUENCE = "must be a sequence of channels, but"
PROBABILITY = "must be a finite number in [0, 1], but"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"after_rotation": sqdr.BitFlip(0.1)}, f"{SEQUENCE} is the single channel BitFlip(p=0.1); "),
        ({"after_rotation": 0.1}, f"{SEQUENCE} is 0.1."),
        ({"after_entangler": [0.1]}, f"{SEQUENCE} holds 0.1."),
        ({"after_entangler": "BitFlip"}, f"{SEQUENCE} is 'BitFlip'."),
        ({"readout_error": 2}, f"{PROBABILITY} is 2.0."),
        ({"readout_error": [0.1, 2]}, f"{PROBABILITY} is 2.0."),
    ],
    ids=str,
)
def test_bad_noise_model(options, complaint):
    (argument,) = options
    with pytest.raises(ValueError) as refused:  # noqa: PT011  the message is compared below
        sqdr.NoiseModel(**options)
    assert str(refused.value).startswith(f"Argument `{argument}` {complaint}")


VALUES = {
    "number": lambda: 0.1,
    "tensor": lambda: torch.tensor([0.1, 0.2]),
    "parameter": lambda: nn.Parameter(torch.tensor([0.1, 0.2])),
    "last wire": lambda: OnLastWire(0.1),
    "drawn": lambda: SigmoidOfDrawnAngle(),
}


@pytest.mark.parametrize("kind", VALUES)
def test_noise_models_are_values(kind):
    first, second = (sqdr.NoiseModel([sqdr.BitFlip(VALUES[kind]())]) for _ in range(2))
    assert first == second
    assert hash(first) == hash(second)
    assert copy.deepcopy(first) == first
    others = [sqdr.BitFlip(make()) for name, make in VALUES.items() if name != kind]
    others += [sqdr.BitFlip(0.3), sqdr.PhaseFlip(VALUES[kind]()), None]
    assert not any(first.after_rotation[0] == other for other in others)


def test_noise_models_differ_in_place_and_readout_error():
    flip = (sqdr.BitFlip([0.1, 0.2]),)
    models = [
        sqdr.NoiseModel(flip),
        sqdr.NoiseModel((), flip),
        sqdr.NoiseModel(flip, readout_error=0.1),
        sqdr.NoiseModel(flip, readout_error=[0.1, 0.2]),
    ]
    assert [[a == b for b in models] for a in models] == np.eye(4, dtype=bool).tolist()


def test_hashes_tell_noise_models_apart():
    channels = sqdr.BitFlip(0.1), sqdr.BitFlip(0.2), sqdr.PhaseFlip(0.1)
    models = [sqdr.NoiseModel((channel,)) for channel in channels]
    assert len({hash(value) for value in (*channels, *models)}) == 6


def test_repr_can_be_read():
    model = sqdr.NoiseModel(
        (sqdr.BitFlip(0.02), sqdr.AmplitudeDamping(torch.tensor([0.1, 1 / 3]))),
        (sqdr.PhaseFlip(nn.Parameter(torch.tensor(0.1))), sqdr.BitFlip(OnLastWire(0.5))),
        readout_error=0.1,
    )
    assert repr(model) == (
        "NoiseModel(after_rotation=(BitFlip(p=0.02), AmplitudeDamping(gamma=[0.1   , 0.3333])), "
        "after_entangler=(PhaseFlip(p=Parameter(0.1)), BitFlip(p=OnLastWire(value=0.5))), "
        "readout_error=0.1)"
    )


@pytest.mark.parametrize(
    ("model", "noisy"),
    [
        (sqdr.NoiseModel(), False),
        (sqdr.NoiseModel(after_rotation=(sqdr.BitFlip(0.1),)), True),
        (sqdr.NoiseModel(after_entangler=(sqdr.BitFlip(0.1),)), True),
        (sqdr.NoiseModel(readout_error=0.1), True),
        (sqdr.NoiseModel(readout_error=nn.Parameter(torch.tensor(0.0))), True),
    ],
    ids=["empty", "rotation", "entangler", "readout", "trained readout"],
)
def test_truth_of_a_noise_model(model, noisy):
    assert bool(model) is noisy


def test_channel_by_name():
    assert named_channel("PhaseFlip", 0.2) == sqdr.PhaseFlip(0.2)
    with pytest.raises(ValueError, match=r"`channel` must be one of BitFlip, .* but is 'Dephasing'"):
        named_channel("Dephasing", 0.2)


TWICE = {
    "after_rotation": [{"BitFlip": 0.02}, {"AmplitudeDamping": [0.1, 0.2]}, {"BitFlip": 0.02}],
    "after_entangler": [{"PhaseDamping": {"Parameter": 0.1}}, {"PhaseFlip": {"Parameter": [0.3, 0.4]}}],
    "readout_error": [0.01, 0.02],
}


def test_to_dict_gives_what_from_dict_was_given():
    model = sqdr.NoiseModel.from_dict(TWICE)
    assert model.to_dict() == TWICE
    first, second, third = model.after_rotation
    assert (first, third) == (sqdr.BitFlip(0.02), sqdr.BitFlip(0.02))
    assert torch.equal(second.gamma, torch.tensor([0.1, 0.2], dtype=torch.float64))
    assert isinstance(model.after_entangler[0].gamma, nn.Parameter)


@pytest.mark.parametrize(
    "model",
    [
        sqdr.NoiseModel(),
        sqdr.NoiseModel.from_dict(TWICE),
        sqdr.NoiseModel.preset("author-code"),
        sqdr.NoiseModel.preset("device"),
        sqdr.NoiseModel.preset("device", t1=[90, 100], t2=[80, 90], readout_error=[0.1, 0.2]),
    ],
    ids=["empty", "tensors", "author-code", "device", "device of two wires"],
)
def test_a_noise_model_survives_json(model):
    assert sqdr.NoiseModel.from_dict(json.loads(json.dumps(model.to_dict()))) == model


def test_a_mapping_may_stand_for_a_sequence():
    strengths = {"BitFlip": 0.02, "AmplitudeDamping": 0.1}
    expected = sqdr.NoiseModel((), (sqdr.BitFlip(0.02), sqdr.AmplitudeDamping(0.1)))
    assert sqdr.NoiseModel.from_dict({"after_entangler": strengths}) == expected


def test_a_preset_with_its_options_from_a_mapping():
    model = sqdr.NoiseModel.from_dict({"preset": "device", "t1": 50, "t2": 70})
    assert model == sqdr.NoiseModel.preset("device", t1=50, t2=70)


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ([], "`noise` must be a mapping, but is []"),
        (
            {"readout": 0.1},
            "`noise` must have keys among after_rotation, after_entangler, readout_error or preset, "
            "but has 'readout'",
        ),
        (
            {"after_rotation": "BitFlip"},
            "`after_rotation` must be a sequence of mappings such as {'BitFlip': 0.02}, or one such "
            "mapping, but is 'BitFlip'",
        ),
        ({"after_entangler": 3}, "`after_entangler` must be a sequence of mappings"),
        (
            {"after_entangler": [3]},
            "`after_entangler` must be a sequence of mappings such as {'BitFlip': 0.02}, or one such "
            "mapping, but holds 3",
        ),
        (
            {"readout_error": "Parameter"},
            "`readout_error` must be a finite number in [0, 1], a sequence of such, or of OnLastWire, ",
        ),
        ({"after_rotation": [{"BitFlip": 0.1, "PhaseFlip": 0.1}]}, "but holds {'BitFlip': 0.1, 'Phase"),
        ({"after_rotation": ["BitFlip"]}, "but holds 'BitFlip'"),
        ({"after_rotation": {"Bitflip": 0.1}}, "`channel` must be one of BitFlip, "),
        (
            {"after_rotation": {"BitFlip": 2}},
            "`BitFlip.p` must be a finite number in [0, 1], but is 2.0",
        ),
        (
            {"after_rotation": {"BitFlip": "0.1"}},
            "`BitFlip.p` must be a finite number in [0, 1], a seq",
        ),
        ({"after_rotation": {"BitFlip": {"Parameter": 2}}}, "`BitFlip.p` must be a finite number in"),
        ({"after_rotation": {"BitFlip": "Parameter"}}, "but is 'Parameter'"),
        ({"after_rotation": {"BitFlip": {"Other": 2}}}, "but is {'Other': 2}"),
        ({"preset": ["device"]}, "`preset` must be one of author-code, device, but is ['device']"),
        ({"preset": "devise"}, "`preset` must be one of author-code, device, but is 'devise'"),
        (
            {"preset": "device", "T1": 1},
            "`preset` must have options among t1, t2, rotation_time, cz_time, readout_error for "
            "'device', but has 'T1'",
        ),
        (
            {"preset": "author-code", "p": 1},
            "must have options among none for 'author-code', but has 'p'",
        ),
    ],
    ids=str,
)
def test_bad_mapping(plain, message):
    with pytest.raises(ValueError) as refused:  # noqa: PT011  the message is compared
        sqdr.NoiseModel.from_dict(plain)
    assert message in str(refused.value)


def test_author_code_is_what_the_published_code_does():
    assert sqdr.NoiseModel.preset("author-code") == sqdr.NoiseModel(
        (sqdr.BitFlip(0.02), sqdr.Depolarizing(0.03), sqdr.AmplitudeDamping(SigmoidOfDrawnAngle())),
        (sqdr.BitFlip(OnLastWire(0.02)), sqdr.Depolarizing(OnLastWire(0.03))),
    )


@pytest.mark.parametrize("value", [-0.1, 1.1, None], ids=str)
def test_the_last_wire_has_a_probability(value):
    with pytest.raises(
        ValueError, match=r"^Argument `OnLastWire.value` must be a finite number in \[0, 1\]"
    ):
        OnLastWire(value)


def test_the_strength_of_the_last_wire_is_a_float():
    assert type(OnLastWire(np.float32(0.5)).value) is float


def test_the_last_wire_alone():
    strength = OnLastWire(0.3).realise(torch.zeros(2, 4, 3), 3, torch.Generator())
    assert strength.tolist() == pytest.approx([0, 0, 0, 0.3])


def test_each_angle_is_drawn_for_each_block_sample_and_wire():
    """The counts of three equal chances in 4,000 draws: standard deviation 30."""
    angles = torch.tensor([-1.0, 0.5, 2.0]).expand(50, 8, 3)
    generator = torch.Generator().manual_seed(0)
    drawn = SigmoidOfDrawnAngle().realise(angles, 10, generator)
    assert drawn.shape == (10, 50, 8)
    chances = (drawn.unsqueeze(-1) == torch.sigmoid(angles[0, 0])).double()
    assert (chances.sum((0, 1, 2)) - 4000 / 3).abs().max() < 4 * 30
    # Along no axis are the draws all alike.
    assert all((drawn.diff(dim=axis) != 0).any(axis).all() for axis in range(3))
    assert not torch.equal(SigmoidOfDrawnAngle().realise(angles, 10, generator), drawn)


@pytest.mark.parametrize(("place", "time"), [("after_rotation", 3.0), ("after_entangler", 9.0)])
def test_device_relaxes_at_the_rates_of_its_times(place, time):
    t1, t2 = 50.0, 70.0
    model = sqdr.NoiseModel.preset("device", t1=t1, t2=t2, rotation_time=3, cz_time=9)
    damping, dephasing = getattr(model, place)
    decay = math.exp(-time / t1)
    assert damping.gamma == pytest.approx(1 - decay, abs=1e-15)
    assert dephasing.gamma == pytest.approx(
        1 - math.exp(-2 * time * (1 / t2 - 1 / (2 * t1))), abs=1e-15
    )
    coherence = math.exp(-time / t2)
    expected = BlochMap(coherence, coherence, decay, 1 - decay)
    assert compose((damping, dephasing)) == pytest.approx(expected, abs=1e-15)


def test_device_has_the_times_of_its_documentation():
    documented = {"t1": 100, "t2": 80, "rotation_time": 0.05, "cz_time": 0.08, "readout_error": 0.01}
    assert sqdr.NoiseModel.preset("device") == sqdr.NoiseModel.preset("device", **documented)


def test_device_takes_tensors():
    times = torch.tensor([50.0, 100.0], dtype=torch.float64)
    of_tensor = sqdr.NoiseModel.preset("device", t1=times, t2=60)
    assert of_tensor == sqdr.NoiseModel.preset("device", t1=[50, 100], t2=60)


def test_device_reads_out_with_errors():
    assert sqdr.NoiseModel.preset("device", readout_error=0.2).readout_error == 0.2


def test_device_without_pure_dephasing():
    damping, dephasing = sqdr.NoiseModel.preset("device", t1=35.1, t2=70.2).after_rotation
    assert damping.gamma > 0
    assert dephasing.gamma == pytest.approx(0, abs=1e-15)


def test_device_with_times_for_each_wire():
    of_both = sqdr.NoiseModel.preset("device", t1=[50, 100], t2=60).after_entangler
    of_each = [sqdr.NoiseModel.preset("device", t1=t1, t2=60).after_entangler for t1 in (50, 100)]
    strengths = [[channel.gamma for channel in channels] for channels in of_each]
    expected = torch.tensor(strengths, dtype=torch.float64).T
    actual = torch.stack([channel.gamma for channel in of_both])
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"t1": 10, "t2": 21}, "Argument `t2` must be at most 2 * t1, but t1 is 10 and t2 is 21."),
        ({"t1": [50, 10]}, "Argument `t2` must be at most 2 * t1, but t1 is [50, 10] and t2 is 80.0."),
        ({"t1": [50, 60], "t2": [1, 2, 3]}, "Argument `t2` must have 2 values like `t1`, but has 3."),
        ({"t1": 0}, "Argument `t1` must be positive, but is 0."),
        ({"t2": math.nan}, "Argument `t2` must be a finite number in [0, inf], but is nan."),
        (
            {"rotation_time": -1},
            "Argument `rotation_time` must be a finite number in [0, inf], but is -1.0.",
        ),
        ({"cz_time": -1}, "Argument `cz_time` must be a finite number in [0, inf], but is -1.0."),
        (
            {"readout_error": 2},
            "Argument `readout_error` must be a finite number in [0, 1], but is 2.0.",
        ),
    ],
    ids=str,
)
def test_bad_device(options, message):
    with pytest.raises(ValueError) as refused:  # noqa: PT011  the whole message is compared
        sqdr.NoiseModel.preset("device", **options)
    assert str(refused.value) == message
