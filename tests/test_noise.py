"""Channels as data, what they do to a Bloch vector, and how they are written down."""

import copy
import json
import math
import re
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from cases import BACKENDS
from torch import nn

import sqdr
from sqdr.noise import (
    BlochMap,
    Channel,
    OnLastWire,
    SigmoidOfDrawnAngle,
    Strength,
    compose,
    named_channel,
)
from sqdr.testing import cases, reference
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
    strength = nn.Parameter(torch.tensor([0.0, 1.0]))
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
        "NoiseModel(after_rotation=(BitFlip(p=0.02), AmplitudeDamping(gamma=[0.1, 0.3333])), "
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


COHERENT, TWO_OPERATORS = (np.array(operators) for operators in (cases.COHERENT, cases.TWO_OPERATORS))


def random_operators(n, seed=0):
    """Complete Kraus operators (n, 2, 2): the first columns of a random unitary matrix."""
    generator = np.random.default_rng(seed)
    columns = generator.normal(size=(2 * n, 2)) + 1j * generator.normal(size=(2 * n, 2))
    return np.linalg.qr(columns)[0].reshape(n, 2, 2)


@pytest.mark.parametrize("n", [1, 2, 4])
def test_the_map_of_kraus_operators(n):
    operators = random_operators(n)
    vector = np.array([0.3, -0.5, 0.6])
    paulis = np.stack([reference.X, reference.Y, reference.Z])
    rho = (reference.I + np.tensordot(vector, paulis, 1)) / 2
    after = sum(k @ rho @ k.conj().T for k in operators)
    expected = [1, *(np.trace(pauli @ after).real for pauli in paulis)]
    matrix = sqdr.Kraus(operators).bloch_map().transfer_matrix().matrix
    np.testing.assert_allclose(matrix @ torch.tensor([1, *vector]), expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("name", CHANNELS)
def test_operators_of_a_named_channel_have_its_map(name):
    channel = named_channel(name, 0.3)
    found = sqdr.Kraus(channel.kraus_operators()).bloch_map()
    assert isinstance(found, BlochMap)  # so that nothing is slower than with the named channel
    assert found == pytest.approx(channel.bloch_map(), abs=1e-15)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_coherent_error_turns_the_state(backend):
    """RX(eps) after a block without rotations: <Z> = cos(eps)."""
    cos, sin = np.cos(0.2), np.sin(0.2)
    noise = sqdr.NoiseModel((sqdr.Kraus([[[cos, -1j * sin], [-1j * sin, cos]]]),))
    circuit = sqdr.create_circuit(backend, 2, 1, noise=noise)
    torch.nn.init.zeros_(circuit.weights)
    torch.testing.assert_close(circuit(torch.zeros(6)), torch.full((2,), np.cos(0.4)).float())


@pytest.mark.parametrize(
    ("operators", "message"),
    [
        (
            [[1, 0], [0, 1]],
            r"must be finite numbers of shape \(k, 2, 2\) or .*, but has shape \(2, 2\)",
        ),
        (np.zeros((0, 2, 2)), r"has shape \(0, 2, 2\)"),
        (np.ones((1, 2, 3)), r"has shape \(1, 2, 3\)"),
        ("X", "is 'X'"),
        (None, "has shape"),
        ([[[1, 0], [0]]], r"is \[\[\[1, 0\], \[0\]\]\]"),
        ([[[np.nan, 0], [0, 1]]], "holds infinities or NaN"),
        ([[[1, 0], [0, 0.9]]], r"must be complete: .* identity, but is off by 0\.19"),
        (torch.eye(2)[None].requires_grad_(), "have a gradient"),
    ],
)
def test_what_are_no_kraus_operators_is_refused(operators, message):
    with pytest.raises(sqdr.ArgumentError, match=rf"^Argument `operators` .*{message}"):
        sqdr.Kraus(operators)


def test_rounded_operators_are_completed():
    rounded = sqdr.Kraus(torch.tensor(TWO_OPERATORS).to(torch.complex64)).kraus_operators().numpy()
    total = sum(k.conj().T @ k for k in rounded)
    np.testing.assert_allclose(total, np.eye(2), rtol=0, atol=1e-15)
    np.testing.assert_allclose(rounded, TWO_OPERATORS, rtol=0, atol=1e-7)


def test_kraus_operators_do_not_follow_the_tensor_given():
    given = torch.eye(2, dtype=torch.complex128)[None]
    channel = sqdr.Kraus(given)
    given.zero_()
    assert channel == sqdr.Kraus(np.eye(2)[None])


def test_kraus_operators_do_not_change():
    channel = sqdr.Kraus(torch.eye(2)[None])
    channel.operators.mul_(2)
    channel.kraus_operators().mul_(2)
    assert torch.equal(channel.operators, torch.eye(2, dtype=torch.complex128)[None])
    with pytest.raises(AttributeError):
        channel.operators = torch.eye(2)[None]


def test_kraus_channels_compare_by_their_operators():
    one, other = sqdr.Kraus(TWO_OPERATORS), sqdr.Kraus(COHERENT)
    assert one == sqdr.Kraus(torch.tensor(TWO_OPERATORS))
    assert hash(one) == hash(sqdr.Kraus(TWO_OPERATORS))
    assert one != other
    assert one != sqdr.BitFlip(0.1)


def test_kraus_operators_pass_through_a_file():
    noise = sqdr.NoiseModel((sqdr.Kraus(random_operators(3)),), (sqdr.Kraus(COHERENT),), 0.1)
    assert sqdr.NoiseModel.from_dict(json.loads(json.dumps(noise.to_dict()))) == noise


#: Of three wires.
OF_WIRES = np.stack([random_operators(2, seed) for seed in range(3)])


@pytest.mark.parametrize("place", ["after_rotation", "after_entangler"])
@pytest.mark.parametrize("n_blocks", [2, 3])
@pytest.mark.parametrize("backend", BACKENDS)
def test_kraus_operators_of_each_wire(backend, n_blocks, place):
    noise = sqdr.NoiseModel(**{place: (sqdr.AmplitudeDamping(0.1), sqdr.Kraus(OF_WIRES))})
    circuit = sqdr.create_circuit(backend, 3, n_blocks, noise=noise)
    angles = torch.linspace(-3, 3, 18).reshape(2, 9)
    named = {place: (("AmplitudeDamping", 0.1), ("Kraus", OF_WIRES))}
    pairs = ((0, 1), (1, 2))
    weights = circuit.weights.detach().double().numpy()
    expected = reference.expectation_values(angles.double().numpy(), weights, pairs, **named)
    np.testing.assert_allclose(circuit(angles).detach(), expected, rtol=0, atol=2e-6)


def test_diagonal_maps_of_each_wire_are_as_fast_as_named_channels():
    operators = [sqdr.BitFlip(p).kraus_operators().numpy() for p in (0.1, 0.2)]
    found = sqdr.Kraus(np.stack(operators)).bloch_map()
    assert isinstance(found, BlochMap)
    torch.testing.assert_close(found.scale_z.flatten(), torch.tensor([0.8, 0.6]).double())


def test_kraus_operators_of_too_few_wires():
    message = r"^Argument `Kraus.operators` must be for all wires, or for each of 2, but are for 3\."
    with pytest.raises(sqdr.ArgumentError, match=message):
        sqdr.create_circuit("native", 2, 2, noise=sqdr.NoiseModel((sqdr.Kraus(OF_WIRES),)))


def test_kraus_operators_of_each_wire_pass_through_a_file():
    noise = sqdr.NoiseModel((sqdr.Kraus(OF_WIRES),))
    assert sqdr.NoiseModel.from_dict(json.loads(json.dumps(noise.to_dict()))) == noise
    assert noise.in_words() == "Kraus of 2 operators a wire after rotations"


@pytest.mark.parametrize("plain", [0.1, "identity", [[[[1, 2, 3]]]], {"p": 1}, [[["1", "x"]]]])
def test_what_describes_no_operators_is_refused(plain):
    with pytest.raises(
        sqdr.ArgumentError, match=r"^Argument `operators` must be finite numbers of shape"
    ):
        sqdr.NoiseModel.from_dict({"after_rotation": {"Kraus": plain}})


def test_kraus_operators_as_text():
    channel = sqdr.Kraus(COHERENT)
    assert repr(channel) == "Kraus([[[ 0.8-0.4j, -0.4+0.2j],\n  [ 0.4+0.2j,  0.8+0.4j]]])"
    assert channel.in_words() == "Kraus of 1 operator"
    assert sqdr.Kraus(TWO_OPERATORS).in_words() == "Kraus of 2 operators"


@dataclass(frozen=True, eq=False, repr=False)
class PauliY(Channel):
    """A channel of somebody else: Pauli Y with probability p."""

    p: float

    def kraus_operators(self):
        p = torch.as_tensor(self.p, dtype=torch.float64)
        y = torch.tensor([[0, -1j], [1j, 0]], dtype=torch.complex128)
        roots = torch.stack((1 - p, p), -1).sqrt()[..., None, None]
        return roots * torch.stack((torch.eye(2), y))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("strength", [0.1, [0.1, 0.3, 0.0]], ids=str)
def test_every_backend_evaluates_a_channel_of_somebody_else(backend, strength):
    noise = sqdr.NoiseModel((sqdr.BitFlip(0.1), PauliY(strength)))
    circuit = sqdr.create_circuit(backend, 3, 2, entanglement="none", noise=noise)
    angles = torch.rand(9, generator=torch.Generator().manual_seed(0))
    weights = circuit.weights.detach().double().numpy()
    of_wires = angles.double().numpy().reshape(3, 3)
    expected = []
    for wire, p in enumerate(np.broadcast_to(strength, 3)):
        channels = ("BitFlip", 0.1), ("Kraus", [np.sqrt(1 - p) * reference.I, np.sqrt(p) * reference.Y])
        of_wire = weights[:, wire : wire + 1]
        expected += [reference.expectation_values(of_wires[wire], of_wire, (), channels).item()]
    np.testing.assert_allclose(circuit(angles).detach(), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("backend", ["native", "pennylane", "torchquantum"])
def test_the_strength_of_a_channel_of_somebody_else_is_trained(backend):
    """Without rotations <Z> is 1 - 2 p."""
    p = nn.Parameter(torch.tensor([0.1, 0.3], dtype=torch.float64))
    circuit = sqdr.create_circuit(backend, 2, 1, noise=sqdr.NoiseModel((PauliY(p),)))
    nn.init.zeros_(circuit.weights)
    values = circuit(torch.zeros(6))
    values.sum().backward()
    torch.testing.assert_close(values.double(), 1 - 2 * p)
    torch.testing.assert_close(p.grad, torch.full_like(p, -2), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "channel", [PauliY(0.1), type("BitFlip", (PauliY,), {})(0.1)], ids=["other name", "name of ours"]
)
def test_a_file_holds_no_channel_of_somebody_else(channel):
    with pytest.raises(
        sqdr.ArgumentError, match=r"^Argument `channel` must be one of BitFlip, .*, Kraus"
    ):
        sqdr.NoiseModel((channel,)).to_dict()
    with pytest.raises(sqdr.ArgumentError, match=r"must be one of BitFlip, .*, but is 'PauliY'"):
        named_channel("PauliY", 0.1)


def test_a_file_holds_no_strength_of_somebody_else():
    @dataclass(frozen=True)
    class Mine(Strength):
        def realise(self, angles, *_):
            return angles[..., 0].sigmoid()

    with pytest.raises(
        sqdr.ArgumentError, match=r"^Argument `BitFlip.p` must be a number, .* OnLastWire"
    ):
        sqdr.NoiseModel((sqdr.BitFlip(Mine()),)).to_dict()


def test_noise_of_somebody_else_compares():
    assert sqdr.NoiseModel((PauliY(0.1),)) == sqdr.NoiseModel((PauliY(0.1),))
    assert sqdr.NoiseModel((PauliY(0.1),)) != sqdr.NoiseModel((PauliY(0.2),))


_TRAINED = nn.Parameter(torch.tensor(0.1))
REFUSED_STRENGTHS = {
    "computed": torch.sigmoid(_TRAINED),
    "computed for each wire": 0.5 * torch.tensor([0.1, 0.2], requires_grad=True),
    "list of parameters": [_TRAINED, _TRAINED],
    "list of computed": [torch.sigmoid(_TRAINED), 0.1],
    "list of vectors": [torch.tensor([0.1, 0.2])],
    "matrix": torch.full((2, 2), 0.1),
    "integers": torch.tensor([0, 1]),
    "complex": torch.tensor([0.1 + 0j]),
    "float8": torch.tensor([0.5]).to(torch.float8_e4m3fn),
    "sparse": torch.tensor([0.1, 0.0]).to_sparse(),
    "uninitialised": nn.UninitializedParameter(),
    "empty": torch.zeros(0),
    "bool": True,
    "text": "0.1",
    "set": {0.1},
    "None": None,
}


@pytest.mark.parametrize("strength", REFUSED_STRENGTHS.values(), ids=REFUSED_STRENGTHS)
def test_a_strength_is_a_number_a_plain_tensor_or_a_parameter(strength):
    with pytest.raises(sqdr.ArgumentError, match=r"^Argument `BitFlip.p` must "):
        sqdr.BitFlip(strength)
    with pytest.raises(sqdr.ArgumentError, match=r"^Argument `readout_error` must "):
        sqdr.NoiseModel(readout_error=strength)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64], ids=str)
