"""Noise from the command line to the model, the configuration and the checkpoint."""

import pytest
import torch
import yaml

import sqdr
from sqdr.experiment.cli import main
from sqdr.experiment.options import NoiseOptions, build_noise

SMALL = [
    *("train", "--data.classes", "[0, 1]", "--data.image_size", "8", "--epochs", "1"),
    *("--model.T", "2", "--model.n_wires", "2", "--model.width", "1"),
]

DESCRIPTIONS = {
    "channel twice": (
        ["--model.noise.after_rotation", "[{BitFlip: 0.1}, {BitFlip: 0.2}]"],
        sqdr.NoiseModel((sqdr.BitFlip(0.1), sqdr.BitFlip(0.2))),
    ),
    "for each wire": (
        ["--model.noise.after_entangler", "{PhaseDamping: [0.1, 0.2]}"],
        sqdr.NoiseModel(after_entangler=[sqdr.PhaseDamping([0.1, 0.2])]),
    ),
    "author-code": (
        ["--model.noise.preset", "author-code"],
        sqdr.NoiseModel.preset("author-code"),
    ),
    "device": (
        ["--model.noise.preset", "device", "--model.noise.preset_options", "{t1: 50, t2: 40}"],
        sqdr.NoiseModel.preset("device", t1=50, t2=40),
    ),
}


@pytest.mark.parametrize(("options", "noise"), DESCRIPTIONS.values(), ids=DESCRIPTIONS)
def test_the_model_the_configuration_and_the_checkpoint_have_the_noise(options, noise, tmp_path):
    assert main([*SMALL, *options, "--run", str(tmp_path)]) == 0
    configured = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert build_noise(NoiseOptions(**configured["model"]["noise"])) == noise
    checkpoint = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert build_noise(NoiseOptions(**checkpoint["options"]["model"]["noise"])) == noise


def test_a_trained_strength_stays_a_probability(tmp_path):
    options = ["--model.noise.after_rotation", "{BitFlip: {Parameter: 0.001}}", "--learning_rate", "1"]
    assert main([*SMALL, *options, "--run", str(tmp_path)]) == 0
    checkpoint = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    strength = checkpoint["state_dict"]["model.circuit.after_rotation_0_BitFlip"]
    assert strength != 0.001
    assert 0 <= strength <= 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"preset": "device", "readout_error": 0.1},
            "Argument `readout_error` must be left out",
        ),
        (
            {"after_rotation": {"BitFlip": 0.1}, "preset": "author-code"},
            "Argument `after_rotation` must be left",
        ),
        ({"preset_options": {"t1": 80}}, "Argument `preset` must be given"),
        (
            {"preset": "device", "preset_options": {"t3": 80}},
            "Argument `preset` must have options",
        ),
        ({"readout_error": 1.5}, "Argument `readout_error` must be a finite number"),
        ({"after_entangler": {"BitFlip": -1}}, "Argument `BitFlip.p` must be a finite number"),
    ],
    ids=str,
)
def test_contradictions_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        NoiseOptions(**options)
