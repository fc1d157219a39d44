"""What only the Qiskit backend has: devices, layouts, primitives, jobs that fail."""

import copy
import pickle
import sys
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from cases import gradients
from torch import nn

import sqdr
from sqdr.gates import turns_of
from sqdr.testing.cases import ALL_NOISE, Case

qiskit = pytest.importorskip("qiskit")
aer = pytest.importorskip("qiskit_aer")
fake_provider = pytest.importorskip("qiskit_ibm_runtime.fake_provider")

from qiskit.primitives import BackendSamplerV2, StatevectorEstimator, StatevectorSampler  # noqa: E402
from qiskit.providers.fake_provider import GenericBackendV2  # noqa: E402
from qiskit.quantum_info import SparsePauliOp, Statevector  # noqa: E402

from sqdr.backends.qiskit.circuit import _Inputs, _rows  # noqa: E402
from sqdr.backends.qiskit.mitigation import _folded  # noqa: E402
from sqdr.backends.qiskit.programs import Channels, Layer  # noqa: E402
from sqdr.backends.qiskit.programs import circuit_of as made_of  # noqa: E402

CASE = Case(3, 2)
NOISY = Case(3, 2, "linear", *ALL_NOISE)
#: Of every axis, and of two wires.
WORDS = ["Z0", "X1 Y2", "Z1 Z2", "Y0"]


def circuit_of(case=CASE, **options):
    return case.circuit("qiskit", case.draw()[1], **options)


def angles_of(batch=3):
    return torch.as_tensor(CASE.draw(batch)[0])


@pytest.fixture(scope="module")
def manila():
    """A device of five qubits on a line, whose own gate is CX."""
    return fake_provider.FakeManilaV2()


def by_aer_alone(backend, circuit, angles, layout):
    """Values with the whole noise model of a device, by density matrices, without readout error."""
    simulator = aer.AerSimulator.from_backend(backend, method="density_matrix", enable_truncation=False)
    values = []
    for program in circuit.to_qiskit(angles):
        on_device = qiskit.transpile(program, backend, initial_layout=layout, optimization_level=1)
        for index, word in enumerate(circuit.ansatz.observables):
            operator = SparsePauliOp("".join(letter for _, letter in reversed(word)))
            qubits = [on_device.layout.final_index_layout()[wire] for wire, _ in word]
            on_device.save_expectation_value(operator, qubits, label=str(index))
        data = simulator.run(on_device).result().data()
        values.append([data[str(index)] for index in range(circuit.n_outputs)])
    return np.array(values)


