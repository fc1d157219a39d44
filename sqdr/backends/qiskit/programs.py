"""The circuit as Qiskit writes it, with parameters for its angles, and channels for its noise."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import Kraus
from torch import Tensor

from sqdr.ansatz import Ansatz, in_rounds
from sqdr.backends.qiskit.devices import Array
from sqdr.export import add_gates
from sqdr.gates import then
from sqdr.noise import NoiseModel, NoiseProcess, Number, ReadoutError, TwoWireDepolarizing

#: As a quaternion.
_HADAMARD = torch.tensor([0.0, 0.5**0.5, 0.0, 0.5**0.5], dtype=torch.float64, device="cpu")


class Channels:
    """Noise as instructions of Qiskit, each of which is made once."""

    def __init__(self) -> None:
        self._made: dict[Any, Any] = {}

    def __call__(self, process: NoiseProcess, strength: float | None, place: int) -> Any:
        key = (id(process), place) if strength is None else (type(process), strength)
        if key not in self._made:
            here = process if strength is None else process.with_strength(strength)
            self._made[key] = Kraus(list(here.operators_on(place).numpy())).to_instruction()
        return self._made[key]


class Layer:
    """An entangling layer in the gate that a device has.

    CZ is CX between two Hadamards of its second wire, and the other way round. Those before the first
    and after the last gate of a wire join the rotations of the blocks beside; only the others stay.

    Args:
        ansatz (Ansatz): of the circuit.
        gate (str): "cz" or "cx".

    Attributes:
        gates (list of (name, place of the pair whose coupling is the angle, or None, wires)): the rest.
        first, last (lists of ints): the wires that begin and end with a Hadamard.
    """

    def __init__(self, ansatz: Ansatz, gate: str) -> None:
        self.gates: list[tuple[str, int | None, tuple[int, ...]]] = []
        is_cz, is_native_cz = ansatz.entangler == "CZ", gate == "cz"
        begins: dict[int, bool] = {}
        turned: dict[int, bool] = {}
        for place in in_rounds(ansatz.pairs):
            pair = ansatz.pairs[place]
            for wire, turns in zip(pair, (False, is_cz != is_native_cz), strict=True):
                begins.setdefault(wire, turns)
                if turned.setdefault(wire, turns) != turns:
                    self.gates.append(("h", None, (wire,)))
                    turned[wire] = turns
            self.gates.append((gate, None, pair))
            if not is_cz:
                self.gates.append(("rx" if is_native_cz else "rz", place, pair[1:]))
                self.gates.append((gate, None, pair))
        self.first = [wire for wire, turns in begins.items() if turns]
        self.last = [wire for wire, turns in turned.items() if turns]

    def joined(self, turns: Tensor) -> Tensor:
        """Rotations (batch, n_blocks, n_wires, 4) with the Hadamards that join them, as quaternions."""
        turns = turns.clone()
        turns[:, :-1, self.first] = then(turns[:, :-1, self.first], _HADAMARD)
        turns[:, 1:, self.last] = then(_HADAMARD, turns[:, 1:, self.last])
        return turns


def circuit_of(ansatz: Ansatz, noise: NoiseModel, channels: Channels, layer: Layer) -> Any:
    """The circuit up to its measurement, rotations of a wire in a block being one gate.

    Args:
        ansatz (Ansatz): of the circuit.
        layer (Layer): its entangling layer.
        noise (NoiseModel): whose strengths are floats, or Tensors of shape (n_blocks, places).
        channels (Channels): where instructions are kept.

    Returns:
        QuantumCircuit: its parameters, elements of one vector, are the angles theta, phi and lambda of
        each gate, by block and wire, and then the couplings, by block and pair.
    """
    n_wires, n_blocks, n_pairs = ansatz.n_wires, ansatz.n_blocks, len(ansatz.pairs)
    n_angles = 3 * n_blocks * n_wires
    n_couplings = (n_blocks - 1) * n_pairs if ansatz.entangler == "ZZ" else 0
    parameters = ParameterVector("x", n_angles + n_couplings)
    circuit = QuantumCircuit(n_wires)

    def add(process: NoiseProcess, block: int, place: int, wires: Sequence[int]) -> None:
        strength: Any = process.strength
        if isinstance(strength, Tensor):
            strength = strength[block, place].item()
        # The first wire is the most significant bit of the operators, and Qiskit has the last there.
        circuit.append(channels(process, strength, place), [*reversed(wires)])

    for block in range(n_blocks):
        for wire in range(n_wires):
            first = 3 * (block * n_wires + wire)
            circuit.u(*parameters[first : first + 3], wire)
            for channel in noise.after_rotation:
                add(channel, block, wire, (wire,))
        if block == n_blocks - 1:
            continue
        first = n_angles + block * n_pairs
        couplings = parameters[first : first + n_pairs]
        for name, pair, wires in layer.gates:
            add_gates(circuit, [(name, () if pair is None else (couplings[pair],), wires)])
        for process in noise.after_entangler:
            on_pairs = isinstance(process, TwoWireDepolarizing)
            places = ansatz.pairs if on_pairs else [(wire,) for wire in range(n_wires)]
            for place, wires in enumerate(places):
                add(process, block, place, wires)
    return circuit


def misread_probabilities(noise: NoiseModel, n_wires: int) -> tuple[Array, Array]:
    """For each wire, that 0 is read as 1 and that 1 is read as 0."""
    error = noise.readout_error
    if isinstance(error, ReadoutError):
        return _of_wires(error.prob_meas1_prep0, n_wires), _of_wires(error.prob_meas0_prep1, n_wires)
    return (_of_wires(error, n_wires),) * 2


def _of_wires(strength: Number | Sequence[float], n_wires: int) -> Array:
    values: Array = torch.as_tensor(strength, dtype=torch.float64).detach().cpu().numpy()
    return np.broadcast_to(values, n_wires).copy()
