"""Pauli words behind two blocks, with CZ or ZZ on any pairs: sums of products of Bloch vectors.

Each factor of a word is a row over I, Z, X, Y of its wire behind the entangling layer. There X + iY of
wire i stands for (X_i + iY_i) times cos t + i sin t Z_j for each pair (i, j), whose angle is t. So a
word is a sum over the choices of I, Z, X + iY or X - iY for each of its factors, and each choice is a
product over wires: those of the word and their neighbours, turned by the sum of the angles towards
them. CZ is ZZ of pi/2 with RZ(-pi/2) on each side. The derivation is in docs/causal-cone.md.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import product

import torch
from torch import Tensor

from sqdr.ansatz import PauliWord
from sqdr.backends.native.method import Shape
from sqdr.backends.words import word_tables

#: Real and imaginary part; None for no imaginary part.
Complex = tuple[Tensor, Tensor | None]


def words_of_two_blocks(
    matrices: Tensor,
    couplings: Tensor,
    shape: Shape,
    tables: Mapping[str, Tensor],
    of_pairs: Sequence[Tensor],
) -> Tensor:
    """Values of the words of a circuit of two blocks.

    Args:
        matrices (Tensor of shape (4, 4, 2, batch, n_wires)): as `transfer_matrices` returns them.
        couplings (Tensor of shape (1, pairs)): angles of ZZ; without pairs for CZ.
        shape (Shape): of the circuit.
        tables (mapping): of `tables_of_words`.
        of_pairs (sequence of Tensors): what `pair_noise` returns, if words are of several wires; empty
            without noise on pairs.

    Returns:
        Tensor of shape (batch, words)
    """
    first, second = matrices.unbind(2)
    _, z, x, y = vector = first[:, 0] + first[:, 1]  # |0> has <I> = <Z> = 1
    if shape.has_couplings:
        turns = couplings[0]
    else:
        turns = x.new_full((len(shape.pairs),), math.pi / 2)
        phase = tables["phases"].to(x.dtype)  # cosine and sine of what the RZ turn by
        x, y = phase[0] * x - phase[1] * y, phase[0] * y + phase[1] * x
        vector = torch.stack((vector[0], z, x, y))
    turns = torch.cat((turns, turns.new_zeros(1)))
    values: list[Tensor] = []
    for factors in sorted({len(word) for word in shape.words}):
        of_words = {name: tables[f"{name}_{factors}"] for name in _NAMES}
        wires, letters = of_words["wires"], of_words["letters"]
        rows = second.permute(0, 3, 1, 2)[letters, wires]  # factors, words, columns, batch
        own = vector.transpose(1, 2)[:, wires]  # I Z X Y, factors, words, batch
        strings = _strings(rows.transpose(1, 2))
        if of_pairs:
            strings = _behind_pair_noise(strings, of_words, *(of_layer[:, 0] for of_layer in of_pairs))
        values.append(_sum_over_choices(strings, own, z.T, turns, of_words))
    return torch.cat(values)[tables["order"]].T


def _strings(rows: Tensor) -> Tensor:
    """Coefficients of all strings of I, Z, X, Y on the wires of words.

    Args:
        rows (Tensor of shape (factors, 4, words, batch)): of each factor over I, Z, X, Y.

    Returns:
        Tensor of shape (*4 for each factor, words, batch)
    """
    first, *others = rows.unbind(0)
    for row in others:
        first = first.unsqueeze(-3) * row
    return first


def _behind_pair_noise(
    strings: Tensor, tables: Mapping[str, Tensor], maps: Tensor, factors: Tensor
) -> Tensor:
    """The coefficients before noise on pairs and what acts on wires between, given those behind it.

    Args:
        strings (Tensor): as from `_strings`.
        tables (mapping): for words of this length; see `tables_of_words`.
        maps, factors (Tensors): a layer of what `pair_noise` returns.
    """
    n_factors, batch = strings.dim() - 2, strings.shape[-1]
    wires = tables["wires"]
    for matrices, of_pairs in zip(reversed(maps), reversed(factors), strict=True):
        padded = torch.cat((of_pairs, of_pairs.new_ones(len(of_pairs), 1)), dim=1).T
        outside, inside = padded[tables["outside_pairs"]].prod(1), padded[tables["inside_pairs"]]
        for kept in product((False, True), repeat=n_factors):  # which factors are not the identity
            scale = torch.ones_like(outside[0])
            for factor, is_kept in enumerate(kept):
                scale = scale * outside[factor] if is_kept else scale
                for other in range(factor):
                    scale = scale * inside[factor, other] if is_kept or kept[other] else scale
            place = tuple(slice(1, None) if is_kept else slice(0, 1) for is_kept in kept)
            mask = torch.zeros_like(strings)
            mask[place] = 1
            strings = strings * (1 + mask * (scale - 1))
        of_wires = matrices.expand(batch, matrices.shape[1], 4, 4)
        if of_wires.shape[1] == 1:
            of_wires = of_wires.expand(batch, int(wires.max()) + 1, 4, 4)
        for factor in range(n_factors):
            matrix = of_wires[:, wires[factor]]  # batch, words, 4, 4
            moved = strings.movedim(factor, -1)  # ..., words, batch, 4
            moved = (moved.unsqueeze(-2) @ matrix.transpose(0, 1)).squeeze(-2)
            strings = moved.movedim(-1, factor)
    return strings


def _sum_over_choices(
    strings: Tensor, own: Tensor, z: Tensor, turns: Tensor, tables: Mapping[str, Tensor]
) -> Tensor:
    """Values (words, batch) of words of one length.

    Args:
        strings (Tensor of shape (*4 for each factor, words, batch)): coefficients, as from `_strings`.
        own (Tensor of shape (4, factors, words, batch)): Bloch vectors of the wires of the words.
        z (Tensor of shape (n_wires, batch)): that of all wires.
        turns (Tensor of shape (pairs + 1,)): angles of ZZ, the last 0.
        tables (mapping): for words of this length; see `tables_of_words`.
    """
    # Angle between each factor and each wire outside, and between two factors.
    outside, inside = turns[tables["outside_pairs"]], turns[tables["inside_pairs"]]
    z_outside = torch.cat((z, z.new_zeros(1, z.shape[1])))[tables["outside"]]
    total = torch.zeros_like(strings.flatten(0, -3)[0])
    for choice in _choices(strings.dim() - 2):
        value = _coefficient(strings, choice)
        for factor, kind in enumerate(choice):
            _, own_z, own_x, own_y = own[:, factor]
            if sign := _SIGN[kind]:
                value = _times(value, (own_x, sign * own_y))
                continue
            turn = _turned(choice, inside[factor])
            if turn is None:
                value = _times(value, (own_z, None)) if kind == "Z" else value
            else:
                cos, sin = torch.cos(turn).unsqueeze(-1), torch.sin(turn).unsqueeze(-1)
                value = _times(value, (cos, sin * own_z) if kind == "I" else (cos * own_z, sin))
        turn = _turned(choice, outside)
        if turn is not None:
            cos, sin = torch.cos(turn).unsqueeze(-1), torch.sin(turn).unsqueeze(-1) * z_outside
            for number in range(len(cos)):
                value = _times(value, (cos[number], sin[number]))
        n_turned = sum(_SIGN[kind] != 0 for kind in choice)
        total = total + value[0] * 0.5 ** max(n_turned - 1, 0)
    return total


def _coefficient(strings: Tensor, choice: tuple[str, ...]) -> Complex:
    """That of a choice: x X + y Y is the real part of (x - iy) (X + iY)."""
    re, im = strings, torch.zeros_like(strings)
    for kind in choice:
        if sign := _SIGN[kind]:
            re, im = re[2] + sign * im[3], im[2] - sign * re[3]
        else:
            place = "IZ".index(kind)
            re, im = re[place], im[place]
    return re, im if any(_SIGN[kind] for kind in choice) else None


_NAMES = ("wires", "letters", "outside", "outside_pairs", "inside_pairs")
#: Of the imaginary part of a choice; 0 for those that are real.
_SIGN = {"I": 0, "Z": 0, "+": 1, "-": -1}


def _choices(n_factors: int) -> Iterator[tuple[str, ...]]:
    """Choices for each factor; of two that are complex conjugates the one that has + first."""
    for choice in product(_SIGN, repeat=n_factors):
        turned = [kind for kind in choice if _SIGN[kind]]
        if turned[:1] != ["-"]:
            yield choice


def _turned(choice: tuple[str, ...], angles: Tensor) -> Tensor | None:
    """Sum of the angles (Tensor of shape (factors, ...)) of the factors that turn; None without one."""
    signed = [_SIGN[kind] * angle for kind, angle in zip(choice, angles, strict=True) if _SIGN[kind]]
    return sum(signed[1:], signed[0]) if signed else None


def _times(one: Complex, other: Complex) -> Complex:
    (a, b), (c, d) = one, other
    if d is None:
        return a * c, None if b is None else b * c
    return (a * c, a * d) if b is None else (a * c - b * d, a * d + b * c)


def tables_of_words(shape: Shape) -> Mapping[str, Tensor]:
    """What `words_of_two_blocks` needs, by name, with "_k" for words of k factors.

    - order: where each word is among all, sorted by their length;
    - phases: cosine and sine of the angles by which the RZ of CZ turn each wire;
    - wires, letters (factors, words): as `word_tables` returns them;
    - outside (number, words): wires next to a word, n_wires for none;
    - outside_pairs (factors, number, words), inside_pairs (factors, factors, words): the pair of a
      factor and a wire outside, or of two factors, len(pairs) for none.
    """
    n_wires, n_pairs = shape.n_wires, len(shape.pairs)
    neighbours: list[dict[int, int]] = [{} for _ in range(n_wires)]
    for place, (one, other) in enumerate(shape.pairs):
        neighbours[one][other] = neighbours[other][one] = place
    quarters = torch.tensor([len(of) for of in neighbours]) % 4
    tables = {"phases": torch.tensor([[1, 0, -1, 0], [0, -1, 0, 1]])[:, quarters]}
    sizes = [len(word) for word in shape.words]
    ranked = sorted(range(len(sizes)), key=sizes.__getitem__)
    tables["order"] = torch.tensor(ranked).argsort()
    for factors in set(sizes):
        words = [shape.words[place] for place in ranked if sizes[place] == factors]
        around = [_around(word, neighbours) for word in words]
        most = max(map(len, around))
        padded = [[*wires, *[n_wires] * (most - len(wires))] for wires in around]
        shown = [
            [[neighbours[wire].get(other, n_pairs) for other in of] for wire, _ in word]
            for word, of in zip(words, padded, strict=True)
        ]
        among = [
            [[neighbours[wire].get(other, n_pairs) for other, _ in word] for wire, _ in word]
            for word in words
        ]
        wires, letters = word_tables(tuple(words), n_wires)
        of_words = {
            "wires": wires,
            "letters": letters,
            "outside": torch.tensor(padded).reshape(len(words), most).T,
            "outside_pairs": torch.tensor(shown).reshape(len(words), factors, most).permute(1, 2, 0),
            "inside_pairs": torch.tensor(among).permute(1, 2, 0),
        }
        tables |= {f"{name}_{factors}": of_words[name].contiguous().long() for name in _NAMES}
    return tables


def cost_of_words(shape: Shape) -> int:
    """Multiply-adds for the words of a sample, about."""
    degrees = [0] * shape.n_wires
    for pair in shape.pairs:
        for wire in pair:
            degrees[wire] += 1
    return sum(
        4 ** len(word) * (4 + 4 * sum(degrees[wire] for wire, _ in word)) for word in shape.words
    )


def _around(word: PauliWord, neighbours: list[dict[int, int]]) -> list[int]:
    """The wires next to a word."""
    own = {wire for wire, _ in word}
    return sorted({other for wire in own for other in neighbours[wire]} - own)
