"""Two blocks with any pairs of wires, in closed form.

Cost: O(n_wires) in time and memory, with noise. The derivation is in docs/causal-cone.md.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import final

import torch
from torch import Tensor
from torch.nn.functional import pad

from sqdr.ansatz import Pairs
from sqdr.backends.native.autograd import Evaluation, Tensors, evaluate
from sqdr.backends.native.method import Method, Shape, of_words
from sqdr.backends.native.pauli_words import cost_of_words, tables_of_words, words_of_two_blocks
from sqdr.backends.native.rotation import (
    general_noise,
    is_general,
    measured_as_z,
    noise_of_matrices,
    pair_noise,
    transfer_matrices,
)
from sqdr.noise import (
    BlochMap,
    NoiseModel,
    Number,
    TransferMatrix,
    compose,
    compose_around_pairs,
    stack,
)

#: Multiply-adds for words, beyond which it takes long to work out what kernels are to do.
_MOST_FOR_KERNELS = 10**6

Neighbours = Callable[[Tensor], tuple[Tensor, Tensor]]


@final
class TwoBlocks(Method):
    """Products of Bloch vectors: the one entangling layer meets a product state."""

    name = "closed-form"

    @staticmethod
    def problem(shape: Shape) -> str | None:
        return None if shape.n_blocks == 2 else f"there are {shape.n_blocks} blocks"

    def multiply_adds(self) -> int:
        return 32 * self.shape.n_wires + (0 if self._is_direct else cost_of_words(self.shape))

    def numbers_per_sample(self, needs_gradient: bool) -> int:  # noqa: ARG002
        return 48 * self.shape.n_wires + (0 if self._is_direct else 2 * cost_of_words(self.shape))

    def tables(self) -> Mapping[str, Tensor]:
        tables: dict[str, Tensor] = {}
        if self.shape.n_pair_noises:
            tables["pairs_of_wire"] = pairs_of_wires(self.shape.pairs, self.shape.n_wires)
        if not self._is_direct:
            return {**tables, **tables_of_words(self.shape)}
        if self.shape.topology not in ("chain", "ring"):
            tables["neighbours"] = neighbour_table(self.shape.pairs, self.shape.n_wires)
        return tables | self.shape.letter_tables()

    def noise_tensors(self, noise: NoiseModel, like: Tensor) -> Tensors:
        n_wires, n_pairs = self.shape.n_wires, len(self.shape.pairs)
        first, last = compose(noise.after_rotation), compose(noise.on_wires_after_entangler)
        of_pairs: Tensors = ()
        if self.shape.n_pair_noises:
            maps, factors = compose_around_pairs(noise.after_entangler)
            if self.shape.most_factors == 1:
                last = self._on_one_wire(maps, factors, like)
            else:
                *between, last = maps
                of_pairs = pair_noise(between, factors, 2, n_pairs, like)
        if not (isinstance(first, BlochMap) and isinstance(last, BlochMap)):
            return general_noise(first, last, 2, n_wires, like), *of_pairs
        if self._is_direct:
            of_letters = (
                noise_of_two_blocks(first, last, n_wires, like, p) for p in self.shape.letters
            )
            return (torch.cat(tuple(of_letters)),)
        return noise_of_matrices(first, last, 2, n_wires, like), *of_pairs

    def _on_one_wire(
        self, maps: Sequence[BlochMap | TransferMatrix], factors: Sequence[Number], like: Tensor
    ) -> BlochMap | TransferMatrix:
        """What noise of wires and of pairs, in turns, is for observables of one wire.

        Such a string is not the identity on the pairs that hold its wire, and no other is needed.
        """
        pairs_of_wire = self.tables_on(like.device)["pairs_of_wire"]
        total = maps[0]
        for factor, later in zip(factors, maps[1:], strict=True):
            tensor = torch.as_tensor(factor, dtype=like.dtype, device=like.device)
            tensor = tensor.reshape(*(1,) * (3 - tensor.dim()), *tensor.shape)
            tensor = tensor.expand(*tensor.shape[:-1], len(self.shape.pairs))
            scale = pad(tensor, (0, 1), value=1.0)[..., pairs_of_wire].prod(-2)
            for one in (BlochMap(scale, scale, scale), later):
                if isinstance(total, BlochMap) and isinstance(one, BlochMap):
                    total = total.then(one)
                else:
                    total = total.transfer_matrix().then(one.transfer_matrix())
        return total

    def values(self, angles: Tensor, weights: Tensor, couplings: Tensor, *noise: Tensor) -> Tensor:
        of_wires, *of_pairs = noise
        if self._is_direct and not is_general(of_wires):
            if self._is_simple:
                return two_blocks(angles, weights, of_wires, self.on_neighbours)[0]
            return self._of_letters(self.quaternions(angles, weights), of_wires)
        matrices = transfer_matrices(self.quaternions(angles, weights), of_wires)
        tables = self.tables_on(angles.device)
        if self._is_direct:
            values = two_blocks_of_matrices(matrices, tables["letters"], self.on_neighbours)
            return of_words(values, tables)
        return words_of_two_blocks(matrices, couplings, self.shape, tables, of_pairs)

    def _of_letters(self, quaternions: Tensor, noise: Tensor) -> Tensor:
        letters = self.shape.letters
        of_letters = zip(letters, noise.chunk(len(letters)), strict=True)
        values = [
            _from_vectors(
                _vectors_of_rotations(measured_as_z(quaternions, letter)), own, self.on_neighbours
            )[0]
            for letter, own in of_letters
        ]
        return of_words(torch.stack(values), self.tables_on(quaternions.device))

    def kernels(self, has_general_noise: bool = False) -> Evaluation | None:
        if self.shape.most_factors > 1:
            if self.shape.n_pair_noises or cost_of_words(self.shape) > _MOST_FOR_KERNELS:
                return None
            from sqdr.backends.native.kernels.two_blocks_words import WordsOfTwoBlocksByKernels

            return WordsOfTwoBlocksByKernels(self)
        if self.shape.has_couplings or has_general_noise:
            from sqdr.backends.native.kernels.two_blocks_turned import TurnedTwoBlocksByKernels

            return TurnedTwoBlocksByKernels(self)
        from sqdr.backends.native.kernels.two_blocks import TwoBlocksByKernels

        return TwoBlocksByKernels(self)

    def evaluate(self, angles: Tensor, weights: Tensor, couplings: Tensor, noise: Tensors) -> Tensor:
        is_fixed = not is_general(noise[0]) and not noise[0].requires_grad
        on_line = self.shape.topology in ("chain", "ring")
        if not (is_fixed and on_line and self._is_simple):
            return self.values(angles, weights, couplings, *noise)
        return evaluate(_OneNode(self), angles, weights, couplings, *noise)

    @property
    def _is_simple(self) -> bool:
        """Whether the circuit is the published one, up to its pairs."""
        ansatz = self.shape.ansatz
        axes = ansatz.encoding, ansatz.rotation
        is_published = axes == ("ZYZ", "ZYZ") and not ansatz.differs_between_blocks
        return is_published and self._is_direct and self.shape.measures_z

    @cached_property
    def _is_direct(self) -> bool:
        """Whether observables of one wire are measured behind CZ, whatever the rotations."""
        return not self.shape.has_couplings and self.shape.most_factors == 1

    def on_neighbours(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Two values for each wire, whose product is that of the values of its neighbours."""
        if self.shape.topology == "chain":
            return on_chain(values)
        if self.shape.topology == "ring":
            return on_ring(values)
        return on_table(values, self.tables_on(values.device)["neighbours"])


