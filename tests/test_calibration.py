"""Noise from a calibration, beside Qiskit's own formulas and Aer's simulation of the device."""

import itertools
import json
import math
from dataclasses import replace

import device_noise
import numpy as np
import pytest
import torch
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.quantum_info import Kraus as QiskitKraus
from qiskit.quantum_info import SuperOp, average_gate_fidelity
from qiskit_aer.noise import thermal_relaxation_error
from qiskit_ibm_runtime.fake_provider import FakeHanoiV2, FakeTorino

import sqdr
from sqdr.ansatz import in_rounds
from sqdr.noise import Calibration, PairCalibration, QubitCalibration
from sqdr.noise.device_gates import WireNoise, channels, depolarizing_part, relaxation

#: Of a device in microseconds.
QUBIT = QubitCalibration(100.0, 80.0, 3e-4, 0.03, 0.01, 0.02)
#: One whose T2 is more than is possible.
LONG_T2 = QubitCalibration(50.0, 120.0, 2e-4, 0.05)


def line(n, gate="cz", error=0.005, time=0.07):
    """A calibration of qubits in a row."""
    pairs = [PairCalibration((i, i + 1), error, time, gate) for i in range(n - 1)]
    return Calibration(dict.fromkeys(range(n), QUBIT), pairs, "row")


def superoperator(*one_after_another):
    """Of channels of one wire."""
    total = SuperOp(np.eye(4))
    for channel in one_after_another:
        total = total.compose(SuperOp(QiskitKraus(list(channel.kraus_operators().numpy()))))
    return total.data


@pytest.mark.parametrize("qubit", [QUBIT, LONG_T2, QubitCalibration(), QubitCalibration(t1=40.0)])
def test_relaxation_is_that_of_aer(qubit):
    damping, dephasing = relaxation(qubit, 3.0).channels()
    found = superoperator(sqdr.AmplitudeDamping(damping), sqdr.PhaseDamping(dephasing))
    t2 = min(qubit.t2, 2 * qubit.t1)
    expected = SuperOp(thermal_relaxation_error(qubit.t1, t2, 3.0)).data
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_a_pulse_has_the_error_of_the_calibration():
    wire = WireNoise(QUBIT)
    wire.add_pulses(1)
    found = average_gate_fidelity(SuperOp(superoperator(*map(of_wire_0, channels([wire])))))
    assert found == pytest.approx(1 - QUBIT.pulse_error, abs=1e-12)


def of_wire_0(channel):
    """The channel of the first wire alone."""
    return type(channel)(channel.strength[0].item())


def test_a_gate_has_the_error_of_the_calibration():
    noise = line(2).noise_model([0, 1])
    depolarizing, *of_wires = noise.after_entangler
    pair = SuperOp(QiskitKraus(list(depolarizing.kraus_operators()[0].numpy())))
    wire = SuperOp(superoperator(*map(of_wire_0, of_wires)))
    found = average_gate_fidelity(pair.compose(wire.tensor(wire)))
    assert found == pytest.approx(1 - 0.005, abs=1e-12)


def test_relaxation_explains_a_small_error_alone():
    assert depolarizing_part(1e-6, relaxation(QUBIT, 1.0).fidelity, 1) == 0
    assert depolarizing_part(1.0, 1.0, 2) == 1


@pytest.mark.parametrize("gate", ["cx", "ecr"])
def test_a_target_relaxes_with_x_and_z_exchanged(gate):
    *_, kraus = line(2, gate).noise_model([0, 1]).after_entangler
    first, second = (QiskitKraus(list(k.numpy())) for k in kraus.kraus_operators())
    turned = SuperOp(np.kron(*[np.array([[1, 1], [1, -1]]) / math.sqrt(2)] * 2))
    expected = turned.compose(SuperOp(thermal_relaxation_error(100.0, 80.0, 0.07))).compose(turned)
    np.testing.assert_allclose(SuperOp(first).data, np.eye(4), rtol=0, atol=1e-12)
    np.testing.assert_allclose(SuperOp(second).data, expected.data, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("gate", "targets", "pulses"),
    [
        ("cz", (1, 1), 0),
        ("ecr", (1, 1), 1),
        ("ecr", (0, 1), 1),
        ("cx", (1, 1), 0),
        ("cx", (0, 1), 1),
        ("cx", (0, 0), 0),
    ],
)
def test_pulses_between_two_gates_of_a_wire(gate, targets, pulses):
    """RZ and SX that turn the frame of the first gate into that of the second, as Qiskit has them."""
    wire, counted = WireNoise(QUBIT), WireNoise(QUBIT)
    for target in targets:
        wire.begin_gate(gate, bool(target))
    counted.add_pulses(pulses)
    assert wire.kept == counted.kept


