"""The rotations of a wire in a block as one gate: a quaternion, and the angles of that gate.

A quaternion (w, x, y, z) stands for w I - i (x X + y Y + z Z). It holds the rotation of a state and
that of a Bloch vector, and its product is cheap and real.
"""

from __future__ import annotations

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
        Tensor of shape (batch, n_blocks, n_wires, 4): unit quaternions.
    """
    return block_quaternions(angles, weights, ansatz.encoding, ansatz.rotation).permute(2, 1, 3, 0)


def block_quaternions(angles: Tensor, weights: Tensor, encoding: str, rotation: str) -> Tensor:
    """The rotations of every block on every wire: those of the data, then those of the weights.

    Args:
        angles (Tensor of shape (batch, n_wires, letters), or (n_blocks, batch, n_wires, letters)): in
            radians, around the axes of `encoding`.
        weights (Tensor of shape (n_blocks, n_wires, letters)): in radians, around those of `rotation`.
        encoding, rotation (str): axes in the order in which they act.

    Returns:
        Tensor of shape (4, n_blocks, batch, n_wires): unit quaternions.
    """
    n_blocks = len(weights)
    if encoding == rotation and angles.dim() == 3:  # at once, since small operations take their time
        both = word_quaternions(torch.cat((weights, angles)), encoding)
        of_weights, of_angles = both.tensor_split((n_blocks,), dim=1)
        of_angles = of_angles.unsqueeze(1)
    else:
        of_weights, of_angles = word_quaternions(weights, rotation), word_quaternions(angles, encoding)
        of_angles = of_angles if angles.dim() == 4 else of_angles.unsqueeze(1)
    w, x, y, z = of_weights.unbind(0)
    product_with = torch.stack((w, -x, -y, -z, x, w, -z, y, y, z, w, -x, z, -y, x, w))
    product_with = torch.unflatten(product_with, 0, (4, 4)).unsqueeze(3)
    return (product_with * of_angles).sum(1)


def word_quaternions(angles: Tensor, axes: str) -> Tensor:
    """Rotations by angles (Tensor of shape (..., letters)) around the axes of a word.

    Returns:
        Tensor of shape (4, ...)
    """
    if axes == "ZYZ":
        phi, theta, omega = angles.unbind(-1)
        halves = torch.stack((theta, omega + phi, omega - phi)) / 2
        cos_tilt, cos_sum, cos_difference = torch.cos(halves).unbind(0)
        sin_tilt, sin_sum, sin_difference = torch.sin(halves).unbind(0)
        entries = cos_tilt * cos_sum, -sin_tilt * sin_difference, sin_tilt * cos_difference
        return torch.stack((*entries, cos_tilt * sin_sum))
    cosines, sines = torch.cos(angles / 2).unbind(-1), torch.sin(angles / 2).unbind(-1)
    none = torch.zeros_like(cosines[0])
    turned = [none + 1, none, none, none]
    for axis, cos, sin in zip(axes, cosines, sines, strict=True):
        i = AXES.index(axis)
        about, ahead, behind = (1 + (i + k) % 3 for k in range(3))
        w, along, one, other = turned[0], turned[about], turned[ahead], turned[behind]
        turned[0], turned[about] = cos * w - sin * along, cos * along + sin * w
        turned[ahead], turned[behind] = cos * one - sin * other, cos * other + sin * one
    return torch.stack(turned)


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