@dataclass(frozen=True)
class _OneNode:
    """Two blocks on a chain or ring as an `Evaluation`; the noise has no gradient."""

    method: TwoBlocks

    def function(self, *inputs: Tensor) -> Tensor:
        return self.method.values(*inputs)

    def forward(self, *inputs: Tensor, keep: bool) -> tuple[Tensor, Tensors]:  # noqa: ARG002
        angles, weights, _, noise = inputs
        return two_blocks(angles, weights, noise, self.method.on_neighbours)

    def backward(
        self,
        grad: Tensor,
        inputs: Tensors,
        kept: Tensors,
        needed: Sequence[bool],  # noqa: ARG002
    ) -> Sequence[Tensor | None]:
        scale_x, scale_y, scale_z, _, scale_first, *_ = inputs[3].unbind(0)
        is_chain = self.method.shape.topology == "chain"
        neighbours_gradient = on_chain_gradient if is_chain else on_ring_gradient
        *vectors, left, right, flips, stays = kept
        x, y, z = vectors[-3:]
        grad_product, grad_flips = grad * flips, grad * left * right
        grad_first = neighbours_gradient(grad_product * right, grad_product * left) * scale_first
        grad_z = torch.stack((torch.addcmul(grad_first, grad * scale_z, z[1]), grad * stays))
        grad_x, grad_y = grad_flips * scale_x * x.flip(0), grad_flips * scale_y * y.flip(0)
        gradients = _unit_vectors_gradient(grad_x, grad_y, grad_z, vectors)
        return *gradients, None, None


