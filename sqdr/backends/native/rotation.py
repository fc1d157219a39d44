"""The rotations of one block on one wire, as unit quaternions.

A quaternion (w, x, y, z) stands for w I - i (x X + y Y + z Z). It holds the rotation of a state and
that of a Bloch vector, and its product is cheap and real.
"""

import torch
from torch import Tensor


def block_quaternions(angles: Tensor, weights: Tensor) -> Tensor:
    """Rot(weights) Rot(angles) of every block on every wire.

    Args:
        angles (Tensor of shape (batch, n_wires, 3)): in radians.
        weights (Tensor of shape (n_blocks, n_wires, 3)): in radians.

    Returns:
        Tensor of shape (n_blocks, batch, n_wires, 4): unit quaternions.
    """
    w1, x1, y1, z1 = _rot(angles)
    w2, x2, y2, z2 = _rot(weights.unsqueeze(1))
    return torch.stack(
        (
            w2 * w1 - x2 * x1 - y2 * y1 - z2 * z1,
            w2 * x1 + x2 * w1 + y2 * z1 - z2 * y1,
            w2 * y1 - x2 * z1 + y2 * w1 + z2 * x1,
            w2 * z1 + x2 * y1 - y2 * x1 + z2 * w1,
        ),
        dim=-1,
    )


def _rot(angles: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Rot(phi, theta, omega) = RZ(omega) RY(theta) RZ(phi) as (w, x, y, z)."""
    phi, theta, omega = (angles / 2).unbind(-1)
    cos, sin = torch.cos(theta), torch.sin(theta)
    return (
        cos * torch.cos(omega + phi),
        -sin * torch.sin(omega - phi),
        sin * torch.cos(omega - phi),
        cos * torch.sin(omega + phi),
    )
