"""A backend for sqdr: Qiskit's statevector simulator, with gradients by the parameter-shift rule."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.quantum_info import Statevector
from torch import Tensor
from torch.autograd.function import once_differentiable

import sqdr

Pairs = Sequence[tuple[int, int]]


class QiskitCircuit(sqdr.ReuploadCircuit):
    """A re-uploading circuit on Qiskit.

    It needs no `__init__`, and says what it can: float64, but no noise, which sqdr then refuses.
    """

    capabilities: ClassVar[frozenset[Any]] = frozenset({"float64"})

    def expectation_values(self, angles: Tensor, weights: Tensor) -> Tensor:
        values: Tensor = _OnQiskit.apply(angles, weights, self.pairs)
        return values


class _OnQiskit(torch.autograd.Function):
    """<Z> of every wire; torch cannot look into Qiskit, so the gradient is written out."""

    @staticmethod
    def forward(ctx: Any, angles: Tensor, weights: Tensor, pairs: Pairs) -> Tensor:
        ctx.save_for_backward(angles, weights)  # not on the class, where the next call would find it
        ctx.pairs = pairs
        values = [_expectation_values(gates, pairs) for gates in _gates(angles, weights)]
        return torch.as_tensor(np.stack(values)).to(angles)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        angles, weights = ctx.saved_tensors
        slopes = np.stack(
            [
                _slopes(gates, ctx.pairs, cotangent)
                for gates, cotangent in zip(_gates(angles, weights), _array(grad), strict=True)
            ]
        )
        # Angles count in each block, weights in each sample.
        of_angles, of_weights = slopes[:, 0].sum(1), slopes[:, 1].sum(0)
        return torch.as_tensor(of_angles).to(angles), torch.as_tensor(of_weights).to(weights), None


def _array(tensor: Tensor) -> NDArray[np.float64]:
    return tensor.detach().cpu().double().numpy()


def _gates(angles: Tensor, weights: Tensor) -> NDArray[np.float64]:
    """Angles of all rotations (batch, 2, n_blocks, n_wires, 3): of the data, and of the weights."""
    of_weights = _array(weights)
    return np.stack([[np.broadcast_to(a, of_weights.shape), of_weights] for a in _array(angles)])


def _expectation_values(gates: NDArray[np.float64], pairs: Pairs) -> NDArray[np.float64]:
    """<Z> (n_wires,) of one sample's gates (2, n_blocks, n_wires, 3)."""
    _, n_blocks, n_wires, _ = gates.shape
    if not np.isfinite(gates).all():  # at which Qiskit raises, for the whole batch
        return np.full(n_wires, np.nan)
    circuit = QuantumCircuit(n_wires)
    for block in range(n_blocks):
        for rotations in gates[:, block]:
            for wire, (phi, theta, omega) in enumerate(rotations):
                circuit.u(theta, omega, phi, wire)  # RZ(omega) RY(theta) RZ(phi), up to a phase
        if block < n_blocks - 1:
            for first, second in pairs:
                circuit.cz(first, second)
    state = Statevector(circuit)
    # Asked for by wire: in its bit strings, Qiskit has the first wire last.
    return np.array([np.dot([1, -1], state.probabilities([wire])) for wire in range(n_wires)])


def _slopes(
    gates: NDArray[np.float64], pairs: Pairs, cotangent: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Gradient of the sum of <Z> with `cotangent` by each of the gates, exact and of their shape."""
    slopes = np.empty_like(gates)
    for index in np.ndindex(gates.shape):
        above, below = gates.copy(), gates.copy()
        above[index] += np.pi / 2
        below[index] -= np.pi / 2
        difference = _expectation_values(above, pairs) - _expectation_values(below, pairs)
        slopes[index] = cotangent @ difference / 2
    return slopes
