"""Where circuits run: Aer's simulators, snapshots of devices, devices, and primitives of providers.

A job is a list of programs, and each device runs it as one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from qiskit import ClassicalRegister
from qiskit.primitives import BackendSamplerV2, BaseEstimatorV2, BaseSamplerV2
from qiskit.providers import BackendV2
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import InstructionProperties, Target, generate_preset_pass_manager

from sqdr.ansatz import PauliWord
from sqdr.backends.words import Readout, axes_of_measurement, measured_together
from sqdr.errors import JobError, MissingPackageError
from sqdr.validation import argument_error

Array = NDArray[np.float64]

#: Turns of a wire whose X or Y is measured as Z.
_TURNS = {"X": ("h",), "Y": ("sdg", "h"), "Z": ()}


@dataclass(frozen=True)
class Program:
    """A circuit with parameters, and their values.

    Args:
        circuit (QuantumCircuit): on the wires, without measurements; its parameters are the elements of
            one `ParameterVector`.
        values (array of shape (rows, parameters)): in radians.
        misread (arrays of shape (n_wires,)): the probabilities that 0 is read as 1 and 1 as 0.
    """

    circuit: Any
    values: Array
    misread: tuple[Array, Array]

    def bound(self, circuit: Any) -> dict[Any, Array]:
        """The values of those parameters that a transpiled form of the circuit still has, for each."""
        return {parameter: self.values[:, parameter.index] for parameter in circuit.parameters}

    def pub(self, circuit: Any) -> tuple[Any, dict[Any, Array]]:
        """That form and its values as primitives take them, with a row for each evaluation."""
        parameters = tuple(circuit.parameters)
        return circuit, {parameters: self.values[:, [parameter.index for parameter in parameters]]}


class Device(ABC):
    """Something that runs jobs.

    Args:
        name (str): for messages.
        backend (BackendV2 or None): that circuits are transpiled for; None takes any circuit.
        n_wires (int): of the circuits.
        layout (list of ints or None): the qubit of each wire.
        optimization_level (int): of Qiskit's transpiler.
        seed (int): of Qiskit's transpiler.

    Raises:
        ValueError: if the layout names other qubits than the device has, or too few, or the device has
            fewer qubits than there are wires.
    """

    #: Whether values without shots are exact.
    is_exact = False

    def __init__(
        self,
        name: str,
        backend: Any,
        n_wires: int,
        layout: Sequence[int] | None,
        optimization_level: int,
        seed: int,
    ) -> None:
        self.name = name
        self._passes = None
        self._prepared: dict[tuple[str, ...], Any] = {}
        if backend is None:
            if layout is not None:
                raise argument_error("layout", f"be None on {name}, which has any wires", "is given")
            return
        n_qubits = backend.num_qubits
        if n_qubits is not None and n_qubits < n_wires:
            must = f"have a qubit for each of {n_wires} wires"
            raise argument_error("device", must, f"{name} has {n_qubits}")
        if layout is not None:
            _check_layout(layout, n_wires, n_qubits)
        self._passes = generate_preset_pass_manager(
            optimization_level, backend=backend, initial_layout=layout, seed_transpiler=seed
        )

    @abstractmethod
    def run(
        self, programs: Sequence[Program], words: tuple[PauliWord, ...], shots: int | None, seed: int
    ) -> list[Array]:
        """Expectation values of all programs, by one job.

        Args:
            programs (sequence of Programs): what to run.
            words (tuple of Pauli words): observables.
            shots (int or None): of each row and setting of the axes of measurement.
            seed (int): of what is drawn, where the device takes one.

        Returns:
            list of arrays of shape (rows, words): one for each program.

        Raises:
            JobError: if the job fails, is cancelled, or comes back with fewer values.
        """

    def prepare(self, circuit: Any, axes: Sequence[str] = ()) -> Any:
        """The circuit as the device takes it, measured along an axis of each wire if there are any."""
        key = tuple(axes)
        if self._passes is not None and key in self._prepared:
            return self._prepared[key]
        if axes:
            circuit = circuit.copy()
            circuit.add_register(ClassicalRegister(circuit.num_qubits, "c"))
            for wire, axis in enumerate(axes):
                for gate in _TURNS[axis]:
                    getattr(circuit, gate)(wire)
                circuit.measure(wire, wire)
        if self._passes is not None:
            # Without noise of sqdr's own, which no device takes, all programs are of one circuit.
            circuit = self._prepared[key] = self._passes.run(circuit)
        return circuit

    def finished(self, start: Callable[[], Any]) -> Any:
        """The result of a job.

        Raises:
            JobError: if it fails or is cancelled.
        """
        job = None
        try:
            job = start()
            return job.result()
        except KeyboardInterrupt:
            with suppress(Exception):
                job.cancel()  # type: ignore[union-attr]
            raise
        except Exception as error:  # of any provider
            words = " ".join(str(error).split()) or type(error).__name__
            raise JobError(f"A job on {self.name} failed: {words}") from error

    def short(self, found: object, wanted: object) -> JobError:
        return JobError(f"A job on {self.name} came back short: with {found} of {wanted}.")


class Sampling(Device):
    """A device that measures bits: a SamplerV2, or a backend.

    Args:
        sampler (function): gives a SamplerV2 for circuits, with a seed.
        others: as in `Device`.
    """

    def __init__(self, sampler: Callable[[Sequence[Any], int], Any], *others: Any) -> None:
        super().__init__(*others)
        self._sampler = sampler

    def run(
        self, programs: Sequence[Program], words: tuple[PauliWord, ...], shots: int | None, seed: int
    ) -> list[Array]:
        settings = measured_together(words)
        jobs = []  # program, words measured together, circuit
        for program in programs:
            for places in settings:
                axes = axes_of_measurement(words[place] for place in places)
                letters = [axes.get(wire, "Z") for wire in range(program.circuit.num_qubits)]
                jobs.append((program, places, self.prepare(program.circuit, letters)))
        pubs = [program.pub(circuit) for program, _, circuit in jobs]
        sampler = self._sampler([circuit for circuit, _ in pubs], seed)
        result = self.finished(lambda: sampler.run(pubs, shots=shots))
        if len(result) != len(pubs):
            raise self.short(f"{len(result)} results", len(pubs))
        values = {id(program): np.empty((len(program.values), len(words))) for program in programs}
        generator = np.random.default_rng(seed)
        for (program, places, _), of_pub in zip(jobs, result, strict=True):
            bits = of_pub.data.c.to_bool_array(order="little")
            wanted = len(program.values), shots or bits.shape[1], program.circuit.num_qubits
            if bits.shape != wanted:
                raise self.short(f"bits of shape {bits.shape}", wanted)
            if any(error.any() for error in program.misread):
                zero, one = program.misread
                bits ^= generator.random(bits.shape) < np.where(bits, one, zero)
            for place in places:
                wires = [wire for wire, _ in words[place]]
                odd = np.logical_xor.reduce(bits[..., wires], axis=-1)
                values[id(program)][:, place] = 1 - 2 * odd.mean(axis=-1)
        return [values[id(program)] for program in programs]


class Estimating(Device):
    """A device that gives expectation values: an EstimatorV2.

    Args:
        estimator (EstimatorV2): of a provider. Shots are a precision of 1 / sqrt(shots) to it.
        others: as in `Device`.
    """

    def __init__(self, estimator: Any, *others: Any) -> None:
        super().__init__(*others)
        self._estimator = estimator

    def run(
        self,
        programs: Sequence[Program],
        words: tuple[PauliWord, ...],
        shots: int | None,
        seed: int,  # noqa: ARG002
    ) -> list[Array]:
        pubs = []
        for program in programs:
            circuit = self.prepare(program.circuit)
            operators = [_operator(word, range(program.circuit.num_qubits)) for word in words]
            if circuit.layout is not None:
                operators = [operator.apply_layout(circuit.layout) for operator in operators]
            _, rows = program.pub(circuit)
            pubs.append((circuit, [[operator] for operator in operators], rows))
        options = {} if shots is None else {"precision": shots**-0.5}
        result = self.finished(lambda: self._estimator.run(pubs, **options))
        if len(result) != len(pubs):
            raise self.short(f"{len(result)} results", len(pubs))
        found = []
        for program, of_pub in zip(programs, result, strict=True):
            values = np.asarray(of_pub.data.evs, dtype=np.float64)
            if values.shape != (len(words), len(program.values)):
                raise self.short(f"values of shape {values.shape}", (len(words), len(program.values)))
            found.append(values.T)
        return found


class Aer(Sampling):
    """Aer's simulators: exact values of statevectors and density matrices, or bits.

    Args:
        simulator (function): gives an AerSimulator for circuits, given the qubits that they are on.
        others: as in `Device`.
    """

    is_exact = True

    def __init__(self, simulator: Callable[[frozenset[int]], Any], *others: Any) -> None:
        super().__init__(self._sampler_of, *others)
        self._simulator = simulator

    def run(
        self, programs: Sequence[Program], words: tuple[PauliWord, ...], shots: int | None, seed: int
    ) -> list[Array]:
        if shots is not None:
            return super().run(programs, words, shots, seed)
        circuits = [self.prepare(program.circuit).copy() for program in programs]
        simulator = self._simulator(_qubits(circuits))
        model = simulator.options.noise_model
        n_wires = programs[0].circuit.num_qubits
        on = circuits[0].layout
        qubits = list(range(n_wires)) if on is None else on.final_index_layout()
        of_device = None if model is None else _misread(model, qubits)
        misread = [of_device or program.misread for program in programs]
        is_directed = any((zero != one).any() for zero, one in misread)
        readout = Readout(words, n_wires, is_directed)
        for circuit in circuits:
            # Where a wire is in no observable, Aer 0.18 drops it, and reads others in its place.
            circuit.save_expectation_value(SparsePauliOp("Z" * n_wires), qubits, label="all wires")
            for place, word in enumerate(readout.words):
                operator, wires = _on_own_wires(word)
                circuit.save_expectation_value(operator, [qubits[w] for w in wires], label=str(place))
        options = {"method": _method(circuits, model), "zero_threshold": 0.0}
        binds = [program.bound(circuit) for program, circuit in zip(programs, circuits, strict=True)]
        result = self.finished(lambda: simulator.run(circuits, parameter_binds=binds, **options))
        if not result.success:
            reasons = {str(part.status) for part in result.results if not part.success}
            raise JobError(f"A job on {self.name} failed: {'; '.join(reasons) or result.status}")
        rows = [len(program.values) for program in programs]
        if len(result.results) != sum(rows):
            raise self.short(f"{len(result.results)} circuits", sum(rows))
        values = np.array(
            [
                [getattr(part.data, str(place)) for place in range(len(readout.words))]
                for part in result.results
            ]
        )
        return [
            _with_readout(readout, part, errors)
            for part, errors in zip(np.split(values, np.cumsum(rows)[:-1]), misread, strict=True)
        ]

    def _sampler_of(self, circuits: Sequence[Any], seed: int) -> Any:
        from qiskit_aer.primitives import SamplerV2

        simulator = self._simulator(_qubits(circuits))
        method = _method(circuits, simulator.options.noise_model)
        options = {"run_options": {"method": method}}
        return SamplerV2.from_backend(simulator, seed=seed, options=options)


def device_of(given: Any, *options: Any) -> Device:
    """The device that the argument of a circuit names.

    Args:
        given (str, BackendV2, EstimatorV2, SamplerV2 or None): as in `QiskitCircuit`.
        *options: n_wires, layout, optimization_level and seed, as in `Device`.

    Raises:
        ValueError: if it is none of these, or cannot hold the circuit.
        MissingPackageError: if Aer, or Qiskit's runtime, is needed and not installed.
    """
    if given is None:
        aer = _aer()
        simulator = aer.AerSimulator()
        return Aer(lambda _: simulator, "Aer", None, *options)
    if isinstance(given, str):
        given = snapshot(given)
    if isinstance(given, BaseEstimatorV2):
        return Estimating(given, type(given).__name__, _backend_of(given), *options)
    if isinstance(given, BaseSamplerV2):
        return Sampling(lambda *_: given, type(given).__name__, _backend_of(given), *options)
    if not isinstance(given, BackendV2):
        must = "be None, the name of a snapshot, a BackendV2, or an EstimatorV2 or SamplerV2"
        raise argument_error("device", must, f"is {given!r:.60}")
    if type(given).__module__.startswith("qiskit_aer"):
        return Aer(lambda _: given, given.name, given, *options)
    if type(given).__module__.startswith("qiskit_ibm_runtime.fake_provider"):
        return Aer(_Snapshot(given), given.name, given, *options)
    if type(given).__module__.startswith("qiskit_ibm_runtime"):  # whose devices have no `run`
        from qiskit_ibm_runtime import SamplerV2

        return Sampling(lambda *_: SamplerV2(mode=given), given.name, given, *options)

    def sampler(_: Sequence[Any], seed: int) -> Any:
        return BackendSamplerV2(backend=given, options={"seed_simulator": seed})

    return Sampling(sampler, given.name, given, *options)


def snapshot(name: str) -> Any:
    """A snapshot of a device by its name, such as "FakeTorino" or "fake_torino".

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
    wanted = name.replace("_", "").lower()
    for known in dir(fake_provider):
        if known.startswith("Fake") and known.lower() in (wanted, f"{wanted}v2"):
            kind = getattr(fake_provider, known)
            if isinstance(kind, type) and issubclass(kind, BackendV2):
                return kind()
    must = "be the name of a snapshot of qiskit_ibm_runtime.fake_provider, such as FakeTorino"
    raise argument_error("device", must, f"is {name!r}")