def two_blocks(
    angles: Tensor, weights: Tensor, noise: Tensor, neighbours: Neighbours
) -> tuple[Tensor, Tensors]:
    """<Z> of two blocks with one CZ layer between them.

    CZ turns X_i into X_i times Z of every neighbour of i, likewise Y_i, and leaves Z_i. The state is
    a product there, so the expectation values multiply.

    Args:
        angles (Tensor of shape (batch, n_wires, 3)): in radians.
        weights (Tensor of shape (2, n_wires, 3)): in radians.
        noise (Tensor of shape (7, batch or 1, n_wires)): see `noise_of_two_blocks`.
        neighbours (function): maps a value for each wire (Tensor of shape (batch, n_wires)) to two of
            the same shape, whose product is that of the values of its neighbours.

    Returns:
        Tensor of shape (batch, n_wires), and what its gradient needs.
    """
    vectors = _unit_vectors(angles, weights)
    value, rest = _from_vectors(vectors[-3:], noise, neighbours)
    return value, (*vectors, *rest)


def _from_vectors(vectors: Tensors, noise: Tensor, neighbours: Neighbours) -> tuple[Tensor, Tensors]:
    """<Z>, and what its gradient needs, of two unit vectors on each wire.

    Args:
        vectors (x, y and z, Tensors of shape (2, batch, n_wires)): the Bloch vector that the rotations
            of block 1 make of |0>; and, its x negated, the row of block 2 that <Z> is read from.
        noise, neighbours: as in `two_blocks`.
    """
    scale_x, scale_y, scale_z, shift_z, scale_first, shift_first, shift = noise.unbind(0)
    (x, row_x), (y, row_y), (z, row_z) = (pair.unbind(0) for pair in vectors)
    left, right = neighbours(torch.addcmul(shift_first, z, scale_first))
    flips = torch.addcmul(x * row_x * scale_x, y * row_y, scale_y)
    stays = torch.addcmul(shift_z, z, scale_z)
    value = torch.addcmul(torch.addcmul(shift, row_z, stays), flips, left * right)
    return value, (left, right, flips, stays)


def _vectors_of_rotations(quaternions: Tensor) -> Tensors:
    """x, y and z as `_from_vectors` takes them, of quaternions (4, 2, batch, n_wires)."""
    w, x, y, z = quaternions
    across = torch.stack((x * z, -w * x), 0)
    forwards, backwards = torch.stack((w * y, y * z)) + across, torch.stack((w * y, y * z)) - across
    x_and_y = 2 * torch.stack((forwards[:, 0], backwards[:, 1]), 1)
    return x_and_y[0], x_and_y[1], w * w + z * z - x * x - y * y


def two_blocks_of_matrices(matrices: Tensor, letters: Tensor, neighbours: Neighbours) -> Tensor:
    """`two_blocks` where the noise is any map of Bloch vectors.

    Args:
        matrices (Tensor of shape (4, 4, 2, batch, n_wires)): as `transfer_matrices` returns them.
        letters (integer Tensor): which Paulis, by their places in I, Z, X, Y.
        neighbours (function): as there.

    Returns:
        Tensor of shape (letters, batch, n_wires)
    """
    first, second = matrices.unbind(2)
    one, z, x, y = first[:, 0] + first[:, 1]  # |0> has <I> = <Z> = 1
    left, right = neighbours(z)
    from_one, from_z, from_x, from_y = second[letters].unbind(1)
    flips = from_x * x + from_y * y
    return torch.addcmul(from_one * one + from_z * z, flips, left * right)


def noise_of_two_blocks(
    channels: BlochMap, entangler_channels: BlochMap, n_wires: int, like: Tensor, letter: str = "Z"
) -> Tensor:
    """The noise of two blocks, as `two_blocks` takes it, of the dtype and on the device of `like`.

    For another letter, it is that behind the rotations of `measured_as_z`.

    Returns:
        Tensor of shape (7, batch or 1, n_wires): scales of the x and y parts of <Z>, scale and shift of
        its z part; scale and shift of the z that neighbours see, which is that after block 1; and the
        shift of <Z> itself.
    """
    first, second = channels.in_block(0), channels.in_block(1)
    last = {"Z": second.scale_z, "X": second.scale_x, "Y": second.scale_y}[letter]
    between = first.then(entangler_channels.in_block(0))
    numbers = (
        -last * between.scale_x,
        last * between.scale_y,
        last * between.scale_z,
        last * between.shift_z,
        first.scale_z,
        first.shift_z,
        second.shift_z if letter == "Z" else 0.0,
    )
    stacked = stack(numbers, like)
    stacked = stacked.reshape(*(1,) * (3 - stacked.dim()), *stacked.shape)
    return stacked.permute(2, 0, 1).expand(-1, -1, n_wires)


