"""Samples side by side: the form in which kernels take what belongs to a sample.

A tile holds as many samples as a vector has numbers, its axes being (what belongs to a sample,
samples). The last tile is filled up with zeros.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sqdr.compilation import kernel
from sqdr.vectors import load, n_lanes, store

Array = NDArray[Any]


def tiled(rows: Array) -> Array:
    """Samples (batch, numbers) as tiles (tiles, numbers, width)."""
    width = n_lanes(rows.dtype)
    tiles = np.empty((-(-len(rows) // width), rows.shape[1], width), rows.dtype)
    _pack(rows, tiles)
    return tiles


def untile(tiles: Array, rows: Array) -> None:
    """Write tiles (tiles, numbers, width) as samples (batch, numbers)."""
    _unpack(tiles, rows)


def each_alone(tiles: Array, size: int) -> Array:
    """Samples of tiles, each spread over a tile of its own: (samples, numbers, width)."""
    width = tiles.shape[2]
    return np.repeat(tiles.transpose(0, 2, 1).reshape(-1, tiles.shape[1], 1)[:size], width, 2)


@kernel
def add_to(rows: Array, row: int, vector: Any) -> None:
    """Add a vector to a row of a tile."""
    store(rows, row, load(rows, row) + vector)


@kernel
def _pack(rows: Array, tiles: Array) -> None:
    batch, width = len(rows), tiles.shape[2]
    for tile in range(len(tiles)):
        first = tile * width
        for lane in range(width):
            for number in range(tiles.shape[1]):
                if first + lane < batch:
                    tiles[tile, number, lane] = rows[first + lane, number]
                else:
                    tiles[tile, number, lane] = 0


@kernel
def _unpack(tiles: Array, rows: Array) -> None:
    width = tiles.shape[2]
    for sample in range(len(rows)):
        tile, lane = sample // width, sample % width
        for number in range(rows.shape[1]):
            rows[sample, number] = tiles[tile, number, lane]
