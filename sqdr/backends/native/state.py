"""What the whole state, as a statevector or as a vector of Pauli coefficients, takes either way.

Both are stored as real tensors of shape (batch, *wires, local), wires in order, and both are advanced
by the same step: a real 4x4 matrix on one wire after the other. For a statevector the four numbers of a
wire are the real and imaginary parts of its two amplitudes; for a Pauli vector they are the
coefficients of I, Z, X and Y.
"""

from torch import Tensor

from sqdr.backends.native.method import Shape


def on_every_wire(state: Tensor, matrices: Tensor) -> Tensor:
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


def bit_signs(exponent: Tensor) -> Tensor:
    """(-1) ** exponent, from a tensor of bools or the lowest bits of one of integers."""
    return 1.0 - 2.0 * (exponent & 1)


def smaller_circuit(shape: Shape) -> tuple[str, str]:
    """The argument that must change if not even one sample fits into memory, and how."""
    must = "be smaller, or `n_blocks` be smaller"
    if shape.topology == "other":
        must += ' (at most 2), or `entanglement` be "linear" or "circular"'
    return "n_wires", must
