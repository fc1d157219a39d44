"""Quantum data re-uploading layers for PyTorch whose simulator is one argument."""

from sqdr import testing
from sqdr._version import __version__
from sqdr.circuit import ReuploadCircuit
from sqdr.errors import ArgumentError, BackendError, JobError, MissingPackageError
from sqdr.model import SQDR_CNN
from sqdr.noise import (
    AmplitudeDamping,
    BitFlip,
    Depolarizing,
    Kraus,
    NoiseModel,
    PhaseDamping,
    PhaseFlip,
    ReadoutError,
    TwoWireDepolarizing,
)
from sqdr.registry import backend_names, backends_with, create_circuit

__all__ = [
    "SQDR_CNN",
    "AmplitudeDamping",
    "ArgumentError",
    "BackendError",
    "BitFlip",
    "Depolarizing",
    "JobError",
    "Kraus",
    "MissingPackageError",
    "NoiseModel",
    "PhaseDamping",
    "PhaseFlip",
    "ReadoutError",
    "ReuploadCircuit",
    "TwoWireDepolarizing",
    "__version__",
    "backend_names",
    "backends_with",
    "create_circuit",
    "testing",
]
