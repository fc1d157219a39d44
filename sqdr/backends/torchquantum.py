"""Batched statevectors on TorchQuantum."""

from typing import Any, ClassVar, cast

import torchquantum as tq
import torchquantum.functional as tqf
from torch import Tensor

from sqdr.circuit import Capability, ReuploadCircuit


class TorchQuantumCircuit(ReuploadCircuit):
    """A re-uploading circuit on TorchQuantum's batched statevectors, without noise.

    TorchQuantum computes in complex64, so float64 angles are rounded and results agree with the other
    backends to about 1e-5.

    Args:
        See `ReuploadCircuit`.
    """

    capabilities: ClassVar[frozenset[Capability]] = frozenset()

    def __init__(self, n_wires: int, n_blocks: int, **options: Any) -> None:
        super().__init__(n_wires, n_blocks, **options)
        self._measure = tq.MeasureAll(tq.PauliZ)

    def expectation_values(self, angles: Tensor, weights: Tensor) -> Tensor:
        state = tq.QuantumDevice(self.n_wires, bsz=len(angles), device=angles.device)
        data, trained = angles.float(), weights.float()
        for block in range(self.n_blocks):
            for wire in range(self.n_wires):
                tqf.rot(state, wires=wire, params=data[:, wire])
                tqf.rot(state, wires=wire, params=trained[block, wire : wire + 1])
            if block < self.n_blocks - 1:
                for pair in self.pairs:
                    tqf.cz(state, wires=list(pair))
        return cast(Tensor, self._measure(state))
