"""Channels as data, and what they do to a Bloch vector."""

import numpy as np
import oracle
import pytest
from cases import CHANNELS

import sqdr
from sqdr.noise import BlochMap, channel, compose

PAULIS = (oracle.X, oracle.Y, oracle.Z)


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("name", CHANNELS)
def test_bloch_map_is_that_of_the_kraus_operators(name, strength):
    bloch = np.array([0.3, -0.5, 0.6])
    rho = (oracle.I + sum(v * p for v, p in zip(bloch, PAULIS, strict=True))) / 2
    rho = sum(k @ rho @ k.conj().T for k in oracle.kraus_operators(name, strength))
    expected = [np.trace(pauli @ rho).real for pauli in PAULIS]
    scale_x, scale_y, scale_z, shift_z = CHANNELS[name](strength).bloch_map()
    mapped = np.array([scale_x, scale_y, scale_z]) * bloch + [0, 0, shift_z]
    np.testing.assert_allclose(mapped, expected, atol=1e-14)


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
        CHANNELS[name](strength)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"after_rotation": sqdr.BitFlip(0.1)}, "but is the single channel"),
        ({"after_rotation": 0.1}, "but is 0.1"),
        ({"after_entangler": [0.1]}, "but holds 0.1"),
        ({"after_entangler": "BitFlip"}, "but is 'BitFlip'"),
        ({"readout_error": 2}, "but is 2.0"),
    ],
    ids=str,
)
def test_bad_noise_model(options, complaint):
    (argument,) = options
    with pytest.raises(ValueError, match=f"^Argument `{argument}` must .*{complaint}"):
        sqdr.NoiseModel(**options)


def test_noise_models_are_values():
    model = sqdr.NoiseModel([sqdr.BitFlip(0.1)])
    assert model == sqdr.NoiseModel((sqdr.BitFlip(0.1),))
    assert hash(model) == hash(sqdr.NoiseModel((sqdr.BitFlip(0.1),)))
    assert model != sqdr.NoiseModel((sqdr.BitFlip(0.2),))


@pytest.mark.parametrize(
    ("model", "noisy"),
    [
        (sqdr.NoiseModel(), False),
        (sqdr.NoiseModel(after_rotation=(sqdr.BitFlip(0.1),)), True),
        (sqdr.NoiseModel(after_entangler=(sqdr.BitFlip(0.1),)), True),
        (sqdr.NoiseModel(readout_error=0.1), True),
    ],
    ids=["empty", "rotation", "entangler", "readout"],
)
def test_truth_of_a_noise_model(model, noisy):
    assert bool(model) is noisy


def test_channel_by_name():
    assert channel("PhaseFlip", 0.2) == sqdr.PhaseFlip(0.2)
    with pytest.raises(ValueError, match=r"`channel` must be one of BitFlip, .* but is 'Dephasing'"):
        channel("Dephasing", 0.2)
