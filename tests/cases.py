"""Circuits that every backend is compared on, with what the oracle says of them."""

import copy
import pickle
from dataclasses import dataclass
from functools import cache

import numpy as np
import oracle
import pytest
import torch
from torch import nn

import sqdr

BACKENDS = ("native", "pennylane", "torchquantum")

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

#: Every method of every backend: backend, its options, blocks, entanglement.
_ENGINES = [
    pytest.param("native", {"method": "closed-form"}, 2, "linear", id="chain"),
    pytest.param("native", {"method": "closed-form"}, 2, "circular", id="ring"),
    pytest.param("native", {"method": "closed-form"}, 2, "pairs", id="pairs"),
    pytest.param("native", {"method": "closed-form"}, 3, "none", id="unentangled"),
    pytest.param("native", {"method": "causal-cone"}, 3, "linear", id="causal-cone"),
    pytest.param("native", {"method": "dense"}, 3, "circular", id="dense"),
    pytest.param("pennylane", {}, 3, "linear", id="pennylane"),
    pytest.param("torchquantum", {}, 3, "linear", id="torchquantum"),
]
EVERY_ENGINE = pytest.mark.parametrize(("backend", "options", "n_blocks", "entanglement"), _ENGINES)
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
    """A circuit, described in terms that the oracle and sqdr both understand.

    Strengths are numbers, or tuples of one number for each wire.
    """

    n_wires: int
    n_blocks: int
    entanglement: str = "linear"
    after_rotation: tuple[tuple[str, float | tuple[float, ...]], ...] = ()
    after_entangler: tuple[tuple[str, float | tuple[float, ...]], ...] = ()
    readout_error: float | tuple[float, ...] = 0.0

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
        return self.noise_of(lambda strength: strength)

    @property
    def trainable_noise(self):
        return self.noise_of(lambda strength: nn.Parameter(torch.tensor(strength, dtype=torch.float64)))

    def noise_of(self, make):
        """The noise model of strengths `make(strength)`."""
        model = sqdr.NoiseModel(
            [CHANNELS[name](make(strength)) for name, strength in self.after_rotation],
            [CHANNELS[name](make(strength)) for name, strength in self.after_entangler],
            make(self.readout_error),
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
        if backend == "torchquantum":
            dtype = torch.float32
        circuit = sqdr.create_circuit(
            backend,
            self.n_wires,
            self.n_blocks,
            entanglement=self.pairs if self.entanglement == "pairs" else self.entanglement,
            **{"noise": self.noise, "dtype": dtype} | options,
        )
        with torch.no_grad():
            circuit.weights.copy_(torch.as_tensor(weights))
        return circuit


@cache
def oracle_strength_gradients(case):
    """Of the sum of <Z> with the cotangent of `oracle_gradients`, by name, readout error included."""
    angles, weights = case.draw()
    cotangent = np.linspace(1, 2, case.n_wires)
    uploads = np.broadcast_to(angles[0].reshape(-1, 3), weights.shape)
    gradients = {
        f"{place}_{index}_{name}": oracle.strength_gradient(
            uploads, weights, case.pairs, cotangent, place, index, **case.oracle_noise
        )
        for place in ("after_rotation", "after_entangler")
        for index, (name, _) in enumerate(case.oracle_noise[place])
    }
    without = case.oracle_noise | {"readout_error": 0.0}
    values = oracle.expectation_values(uploads, weights, case.pairs, **without)
    return gradients | {"readout_error": -2 * cotangent * values}


@cache
def oracle_values(case):
    angles, weights = case.draw()
    return oracle.batch_expectation_values(angles, weights, case.pairs, **case.oracle_noise)


@cache
def oracle_gradients(case):
    angles, weights = case.draw()
    cotangent = np.linspace(1, 2, case.n_wires)
    return oracle.gradients(angles[0], weights, case.pairs, cotangent, **case.oracle_noise)