@pytest.mark.parametrize("trained", [False, True])
def test_a_strength_in_a_tensor_prints_in_any_precision(dtype, trained):
    strength = torch.tensor([0.5, 0.25])
    noise = sqdr.NoiseModel((sqdr.BitFlip(nn.Parameter(strength) if trained else strength),))
    circuit = sqdr.create_circuit("native", 2, 2, noise=noise).to(dtype)
    assert "[0.5, 0.25]" in str(circuit)


def test_a_strength_without_values_prints():
    circuit = sqdr.create_circuit("native", 2, 2, noise=sqdr.NoiseModel((sqdr.BitFlip([0.1, 0.2]),)))
    assert "BitFlip(p=(2,) without values)" in str(circuit.to("meta"))


@pytest.mark.parametrize(
    ("noise", "words"),
    [
        (sqdr.NoiseModel(), "none"),
        (sqdr.NoiseModel(readout_error=[0.1, 1 / 3]), "readout error [0.1, 0.3333]"),
        (
            sqdr.NoiseModel((sqdr.BitFlip(1 / 3), sqdr.PhaseFlip([0.01, 0.02])), (), 0.1),
            "BitFlip 0.3333, PhaseFlip [0.01, 0.02] after rotations; readout error 0.1",
        ),
        (
            sqdr.NoiseModel(after_entangler=(sqdr.BitFlip(nn.Parameter(torch.tensor(0.25))),)),
            "BitFlip Parameter(0.25) after entangling layers",
        ),
        (
            sqdr.NoiseModel((sqdr.BitFlip(OnLastWire(0.1)), sqdr.Kraus(COHERENT))),
            "BitFlip OnLastWire(value=0.1), Kraus of 1 operator after rotations",
        ),
    ],
    ids=["none", "readout", "numbers", "trained", "others"],
)
def test_noise_in_words(noise, words):
    assert noise.in_words() == words


