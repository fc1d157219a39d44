"""Circuits that backends are compared on, with what the reference says of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from sqdr.circuit import Backend, ReuploadCircuit
from sqdr.noise import Channel, NoiseModel, named_channel
from sqdr.registry import create_circuit, load_backend
from sqdr.testing import reference
from sqdr.testing.reference import Array

Strength = float | tuple[float, ...] | tuple[Any, ...]

#: What the reference knows.
CHANNELS = ("BitFlip", "PhaseFlip", "Depolarizing", "AmplitudeDamping", "PhaseDamping")

#: Operators of channels that are no `BlochMap`: a rotation around a tilted axis, and two operators that
#: are complete together.
COHERENT = (((0.8 - 0.4j, -0.4 + 0.2j), (0.4 + 0.2j, 0.8 + 0.4j)),)
TWO_OPERATORS = (((0.8, 0.36j), (0.0, 0.64)), ((0.0, 0.48j), (0.6j, 0.48)))

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
    """A circuit, described in terms that the reference and sqdr both understand.

    Strengths are numbers, tuples of one number for each wire, or the operators of "Kraus".
    """

    n_wires: int
    n_blocks: int
    entanglement: str = "linear"
    after_rotation: tuple[tuple[str, Strength], ...] = ()
    after_entangler: tuple[tuple[str, Strength], ...] = ()
    readout_error: Strength = 0.0

    def __str__(self) -> str:
        noise = "-noise" if self.noise else ""
        return f"{self.n_wires}wires-{self.n_blocks}blocks-{self.entanglement}{noise}"

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """What CZ gates act on; "pairs" is a star around the last wire, with falling wires."""
        n = self.n_wires
        chain = [(i, i + 1) for i in range(n - 1)]
        return {
            "none": [],
            "linear": chain,
            "circular": [*chain, (n - 1, 0)] if n > 2 else chain,
            "pairs": [(n - 1, i) for i in range(n - 1)] + ([(3, 1)] if n == 5 else []),
        }[self.entanglement]

    @property
    def noise(self) -> NoiseModel | None:
        return self.noise_of(lambda strength: strength)

    @property
    def trainable_noise(self) -> NoiseModel | None:
        return self.noise_of(lambda strength: nn.Parameter(torch.tensor(strength, dtype=torch.float64)))

    def noise_of(self, make: Callable[[Strength], Any]) -> NoiseModel | None:
        """The noise model of strengths `make(strength)`."""
        model = NoiseModel(
            [cast(Channel, named_channel(name, make(s))) for name, s in self.after_rotation],
            [named_channel(name, make(strength)) for name, strength in self.after_entangler],
            make(self.readout_error),
        )
        return model or None

    @property
    def reference_noise(self) -> dict[str, Any]:
        return {
            "after_rotation": self.after_rotation,
            "after_entangler": self.after_entangler,
            "readout_error": self.readout_error,
        }

    @property
    def cotangent(self) -> Array:
        """Weights (n_wires,) of the sum of <Z> that is differentiated."""
        return np.linspace(1, 2, self.n_wires)

    def draw(self, batch: int = 4) -> tuple[Array, Array]:
        """Random angles (batch, 3 * n_wires) and weights, the same for every backend."""
        generator = np.random.default_rng([self.n_wires, self.n_blocks])
        weights = generator.uniform(-4, 4, (self.n_blocks, self.n_wires, 3))
        return generator.uniform(-4, 4, (batch, 3 * self.n_wires)), weights

    def circuit(
        self, backend: Backend, weights: Any, dtype: torch.dtype | None = None, **options: Any
    ) -> ReuploadCircuit:
        """This circuit on a backend; the default dtype is the most precise one of the backend."""
        if dtype is None:
            knows_float64 = "float64" in load_backend(backend).capabilities
            dtype = torch.float64 if knows_float64 else torch.float32
        circuit = create_circuit(
            backend,
            self.n_wires,
            self.n_blocks,
            entanglement=self.pairs if self.entanglement == "pairs" else self.entanglement,  # type: ignore[arg-type]
            **{"noise": self.noise, "dtype": dtype} | options,
        )
        with torch.no_grad():
            circuit.weights.copy_(torch.as_tensor(weights))
        return circuit


@cache
def reference_values(case: Case) -> Array:
    """<Z> (4, n_wires) of the angles and weights of `Case.draw`."""
    angles, weights = case.draw()
    return reference.batch_expectation_values(angles, weights, case.pairs, **case.reference_noise)


@cache
def reference_gradients(case: Case, sample: int = 0) -> tuple[Array, Array]:
    """Gradients of one sample's sum of <Z> with `Case.cotangent`, by angles and weights."""
    angles, weights = case.draw()
    noise = case.reference_noise
    return reference.gradients(angles[sample], weights, case.pairs, case.cotangent, **noise)


@cache
def reference_strength_gradients(case: Case) -> dict[str, Array]:
    """Gradients of the first sample's sum by each strength of the noise, readout error included.

    Returns:
        dict of arrays of shape (n_wires,), by the names that the circuit gives the strengths
    """
    angles, weights = case.draw()
    uploads = np.broadcast_to(angles[0].reshape(-1, 3), weights.shape)
    gradients = {
        f"{place}_{index}_{name}": reference.strength_gradient(
            uploads, weights, case.pairs, case.cotangent, place, index, **case.reference_noise
        ).sum(0)
        for place in ("after_rotation", "after_entangler")
        for index, (name, _) in enumerate(case.reference_noise[place])
    }
    without = case.reference_noise | {"readout_error": 0.0}
    values = reference.expectation_values(uploads, weights, case.pairs, **without)
    return gradients | {"readout_error": -2 * case.cotangent * values}
