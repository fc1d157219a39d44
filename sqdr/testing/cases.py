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
from sqdr.noise import Channel, NoiseModel, NoiseProcess, ReadoutError, named_channel
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

    Strengths are numbers, tuples of one number for each wire or pair, or the operators of "Kraus"; a
    readout error of two tuples is that of a 0 and of a 1.
    """

    n_wires: int
    n_blocks: int
    entanglement: str = "linear"
    after_rotation: tuple[tuple[str, Strength], ...] = ()
    after_entangler: tuple[tuple[str, Strength], ...] = ()
    readout_error: Strength = 0.0
    encoding: str = "Rot"
    rotation: str = "Rot"
    inputs: str = "repeat"
    scaling: bool = False
    entangler: str = "CZ"
    observables: str | tuple[str, ...] = "Z"

    def __str__(self) -> str:
        chosen = [f"{name}={value}" for name, value in self.family.items()]
        noise = ["noise"] if self.noise else []
        sizes = f"{self.n_wires}wires", f"{self.n_blocks}blocks"
        return "-".join((*sizes, self.entanglement, *chosen, *noise))

    @property
    def family(self) -> dict[str, Any]:
        """The arguments that are not those of the published circuit."""
        names = "encoding", "rotation", "inputs", "scaling", "entangler", "observables"
        published = Case(self.n_wires, self.n_blocks)
        return {n: getattr(self, n) for n in names if getattr(self, n) != getattr(published, n)}

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """What entanglers act on; "pairs" is a star around the last wire, with falling wires."""
        n = self.n_wires
        chain = [(i, i + 1) for i in range(n - 1)]
        return {
            "none": [],
            "linear": chain,
            "circular": [*chain, (n - 1, 0)] if n > 2 else chain,
            "full": [(i, j) for i in range(n) for j in range(i + 1, n)],
            "pairs": [(n - 1, i) for i in range(n - 1)] + ([(3, 1)] if n == 5 else []),
        }[self.entanglement]

    @property
    def noise(self) -> NoiseModel | None:
        return self.noise_of(lambda strength: strength)

    @property
    def trainable_noise(self) -> NoiseModel | None:
        """The noise, if there is any, with all its strengths trained."""
        return self.noise and self.noise_of(
            lambda strength: nn.Parameter(torch.tensor(strength, dtype=torch.float64))
        )

    def noise_of(self, make: Callable[[Strength], Any]) -> NoiseModel | None:
        """The noise model of strengths `make(strength)`."""
        error = self.readout_error

        def process(name: str, strength: Strength) -> NoiseProcess:
            return named_channel(name, strength if name == "Kraus" else make(strength))

        model = NoiseModel(
            [cast(Channel, process(*named)) for named in self.after_rotation],
            [process(*named) for named in self.after_entangler],
            ReadoutError(*map(make, cast("tuple[Any, Any]", error)))
            if self.is_directed
            else make(error),
        )
        return model or None

    @property
    def is_directed(self) -> bool:
        """Whether a 0 and a 1 are read wrongly with probabilities of their own."""
        return np.ndim(self.readout_error) == 2

    @property
    def in_reference(self) -> dict[str, Any]:
        """The circuit in the reference's terms, but for angles and weights."""
        noise = "after_rotation", "after_entangler", "readout_error"
        names = "pairs", *noise, "encoding", "rotation", "observables"
        return {name: getattr(self, name) for name in names} | self.draw_others()

    @property
    def cotangent(self) -> Array:
        """Weights (n_outputs,) of the sum of values that is differentiated."""
        is_letter = isinstance(self.observables, str)
        return np.linspace(1, 2, self.n_wires if is_letter else len(self.observables))

    def draw(self, batch: int = 4) -> tuple[Array, Array]:
        """Random angles (batch, n_features) and weights, the same for every backend."""
        # "Rot" has as many letters as what it stands for.
        generator = np.random.default_rng([self.n_wires, self.n_blocks])
        n_inputs = self.n_blocks if self.inputs == "split" else 1
        weights = generator.uniform(-4, 4, (self.n_blocks, self.n_wires, len(self.rotation)))
        return generator.uniform(-4, 4, (batch, n_inputs * self.n_wires * len(self.encoding))), weights

    def draw_others(self) -> dict[str, Array]:
        """Random scales and couplings, of a circuit that has them."""
        generator = np.random.default_rng([self.n_wires, self.n_blocks, 1])
        scales = generator.uniform(-1.5, 1.5, (self.n_blocks, self.n_wires, len(self.encoding)))
        couplings = generator.uniform(-4, 4, (self.n_blocks - 1, len(self.pairs)))
        drawn = {"scales": scales} if self.scaling else {}
        return drawn | ({"couplings": couplings} if self.entangler == "ZZ" else {})

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
            **{"noise": self.noise, "dtype": dtype} | self.family | options,
        )
        with torch.no_grad():
            for name, drawn in {"weights": weights, **self.draw_others()}.items():
                circuit.get_parameter(name).copy_(torch.as_tensor(drawn))
        return circuit


@cache
def reference_values(case: Case) -> Array:
    """Values (4, n_outputs) of the angles and weights of `Case.draw`."""
    return reference.expectation_values(*case.draw(), **case.in_reference)


@cache
def reference_gradients(case: Case, sample: int = 0) -> dict[str, Array]:
    """Gradients of one sample's sum with `Case.cotangent`, by angles, weights, scales and couplings."""
    angles, weights = case.draw()
    return reference.gradients(angles[sample], weights, cotangent=case.cotangent, **case.in_reference)


@cache
def reference_strength_gradients(case: Case, sample: int = 0) -> dict[str, Array]:
    """Gradients of one sample's sum by each strength of the noise, readout error included.

    Returns:
        dict of arrays of shape (n_wires,) or (pairs,), by the names of the strengths in a circuit
    """
    angles, weights = case.draw()
    circuit = case.in_reference

    def by(place: str, index: int = 0) -> Array:
        return reference.strength_gradient(
            angles[sample], weights, cotangent=case.cotangent, place=place, index=index, **circuit
        )

    found = {
        f"{place}_{index}_{name}": by(place, index).sum(0)
        for place in ("after_rotation", "after_entangler")
        for index, (name, _) in enumerate(circuit[place])
        if name != "Kraus"
    }
    of_zero, of_one = by("readout_error")
    if not case.is_directed:
        return found | {"readout_error": of_zero + of_one}
    names = "prob_meas1_prep0", "prob_meas0_prep1"
    return found | {f"readout_error_{n}": of for n, of in zip(names, (of_zero, of_one), strict=True)}
