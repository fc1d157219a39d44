"""Noise as data: channels of wires and pairs, how strong they are, and where they act."""

from sqdr.noise.calibration import Calibration
from sqdr.noise.channels import (
    AmplitudeDamping,
    BitFlip,
    BlochMap,
    Channel,
    Depolarizing,
    Kraus,
    NoiseProcess,
    PhaseDamping,
    PhaseFlip,
    TransferMatrix,
    TwoWireDepolarizing,
    compose,
    compose_around_pairs,
    named_channel,
    stack,
)
from sqdr.noise.model import PLACES, NoiseModel
from sqdr.noise.qubits import PairCalibration, QubitCalibration
from sqdr.noise.readout import ReadoutError
from sqdr.noise.strengths import (
    Number,
    OnLastWire,
    SigmoidOfDrawnAngle,
    Strength,
    check_probabilities,
    check_realised,
)

__all__ = [
    "PLACES",
    "AmplitudeDamping",
    "BitFlip",
    "BlochMap",
    "Calibration",
    "Channel",
    "Depolarizing",
    "Kraus",
    "NoiseModel",
    "NoiseProcess",
    "Number",
    "OnLastWire",
    "PairCalibration",
    "PhaseDamping",
    "PhaseFlip",
    "QubitCalibration",
    "ReadoutError",
    "SigmoidOfDrawnAngle",
    "Strength",
    "TransferMatrix",
    "TwoWireDepolarizing",
    "check_probabilities",
    "check_realised",
    "compose",
    "compose_around_pairs",
    "named_channel",
    "stack",
]
