"""What a calibration says of a qubit and of a coupler."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqdr.validation import argument_error, check_integer, check_number

#: An entangling gate of a device, which is a CZ but for rotations of its wires.
PairGate = Literal["cz", "cx", "ecr"]

#: From this error on a qubit or coupler counts as out of order; calibrations then say 1.
OUT_OF_ORDER = 0.5


@dataclass(frozen=True)
class QubitCalibration:
    """A qubit.

    Args:
        t1, t2 (floats): relaxation and coherence time, in microseconds. A T2 of more than 2 T1, which
            measurements may give, counts as 2 T1. Default: inf, none.
        pulse_error (float): of the pulse that turns by a right angle (SX), one less its average gate
            fidelity, in [0, 1]. A rotation about Z takes no pulse and has no error. Default: 0.
        pulse_time (float): its duration, in microseconds. Default: 0.
        prob_meas1_prep0, prob_meas0_prep1 (floats): probabilities that 0 is read as 1, and 1 as 0.
            Default: 0.
    """

    t1: float = math.inf
    t2: float = math.inf
    pulse_error: float = 0.0
    pulse_time: float = 0.0
    prob_meas1_prep0: float = 0.0
    prob_meas0_prep1: float = 0.0

    @property
    def readout_error(self) -> float:
        """The mean of both directions."""
        return (self.prob_meas1_prep0 + self.prob_meas0_prep1) / 2


@dataclass(frozen=True)
class PairCalibration:
    """A coupler between two qubits.

    Args:
        qubits (pair of ints): the first is the control of a "cx" or "ecr".
        error (float): of the gate, one less its average gate fidelity, in [0, 1].
        time (float): its duration, in microseconds. Default: 0.
        gate (str): "cz", "cx" or "ecr". Default: "cz".
    """

    qubits: tuple[int, int]
    error: float
    time: float = 0.0
    gate: PairGate = "cz"


def qubit_number(qubit: Any) -> int:
    """The number of a qubit; ValueError unless it is an integer of at least 0."""
    return check_integer("qubit", qubit, 0)


def checked_qubit(qubit: Any) -> QubitCalibration:
    """The same with plain numbers; ValueError if one is out of its domain."""
    if not isinstance(qubit, QubitCalibration):
        raise argument_error("qubits", "be mapped to QubitCalibration", f"are to {qubit!r:.60}")
    return QubitCalibration(
        _time("t1", qubit.t1),
        _time("t2", qubit.t2),
        check_number("pulse_error", qubit.pulse_error, 0, 1),
        check_number("pulse_time", qubit.pulse_time, 0),
        check_number("prob_meas1_prep0", qubit.prob_meas1_prep0, 0, 1),
        check_number("prob_meas0_prep1", qubit.prob_meas0_prep1, 0, 1),
    )


def _time(name: str, time: Any) -> float:
    """A relaxation time: positive, or inf."""
    if time == math.inf:
        return math.inf
    if check_number(name, time, 0) == 0:
        raise argument_error(name, "be positive", f"is {time!r}")
    return float(time)


def checked_pair(pair: Any) -> PairCalibration:
    """The same with plain numbers; ValueError if one is out of its domain."""
    if not isinstance(pair, PairCalibration):
        raise argument_error("pairs", "hold PairCalibration", f"hold {pair!r:.60}")
    qubits = pair.qubits
    if isinstance(qubits, str) or not isinstance(qubits, Sequence) or len(qubits) != 2:
        raise argument_error("pairs", "be of two qubits", f"one is of {qubits!r}")
    first, second = map(qubit_number, qubits)
    if first == second:
        raise argument_error("pairs", "be of two qubits", f"one is of {first} and itself")
    if pair.gate not in ("cz", "cx", "ecr"):
        raise argument_error("gate", "be cz, cx or ecr", f"is {pair.gate!r}")
    error, time = check_number("error", pair.error, 0, 1), check_number("time", pair.time, 0)
    return PairCalibration((first, second), error, time, pair.gate)
