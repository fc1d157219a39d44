"""Noise as data: one-wire channels, how strong they are, and where in the circuit they act."""

from sqdr.noise.channels import (
    AmplitudeDamping,
    BitFlip,
    BlochMap,
    Channel,
    Depolarizing,
    PhaseDamping,
    PhaseFlip,
    compose,
    named_channel,
    stack,
)
from sqdr.noise.model import NoiseModel
from sqdr.noise.strengths import (
    Number,
    OnLastWire,
    SigmoidOfDrawnAngle,
    Strength,
    check_probabilities,
)

__all__ = [
    "AmplitudeDamping",
    "BitFlip",
    "BlochMap",
    "Channel",
    "Depolarizing",
    "NoiseModel",
    "Number",
    "OnLastWire",
    "PhaseDamping",
    "PhaseFlip",
    "SigmoidOfDrawnAngle",
    "Strength",
    "check_probabilities",
    "compose",
    "named_channel",
    "stack",
]
