"""Feature levels, dense grids or hash tables, read bilinearly at the texels of a tile, in numba.

    texel (y, x) ─taps→ 4 entries of each level ─blend→ features, and the gradients back

A level is a table of n entries with F features each, a part of one flat vector of parameters. The
entry of node (j, i) is found from two halves: row j's plus column i's where the level is dense (a
grid), row j's xor column i's where it is hashed (Müller et al. 2022, equation 4; the modulus is a
power of two, so each half is reduced before). Halves and weights depend on a row or a column
alone: `taps` tabulates them once, with integer division, and a texel costs four look-ups a level.
"""

from typing import NamedTuple

import numpy as np

from smalti.jit import njit

ROW_PRIME, COLUMN_PRIME = 805459861, 2654435761  # Müller et al. 2022, section 3
_ONE = np.float32(1)


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

    halves: np.ndarray  # uint32 (L, R, 2): of the lower and of the upper node
    weights: np.ndarray  # float32 (L, R): of the upper node, [0, 1)


def taps(
    levels: list[Level],
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
    halves = np.empty((len(levels), len(i), 2), np.uint32)
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


def as_table(levels: list[Level]) -> np.ndarray:
    """int64 (L, 4): first value in the vector of parameters, features, first feature, hashed."""
    table, start, feature = [], 0, 0
    for level in levels:
        table.append((start, level.features, feature, bool(level.hashed)))
        start += level.values
        feature += level.features
    return np.array(table, np.int64)


@njit(nogil=True, error_model="numpy", forceinline=True)
def _corners(table, k, vertical, horizontal, row, column):
    """Of one texel in one level: the places of its four entries, and two weights."""
    start, features, hashed = table[k, 0], table[k, 1], table[k, 3]
    up, down = vertical.halves[k, row, 0], vertical.halves[k, row, 1]
    left, right = horizontal.halves[k, column, 0], horizontal.halves[k, column, 1]
    if hashed:
        places = up ^ left, up ^ right, down ^ left, down ^ right
    else:
        places = up + left, up + right, down + left, down + right
    return (
        start + features * np.int64(places[0]),
        start + features * np.int64(places[1]),
        start + features * np.int64(places[2]),
        start + features * np.int64(places[3]),
        vertical.weights[k, row],
        horizontal.weights[k, column],
    )


@njit(nogil=True, error_model="numpy", fastmath={"contract"})
def read(values, table, vertical, horizontal, rows, columns, x):
    """x `features P` = the features of the P texels (rows[p], columns[p])."""
    for k in range(table.shape[0]):
        features, first = table[k, 1], table[k, 2]
        for p in range(rows.size):
            a, b, c, d, v, u = _corners(table, k, vertical, horizontal, rows[p], columns[p])
            wa, wb = (_ONE - v) * (_ONE - u), (_ONE - v) * u
            wc, wd = v * (_ONE - u), v * u
            if features == 2:
                x[first, p] = (
                    wa * values[a] + wb * values[b] + wc * values[c] + wd * values[d]
                )  # fmt: skip
                x[first + 1, p] = (
                    wa * values[a + 1] + wb * values[b + 1]
                    + wc * values[c + 1] + wd * values[d + 1]
                )  # fmt: skip
            else:
                for f in range(features):
                    x[first + f, p] = (
                        wa * values[a + f] + wb * values[b + f]
                        + wc * values[c + f] + wd * values[d + f]
                    )  # fmt: skip


@njit(nogil=True, error_model="numpy", fastmath={"contract"})
def spread(gradient, table, vertical, horizontal, rows, columns, d_x):
    """gradient += what d_x `features P` says of the values that `read` reads."""
    for k in range(table.shape[0]):
        features, first = table[k, 1], table[k, 2]
        for p in range(rows.size):
            a, b, c, d, v, u = _corners(table, k, vertical, horizontal, rows[p], columns[p])
            wa, wb = (_ONE - v) * (_ONE - u), (_ONE - v) * u
            wc, wd = v * (_ONE - u), v * u
            if features == 2:
                s, t = d_x[first, p], d_x[first + 1, p]
                gradient[a] += wa * s
                gradient[a + 1] += wa * t
                gradient[b] += wb * s
                gradient[b + 1] += wb * t
                gradient[c] += wc * s
                gradient[c + 1] += wc * t
                gradient[d] += wd * s
                gradient[d + 1] += wd * t
            else:
                for f in range(features):
                    s = d_x[first + f, p]
                    gradient[a + f] += wa * s
                    gradient[b + f] += wb * s
                    gradient[c + f] += wc * s
                    gradient[d + f] += wd * s


@njit(nogil=True, error_model="numpy", fastmath={"contract"})
def round_tables(values, table, ends, steps, out):
    """The tables of `values` in `out`, each feature rounded to steps + 1 values from its lowest to
    its highest: what `quantize.from_levels` makes of `quantize.to_levels`.

    ends: int64 (L,), where each level's values end.
    """
    for k in range(table.shape[0]):
        start, features = table[k, 0], table[k, 1]
        for f in range(features):
            low, high = values[start + f], values[start + f]
            for i in range(start + f, ends[k], features):
                low, high = min(low, values[i]), max(high, values[i])
            step = (high - low) / np.float32(steps)
            divisor = step if step > 0 else _ONE
            for i in range(start + f, ends[k], features):
                out[i] = np.rint((values[i] - low) / divisor) * step + low
