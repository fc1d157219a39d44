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
    _pack_all(rows, tiles)
    return tiles


@kernel
def untile(tiles: Array, rows: Array) -> None:
    """Write tiles (tiles, numbers, width) as samples (batch, numbers)."""
    for tile in range(len(tiles)):
        unpack(tiles[tile], tile, rows)


def each_alone(tiles: Array, size: int) -> Array:
    """Samples of tiles, each spread over a tile of its own: (samples, numbers, width)."""
    width = tiles.shape[2]
    return np.repeat(tiles.transpose(0, 2, 1).reshape(-1, tiles.shape[1], 1)[:size], width, 2)


@kernel
def add_to(rows: Array, row: int, vector: Any) -> None:
    """Add a vector to a row of a tile."""
    store(rows, row, load(rows, row) + vector)


@kernel
def pack(rows: Array, tile: int, into: Array) -> None:
    """Write the samples of a tile (Array of shape (numbers, width)), among those of all."""
    width = into.shape[1]
    first = tile * width
    for lane in range(width):
        for number in range(len(into)):
            if first + lane < len(rows):
                into[number, lane] = rows[first + lane, number]
            else:
                into[number, lane] = 0


@kernel
def unpack(of: Array, tile: int, rows: Array) -> None:
    """Write a tile (Array of shape (numbers, width)) as its samples among all."""
    first = tile * of.shape[1]
    for lane in range(min(of.shape[1], len(rows) - first)):
        for number in range(len(of)):
            rows[first + lane, number] = of[number, lane]


@kernel
def _pack_all(rows: Array, tiles: Array) -> None:
    for tile in range(len(tiles)):
        pack(rows, tile, tiles[tile])
