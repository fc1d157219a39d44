"""Where circuits run: Aer's simulators, snapshots of devices, devices, and primitives of providers.

A job is a list of programs, and each device runs it as one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.primitives import BackendSamplerV2, BaseEstimatorV2, BaseSamplerV2
from qiskit.providers import BackendV2
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import InstructionProperties, Target, generate_preset_pass_manager

from sqdr.ansatz import Ansatz, PauliWord
from sqdr.backends.words import Readout, axes_of_measurement, measured_together
from sqdr.errors import JobError, MissingPackageError
from sqdr.noise import Calibration
from sqdr.noise.target import snapshot
from sqdr.validation import argument_error

Array = NDArray[np.float64]
#: Those of a device that circuits have been brought to; None for all of them.
Qubits = tuple[int, ...] | None

#: Qubits up to which shots are drawn from a density matrix; beyond, Aer draws the noise of each shot.
_LARGEST_DENSITY_MATRIX = 10
#: Gates on pairs one after the other up to which a chain of matrices is small.
_SHALLOW = 8

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
        scale (int): how often the circuit is repeated, forwards and backwards. Default: 1.
    """

    circuit: Any
    values: Array
    misread: tuple[Array, Array]
    scale: int = 1

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
        invert_readout (bool): whether readout errors that are known are inverted.

    Raises:
        ValueError: if the layout names other qubits than the device has, or too few, or the device has
            fewer qubits than there are wires.
    """

    #: Whether it can do nothing without a number of shots.
    needs_shots = False

    def __init__(
        self,
        name: str,
        backend: Any,
        n_wires: int,
        layout: Sequence[int] | None,
        optimization_level: int,
        seed: int,
        invert_readout: bool,
    ) -> None:
        self.name = name
        self.inverts_readout = invert_readout
        self.backend = backend
        self._passes = None
        self._prepared: dict[tuple[int, tuple[str, ...]], Any] = {}
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

    def entangler(self, ansatz: Ansatz) -> Literal["cz", "cx"]:
        """The gate on pairs that circuits are written in: the device's own, or one like it."""
        own: Literal["cz", "cx"] = "cz" if ansatz.entangler == "CZ" else "cx"
        if self.backend is None or own in self.backend.operation_names:
            return own
        return "cz" if "cz" in self.backend.operation_names else "cx"

    def prepare(self, program: Program, axes: Sequence[str] = ()) -> Any:
        """The circuit as the device takes it, measured along an axis of each wire if there are any."""
        key, circuit = (program.scale, tuple(axes)), program.circuit
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

    @cached_property
    def calibration(self) -> Calibration:
        """What Qiskit knows of the backend; ValueError if it has another entangling gate than usual."""
        return Calibration.from_qiskit(self.backend)

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
    """A device that measures bits."""

    @abstractmethod
    def sampler(self, circuits: Sequence[Any], qubits: Qubits, seed: int) -> Any:
        """A SamplerV2 that runs the circuits of a job.

        Args:
            circuits, qubits: what `placed` returned.
            seed (int): of its shots, where it takes one.
        """

    def placed(self, circuits: Sequence[Any]) -> tuple[Sequence[Any], Qubits]:
        """Transpiled circuits as they are run, and the qubits of the device that they have then."""
        return circuits, None

    def run(
        self, programs: Sequence[Program], words: tuple[PauliWord, ...], shots: int | None, seed: int
    ) -> list[Array]:
        settings = measured_together(words)
        jobs = []  # program, words measured together, circuit
        for program in programs:
            for places in settings:
                axes = axes_of_measurement(words[place] for place in places)
                letters = [axes.get(wire, "Z") for wire in range(program.circuit.num_qubits)]
                jobs.append((program, places, self.prepare(program, letters)))
        circuits, qubits = self.placed([circuit for _, _, circuit in jobs])
        pubs = [job[0].pub(circuit) for job, circuit in zip(jobs, circuits, strict=True)]
        sampler = self.sampler(circuits, qubits, seed)
        result = self.finished(lambda: sampler.run(pubs, shots=shots))
        if len(result) != len(pubs):
            raise self.short(f"{len(result)} results", len(pubs))
        values = {id(program): np.empty((len(program.values), len(words))) for program in programs}
        generator = np.random.default_rng(seed)
        for (program, places, circuit), of_pub in zip(jobs, result, strict=True):
            bits = self._bits(program, of_pub, shots)
            if any(error.any() for error in program.misread):
                zero, one = program.misread
                bits ^= generator.random(bits.shape) < np.where(bits, one, zero)
            of_zero, of_one = self._signs(program, circuit)
            for place in places:
                value: Array = np.ones(1)
                for wire, _ in words[place]:
                    value = value * np.where(bits[..., wire], of_one[wire], of_zero[wire])
                values[id(program)][:, place] = value.mean(axis=-1)
        return [values[id(program)] for program in programs]

    def _bits(self, program: Program, of_pub: Any, shots: int | None) -> NDArray[np.bool_]:
        """What was measured (rows, shots, wires); JobError if it is less than was asked for."""
        if not hasattr(of_pub.data, "c"):
            raise self.short("no bits", f"{len(program.values)} circuits")
        bits: NDArray[np.bool_] = of_pub.data.c.to_bool_array(order="little")
        wanted = len(program.values), shots or bits.shape[-2], program.circuit.num_qubits
        if bits.shape != wanted:
            raise self.short(f"bits of shape {bits.shape}", wanted)
        return bits

    def _signs(self, program: Program, circuit: Any) -> tuple[Array, Array]:
        """What a 0 and a 1 of each wire count: 1 and -1, or what inverts readout errors on average."""
        ones = np.ones(program.circuit.num_qubits)
        if not self.inverts_readout:
            return ones, -ones
        zero, one = self.misread(program, circuit)
        scale, shift = 1 - zero - one, one - zero
        if (scale <= 0).any():
            must = f"be False on {self.name}, which reads a wire no better than at random"
            raise argument_error("invert_readout", must, "is True")
        return (ones - shift) / scale, (-ones - shift) / scale

    def misread(self, program: Program, circuit: Any) -> tuple[Array, Array]:
        """For each wire, the probabilities that 0 is read as 1 and 1 as 0, as far as they are known.

        Raises:
            ValueError: if they are not.
        """
        if self.backend is None:
            return program.misread
        on = [self.calibration.qubits[qubit] for qubit in _qubits_of_wires(program, circuit)]
        zero = np.array([qubit.prob_meas1_prep0 for qubit in on])
        return zero, np.array([qubit.prob_meas0_prep1 for qubit in on])


