"""The reference: the circuit gate by gate on PennyLane's devices, simulated or real."""

import inspect
from typing import Any, ClassVar

import pennylane as qml
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from sqdr.circuit import Capability, ReuploadCircuit
from sqdr.noise import (
    AmplitudeDamping,
    BitFlip,
    Channel,
    Depolarizing,
    PhaseDamping,
    PhaseFlip,
)
from sqdr.validation import argument_error, check_integer

_OPERATIONS: dict[type[Channel], Any] = {
    BitFlip: qml.BitFlip,
    PhaseFlip: qml.PhaseFlip,
    Depolarizing: qml.DepolarizingChannel,
    AmplitudeDamping: qml.AmplitudeDamping,
    PhaseDamping: qml.PhaseDamping,
}

#: Bytes that the density matrices of one chunk may take, all intermediate ones of backpropagation
#: included.
_CHUNK_BYTES = 2**31


class PennyLaneCircuit(ReuploadCircuit):
    """A re-uploading circuit on a PennyLane device.

    Args:
        device (str or None): name of any PennyLane device. Default: "default.qubit" without noise and
            "default.mixed" with it. Noise needs "default.mixed".
        diff_method (str): how PennyLane differentiates. Default: "best", PennyLane's own choice.
        shots (int or None): measurements for each expectation value; PennyLane then differentiates by
            the parameter-shift rule. They are drawn from torch's default random generator where the
            device takes a seed. Default: None, exact.
        chunk_size (int or None): samples evaluated at a time where PennyLane broadcasts, which is on
            "default.qubit" and "default.mixed" without shots, by backpropagation. Default: with noise
            as many as fit in 2 GiB, otherwise all. Where there are several chunks, each is evaluated
            again in the backward pass instead of being kept in memory.
        See `ReuploadCircuit` for the others.
    """

    capabilities: ClassVar[frozenset[Capability]] = frozenset({"noise", "shots", "float64"})

    def __init__(
        self,
        n_wires: int,
        n_blocks: int,
        *,
        device: str | None = None,
        diff_method: str = "best",
        chunk_size: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(n_wires, n_blocks, **options)
        if self.noise and device not in (None, "default.mixed"):
            raise argument_error("device", 'be "default.mixed" with noise', f"is {device!r}")
        self.device_name = device or ("default.mixed" if self.noise else "default.qubit")
        self.diff_method = diff_method
        self.chunk_size = None if chunk_size is None else check_integer("chunk_size", chunk_size, 1)
        self._qnode: Any = self._new_qnode()

    def expectation_values(self, angles: Tensor, weights: Tensor) -> Tensor:
        if self._qnode is None or self.shots is not None:
            self._qnode = self._new_qnode()
        if not self._broadcasts:
            values = [self._evaluate(sample, weights) for sample in angles]
            return torch.stack(values)
        chunks = torch.split(angles, self._samples_in_chunk(len(angles)))
        if len(chunks) > 1 and torch.is_grad_enabled():
            values = [checkpoint(self._evaluate, c, weights, use_reentrant=False) for c in chunks]
        else:
            values = [self._evaluate(chunk, weights) for chunk in chunks]
        return torch.cat(values)

    def _evaluate(self, angles: Tensor, weights: Tensor) -> Tensor:
        """<Z> (..., n_wires) for angles (..., n_wires, 3), with one leading axis or none."""
        values = torch.stack(self._qnode(angles, weights), dim=-1)
        return values.reshape(*angles.shape[:-2], self.n_wires).to(angles.dtype)

    @property
    def _broadcasts(self) -> bool:
        """Whether a batch is evaluated, and differentiated, in one execution.

        PennyLane 0.45 does not differentiate a batch by parameter shifts or finite differences.
        """
        return (
            self.device_name in ("default.qubit", "default.mixed")
            and self.diff_method in ("best", "backprop")
            and self.shots is None
        )

    def _circuit(self, angles: Tensor, weights: Tensor) -> list[Any]:
        noise = self.noise
        for block in range(self.n_blocks):
            for wire in range(self.n_wires):
                qml.Rot(*angles[..., wire, :].unbind(-1), wires=wire)
                qml.Rot(*weights[block, wire].unbind(-1), wires=wire)
                if noise:
                    _apply(noise.after_rotation, wire)
            if block < self.n_blocks - 1:
                for pair in self.pairs:
                    qml.CZ(wires=pair)
                if noise:
                    for wire in range(self.n_wires):
                        _apply(noise.after_entangler, wire)
        if noise and noise.readout_error:
            for wire in range(self.n_wires):
                qml.BitFlip(noise.readout_error, wires=wire)
        return [qml.expval(qml.PauliZ(wire)) for wire in range(self.n_wires)]

    def _new_qnode(self) -> Any:
        options: dict[str, Any] = {}
        if self.shots is not None and _takes_seed(self.device_name):
            options["seed"] = int(torch.randint(2**31, ()))
        device = qml.device(self.device_name, wires=self.n_wires, **options)
        return qml.QNode(
            self._circuit, device, interface="torch", diff_method=self.diff_method, shots=self.shots
        )

    def _samples_in_chunk(self, batch: int) -> int:
        if self.chunk_size is not None:
            return self.chunk_size
        if not self.noise:
            return batch
        n_gates = self.n_blocks * self.n_wires * (3 + len(self.noise.after_rotation))
        bytes_per_sample: int = 16 * 4**self.n_wires * n_gates
        return max(1, _CHUNK_BYTES // bytes_per_sample)

    def __getstate__(self) -> dict[str, Any]:
        # A QNode holds a device and cannot be copied or pickled; the copy makes its own.
        return self.__dict__ | {"_qnode": None}


def _apply(channels: Any, wire: int) -> None:
    for channel in channels:
        (strength,) = vars(channel).values()
        _OPERATIONS[type(channel)](strength, wires=wire)


def _takes_seed(device: str) -> bool:
    return "seed" in inspect.signature(qml.plugin_devices[device].load()).parameters
