"""What the gates of a device do to the wires of a circuit beside what they are for."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch

from sqdr.noise.channels import (
    AmplitudeDamping,
    Channel,
    Depolarizing,
    Kraus,
    PhaseDamping,
    PhaseFlip,
    TransferMatrix,
)
from sqdr.noise.qubits import PairGate, QubitCalibration


class Relaxation(NamedTuple):
    """What is left of populations and of coherences after some time."""

    population: float
    coherence: float

    @property
    def fidelity(self) -> float:
        """Process fidelity: a quarter of the trace of the map of Paulis."""
        return (1 + self.population + 2 * self.coherence) / 4

    def channels(self) -> tuple[float, float]:
        """The strengths of amplitude and of phase damping, in this order."""
        kept = self.coherence**2 / self.population if self.population else 1.0
        return 1 - self.population, max(0.0, 1 - kept)


def relaxation(qubit: QubitCalibration, time: float) -> Relaxation:
    return Relaxation(math.exp(-time / qubit.t1), math.exp(-time / min(qubit.t2, 2 * qubit.t1)))


def depolarizing_part(error: float, fidelity: float, n_wires: int) -> float:
    """The depolarizing that explains what relaxation leaves of a gate's error.

    With E = (1 - p) * identity + p * (all mixed) before the relaxation, the average gate fidelity of
    both is 1 - error for this p: as in Qiskit Aer's `NoiseModel.from_backend`.

    Args:
        error (float): of the gate, one less its average gate fidelity.
        fidelity (float): process fidelity of the relaxation alone.
        n_wires (int): 1 or 2.

    Returns:
        float: p in [0, 1]; every Pauli but the identity is multiplied by 1 - p.
    """
    size = 2**n_wires
    average = (size * fidelity + 1) / (size + 1)
    lacking = size * (average - 1 + error)
    return float(min(max(lacking / (size * average - 1), 0.0), 1.0))


@dataclass
class WireNoise:
    """The noise of a wire in a layer of pulses and gates.

    Args:
        qubit (QubitCalibration): on which it is.
        kept (float): factor of its Bloch vector by depolarizing. Default: 1.
        time (float): of relaxation, in microseconds. Default: 0.
        turned (list of floats): times of relaxation with X and Z exchanged, likewise. Default: none.
        z (float): factor of Z by all noise so far. Default: 1.
        spread (float): factor of X and Y by flips of the wires it was entangled with. Default: 1.
    """

    qubit: QubitCalibration
    kept: float = 1.0
    time: float = 0.0
    turned: list[float] = field(default_factory=list)
    z: float = 1.0
    spread: float = 1.0
    #: The last gate, and whether the wire was its target.
    last: tuple[PairGate, bool] | None = None

    def add_pulses(self, n: int) -> None:
        """Pulses between rotations: all but the last relax in any direction, as depolarizing."""
        relaxed = relaxation(self.qubit, self.qubit.pulse_time)
        part = depolarizing_part(self.qubit.pulse_error, relaxed.fidelity, 1)
        factor = (1 - part) ** n * ((4 * relaxed.fidelity - 1) / 3) ** max(n - 1, 0)
        self.kept *= factor
        self.z *= factor
        if n:
            self.time += self.qubit.pulse_time
            self.z *= relaxed.population

    def begin_gate(self, gate: PairGate, is_target: bool) -> None:
        """The pulse before a gate that is not the first; `is_target` counts for CX and ECR."""
        is_target = is_target and gate != "cz"
        if self.last is not None:
            before, was_target = self.last
            differ = "cx" in (before, gate) and was_target != is_target
            self.add_pulses(int(gate == "ecr" or differ))
        self.last = gate, is_target

    def end_gate(self, time: float, kept: float) -> None:
        """Relaxation during the gate that has begun, and the factor of its depolarizing."""
        relaxed, turned = relaxation(self.qubit, time), self.last is not None and self.last[1]
        self.z *= kept * (relaxed.coherence if turned else relaxed.population)
        if turned:
            self.turned.append(time)
        else:
            self.time += time


def channels(wires: Sequence[WireNoise]) -> tuple[Channel, ...]:
    """The noise of the wires of a layer, but for that of pairs."""
    relaxed = [relaxation(wire.qubit, wire.time).channels() for wire in wires]
    strengths: dict[Callable[[list[float]], Channel], list[float]] = {
        Depolarizing: [3 / 4 * (1 - wire.kept) for wire in wires],
        AmplitudeDamping: [damping for damping, _ in relaxed],
        PhaseDamping: [dephasing for _, dephasing in relaxed],
        PhaseFlip: [(1 - wire.spread) / 2 for wire in wires],
    }
    found = [channel(of_wires) for channel, of_wires in strengths.items() if any(of_wires)]
    if any(wire.turned for wire in wires):
        found.append(Kraus(torch.stack([_turned(wire).kraus_operators() for wire in wires])))
    return tuple(found)


def _turned(wire: WireNoise) -> TransferMatrix:
    """Relaxation with the axes X and Z exchanged.

    The state that it relaxes to is kept for the last gate alone. After an earlier one the next gate
    turns it by the state of another wire, either way.
    """
    total = TransferMatrix(torch.eye(4, dtype=torch.float64, device="cpu"))
    ends_as_target = wire.last is not None and wire.last[1]
    for place, time in enumerate(wire.turned, 1):
        population, coherence = relaxation(wire.qubit, time)
        scales = [1, population, coherence, coherence]  # I, X, Y, Z
        step = torch.tensor(scales, dtype=torch.float64, device="cpu").diag()
        step[1, 0] = 1 - population if place == len(wire.turned) and ends_as_target else 0.0
        total = total.then(TransferMatrix(step))
    return total