class Estimating(Device):
    """A device that gives expectation values: an EstimatorV2, which inverts readout errors itself.

    Args:
        estimator (EstimatorV2): of a provider. Shots are a precision of 1 / sqrt(shots) to it.
        others: as in `Device`.
    """

    def __init__(self, estimator: Any, *others: Any) -> None:
        super().__init__(*others)
        if self.inverts_readout:
            must = "be False on an estimator, which has its own ways"
            raise argument_error("invert_readout", must, "is True")
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
            circuit = self.prepare(program)
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


class Sampler(Sampling):
    """A device that is a SamplerV2, or has one.

    Args:
        make (function): gives it, for a seed.
        needs_shots (bool): whether it has no number of its own.
        others: as in `Device`.
    """

    def __init__(self, make: Callable[[int], Any], needs_shots: bool, *others: Any) -> None:
        super().__init__(*others)
        self._make, self.needs_shots = make, needs_shots

    def sampler(self, circuits: Sequence[Any], qubits: Qubits, seed: int) -> Any:  # noqa: ARG002
        return self._make(seed)


class Aer(Sampling):
    """A simulator of Aer: exact values of statevectors and density matrices, or bits.

    Args:
        simulator (AerSimulator): with noise or without.
        others: as in `Device`.
    """

    def __init__(self, simulator: Any, *others: Any) -> None:
        super().__init__(*others)
        self._simulator = simulator

    def simulator(self, qubits: Qubits) -> Any:  # noqa: ARG002
        """The simulator of some qubits of the device, or of all."""
        return self._simulator

    def placed(self, circuits: Sequence[Any]) -> tuple[Sequence[Any], Qubits]:
        if self._passes is None or self._simulator.options.noise_model is not None:
            return circuits, None
        return _compact(circuits)

    def sampler(self, circuits: Sequence[Any], qubits: Qubits, seed: int) -> Any:
        from qiskit_aer.primitives import SamplerV2

        simulator = self.simulator(qubits)
        method = _method_of_shots(circuits, simulator.options.noise_model)
        return SamplerV2.from_backend(simulator, seed=seed, options={"run_options": {"method": method}})

    def run(
        self, programs: Sequence[Program], words: tuple[PauliWord, ...], shots: int | None, seed: int
    ) -> list[Array]:
        if shots is not None:
            return super().run(programs, words, shots, seed)
        prepared = [self.prepare(program) for program in programs]
        circuits, qubits = self.placed([circuit.copy() for circuit in prepared])
        simulator = self.simulator(qubits)
        pairs = list(zip(programs, prepared, strict=True))
        misread = [self.misread(program, circuit) for program, circuit in pairs]
        is_directed = any((zero != one).any() for zero, one in misread)
        readout = Readout(words, programs[0].circuit.num_qubits, is_directed)
        for (program, of_device), circuit in zip(pairs, circuits, strict=True):
            on = _qubits_of_wires(program, of_device)
            places = on if qubits is None else [qubits.index(qubit) for qubit in on]
            for number, word in enumerate(readout.words):
                operator, wires = _on_own_wires(word)
                at = [places[wire] for wire in wires]
                circuit.save_expectation_value(operator, at, label=str(number))
        method = _method(circuits, simulator.options.noise_model)
        # Aer 0.18 takes other qubits for those observed where it leaves qubits out itself.
        options = {"method": method, "zero_threshold": 0.0, "enable_truncation": False}
        binds = [p.bound(circuit) for p, circuit in zip(programs, circuits, strict=True)]
        result = self.finished(lambda: simulator.run(circuits, parameter_binds=binds, **options))
        if not result.success:
            reasons = {str(part.status) for part in result.results if not part.success}
            raise JobError(f"A job on {self.name} failed: {'; '.join(reasons) or result.status}")
        rows = [len(program.values) for program in programs]
        if len(result.results) != sum(rows):
            raise self.short(f"{len(result.results)} circuits", sum(rows))
        numbers = range(len(readout.words))
        values = np.array([[getattr(r.data, str(n)) for n in numbers] for r in result.results])
        parts = zip(np.split(values, np.cumsum(rows)[:-1]), misread, strict=True)
        if self.inverts_readout:  # exactly
            return [of_program[:, : len(words)] for of_program, _ in parts]
        return [_with_readout(readout, of_program, errors) for of_program, errors in parts]

    def misread(self, program: Program, circuit: Any) -> tuple[Array, Array]:
        model = self._simulator.options.noise_model
        return program.misread if model is None else _misread(model, _qubits_of_wires(program, circuit))