def on_chain(values: Tensor) -> tuple[Tensor, Tensor]:
    """Values of the wires to the left and to the right, 1 beyond the ends."""
    one = values.new_ones(1).expand(*values.shape[:-1], 1)
    padded = torch.cat((one, values, one), dim=-1)
    return padded[..., :-2], padded[..., 2:]


def on_chain_gradient(grad_left: Tensor, grad_right: Tensor) -> Tensor:
    """Gradient of the values, given those of what `on_chain` returns."""
    gradient = torch.zeros_like(grad_left)
    gradient[..., :-1] = grad_left[..., 1:]
    gradient[..., 1:] += grad_right[..., :-1]
    return gradient


def on_ring(values: Tensor) -> tuple[Tensor, Tensor]:
    """Values of the wires to the left and to the right, the last wire being next to the first."""
    return values.roll(1, -1), values.roll(-1, -1)


def on_ring_gradient(grad_left: Tensor, grad_right: Tensor) -> Tensor:
    """Gradient of the values, given those of what `on_ring` returns."""
    return grad_left.roll(-1, -1) + grad_right.roll(1, -1)


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


def pairs_of_wires(pairs: Pairs, n_wires: int) -> Tensor:
    """Places of the pairs of each wire (integer Tensor (max_degree, n_wires)), padded by len(pairs)."""
    places: list[list[int]] = [[] for _ in range(n_wires)]
    for place, pair in enumerate(pairs):
        for wire in pair:
            places[wire].append(place)
    degree = max(map(len, places))
    table = [of + [len(pairs)] * (degree - len(of)) for of in places]
    return torch.tensor(table, dtype=torch.long).reshape(n_wires, degree).T.contiguous()


def _unit_vectors(angles: Tensor, weights: Tensor) -> Tensors:
    """The two unit vectors of `_from_vectors`, with what the gradient needs.

    Both have the form RZ(p) RY(q) RZ(s) RY(t) (0, 0, 1), because the first and the last RZ of a block
    leave z alone. The row runs backwards, with all four angles negated, which negates its x and nothing
    else.

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


def _unit_vectors_gradient(grad_x: Tensor, grad_y: Tensor, grad_z: Tensor, vectors: Tensors) -> Tensors:
    """Gradients of angles and weights, given those of x, y and z and what `_unit_vectors` returned.

    The gradient of a turn's angle is the part of the gradient along the way the vector moves. Both are
    then turned back, to where they stood before that turn.
    """
    cosines, sines, x_2, y_2, x_3, x, y, z = vectors
    cos_t, cos_s, cos_q, cos_p = cosines.unbind(0)
    sin_t, sin_s, sin_q, sin_p = sines.unbind(0)
    grad_p = torch.addcmul(grad_y * x, grad_x, y, value=-1)
    grad_x, grad_y = (
        torch.addcmul(cos_p * grad_x, sin_p, grad_y),
        torch.addcmul(cos_p * grad_y, sin_p, grad_x, value=-1),
    )
    grad_q = torch.addcmul(grad_x * z, grad_z, x_3, value=-1)
    grad_x, grad_z = (
        torch.addcmul(cos_q * grad_x, sin_q, grad_z, value=-1),
        torch.addcmul(cos_q * grad_z, sin_q, grad_x),
    )
    grad_s = torch.addcmul(grad_y * x_2, grad_x, y_2, value=-1)
    grad_x = torch.addcmul(cos_s * grad_x, sin_s, grad_y)
    grad_t = torch.addcmul(grad_x * cos_t, grad_z, sin_t, value=-1)
    grad_angles = torch.stack((grad_p[1], grad_t[0] + grad_q[1], grad_s.sum(0)), dim=-1)
    grad_turns = torch.stack((grad_t, grad_s, grad_q, grad_p)).sum(2)
    grad_weights = grad_turns.new_zeros(2, 3, grad_turns.shape[-1])
    grad_weights[0] = grad_turns[1:, 0]  # phi, theta, omega of block 1 are its s, q, p
    grad_weights[1, :2] = grad_turns[:2, 1].flip(0)  # phi, theta of block 2 are its s, t
    return grad_angles, grad_weights.mT
