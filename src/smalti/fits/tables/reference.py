"""The readable twin of the kernels: a texture of tables and the gradient of its error, in NumPy.

Of whatever type the parameters are, float64 for tests of the gradient.
"""

import math
from typing import NamedTuple

import numpy as np

from smalti.fits.tables.levels import COLUMN_PRIME, ROW_PRIME, Level
from smalti.fits.tables.model import ACTIVATIONS, OMEGA, Shape


class Read(NamedTuple):
    """What N texels read of one level."""

    entries: np.ndarray  # int64 (4, N)
    shares: np.ndarray  # (4, N), of each entry


def texels(
    shape: Shape,
    values: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    *,
    size: tuple[int, int] | None = None,
) -> np.ndarray:
    """The texels (rows[n], columns[n]), `N C` in [0, 1].

    size: (height, width) of the lattice that the indices count in; the picture's own without.
    """
    x = features(shape, values, rows, columns, size or shape.size)
    for number, (weight, bias) in enumerate(shape.layers(values)):
        z = x @ weight.T + bias
        last = number == len(shape.widths) - 2
        x = sigmoid(z) if last else activate(ACTIVATIONS[shape.activation], z)[0]
    return x


def features(
    shape: Shape, values: np.ndarray, rows: np.ndarray, columns: np.ndarray, size: tuple[int, int]
) -> np.ndarray:
    """All levels at some texels, `N features`."""
    found = []
    for level, table in zip(shape.levels, shape.tables(values), strict=True):
        read = read_level(shape, level, rows, columns, size)
        found.append((read.shares[..., None] * table[read.entries]).sum(0))
    return np.concatenate(found, -1)


def read_level(
    shape: Shape, level: Level, rows: np.ndarray, columns: np.ndarray, size: tuple[int, int]
) -> Read:
    """The four nodes around each texel, and their shares."""
    y, v = _lower_node(shape, rows, size[0], level.rows)
    x, u = _lower_node(shape, columns, size[1], level.columns)
    below, right = np.minimum(y + 1, level.rows - 1), np.minimum(x + 1, level.columns - 1)
    entries = [_entry(level, *node) for node in ((y, x), (y, right), (below, x), (below, right))]
    shares = (1 - v) * (1 - u), (1 - v) * u, v * (1 - u), v * u
    return Read(np.stack(entries), np.stack(shares))


def gradient(
    shape: Shape, values: np.ndarray, rows: np.ndarray, columns: np.ndarray, target: np.ndarray
) -> tuple[float, np.ndarray]:
    """The mean square error at some texels, and its gradient by all parameters.

    target: `H W C`; of 4 channels with premultiplied colour, as the error is of what is seen.
    """
    layers = shape.layers(values)
    inputs, slopes = [features(shape, values, rows, columns, shape.size)], []
    for weight, bias in layers[:-1]:
        x, slope = activate(ACTIVATIONS[shape.activation], inputs[-1] @ weight.T + bias)
        inputs.append(x)
        slopes.append(slope)
    weight, bias = layers[-1]
    y = sigmoid(inputs[-1] @ weight.T + bias)
    wanted = target[rows, columns]
    if y.shape[1] == 4:
        alpha = y[:, 3:]
        miss = np.concatenate([y[:, :3] * alpha, alpha], 1) - wanted
        of_alpha = miss[:, 3:] + (miss[:, :3] * y[:, :3]).sum(1, keepdims=True)
        d = np.concatenate([miss[:, :3] * alpha, of_alpha], 1)
    else:
        d = miss = y - wanted
    d = 2 / miss.size * d * y * (1 - y)
    out = np.zeros_like(values)
    d_layers = shape.layers(out)
    for number in range(len(layers) - 1, -1, -1):
        d_weight, d_bias = d_layers[number]
        d_weight += d.T @ inputs[number]
        d_bias += d.sum(0)
        d = d @ layers[number][0]
        if number:
            d = d * slopes[number - 1]
    first = 0
    for level, d_table in zip(shape.levels, shape.tables(out), strict=True):
        read = read_level(shape, level, rows, columns, shape.size)
        of_level = d[:, first : first + level.features]
        np.add.at(d_table, read.entries, read.shares[..., None] * of_level)
        first += level.features
    return float(np.square(miss).mean()), out


def activate(name: str, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """f(z) and f'(z)."""
    if name == "siren":
        return np.sin(OMEGA * z), OMEGA * np.cos(OMEGA * z)
    if name == "gelu":
        share = (1 + np.vectorize(math.erf)(z / np.sqrt(2))) / 2
        return z * share, share + z * np.exp(-z * z / 2) / np.sqrt(2 * np.pi)
    if name == "silu":
        s = sigmoid(z)
        return z * s, s * (1 + z * (1 - s))
    return np.maximum(z, 0), (z > 0).astype(z.dtype)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def rounded(table: np.ndarray, levels: int) -> np.ndarray:
    """A table as a file of so many levels will hold it, which the fit sees."""
    low, high = table.min(0), table.max(0)
    step = (high - low) / (levels - 1)
    return np.rint((table - low) / np.where(step > 0, step, 1)) * step + low


def _lower_node(
    shape: Shape, index: np.ndarray, length: int, nodes: int
) -> tuple[np.ndarray, np.ndarray]:
    """The node at or before a texel, and the share of the next, [0, 1)."""
    unit = index / max(1, length - 1) if shape.corners else (index + 0.5) / length
    position = unit * (nodes - 1)
    lower = np.floor(position)
    return lower.astype(np.int64), position - lower


def _entry(level: Level, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    if level.hashed:  # Müller et al. 2022, equation 4
        return ((column * COLUMN_PRIME) ^ (row * ROW_PRIME)) % level.hashed
    return row * level.row_stride + column * level.column_stride
