"""Sums of products as lists that one kernel works off, and another one backwards for gradients.

A variable has a value on each of some wires. It is given, or the sum of products of two others.
"""

from sqdr.backends.native.kernels.tiles import Array
from sqdr.compilation import kernel
from sqdr.vectors import load, store, zeros_of


@kernel
def run(stages: Array, factors: Array, signs: Array, room: Array) -> None:
    """Write all variables but those that are given.

    Args:
        stages (integer Array of shape (stages, 7)): first variable to be written, how many, terms of
            each, place of its first term, how many wires away the first and the second factor of a term
            are, and wires at each end for which the stage is not needed.
        factors (integer Array of shape (terms, 2)): the variables multiplied.
        signs (Array of shape (terms,)): a factor of each term.
        room (Array of shape (variables, wires, width)): the first of which are given.
    """
    wires = room.shape[1]
    for stage in range(len(stages)):
        out, n_sums, n_terms, term = (
            stages[stage, 0],
            stages[stage, 1],
            stages[stage, 2],
            stages[stage, 3],
        )
        one, other, margin = stages[stage, 4], stages[stage, 5], stages[stage, 6]
        for number in range(n_sums):
            start = term + number * n_terms
            for wire in range(margin, wires - margin):
                total = zeros_of(room)
                for place in range(start, start + n_terms):
                    if signs[place] != 0:
                        first = load(room, factors[place, 0] * wires + wire + one)
                        second = load(room, factors[place, 1] * wires + wire + other)
                        total += signs[place] * first * second
                store(room, (out + number) * wires + wire, total)


@kernel
def run_back(stages: Array, factors: Array, signs: Array, room: Array, grads: Array) -> None:
    """Add to the gradients by all variables those that their sums pass on.

    Args:
        stages, factors, signs, room: as in `run`, which has written the last.
        grads (Array): of the shape of `room`.
    """
    wires = room.shape[1]
    for back in range(len(stages)):
        stage = len(stages) - 1 - back
        out, n_sums, n_terms, term = (
            stages[stage, 0],
            stages[stage, 1],
            stages[stage, 2],
            stages[stage, 3],
        )
        one, other, margin = stages[stage, 4], stages[stage, 5], stages[stage, 6]
        for number in range(n_sums - 1, -1, -1):
            start = term + number * n_terms
            for wire in range(margin, wires - margin):
                grad = load(grads, (out + number) * wires + wire)
                for place in range(start, start + n_terms):
                    if signs[place] != 0:
                        share = signs[place] * grad
                        first = factors[place, 0] * wires + wire + one
                        second = factors[place, 1] * wires + wire + other
                        store(grads, first, load(grads, first) + share * load(room, second))
                        store(grads, second, load(grads, second) + share * load(room, first))