def test_a_snapshot_is_simulated_with_the_noise_of_the_device(manila):
    layout = [3, 2, 1]
    words = ["Z0", "Z1", "Z2", "X1 Y2", "Z1 Z2"]
    options = {"device": manila, "layout": layout}
    circuit = circuit_of(**options, observables=[*words, "X1", "Y2"])
    found = circuit(angles_of()).detach().numpy().T
    z0, z1, z2, xy, zz, x1, y2 = by_aer_alone(manila, circuit, angles_of(), layout).T
    known = [manila.properties().qubit_property(qubit) for qubit in layout]
    a, b = (np.array([of[f"prob_meas{name}"][0] for of in known]) for name in ("1_prep0", "0_prep1"))
    scale, shift = 1 - a - b, b - a

    def both(word, first, second):
        """What readout error of the wires 1 and 2 makes of a word and its factors."""
        value = scale[1] * scale[2] * word + scale[1] * shift[2] * first
        return value + shift[1] * scale[2] * second + shift[1] * shift[2]

    expected = [scale[wire] * z + shift[wire] for wire, z in enumerate((z0, z1, z2))]
    expected += [both(xy, x1, y2), both(zz, z1, z2)]
    np.testing.assert_allclose(found[:5], expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("options", [{}, {"device": "FakeManilaV2", "layout": [4, 1, 3]}], ids=str)
@pytest.mark.parametrize("entanglement", ["none", "linear"])
def test_a_wire_that_nobody_observes_changes_nothing(entanglement, options):
    """Aer drops such wires, and then took others for those observed."""
    case = Case(3, 2, entanglement)
    some = circuit_of(case, **options, observables=["X2", "Z0"])
    all_wires = circuit_of(case, **options, observables=["X2", "Z0", "Y1"])
    torch.testing.assert_close(some(angles_of()), all_wires(angles_of())[:, :2], rtol=0, atol=1e-10)


@pytest.mark.parametrize("gate", ["cz", "cx"])
@pytest.mark.parametrize("entangler", ["CZ", "ZZ"])
@pytest.mark.parametrize("entanglement", ["linear", "circular", "full", [(2, 0), (1, 2)]], ids=str)
def test_a_layer_in_either_gate_is_the_same(entanglement, entangler, gate):
    """Hadamards around the gates of a device join the rotations beside them."""
    torch.manual_seed(0)
    options = {"entanglement": entanglement, "entangler": entangler, "observables": ["X0 Y1", "Z2"]}
    exact = sqdr.create_circuit("native", 3, 3, dtype=torch.float64, **options)
    angles = 6 * torch.rand(2, 9, dtype=torch.float64)
    layer, couplings = Layer(exact.ansatz, gate), exact.couplings_for(angles).detach()
    circuit = made_of(exact.ansatz, sqdr.NoiseModel(), Channels(), layer)
    assert {name for name in circuit.count_ops() if len(name) == 2} & {"cz", "cx"} == {gate}
    turns = turns_of(exact.ansatz, angles.reshape(2, 3, 3), exact.weights.detach())
    rows = _rows(_Inputs(turns, couplings, {}), layer)
    found = [
        [
            Statevector(circuit.assign_parameters(row)).expectation_value(SparsePauliOp(word)).real
            for word in ("IYX", "ZII")
        ]
        for row in rows
    ]
    np.testing.assert_allclose(found, exact(angles).detach(), rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("device", "pulses", "gates"),
    [("FakeManilaV2", 2 * 6 + 1, {"cx": 2}), ("FakeTorino", 2 * 6, {"cz": 2})],
)
def test_a_rotation_takes_two_pulses(device, pulses, gates):
    """Of a chain in CX, only the wire between two gates has a pulse more."""
    circuit = circuit_of(device=device, layout=[0, 1, 2], shots=10)
    circuit(angles_of())
    (prepared,) = circuit.running_on()._prepared.values()
    counts = prepared.count_ops()
    assert counts["sx"] + counts.get("x", 0) == pulses
    assert {gate: counts[gate] for gate in gates} == gates


def test_shots_of_a_snapshot_scatter_around_its_exact_values(manila):
    torch.manual_seed(0)
    circuit = circuit_of(device=manila, observables=WORDS, layout=[0, 1, 2])
    exact = circuit(angles_of())
    circuit.shots = 20_000
    torch.testing.assert_close(circuit(angles_of()), exact, rtol=0, atol=4 / 141)


def test_a_snapshot_by_its_name(manila):
    named = [circuit_of(device=name)(angles_of()) for name in ("FakeManilaV2", "fake_manila")]
    torch.testing.assert_close(named, [circuit_of(device=manila)(angles_of())] * 2, rtol=0, atol=0)


def test_gradients_on_a_snapshot_are_those_of_its_values(manila):
    circuit = circuit_of(device=manila, layout=[0, 1, 2])
    _, found = gradients(circuit, angles_of())
    weight, step = circuit.weights.data, 1e-4

    def total(moved):
        with torch.no_grad():
            weight[1, 2, 1] += moved
            values = circuit(angles_of())
            weight[1, 2, 1] -= moved
        return (values * torch.linspace(1, 2, values.numel()).reshape(values.shape)).sum()

    slope = (total(step) - total(-step)) / (2 * step)
    torch.testing.assert_close(found[1, 2, 1], slope, rtol=0, atol=1e-6)


PRIMITIVES = {
    "estimator": StatevectorEstimator,
    "estimator of Aer": lambda: aer.primitives.EstimatorV2(),
}


@pytest.mark.parametrize("make", PRIMITIVES.values(), ids=PRIMITIVES)
def test_exact_estimators_agree_with_the_native_engine(make):
    circuit = circuit_of(device=make(), observables=WORDS)
    expected = circuit.to_backend("native")
    torch.testing.assert_close(circuit(angles_of()), expected(angles_of()), rtol=0, atol=1e-10)
    torch.testing.assert_close(
        gradients(circuit, angles_of()), gradients(expected, angles_of()), rtol=0, atol=1e-10
    )


DEVICES = {
    "Aer": lambda: None,
    "Aer as a backend": lambda: aer.AerSimulator(),
    "sampler": lambda: StatevectorSampler(seed=1),
    "sampler of a backend": lambda: BackendSamplerV2(
        backend=aer.AerSimulator(), options={"seed_simulator": 1}
    ),
    "estimator": lambda: StatevectorEstimator(seed=1),
}


@pytest.mark.parametrize("make", DEVICES.values(), ids=DEVICES)
def test_shots_scatter_around_exact_values(make):
    torch.manual_seed(0)
    circuit = circuit_of(device=make(), observables=WORDS, shots=10_000)
    exact = circuit.to_backend("native")(angles_of())
    found = circuit(angles_of())
    torch.testing.assert_close(found, exact, rtol=0, atol=4 / 100)
    assert not torch.equal(found, exact)


@pytest.mark.parametrize("primitive", ["Sampler", "Estimator"])
def test_primitives_of_a_provider_run_on_their_device(primitive, manila):
    """Those of Qiskit's runtime, on a snapshot; circuits reach it as it takes them."""
    torch.manual_seed(0)
    runtime = pytest.importorskip("qiskit_ibm_runtime")
    options = {"layout": [1, 2, 3], "observables": ["Z0", "X1 Y2"]}
    exact = circuit_of(device=manila, **options)(angles_of())
    device = getattr(runtime, primitive)(mode=manila)
    found = circuit_of(device=device, **options, shots=10_000)(angles_of())
    torch.testing.assert_close(found, exact, rtol=0, atol=5 / 100)


@pytest.mark.parametrize(
    ("n_blocks", "noise"),
    [(2, sqdr.NoiseModel((sqdr.AmplitudeDamping(0.05),), (), 0.02)), (11, None)],
    ids=["shallow", "deep"],
)
def test_shots_of_many_wires_scatter_around_exact_values(n_blocks, noise):
    """By matrix product states with the noise of each shot, or by statevectors."""
    torch.manual_seed(0)
    exact = sqdr.create_circuit("native", 11, n_blocks, entanglement=[(0, 1)], noise=noise)
    circuit = exact.to_backend("qiskit", shots=400)
    angles = 6 * torch.rand(1, 33)
    torch.testing.assert_close(circuit(angles), exact(angles), rtol=0, atol=4 / 20)


def test_a_backend_without_simulator_needs_shots():
    backend = GenericBackendV2(4, seed=0)
    with pytest.raises(sqdr.ArgumentError, match=r"^Argument `shots` must be a number on generic_"):
        circuit_of(device=backend)
    circuit = circuit_of(device=backend, shots=10)
    circuit.shots = None
    with pytest.raises(sqdr.ArgumentError, match=r"^Argument `shots` must be a number on generic_"):
        circuit(angles_of())


def test_any_backend_measures():
    circuit = circuit_of(device=GenericBackendV2(4, seed=0, noise_info=False), shots=4000, seed=1)
    exact = circuit.to_backend("native")(angles_of())
    torch.testing.assert_close(circuit(angles_of()), exact, rtol=0, atol=4 / 63)


def test_shots_of_noise_and_readout_error_average_to_the_exact_value():
    torch.manual_seed(0)
    exact = circuit_of(NOISY)(angles_of(1))
    sampled = circuit_of(NOISY, shots=40_000)(angles_of(1))
    torch.testing.assert_close(sampled, exact, rtol=0, atol=4 / 200)


def test_gradients_with_shots_are_those_of_the_exact_value_on_average():
    torch.manual_seed(0)
    case = Case(2, 2, "linear", (("AmplitudeDamping", 0.1),), (("BitFlip", 0.1),), 0.03)
    angles = torch.as_tensor(case.draw(1)[0])

    def slopes(**options):
        circuit = circuit_of(case, noise=case.trainable_noise, **options)
        trained = [angles.clone().requires_grad_(), *circuit.parameters()]
        return torch.autograd.grad(circuit(trained[0]).sum(), trained)

    torch.testing.assert_close(slopes(shots=20_000), slopes(), rtol=0, atol=0.1)


@dataclass
class Counted:
    """A sampler that counts its jobs, and changes their results."""

    shots: int = 50
    change: object = staticmethod(lambda result: result)
    fails: Exception | None = None

    def as_sampler(self):
        class Sampler(StatevectorSampler):
            jobs = 0

            def run(sampler, pubs, *, shots=None):  # noqa: N805
                sampler.jobs += 1
                if self.fails is not None:
                    raise self.fails
                job = super().run(pubs, shots=shots)
                result = self.change(job.result())
                job.result = lambda: result
                return job

        return Sampler(seed=1)


def test_a_batch_is_one_job_and_so_is_its_gradient():
    sampler = Counted().as_sampler()
    circuit = circuit_of(device=sampler, shots=50, observables=WORDS, entangler="ZZ")
    values = circuit(angles_of(4).requires_grad_())
    assert sampler.jobs == 1
    values.sum().backward()
    assert sampler.jobs == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda result: list(result)[:0], "came back short: with 0 results of 1"),
        (
            lambda result: [
                type(result[0])(data=type(result[0].data)(c=result[0].data.c[:2], shape=(2,)))
            ],
            r"came back short: with bits of shape \(2, 50, 3\) of \(3, 50, 3\)",
        ),
    ],
    ids=["no result", "fewer rows"],
)
def test_a_short_result_is_one_line(change, message):
    circuit = circuit_of(device=Counted(change=staticmethod(change)).as_sampler(), shots=50)
    with pytest.raises(sqdr.JobError, match=rf"^A job on Sampler {message}\.$"):
        circuit(angles_of())


