"""An independent simulator: density matrices in NumPy, one Kraus operator after the other.

It shares no code with the rest of sqdr, is written for clarity alone, and states the ansatz and the
channels a second time. Gradients come from the parameter-shift rule, which is exact for these gates,
with noise too, and those of strengths from the form that <Z> has in each of them.
"""

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Named = tuple[str, Any]

I = np.eye(2, dtype=complex)  # noqa: E741
X = np.array([[0, 1], [1, 0]], dtype=complex)
Y = np.array([[0, -1j], [1j, 0]], dtype=complex)
Z = np.array([[1, 0], [0, -1]], dtype=complex)


def kraus_operators(name: str, strength: float) -> list[Array]:
    """Kraus operators of a channel, as PennyLane's documentation states them."""
    p = gamma = strength
    match name:
        case "BitFlip":
            return [np.sqrt(1 - p) * I, np.sqrt(p) * X]
        case "PhaseFlip":
            return [np.sqrt(1 - p) * I, np.sqrt(p) * Z]
        case "Depolarizing":
            return [np.sqrt(1 - p) * I, *(np.sqrt(p / 3) * pauli for pauli in (X, Y, Z))]
        case "AmplitudeDamping":
            return [np.diag([1, np.sqrt(1 - gamma)]), np.sqrt(gamma) * np.array([[0, 1], [0, 0]])]
        case "PhaseDamping":
            return [np.diag([1, np.sqrt(1 - gamma)]), np.diag([0, np.sqrt(gamma)])]
    raise ValueError(name)


def rot(phi: float, theta: float, omega: float) -> Array:
    """RZ(omega) RY(theta) RZ(phi)."""
    rz = [np.diag([np.exp(-0.5j * angle), np.exp(0.5j * angle)]) for angle in (phi, omega)]
    cos, sin = np.cos(theta / 2), np.sin(theta / 2)
    gate: Array = rz[1] @ np.array([[cos, -sin], [sin, cos]]) @ rz[0]
    return gate


def on_wire(operator: Array, wire: int, n_wires: int) -> Array:
    """An operator of one wire as one of all wires, the first wire being the most significant bit."""
    return reduce(np.kron, [operator if i == wire else I for i in range(n_wires)])


def cz(first: int, second: int, n_wires: int) -> Array:
    """CZ as an operator of all wires."""
    index = np.arange(2**n_wires)
    both = (index >> (n_wires - 1 - first)) & (index >> (n_wires - 1 - second)) & 1
    return np.diag(1.0 - 2.0 * both)


def expectation_values(
    angles: Array,
    weights: Array,
    pairs: Sequence[tuple[int, int]],
    after_rotation: Sequence[Named] = (),
    after_entangler: Sequence[Named] = (),
    readout_error: Any = 0.0,
) -> Array:
    """<Z> of every wire for one sample.

    Args:
        angles (array of shape (n_blocks, n_wires, 3)): of the data, given for each block.
        weights (array of shape (n_blocks, n_wires, 3))
        pairs (sequence of pairs): wires of the CZ gates of a layer.
        after_rotation, after_entangler (sequences of (name, strength)): channels; strengths broadcast
            to (n_blocks, n_wires), those after a CZ layer in the place of the block before it.
        readout_error (float or array of shape (n_wires,))
    """
    n_blocks, n_wires, _ = weights.shape
    rho = np.zeros((2**n_wires, 2**n_wires), dtype=complex)
    rho[0, 0] = 1

    def channels(rho: Array, named: Sequence[Named], block: int) -> Array:
        for wire in range(n_wires):
            for name, strength in named:
                if name == "Kraus":
                    operators = [np.array(operator) for operator in strength]
                else:
                    here = np.broadcast_to(strength, (n_blocks, n_wires))[block, wire]
                    operators = kraus_operators(name, here)
                kraus = [on_wire(k, wire, n_wires) for k in operators]
                rho = np.sum([k @ rho @ k.conj().T for k in kraus], axis=0)
        return rho

    for block in range(n_blocks):
        for wire in range(n_wires):
            unitary = on_wire(rot(*weights[block, wire]) @ rot(*angles[block, wire]), wire, n_wires)
            rho = unitary @ rho @ unitary.conj().T
        rho = channels(rho, after_rotation, block)
        if block < n_blocks - 1:
            for first, second in pairs:
                gate = cz(first, second, n_wires)
                rho = gate @ rho @ gate
            rho = channels(rho, after_entangler, block)
    values = [np.trace(on_wire(Z, wire, n_wires) @ rho).real for wire in range(n_wires)]
    scaled: Array = (1 - 2 * np.asarray(readout_error)) * np.array(values)
    return scaled


