"""An independent simulator: density matrices in NumPy, one Kraus operator after the other.

It shares no code with the rest of sqdr, is written for clarity alone, and states the family of circuits
and the channels a second time. Gradients come from the parameter-shift rule, which is exact for these
gates, with noise too, and those of strengths from the form that values have in each of them.

Every array may have axes in front ("..."), which broadcast: they are circuits evaluated side by side.
"""

from collections.abc import Iterator, Sequence
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Named = tuple[str, Any]
Pairs = Sequence[tuple[int, int]]

I = np.eye(2, dtype=complex)  # noqa: E741
X = np.array([[0, 1], [1, 0]], dtype=complex)
Y = np.array([[0, -1j], [1j, 0]], dtype=complex)
Z = np.array([[1, 0], [0, -1]], dtype=complex)
PAULIS = {"X": X, "Y": Y, "Z": Z}
CZ = np.diag([1, 1, 1, -1])


def kraus_operators(name: str, strength: Any) -> list[Array]:
    """Kraus operators (..., 2, 2) of a channel, as PennyLane's documentation states them.

    Those of "TwoWireDepolarizing" have the shape (..., 4, 4).
    """
    p = gamma = np.asarray(strength)[..., None, None]
    match name:
        case "BitFlip":
            return [np.sqrt(1 - p) * I, np.sqrt(p) * X]
        case "PhaseFlip":
            return [np.sqrt(1 - p) * I, np.sqrt(p) * Z]
        case "Depolarizing":
            return [np.sqrt(1 - p) * I, *(np.sqrt(p / 3) * pauli for pauli in (X, Y, Z))]
        case "AmplitudeDamping":
            kept = np.diag([1, 0]) + np.sqrt(1 - gamma) * np.diag([0, 1])
            return [kept, np.sqrt(gamma) * np.array([[0, 1], [0, 0]])]
        case "PhaseDamping":
            kept = np.diag([1, 0]) + np.sqrt(1 - gamma) * np.diag([0, 1])
            return [kept, np.sqrt(gamma) * np.diag([0, 1])]
        case "TwoWireDepolarizing":
            none, *others = (np.kron(a, b) for a in (I, X, Y, Z) for b in (I, X, Y, Z))
            return [np.sqrt(1 - p) * none, *(np.sqrt(p / 15) * both for both in others)]
    raise ValueError(name)


def turn(pauli: Array, angle: Any) -> Array:
    """exp(-i angle/2 P), of the shape (..., d, d), of a product P of Pauli operators."""
    half = np.asarray(angle)[..., None, None] / 2
    gate: Array = np.cos(half) * np.eye(len(pauli)) - 1j * np.sin(half) * pauli
    return gate


def turns(axes: str, angles: Array) -> Array:
    """Rotations (..., 2, 2) of a wire by angles (..., letters), the first letter's acting first."""
    gates = [turn(PAULIS[axis], angles[..., letter]) for letter, axis in enumerate(_spelt(axes))]
    return reduce(lambda earlier, later: later @ earlier, gates)


def kron(first: Array, second: Array) -> Array:
    """`np.kron` of the last two axes."""
    product: Array = np.einsum("...ij,...kl->...ikjl", first, second)
    size = first.shape[-1] * second.shape[-1]
    return product.reshape(*product.shape[:-4], size, size)


def on_wires(operator: Array, wires: Sequence[int], n_wires: int) -> Array:
    """An operator of some wires as one of all wires, the first wire being the most significant bit."""
    others = [wire for wire in range(n_wires) if wire not in wires]
    operator = kron(operator, np.eye(2 ** len(others)))
    *front, size, _ = operator.shape
    place = np.argsort([*wires, *others]) + len(front)
    bits = operator.reshape(*front, *(2,) * (2 * n_wires))
    return bits.transpose(*range(len(front)), *place, *(place + n_wires)).reshape(*front, size, size)


def reading(letter: str, of_zero: Array, of_one: Array) -> Array:
    """The operator (..., 2, 2) whose mean is that of what is read of a Pauli, +1 or -1.

    Args:
        letter (str): the Pauli, which is read after its axis was turned to Z.
        of_zero, of_one (arrays of shape (...)): probabilities that 0, or 1, is read wrongly.
    """
    wrong_zero, wrong_one = (np.asarray(p)[..., None, None] for p in (of_zero, of_one))
    zero, one = (I + PAULIS[letter]) / 2, (I - PAULIS[letter]) / 2
    operator: Array = (1 - 2 * wrong_zero) * zero + (2 * wrong_one - 1) * one
    return operator