def test_a_failed_job_is_one_line():
    fault = RuntimeError("Job abc was\ncancelled.")
    circuit = circuit_of(device=Counted(fails=fault).as_sampler(), shots=50)
    with pytest.raises(sqdr.JobError, match=r"^A job on Sampler failed: Job abc was cancelled\.$"):
        circuit(angles_of())


def test_an_interrupted_job_is_cancelled():
    class Job:
        is_cancelled = False

        def result(self):
            raise KeyboardInterrupt

        def cancel(self):
            self.is_cancelled = True

    class Sampler(StatevectorSampler):
        def run(self, *_, **__):
            return job

    job = Job()
    with pytest.raises(KeyboardInterrupt):
        circuit_of(device=Sampler(), shots=10)(angles_of())
    assert job.is_cancelled


def test_a_failure_of_aer_is_one_line():
    simulator = aer.AerSimulator(max_memory_mb=1)
    circuit = sqdr.create_circuit("qiskit", 18, 1, device=simulator)
    with pytest.raises(sqdr.JobError, match=r"^A job on aer_simulator failed: .*nsufficient memory"):
        circuit(torch.zeros(54))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"n_wires": 6, "device": "FakeManilaV2"},
            "`device` must have a qubit for each of 6 wires, but",
        ),
        ({"device": "FakeNothing"}, "`device` must be the name of a snapshot .*, but is 'FakeNothing'"),
        ({"device": 3}, "`device` must be None, the name of a snapshot, a BackendV2, .*, but is 3"),
        ({"device": "FakeManilaV2", "noise": NOISY.noise}, "`noise` must be None on a device"),
        ({"layout": [0, 1, 2]}, "`layout` must be None on Aer"),
        (
            {"device": "FakeManilaV2", "layout": 3},
            "`layout` must be a list of qubits or None, but is 3",
        ),
        ({"device": "FakeManilaV2", "layout": [0, 1, -1]}, "`layout` must be an integer of at least 0"),
        ({"device": "FakeManilaV2", "layout": [0, 1]}, "`layout` must be 3 distinct qubits"),
        ({"device": "FakeManilaV2", "layout": [0, 1, 1]}, "`layout` must be 3 distinct qubits"),
        (
            {"device": "FakeManilaV2", "layout": [0, 1, 5]},
            "`layout` must hold qubits 0 to 4, but holds 5",
        ),
        ({"optimization_level": 4}, "`optimization_level` must be at most 3"),
        ({"seed": -1}, "`seed` must be an integer of at least 0"),
        ({"n_wires": 70}, "`n_wires` must be smaller, but one sample needs"),
    ],
)
def test_what_does_not_fit_is_refused(options, message):
    with pytest.raises(sqdr.ArgumentError, match=f"^Argument {message}"):
        sqdr.create_circuit("qiskit", **{"n_wires": 3, "n_blocks": 2} | options)


