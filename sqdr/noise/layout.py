"""Where the wires of a circuit go on a device: the least noisy places of a graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

#: Of the placements of some wires, how many go on to the next wire.
_KEPT = 10_000


class Graph(NamedTuple):
    """Places with a cost, and edges with a cost."""

    places: Mapping[int, float]
    edges: Mapping[frozenset[int], float]

    def neighbours(self) -> dict[int, set[int]]:
        """The places at the other ends of a place's edges."""
        found: dict[int, set[int]] = {place: set() for place in self.places}
        for edge in self.edges:
            one, other = edge
            if one in found and other in found:
                found[one].add(other)
                found[other].add(one)
        return found


def best_places(graph: Graph, n_wires: int, pairs: Sequence[tuple[int, int]]) -> list[int] | None:
    """The places of the lowest sum of costs, with an edge for each pair of wires.

    A beam search: wires are placed one by one, and the best `_KEPT` placements go on.

    Args:
        graph (Graph): where they may go.
        n_wires (int): number of wires.
        pairs (sequence of pairs of ints): the wires that need an edge.

    Returns:
        list of int or None: the place of each wire; None if none was found.
    """
    neighbours = graph.neighbours()
    partners: list[set[int]] = [set() for _ in range(n_wires)]
    for i, j in pairs:
        partners[i].add(j)
        partners[j].add(i)
    order = _order(partners)
    placements: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    for position, wire in enumerate(order):
        before = [k for k in range(position) if order[k] in partners[wire]]
        longer = []
        for cost, taken in placements:
            beside = [neighbours[taken[k]] for k in before]
            free = set.intersection(*beside) if beside else set(graph.places)
            for place in sorted(free.difference(taken)):
                edges = sum(graph.edges[frozenset((place, taken[k]))] for k in before)
                longer.append((cost + graph.places[place] + edges, (*taken, place)))
        placements = sorted(longer)[:_KEPT]
    if not placements:
        return None
    _, best = placements[0]
    return [place for _, place in sorted(zip(order, best, strict=True))]


def _order(partners: Sequence[set[int]]) -> list[int]:
    """The wires, each beside one before it where the pairs allow it."""
    order: list[int] = []
    waiting = list(range(len(partners)))
    while waiting:
        beside = [wire for wire in waiting if partners[wire].intersection(order)]
        order.append((beside or waiting)[0])
        waiting.remove(order[-1])
    return order
