"""sqdr's own engine: exact, batched, differentiable, with noise, needing torch alone."""

from typing import Any, ClassVar, Literal

from torch import Tensor

from sqdr.backends.native import bloch, dense
from sqdr.backends.native.rotation import block_quaternions
from sqdr.circuit import Capability, ReuploadCircuit
from sqdr.noise import BlochMap, compose


class NativeCircuit(ReuploadCircuit):
    """A re-uploading circuit on sqdr's own engine.

    Up to two blocks, and any number without entanglement, take a closed form whose cost is linear in
    the number of wires; everything else takes the dense method. Both are exact, with noise.

    Args:
        See `ReuploadCircuit`.
    """

    capabilities: ClassVar[frozenset[Capability]] = frozenset({"noise", "float64"})

    def __init__(self, n_wires: int, n_blocks: int, **options: Any) -> None:
        super().__init__(n_wires, n_blocks, **options)
        table = bloch.neighbour_table(self.pairs, self.n_wires)
        self._neighbours: Tensor
        self.register_buffer("_neighbours", table, persistent=False)

    @property
    def method(self) -> Literal["closed-form", "dense"]:
        """How the circuit is evaluated."""
        return "closed-form" if self.n_blocks <= 2 or not self.pairs else "dense"

    def expectation_values(self, angles: Tensor, weights: Tensor) -> Tensor:
        quaternions = block_quaternions(angles, weights)
        noise = self.noise
        channels = compose(noise.after_rotation) if noise else BlochMap()
        entangler_channels = compose(noise.after_entangler) if noise else BlochMap()
        if self.method == "dense":
            if noise:
                values = dense.pauli_vector(quaternions, channels, entangler_channels, self.pairs)
            else:
                values = dense.statevector(quaternions, self.pairs)
        elif self.n_blocks == 2:
            values = bloch.two_blocks(quaternions, channels, entangler_channels, self._neighbours)
        else:
            values = bloch.unentangled(quaternions, channels, entangler_channels)
        return noise.readout_scale * values if noise else values