@pytest.mark.parametrize(
    ("package", "options", "message"),
    [
        ("qiskit_aer", {}, "Backend `qiskit` needs the package qiskit-aer"),
        (
            "qiskit_ibm_runtime",
            {"device": "FakeManilaV2"},
            "Device FakeManilaV2 needs the package qiskit-ibm-runtime",
        ),
    ],
)
def test_a_missing_part_is_named_with_the_remedy(package, options, message, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    remedy = rf'^{message}: pip install "sqdr\[qiskit\]"$'
    with pytest.raises(sqdr.MissingPackageError, match=remedy):
        circuit_of(**options)


def test_a_trained_channel_of_somebody_else_is_refused():
    class Mine(sqdr.noise.Channel):
        p: float

        def __init__(self, p):
            object.__setattr__(self, "p", p)

        def kraus_operators(self):
            return sqdr.BitFlip(self.p).kraus_operators()

    circuit = circuit_of(noise=sqdr.NoiseModel((Mine(nn.Parameter(torch.tensor(0.1))),)))
    with pytest.raises(sqdr.ArgumentError, match=r"^Argument `Mine.p` must not be trained on Qiskit"):
        circuit(angles_of())
    with torch.no_grad():
        assert circuit(angles_of()).shape == (3, 3)


def test_one_seed_gives_the_same_shots_again():
    found = [circuit_of(shots=20, seed=3)(angles_of()) for _ in range(2)]
    assert torch.equal(*found)
    circuit = circuit_of(shots=20, seed=3)
    assert not torch.equal(circuit(angles_of()), circuit(angles_of()))


def test_copies_share_a_device(manila):
    circuit = circuit_of(device=manila)
    assert copy.deepcopy(circuit).device is manila
    named = circuit_of(device="FakeManilaV2")
    expected = named(angles_of())
    assert torch.equal(pickle.loads(pickle.dumps(named))(angles_of()), expected)


READOUT = sqdr.NoiseModel(readout_error=sqdr.ReadoutError([0.1, 0.05, 0.2], [0.15, 0.3, 0.02]))


def test_inverted_readout_errors_of_a_noise_model_are_gone():
    inverted = circuit_of(noise=READOUT, invert_readout=True, observables=WORDS)
    exact = circuit_of(observables=WORDS)
    torch.testing.assert_close(inverted(angles_of()), exact(angles_of()), rtol=0, atol=1e-12)


def test_inverted_shots_scatter_around_values_without_readout_error():
    torch.manual_seed(0)
    options = {"noise": READOUT, "observables": WORDS, "shots": 20_000}
    exact = circuit_of(observables=WORDS)(angles_of())
    found = circuit_of(**options, invert_readout=True)(angles_of())
    torch.testing.assert_close(found, exact, rtol=0, atol=0.06)
    assert (circuit_of(**options)(angles_of()) - exact).abs().max() > 0.2


@pytest.mark.parametrize("shots", [None, 20_000])
def test_inverted_readout_errors_of_a_snapshot_are_gone(shots, manila):
    torch.manual_seed(0)
    layout = [3, 2, 1]
    options = {"device": manila, "layout": layout, "invert_readout": True}
    circuit = circuit_of(**options, observables=["X1 Y2", "Z0"], shots=shots)
    expected = by_aer_alone(manila, circuit, angles_of(), layout)
    atol = 1e-9 if shots is None else 0.05
    np.testing.assert_allclose(circuit(angles_of()).detach(), expected, rtol=0, atol=atol)


def test_readout_errors_of_any_backend_are_those_of_its_target():
    backend = GenericBackendV2(3, seed=0)
    for qubit in range(3):
        backend.target["measure"][(qubit,)].error = 0.1
    torch.manual_seed(0)
    circuit = sqdr.create_circuit("qiskit", 3, 1, device=backend, shots=20_000, invert_readout=True)
    nn.init.zeros_(circuit.weights)  # every wire is read as 0, with an error of 0.1
    torch.testing.assert_close(circuit(torch.zeros(9)), torch.ones(3), rtol=0, atol=0.03)
    circuit = sqdr.create_circuit("qiskit", 3, 1, device=backend, shots=20_000)
    nn.init.zeros_(circuit.weights)
    torch.testing.assert_close(circuit(torch.zeros(9)), torch.full((3,), 0.8), rtol=0, atol=0.03)


class Line:
    """A straight line through values, as a factory of mitiq."""

    def get_scale_factors(self):
        return [1, 3, 5]

    def reset(self):
        self.points = []

    def push(self, at, value):
        self.points.append((at["scale_factor"], value))

    def reduce(self):
        return np.polyfit(*zip(*self.points, strict=True), 1)[1]


@pytest.fixture
def with_line(monkeypatch):
    """`Line` is taken for a factory."""
    monkeypatch.setattr("sqdr.backends.qiskit.circuit.factory_of", lambda factory: factory)


WITH_LINE = pytest.mark.usefixtures("with_line")


def test_folded_circuits_are_kept_apart():
    """So that a transpiler does not take a circuit and its inverse for nothing."""
    ansatz = circuit_of().ansatz
    folded = _folded(made_of(ansatz, sqdr.NoiseModel(), Channels(), Layer(ansatz, "cz")), 5)
    expected = {"u": 5 * 6, "cz": 5 * 2, "barrier": 4}
    assert {name: folded.count_ops()[name] for name in expected} == expected


@WITH_LINE
def test_folded_circuits_compute_the_same():
    options = {"observables": WORDS, "entangler": "ZZ"}
    exact = circuit_of(**options)
    folded = circuit_of(**options, device=aer.AerSimulator(), zero_noise=Line())
    with torch.no_grad():
        folded.couplings.copy_(exact.couplings)
    torch.testing.assert_close(folded(angles_of()), exact(angles_of()), rtol=0, atol=1e-10)


@WITH_LINE
def test_mitigated_values_of_a_snapshot_are_nearer_to_those_without_noise(manila):
    """Of each step of mitigation, by a factor of two at least; with shots in one job."""
    exact = circuit_of()(angles_of())
    options = {"device": manila, "layout": [3, 2, 1]}
    errors = [
        (circuit_of(**options, **mitigated)(angles_of()) - exact).abs().mean().item()
        for mitigated in (
            {},
            {"invert_readout": True},
            {"invert_readout": True, "zero_noise": Line()},
        )
    ]
    assert errors[0] > 2 * errors[1] > 4 * errors[2]


class NoFit(Line):
    def reduce(self):
        raise RuntimeError("The fit failed\nto converge.")


@WITH_LINE
def test_a_fit_that_fails_is_one_line(manila):
    circuit = circuit_of(device=manila, zero_noise=NoFit())
    message = (
        r"^Argument `zero_noise` must fit the values, but does not: The fit failed to converge\.+$"
    )
    with pytest.raises(sqdr.ArgumentError, match=message):
        circuit(angles_of())


@WITH_LINE
def test_all_scales_are_one_job():
    sampler = Counted().as_sampler()
    circuit = circuit_of(device=sampler, shots=50, zero_noise=Line())
    circuit(angles_of())
    assert sampler.jobs == 1


@WITH_LINE
def test_extrapolated_values_have_no_gradient(manila):
    values = circuit_of(device=manila, zero_noise=Line())(angles_of())
    with pytest.raises(sqdr.ArgumentError, match=r"^Argument `zero_noise` must be None where values"):
        values.sum().backward()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"zero_noise": "linear"}, "`zero_noise` must be None without a device, but is 'linear'"),
        (
            {"device": StatevectorEstimator(), "invert_readout": True},
            "`invert_readout` must be False on an estimator",
        ),
    ],
    ids=["no device", "estimator"],
)
def test_mitigation_that_cannot_be_is_refused(options, message):
    with pytest.raises(sqdr.ArgumentError, match=f"^Argument {message}"):
        circuit_of(**options)


