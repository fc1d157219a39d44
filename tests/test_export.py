"""What other programs are given, as their own parsers read it."""

import builtins
import math

import numpy as np
import pennylane as qml
import pytest
import torch
from cases import NEEDS_QISKIT
from torch import nn

import sqdr

#: Members of the family that together have every gate, input and observable.
MEMBERS = pytest.mark.parametrize(
    "options",
    [
        {},
        {"encoding": "XY", "rotation": "ZXZ", "inputs": "split", "entanglement": "circular"},
        {"entangler": "ZZ", "scaling": True, "observables": ["X0 Y2", "Z1", "Y1 Z2"]},
        {"encoding": "Z", "rotation": "Y", "entanglement": "full", "observables": "X"},
    ],
    ids=str,
)


def circuit_and_angles(**options):
    torch.manual_seed(0)
    circuit = sqdr.create_circuit("native", 3, 3, dtype=torch.float64, **options)
    if circuit.scaling:
        nn.init.uniform_(circuit.scales, 0.5, 1.5)
    return circuit, 8 * torch.rand(2, circuit.n_features, dtype=torch.float64) - 4


def reference(circuit, angles):
    """By PennyLane, gate after gate."""
    return circuit.to_backend("pennylane")(angles).detach()


def by_qiskit(circuit, programs):
    from qiskit.quantum_info import SparsePauliOp, Statevector

    operators = [
        SparsePauliOp.from_sparse_list(
            [("".join(letter for _, letter in word), [wire for wire, _ in word], 1)], circuit.n_wires
        )
        for word in circuit.ansatz.observables
    ]
    states = map(Statevector, programs)
    return [[state.expectation_value(operator).real for operator in operators] for state in states]


def by_pennylane(circuit, programs):
    """Of programs in OpenQASM 3; PennyLane 0.45 knows the standard gates, and no include."""
    script = qml.tape.make_qscript(circuit.to_pennylane())(torch.zeros(circuit.n_features))
    wires = {f"q[{wire}]": wire for wire in range(circuit.n_wires)}
    scripts = []
    for program in programs:
        read = qml.from_qasm3(program.replace('include "stdgates.inc";', ""))
        gates = [qml.map_wires(gate, wires) for gate in qml.tape.make_qscript(read)().operations]
        scripts.append(qml.tape.QuantumScript(gates, script.measurements))
    values = qml.execute(scripts, qml.device("default.qubit"), diff_method=None)
    return np.array(values).reshape(len(programs), circuit.n_outputs)


@NEEDS_QISKIT
@MEMBERS
@pytest.mark.parametrize("version", ["2.0", "3.0"])
def test_qiskit_reads_openqasm(version, options):
    from qiskit import qasm2, qasm3

    circuit, angles = circuit_and_angles(**options)
    read = {"2.0": lambda text: qasm2.loads(text, strict=True), "3.0": qasm3.loads}[version]
    found = by_qiskit(circuit, map(read, circuit.to_openqasm(angles, version)))
    np.testing.assert_allclose(found, reference(circuit, angles), rtol=0, atol=1e-10)


@MEMBERS
def test_pennylane_reads_openqasm(options):
    circuit, angles = circuit_and_angles(**options)
    found = by_pennylane(circuit, circuit.to_openqasm(angles))
    np.testing.assert_allclose(found, reference(circuit, angles), rtol=0, atol=1e-10)


@NEEDS_QISKIT
@MEMBERS
def test_circuits_of_qiskit(options):
    circuit, angles = circuit_and_angles(**options)
    found = by_qiskit(circuit, circuit.to_qiskit(angles))
    np.testing.assert_allclose(found, reference(circuit, angles), rtol=0, atol=1e-10)


@MEMBERS
@pytest.mark.parametrize(
    "interface", [lambda angles: angles, torch.Tensor.numpy], ids=["torch", "numpy"]
)
def test_functions_of_pennylane(interface, options):
    circuit, angles = circuit_and_angles(**options)
    values = qml.QNode(circuit.to_pennylane(), qml.device("default.qubit"))(interface(angles))
    found = np.stack([np.asarray(value) for value in values], axis=-1)
    np.testing.assert_allclose(found, reference(circuit, angles), rtol=0, atol=1e-10)


