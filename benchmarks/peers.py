"""One forward and backward pass of the same circuit, by sqdr's backends and by their peers.

Every function takes a `Case` and returns a callable without arguments that computes, for the case's
angles and weights, the expectation values and the gradients of their sum, and returns all three.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import nn

import sqdr

Step = Callable[[], tuple[Any, Any, Any]]

NOISE = sqdr.NoiseModel((sqdr.BitFlip(0.02), sqdr.Depolarizing(0.03), sqdr.AmplitudeDamping(0.1)))


@dataclass(frozen=True)
class Case:
    """A circuit on an open chain, and a batch for it."""

    n_wires: int
    n_blocks: int
    batch: int
    noisy: bool

    def __str__(self) -> str:
        noise = "noisy" if self.noisy else "noiseless"
        return f"n={self.n_wires} L={self.n_blocks} batch={self.batch} {noise}"

    @cached_property
    def angles(self) -> np.ndarray:
        return self._draw(0, (self.batch, 3 * self.n_wires))

    @cached_property
    def weights(self) -> np.ndarray:
        return self._draw(1, (self.n_blocks, self.n_wires, 3))

    def _draw(self, seed: int, shape: tuple[int, ...]) -> np.ndarray:
        return np.random.default_rng(seed).uniform(0, 2 * np.pi, shape).astype(np.float32)


def sqdr_step(case: Case, backend: str = "native", **options: Any) -> Step:
    """A backend of sqdr."""
    circuit = _circuit(case, backend, **options)
    return _torch_step(circuit, circuit.weights, case)


def linear_step(case: Case) -> Step:
    """The layer that a classical network would have in the circuit's place."""
    linear = nn.Linear(3 * case.n_wires, case.n_wires)
    return _torch_step(linear, linear.weight, case)


def _circuit(case: Case, backend: str, **options: Any) -> sqdr.ReuploadCircuit:
    noise = NOISE if case.noisy else None
    circuit = sqdr.create_circuit(backend, case.n_wires, case.n_blocks, noise=noise, **options)
    with torch.no_grad():
        circuit.weights.copy_(torch.from_numpy(case.weights))
    return circuit


def _torch_step(
    layer: Callable[[torch.Tensor], torch.Tensor], weights: torch.Tensor, case: Case
) -> Step:
    angles = torch.from_numpy(case.angles).requires_grad_()

    def step() -> tuple[Any, Any, Any]:
        angles.grad = weights.grad = None
        values = layer(angles)
        values.sum().backward()
        return values, angles.grad, weights.grad

    return step


def published_step(case: Case) -> Step:
    """The published implementation's method, rewritten: default.mixed, one sample at a time."""
    circuit = _circuit(case, "pennylane", device="default.mixed")
    return _torch_step(
        lambda angles: torch.stack([circuit(sample) for sample in angles]), circuit.weights, case
    )


def tensorcircuit_step(case: Case) -> Step:
    """tensorcircuit-ng on jax, jitted.

    A statevector, or with noise a tensor network contraction for each observable (DMCircuit2,
    reuse=False), which was its fastest way when this was written.
    """
    import jax
    import tensorcircuit

    tensorcircuit.set_backend("jax")
    gates, channels = tensorcircuit.gates, tensorcircuit.channels
    bit_flip = [
        gates.Gate(np.sqrt(0.98) * np.eye(2, dtype=np.complex64)),
        gates.Gate(np.sqrt(0.02) * np.array([[0, 1], [1, 0]], dtype=np.complex64)),
    ]
    depolarizing = channels.generaldepolarizingchannel(0.01)
    damping = channels.amplitudedampingchannel(gamma=0.1, p=1.0)

    def rot(circuit: Any, wire: int, angles: Any) -> None:
        circuit.rz(wire, theta=angles[0])
        circuit.ry(wire, theta=angles[1])
        circuit.rz(wire, theta=angles[2])

    def values_of(angles: Any, weights: Any) -> Any:
        circuit = (tensorcircuit.DMCircuit2 if case.noisy else tensorcircuit.Circuit)(case.n_wires)
        for block in range(case.n_blocks):
            for wire in range(case.n_wires):
                rot(circuit, wire, angles[3 * wire : 3 * wire + 3])
                rot(circuit, wire, weights[block, wire])
                for kraus in (bit_flip, depolarizing, damping) if case.noisy else ():
                    circuit.general_kraus(kraus, wire)
            if block < case.n_blocks - 1:
                for wire in range(case.n_wires - 1):
                    circuit.cz(wire, wire + 1)
        z = [
            circuit.expectation((gates.z(), [wire]), reuse=not case.noisy)
            for wire in range(case.n_wires)
        ]
        return jax.numpy.real(jax.numpy.stack(z))

    def total(angles: Any, weights: Any) -> Any:
        values = jax.vmap(values_of, in_axes=(0, None))(angles, weights)
        return values.sum(), values

    gradient = jax.jit(jax.value_and_grad(total, argnums=(0, 1), has_aux=True))
    angles, weights = jax.numpy.asarray(case.angles), jax.numpy.asarray(case.weights)

    def step() -> tuple[Any, Any, Any]:
        (_, values), (of_angles, of_weights) = jax.block_until_ready(gradient(angles, weights))
        return values, of_angles, of_weights

    return step
