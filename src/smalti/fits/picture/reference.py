"""The readable twin of the fit's kernels, in NumPy: what they compute, without a thought for speed.

Nothing calls it but the tests, which hold the kernels against it: the numbers themselves, and the
gradients against differences of these functions in float64. Arrays may be float32 or float64; groups
are the parameters as `Network.groups` has them.
"""

import math

import numpy as np

from smalti.fits.picture.context import COARSE, HIGHEST, LOWEST, NEAR, REACH
from smalti.fits.picture.layout import Layout
from smalti.fits.picture.synthesis import FEATURE
from smalti.fits.picture.values import MIX_1, MIX_2

Groups = list[tuple[np.ndarray, ...]]  # synthesis, taps, context


def soft(y: np.ndarray, temperature: float) -> np.ndarray:
    """Soft rounding."""
    whole = np.floor(y) + 0.5
    return whole + np.tanh((y - whole) / temperature) / (2 * math.tanh(0.5 / temperature))


def noise(count: int, key: int) -> np.ndarray:
    """Numbers in [-1/2, 1/2), of the place and the key, by an integer hash."""
    h: np.ndarray = np.arange(count, dtype=np.uint32) ^ np.uint32(key)
    h = (h ^ (h >> 16)) * MIX_1
    h = (h ^ (h >> 15)) * MIX_2
    h ^= h >> 16
    return (h >> 9).astype(np.float64) * 2.0**-23 - 0.5


def softened(y: np.ndarray, temperature: float, amplitude: float, key: int) -> np.ndarray:
    """What a step sees of the values (`values.soften`)."""
    return soft(soft(y, temperature) + amplitude * noise(y.size, key), temperature)


def doubled(y: np.ndarray, taps: np.ndarray) -> np.ndarray:
    """`n h w` -> `n 2h 2w` (`upsample.double`)."""
    for axis in (1, 2):
        padding = [(0, 0)] * 3
        padding[axis] = (2, 2)
        padded, n = np.pad(y, padding, mode="edge"), y.shape[axis]
        shifted = [padded.take(range(k, k + n), axis) for k in range(5)]
        even = sum(taps[k] * shifted[k] for k in range(4))
        odd = sum(taps[k] * shifted[4 - k] for k in range(4))
        shape = list(y.shape)
        shape[axis] *= 2
        y = np.stack([even, odd], axis + 1).reshape(shape)
    return y


def features(values: np.ndarray, layout: Layout, taps: np.ndarray) -> np.ndarray:
    """Flat values -> `G H W` (`Canvas.fill`, and the last doubling)."""
    stack = np.zeros((0, 1, 1))
    for level in range(max(layout.levels), -1, -1):
        rows, columns = (-(-side // (1 << level)) for side in (layout.height, layout.width))
        if len(stack):
            stack = doubled(stack, taps[level])[:, :rows, :columns]
        held = layout.channels(level)[len(stack) :]
        own = [values[layout.offsets[g] : layout.offsets[g + 1]] * FEATURE for g in held]
        fresh = np.reshape(own, (len(held), rows, columns))
        stack = np.concatenate([stack.reshape(-1, rows, columns), fresh])
    return stack


def colour(x: np.ndarray, network: tuple[np.ndarray, ...]) -> np.ndarray:
    """Features `G N` -> colours - 1/2, `C N`."""
    w1, b1, w2, b2, skip = network
    return w2 @ np.maximum(w1 @ x + b1[:, None], 0) + b2[:, None] + skip @ x


def colour_back(
    x: np.ndarray, network: tuple[np.ndarray, ...], d_out: np.ndarray
) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """The gradients of `colour`: by the features, and by the network."""
    w1, b1, w2, _, skip = network
    hidden = np.maximum(w1 @ x + b1[:, None], 0)
    d_hidden = np.where(hidden > 0, w2.T @ d_out, 0)
    d_x = w1.T @ d_hidden + skip.T @ d_out
    d_network = d_hidden @ x.T, d_hidden.sum(1), d_out @ hidden.T, d_out.sum(1), d_out @ x.T
    return d_x, d_network


def picture(values: np.ndarray, layout: Layout, groups: Groups) -> np.ndarray:
    """Flat values to colours `C H W`, not clamped (`Canvas.draw`)."""
    x = features(values, layout, groups[1][0])
    colours = colour(x.reshape(len(x), -1), groups[0]) + 0.5
    return colours.reshape(-1, layout.height, layout.width)


def bits(values: np.ndarray, layout: Layout, groups: Groups) -> float:
    """What flat values cost (`context.bits`), summed over all streams."""
    w1, b1, w2, b2, w3, b3 = groups[2]
    total = 0.0
    for stream in layout.streams:
        for piece in stream:
            own = _part(values, layout, piece.grid, piece.box)
            other = np.zeros_like(own)
            if piece.coarse >= 0:
                other = _part(values, layout, piece.coarse, piece.coarse_box)
            seen = [_moved(own, *offset) for offset in NEAR.tolist()]
            for offset in COARSE.tolist():
                moved = _moved(other, *offset)
                for axis in range(2 * piece.shift):
                    moved = moved.repeat(2, axis % 2)
                seen.append(moved[: own.shape[0], : own.shape[1]])
            x = np.stack(seen).reshape(len(seen), -1)
            h = np.maximum(w2 @ np.maximum(w1 @ x + b1[:, None], 0) + b2[:, None], 0)
            mean, log_inverse = w3 @ h + b3[:, None]
            total += nats(own.reshape(-1) - mean, log_inverse).sum() / math.log(2)
    return float(total)


def nats(distance: np.ndarray, log_inverse: np.ndarray) -> np.ndarray:
    """-ln of the mass within 1/2 of a value at `distance` from a Laplace distribution's mean."""
    u = np.exp(np.clip(log_inverse, LOWEST, HIGHEST))
    d = np.abs(distance)
    central = d < 0.5
    near, far = np.exp(-np.abs(d - 0.5) * u), np.exp(-(d + 0.5) * u)
    tail = (d - 0.5) * u - np.log((1 - np.exp(-u)) / 2)
    return np.where(central, -np.log(np.where(central, 1 - (near + far) / 2, 1)), tail)


def _part(
    values: np.ndarray, layout: Layout, grid: int, box: tuple[int, int, int, int]
) -> np.ndarray:
    top, left, height, width = box
    whole = values[layout.offsets[grid] : layout.offsets[grid + 1]].reshape(layout.shapes[grid])
    return whole[top : top + height, left : left + width]


def _moved(y: np.ndarray, down: int, across: int) -> np.ndarray:
    """y[row + down, column + across], 0 outside."""
    padded = np.pad(y, REACH)
    top, left = REACH + down, REACH + across
    return padded[top : top + y.shape[0], left : left + y.shape[1]]
