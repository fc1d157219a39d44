"""The whole state, for any number of blocks and any pairs: a statevector, or with noise a Pauli vector.

Both are stored as real tensors of shape (batch, *wires, local), wires in order, and both are advanced
by the same step: a real 4x4 matrix on one wire after the other. For a statevector the four numbers of a
wire are the real and imaginary parts of its two amplitudes; for a Pauli vector they are the
coefficients of I, X, Y and Z. Cost per sample: n_blocks * n_wires * 2^n_wires without noise, and
n_blocks * n_wires * 4^n_wires with it.
"""

import torch
from torch import Tensor

from sqdr.circuit import Pairs
from sqdr.noise import BlochMap


def statevector(quaternions: Tensor, pairs: Pairs) -> Tensor:
    """<Z> of a noiseless circuit.

    Args:
        quaternions (Tensor of shape (n_blocks, batch, n_wires, 4)): rotations of each block.
        pairs (tuple of pairs): wires of each CZ of a layer.

    Returns:
        Tensor of shape (batch, n_wires)
    """
    n_blocks, batch, n_wires, _ = quaternions.shape
    gates = _gates(quaternions)
    signs = _cz_signs(pairs, n_wires, quaternions)
    state = quaternions.new_zeros(batch, 2**n_wires, 2)
    state[:, 0, 0] = 1
    for block in range(n_blocks):
        state = _on_every_wire(state, gates[block])
        if block < n_blocks - 1:
            state = state * signs
    probabilities = state.square().sum(-1)
    return probabilities @ _z_signs(n_wires, quaternions)


def pauli_vector(
    quaternions: Tensor, channels: BlochMap, entangler_channels: BlochMap, pairs: Pairs
) -> Tensor:
    """<Z> of a noisy circuit.

    Args:
        quaternions (Tensor of shape (n_blocks, batch, n_wires, 4)): rotations of each block.
        channels (BlochMap): noise after the rotations of each block.
        entangler_channels (BlochMap): noise after each CZ layer.
        pairs (tuple of pairs): wires of each CZ of a layer.

    Returns:
        Tensor of shape (batch, n_wires)
    """
    _, batch, n_wires, _ = quaternions.shape
    transfer = _transfer_matrices(quaternions, channels)
    # Noise after a CZ layer acts on one wire at a time, so the next block's matrices take it in.
    later = transfer[1:] @ _channel_matrix(entangler_channels, quaternions)
    source, signs = _cz_permutation(pairs, n_wires, quaternions)
    # |0><0| is (I + Z) / 2; the factor is left out, which makes the coefficients expectation values.
    ground = quaternions.new_tensor([1, 0, 0, 1])
    state = ground
    for _ in range(n_wires - 1):
        state = torch.kron(state, ground)
    state = state.expand(batch, -1).unsqueeze(-1)
    state = _on_every_wire(state, transfer[0])
    for matrices in later:
        state = _on_every_wire(state[:, source] * signs, matrices)
    z_on_one_wire = [3 * 4 ** (n_wires - 1 - wire) for wire in range(n_wires)]
    return state[:, z_on_one_wire, 0]


def _on_every_wire(state: Tensor, matrices: Tensor) -> Tensor:
    """Apply one real 4x4 matrix to each wire.

    Args:
        state (Tensor of shape (batch, levels ** n_wires, parts)): with levels * parts = 4.
        matrices (Tensor of shape (batch, n_wires, 4, 4)): acting from the left.
    """
    batch, size, parts = state.shape
    levels = 4 // parts
    # The last wire is acted on and moved to the front; after n_wires turns the order is as it was.
    for matrix in reversed(matrices.unbind(1)):
        state = state.reshape(batch, -1, 4) @ matrix.mT
        state = state.reshape(batch, -1, levels, parts).transpose(1, 2)
    return state.reshape(batch, size, parts)


def _gates(quaternions: Tensor) -> Tensor:
    """U = [[w - iz, -y - ix], [y - ix, w + iz]] on (Re 0, Im 0, Re 1, Im 1): shape (..., 4, 4)."""
    w, x, y, z = quaternions.unbind(-1)
    rows = (w, z, -y, x, -z, w, -x, -y, y, x, w, -z, -x, y, z, w)
    return torch.stack(rows, dim=-1).unflatten(-1, (4, 4))


def _transfer_matrices(quaternions: Tensor, channels: BlochMap) -> Tensor:
    """Pauli transfer matrices of a rotation followed by channels: shape (..., 4, 4)."""
    w, x, y, z = quaternions.unbind(-1)
    zero, one = torch.zeros_like(w), torch.ones_like(w)
    # fmt: off
    rotation = torch.stack((
        one, zero, zero, zero,
        zero, 1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        zero, 2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        zero, 2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ), dim=-1).unflatten(-1, (4, 4))
    # fmt: on
    return _channel_matrix(channels, quaternions) @ rotation


def _channel_matrix(channels: BlochMap, like: Tensor) -> Tensor:
    """The Pauli transfer matrix of channels: shape (4, 4)."""
    matrix = torch.diag(like.new_tensor([1, channels.scale_x, channels.scale_y, channels.scale_z]))
    matrix[3, 0] = channels.shift_z
    return matrix


def _cz_signs(pairs: Pairs, n_wires: int, like: Tensor) -> Tensor:
    """Diagonal of a CZ layer: shape (2 ** n_wires, 1)."""
    bits = _digits(2, n_wires, like.device)
    exponent = torch.zeros_like(bits[0])
    for first, second in pairs:
        exponent += bits[first] * bits[second]
    return (1 - 2 * (exponent % 2)).to(like.dtype).unsqueeze(-1)


def _z_signs(n_wires: int, like: Tensor) -> Tensor:
    """Diagonals of Z on each wire: shape (2 ** n_wires, n_wires)."""
    return (1 - 2 * _digits(2, n_wires, like.device)).to(like.dtype).T


def _cz_permutation(pairs: Pairs, n_wires: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """A CZ layer on a Pauli vector: new[p] = signs[p] * old[source[p]].

    CZ multiplies each side by Z if the other side is X or Y. That swaps I with Z and X with Y, and
    costs a sign when both sides are X or Y and they differ (XY -> -YX, but XX -> YY).
    """
    paulis = _digits(4, n_wires, like.device)  # 0, 1, 2, 3 for I, X, Y, Z
    negative = torch.zeros_like(paulis[0])
    for first, second in pairs:
        a, b = paulis[first].clone(), paulis[second].clone()
        a_flips, b_flips = (a == 1) | (a == 2), (b == 1) | (b == 2)
        negative += a_flips & b_flips & (a != b)
        paulis[first] = torch.where(b_flips, 3 - a, a)
        paulis[second] = torch.where(a_flips, 3 - b, b)
    place_values = 4 ** torch.arange(n_wires - 1, -1, -1, device=like.device)
    source = (paulis * place_values.unsqueeze(-1)).sum(0)
    return source, (1 - 2 * (negative % 2)).to(like.dtype).unsqueeze(-1)


def _digits(base: int, n_wires: int, device: torch.device) -> Tensor:
    """Digit of each wire in 0, 1, ... base ** n_wires - 1, wire 0 first: (n_wires, base ** n_wires)."""
    numbers = torch.arange(base**n_wires, device=device)
    place_values = base ** torch.arange(n_wires - 1, -1, -1, device=device)
    return numbers // place_values.unsqueeze(-1) % base