def test_a_function_of_pennylane_is_differentiable_in_the_angles():
    circuit, angles = circuit_and_angles(scaling=True, inputs="split")
    inputs = [angles[0].clone().requires_grad_() for _ in range(2)]
    values = qml.QNode(circuit.to_pennylane(), qml.device("default.qubit"))(inputs[0])
    torch.stack(values).sum().backward()
    circuit.to_backend("pennylane")(inputs[1]).sum().backward()
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad, rtol=0, atol=1e-10)


@NEEDS_QISKIT
def test_programs_end_with_measurements_if_asked():
    from qiskit import qasm2, qasm3

    circuit, angles = circuit_and_angles()
    programs = [
        qasm2.loads(circuit.to_openqasm(angles, "2.0", measure=True)[0]),
        qasm3.loads(circuit.to_openqasm(angles, measure=True)[0]),
        circuit.to_qiskit(angles, measure=True)[0],
    ]
    expected = {"cz": 4, "measure": 3}
    for program in programs:
        assert {name: program.count_ops()[name] for name in expected} == expected


def test_a_block_is_one_gate_of_each_wire():
    circuit, angles = circuit_and_angles(encoding="XYZ", rotation="XYX")
    program = circuit.to_openqasm(angles)[0]
    assert program.count("u3(") == 9
    assert program.count("\n") == 4 + 9 + 4


def test_small_angles_have_a_point():
    """OpenQASM 2 has no exponent without one."""
    circuit = sqdr.create_circuit("native", 1, 1, encoding="X", rotation="Y")
    nn.init.zeros_(circuit.weights)
    assert "u3(1.0e-05, " in circuit.to_openqasm(torch.tensor([1e-5], dtype=torch.float64), "2.0")[0]


@pytest.mark.parametrize("angle", [0.0, math.pi, -math.pi, 2 * math.pi, 1e-9])
def test_rotations_that_leave_or_swap_the_poles(angle):
    """There only the sum or the difference of two of the angles counts."""
    circuit = sqdr.create_circuit(
        "native", 1, 2, encoding="ZXZ", rotation="Z", dtype=torch.float64, observables="Y"
    )
    with torch.no_grad():
        circuit.weights.copy_(torch.tensor([[[0.3]], [[-0.4]]]))
    angles = torch.tensor([[0.7, angle, 1.1]], dtype=torch.float64)
    found = by_pennylane(circuit, circuit.to_openqasm(angles))
    np.testing.assert_allclose(found, reference(circuit, angles), rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.zeros(9), "4.0"), r"^Argument `version` must be \"2.0\" or \"3.0\", but is '4.0'\.$"),
        ((torch.zeros(9), 3.0), r"^Argument `version` must be \"2.0\" or \"3.0\", but is 3.0\.$"),
        ((torch.zeros(8),), r"^Argument `angles` must have 9 features for 3 wires, but has 8\.$"),
        ((torch.full((9,), math.nan),), r"^Argument `angles` must be finite to be exported, but holds"),
    ],
)
def test_what_cannot_be_exported(arguments, message):
    with pytest.raises(sqdr.ArgumentError, match=message):
        sqdr.create_circuit("native", 3, 2).to_openqasm(*arguments)


def test_one_program_for_each_sample():
    circuit, angles = circuit_and_angles()
    assert circuit.to_openqasm(angles.reshape(2, 1, 9)) == circuit.to_openqasm(angles)
    assert circuit.to_openqasm(angles[1]) == circuit.to_openqasm(angles)[1:]
    assert circuit.to_openqasm(angles[:0]) == []


@pytest.mark.parametrize("package", ["qiskit", "pennylane"])
def test_a_missing_package_is_named(package, monkeypatch):
    importing = builtins.__import__

    def without(name, *args, **kwargs):
        if name == package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return importing(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    circuit, angles = circuit_and_angles()
    with pytest.raises(sqdr.MissingPackageError, match=rf'pip install "sqdr\[{package}\]"$'):
        circuit.to_qiskit(angles) if package == "qiskit" else circuit.to_pennylane()