def test_readout_that_says_nothing_is_not_inverted():
    noise = sqdr.NoiseModel(readout_error=0.5)
    circuit = circuit_of(noise=noise, invert_readout=True, shots=10)
    with pytest.raises(sqdr.ArgumentError, match=r"^Argument `invert_readout` must be False on Aer"):
        circuit(angles_of())


@pytest.mark.skipif(find_spec("mitiq") is not None, reason="mitiq is installed")
def test_a_missing_mitiq_is_named():
    with pytest.raises(sqdr.MissingPackageError, match=r'pip install "sqdr\[mitigation\]"$'):
        circuit_of(device="FakeManilaV2", zero_noise="linear")


class TestMitiq:
    """Skipped where mitiq is not installed, which wants an older NumPy."""

    @pytest.fixture(autouse=True)
    def inference(self):
        return pytest.importorskip("mitiq.zne.inference")

    @pytest.mark.parametrize("name", ["linear", "richardson"])
    def test_its_factories_bring_values_nearer(self, name, manila):
        exact = circuit_of()(angles_of())
        options = {"device": manila, "layout": [3, 2, 1], "invert_readout": True}
        errors = [
            (circuit_of(**options, zero_noise=by)(angles_of()) - exact).abs().mean()
            for by in (None, name)
        ]
        assert errors[0] > 2 * errors[1]

    def test_a_factory_of_ones_own(self, inference, manila):
        options = {"device": manila, "layout": [3, 2, 1]}
        found = circuit_of(**options, zero_noise=inference.LinearFactory([1, 3, 5]))(angles_of())
        torch.testing.assert_close(found, circuit_of(**options, zero_noise="linear")(angles_of()))

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda of: of.LinearFactory([1, 2]), "must have odd scale factors, .*, but has 2"),
            (lambda _: "quadratic", "must be None, linear, richardson or a factory"),
            (lambda _: 3, "must be None, linear, richardson or a factory of mitiq, but"),
        ],
        ids=["even", "unknown", "number"],
    )
    def test_others_are_refused(self, make, message, inference, manila):
        with pytest.raises(sqdr.ArgumentError, match=f"^Argument `zero_noise` {message}"):
            circuit_of(device=manila, zero_noise=make(inference))
