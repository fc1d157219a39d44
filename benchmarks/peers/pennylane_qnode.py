"""The circuit of one sample as a PennyLane QNode."""

from typing import Any

import pennylane as qml
from case import AMPLITUDE_DAMPING, BIT_FLIP, DEPOLARIZING, Case


def create_qnode(case: Case, interface: str) -> Any:
    """angles (3 * n_wires), weights (n_blocks, n_wires, 3) -> n_wires values of <Z>.

    On default.qubit, or default.mixed with noise, differentiated by backpropagation.
    """
    device = qml.device("default.mixed" if case.noisy else "default.qubit", wires=case.n_wires)

    @qml.qnode(device, interface=interface, diff_method="backprop")
    def circuit(angles: Any, weights: Any) -> list[Any]:
        for block in range(case.n_blocks):
            for wire in range(case.n_wires):
                qml.Rot(*angles[3 * wire : 3 * wire + 3], wires=wire)
                qml.Rot(*weights[block, wire], wires=wire)
                if case.noisy:
                    qml.BitFlip(BIT_FLIP, wires=wire)
                    qml.DepolarizingChannel(DEPOLARIZING, wires=wire)
                    qml.AmplitudeDamping(AMPLITUDE_DAMPING, wires=wire)
            if block < case.n_blocks - 1:
                for pair in case.pairs:
                    qml.CZ(wires=pair)
        return [qml.expval(qml.PauliZ(wire)) for wire in range(case.n_wires)]

    return circuit
