"""A backend for sqdr: a statevector in operations of torch, which differentiates it."""

from typing import Any, ClassVar

import torch
from torch import Tensor

import sqdr


class StatevectorCircuit(sqdr.ReuploadCircuit):
    """A re-uploading circuit as a statevector.

    It needs no `__init__`, and says what it can: float64, but no noise, which sqdr then refuses.
    """

    capabilities: ClassVar[frozenset[Any]] = frozenset({"float64"})

    def expectation_values(self, angles: Tensor, weights: Tensor) -> Tensor:
        n, batch = self.n_wires, len(angles)
        first = torch.ones(batch, 1, dtype=angles.dtype.to_complex(), device=angles.device)
        # One axis for each wire, after that of the batch.
        state = torch.nn.functional.pad(first, (0, 2**n - 1)).reshape(batch, *(2,) * n)
        signs = torch.tensor([[1, 1], [1, -1]], device=angles.device)
        for block in range(self.n_blocks):
            for wire in range(n):
                gate = _rot(weights[block, wire]) @ _rot(angles[:, wire])
                before = state.movedim(wire + 1, 1)
                after = (gate @ before.reshape(batch, 2, -1)).reshape(before.shape)
                state = after.movedim(1, wire + 1)
            for pair in self.pairs if block < self.n_blocks - 1 else ():
                state = state * signs.reshape([2 if wire in pair else 1 for wire in range(n)])
        probabilities = (state * state.conj()).real
        of_bits = [probabilities.movedim(w + 1, 1).reshape(batch, 2, -1).sum(2) for w in range(n)]
        return torch.stack([zero - one for zero, one in (p.unbind(1) for p in of_bits)], dim=1)


def _rot(angles: Tensor) -> Tensor:
    """RZ(omega) RY(theta) RZ(phi) (Tensor of shape (..., 2, 2)) of angles (..., 3)."""
    phi, theta, omega = (angles / 2).unbind(-1)
    cos, sin = theta.cos() + 0j, theta.sin() + 0j
    together, apart = torch.exp(1j * (phi + omega)), torch.exp(1j * (phi - omega))
    entries = cos / together, -sin * apart, sin / apart, cos * together
    return torch.stack(entries, dim=-1).unflatten(-1, (2, 2))
