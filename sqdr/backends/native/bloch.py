"""Circuits in which no more than one CZ layer acts, in closed form.

Cost: O(n_wires) in time and memory, for any pairs, with noise. The derivation is in
docs/causal-cone.md.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from sqdr.backends.native.rotation import transfer_matrices
from sqdr.circuit import Pairs
from sqdr.noise import BlochMap, Number


def two_blocks(
    angles: Tensor,
    weights: Tensor,
    noise: Sequence[Tensor],
    over_neighbours: Callable[[Tensor], Tensor],
) -> Tensor:
    """<Z> of two blocks with one CZ layer between them.

    CZ turns X_i into X_i times Z of every neighbour of i, likewise Y_i, and leaves Z_i. The state is
    a product there, so the expectation values multiply.

    Args:
        angles (Tensor of shape (batch, n_wires, 3)): in radians.
        weights (Tensor of shape (2, n_wires, 3)): in radians.
        noise (seven Tensors that broadcast to (batch, n_wires)): see `noise_of_two_blocks`.
        over_neighbours (function): maps a value for each wire (Tensor of shape (batch, n_wires)) to the
            product of the values of its neighbours, of the same shape.

    Returns:
        Tensor of shape (batch, n_wires)
    """
    scale_x, scale_y, scale_z, shift_z, scale_first, shift_first, shift = noise
    (x, row_x), (y, row_y), (z, row_z) = (pair.unbind(0) for pair in _unit_vectors(angles, weights))
    neighbours = over_neighbours(torch.addcmul(shift_first, z, scale_first))
    flips = torch.addcmul(row_x * x * scale_x, row_y * scale_y, y)
    stays = torch.addcmul(shift_z, z, scale_z)
    return torch.addcmul(torch.addcmul(shift, row_z, stays), flips, neighbours)


def noise_of_two_blocks(
    channels: BlochMap, entangler_channels: BlochMap, readout_scale: Number, like: Tensor
) -> list[Tensor]:
    """The noise of two blocks, as `two_blocks` takes it; tensors of the dtype and device of `like`.

    Returns:
        Scales of the x and y parts of <Z>, scale and shift of its z part; scale and shift of the z that
        neighbours see, which is that after block 1; and the shift of <Z> itself.
    """
    first, second = channels.in_block(0), channels.in_block(1)
    last = second.scale_z * readout_scale
    between = first.then(entangler_channels.in_block(0))
    numbers = (
        -last * between.scale_x,
        last * between.scale_y,
        last * between.scale_z,
        last * between.shift_z,
        first.scale_z,
        first.shift_z,
        second.shift_z * readout_scale,
    )
    return [torch.as_tensor(number, dtype=like.dtype, device=like.device) for number in numbers]


def over_chain(values: Tensor) -> Tensor:
    """Product of the values of wires i - 1 and i + 1, where they exist; last axis: wires."""
    one = values.new_ones(1).expand(*values.shape[:-1], 1)
    padded = torch.cat((one, values, one), dim=-1)
    return padded[..., :-2] * padded[..., 2:]


def over_ring(values: Tensor) -> Tensor:
    """Product of the values of wires i - 1 and i + 1, the last wire being next to the first."""
    return values.roll(1, -1) * values.roll(-1, -1)


def over_table(values: Tensor, neighbours: Tensor) -> Tensor:
    """Product of the values of the `neighbours` of each wire, a table from `neighbour_table`."""
    padded = pad(values, (0, 1), value=1.0)
    product = torch.ones_like(values)
    for wires in neighbours:
        product = product * padded.index_select(-1, wires)
    return product


def neighbour_table(pairs: Pairs, n_wires: int) -> Tensor:
    """Neighbours of each wire (integer Tensor of shape (max_degree, n_wires)), padded by n_wires."""
    neighbours: list[list[int]] = [[] for _ in range(n_wires)]
    for first, second in pairs:
        neighbours[first].append(second)
        neighbours[second].append(first)
    degree = max(map(len, neighbours))
    table = [wires + [n_wires] * (degree - len(wires)) for wires in neighbours]
    return torch.tensor(table, dtype=torch.long).reshape(n_wires, degree).T.contiguous()


def unentangled(angles: Tensor, weights: Tensor, scale: Tensor, offset: Tensor) -> Tensor:
    """<Z> without a CZ, for any number of blocks.

    Args:
        angles (Tensor of shape (batch, n_wires, 3)): in radians.
        weights (Tensor of shape (n_blocks, n_wires, 3)): in radians.
        scale, offset (Tensors): the noise, see `transfer_matrices`.

    Returns:
        Tensor of shape (batch, n_wires)
    """
    matrices = transfer_matrices(angles, weights, scale, offset)
    first, *later = matrices.unbind(2)
    vector = first[:, 0] + first[:, 1]  # |0> has <I> = <Z> = 1
    for matrix in later:
        vector = (matrix * vector).sum(1)
    return vector[1]


def _unit_vectors(angles: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """x, y and z (Tensors of shape (2, batch, n_wires)) of two unit vectors on each wire.

    The first is the Bloch vector that the rotations of block 1 make of |0>. The second, with its x
    negated, is the row of the rotation of block 2 that <Z> is read from. Both have the form
    RZ(p) RY(q) RZ(s) RY(t) (0, 0, 1), because the first and the last RZ of a block leave z alone. The
    row runs backwards, with all four angles negated, which negates its x and nothing else.
    """
    phi, theta, omega = angles.unbind(-1)
    # Expanded all at once, so that the gradient of the weights takes one sum over the batch.
    of_weights = weights.mT.flatten(0, 1).unsqueeze(1).expand(-1, len(angles), -1)
    phi_1, theta_1, omega_1, phi_2, theta_2, _ = of_weights.unbind(0)
    turns = torch.stack((theta, theta_2, omega + phi_1, omega + phi_2, theta_1, theta, omega_1, phi))
    turns = torch.unflatten(turns, 0, (4, 2))
    cos_t, cos_s, cos_q, cos_p = torch.cos(turns).unbind(0)
    sin_t, sin_s, sin_q, sin_p = torch.sin(turns).unbind(0)
    x, y = sin_t * cos_s, sin_t * sin_s
    x, z = torch.addcmul(sin_q * cos_t, cos_q, x), torch.addcmul(cos_q * cos_t, sin_q, x, value=-1)
    return torch.addcmul(cos_p * x, sin_p, y, value=-1), torch.addcmul(cos_p * y, sin_p, x), z
