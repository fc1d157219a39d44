"""Circuits on a chain or ring of wires in the causal cone of each <Z>, for any number of blocks.

<Z_i> depends on the wires within n_blocks - 1 of i and on no other. It is a sum over control bits: the
control bit of a wire in a CZ layer is 0 where the wire's Pauli is I or Z, 1 where it is X or Y. CZ
keeps control bits and multiplies each side by Z if the other side's bit is set, so a wire needs to
know of its neighbours only their control bits. The sum is done from both ends of the cone inwards, for
all i at once. Cost: about n_wires * 2 ** (3 * n_blocks - 5) multiply-adds per sample, times a small
constant, with or without noise. The derivation is in docs/causal-cone.md.

Axes of the tensors here: control bits in front, each of size 2, (batch, wires) at the end.
"""

from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor

from sqdr.ansatz import Pairs
from sqdr.backends.native.autograd import Evaluation
from sqdr.backends.native.method import MatrixMethod, Shape, of_words


@final
class CausalCone(MatrixMethod):
    """A sum over the control bits of the wires that each <Z> depends on."""

    name = "causal-cone"

    @staticmethod
    def problem(shape: Shape) -> str | None:
        if shape.n_blocks < 2:
            return "there is one block"
        if shape.n_pair_noises:
            return "noise acts on pairs"
        if shape.most_factors > 1:
            return "an observable is a product of wires"
        if shape.topology == "ring" and 2 * shape.n_blocks - 1 > shape.n_wires:
            return "the cone of a wire meets itself on the ring"
        if shape.topology not in ("chain", "ring"):
            return "the pairs are no chain or ring"
        return None

    def multiply_adds(self) -> int:
        n, blocks = self.shape.n_wires, self.shape.n_blocks
        # By kernels eight times what it would be if these were as fast as those of a whole state.
        return n * (64 * blocks + (self._more << 3 * blocks))

    def numbers_per_sample(self, needs_gradient: bool) -> int:
        n, blocks = self.shape.n_wires, self.shape.n_blocks
        return n * (64 * blocks + (self._more << 3 * blocks - (3 if needs_gradient else 4)))

    @property
    def _more(self) -> int:
        """How many times as much as <Z> behind CZ takes."""
        return len(self.shape.letters) * (4 if self.shape.has_couplings else 1)

    def tables(self) -> Mapping[str, Tensor]:
        tables = self.shape.letter_tables()
        if self.shape.has_couplings:
            tables["pair_of_wire"] = pair_of_wire(self.shape.pairs, self.shape.n_wires)
        return tables

    def kernels(self, has_general_noise: bool = False) -> Evaluation | None:  # noqa: ARG002
        from sqdr.backends.native.kernels.causal_cone import CausalConeByKernels

        return CausalConeByKernels(self)

    def values_of_matrices(self, matrices: Tensor, couplings: Tensor, *_: Tensor) -> Tensor:
        tables, ring = self.tables_on(matrices.device), self.shape.topology == "ring"
        turns = None
        if self.shape.has_couplings:
            padded = torch.cat((couplings, couplings.new_zeros(len(couplings), 1)), dim=1)
            turns = padded[:, tables["pair_of_wire"]]
        letters = slice(1, 2) if self.shape.measures_z else tables["letters"]
        values = causal_cone(matrices, letters, turns, ring=ring)
        if self.shape.measures_z:
            return values[0]
        return of_words(values, tables)


def causal_cone(
    matrices: Tensor, letters: Tensor | slice, turns: Tensor | None = None, *, ring: bool
) -> Tensor:
    """Expectation values of every wire of a chain or ring.

    Args:
        matrices (Tensor of shape (4, 4, n_blocks, batch, n_wires)): as `transfer_matrices` returns
            them, for at least two blocks; on a ring, 2 * n_blocks - 1 <= n_wires, so that no cone
            meets itself.
        letters (integer Tensor or slice): which Paulis, by their places in I, Z, X, Y.
        turns (Tensor of shape (n_blocks - 1, n_wires), or None): angle of the ZZ between each wire and
            the next, 0 where there is none. Default: None, for CZ.
        ring (bool): whether the last wire is next to the first.

    Returns:
        Tensor of shape (letters, batch, n_wires)
    """
    n_blocks, n_wires = matrices.shape[2], matrices.shape[-1]
    reach = n_blocks - 1
    matrices = _widen(matrices, reach, ring)
    turns = None if turns is None else _widen_turns(turns, reach, ring)
    first, *middle, last = matrices.unbind(2)
    state = first[:, 0] + first[:, 1]  # |0> has <I> = <Z> = 1
    # The outermost wires of the left and the right half of each cone, side by side.
    halves = _at_distance(state, reach, n_wires)
    for index, matrix in enumerate(middle, start=1):
        state = _advance(state[..., 1:-1], matrix[..., index:-index])
        if turns is not None:
            halves = _pass_on(halves, turns, reach - index, n_wires)
        wire = _at_distance(state, reach - index, n_wires)
        halves = _absorb(wire, halves) if turns is None else _absorb_turned(wire, halves)
    rows = last[letters][..., reach:-reach]
    if turns is not None:
        left, right = _pass_on(halves, turns, 0, n_wires).unbind(-2)
        return _join_turned(_advance(state[..., 1:-1], rows), left, right)
    left, right = halves.unbind(-2)
    return torch.stack([_join(_row(state[..., 1:-1], row), left, right) for row in rows])


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


