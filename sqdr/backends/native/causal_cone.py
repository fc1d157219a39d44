"""Circuits on a chain or ring of wires in the causal cone of each <Z>, for any number of blocks.

<Z_i> depends on the wires within n_blocks - 1 of i and on no other. It is a sum over control bits: the
control bit of a wire in a CZ layer is 0 where the wire's Pauli is I or Z, 1 where it is X or Y. CZ
keeps control bits and multiplies each side by Z if the other side's bit is set, so a wire needs to
know of its neighbours only their control bits. The sum is done from both ends of the cone inwards, for
all i at once. Cost: about n_wires * 2 ** (3 * n_blocks - 5) multiply-adds per sample, times a small
constant, with or without noise. The derivation is in docs/causal-cone.md.

Axes of the tensors here: control bits in front, each of size 2, (batch, wires) at the end.
"""

from typing import final

import torch
from torch import Tensor

from sqdr.backends.native.autograd import Evaluation
from sqdr.backends.native.method import MatrixMethod, Shape


@final
class CausalCone(MatrixMethod):
    """A sum over the control bits of the wires that each <Z> depends on."""

    name = "causal-cone"

    @staticmethod
    def can_evaluate(shape: Shape) -> bool:
        # On a ring no cone may meet itself.
        is_ring = shape.topology == "ring" and 2 * shape.n_blocks - 1 <= shape.n_wires
        return shape.n_blocks > 1 and (shape.topology == "chain" or is_ring)

    def multiply_adds(self) -> int:
        n, blocks = self.shape.n_wires, self.shape.n_blocks
        # By kernels eight times what it would be if these were as fast as those of a whole state.
        return n * (64 * blocks + (1 << 3 * blocks))

    def numbers_per_sample(self, needs_gradient: bool) -> int:
        n, blocks = self.shape.n_wires, self.shape.n_blocks
        return n * (64 * blocks + (1 << 3 * blocks - (3 if needs_gradient else 4)))

    def kernels(self) -> Evaluation:
        from sqdr.backends.native.kernels.causal_cone import CausalConeByKernels

        return CausalConeByKernels(self)

    def values_of_matrices(self, matrices: Tensor) -> Tensor:
        return causal_cone(matrices, ring=self.shape.topology == "ring")


def causal_cone(matrices: Tensor, *, ring: bool) -> Tensor:
    """<Z> of every wire of a chain or ring.

    Args:
        matrices (Tensor of shape (4, 4, n_blocks, batch, n_wires)): as `transfer_matrices` returns
            them, for at least two blocks; on a ring, 2 * n_blocks - 1 <= n_wires, so that no cone
            meets itself.
        ring (bool): whether the last wire is next to the first.

    Returns:
        Tensor of shape (batch, n_wires)
    """
    n_blocks, n_wires = matrices.shape[2], matrices.shape[-1]
    matrices = _widen(matrices, n_blocks - 1, ring)
    first, *middle, last = matrices.unbind(2)
    state = first[:, 0] + first[:, 1]  # |0> has <I> = <Z> = 1
    # The outermost wires of the left and the right half of each cone, side by side.
    halves = _at_distance(state, n_blocks - 1, n_wires)
    for index, matrix in enumerate(middle, start=1):
        state = _advance(state[..., 1:-1], matrix[..., index:-index])
        halves = _absorb(_at_distance(state, n_blocks - 1 - index, n_wires), halves)
    centre = _z_row(state[..., 1:-1], last[1, ..., n_blocks - 1 : 1 - n_blocks])
    left, right = halves.unbind(-2)
    return _join(centre, left, right)


def _widen(matrices: Tensor, width: int, ring: bool) -> Tensor:
    """Add `width` wires to both ends, so that the cone of every wire is whole.

    On a ring these are the wires from the other end. On a chain they stay in |0>, where I and Z are
    both 1 and X and Y are 0, so they contribute a factor 1.
    """
    if ring:
        return torch.cat((matrices[..., -width:], matrices, matrices[..., :width]), dim=-1)
    identity = torch.eye(4, dtype=matrices.dtype, device=matrices.device).reshape(4, 4, 1, 1, 1)
    idle = identity.expand(*matrices.shape[:-1], width)
    return torch.cat((idle, matrices, idle), dim=-1)


def _at_distance(state: Tensor, distance: int, n_wires: int) -> Tensor:
    """I and Z of the wires at a distance from each wire, on the left and on the right.

    A wire away from the centre is traced out at the end of its part of the cone: it is left with I, or
    Z if its inner neighbour's control bit is set there.

    Args:
        state (Tensor of shape (4, ..., batch, n_wires + 2 * distance))

    Returns:
        Tensor of shape (2, ..., batch, 2, n_wires): the inner neighbour's bit; then left and right.
    """
    return state[:2].unfold(-1, n_wires, 2 * distance)