def test_the_strengths_of_many_wires_take_one_line():
    channels = sqdr.BitFlip([0.125] * 1000), sqdr.PhaseFlip(nn.Parameter(torch.linspace(0, 0.5, 5)))
    words = sqdr.NoiseModel(channels).in_words()
    assert words == "BitFlip 0.125, PhaseFlip Parameter of 0 to 0.5 after rotations"


@pytest.mark.parametrize("strength", [np.True_, b"0", np.complex128(0.1 + 0.5j)])
def test_a_strength_that_is_no_number(strength):
    with pytest.raises(ValueError, match=r"Argument `BitFlip\.p` must be a finite number"):
        sqdr.BitFlip(strength)


@dataclass(frozen=True)
class _Realised(Strength):
    """A strength of a class of one's own: whatever it is given."""

    value: object

    def realise(self, angles, n_blocks, generator):  # noqa: ARG002
        return self.value


@pytest.mark.parametrize(
    ("realised", "but"),
    [
        (torch.tensor(2.0), "must be a finite number in [0, 1], or hold such, but holds 2.0"),
        (torch.full((1, 2), 0.1), "must return what broadcasts to (2, 4, 3), but returns shape (1, 2)"),
        (torch.full((7, 1, 1), 0.1), "must return what broadcasts to (2, 4, 3), but returns shape (7,"),
        (0.1, "must return a floating-point tensor, but is float"),
    ],
)
def test_a_strength_of_ones_own_that_realises_no_probability(realised, but):
    noise = sqdr.NoiseModel((sqdr.BitFlip(_Realised(realised)),))
    circuit = sqdr.create_circuit("native", 3, 2, noise=noise)
    with pytest.raises(ValueError, match=re.escape(f"Argument `_Realised.realise` {but}")):
        circuit(torch.zeros(4, 9))


