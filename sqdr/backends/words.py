"""Pauli words as tables of indices, what is measured together, and what readout error makes of it."""

from collections.abc import Iterable
from itertools import combinations, product

import torch
from torch import Tensor

from sqdr.ansatz import PauliWord
from sqdr.noise import Number
from sqdr.validation import argument_error

#: Factors of a word for which readout error may differ between 0 and 1: it takes all words within it.
_MOST_FACTORS = 12


def word_tables(words: tuple[PauliWord, ...], padding: int) -> tuple[Tensor, Tensor]:
    """Wires and letters of words as tables.

    Args:
        words (tuple of Pauli words): of one or more factors.
        padding (int): a wire that stands where a word has fewer factors than the longest.

    Returns:
        integer Tensors of shape (factors, words): wires, and places of the letters in I, Z, X, Y; I on
        the wire `padding`.
    """
    most = max(map(len, words))
    padded = [[*word, *[(padding, "I")] * (most - len(word))] for word in words]
    wires = [[wire for wire, _ in word] for word in padded]
    letters = [["IZXY".index(letter) for _, letter in word] for word in padded]
    with torch.device("cpu"):
        return torch.tensor(wires).T.contiguous(), torch.tensor(letters).T.contiguous()


def measured_together(words: tuple[PauliWord, ...]) -> list[list[int]]:
    """Places of the words that agree on the axis of each wire, which one setting of a device serves."""
    settings: list[tuple[dict[int, str], list[int]]] = []
    for place, word in enumerate(words):
        agree = (s for s in settings if all(s[0].get(w, letter) == letter for w, letter in word))
        axes, places = setting = next(agree, ({}, []))
        if not places:
            settings.append(setting)
        axes.update(word)
        places.append(place)
    return [places for _, places in settings]


def axes_of_measurement(words: Iterable[PauliWord]) -> dict[int, str]:
    """The letter that each wire is read in by words that agree on it."""
    return {wire: letter for word in words for wire, letter in word}


class Readout:
    """Readout error of the observables of a circuit.

    A bit that is read with error makes scale * P + shift * I of a factor P of an observable. Where
    there is a shift, a word needs the values of the words within it as well.

    Args:
        observables (tuple of Pauli words): that the circuit gives out.
        n_wires (int): number of wires.
        has_shift (bool): whether the errors of a 0 and of a 1 may differ.

    Attributes:
        words (tuple of Pauli words): those whose values are needed, the observables first.

    Raises:
        ValueError: if there is a shift, and a word has too many factors for it.
    """

    def __init__(self, observables: tuple[PauliWord, ...], n_wires: int, has_shift: bool) -> None:
        self._has_shift = has_shift
        self._n_wires, self._n_outputs = n_wires, len(observables)
        self._is_each_wire = len(observables) == n_wires and all(
            len(word) == 1 and word[0][0] == wire for wire, word in enumerate(observables)
        )
        words = list(observables)
        if has_shift:
            words += _within(observables)
        self.words = tuple(words)
        self._places = {word: place for place, word in enumerate(words)}
        self._on_devices: dict[torch.device, list[Tensor]] = {}

    def __call__(self, values: Tensor, scale: Number, shift: Number) -> Tensor:
        """The observables with readout error.

        Args:
            values (Tensor of shape (batch, words)): without it.
            scale, shift (floats or Tensors that broadcast to (n_wires,)): as above; the latter counts
                only if the errors may differ.

        Returns:
            Tensor of shape (batch, observables)
        """
        if self._is_each_wire:
            values = values * scale
            return values + shift if self._has_shift else values
        wires, *places = self._tables_on(values.device)
        scales = self._of_factors(values, scale, wires, 1.0)
        if not self._has_shift:
            return values * scales.prod(0)
        shifts = self._of_factors(values, shift, wires, 0.0)
        padded = torch.cat((values, values.new_ones(len(values), 1)), dim=1)
        total = torch.zeros_like(values[:, : self._n_outputs])
        for kept, place in zip(product((False, True), repeat=len(wires)), places, strict=True):
            of_factors = [scales[k] if is_kept else shifts[k] for k, is_kept in enumerate(kept)]
            total = total + torch.stack(of_factors).prod(0) * padded[:, place]
        return total

    def _of_factors(self, like: Tensor, number: Number, wires: Tensor, padding: float) -> Tensor:
        """A number of each wire for each factor of each observable, `padding` where there is none."""
        of_wires = torch.as_tensor(number, dtype=like.dtype, device=like.device).expand(self._n_wires)
        return torch.cat((of_wires, of_wires.new_full((1,), padding)))[wires]

    def _tables_on(self, device: torch.device) -> list[Tensor]:
        """Wires of the factors, and for each choice of those kept the place of the word they make."""
        if device not in self._on_devices:
            with torch.inference_mode(False):
                observables = self.words[: self._n_outputs]
                wires, _ = word_tables(observables, self._n_wires)
                tables = [wires]
                if self._has_shift:
                    for kept in product((False, True), repeat=len(wires)):
                        chosen = [_chosen(word, kept) for word in observables]
                        places = [self._places.get(word, len(self.words)) for word in chosen]
                        tables.append(torch.tensor(places, device="cpu"))
                self._on_devices[device] = [table.to(device) for table in tables]
        return self._on_devices[device]


def _chosen(word: PauliWord, kept: tuple[bool, ...]) -> PauliWord:
    return tuple(factor for factor, is_kept in zip(word, kept, strict=False) if is_kept)


def _within(observables: tuple[PauliWord, ...]) -> list[PauliWord]:
    """The words within others that are not among them."""
    known, found = set(observables), []
    for word in observables:
        if len(word) > _MOST_FACTORS:
            must = f"have at most {_MOST_FACTORS} factors each for a ReadoutError"
            raise argument_error("observables", must, f"has one of {len(word)}")
        for size in range(1, len(word)):
            for part in combinations(word, size):
                if part not in known:
                    known.add(part)
                    found.append(part)
    return found