def _widen_turns(turns: Tensor, width: int, ring: bool) -> Tensor:
    """The angles (n_blocks - 1, n_wires) of the wires that `_widen` adds, too; 0 on a chain."""
    ends = turns[:, -width:], turns[:, :width]
    if not ring:
        none = turns.new_zeros(len(turns), width)
        ends = none, none
    return torch.cat((ends[0], turns, ends[1]), dim=1)


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
    """Take every wire through an entangling layer and the block after it.

    Args:
        state (Tensor of shape (4, *history, batch, wires)): expectation values of I, Z, X, Y.
        matrix (Tensor of shape (rows, 4, batch, wires)): transfer matrix of the block, or rows of it.

    Returns:
        Tensor of shape (rows, 2, 2, *history, batch, wires): first the Pauli, then the wire's control
        bit in the layer, then the parity of how often it is turned there: by CZ, of its neighbours'
        control bits.
    """
    i, z, x, y = state.unbind(0)
    # At even parity CZ leaves the wire alone. At odd parity it swaps I with Z and turns (X, Y) into
    # (Y, -X). Axes: which of the two Paulis that share a control bit, control bit, parity.
    before = torch.unflatten(torch.stack((i, z, x, y, z, i, y, -x)), 0, (2, 2, 2))
    history = state.dim() - 3
    after = torch.unflatten(matrix, 1, (2, 2)).transpose(1, 2)
    after = after.reshape(len(matrix), 2, 2, *(1,) * (history + 1), *matrix.shape[-2:])
    return torch.addcmul(after[:, 0] * before[0], after[:, 1], before[1])


def _row(state: Tensor, row: Tensor) -> Tensor:
    """Take every wire through the last CZ layer and the last block, to a Pauli.

    No neighbour has its bit set in this layer, since all but the centre are traced out after it.

    Args:
        state (Tensor of shape (4, *history, batch, wires)): expectation values of I, Z, X, Y.
        row (Tensor of shape (4, batch, wires)): that of the Pauli in the matrix of the last block.

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


def _pass_on(outer: Tensor, turns: Tensor, distance: int, n_wires: int) -> Tensor:
    """What a half of a cone is for the wire at a distance from the centre, inside of it.

    ZZ leaves a pair alone where its control bits are equal. Where they differ it turns both, by minus
    the sine of its angle in the convention of `_advance`, or leaves both, by the cosine.

    Args:
        outer (Tensor of shape (2, *(own bit, whether it is turned), batch, 2, wires)): as from
            `_absorb_turned`, in front whether it is turned in its last layer, with its own bit not set.
        turns (Tensor of shape (layers, n_wires + 2 * reach)): as from `_widen_turns`.

    Returns:
        Tensor of shape (*(whether it is turned, bit of the wire inside), batch, 2, wires), the front
        pair for the last layer of `outer`.
    """
    reach = (turns.shape[1] - n_wires) // 2
    starts = reach - distance - 1, reach + distance
    of_sides = torch.stack([turns[:, start : start + n_wires] for start in starts], dim=1)
    cosines, sines = torch.cos(of_sides), -torch.sin(of_sides)
    layer = reach - 1 - distance
    left, turned = outer.unbind(0)
    none = torch.zeros_like(left)
    passed = torch.stack((left, cosines[layer] * left, none, sines[layer] * turned))
    passed = torch.unflatten(passed, 0, (2, 2))
    for axis in range(2, passed.dim() - 3, 2):
        layer -= 1
        cos, sin = cosines[layer], sines[layer]
        off_0, off_1, on_0, on_1 = passed.flatten(axis, axis + 1).unbind(axis)
        entries = off_0 + cos * on_0, on_0 + cos * off_0, sin * on_1, sin * off_1
        passed = torch.unflatten(torch.stack(entries, dim=axis), axis, (2, 2))
    return passed


def _absorb_turned(wire: Tensor, outer: Tensor) -> Tensor:
    """`_absorb` behind `_pass_on`: whether a wire is turned takes the place of its neighbour's bit.

    Args:
        wire (Tensor of shape (2, *(own bit, parity), batch, 2, wires)): its I and Z.
        outer (Tensor): of `_pass_on`.

    Returns:
        Tensor of shape (2, *(own bit, whether it is turned by the wire inside), batch, 2, wires)
    """
    n_pairs = (outer.dim() - 2) // 2
    for pair in range(n_pairs):
        wire = _repeat(wire, 2 + 3 * pair)
    return _sum_over_parity(wire * _by_parity(outer.unsqueeze(0), n_pairs), 3, n_pairs)


def _join_turned(centre: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Join both halves to the wire in the centre.

    Args:
        centre (Tensor of shape (letters, *(own bit, parity), batch, wires))
        left, right (Tensors): halves of `_pass_on`.

    Returns:
        Tensor of shape (letters, batch, wires)
    """
    joined = _absorb_turned(centre, right)
    for axis in range(0, left.dim() - 2, 2):
        left = left.transpose(axis, axis + 1)
    return (joined * left).flatten(1, -3).sum(1)


def pair_of_wire(pairs: Pairs, n_wires: int) -> Tensor:
    """Place of the pair of each wire and the next (integer Tensor), len(pairs) where there is none."""
    places = {frozenset(pair): place for place, pair in enumerate(pairs)}
    ends = n_wires if n_wires > 2 else n_wires - 1  # of two wires, neither is the next of both
    table = [places.get(frozenset((wire, (wire + 1) % n_wires)), len(pairs)) for wire in range(ends)]
    return torch.tensor(table + [len(pairs)] * (n_wires - ends))


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