def test_flips_before_a_gate_flip_the_phase_of_the_other():
    """The factor of X of the last wire is that of the pair before it."""
    perfect = dict.fromkeys(range(3), QubitCalibration())
    pairs = [PairCalibration((0, 1), 0.01), PairCalibration((1, 2), 0.0)]
    noise = Calibration(perfect, pairs).noise_model([0, 1, 2])
    *_, flips = noise.after_entangler
    kept = 1 - depolarizing_part(0.01, 1.0, 2)
    torch.testing.assert_close(1 - 2 * flips.p, torch.tensor([1, 1, kept], dtype=torch.float64))


def test_readout_errs_in_both_directions():
    noise = line(3).noise_model([2, 0, 1], "none")
    assert noise.readout_error == sqdr.noise.ReadoutError([0.01] * 3, [0.02] * 3)
    assert noise.after_entangler == ()


@pytest.mark.parametrize("n_blocks", [2, 3])
@pytest.mark.parametrize("device", [FakeTorino, FakeHanoiV2])
def test_near_the_simulation_of_the_device(device, n_blocks):
    """The full table is `make device-noise`."""
    found = device_noise.differences(device.__name__, n_wires=4, n_blocks=n_blocks, n_samples=1)
    assert found["with its noise"] < {2: 0.003, 3: 0.005}[n_blocks] < found["without noise"] / 2


def test_a_device_is_read():
    backend = FakeTorino()
    calibration = Calibration.from_qiskit(backend)
    properties = backend.properties()
    qubit = calibration.qubits[7]
    assert (len(calibration.qubits), calibration.name) == (133, "fake_torino")
    assert qubit.t1 == pytest.approx(properties.t1(7) * 1e6)
    assert qubit.pulse_error == backend.target["sx"][(7,)].error
    assert qubit.prob_meas1_prep0 == properties.qubit_property(7, "prob_meas1_prep0")[0]
    assert qubit.prob_meas0_prep1 == properties.qubit_property(7, "prob_meas0_prep1")[0]
    assert calibration == Calibration.from_dict(json.loads(json.dumps(calibration.to_dict())))


def test_a_target_has_one_readout_error():
    backend = GenericBackendV2(3, basis_gates=["cz", "sx", "rz"], seed=1)
    qubit = Calibration.from_qiskit(backend.target).qubits[1]
    error = backend.target["measure"][(1,)].error
    assert (qubit.prob_meas1_prep0, qubit.prob_meas0_prep1) == (error, error)


def test_the_noise_of_a_device_in_one_call():
    backend, calibration = FakeTorino(), Calibration.from_qiskit(FakeTorino())
    wires = calibration.best_wires(5)
    noise = sqdr.NoiseModel.from_qiskit(backend, n_wires=5)
    assert noise == sqdr.NoiseModel.from_qiskit(backend, wires) == calibration.noise_model(wires)
    assert sqdr.NoiseModel.from_dict(json.loads(json.dumps(noise.to_dict()))) == noise


def random_calibration(seed):
    """Seven qubits, about half of whose pairs have couplers, one of each out of order."""
    generator = np.random.default_rng(seed)
    qubits = {
        i: QubitCalibration(pulse_error=generator.uniform(0, 0.1), prob_meas0_prep1=0.02 * i)
        for i in range(7)
    }
    qubits[3] = replace(qubits[3], pulse_error=1.0)
    pairs = [
        PairCalibration((i, j), generator.uniform(0, 0.1))
        for i, j in itertools.combinations(range(7), 2)
        if generator.random() < 0.6
    ]
    pairs[0] = replace(pairs[0], error=1.0)
    return Calibration(qubits, pairs)


@pytest.mark.parametrize("entanglement", ["none", "linear", "circular", [(0, 1), (0, 2), (0, 3)]])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_best_wires_of_all(entanglement, seed):
    calibration = random_calibration(seed)
    pairs = sqdr.create_circuit("native", 4, 2, entanglement=entanglement).pairs

    def cost(wires):
        gates = [calibration.pairs.get(tuple(sorted((wires[i], wires[j])))) for i, j in pairs]
        if 3 in wires or any(gate is None or gate.error == 1 for gate in gates):
            return math.inf
        qubits = [calibration.qubits[wire] for wire in wires]
        return sum(gate.error for gate in gates) + sum(
            2 * qubit.pulse_error + qubit.prob_meas0_prep1 / 2 for qubit in qubits
        )

    best = min(map(cost, itertools.permutations(range(7), 4)))
    assert cost(calibration.best_wires(4, entanglement)) == pytest.approx(best)


def test_pairs_act_in_rounds():
    chain = tuple((i, i + 1) for i in range(5))
    assert in_rounds(chain) == [0, 2, 4, 1, 3]


