"""Noise from the command line to the model, the configuration and the checkpoint."""

import pytest
import torch
import yaml
from commands import assert_refused
from qiskit_ibm_runtime.fake_provider import FakeManilaV2

import sqdr
from sqdr.experiment.cli import main
from sqdr.experiment.options import ModelOptions, NoiseOptions, build_noise

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


#: A device of three qubits in a row, the last of which does not work.
CALIBRATION = """
name: mine
qubits:
- {qubit: 0, t1: 100, t2: 80, pulse_time: 0.03, prob_meas1_prep0: 0.01}
- {qubit: 1, t1: 120, t2: 90, pulse_error: 0.001, pulse_time: 0.03}
- {qubit: 2, pulse_error: 1}
pairs:
- {qubits: [0, 1], error: 0.01, time: 0.07}
- {qubits: [1, 2], error: 0.01}
"""


def test_training_under_the_noise_of_a_device(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(CALIBRATION)
    options = ["--model.noise.device", str(file), "--run", str(tmp_path / "run")]
    assert main([*SMALL, *options]) == 0
    file.unlink()  # the model holds the noise itself
    noise = sqdr.noise.Calibration.from_dict(yaml.safe_load(CALIBRATION)).noise_model([0, 1])
    assert sqdr.SQDR_CNN.from_pretrained(tmp_path / "run" / "model").circuit.noise == noise


def test_a_snapshot_by_its_name():
    options = ModelOptions(n_wires=3, noise=NoiseOptions(device="FakeManilaV2"))
    calibration = sqdr.noise.Calibration.from_qiskit(FakeManilaV2())
    expected = calibration.noise_model(calibration.best_wires(3))
    assert build_noise(options.noise) == expected
    assert options.noise.device is None


def test_rotations_about_z_take_no_pulse():
    noise = NoiseOptions(device="FakeManilaV2")
    options = ModelOptions(n_wires=2, encoding="Z", rotation="Z", noise=noise)
    assert build_noise(options.noise).after_rotation == ()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model.noise.device", "FakeTorin"], "is 'FakeTorin'; did you mean FakeTorino?"),
        (
            ["--model.noise.device", "FakeManilaV2"],
            "`n_wires` must be at most the 5 qubits of fake_man",
        ),
        (
            ["--model.noise.device", "FakeManilaV2", "--model.noise.readout_error", "0.1"],
            "`readout_error` must be left out where there is a `device`, but is 0.1.",
        ),
        (["--model.noise.device", "absent.yaml"], "absent.yaml"),
        (
            [
                *("--model.noise.device", "FakeManilaV2", "--model.n_wires", "4"),
                "--model.entanglement=full",
            ],
            "4 find none for their pairs",
        ),
    ],
)
def test_devices_that_cannot_be(words, message, capfd):
    assert_refused(["train", *words], message, capfd)


def test_a_device_needs_a_circuit():
    with pytest.raises(ValueError, match="`device` must be left out where there is no circuit"):
        build_noise(NoiseOptions(device="FakeManilaV2"))


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