def expectation_values(
    angles: Array,
    weights: Array,
    pairs: Pairs,
    after_rotation: Sequence[Named] = (),
    after_entangler: Sequence[Named] = (),
    readout_error: Any = 0.0,
    *,
    encoding: str = "Rot",
    rotation: str = "Rot",
    scales: Array | None = None,
    couplings: Array | None = None,
    observables: str | Sequence[str] = "Z",
) -> Array:
    """Expectation values (..., n_outputs).

    Args:
        angles (array of shape (..., n_features)): of the data, by wire and letter for all blocks, or by
            block, wire and letter.
        weights (array of shape (..., n_blocks, n_wires, letters of rotation))
        pairs (sequence of pairs): wires that the gates of an entangling layer act on.
        after_rotation, after_entangler (sequences of (name, strength)): channels; strengths broadcast
            to (..., n_blocks, n_wires), those of "TwoWireDepolarizing" to (..., n_blocks, pairs), noise
            after an entangling layer being in the place of the block before it. "Kraus" has operators.
        readout_error (array that broadcasts to (..., 2, n_wires)): of a 0 and of a 1.
        encoding, rotation (str): axes, "Rot" being "ZYZ".
        scales (array of shape (..., n_blocks, n_wires, letters of encoding)): factors of the angles.
        couplings (array of shape (..., n_blocks - 1, pairs)): angles of ZZ gates; CZ gates without.
        observables (str or sequence of str): the letter of a Pauli of every wire, or words.
    """
    n_blocks, n_wires, _ = weights.shape[-3:]
    data = uploads(angles, weights, encoding, scales)

    def operations() -> Iterator[tuple[list[Array], Sequence[int]]]:
        for block in range(n_blocks):
            for wire in range(n_wires):
                of_data = turns(encoding, data[..., block, wire, :])
                yield [turns(rotation, weights[..., block, wire, :]) @ of_data], [wire]
            yield from channels(after_rotation, block)
            if block < n_blocks - 1:
                for place, pair in enumerate(pairs):
                    if couplings is None:
                        yield [CZ], pair
                    else:
                        yield [turn(np.kron(Z, Z), couplings[..., block, place])], pair
                yield from channels(after_entangler, block)

    def channels(named: Sequence[Named], block: int) -> Iterator[tuple[list[Array], Sequence[int]]]:
        for name, strength in named:
            places = pairs if name == "TwoWireDepolarizing" else [(wire,) for wire in range(n_wires)]
            for place, wires in enumerate(places):
                if name == "Kraus":
                    here = np.asarray(strength)
                    yield [*(here if here.ndim == 3 else here[place])], wires
                else:
                    here = _stretched(strength, n_blocks, len(places))[..., block, place]
                    yield kraus_operators(name, here), wires

    rho = np.zeros((2**n_wires, 2**n_wires), dtype=complex)
    rho[0, 0] = 1
    for operators, wires in operations():
        of_all = [on_wires(operator, wires, n_wires) for operator in operators]
        rho = np.asarray(sum(k @ rho @ k.conj().swapaxes(-1, -2) for k in of_all))
    wrongly = _stretched(readout_error, 2, n_wires)
    values = []
    for word in _words(observables, n_wires):
        wires = [int(factor[1:]) for factor in word.split()]
        factors = [
            reading(factor[0], wrongly[..., 0, wire], wrongly[..., 1, wire])
            for factor, wire in zip(word.split(), wires, strict=True)
        ]
        observable = on_wires(reduce(kron, factors), wires, n_wires)
        values.append(np.trace(observable @ rho, axis1=-2, axis2=-1).real)
    return np.stack(values, axis=-1)


def uploads(angles: Array, weights: Array, encoding: str = "Rot", scales: Array | None = None) -> Array:
    """What each block reads (..., n_blocks, n_wires, letters); arguments as in `expectation_values`."""
    n_blocks, n_wires, _ = weights.shape[-3:]
    letters = len(_spelt(encoding))
    read = angles.reshape(*angles.shape[:-1], -1, n_wires, letters)
    return read * (np.ones((n_blocks, n_wires, letters)) if scales is None else scales)


