"""Noiseless circuits of any number of blocks and any pairs: the whole statevector."""

from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor

from sqdr.backends.native.autograd import Evaluation, Tensors
from sqdr.backends.native.method import Method, Shape, readout_tensors, with_readout
from sqdr.backends.native.rotation import block_quaternions
from sqdr.backends.native.state import bit_signs, on_every_wire, smaller_circuit
from sqdr.circuit import Pairs
from sqdr.noise import NoiseModel


@final
class Statevector(Method):
    """All amplitudes, advanced by each block."""

    name = "dense"

    @staticmethod
    def can_evaluate(shape: Shape) -> bool:
        return shape.is_pure

    def multiply_adds(self) -> int:
        n, blocks = self.shape.n_wires, self.shape.n_blocks
        return n * blocks * 8 << n

    def numbers_per_sample(self, needs_gradient: bool) -> int:
        n, blocks = self.shape.n_wires, self.shape.n_blocks
        # Without a gradient: the state, its copies and the tables.
        return (n * blocks if needs_gradient else 6) << n + 1

    def numbers_per_sample_by_kernels(self) -> int:
        return super().numbers_per_sample_by_kernels() + (3 << self.shape.n_wires)

    def smaller_circuit(self) -> tuple[str, str]:
        return smaller_circuit(self.shape)

    def tables(self) -> Mapping[str, Tensor]:
        n = self.shape.n_wires
        return {"cz_signs": cz_signs(self.shape.pairs, n), "z_signs": z_signs(-(-n // 2))}

    def noise_tensors(self, noise: NoiseModel, like: Tensor) -> Tensors:
        return like.new_empty(0, 1, self.shape.n_wires), *readout_tensors(noise, like)

    def kernels(self) -> Evaluation:
        from sqdr.backends.native.kernels.statevector import StatevectorByKernels

        return StatevectorByKernels(self)

    def values(self, angles: Tensor, weights: Tensor, *noise: Tensor) -> Tensor:
        tables = self.tables_on(angles.device).items()
        signs = {name: table.to(angles.dtype) for name, table in tables}
        return with_readout(statevector(block_quaternions(angles, weights), **signs), noise[1:])


def statevector(quaternions: Tensor, cz_signs: Tensor, z_signs: Tensor) -> Tensor:
    """<Z> of a noiseless circuit.

    Args:
        quaternions (Tensor of shape (4, n_blocks, batch, n_wires)): rotations of each block.
        cz_signs (Tensor of shape (2 ** n_wires, 1)): diagonal of a CZ layer.
        z_signs (Tensor of shape (2 ** k, k)): diagonals of Z on each of k wires, half of all or, where
            their number is odd, one more.

    Returns:
        Tensor of shape (batch, n_wires)
    """
    w, x, y, z = quaternions.unbind(0)
    # U = [[w - iz, -y - ix], [y - ix, w + iz]] on (Re 0, Im 0, Re 1, Im 1).
    gates = torch.stack((w, z, -y, x, -z, w, -x, -y, y, x, w, -z, -x, y, z, w), dim=-1)
    gates = torch.unflatten(gates, -1, (4, 4))
    state = quaternions.new_zeros(w.shape[1], len(cz_signs), 2)
    state[:, 0, 0] = 1
    for block, gate in enumerate(gates):
        if block > 0:
            state = state * cz_signs
        state = on_every_wire(state, gate)
    # The wires in two halves: diagonals over all states would take more memory than the state.
    probabilities = torch.unflatten(state.square().sum(-1), -1, (-1, len(z_signs)))
    n_first = w.shape[2] - z_signs.shape[1]
    of_first = probabilities.sum(2) @ z_signs[: 2**n_first, z_signs.shape[1] - n_first :]
    return torch.cat((of_first, probabilities.sum(1) @ z_signs), dim=-1)


def cz_signs(pairs: Pairs, n_wires: int) -> Tensor:
    """Diagonal of a CZ layer: shape (2 ** n_wires, 1)."""
    states = torch.arange(2**n_wires)
    negative = torch.zeros_like(states)
    for first, second in pairs:
        negative ^= (states >> (n_wires - 1 - first)) & (states >> (n_wires - 1 - second))
    return bit_signs(negative).unsqueeze(-1)


def z_signs(n_wires: int) -> Tensor:
    """Diagonals of Z on each wire: shape (2 ** n_wires, n_wires)."""
    places = torch.arange(n_wires - 1, -1, -1)
    return bit_signs(torch.arange(2**n_wires).unsqueeze(-1) >> places)
