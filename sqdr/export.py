"""Circuits for other programs: OpenQASM, Qiskit and PennyLane."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import reduce
from operator import matmul
from typing import Any, Literal, get_args

from sqdr.ansatz import Ansatz, in_rounds, shown_word
from sqdr.errors import MissingPackageError
from sqdr.validation import argument_error

#: Versions of OpenQASM.
Version = Literal["2.0", "3.0"]

#: The name of a gate in OpenQASM, its angles in radians, its wires.
Gate = tuple[str, tuple[Any, ...], tuple[int, ...]]

_HEADS = {
    "2.0": ('OPENQASM 2.0;\ninclude "qelib1.inc";', "qreg q[{n}];", "creg c[{n}];\nmeasure q -> c;"),
    "3.0": ('OPENQASM 3.0;\ninclude "stdgates.inc";', "qubit[{n}] q;", "bit[{n}] c;\nc = measure q;"),
}


#: Methods of `QuantumCircuit` of other names.
_IN_QISKIT = {"u3": "u"}


def gates_of(ansatz: Ansatz, turns: Any, couplings: Any) -> Iterator[Gate]:
    """The gates of one sample, the rotations of a wire in a block as one gate.

    Args:
        ansatz (Ansatz): of the circuit.
        turns (sequence of shape (n_blocks, n_wires, 3)): angles theta, phi and lambda of each u3.
        couplings (sequence of shape (n_blocks - 1, pairs)): of ZZ, in radians; not read with CZ.
    """
    for block, of_wires in enumerate(turns):
        for wire, angles in enumerate(of_wires):
            yield "u3", tuple(angles), (wire,)
        if block < ansatz.n_blocks - 1:
            yield from entangler_of(ansatz, block, couplings)


def entangler_of(ansatz: Ansatz, block: int, couplings: Any) -> Iterator[Gate]:
    """The gates of the entangling layer after a block."""
    for place in in_rounds(ansatz.pairs):
        first, second = ansatz.pairs[place]
        if ansatz.entangler == "CZ":
            yield "cz", (), (first, second)
        else:  # as devices do it
            yield "cx", (), (first, second)
            yield "rz", (couplings[block][place],), (second,)
            yield "cx", (), (first, second)


def check_version(version: object) -> Version:
    """ValueError unless it is a version of OpenQASM that is written here."""
    if version not in get_args(Version):
        raise argument_error("version", 'be "2.0" or "3.0"', f"is {version!r}")
    return version  # type: ignore[return-value]


def openqasm(ansatz: Ansatz, gates: Iterable[Gate], version: Version, measure: bool) -> str:
    """A program, with a line for each gate.

    Args:
        ansatz (Ansatz): of the circuit.
        gates (iterable of Gates): of one sample.
        version (str): "2.0" or "3.0".
        measure (bool): whether every wire is measured at the end, into the bits `c`.
    """
    n = ansatz.n_wires
    head, declaration, measurement = (part.format(n=n) for part in _HEADS[version])
    words = ", ".join(map(shown_word, ansatz.observables))
    sizes = f"// Data re-uploading: {n} wires, {ansatz.n_blocks} blocks; observables {words}"
    lines = [head, sizes, declaration, *map(_line, gates)]
    if measure:
        lines.append(measurement)
    return "\n".join(lines) + "\n"


def _line(gate: Gate) -> str:
    name, angles, wires = gate
    arguments = f"({', '.join(map(_number, angles))})" if angles else ""
    return f"{name}{arguments} {', '.join(f'q[{wire}]' for wire in wires)};"


def _number(value: float) -> str:
    """A float in full; OpenQASM 2 has no exponent without a point."""
    text = repr(value)
    return text if "." in text else text.replace("e", ".0e")


def qiskit_circuit(ansatz: Ansatz, gates: Iterable[Gate], measure: bool) -> Any:
    """A `QuantumCircuit`; arguments are as in `openqasm`.

    Raises:
        MissingPackageError: if Qiskit is not installed.
    """
    try:
        from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
    except ModuleNotFoundError as error:
        if error.name != "qiskit":
            raise
        raise MissingPackageError("`to_qiskit`", extra="qiskit", package="qiskit") from error
    circuit = QuantumCircuit(QuantumRegister(ansatz.n_wires, "q"))
    add_gates(circuit, gates)
    if measure:
        circuit.add_register(ClassicalRegister(ansatz.n_wires, "c"))
        circuit.measure(circuit.qubits, circuit.clbits)
    return circuit


def add_gates(circuit: Any, gates: Iterable[Gate]) -> None:
    """Append gates to a `QuantumCircuit`."""
    for name, angles, wires in gates:
        getattr(circuit, _IN_QISKIT.get(name, name))(*angles, *wires)


def pennylane_function(
    ansatz: Ansatz, weights: Any, scales: Any, couplings: Any
) -> Callable[[Any], list[Any]]:
    """See `ReuploadCircuit.to_pennylane`; the tensors are nested lists of floats, or None."""
    try:
        import pennylane as qml
    except ModuleNotFoundError as error:
        if error.name != "pennylane":
            raise
        raise MissingPackageError("`to_pennylane`", extra="pennylane", package="pennylane") from error

    def rotate(axes: str, angles: Sequence[Any], wire: int) -> None:
        if axes == "ZYZ":
            qml.Rot(*angles, wires=wire)
            return
        for axis, angle in zip(axes, angles, strict=True):
            getattr(qml, f"R{axis}")(angle, wires=wire)

    def circuit(angles: Any) -> list[Any]:
        letters = len(ansatz.encoding)
        for block in range(ansatz.n_blocks):
            for wire in range(ansatz.n_wires):
                first = ((block % ansatz.n_inputs) * ansatz.n_wires + wire) * letters
                of_data = [angles[..., first + letter] for letter in range(letters)]
                if scales is not None:
                    of_data = [a * s for a, s in zip(of_data, scales[block][wire], strict=True)]
                rotate(ansatz.encoding, of_data, wire)
                rotate(ansatz.rotation, weights[block][wire], wire)
            if block < ansatz.n_blocks - 1:
                for place, pair in enumerate(ansatz.pairs):
                    if ansatz.entangler == "CZ":
                        qml.CZ(wires=pair)
                    else:
                        qml.IsingZZ(couplings[block][place], wires=pair)
        return [
            qml.expval(reduce(matmul, (getattr(qml, f"Pauli{letter}")(wire) for wire, letter in word)))
            for word in ansatz.observables
        ]

    return circuit