class _Snapshot:
    """Aer's simulator of the qubits that circuits are on, a hundred times as fast as one of all."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self._simulators: dict[frozenset[int], Any] = {}

    def __call__(self, qubits: frozenset[int]) -> Any:
        if qubits not in self._simulators:
            aer = _aer()
            from qiskit_aer.noise import NoiseModel, device

            part = _part_of(self._backend, qubits)
            model = NoiseModel(basis_gates=list(part.operation_names))
            for qubit, error in device.basic_device_readout_errors(target=part):
                model.add_readout_error(error, qubit)
            for name, on, error in device.basic_device_gate_errors(target=part):
                model.add_quantum_error(error, name, on)
            n_qubits = self._backend.num_qubits
            self._simulators[qubits] = aer.AerSimulator(noise_model=model, n_qubits=n_qubits)
        return self._simulators[qubits]


def _part_of(backend: Any, qubits: frozenset[int]) -> Any:
    """The target of a snapshot on some qubits, with readout errors of both directions."""
    target = backend.target
    part = Target(num_qubits=target.num_qubits, dt=target.dt, qubit_properties=target.qubit_properties)
    for name in target.operation_names:
        on = {q: p for q, p in (target[name] or {}).items() if q and set(q) <= qubits}
        if name == "measure":
            on = {q: _both_directions(backend, q[0], p) for q, p in on.items()}
        if on and name not in ("delay", "reset"):
            part.add_instruction(target.operation_from_name(name), on)
    return part


def _both_directions(backend: Any, qubit: int, known: Any) -> Any:
    """Properties of a measurement with what Aer reads of them, and targets leave out."""
    properties = InstructionProperties(error=known.error, duration=known.duration)
    found = backend.properties().qubit_property(qubit)
    if {"prob_meas1_prep0", "prob_meas0_prep1"} <= found.keys():
        properties.prob_meas1_prep0 = found["prob_meas1_prep0"][0]
        properties.prob_meas0_prep1 = found["prob_meas0_prep1"][0]
    return properties


def _aer() -> Any:
    try:
        import qiskit_aer
    except ModuleNotFoundError as error:
        if error.name != "qiskit_aer":
            raise
        raise MissingPackageError("Backend `qiskit`", extra="qiskit", package="qiskit-aer") from error
    return qiskit_aer


def _backend_of(primitive: Any) -> Any:
    """What a primitive runs on; None where it takes any circuit, or does not say."""
    backend = getattr(primitive, "backend", None)
    if not isinstance(backend, BackendV2) and callable(backend):
        backend = backend()
    return backend if isinstance(backend, BackendV2) else None


def _check_layout(layout: Sequence[int], n_wires: int, n_qubits: int | None) -> None:
    must = f"be {n_wires} distinct qubits, one for each wire"
    known = range(n_qubits) if n_qubits is not None else None
    if len(layout) != n_wires or len(set(layout)) != n_wires:
        raise argument_error("layout", must, f"is {list(layout)}")
    for qubit in layout:
        if known is not None and qubit not in known:
            raise argument_error("layout", f"hold qubits 0 to {len(known) - 1}", f"holds {qubit}")


def _qubits(circuits: Iterable[Any]) -> frozenset[int]:
    """The qubits that any gate is on."""
    return frozenset(
        circuit.find_bit(qubit).index
        for circuit in circuits
        for instruction in circuit.data
        for qubit in instruction.qubits
    )


def _method(circuits: Sequence[Any], model: Any) -> str:
    """Of Aer: exact with the noise of a model, or of channels within circuits."""
    is_noisy = model is not None or any("kraus" in circuit.count_ops() for circuit in circuits)
    return "density_matrix" if is_noisy else "statevector"


def _on_own_wires(word: PauliWord) -> tuple[Any, list[int]]:
    """A Pauli word as an operator of its wires alone, and these."""
    letters = "".join(letter for _, letter in reversed(word))  # the first is last in Qiskit
    return SparsePauliOp(letters), [wire for wire, _ in word]


def _operator(word: PauliWord, wires: range) -> Any:
    letters = [(("".join(letter for _, letter in word)), [wire for wire, _ in word], 1.0)]
    return SparsePauliOp.from_sparse_list(letters, num_qubits=len(wires))


def _misread(model: Any, qubits: Sequence[int]) -> tuple[Array, Array]:
    """Readout errors of a noise model of Aer on qubits: that 0 is read as 1 and 1 as 0."""
    zero, one = np.zeros(len(qubits)), np.zeros(len(qubits))
    for error in model.to_dict()["errors"]:
        if error["type"] != "roerror":
            continue
        (_, of_zero), (of_one, _) = error["probabilities"]
        on = {qubit for each in error.get("gate_qubits", [qubits]) for qubit in each}
        for wire, qubit in enumerate(qubits):
            if qubit in on:
                zero[wire], one[wire] = of_zero, of_one
    return zero, one


def _with_readout(readout: Readout, values: Array, misread: tuple[Array, Array]) -> Array:
    zero, one = (torch.from_numpy(error) for error in misread)
    with torch.no_grad():
        found: Array = readout(torch.from_numpy(values), 1 - zero - one, one - zero).numpy()
    return found
