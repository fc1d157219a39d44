"""Product states: circuits in which no more than one CZ layer acts, in closed form.

Cost: O(n_wires) in time and memory, for any pairs, with noise. The derivation is in
docs/causal-cone.md.
"""

import torch
from torch import Tensor

from sqdr.circuit import Pairs
from sqdr.noise import BlochMap


def unentangled(quaternions: Tensor, channels: BlochMap, entangler_channels: BlochMap) -> Tensor:
    """<Z> without a CZ, for any number of blocks.

    Args:
        quaternions (Tensor of shape (n_blocks, batch, n_wires, 4)): rotations of each block.
        channels (BlochMap): noise after the rotations of each block.
        entangler_channels (BlochMap): noise after each CZ layer, here an empty one.

    Returns:
        Tensor of shape (batch, n_wires)
    """
    x, y, z = after_first_block(quaternions[0], channels)
    for quaternion in quaternions[1:]:
        x, y, z = _apply(entangler_channels, x, y, z)
        x, y, z = _apply(channels, *_rotate(quaternion, x, y, z))
    return z


def two_blocks(
    quaternions: Tensor, channels: BlochMap, entangler_channels: BlochMap, neighbours: Tensor
) -> Tensor:
    """<Z> of two blocks with one CZ layer between them.

    CZ turns X_i into X_i times Z of every neighbour of i, likewise Y_i, and leaves Z_i. The state is
    a product there, so the expectation values multiply.

    Args:
        quaternions (Tensor of shape (2, batch, n_wires, 4)): rotations of each block.
        channels (BlochMap): noise after the rotations of each block.
        entangler_channels (BlochMap): noise after the CZ layer.
        neighbours (Tensor of shape (max_degree, n_wires)): wires each wire shares a CZ with; n_wires
            where there are fewer.

    Returns:
        Tensor of shape (batch, n_wires)
    """
    x, y, z = after_first_block(quaternions[0], channels)
    padded = torch.cat((z, torch.ones_like(z[:, :1])), dim=1)
    for wires in neighbours:
        z_neighbour = padded[:, wires]
        x, y = x * z_neighbour, y * z_neighbour
    x, y, z = _apply(entangler_channels, x, y, z)
    qw, qx, qy, qz = quaternions[1].unbind(-1)
    row_x, row_y = 2 * (qx * qz - qw * qy), 2 * (qy * qz + qw * qx)
    row_z = 1 - 2 * (qx * qx + qy * qy)
    return channels.scale_z * (row_x * x + row_y * y + row_z * z) + channels.shift_z


def neighbour_table(pairs: Pairs, n_wires: int) -> Tensor:
    """Neighbours of each wire (integer Tensor of shape (max_degree, n_wires)), padded by n_wires."""
    neighbours: list[list[int]] = [[] for _ in range(n_wires)]
    for first, second in pairs:
        neighbours[first].append(second)
        neighbours[second].append(first)
    degree = max(map(len, neighbours))
    table = [wires + [n_wires] * (degree - len(wires)) for wires in neighbours]
    return torch.tensor(table, dtype=torch.long).reshape(n_wires, degree).T.contiguous()


def after_first_block(quaternion: Tensor, channels: BlochMap) -> tuple[Tensor, Tensor, Tensor]:
    """Bloch vectors after the rotations and channels of the first block, from |0> on every wire."""
    w, x, y, z = quaternion.unbind(-1)
    return _apply(channels, 2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y))


def _rotate(quaternion: Tensor, x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Bloch vectors (x, y, z) rotated by a quaternion q: v + 2 q_w (q × v) + 2 q × (q × v)."""
    qw, qx, qy, qz = quaternion.unbind(-1)
    cx, cy, cz = 2 * (qy * z - qz * y), 2 * (qz * x - qx * z), 2 * (qx * y - qy * x)
    return (
        x + qw * cx + qy * cz - qz * cy,
        y + qw * cy + qz * cx - qx * cz,
        z + qw * cz + qx * cy - qy * cx,
    )


def _apply(channels: BlochMap, x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Bloch vectors after channels."""
    return channels.scale_x * x, channels.scale_y * y, channels.scale_z * z + channels.shift_z
