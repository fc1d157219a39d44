"""Which member of the family of re-uploading circuits a circuit is, checked once and in plain form."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from sqdr.bounds import MAX_FULL
from sqdr.validation import argument_error, check_boolean

Entanglement = (
    Literal["none", "linear", "circular", "full"] | Sequence[Sequence[int]] | NDArray[np.integer[Any]]
)
Entangler = Literal["CZ", "ZZ"]
Inputs = Literal["repeat", "split"]
Pairs = tuple[tuple[int, int], ...]
#: "Z", "X" or "Y" of every wire, or words such as "X1 X2".
Observables = str | Sequence[str]
#: A product of Pauli operators: (wire, letter) of each factor, by wire.
PauliWord = tuple[tuple[int, str], ...]

AXES = "XYZ"
_FACTOR = re.compile(r"([XYZ])([0-9]{1,9})")


#: The arguments that choose a member of the family, with their defaults: the published circuit.
FAMILY: dict[str, Any] = {
    "encoding": "Rot",
    "rotation": "Rot",
    "inputs": "repeat",
    "scaling": False,
    "entangler": "CZ",
    "entanglement": "linear",
    "observables": "Z",
}

#: The names of the tensors of gates that a circuit trains.
TRAINED = ("weights", "scales", "couplings")


@dataclass(frozen=True)
class Ansatz:
    """One member of the family that `ReuploadCircuit` describes, its words spelt out.

    Args:
        n_wires, n_blocks (ints): sizes.
        encoding, rotation (str): axes of the rotations that take data and of those that are trained, in
            the order in which they act, for instance "ZYZ".
        inputs (str): "repeat" or "split".
        scaling (bool): whether each angle of the data has a trained factor.
        entangler (str): "CZ" or "ZZ".
        pairs (tuple of pairs of ints): the wires that an entangler acts on.
        observables (tuple of Pauli words): what is measured.
    """

    n_wires: int
    n_blocks: int
    encoding: str
    rotation: str
    inputs: Inputs
    scaling: bool
    entangler: Entangler
    pairs: Pairs
    observables: tuple[PauliWord, ...]

    @classmethod
    def chosen(cls, n_wires: int, n_blocks: int, **family: Any) -> Ansatz:
        """The member that arguments of `ReuploadCircuit` choose, checked.

        Args:
            n_wires, n_blocks (ints): sizes, checked already.
            **family: arguments among those of `FAMILY`.

        Raises:
            ValueError: if one is out of its domain.
        """
        chosen = FAMILY | family
        return cls(
            n_wires,
            n_blocks,
            axes_of("encoding", chosen["encoding"]),
            axes_of("rotation", chosen["rotation"]),
            one_of("inputs", chosen["inputs"], Inputs),
            check_boolean("scaling", chosen["scaling"]),
            one_of("entangler", chosen["entangler"], Entangler),
            entangled_pairs(chosen["entanglement"], n_wires),
            pauli_words(chosen["observables"], n_wires),
        )

    @property
    def n_inputs(self) -> int:
        """In how many blocks features differ: all, or one that stands for all."""
        return self.n_blocks if self.inputs == "split" else 1

    @property
    def n_features(self) -> int:
        return self.n_inputs * self.n_wires * len(self.encoding)

    @property
    def n_outputs(self) -> int:
        return len(self.observables)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the tensors that are trained, by their names among `TRAINED`."""
        of_wires = self.n_blocks, self.n_wires
        shapes: dict[str, tuple[int, ...]] = {"weights": (*of_wires, len(self.rotation))}
        if self.scaling:
            shapes["scales"] = (*of_wires, len(self.encoding))
        if self.entangler == "ZZ":
            shapes["couplings"] = (self.n_blocks - 1, len(self.pairs))
        return shapes

    @property
    def differs_between_blocks(self) -> bool:
        """Whether the angles of the data are not the same in every block."""
        return self.scaling or self.inputs == "split"


def axes_of(argument: str, word: Any) -> str:
    """The axes that a word stands for: "ZYZ" for "Rot", otherwise itself.

    Raises:
        ValueError: unless it is "Rot" or a word of the letters X, Y and Z.
    """
    if word == "Rot":
        return "ZYZ"
    if not isinstance(word, str) or not word or not set(word) <= set(AXES):
        raise argument_error(argument, 'be "Rot" or a word of X, Y and Z such as "ZXZ"', f"is {word!r}")
    return word


def one_of(argument: str, value: Any, choices: Any) -> Any:
    """`value`, which must be among those of a Literal."""
    known = get_args(choices)
    if not isinstance(value, str) or value not in known:
        listed = " or ".join(f'"{name}"' for name in known)
        raise argument_error(argument, f"be {listed}", f"is {value!r}")
    return value


def all_wires(letter: str, n_wires: int) -> tuple[PauliWord, ...]:
    """A Pauli operator of every wire."""
    return tuple(((wire, letter),) for wire in range(n_wires))