class Snapshot(Aer):
    """A snapshot of a device, of which Aer simulates the qubits that circuits are on.

    That takes a hundredth of the time of all qubits.

    Args:
        others: as in `Device`, the backend being the snapshot.
    """

    def __init__(self, *others: Any) -> None:
        super().__init__(None, *others)
        self._simulators: dict[Qubits, Any] = {}

    def simulator(self, qubits: Qubits) -> Any:
        if qubits not in self._simulators:
            aer = _aer()
            from qiskit_aer.noise import NoiseModel, device

            on = cast(tuple[int, ...], qubits)
            part = _part_of(self.backend.target, self.calibration, on)
            model = NoiseModel(basis_gates=list(part.operation_names))
            for qubit, error in device.basic_device_readout_errors(target=part):
                model.add_readout_error(error, qubit)
            for name, places, error in device.basic_device_gate_errors(target=part):
                model.add_quantum_error(error, name, places)
            self._simulators[qubits] = aer.AerSimulator(noise_model=model)
        return self._simulators[qubits]

    def placed(self, circuits: Sequence[Any]) -> tuple[Sequence[Any], Qubits]:
        return _compact(circuits)

    def misread(self, program: Program, circuit: Any) -> tuple[Array, Array]:
        return Sampling.misread(self, program, circuit)


