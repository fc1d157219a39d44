"""The map of one block on one wire: its rotations as quaternions, or with noise as a transfer matrix.

A quaternion (w, x, y, z) stands for w I - i (x X + y Y + z Z). It holds the rotation of a state and
that of a Bloch vector, and its product is cheap and real.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from sqdr.noise import BlochMap, Number, TransferMatrix, stack


def block_quaternions(angles: Tensor, weights: Tensor) -> Tensor:
    """Rot(weights) Rot(angles) of every block on every wire.

    Args:
        angles (Tensor of shape (batch, n_wires, 3)): in radians.
        weights (Tensor of shape (n_blocks, n_wires, 3)): in radians.

    Returns:
        Tensor of shape (4, n_blocks, batch, n_wires): unit quaternions.
    """
    n_blocks = len(weights)
    phi, theta, omega = torch.cat((weights, angles)).unbind(-1)
    halves = torch.stack((theta, omega + phi, omega - phi)) / 2
    cos_tilt, cos_sum, cos_difference = torch.cos(halves).unbind(0)
    sin_tilt, sin_sum, sin_difference = torch.sin(halves).unbind(0)
    quaternions = torch.stack(
        (cos_tilt * cos_sum, -sin_tilt * sin_difference, sin_tilt * cos_difference, cos_tilt * sin_sum)
    )
    of_weights, of_angles = quaternions.tensor_split((n_blocks,), dim=1)
    w, x, y, z = of_weights.unbind(0)
    product_with = torch.stack((w, -x, -y, -z, x, w, -z, y, y, z, w, -x, z, -y, x, w))
    product_with = torch.unflatten(product_with, 0, (4, 4)).unsqueeze(3)
    return (product_with * of_angles.unsqueeze(1)).sum(1)


def transfer_matrices(
    angles: Tensor, weights: Tensor, scale: Tensor, offset: Tensor, *sides: Tensor
) -> Tensor:
    """Pauli transfer matrices of every block on every wire, in the order I, Z, X, Y.

    Args:
        angles (Tensor of shape (batch, n_wires, 3)): in radians.
        weights (Tensor of shape (n_blocks, n_wires, 3)): in radians.
        scale, offset (Tensors): the noise, as `noise_of_matrices` returns it.
        *sides (Tensors): where noise is no `BlochMap`, two more, as `general_noise` returns it.

    Returns:
        Tensor of shape (4, 4, n_blocks, batch, n_wires): entry [row, column, ...] is what the old
        expectation value of Pauli `column` contributes to the new one of Pauli `row`.
    """
    quaternions = math.sqrt(2) * block_quaternions(angles, weights)
    w, xyz = quaternions[:1], quaternions[1:]
    even, odd = xyz * xyz.roll(-1, 0), w * xyz.roll(1, 0)
    (r_yx, r_zy, r_xz), (r_xy, r_yz, r_zx) = even + odd, even - odd
    r_xx, r_yy, r_zz = xyz * xyz + (w * w - 1)
    none = torch.zeros_like(r_zz)
    # The I column holds what noise with a shift in Z, folded in from before the rotation, becomes.
    rotations = torch.stack(
        (
            *(none, none, none, none),
            *(r_zz, r_zz, r_zx, r_zy),
            *(r_xz, r_xz, r_xx, r_xy),
            *(r_yz, r_yz, r_yx, r_yy),
        )
    )
    matrices = torch.addcmul(offset, torch.unflatten(rotations, 0, (4, 4)), scale)
    if sides:
        after, before = sides
        matrices = torch.einsum("ij...,jk...,kl...->il...", after, matrices, before)
    return matrices


def noise_of_matrices(
    channels: BlochMap, entangler_channels: BlochMap, n_blocks: int, like: Tensor
) -> Sequence[Tensor]:
    """The noise of every block, as `transfer_matrices` takes it.

    The noise after a CZ layer acts on one wire at a time: the block that follows takes it in.

    Args:
        channels (BlochMap): noise after the rotations of each block.
        entangler_channels (BlochMap): noise after each CZ layer.
        n_blocks (int): number of blocks.
        like (Tensor): of the dtype and device wanted.

    Returns:
        scale and offset (Tensors that broadcast to (4, 4, n_blocks, batch, n_wires)): factors of the
        entries of the rotations, and what is added to them.
    """
    scales, offsets = [], []
    for block in range(n_blocks):
        after = channels.in_block(block)
        before = entangler_channels.in_block(block - 1) if block > 0 else BlochMap()
        rows = stack((0.0, after.scale_z, after.scale_x, after.scale_y), like)
        columns = stack((before.shift_z, before.scale_z, before.scale_x, before.scale_y), like)
        scales.append(rows.unsqueeze(-1) * columns.unsqueeze(-2))
        offset = stack((1.0, *(0.0,) * 3, after.shift_z, *(0.0,) * 11), like)
        offsets.append(torch.unflatten(offset, -1, (4, 4)))
    return _of_all_blocks(scales), _of_all_blocks(offsets)


def general_noise(
    channels: BlochMap | TransferMatrix,
    entangler_channels: BlochMap | TransferMatrix,
    n_blocks: int,
    readout_scale: Number,
    like: Tensor,
) -> Sequence[Tensor]:
    """Any noise of every block, as `transfer_matrices` takes it, readout error included.

    Args:
        channels, entangler_channels, n_blocks, like: as in `noise_of_matrices`.
        readout_scale (float or Tensor that broadcasts to (n_wires,)): factor of every <Z>.

    Returns:
        scale and offset of no noise, and the matrices (Tensors that broadcast to
        (4, 4, n_blocks, batch, n_wires)) after and before the rotations of each block.
    """
    order = [0, 3, 1, 2]  # I, Z, X, Y of I, X, Y, Z
    after_rotation, after_entangler = (
        of_place.transfer_matrix() for of_place in (channels, entangler_channels)
    )
    afters = [after_rotation.in_block(block).matrix for block in range(n_blocks)]
    befores = [after_entangler.in_block(block).matrix for block in range(n_blocks - 1)]
    befores.insert(0, torch.eye(4, device="cpu"))
    scales = stack((1.0, *(readout_scale,) * 3), like).unsqueeze(-1)
    tables = [
        [matrix[..., order, :][..., order].to(like.device, like.dtype) for matrix in of_place]
        for of_place in (afters, befores)
    ]
    tables[0][-1] = tables[0][-1] * scales
    none = noise_of_matrices(BlochMap(), BlochMap(), n_blocks, like)
    return *none, *(_of_all_blocks(table) for table in tables)


def _of_all_blocks(tables: Sequence[Tensor]) -> Tensor:
    """Tables of each block, which broadcast to (batch, n_wires, 4, 4), as one with five axes.

    Returns:
        Tensor that broadcasts to (4, 4, n_blocks, batch, n_wires)
    """
    joined = stack(tables, tables[0])
    joined = joined.reshape(*(1,) * (5 - joined.dim()), *joined.shape)
    return joined.permute(2, 3, 4, 0, 1)