def pauli_words(observables: Any, n_wires: int) -> tuple[PauliWord, ...]:
    """The observables as words, each by wire.

    Args:
        observables (str or sequence of str): as in `ReuploadCircuit`.
        n_wires (int): number of wires.

    Raises:
        ValueError: if a letter or wire does not exist, a word has a wire twice, or there is none.
    """
    if isinstance(observables, str) and observables in tuple(AXES):
        return all_wires(observables, n_wires)
    must = f'be "Z", "X", "Y" or a sequence of words such as "X0 Z1" on wires 0 to {n_wires - 1}'
    if isinstance(observables, str) or not isinstance(observables, Sequence):
        raise argument_error("observables", must, f"is {observables!r}")
    if not observables:
        raise argument_error("observables", must, "is empty")
    return tuple(_pauli_word(word, n_wires, must) for word in observables)


def shown_word(word: PauliWord) -> str:
    """A Pauli word as it is written, for instance "X1 X2"."""
    return " ".join(f"{letter}{wire}" for wire, letter in word)


def _pauli_word(word: Any, n_wires: int, must: str) -> PauliWord:
    factors = [_FACTOR.fullmatch(factor) for factor in word.split()] if isinstance(word, str) else []
    if not factors:
        raise argument_error("observables", must, f"holds {word!r}")
    letters: dict[int, str] = {}
    for factor in factors:
        if factor is None:
            raise argument_error("observables", must, f"holds {word!r}")
        wire = int(factor[2])
        if wire >= n_wires:
            raise argument_error("observables", must, f"holds {word!r}, of a wire that is not there")
        if wire in letters:
            raise argument_error("observables", must, f"holds {word!r}, with wire {wire} twice")
        letters[wire] = factor[1]
    return tuple(sorted(letters.items()))


def entangled_pairs(entanglement: Entanglement, n_wires: int) -> Pairs:
    """The pairs of wires of an entangling layer.

    Args:
        entanglement (str or sequence of pairs): as in `ReuploadCircuit`.
        n_wires (int): number of wires.

    Raises:
        ValueError: on an unknown name, a wire that does not exist, a pair of a wire with itself, or a
            pair listed twice.
    """
    if not isinstance(entanglement, str):
        return _checked_pairs(entanglement, n_wires)
    name: str = entanglement
    if name == "none":
        return ()
    if name == "full":
        if n_wires > MAX_FULL:
            must = f"be of at most {MAX_FULL:,} for every pair to be entangled"
            raise argument_error("n_wires", must, f"is {n_wires}")
        return tuple((i, j) for i in range(n_wires) for j in range(i + 1, n_wires))
    linear = tuple((i, i + 1) for i in range(n_wires - 1))
    if name == "linear":
        return linear
    if name == "circular":
        return linear + (((n_wires - 1, 0),) if n_wires > 2 else ())
    return _checked_pairs(name, n_wires)


def in_rounds(pairs: Pairs) -> list[int]:
    """Where the pairs stand that act first, then those that act second, and so on.

    In a round no wire has two pairs, so that a device acts on all of them at once: on a chain first
    every other pair, and then the rest. Entanglers commute, so their order is free.

    Returns:
        list of int: positions in `pairs`.
    """
    rounds: list[set[int]] = []
    placed: list[tuple[int, int]] = []
    for position, pair in enumerate(pairs):
        free = (k for k, busy in enumerate(rounds) if busy.isdisjoint(pair))
        first = next(free, len(rounds))
        if first == len(rounds):
            rounds.append(set())
        rounds[first].update(pair)
        placed.append((first, position))
    return [position for _, position in sorted(placed)]


def _checked_pairs(pairs: Any, n_wires: int) -> Pairs:
    names = '"none", "linear", "circular", "full"'
    must = f"be {names} or distinct pairs of wires 0 to {n_wires - 1}"
    if isinstance(pairs, np.ndarray):
        pairs = pairs.tolist()
    if isinstance(pairs, str) or not isinstance(pairs, Sequence):
        raise argument_error("entanglement", must, f"is {pairs!r}")
    checked: dict[frozenset[int], tuple[int, int]] = {}
    for pair in pairs:
        if not _is_pair(pair, n_wires):
            raise argument_error("entanglement", must, f"holds {pair!r}")
        if frozenset(pair) in checked:
            raise argument_error("entanglement", must, f"holds {tuple(pair)} twice")
        checked[frozenset(pair)] = int(pair[0]), int(pair[1])
    return tuple(checked.values())


def _is_pair(pair: Any, n_wires: int) -> bool:
    return (
        isinstance(pair, Sequence)
        and len(pair) == 2
        and all(isinstance(wire, int | np.integer) and 0 <= wire < n_wires for wire in pair)
        and not any(isinstance(wire, bool) for wire in pair)
        and pair[0] != pair[1]
    )
