"""The calibration of a device, and the noise of a circuit that runs on some of its qubits."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from sqdr.ansatz import Ansatz, Entanglement, Entangler, entangled_pairs, in_rounds
from sqdr.errors import MissingPackageError
from sqdr.noise.channels import TwoWireDepolarizing
from sqdr.noise.device_gates import WireNoise, channels, depolarizing_part, relaxation
from sqdr.noise.layout import Graph, best_places
from sqdr.noise.model import NoiseModel
from sqdr.noise.qubits import (
    OUT_OF_ORDER,
    PairCalibration,
    QubitCalibration,
    checked_pair,
    checked_qubit,
    qubit_number,
)
from sqdr.noise.readout import ReadoutError
from sqdr.noise.target import read_target, snapshot
from sqdr.validation import argument_error, check_integer, check_path


class Calibration:
    """What is known of the qubits and couplers of a device, and which noise follows from it.

    Args:
        qubits (mapping of int to QubitCalibration): by their numbers.
        pairs (iterable of PairCalibration): the couplers, each in one direction or in both. A circuit
            takes the one whose control is the first wire of its pair, if it is there.
        name (str): of the device. Default: "device".

    Raises:
        ValueError: if a value is out of its domain, or a coupler has a qubit that is not there.
    """

    def __init__(
        self,
        qubits: Mapping[int, QubitCalibration],
        pairs: Iterable[PairCalibration],
        name: str = "device",
    ) -> None:
        self.name = str(name)
        self.qubits = {qubit_number(qubit): checked_qubit(values) for qubit, values in qubits.items()}
        self.pairs: dict[tuple[int, int], PairCalibration] = {}
        for pair in map(checked_pair, pairs):
            if missing := set(pair.qubits) - set(self.qubits):
                must = f"be of qubits that are there for pair {list(pair.qubits)}"
                raise argument_error("pairs", must, f"there is no qubit {min(missing)}")
            if pair.qubits in self.pairs:
                raise argument_error("pairs", "have each once", f"have {list(pair.qubits)} twice")
            self.pairs[pair.qubits] = pair

    @staticmethod
    def from_qiskit(backend: Any) -> Calibration:
        """The calibration that Qiskit knows of a device.

        Args:
            backend (qiskit.providers.BackendV2 or qiskit.transpiler.Target): a device or a snapshot of
                one, such as those of `qiskit_ibm_runtime.fake_provider`. What has no T1, T2, duration
                or error counts as perfect. Readout errors are those of both directions where the
                backend states them (`prob_meas1_prep0` of its properties), else the one of its target.

        Raises:
            ValueError: if it is neither, or its entangling gate is none of CZ, CX and ECR.
        """
        return Calibration(*read_target(backend))

    @staticmethod
    def from_dict(plain: Mapping[str, Any]) -> Calibration:
        """The calibration that `to_dict` or a file describes.

        Args:
            plain (mapping): "qubits", a list of mappings with "qubit" (its number) and what
                `QubitCalibration` takes, and "pairs", a list of mappings with what `PairCalibration`
                takes; "name" is optional.

        Raises:
            ValueError: if something is missing, unknown or out of its domain.
        """
        if not isinstance(plain, Mapping) or not {"qubits", "pairs"} <= set(plain) <= {*_PARTS}:
            but = f"has {', '.join(map(str, plain))}" if isinstance(plain, Mapping) else f"is {plain!r}"
            raise argument_error("calibration", f"have qubits, pairs and perhaps {_PARTS[0]}", but)
        qubits: dict[int, QubitCalibration] = {}
        for entry in _entries("qubits", plain["qubits"], QubitCalibration, ("qubit",)):
            number = qubit_number(entry.pop("qubit"))
            if number in qubits:
                raise argument_error("qubits", "have each qubit once", f"have {number} twice")
            qubits[number] = QubitCalibration(**entry)
        pairs = _entries("pairs", plain["pairs"], PairCalibration, ())
        return Calibration(
            qubits, [PairCalibration(**pair) for pair in pairs], plain.get("name", "device")
        )

    @staticmethod
    def from_file(path: str | Path) -> Calibration:
        """The calibration in a JSON or YAML file; see `from_dict`.

        Raises:
            ValueError: if it is no such file.
            OSError: if it cannot be read.
            MissingPackageError: for YAML, if PyYAML is missing.
        """
        file = check_path("path", path)
        text = file.read_text(encoding="utf-8")
        try:
            plain = json.loads(text) if file.suffix == ".json" else _yaml(text)
        except ValueError as error:
            raise argument_error("calibration", "be a JSON or YAML file", f"{path}: {error}") from error
        return Calibration.from_dict(plain)

    @staticmethod
    def named(device: str) -> Calibration:
        """The calibration of a snapshot of a device, or in a file.

        Args:
            device (str): a name among `qiskit_ibm_runtime.fake_provider`, such as "FakeTorino", or the
                path of a file that ends in .json, .yaml or .yml.

        Raises:
            ValueError, OSError, MissingPackageError: if there is none.
        """
        if Path(device).suffix in (".json", ".yaml", ".yml"):
            return Calibration.from_file(device)
        return Calibration.from_qiskit(snapshot(device))

    def of_circuit(self, ansatz: Ansatz, wires: Sequence[int] | None = None) -> NoiseModel:
        """The noise of a circuit; see `noise_model`.

        Args:
            ansatz (Ansatz): of the circuit; `circuit.ansatz`.
            wires (sequence of ints or None): the qubit of each wire. Default: None, `best_wires`.
        """
        turns = set(ansatz.encoding + ansatz.rotation) - {"Z"}
        return self.noise_model(
            self.best_wires(ansatz.n_wires, ansatz.pairs) if wires is None else wires,
            ansatz.pairs,
            n_blocks=ansatz.n_blocks,
            entangler=ansatz.entangler,
            pulses=2 if turns else 0,
        )

    def to_dict(self) -> dict[str, Any]:
        """The calibration in numbers, strings, lists and dicts, for files; see `from_dict`."""
        return {
            "name": self.name,
            "qubits": [
                {"qubit": number} | {name: v for name, v in asdict(qubit).items() if v != math.inf}
                for number, qubit in self.qubits.items()
            ],
            "pairs": [asdict(pair) | {"qubits": list(pair.qubits)} for pair in self.pairs.values()],
        }

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Calibration) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Calibration of {self.name}: {len(self.qubits)} qubits, {len(self.pairs)} couplers"

    def best_wires(self, n_wires: int, entanglement: Entanglement = "linear") -> list[int]:
        """The qubits on which a circuit has the least noise.

        That is where the sum of these errors is lowest: of two pulses and of readout (the mean of both
        directions) for each wire, and of the gate of each entangled pair in its worse direction, or of
        the relaxation during it where this is more than the calibration says of the gate. Qubits and
        couplers that are out of order, with an error of `OUT_OF_ORDER` or more, are never picked. Wires
        are placed one by one beside those that they are entangled with, and of all placements so far
        the best 10,000 are kept: for short chains that is all of them.

        Args:
            n_wires (int): number of wires.
            entanglement (str or sequence of pairs): as in `ReuploadCircuit`. Default: "linear".

        Returns:
            list of int: the qubit of each wire.

        Raises:
            ValueError: if the device has no such qubits.
        """
        n_wires = check_integer("n_wires", n_wires, 1)
        if n_wires > len(self.qubits):
            must = f"be at most the {len(self.qubits)} qubits of {self.name}"
            raise argument_error("n_wires", must, f"is {n_wires}")
        graph = Graph(
            {
                number: 2 * q.pulse_error + q.readout_error
                for number, q in self.qubits.items()
                if _works(q)
            },
            self._costs_of_pairs(),
        )
        places = best_places(graph, n_wires, entangled_pairs(entanglement, n_wires))
        if places is None:
            must = f"be a number of wires for which {self.name} has working qubits and couplers"
            raise argument_error("n_wires", must, f"{n_wires} find none for their pairs")
        return places

    def noise_model(
        self,
        wires: Sequence[int],
        entanglement: Entanglement = "linear",
        *,
        n_blocks: int = 2,
        entangler: Entangler = "CZ",
        pulses: int = 2,
    ) -> NoiseModel:
        """The noise of a circuit on these qubits, sized as Qiskit Aer's `NoiseModel.from_backend`.

        - A gate's error is depolarizing, by `depolarizing_part`, and then relaxation over its duration
          t: AmplitudeDamping(1 - exp(-t / T1)), and PhaseDamping such that coherences keep
          exp(-t / T2).
        - After the rotations of a block, each wire has had `pulses` pulses (SX): any rotation is RZ SX
          RZ SX RZ, and RZ is free.
        - After an entangling layer each pair has had its gate, and each wire the relaxation of the
          gates of all its pairs, in the order of `ansatz.in_rounds`. A CX or ECR is a CZ but for
          rotations, which join those of the blocks; only between two gates of a wire they may need a
          pulse: one for ECR, and one for CX where the wire is target of one gate and control of the
          other. Of a target the relaxation acts with X and Z exchanged, as `Kraus`. What has flipped a
          wire before a gate flips the phase of the other: PhaseFlip. That counts in the last layer,
          before which strings of several wires are measured; since a noise model is the same in all
          layers, each has its part of it. ZZ(theta) is two gates on a pair, with two pulses on its
          second wire between them.
        - Readout errs in both directions.

        Left out is what a calibration does not say, or Aer's model leaves out: idle qubits, crosstalk,
        leakage, coherent errors. Relaxation acts after all pulses and gates of a layer, not between
        them: docs/devices.md says by how much this differs from Aer.

        Args:
            wires (sequence of ints): the qubit of each wire.
            entanglement (str or sequence of pairs): as in `ReuploadCircuit`. Default: "linear".
            n_blocks (int): of the circuit. Default: 2.
            entangler (str): "CZ" or "ZZ". Default: "CZ".
            pulses (int): of the rotations of a block on a wire: 0 where all are about Z. Default: 2.

        Raises:
            ValueError: if a qubit is not there or twice, a pair has no coupler, or either is out of
                order.
        """
        on = self._checked_wires(wires)
        n_blocks, pulses = check_integer("n_blocks", n_blocks, 1), check_integer("pulses", pulses, 0)
        pairs = entangled_pairs(entanglement, len(on))
        gates = [self._gate(on[i], on[j]) for i, j in pairs]
        qubits = [self.qubits[qubit] for qubit in on]
        n_gates = 2 if entangler == "ZZ" else 1
        blocks, layer = ([WireNoise(qubit) for qubit in qubits] for _ in range(2))
        for of_wire in blocks:
            of_wire.add_pulses(pulses)
        kept = [self._kept(gate) ** n_gates for gate in gates]
        for place in in_rounds(pairs):
            gate, ends = gates[place], [layer[wire] for wire in pairs[place]]
            for end in ends:
                end.begin_gate(gate.gate, self.qubits[gate.qubits[1]] is end.qubit)
            ends[0].spread, ends[1].spread = ends[0].spread * ends[1].z, ends[1].spread * ends[0].z
            for end in ends:
                end.end_gate(n_gates * gate.time, kept[place])
            if entangler == "ZZ":
                ends[1].add_pulses(2)
        for of_wire in layer:
            of_wire.spread **= 1 / max(n_blocks - 1, 1)
        of_pairs = [TwoWireDepolarizing([15 / 16 * (1 - k) for k in kept])] if pairs else []
        return NoiseModel(
            channels(blocks),
            (*of_pairs, *channels(layer)) if pairs else (),
            ReadoutError(
                [qubit.prob_meas1_prep0 for qubit in qubits],
                [qubit.prob_meas0_prep1 for qubit in qubits],
            ),
        )

    def _relaxed(self, gate: PairCalibration) -> float:
        """Process fidelity of the relaxation of both qubits during a gate."""
        return math.prod(relaxation(self.qubits[qubit], gate.time).fidelity for qubit in gate.qubits)

    def _kept(self, gate: PairCalibration) -> float:
        """The factor of each two-wire Pauli but II that the depolarizing of a gate is."""
        return 1 - depolarizing_part(gate.error, self._relaxed(gate), 2)

    def _infidelity(self, gate: PairCalibration) -> float:
        """The error of a gate, or that of relaxation alone where this is larger."""
        return max(gate.error, 4 / 5 * (1 - self._relaxed(gate)))

    def _checked_wires(self, wires: Any) -> list[int]:
        if isinstance(wires, str) or not isinstance(wires, Sequence) or not wires:
            raise argument_error("wires", "be a list of qubits, one for each wire", f"is {wires!r}")
        checked: list[int] = []
        for wire in wires:
            qubit = check_integer("wires", wire, 0)
            if qubit in checked:
                raise argument_error("wires", "be distinct", f"holds qubit {qubit} twice")
            if qubit not in self.qubits:
                must = f"be qubits of {self.name}"
                raise argument_error("wires", must, f"holds {qubit}, which is not there")
            if not _works(self.qubits[qubit]):
                must = f"be qubits of {self.name} that work"
                raise argument_error("wires", must, f"qubit {qubit} is out of order")
            checked.append(qubit)
        return checked

    def _costs_of_pairs(self) -> dict[frozenset[int], float]:
        """The error of each coupler that works, in its worse direction."""
        costs: dict[frozenset[int], float] = {}
        for qubits, gate in self.pairs.items():
            pair = frozenset(qubits)
            costs[pair] = max(costs.get(pair, 0.0), self._infidelity(gate))
        return {pair: cost for pair, cost in costs.items() if cost < OUT_OF_ORDER}

    def _gate(self, one: int, other: int) -> PairCalibration:
        gate = self.pairs.get((one, other)) or self.pairs.get((other, one))
        must = f"have a working coupler of {self.name} for each entangled pair"
        if gate is None:
            raise argument_error("wires", must, f"qubits {one} and {other} have none")
        if gate.error >= OUT_OF_ORDER:
            raise argument_error("wires", must, f"that of qubits {one} and {other} is out of order")
        return gate


def _works(qubit: QubitCalibration) -> bool:
    return max(qubit.pulse_error, qubit.readout_error) < OUT_OF_ORDER


_PARTS = ("name", "qubits", "pairs")


def _entries(part: str, entries: Any, kind: type, more: Sequence[str]) -> Iterable[dict[str, Any]]:
    """The mappings of a list, whose keys are fields of a dataclass, and more that must be there."""
    known = [*more, *(field.name for field in fields(kind))]
    if isinstance(entries, str) or not isinstance(entries, Sequence):
        raise argument_error(part, "be a list of mappings", f"is {entries!r:.60}")
    for entry in entries:
        must = f"hold mappings of {', '.join(known)}"
        if not isinstance(entry, Mapping) or not set(entry) <= set(known):
            raise argument_error(part, must, f"holds {entry!r:.100}")
        needed = more or ("qubits", "error")
        if missing := [name for name in needed if name not in entry]:
            raise argument_error(part, must, f"holds {dict(entry)!r:.100} without {missing[0]}")
        yield dict(entry)


def _yaml(text: str) -> Any:
    try:
        import yaml
    except ModuleNotFoundError as error:
        raise MissingPackageError("A calibration in YAML", "share", "PyYAML") from error
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
