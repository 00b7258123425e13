"""Feature levels: dense grids or hash tables, read bilinearly at texels.

    texel (y, x) ─taps→ 4 entries of each level ─blend→ features

A level is a table of n entries with F features each, a part of one flat vector of parameters. The
entry of node (j, i) is found from two halves: row j's plus column i's where the level is dense (a
grid), row j's xor column i's where it is hashed (Müller et al. 2022, equation 4; the modulus is a
power of two, so each half is reduced before). Halves and weights depend on a row or a column
alone: `taps` tabulates them once, with integer division.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

ROW_PRIME, COLUMN_PRIME = 805459861, 2654435761  # Müller et al. 2022, section 3


class Level(NamedTuple):
    """One table: what its entries stand for."""

    rows: int  # of nodes
    columns: int
    features: int  # of an entry
    row_stride: int  # entries between nodes, along a column; of a hashed level ignored
    column_stride: int
    hashed: int = 0  # entries of a hashed table, a power of two; 0 for a dense one

    @property
    def entries(self) -> int:
        return self.hashed or self.rows * self.columns

    @property
    def values(self) -> int:
        return self.entries * self.features


class Axis(NamedTuple):
    """What R rows (or columns) read of each of L levels."""

    halves: np.ndarray  # int32 (L, R, 2): of the lower and of the upper node
    weights: np.ndarray  # float32 (L, R): of the upper node, [0, 1)


def taps(
    levels: Sequence[Level],
    indices: np.ndarray,
    length: int,
    *,
    vertical: bool,
    corners: bool,
) -> Axis:
    """The taps of some of the `length` rows (`vertical`) or columns of a picture.

    corners: the first and the last texel lie on the outermost nodes; otherwise the picture's border
    does, and texel i is at its centre, (i + 1/2) / length.
    """
    i = np.asarray(indices, np.int64)
    halves = np.empty((len(levels), len(i), 2), np.int32)
    weights = np.empty((len(levels), len(i)), np.float32)
    for k, level in enumerate(levels):
        nodes = level.rows if vertical else level.columns
        if corners:
            numerator, denominator = i * (nodes - 1), max(1, length - 1)
        else:
            numerator, denominator = (2 * i + 1) * (nodes - 1), 2 * length
        lower = numerator // denominator
        weights[k] = (numerator - lower * denominator) / denominator
        for side, node in enumerate((lower, np.minimum(lower + 1, nodes - 1))):
            if level.hashed:
                half = node * (ROW_PRIME if vertical else COLUMN_PRIME) & (level.hashed - 1)
            else:
                half = node * (level.row_stride if vertical else level.column_stride)
            halves[k, :, side] = half
    return Axis(halves, weights)


def as_table(levels: Sequence[Level]) -> np.ndarray:
    """int64 (L, 4): first value in the vector of parameters, features, first feature, hashed."""
    table, start, feature = [], 0, 0
    for level in levels:
        table.append((start, level.features, feature, bool(level.hashed)))
        start += level.values
        feature += level.features
    return np.array(table, np.int64)