def batch_expectation_values(
    angles: Array, weights: Array, pairs: Sequence[tuple[int, int]], **noise: Any
) -> Array:
    """<Z> (batch, n_wires) for angles (batch, 3 * n_wires)."""
    n_wires = weights.shape[1]
    return np.stack(
        [
            expectation_values(
                np.broadcast_to(sample.reshape(n_wires, 3), weights.shape), weights, pairs, **noise
            )
            for sample in angles
        ]
    )


def gradients(
    angles: Array, weights: Array, pairs: Sequence[tuple[int, int]], cotangent: Array, **noise: Any
) -> tuple[Array, Array]:
    """Gradients of sum(cotangent * <Z>) for one sample, by the parameter-shift rule.

    Args:
        angles (array of shape (3 * n_wires,))
        weights (array of shape (n_blocks, n_wires, 3))
        cotangent (array of shape (n_wires,))

    Returns:
        arrays of the shapes of angles and weights
    """
    uploads = np.broadcast_to(angles.reshape(-1, 3), weights.shape).copy()

    def shifted(parameter: Array, index: tuple[int, ...], shift: float) -> float:
        original = parameter[index]
        parameter[index] = original + shift
        value = float(cotangent @ expectation_values(uploads, trained, pairs, **noise))
        parameter[index] = original
        return value

    def shift_rule(parameter: Array) -> Array:
        gradient = np.empty_like(parameter)
        for index in np.ndindex(parameter.shape):
            up, down = (shifted(parameter, index, s) for s in (np.pi / 2, -np.pi / 2))
            gradient[index] = (up - down) / 2
        return gradient

    trained = weights.copy()
    return shift_rule(uploads).sum(0).reshape(-1), shift_rule(trained)


def strength_gradient(
    uploads: Array,
    weights: Array,
    pairs: Sequence[tuple[int, int]],
    cotangent: Array,
    place: str,
    index: int,
    **noise: Any,
) -> Array:
    """Gradient of sum(cotangent * <Z>) by the strength of one channel, for one sample.

    <Z> is a + b p + c sqrt(1 - p) in the strength p at each block and wire, with c = 0 for Pauli
    channels, so that its values at three strengths give its slope.

    Args:
        uploads (array of shape (n_blocks, n_wires, 3)): angles of the data, given for each block.
        weights (array of shape (n_blocks, n_wires, 3))
        cotangent (array of shape (n_wires,))
        place (str): "after_rotation" or "after_entangler".
        index (int): of the channel in its place.

    Returns:
        array of shape (n_blocks, n_wires)
    """
    name, strength = noise[place][index]
    strengths = np.broadcast_to(strength, weights.shape[:2])
    nodes = np.array([0, 0.75, 1])
    basis = np.stack([np.ones(3), nodes, np.sqrt(1 - nodes)], axis=1)

    def value(block: int, wire: int, node: float) -> float:
        changed = strengths.copy()
        changed[block, wire] = node
        channels = list(noise[place])
        channels[index] = (name, changed)
        changed_noise = noise | {place: channels}
        return float(cotangent @ expectation_values(uploads, weights, pairs, **changed_noise))

    gradient = np.empty(strengths.shape)
    for block, wire in np.ndindex(strengths.shape):
        _, b, c = np.linalg.solve(basis, [value(block, wire, node) for node in nodes])
        gradient[block, wire] = b - c / (2 * np.sqrt(1 - strengths[block, wire]))
    return gradient
