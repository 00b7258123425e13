"""Readable twin of native/bc7/rdo_fit.h: endpoints for given indices, and indices for endpoints.

Of a block whose index bytes are kept, least squares gives the endpoints: with the weights u = 1 - w
and w of its texels, e0 and e1 of one channel solve [uu uw; uw ww] [e0 e1] = [ux wx].

A block is two whole numbers of 64 bits, `low` and `high`. texels: float (16, 4), R, G, B, A.
counts: bool (16, 4), whether a texel's channel counts at all.
"""

import math

import numpy as np

from smalti.bc7.layout import WEIGHTS
from smalti.bc7.partitions import ANCHORS, PARTITIONS

FREE = -1  # an endpoint's alpha that is not prescribed


def indices_6(high: int) -> list[int]:
    """The 16 indices in the second word of a mode 6 block."""
    return [high >> 1 & 7] + [high >> 4 * t & 15 for t in range(1, 16)]


def indices_1(high: int, partition: int) -> list[int]:
    """The 16 indices in the second word of a mode 1 block."""
    indices, at = [], 18
    for t in range(16):
        bits = 2 if t in (0, ANCHORS[1, partition, 1]) else 3
        indices.append(high >> at & ((1 << bits) - 1))
        at += bits
    return indices


def ends_6(low: int, high: int) -> np.ndarray:
    """Both endpoints of a mode 6 block: int64 (2, 4), 0 .. 255."""
    pbits = (low >> 63, high & 1)
    return np.array(
        [[2 * (low >> 7 + 14 * c + 7 * e & 127) + pbits[e] for c in range(4)] for e in range(2)]
    )


def fit_6(high: int, texels: np.ndarray, counts: np.ndarray, fixed: tuple[int, int]) -> int:
    """First word of a mode 6 block for the indices and the last p-bit in its second word.

    fixed: alpha of the endpoints, or FREE; that of the second must have the last p-bit.
    """
    weights = np.array(WEIGHTS[4])[indices_6(high)]
    best, low = math.inf, 0
    for parity in range(2):
        if fixed[0] != FREE and fixed[0] & 1 != parity:
            continue
        trial, cost = 1 << 6 | parity << 63, 0.0
        for c in range(4):
            sums = _sums(weights, texels[:, c], counts[:, c])
            known = fixed if c == 3 else (FREE, FREE)
            codes, part = _fit_channel(sums, 7, (parity, high & 1), known)
            cost += part
            trial |= codes[0] << 7 + 14 * c | codes[1] << 14 + 14 * c
        if cost < best:
            best, low = cost, trial
    return low


def fit_1(low: int, high: int, texels: np.ndarray, counts: np.ndarray) -> tuple[int, int]:
    """Both words of a mode 1 block with new endpoints; partition, p-bits and indices stay."""
    partition = low >> 2 & 63
    weights = np.array(WEIGHTS[3])[indices_1(high, partition)]
    block = (low & 0xFF) | (high & ~0xFFFF) << 64
    for subset in range(2):
        parity = high >> 16 + subset & 1
        inside = PARTITIONS[1, partition] == subset
        for c in range(3):
            sums = _sums(weights, texels[:, c], counts[:, c] & inside)
            codes, _ = _fit_channel(sums, 6, (parity, parity), (FREE, FREE))
            block |= (codes[0] | codes[1] << 6) << 8 + 24 * c + 12 * subset
    return block & (1 << 64) - 1, block >> 64


def choose_6(low: int, high: int, texels: np.ndarray, importance: np.ndarray) -> int:
    """Second word of a mode 6 block for its endpoints: the nearest indices, p-bit as in `high`."""
    start, end = ends_6(low, high).astype(np.float64)
    span = end - start
    word = high & 1
    for t in range(16):
        along = length = 0.0
        for c in range(4):
            weight = float(importance[t, c]) * span[c]
            along += weight * (float(texels[t, c]) - start[c])
            length += weight * span[c]
        index = 0
        if length > 0:
            index = int(min(max(math.floor(15.0 * along / length + 0.5), 0), 15))
        # the anchor has no top bit
        word |= min(index, 7) << 1 if t == 0 else index << 4 * t
    return word


def _sums(weights: np.ndarray, x: np.ndarray, counts: np.ndarray) -> tuple[float, ...]:
    """uu, uw, ww, ux, wx over the texels that count; whole numbers of 4096ths and of 64ths."""
    w, x = weights[counts].astype(np.float64), x[counts].astype(np.float64)
    u = 64.0 - w
    squares = [float((a * b).sum()) / 4096.0 for a, b in ((u, u), (u, w), (w, w))]
    return (*squares, float((u * x).sum()) / 64.0, float((w * x).sum()) / 64.0)


def _fit_channel(
    sums: tuple[float, ...], bits: int, parity: tuple[int, int], known: tuple[int, int]
) -> tuple[tuple[int, int], float]:
    """Codes of both endpoints of one channel, and their squared error but for a constant.

    The first endpoint is rounded down and up, and the second is the best for each of these.
    """
    uu, uw, ww, ux, wx = sums
    if uu + ww == 0.0:  # no texel counts
        return (max(known[0], 0) >> 1, max(known[1], 0) >> 1), 0.0
    if known[0] != FREE:
        first = float(known[0])
    elif known[1] != FREE:
        first = (ux - uw * known[1]) / uu if uu > 0.0 else float(known[1])
    else:
        determinant = uu * ww - uw * uw
        if determinant > 1e-9:
            first = (ux * ww - wx * uw) / determinant
        else:
            first = (ux + wx) / (uu + 2.0 * uw + ww)  # one weight in all texels: two equal ends
        # Where the second endpoint leaves the range, the first is the best for its limit.
        second = (wx - uw * first) / ww if ww > 0.0 else first
        if uu > 0.0 and (second < 0.0 or second > 255.0):
            first = (ux - uw * min(max(second, 0.0), 255.0)) / uu
    top = (1 << bits) - 1
    below = _code_below(first, bits, parity[0])
    best, best_codes = math.inf, (0, 0)
    for code_0 in range(below, min(below + 1, top) + 1):
        if known[0] != FREE:
            code_0 = known[0] >> 1
        value_0 = _widen(code_0, bits, parity[0])
        code_1 = known[1] >> 1
        if known[1] == FREE:
            second = (wx - uw * value_0) / ww if ww > 0.0 else value_0
            code_1 = _code_below(second, bits, parity[1])
            upper = min(code_1 + 1, top)
            miss = second - _widen(code_1, bits, parity[1])
            if _widen(upper, bits, parity[1]) - second < miss:
                code_1 = upper
        value_1 = _widen(code_1, bits, parity[1])
        cost = value_0 * (uu * value_0 + 2.0 * (uw * value_1 - ux))
        cost += value_1 * (ww * value_1 - 2.0 * wx)
        if cost < best:
            best, best_codes = cost, (code_0, code_1)
    return best_codes, best


def _code_below(value: float, bits: int, parity: int) -> int:
    """The greatest code that stands for `value` or less, give or take the widening's rounding."""
    if bits == 6:
        value *= 127.0 / 255.0
    return int(min(max(math.floor((value - parity) * 0.5), 0), (1 << bits) - 1))


def _widen(code: int, bits: int, parity: int) -> float:
    value = 2 * code + parity
    return float(2 * value + (value >> 6) if bits == 6 else value)