@pytest.mark.parametrize(
    "operators",
    [
        torch.eye(2)[None].to_sparse(),
        torch.eye(2, device="meta")[None],
        [torch.eye(2, requires_grad=True)],
    ],
)
def test_operators_without_plain_values(operators):
    with pytest.raises(ValueError, match="Argument `operators` must be finite numbers"):
        sqdr.Kraus(operators)


def test_operators_in_bfloat16():
    assert sqdr.Kraus(torch.eye(2, dtype=torch.bfloat16)[None]) == sqdr.Kraus(np.eye(2)[None])


def test_equal_operators_have_one_hash():
    plus, minus = sqdr.Kraus([[[1, 0], [0, 1]]]), sqdr.Kraus([[[1, -0.0], [0, 1]]])
    assert plus == minus
    assert hash(plus) == hash(minus)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sqdr.BitFlip([]), "`BitFlip.p` must have one value or more, but is empty"),
        (lambda: sqdr.NoiseModel(readout_error=[]), "`readout_error` must have one value or more"),
        (lambda: sqdr.NoiseModel.preset("device", t1=[]), "`t1` must be positive, one or one for each"),
        (lambda: sqdr.NoiseModel.preset("device", t2=[]), "`t2` must be positive, one or one for each"),
    ],
)
def test_no_strength_at_all(make, message):
    with pytest.raises(sqdr.ArgumentError, match=message):
        make()
