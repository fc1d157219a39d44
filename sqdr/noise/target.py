"""Calibrations as Qiskit keeps them; only `snapshot` imports it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, get_args

from sqdr.errors import MissingPackageError
from sqdr.noise.qubits import PairCalibration, PairGate, QubitCalibration
from sqdr.validation import argument_error

_MICROSECONDS = 1e6


def read_target(
    backend: Any,
) -> tuple[dict[int, QubitCalibration], list[PairCalibration], str]:
    """Qubits, couplers and name of a Qiskit BackendV2 or Target; see `Calibration.from_qiskit`.

    Raises:
        ValueError: if it is neither, or has no entangling gate that is a CZ but for rotations.
    """
    target = getattr(backend, "target", backend)
    if not hasattr(target, "qubit_properties") or not hasattr(target, "operation_names"):
        must = "be a Qiskit BackendV2 or Target"
        raise argument_error("backend", must, f"is {type(backend).__name__}")
    name = getattr(backend, "name", None)
    known = get_args(PairGate)
    gates = [gate for gate in known if gate in target.operation_names]
    if not gates:
        must = f"have one of the gates {', '.join(known)}"
        raise argument_error("backend", must, f"has {', '.join(sorted(target.operation_names))}")
    readout = _readout(backend)
    qubits = {
        qubit: _qubit(target, qubit, readout.get(qubit)) for qubit in range(target.num_qubits or 0)
    }
    pairs = [
        PairCalibration(ends, _error(values), _time(values), gate)
        for gate in gates
        for ends, values in (target[gate] or {}).items()
        if ends is not None and len(ends) == 2
    ]
    return qubits, pairs, name if isinstance(name, str) else "device"


def snapshot(name: str) -> Any:
    """A snapshot of a device by its name, such as "FakeTorino" or "fake_torino".

    Returns:
        qiskit.providers.BackendV2

    Raises:
        ValueError: if there is none of this name.
        MissingPackageError: if Qiskit's runtime, which brings them, is not installed.
    """
    try:
        from qiskit_ibm_runtime import fake_provider
    except ModuleNotFoundError as error:
        if error.name != "qiskit_ibm_runtime":
            raise
        package = "qiskit-ibm-runtime"
        raise MissingPackageError(f"Device {name}", extra="qiskit", package=package) from error
    kinds = {known.lower(): getattr(fake_provider, known) for known in dir(fake_provider)}
    wanted = name.replace("_", "").lower()
    for known in (wanted, f"{wanted}v2"):
        if known.startswith("fake") and hasattr(kinds.get(known), "target"):
            return kinds[known]()
    nearest = get_close_matches(wanted, [known for known in kinds if known.startswith("fake")], 1)
    hint = f"; did you mean {kinds[nearest[0]].__name__}?" if nearest else ""
    must = "be the name of a snapshot of qiskit_ibm_runtime.fake_provider, such as FakeTorino"
    raise argument_error("device", must, f"is {name!r}{hint}")


def _qubit(target: Any, qubit: int, directed: tuple[float, float] | None) -> QubitCalibration:
    properties = (target.qubit_properties or {})[qubit] if target.qubit_properties else None
    pulse = _values(target, "sx", qubit)
    one_way = _error(_values(target, "measure", qubit))
    return QubitCalibration(
        _relaxation_time(getattr(properties, "t1", None)),
        _relaxation_time(getattr(properties, "t2", None)),
        _error(pulse),
        _time(pulse),
        *(directed or (one_way, one_way)),
    )


def _values(target: Any, operation: str, qubit: int) -> Any:
    """What a target says of an operation on a qubit; None if nothing."""
    if operation not in target.operation_names:
        return None
    of_operation = target[operation]
    return of_operation.get((qubit,)) if isinstance(of_operation, Mapping) else None


def _error(values: Any) -> float:
    error = getattr(values, "error", None)
    return 0.0 if error is None else min(max(float(error), 0.0), 1.0)


def _time(values: Any) -> float:
    return float(getattr(values, "duration", None) or 0.0) * _MICROSECONDS


def _relaxation_time(seconds: float | None) -> float:
    return float(seconds) * _MICROSECONDS if seconds else math.inf


def _readout(backend: Any) -> dict[int, tuple[float, float]]:
    """The probabilities that 0 is read as 1 and 1 as 0, where the properties have both."""
    properties = getattr(backend, "properties", None)
    properties = properties() if callable(properties) else None
    found: dict[int, tuple[float, float]] = {}
    for qubit, values in enumerate(getattr(properties, "qubits", None) or ()):
        named = {value.name: float(value.value) for value in values}
        if {"prob_meas1_prep0", "prob_meas0_prep1"} <= set(named):
            found[qubit] = named["prob_meas1_prep0"], named["prob_meas0_prep1"]
    return found
