"""Qiskit: Aer's simulators, snapshots of devices, devices, and the primitives of their providers."""

from sqdr.backends.qiskit.circuit import QiskitCircuit

__all__ = ["QiskitCircuit"]