def _advance(state: Tensor, matrix: Tensor) -> Tensor:
    """Take every wire through a CZ layer and the block after it.

    Args:
        state (Tensor of shape (4, *history, batch, wires)): expectation values of I, Z, X, Y.
        matrix (Tensor of shape (4, 4, batch, wires)): transfer matrix of the block.

    Returns:
        Tensor of shape (4, 2, 2, *history, batch, wires): first the Pauli, then the wire's control
        bit in the CZ layer, then the parity of its neighbours' control bits there.
    """
    i, z, x, y = state.unbind(0)
    # At even parity CZ leaves the wire alone. At odd parity it swaps I with Z and turns (X, Y) into
    # (Y, -X). Axes: which of the two Paulis that share a control bit, control bit, parity.
    before = torch.unflatten(torch.stack((i, z, x, y, z, i, y, -x)), 0, (2, 2, 2))
    history = state.dim() - 3
    after = torch.unflatten(matrix, 1, (2, 2)).transpose(1, 2)
    after = after.reshape(4, 2, 2, *(1,) * (history + 1), *matrix.shape[-2:])
    return torch.addcmul(after[:, 0] * before[0], after[:, 1], before[1])


def _z_row(state: Tensor, row: Tensor) -> Tensor:
    """Take every wire through the last CZ layer and the last block, to Z.

    No neighbour has its bit set in this layer, since all but the centre are traced out after it.

    Args:
        state (Tensor of shape (4, *history, batch, wires)): expectation values of I, Z, X, Y.
        row (Tensor of shape (4, batch, wires)): Z row of the transfer matrix of the last block.

    Returns:
        Tensor of shape (2, *history, batch, wires): first the wire's control bit in the last layer.
    """
    row = row.reshape(4, *(1,) * (state.dim() - 3), *row.shape[-2:])
    return torch.unflatten(row * state, 0, (2, 2)).sum(1)


def _absorb(wire: Tensor, outer: Tensor) -> Tensor:
    """Join a wire to the part of its half that lies outside of it.

    Args:
        wire (Tensor of shape (2, 2, 2, *(own bit, parity), batch, 2, wires)): its I and Z, as from
            `_at_distance`. In front, the inner neighbour's bit in the last layer that matters; then for
            each layer before it, the latest first, the wire's own bit and its neighbours' parity.
        outer (Tensor of shape (2, *(own bit, bit of `wire`), batch, 2, wires)): all wires farther out,
            as from this function; "own" is the outer neighbour of `wire`.

    Returns:
        Tensor of shape (2, *(own bit, bit of the inner neighbour), batch, 2, wires)
    """
    n_pairs = (outer.dim() - 4) // 2
    # In the wire's last two layers the outer neighbour has no bit set; parity is the inner one's bit.
    outer = _repeat(_repeat(_by_parity(outer, n_pairs), 0), 2)
    for pair in range(n_pairs):
        wire = _repeat(wire, 4 + 3 * pair)
    return _sum_over_parity(wire * outer, 5, n_pairs)


def _join(centre: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Join both halves to the wire in the centre.

    Args:
        centre (Tensor of shape (2, *(own bit, parity), batch, wires))
        left (Tensor of shape (2, *(own bit, bit of the centre), batch, wires)): as from `_absorb`.
        right (Tensor of shape (2, *(own bit, bit of the centre), batch, wires)): likewise.

    Returns:
        Tensor of shape (batch, wires)
    """
    n_pairs = (left.dim() - 3) // 2
    for pair in range(n_pairs):
        centre = _repeat(centre, 2 + 3 * pair)
        left = left.transpose(1 + 2 * pair, 2 + 2 * pair)
    joined = _sum_over_parity(centre * _by_parity(right, n_pairs), 3, n_pairs)
    return (joined * left).flatten(0, -3).sum(0)


def _repeat(tensor: Tensor, axis: int) -> Tensor:
    """Insert an axis of size 2, along which the values repeat.

    One axis at a time: the gradient of a product broadcast over several axes at once is a sum over axes
    that do not touch, which is some twenty times slower.
    """
    return tensor.unsqueeze(axis).expand(*tensor.shape[:axis], 2, *tensor.shape[axis:])


def _sum_over_parity(product: Tensor, first: int, n_pairs: int) -> Tensor:
    """Sum over every third axis from `first` on, `n_pairs` in all; one at a time, as in `_repeat`."""
    for pair in reversed(range(n_pairs)):
        product = product.sum(first + 3 * pair)
    return product


def _by_parity(outer: Tensor, n_pairs: int) -> Tensor:
    """Sort one neighbour's contributions by the parity of its bits and the other neighbour's.

    Two bits set turn (X, Y) into (-X, -Y): a factor -1 where the wire's own bit is set as well.

    Args:
        outer (Tensor of shape (2, *(bit of the neighbour, own bit), ...))

    Returns:
        Tensor of shape (2, *(own bit, bit of the other neighbour, parity), ...)
    """
    for axis in range(2 * n_pairs - 1, 0, -2):
        off_0, off_1, on_0, on_1 = outer.flatten(axis, axis + 1).unbind(axis)
        outer = torch.stack((off_0, on_0, on_0, off_0, off_1, on_1, -on_1, off_1), dim=axis)
        outer = torch.unflatten(outer, axis, (2, 2, 2))
    return outer