def device_of(given: Any, *options: Any) -> Device:
    """The device that the argument of a circuit names.

    Args:
        given (str, BackendV2, EstimatorV2, SamplerV2 or None): as in `QiskitCircuit`.
        *options: n_wires, layout, optimization_level, seed and invert_readout, as in `Device`.

    Raises:
        ValueError: if it is none of these, or cannot hold the circuit.
        MissingPackageError: if Aer, or Qiskit's runtime, is needed and not installed.
    """
    if given is None:
        return Aer(_aer().AerSimulator(), "Aer", None, *options)
    if isinstance(given, str):
        given = snapshot(given)
    if isinstance(given, BaseEstimatorV2):
        return Estimating(given, type(given).__name__, _backend_of(given), *options)
    if isinstance(given, BaseSamplerV2):
        return Sampler(lambda _: given, False, type(given).__name__, _backend_of(given), *options)
    if not isinstance(given, BackendV2):
        must = "be None, the name of a snapshot, a BackendV2, or an EstimatorV2 or SamplerV2"
        raise argument_error("device", must, f"is {given!r:.60}")
    if type(given).__module__.startswith("qiskit_aer"):
        return Aer(given, given.name, given, *options)
    if type(given).__module__.startswith("qiskit_ibm_runtime.fake_provider"):
        return Snapshot(given.name, given, *options)
    if type(given).__module__.startswith("qiskit_ibm_runtime"):  # whose devices have no `run`
        from qiskit_ibm_runtime import Sampler as RuntimeSampler

        return Sampler(lambda _: RuntimeSampler(mode=given), True, given.name, given, *options)

    def sampler(seed: int) -> Any:
        return BackendSamplerV2(backend=given, options={"seed_simulator": seed})

    return Sampler(sampler, True, given.name, given, *options)


def _part_of(target: Any, calibration: Calibration, qubits: tuple[int, ...]) -> Any:
    """A target on some qubits, numbered anew, with both readout errors of each."""
    place = {qubit: place for place, qubit in enumerate(qubits)}
    properties = target.qubit_properties
    properties = None if properties is None else [properties[qubit] for qubit in qubits]
    part = Target(num_qubits=len(qubits), dt=target.dt, qubit_properties=properties)
    for name in target.operation_names:
        known = {on: p for on, p in (target[name] or {}).items() if on and place.keys() >= set(on)}
        if name == "measure":
            known = {on: _both_directions(calibration, on[0], p) for on, p in known.items()}
        if known and name not in ("delay", "reset"):
            here = {tuple(place[qubit] for qubit in on): p for on, p in known.items()}
            part.add_instruction(target.operation_from_name(name), here)
    return part


def _both_directions(calibration: Calibration, qubit: int, known: Any) -> Any:
    """Properties of a measurement with what Aer reads of them, and targets leave out."""
    properties = InstructionProperties(error=known.error, duration=known.duration)
    properties.prob_meas1_prep0 = calibration.qubits[qubit].prob_meas1_prep0
    properties.prob_meas0_prep1 = calibration.qubits[qubit].prob_meas0_prep1
    return properties


def _compact(circuits: Sequence[Any]) -> tuple[list[Any], tuple[int, ...]]:
    """Circuits on the qubits alone that any of them has gates on, and these."""
    qubits = _qubits(circuits)
    compact = []
    for circuit in circuits:
        smaller = QuantumCircuit(QuantumRegister(len(qubits)), *circuit.cregs)
        for instruction in circuit.data:
            on = [circuit.find_bit(qubit).index for qubit in instruction.qubits]
            if instruction.name != "barrier":
                at = [qubits.index(qubit) for qubit in on]
                smaller.append(instruction.operation, at, instruction.clbits)
        compact.append(smaller)
    return compact, qubits


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


def _qubits(circuits: Iterable[Any]) -> tuple[int, ...]:
    """The qubits that any gate is on."""
    found = {
        circuit.find_bit(qubit).index
        for circuit in circuits
        for instruction in circuit.data
        for qubit in instruction.qubits
        if instruction.name != "barrier"
    }
    return tuple(sorted(found))


def _qubits_of_wires(program: Program, circuit: Any) -> list[int]:
    """Where a transpiled circuit has the wires at its end."""
    if circuit.layout is None:
        return list(range(program.circuit.num_qubits))
    qubits: list[int] = circuit.layout.final_index_layout()
    return qubits


def _method(circuits: Sequence[Any], model: Any) -> str:
    """Of Aer: exact with the noise of a model, or of channels within circuits."""
    is_noisy = model is not None or any("kraus" in circuit.count_ops() for circuit in circuits)
    return "density_matrix" if is_noisy else "statevector"


def _method_of_shots(circuits: Sequence[Any], model: Any) -> str:
    """Of Aer: that which takes least time."""
    if max(circuit.num_qubits for circuit in circuits) <= _LARGEST_DENSITY_MATRIX:
        return _method(circuits, model)
    depths = [circuit.depth(lambda gate: len(gate.qubits) == 2) for circuit in circuits]
    return "matrix_product_state" if max(depths) <= _SHALLOW else "automatic"


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
