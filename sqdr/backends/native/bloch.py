"""Circuits in which no more than one CZ layer acts, in closed form.

Cost: O(n_wires) in time and memory, for any pairs, with noise. The derivation is in
docs/causal-cone.md.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from sqdr.backends.native.autograd import Tensors
from sqdr.backends.native.rotation import transfer_matrices
from sqdr.circuit import Pairs
from sqdr.noise import BlochMap, Number

Neighbours = Callable[[Tensor], tuple[Tensor, Tensor]]


def two_blocks(
    angles: Tensor, weights: Tensor, noise: Tensors, neighbours: Neighbours
) -> tuple[Tensor, Tensors]:
    """<Z> of two blocks with one CZ layer between them.

    CZ turns X_i into X_i times Z of every neighbour of i, likewise Y_i, and leaves Z_i. The state is
    a product there, so the expectation values multiply.

    Args:
        angles (Tensor of shape (batch, n_wires, 3)): in radians.
        weights (Tensor of shape (2, n_wires, 3)): in radians.
        noise (seven Tensors that broadcast to (batch, n_wires)): see `noise_of_two_blocks`.
        neighbours (function): maps a value for each wire (Tensor of shape (batch, n_wires)) to two of
            the same shape, whose product is that of the values of its neighbours.

    Returns:
        Tensor of shape (batch, n_wires), and what its gradient needs.
    """
    scale_x, scale_y, scale_z, shift_z, scale_first, shift_first, shift = noise
    vectors = _unit_vectors(angles, weights)
    (x, row_x), (y, row_y), (z, row_z) = (pair.unbind(0) for pair in vectors[-3:])
    left, right = neighbours(torch.addcmul(shift_first, z, scale_first))
    flips = torch.addcmul(x * row_x * scale_x, y * row_y, scale_y)
    stays = torch.addcmul(shift_z, z, scale_z)
    value = torch.addcmul(torch.addcmul(shift, row_z, stays), flips, left * right)
    return value, (*vectors, left, right, flips, stays)


@dataclass(frozen=True)
class TwoBlocks:
    """`two_blocks` as an `Evaluation`, in angles and weights.

    Args:
        noise, neighbours: as there.
        neighbours_gradient (function): maps the gradients of the two to that of the values.
    """

    noise: Tensors
    neighbours: Neighbours
    neighbours_gradient: Callable[[Tensor, Tensor], Tensor]

    def function(self, *inputs: Tensor) -> Tensor:
        return self.forward(*inputs)[0]

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensors]:
        angles, weights = inputs
        return two_blocks(angles, weights, self.noise, self.neighbours)

    def backward(self, grad: Tensor, inputs: Tensors, kept: Tensors) -> Tensors:  # noqa: ARG002
        scale_x, scale_y, scale_z, _, scale_first, *_ = self.noise
        *vectors, left, right, flips, stays = kept
        x, y, z = vectors[-3:]
        of_product, of_flips = grad * flips, grad * left * right
        of_first = self.neighbours_gradient(of_product * right, of_product * left) * scale_first
        of_z = torch.stack((torch.addcmul(of_first, grad * scale_z, z[1]), grad * stays))
        of_x, of_y = of_flips * scale_x * x.flip(0), of_flips * scale_y * y.flip(0)
        return _unit_vectors_gradient(of_x, of_y, of_z, vectors)


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


def on_chain(values: Tensor) -> tuple[Tensor, Tensor]:
    """Values of the wires to the left and to the right, 1 beyond the ends."""
    one = values.new_ones(1).expand(*values.shape[:-1], 1)
    padded = torch.cat((one, values, one), dim=-1)
    return padded[..., :-2], padded[..., 2:]


def on_chain_gradient(of_left: Tensor, of_right: Tensor) -> Tensor:
    """Gradient of the values, given those of what `on_chain` returns."""
    gradient = torch.zeros_like(of_left)
    gradient[..., :-1] = of_left[..., 1:]
    gradient[..., 1:] += of_right[..., :-1]
    return gradient


def on_ring(values: Tensor) -> tuple[Tensor, Tensor]:
    """Values of the wires to the left and to the right, the last wire being next to the first."""
    return values.roll(1, -1), values.roll(-1, -1)


def on_ring_gradient(of_left: Tensor, of_right: Tensor) -> Tensor:
    """Gradient of the values, given those of what `on_ring` returns."""
    return of_left.roll(-1, -1) + of_right.roll(1, -1)


def on_table(values: Tensor, neighbours: Tensor) -> tuple[Tensor, Tensor]:
    """Product of the values of the `neighbours` of each wire, a table from `neighbour_table`; and 1."""
    padded = pad(values, (0, 1), value=1.0)
    product = one = torch.ones_like(values)
    for wires in neighbours:
        product = product * padded.index_select(-1, wires)
    return product, one


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


def _unit_vectors(angles: Tensor, weights: Tensor) -> Tensors:
    """Two unit vectors on each wire.

    The first is the Bloch vector that the rotations of block 1 make of |0>. The second, with its x
    negated, is the row of the rotation of block 2 that <Z> is read from. Both have the form
    RZ(p) RY(q) RZ(s) RY(t) (0, 0, 1), because the first and the last RZ of a block leave z alone. The
    row runs backwards, with all four angles negated, which negates its x and nothing else.

    Returns:
        cosines and sines (Tensors of shape (4, 2, batch, n_wires)) of t, s, q, p; x and y after the
        first two turns, x after the third, and x, y and z (Tensors of shape (2, batch, n_wires)).
    """
    phi, theta, omega = angles.unbind(-1)
    of_weights = weights.mT.reshape(6, 1, -1).expand(-1, angles.shape[0], -1)
    phi_1, theta_1, omega_1, phi_2, theta_2, _ = of_weights.unbind(0)
    turns = torch.stack((theta, theta_2, omega + phi_1, omega + phi_2, theta_1, theta, omega_1, phi))
    turns = torch.unflatten(turns, 0, (4, 2))
    cosines, sines = torch.cos(turns), torch.sin(turns)
    cos_t, cos_s, cos_q, cos_p = cosines.unbind(0)
    sin_t, sin_s, sin_q, sin_p = sines.unbind(0)
    x_2, y_2 = sin_t * cos_s, sin_t * sin_s
    x_3 = torch.addcmul(sin_q * cos_t, cos_q, x_2)
    z = torch.addcmul(cos_q * cos_t, sin_q, x_2, value=-1)
    x, y = torch.addcmul(cos_p * x_3, sin_p, y_2, value=-1), torch.addcmul(cos_p * y_2, sin_p, x_3)
    return cosines, sines, x_2, y_2, x_3, x, y, z


def _unit_vectors_gradient(of_x: Tensor, of_y: Tensor, of_z: Tensor, vectors: Tensors) -> Tensors:
    """Gradients of angles and weights, given those of x, y and z and what `_unit_vectors` returned.

    The gradient of a turn's angle is the part of the gradient along the way the vector moves. Both are
    then turned back, to where they stood before that turn.
    """
    cosines, sines, x_2, y_2, x_3, x, y, z = vectors
    cos_t, cos_s, cos_q, cos_p = cosines.unbind(0)
    sin_t, sin_s, sin_q, sin_p = sines.unbind(0)
    of_p = torch.addcmul(of_y * x, of_x, y, value=-1)
    of_x, of_y = (
        torch.addcmul(cos_p * of_x, sin_p, of_y),
        torch.addcmul(cos_p * of_y, sin_p, of_x, value=-1),
    )
    of_q = torch.addcmul(of_x * z, of_z, x_3, value=-1)
    of_x, of_z = (
        torch.addcmul(cos_q * of_x, sin_q, of_z, value=-1),
        torch.addcmul(cos_q * of_z, sin_q, of_x),
    )
    of_s = torch.addcmul(of_y * x_2, of_x, y_2, value=-1)
    of_x = torch.addcmul(cos_s * of_x, sin_s, of_y)
    of_t = torch.addcmul(of_x * cos_t, of_z, sin_t, value=-1)
    of_angles = torch.stack((of_p[1], of_t[0] + of_q[1], of_s.sum(0)), dim=-1)
    of_turns = torch.stack((of_t, of_s, of_q, of_p)).sum(2)
    of_weights = of_turns.new_zeros(2, 3, of_turns.shape[-1])
    of_weights[0] = of_turns[1:, 0]  # phi, theta, omega of block 1 are its s, q, p
    of_weights[1, :2] = of_turns[:2, 1].flip(0)  # phi, theta of block 2 are its s, t
    return of_angles, of_weights.mT
