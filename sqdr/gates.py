"""The rotations of a wire in a block as one gate, and the angles of that gate."""

from __future__ import annotations

from functools import reduce

import torch
from torch import Tensor

from sqdr.ansatz import AXES, Ansatz


def turns_of(ansatz: Ansatz, angles: Tensor, weights: Tensor) -> Tensor:
    """What data and weights together make of each wire in each block.

    Args:
        ansatz (Ansatz): of the circuit.
        angles (Tensor of shape (batch, n_wires, letters), or (n_blocks, batch, n_wires, letters) where
            they differ between blocks): of the data, in radians.
        weights (Tensor of shape (n_blocks, n_wires, letters)): in radians.

    Returns:
        Tensor of shape (batch, n_blocks, n_wires, 4): unit quaternions (w, x, y, z), which stand for
        the gates w I - i (x X + y Y + z Z).
    """
    of_data = turns_by(ansatz.encoding, angles)
    if not ansatz.differs_between_blocks:
        of_data = of_data.unsqueeze(0)
    both = then(of_data, turns_by(ansatz.rotation, weights).unsqueeze(1))
    return both.transpose(0, 1)


def turns_by(axes: str, angles: Tensor) -> Tensor:
    """Rotations around the axes of a word, from its first letter on, as quaternions (..., 4).

    Args:
        axes (str): letters X, Y and Z.
        angles (Tensor of shape (..., letters)): in radians.
    """
    halves = (angles / 2).unbind(-1)
    single = [
        torch.stack(
            [
                half.cos(),
                *(half.sin() if axis == letter else torch.zeros_like(half) for letter in AXES),
            ],
            dim=-1,
        )
        for axis, half in zip(axes, halves, strict=True)
    ]
    return reduce(then, single)


def then(earlier: Tensor, later: Tensor) -> Tensor:
    """The quaternion (..., 4) of one gate and another after it."""
    a, b, c, d = later.unbind(-1)
    w, x, y, z = earlier.unbind(-1)
    return torch.stack(
        (
            a * w - b * x - c * y - d * z,
            a * x + b * w + c * z - d * y,
            a * y - b * z + c * w + d * x,
            a * z + b * y - c * x + d * w,
        ),
        dim=-1,
    )


def angles_of_u3(turns: Tensor) -> Tensor:
    """Angles theta, phi and lambda of the gate u3, RZ(phi) RY(theta) RZ(lambda) up to a phase.

    Args:
        turns (Tensor of shape (..., 4)): unit quaternions.

    Returns:
        Tensor of shape (..., 3): in radians; theta is in [0, pi].
    """
    w, x, y, z = turns.unbind(-1)
    theta = 2 * torch.atan2(torch.hypot(x, y), torch.hypot(w, z))
    kept, moved = torch.atan2(-z, w), torch.atan2(-x, y)  # phases of the entries 00 and 10
    return torch.stack((theta, moved - kept, -moved - kept), dim=-1)