@pytest.mark.parametrize(
    ("wires", "message"),
    [
        ([0, 1, 9], "`wires` must be qubits of row, but holds 9, which is not there"),
        ([0, 0], "`wires` must be distinct, but holds qubit 0 twice"),
        ([0, 2], "coupler of row for each entangled pair, but qubits 0 and 2 have none"),
        ([3, 4], "but that of qubits 3 and 4 is out of order"),
        ([4, 5], "`wires` must be qubits of row that work, but qubit 5 is out of order"),
        ([], "`wires` must be a list of qubits, one for each wire, but is []"),
        ("01", "but is '01'"),
        ([0.5], "`wires` must be an integer"),
    ],
)
def test_wires_that_cannot_be(wires, message):
    row = line(6)
    qubits = row.qubits | {5: replace(QUBIT, prob_meas1_prep0=1.0, prob_meas0_prep1=0.1)}
    pairs = row.pairs | {(3, 4): replace(row.pairs[3, 4], error=1.0)}
    with pytest.raises(sqdr.ArgumentError) as refused:
        Calibration(qubits, pairs.values(), "row").noise_model(wires)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("n_wires", "entanglement", "message"),
    [
        (5, "linear", "`n_wires` must be at most the 4 qubits of row, but is 5"),
        (4, "circular", "but 4 find none for their pairs"),
        (0, "linear", "`n_wires` must be an integer of at least 1"),
        (2, "star", "`entanglement` must be"),
    ],
)
def test_too_little_device(n_wires, entanglement, message):
    with pytest.raises(sqdr.ArgumentError) as refused:
        line(4).best_wires(n_wires, entanglement)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ([], "`calibration` must have qubits, pairs and perhaps name, but is []"),
        ({"qubits": []}, "but has qubits"),
        ({"qubits": [{"t1": 1}], "pairs": []}, "`qubits` must hold mappings of qubit, t1, t2"),
        ({"qubits": [{"qubit": 0, "T1": 1}], "pairs": []}, "holds {'qubit': 0, 'T1': 1}"),
        ({"qubits": [{"qubit": 0}] * 2, "pairs": []}, "must have each qubit once, but have 0 twice"),
        ({"qubits": [{"qubit": 0, "t1": 0}], "pairs": []}, "`t1` must be positive, but is 0"),
        ({"qubits": [{"qubit": 0, "t2": "x"}], "pairs": []}, "`t2` must be a finite number"),
        ({"qubits": [{"qubit": 0, "pulse_error": 2}], "pairs": []}, "`pulse_error` must be a finite"),
        ({"qubits": [], "pairs": [{"qubits": [0, 1], "error": 0.1}]}, "there is no qubit 0"),
        ({"qubits": [], "pairs": [{"qubits": [0, 1]}]}, "without error"),
        ({"qubits": [], "pairs": [{"qubits": [0, 0], "error": 0}]}, "one is of 0 and itself"),
        ({"qubits": [], "pairs": [{"qubits": 3, "error": 0}]}, "be of two qubits, but one is of 3"),
        ({"qubits": [], "pairs": [{"qubits": [0, 1], "error": 0, "gate": "x"}]}, "be cz, cx or ecr"),
        ({"qubits": 3, "pairs": []}, "`qubits` must be a list of mappings, but is 3"),
    ],
)
def test_what_is_no_calibration(plain, message):
    with pytest.raises(sqdr.ArgumentError) as refused:
        Calibration.from_dict(plain)
    assert message in str(refused.value)


@pytest.mark.parametrize(("suffix", "text"), [("json", json.dumps), ("yaml", json.dumps)])
def test_a_calibration_in_a_file(suffix, text, tmp_path):
    file = tmp_path / f"device.{suffix}"
    file.write_text(text(line(3).to_dict()))
    assert Calibration.from_file(file) == line(3)


@pytest.mark.parametrize(("name", "text"), [("x.json", "{"), ("x.yaml", "a: [")])
def test_a_file_that_is_no_calibration(name, text, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(sqdr.ArgumentError, match=r"^Argument `calibration` must be a JSON or YAML"):
        Calibration.from_file(tmp_path / name)


@pytest.mark.parametrize(
    ("backend", "message"),
    [
        (object(), "`backend` must be a Qiskit BackendV2 or Target, but is object"),
        (
            GenericBackendV2(2, basis_gates=["iswap", "sx", "rz"], seed=1),
            "must have one of the gates cz, cx, ecr",
        ),
    ],
)
def test_what_is_no_device(backend, message):
    with pytest.raises(sqdr.ArgumentError) as refused:
        sqdr.NoiseModel.from_qiskit(backend, [0])
    assert message in str(refused.value)


def test_wires_or_their_number():
    with pytest.raises(sqdr.ArgumentError, match="`n_wires` must be given where `wires` is not"):
        sqdr.NoiseModel.from_qiskit(FakeTorino())
