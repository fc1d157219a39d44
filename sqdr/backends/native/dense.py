"""The whole state, for any number of blocks and any pairs: a statevector, or with noise a Pauli vector.

Both are stored as real tensors of shape (batch, *wires, local), wires in order, and both are advanced
by the same step: a real 4x4 matrix on one wire after the other. For a statevector the four numbers of a
wire are the real and imaginary parts of its two amplitudes; for a Pauli vector they are the
coefficients of I, Z, X and Y. Multiply-adds per sample: n_blocks * n_wires * 8 * 2^n_wires without
noise, and n_blocks * n_wires * 4 * 4^n_wires with it.
"""

import torch
from torch import Tensor

from sqdr.circuit import Pairs


def statevector(quaternions: Tensor, cz_signs: Tensor, z_signs: Tensor) -> Tensor:
    """<Z> of a noiseless circuit.

    Args:
        quaternions (Tensor of shape (4, n_blocks, batch, n_wires)): rotations of each block.
        cz_signs (Tensor of shape (2 ** n_wires, 1)): diagonal of a CZ layer.
        z_signs (Tensor of shape (2 ** k, k)): diagonals of Z on each of k wires, half of all or, where
            their number is odd, one more.

    Returns:
        Tensor of shape (batch, n_wires)
    """
    w, x, y, z = quaternions.unbind(0)
    # U = [[w - iz, -y - ix], [y - ix, w + iz]] on (Re 0, Im 0, Re 1, Im 1).
    gates = torch.stack((w, z, -y, x, -z, w, -x, -y, y, x, w, -z, -x, y, z, w), dim=-1)
    gates = torch.unflatten(gates, -1, (4, 4))
    state = quaternions.new_zeros(w.shape[1], len(cz_signs), 2)
    state[:, 0, 0] = 1
    for block, gate in enumerate(gates):
        if block > 0:
            state = state * cz_signs
        state = _on_every_wire(state, gate)
    # The wires in two halves: diagonals over all states would take more memory than the state.
    probabilities = torch.unflatten(state.square().sum(-1), -1, (-1, len(z_signs)))
    n_first = w.shape[2] - z_signs.shape[1]
    of_first = probabilities.sum(2) @ z_signs[: 2**n_first, z_signs.shape[1] - n_first :]
    return torch.cat((of_first, probabilities.sum(1) @ z_signs), dim=-1)


def pauli_vector(matrices: Tensor, source: Tensor, signs: Tensor) -> Tensor:
    """<Z> of a noisy circuit.

    Args:
        matrices (Tensor of shape (4, 4, n_blocks, batch, n_wires)): transfer matrices, as
            `transfer_matrices` returns them.
        source (Tensor of shape (4 ** n_wires,)): where a CZ layer takes each coefficient from, and
        signs (Tensor of shape (4 ** n_wires, 1)): with which sign, as `cz_permutation` returns them.

    Returns:
        Tensor of shape (batch, n_wires)
    """
    batch, n_wires = matrices.shape[-2:]
    # |0><0| is (I + Z) / 2; the factor is left out, which makes the coefficients expectation values.
    ground = matrices.new_tensor([1, 1, 0, 0])
    state = ground
    for _ in range(n_wires - 1):
        state = torch.kron(state, ground)
    state = state.expand(batch, -1).unsqueeze(-1)
    for block, matrix in enumerate(matrices.permute(2, 3, 4, 0, 1)):
        if block > 0:
            state = state[:, source] * signs
        state = _on_every_wire(state, matrix)
    z_on_one_wire = [4 ** (n_wires - 1 - wire) for wire in range(n_wires)]
    return state[:, z_on_one_wire, 0]


def cz_signs(pairs: Pairs, n_wires: int) -> Tensor:
    """Diagonal of a CZ layer: shape (2 ** n_wires, 1)."""
    states = torch.arange(2**n_wires)
    negative = torch.zeros_like(states)
    for first, second in pairs:
        negative ^= (states >> (n_wires - 1 - first)) & (states >> (n_wires - 1 - second))
    return _signs(negative).unsqueeze(-1)


def z_signs(n_wires: int) -> Tensor:
    """Diagonals of Z on each wire: shape (2 ** n_wires, n_wires)."""
    places = torch.arange(n_wires - 1, -1, -1)
    return _signs(torch.arange(2**n_wires).unsqueeze(-1) >> places)


def cz_permutation(pairs: Pairs, n_wires: int) -> tuple[Tensor, Tensor]:
    """A CZ layer on a Pauli vector: new[p] = signs[p] * old[source[p]].

    I, Z, X, Y are the digits 0, 1, 2, 3 of p, wire 0 first. CZ multiplies each side by Z if the other
    side is X or Y, that is, if the upper bit of the other digit is set. That flips the lower bit: it
    swaps I with Z and X with Y. It costs a sign when both sides are X or Y and they differ (XY -> -YX,
    but XX -> YY).

    Returns:
        source (integer Tensor of shape (4 ** n_wires,)) and signs (Tensor of shape (4 ** n_wires, 1))
    """
    source = torch.arange(4**n_wires)
    negative = torch.zeros_like(source, dtype=torch.bool)
    for pair in pairs:
        first, second = (2 * (n_wires - 1 - wire) for wire in pair)
        flips_second, flips_first = _bit(source, first + 1), _bit(source, second + 1)
        negative ^= flips_second & flips_first & (_bit(source, first) ^ _bit(source, second))
        source ^= flips_first.long() << first
        source ^= flips_second.long() << second
    return source, _signs(negative).unsqueeze(-1)


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


def _bit(numbers: Tensor, place: int) -> Tensor:
    """One bit of each number of an integer tensor, as a tensor of bools, which take less memory."""
    return (numbers >> place & 1).bool()


def _signs(exponent: Tensor) -> Tensor:
    """(-1) ** exponent, from a tensor of bools or the lowest bits of one of integers."""
    return 1.0 - 2.0 * (exponent & 1)
