"""Circuits that every backend is compared on, with what the oracle says of them."""

import copy
import pickle
from dataclasses import dataclass
from functools import cache

import numpy as np
import oracle
import pytest
import torch

import sqdr

BACKENDS = ("native", "pennylane", "torchquantum")
NOISY_BACKENDS = ("native", "pennylane")

DUPLICATES = pytest.mark.parametrize(
    "duplicate",
    [copy.deepcopy, lambda module: pickle.loads(pickle.dumps(module))],
    ids=["deepcopy", "pickle"],
)

CHANNELS = {
    "BitFlip": sqdr.BitFlip,
    "PhaseFlip": sqdr.PhaseFlip,
    "Depolarizing": sqdr.Depolarizing,
    "AmplitudeDamping": sqdr.AmplitudeDamping,
    "PhaseDamping": sqdr.PhaseDamping,
}

#: A sequence that does not commute, in one order after rotations and in another after entanglers.
ALL_NOISE = (
    (
        ("BitFlip", 0.02),
        ("Depolarizing", 0.03),
        ("AmplitudeDamping", 0.1),
        ("PhaseFlip", 0.05),
        ("PhaseDamping", 0.2),
    ),
    (("AmplitudeDamping", 0.15), ("BitFlip", 0.04), ("PhaseDamping", 0.1)),
    0.03,
)


@dataclass(frozen=True)
class Case:
    """A circuit, described in terms that the oracle and sqdr both understand."""

    n_wires: int
    n_blocks: int
    entanglement: str = "linear"
    after_rotation: tuple[tuple[str, float], ...] = ()
    after_entangler: tuple[tuple[str, float], ...] = ()
    readout_error: float = 0.0

    def __str__(self):
        noise = "-noise" if self.noise else ""
        return f"{self.n_wires}wires-{self.n_blocks}blocks-{self.entanglement}{noise}"

    @property
    def pairs(self):
        n = self.n_wires
        chain = [(i, i + 1) for i in range(n - 1)]
        return {
            "none": [],
            "linear": chain,
            "circular": [*chain, (n - 1, 0)] if n > 2 else chain,
            # a star around the last wire, wires in falling order, and for 5 wires one more pair
            "pairs": [(n - 1, i) for i in range(n - 1)] + ([(3, 1)] if n == 5 else []),
        }[self.entanglement]

    @property
    def noise(self):
        model = sqdr.NoiseModel(
            [CHANNELS[name](strength) for name, strength in self.after_rotation],
            [CHANNELS[name](strength) for name, strength in self.after_entangler],
            self.readout_error,
        )
        return model or None

    @property
    def oracle_noise(self):
        return {
            "after_rotation": self.after_rotation,
            "after_entangler": self.after_entangler,
            "readout_error": self.readout_error,
        }

    def draw(self, batch=4):
        """Random angles (batch, 3 * n_wires) and weights, the same for every backend."""
        generator = np.random.default_rng([self.n_wires, self.n_blocks])
        weights = generator.uniform(-4, 4, (self.n_blocks, self.n_wires, 3))
        return generator.uniform(-4, 4, (batch, 3 * self.n_wires)), weights

    def circuit(self, backend, weights, dtype=torch.float64, **options):
        circuit = sqdr.create_circuit(
            backend,
            self.n_wires,
            self.n_blocks,
            entanglement=self.pairs if self.entanglement == "pairs" else self.entanglement,
            noise=self.noise,
            dtype=dtype,
            **options,
        )
        with torch.no_grad():
            circuit.weights.copy_(torch.as_tensor(weights))
        return circuit


@cache
def oracle_values(case):
    angles, weights = case.draw()
    return oracle.batch_expectation_values(angles, weights, case.pairs, **case.oracle_noise)


@cache
def oracle_gradients(case):
    angles, weights = case.draw()
    cotangent = np.linspace(1, 2, case.n_wires)
    return oracle.gradients(angles[0], weights, case.pairs, cotangent, **case.oracle_noise)
