"""Quantum data re-uploading layers for PyTorch whose simulator is one argument."""

from sqdr import testing
from sqdr.circuit import ReuploadCircuit
from sqdr.model import SQDR_CNN
from sqdr.noise import (
    AmplitudeDamping,
    BitFlip,
    Depolarizing,
    NoiseModel,
    PhaseDamping,
    PhaseFlip,
)
from sqdr.registry import BackendError, MissingPackageError, backend_names, create_circuit

__version__ = "0.1.0"

__all__ = [
    "SQDR_CNN",
    "AmplitudeDamping",
    "BackendError",
    "BitFlip",
    "Depolarizing",
    "MissingPackageError",
    "NoiseModel",
    "PhaseDamping",
    "PhaseFlip",
    "ReuploadCircuit",
    "backend_names",
    "create_circuit",
    "testing",
]
