"""The map of one block on one wire: the quaternion of its rotations (`sqdr.gates`), which may be behind
a quarter turn, or with noise a transfer matrix.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from sqdr.noise import BlochMap, Number, TransferMatrix, stack


def measured_as_z(quaternions: Tensor, letter: str) -> Tensor:
    """Rotations (4, n_blocks, ...) behind which Z is what a letter is behind the given ones."""
    if letter == "Z":
        return quaternions
    *before, last = quaternions.unbind(1)
    w, x, y, z = (math.sqrt(0.5) * last).unbind(0)
    # About the axis Y by a negative angle, or about X by a positive one.
    turned = (w + y, x - z, y - w, z + x) if letter == "X" else (w - x, x + w, y - z, z + y)
    return torch.stack((*before, torch.stack(turned)), dim=1)


def transfer_matrices(quaternions: Tensor, noise: Tensor) -> Tensor:
    """Pauli transfer matrices of every block on every wire, in the order I, Z, X, Y.

    Args:
        quaternions (Tensor of shape (4, n_blocks, batch, n_wires)): rotations of each block.
        noise (Tensor): as `noise_of_matrices` or `general_noise` returns it.

    Returns:
        Tensor of shape (4, 4, n_blocks, batch, n_wires): entry [row, column, ...] is what the old
        expectation value of Pauli `column` contributes to the new one of Pauli `row`.
    """
    n_blocks = quaternions.shape[1]
    quaternions = math.sqrt(2) * quaternions
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
    of_wires = noise
    if is_general(noise):
        of_wires = noise.new_tensor([1, 1, 1, 0] * 2 * n_blocks).reshape(-1, 1, 1)
    scale_before, scale_after, shift_after = _scales_and_shift(of_wires, n_blocks)
    matrices = torch.unflatten(rotations, 0, (4, 4)) * (scale_after.unsqueeze(1) * scale_before)
    matrices = matrices + shift_after
    if is_general(noise):
        after, before = torch.unflatten(noise, 0, (2, 3, 4)).unbind(0)
        row = torch.stack((torch.ones_like(after[0, 0]), *[torch.zeros_like(after[0, 0])] * 3))
        after, before = (torch.cat((row.unsqueeze(0), rows)) for rows in (after, before))
        matrices = torch.einsum("ij...,jk...,kl...->il...", after, matrices, before)
    return matrices


def is_general(noise: Tensor) -> bool:
    """Whether it is of `general_noise`, not of `noise_of_matrices`."""
    return noise.dim() == 4


def noise_of_matrices(
    channels: BlochMap, entangler_channels: BlochMap, n_blocks: int, n_wires: int, like: Tensor
) -> Tensor:
    """The noise of every block, as `transfer_matrices` takes it.

    The noise after an entangling layer acts on one wire at a time: the block that follows takes it in.

    Args:
        channels (BlochMap): noise after the rotations of each block.
        entangler_channels (BlochMap): noise after each entangling layer.
        n_blocks, n_wires (ints): sizes.
        like (Tensor): of the dtype and device wanted.

    Returns:
        Tensor of shape (8 * n_blocks, batch or 1, n_wires): for each block the scales of Z, X and Y and
        the shift of Z before its rotations, then those after.
    """
    blocks = []
    for block in range(n_blocks):
        after = channels.in_block(block)
        before = entangler_channels.in_block(block - 1) if block > 0 else BlochMap()
        numbers = [(m.scale_z, m.scale_x, m.scale_y, m.shift_z) for m in (before, after)]
        blocks.append(stack(sum(numbers, ()), like))
    joined = stack(blocks, like)
    joined = joined.reshape(*(1,) * (4 - joined.dim()), *joined.shape)  # batch, wires, number, block
    return joined.permute(3, 2, 0, 1).flatten(0, 1).expand(-1, -1, n_wires)


def general_noise(
    channels: BlochMap | TransferMatrix,
    entangler_channels: BlochMap | TransferMatrix,
    n_blocks: int,
    n_wires: int,
    like: Tensor,
) -> Tensor:
    """Any noise of every block, as `transfer_matrices` takes it.

    Args:
        channels, entangler_channels, n_blocks, n_wires, like: as in `noise_of_matrices`.

    Returns:
        Tensor of shape (24, n_blocks, batch or 1, n_wires): the rows Z, X, Y of the transfer matrices
        after the rotations of each block, each with its columns I, Z, X, Y; then of those before.
    """
    after_rotation, after_entangler = (
        of_place.transfer_matrix() for of_place in (channels, entangler_channels)
    )
    afters = [after_rotation.in_block(block).matrix for block in range(n_blocks)]
    befores = [after_entangler.in_block(block).matrix for block in range(n_blocks - 1)]
    befores.insert(0, torch.eye(4, device="cpu"))
    tables = [[_in_order(matrix, like) for matrix in of_place] for of_place in (afters, befores)]
    sides = torch.broadcast_tensors(*map(_of_all_blocks, tables))  # type: ignore[no-untyped-call]
    rows = torch.cat([side[1:].flatten(0, 1) for side in sides])
    return rows.expand(-1, -1, -1, n_wires)


def pair_noise(
    between: Sequence[BlochMap | TransferMatrix],
    factors: Sequence[Number],
    n_blocks: int,
    n_pairs: int,
    like: Tensor,
) -> tuple[Tensor, Tensor]:
    """Noise on pairs after each entangling layer, and what acts on wires before each of them.

    Args:
        between (sequence of maps): acting on wires before the noise on pairs of the same place.
        factors (sequence of floats or Tensors): of the Pauli strings that are not II on a pair.
        n_blocks, n_pairs (ints): sizes.
        like (Tensor): of the dtype and device wanted.

    Returns:
        Tensors of shape (len(between), n_blocks - 1, batch or 1, n_wires or 1, 4, 4), in the order I,
        Z, X, Y, and (len(factors), n_blocks - 1, batch or 1, n_pairs).
    """
    layers = range(n_blocks - 1)
    of_maps = [
        [_in_order(m.transfer_matrix().in_block(b).matrix, like) for b in layers] for m in between
    ]
    maps = [_broadcast_stack(of_layers) for of_layers in of_maps]
    maps = [m.reshape(len(m), *(1,) * (5 - m.dim()), *m.shape[1:]) for m in maps]
    of_pairs = []
    for factor in factors:
        tensor = torch.as_tensor(factor, dtype=like.dtype, device=like.device)
        tensor = tensor.reshape(*(1,) * (3 - tensor.dim()), *tensor.shape)
        of_pairs.append(tensor[: n_blocks - 1].expand(n_blocks - 1, -1, n_pairs))
    return _broadcast_stack(maps), _broadcast_stack(of_pairs)


def _broadcast_stack(tensors: Sequence[Tensor]) -> Tensor:
    return torch.stack(torch.broadcast_tensors(*tensors))  # type: ignore[no-untyped-call]


def _in_order(matrix: Tensor, like: Tensor) -> Tensor:
    """A transfer matrix (..., 4, 4) in the order I, Z, X, Y instead of I, X, Y, Z."""
    order = [0, 3, 1, 2]
    return matrix[..., order, :][..., order].to(like.device, like.dtype)


def _of_all_blocks(tables: Sequence[Tensor]) -> Tensor:
    """Tables of each block, which broadcast to (batch, n_wires, 4, 4), as one with five axes.

    Returns:
        Tensor that broadcasts to (4, 4, n_blocks, batch, n_wires)
    """
    joined = stack(tables, tables[0])
    joined = joined.reshape(*(1,) * (5 - joined.dim()), *joined.shape)
    return joined.permute(2, 3, 4, 0, 1)


def _scales_and_shift(noise: Tensor, n_blocks: int) -> tuple[Tensor, Tensor, Tensor]:
    """What the noise makes of the rotations: factors of columns and of rows, and what is added.

    Returns:
        Tensors of shape (4, n_blocks, batch or 1, n_wires), twice, and of shape (4, 4, ...).
    """
    before, after = torch.unflatten(noise, 0, (n_blocks, 2, 4)).permute(1, 2, 0, 3, 4).unbind(0)
    none = torch.zeros_like(after[0])
    scale_after = torch.cat((none.unsqueeze(0), after[:3]))
    shift = torch.stack((none + 1, *(none,) * 3, after[3], *(none,) * 11))
    return before.roll(1, 0), scale_after, torch.unflatten(shift, 0, (4, 4))