def gradients(
    angles: Array, weights: Array, pairs: Pairs, cotangent: Array, **circuit: Any
) -> dict[str, Array]:
    """Gradients of sum(cotangent * values) for one sample, by the parameter-shift rule.

    Args:
        angles, weights, pairs: as in `expectation_values`, without axes in front.
        cotangent (array of shape (n_outputs,))
        **circuit: further arguments of `expectation_values`.

    Returns:
        dict of arrays: of "angles", "weights", and those of "scales" and "couplings" that are given.
    """
    encoding, scales = circuit.get("encoding", "Rot"), circuit.pop("scales", None)
    # What is read is given for each block, so that each gate has an angle of its own.
    read = uploads(angles, weights, encoding, scales)
    turned = {"angles": read.reshape(-1), "weights": weights}
    if circuit.get("couplings") is not None:
        turned["couplings"] = circuit["couplings"]

    def shift_rule(name: str) -> Array:
        one = turned[name]
        shifts = np.pi / 2 * np.eye(one.size).reshape(one.size, *one.shape)
        up, down = (
            expectation_values(pairs=pairs, **circuit | turned | {name: one + sign * shifts})
            for sign in (1, -1)
        )
        gradient = np.zeros(one.size)
        gradient[:] = (up - down) @ cotangent / 2  # one number where none acts
        return gradient.reshape(one.shape)

    found = {name: shift_rule(name) for name in turned}
    of_read = found["angles"].reshape(read.shape)
    if scales is not None:
        found["scales"] = of_read * uploads(angles, weights, encoding)
        of_read = of_read * scales
    is_split = angles.size == read.size
    found["angles"] = (of_read if is_split else of_read.sum(0)).reshape(angles.shape)
    return found


def strength_gradient(
    angles: Array,
    weights: Array,
    pairs: Pairs,
    cotangent: Array,
    place: str,
    index: int = 0,
    **circuit: Any,
) -> Array:
    """Gradient of sum(cotangent * values) by one strength of the noise, for one sample.

    Values are a + b p + c sqrt(1 - p) in a strength p at each block and wire or pair, with c = 0 for
    Pauli channels and readout error, so that their values at three strengths give the slope.

    Args:
        angles, weights, pairs, cotangent: as in `gradients`.
        place (str): "after_rotation", "after_entangler" or "readout_error".
        index (int): of the channel in its place.
        **circuit: further arguments of `expectation_values`.

    Returns:
        array of shape (n_blocks, n_wires), (n_blocks, pairs), or (2, n_wires) for readout error
    """
    n_blocks, n_wires, _ = weights.shape
    is_readout = place == "readout_error"
    name, strength = ("", circuit[place]) if is_readout else circuit[place][index]
    n_places = len(pairs) if name == "TwoWireDepolarizing" else n_wires
    strengths = _stretched(strength, 2 if is_readout else n_blocks, n_places)
    each = np.eye(strengths.size, dtype=bool).reshape(strengths.size, *strengths.shape)

    def value(node: float) -> Array:
        changed: Any = np.where(each, node, strengths)
        if not is_readout:
            changed = [(name, changed) if i == index else c for i, c in enumerate(circuit[place])]
        values = expectation_values(angles, weights, pairs, **circuit | {place: changed}) @ cotangent
        return np.broadcast_to(values, strengths.size)  # one number if none acts

    nodes = np.array([0, 0.75, 1])
    basis = np.stack([np.ones(3), nodes, np.sqrt(1 - nodes)], axis=1)
    _, b, c = np.linalg.solve(basis, np.stack([value(node) for node in nodes]))
    gradient: Array = b.reshape(strengths.shape)
    if name in ("AmplitudeDamping", "PhaseDamping"):
        gradient = gradient - c.reshape(strengths.shape) / (2 * np.sqrt(1 - strengths))
    return gradient


def _spelt(axes: str) -> str:
    return "ZYZ" if axes == "Rot" else axes


def _words(observables: str | Sequence[str], n_wires: int) -> Sequence[str]:
    if isinstance(observables, str):
        return [f"{observables}{wire}" for wire in range(n_wires)]
    return observables


def _stretched(strength: Any, *sizes: int) -> Array:
    """Strengths with the last axes of `sizes`."""
    given = np.asarray(strength)
    return np.broadcast_to(given, np.broadcast_shapes(given.shape, sizes))
