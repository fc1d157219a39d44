"""Noise as data: one-wire channels, how strong they are, and where in the circuit they act."""

from sqdr.noise.channels import (
    AmplitudeDamping,
    BitFlip,
    BlochMap,
    Channel,
    Depolarizing,
    Kraus,
    PhaseDamping,
    PhaseFlip,
    TransferMatrix,
    compose,
    named_channel,
    stack,
)
from sqdr.noise.model import PLACES, NoiseModel
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
    "Channel",
    "Depolarizing",
    "Kraus",
    "NoiseModel",
    "Number",
    "OnLastWire",
    "PhaseDamping",
    "PhaseFlip",
    "SigmoidOfDrawnAngle",
    "Strength",
    "TransferMatrix",
    "check_probabilities",
    "check_realised",
    "compose",
    "named_channel",
    "stack",
]
