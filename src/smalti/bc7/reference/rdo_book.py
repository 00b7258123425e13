"""Readable twin of native/bc7/rdo_book.h: what earlier blocks offer a later one.

Whole blocks, index patterns, endpoint pairs: each is a book of different entries, each with the last
block that had it. A full book forgets the entry that was used longest ago. Scans are float32 over all
entries, every sum in the order that is written down.
"""

from typing import Any

import numpy as np

from smalti.bc7.layout import WEIGHTS
from smalti.bc7.partitions import PARTITIONS
from smalti.bc7.reference.rdo_fit import ends_6, indices_1, indices_6

_F = np.float32


class Book:
    """keys[n], used[n] (a block's number) and features[n] of the entries."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.keys: list[Any] = []
        self.used: list[int] = []
        self.features: list[np.ndarray] = []  # float32

    def enter(self, key: Any, number: int, features: np.ndarray) -> None:
        if key in self.keys:
            self.used[self.keys.index(key)] = number
            return
        place = len(self.keys)
        if place == self.capacity:
            place = self.used.index(min(self.used))
        self.keys[place : place + 1] = [key]
        self.used[place : place + 1] = [number]
        self.features[place : place + 1] = [features]

    def rows(self) -> np.ndarray:
        """float32 (features, entries)."""
        return np.stack(self.features, axis=1)


def pattern_6(high: int) -> np.ndarray:
    """Features of a mode 6 block's indices."""
    return _centred(np.array(WEIGHTS[4])[indices_6(high)], np.ones(16, dtype=bool))


def pattern_1(low: int, high: int) -> np.ndarray:
    """Features of a mode 1 block's indices, subset by subset."""
    partition = low >> 2 & 63
    weights = np.array(WEIGHTS[3])[indices_1(high, partition)]
    return np.concatenate([_centred(weights, PARTITIONS[1, partition] == s) for s in range(2)])


def _centred(weights: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """The 16 weights of a subset less their mean, times its size; 1 / sum of their squares."""
    weights = np.where(inside, weights, 0)
    centred = np.where(inside, inside.sum() * weights - weights.sum(), 0).astype(_F)
    squares = _F(0)
    for value in centred:
        squares += value * value
    return np.append(centred, _F(1) / squares if squares > 0 else _F(0)).astype(_F)


def pair(low: int, high: int) -> np.ndarray:
    """Features of two endpoints: R G B A of each, |start|^2, start . end, |end|^2, 1 / |end - start|^2."""
    start, end = ends_6(low, high).astype(_F)
    starts, both, stops = start @ start, start @ end, end @ end  # whole numbers, exact
    length = starts - 2 * both + stops
    inverse = _F(1) / length if length > 0 else _F(0)
    return np.concatenate([start, end, [starts, both, stops, inverse]]).astype(_F)


def scan_blocks(
    rows: np.ndarray, channels: int, texels: np.ndarray, importance: np.ndarray
) -> np.ndarray:
    """Squared error of every whole block; exact for weights of 1."""
    errors = np.zeros(rows.shape[1], dtype=_F)
    for t in range(16):
        squares = []
        for c in range(channels):
            miss = texels[t, c] - rows[4 * t + c]
            squares.append(miss * miss * importance[t, c])
        errors += _in_order(squares)
    return errors


def scan_patterns(
    rows: np.ndarray, channels: int, texels: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """How much of the squared error the slopes fitted to a pattern take away.

    That is (d . x) ^ 2 / d^2 in each subset and channel, d the centred weights.
    """
    gains = np.zeros(rows.shape[1], dtype=_F)
    for subset in np.split(rows, len(rows) // 17):
        for c in range(channels):
            sums = np.zeros_like(gains)
            for t in range(0, 16, 4):
                a, b, e, f = (texels[t + i, c] * subset[t + i] for i in range(4))
                sums += (a + b) + (e + f)
            gains += weights[c] * (sums * sums) * subset[16]
    return gains


def scan_ends(rows: np.ndarray, texels: np.ndarray, importance: np.ndarray) -> np.ndarray:
    """Squared error of every endpoint pair with the best indices, not rounded."""
    errors = np.zeros(rows.shape[1], dtype=_F)
    span = rows[4:8] - rows[:4]
    for t in range(16):
        distance = [texels[t, c] - rows[c] for c in range(4)]
        along = _in_order([distance[c] * span[c] for c in range(4)]) * rows[11]
        k = np.clip(along, _F(0), _F(1))
        misses = [distance[c] - k * span[c] for c in range(4)]
        errors += _in_order([miss * miss * importance[t, c] for c, miss in enumerate(misses)])
    return errors


def scan_pairs(rows: np.ndarray, weights: np.ndarray, texels: np.ndarray) -> np.ndarray:
    """Squared error of every endpoint pair with one pattern's `weights`, less that of black."""
    uu = uw = ww = _F(0)
    starts, stops = np.zeros(4, dtype=_F), np.zeros(4, dtype=_F)
    for t in range(16):
        w = _F(weights[t]) * _F(1 / 64)
        u = _F(1) - w
        uu += u * u
        uw += u * w
        ww += w * w
        starts += u * texels[t]
        stops += w * texels[t]
    cross = _in_order([starts[c] * rows[c] for c in range(4)])
    cross += _in_order([stops[c] * rows[4 + c] for c in range(4)])
    square = uu * rows[8] + _F(2) * uw * rows[9] + ww * rows[10]
    return square - _F(2) * cross


def _in_order(terms: list[np.ndarray]) -> np.ndarray:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total
