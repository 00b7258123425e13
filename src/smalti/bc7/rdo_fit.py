"""Endpoints for given indices, and indices for given endpoints: what a spliced block gets anew.

Of a block whose index bytes are kept, least squares gives the endpoints: with the weights u = 1 - w
and w of its texels, e0 and e1 of one channel solve [uu uw; uw ww] [e0 e1] = [ux wx]. All in float64,
no sum reordered: the same on every machine.
"""

import numpy as np

from smalti.bc7.layout import WEIGHT_TABLE
from smalti.bc7.partitions import ANCHORS, PARTITIONS
from smalti.jit import njit

FREE = -1  # an endpoint's alpha that is not prescribed

_MODE_1 = np.uint64(1 << 1)
_MODE_6 = np.uint64(1 << 6)
_ONE = np.uint64(1)
_ANCHOR = ANCHORS[1, :, 1].astype(np.int64)  # of the second of two subsets


@njit(nogil=True)
def index_6(high, t):
    """Index of texel t in the second word of a mode 6 block."""
    return (high >> np.uint64(4 * t if t else 1)) & np.uint64(15 if t else 7)


@njit(nogil=True)
def ends_6(low, high, c):
    """Both endpoints of a mode 6 block in channel c, 0..255."""
    start = (low >> np.uint64(7 + 14 * c)) & np.uint64(127)
    end = (low >> np.uint64(14 + 14 * c)) & np.uint64(127)
    return 2 * int(start) + int(low >> np.uint64(63)), 2 * int(end) + int(high & _ONE)


@njit(nogil=True)
def fit_6(high, texels, importance, fixed_0, fixed_1):
    """First word of a mode 6 block for the indices and the last p-bit in its second word.

    texels: float32 [64]. importance: float32 [64], 0 where a channel does not count. fixed_0,
    fixed_1: alpha of the endpoints, or FREE; fixed_1 must have the last p-bit. About 500 operations
    for each value that the other p-bit may have.
    """
    sums = np.zeros((4, 5))
    for t in range(16):
        w = float(WEIGHT_TABLE[4, index_6(high, t)])
        for c in range(4):
            if importance[4 * t + c] > 0:
                _add(sums[c], w, texels[4 * t + c])
    parity_1 = int(high & _ONE)
    best = np.inf
    low = np.uint64(0)
    for parity_0 in range(2):
        if fixed_0 != FREE and fixed_0 & 1 != parity_0:
            continue
        trial = _MODE_6 | (np.uint64(parity_0) << np.uint64(63))
        cost = 0.0
        for c in range(4):
            known_0 = fixed_0 if c == 3 else FREE
            known_1 = fixed_1 if c == 3 else FREE
            code_0, code_1, part = _fit_channel(sums[c], 7, parity_0, parity_1, known_0, known_1)
            cost += part
            trial |= np.uint64(code_0) << np.uint64(7 + 14 * c)
            trial |= np.uint64(code_1) << np.uint64(14 + 14 * c)
        if cost < best:
            best = cost
            low = trial
    return low


@njit(nogil=True)
def fit_1(low, high, texels, importance):
    """Both words of a mode 1 block with new endpoints; partition, p-bits and indices stay."""
    sums = np.zeros((2, 3, 5))
    partition = (low >> np.uint64(2)) & np.uint64(63)
    for t in range(16):
        subset = PARTITIONS[1, partition, t]
        w = float(WEIGHT_TABLE[3, index_1(high, partition, t)])
        for c in range(3):
            if importance[4 * t + c] > 0:
                _add(sums[subset, c], w, texels[4 * t + c])
    low = low & np.uint64(0xFF)
    high = high & ~np.uint64(0xFFFF)
    for subset in range(2):
        parity = int((high >> np.uint64(16 + subset)) & _ONE)
        for c in range(3):
            code_0, code_1, _ = _fit_channel(sums[subset, c], 6, parity, parity, FREE, FREE)
            field = np.uint64(code_0) | (np.uint64(code_1) << np.uint64(6))
            at = 8 + 24 * c + 12 * subset
            if at >= 64:
                high |= field << np.uint64(at - 64)
            else:
                low |= field << np.uint64(at)
                if at > 52:
                    high |= field >> np.uint64(64 - at)
    return low, high


@njit(nogil=True)
def index_1(high, partition, t):
    """Index of texel t in the second word of a mode 1 block."""
    anchor = _ANCHOR[partition]
    at = 18 + 3 * t - (t > 0) - (t > anchor)
    return (high >> np.uint64(at)) & np.uint64(3 if t == 0 or t == anchor else 7)


@njit(nogil=True)
def choose_6(low, high, texels, importance):
    """Second word of a mode 6 block for its endpoints: the nearest indices, p-bit as in `high`."""
    start = np.empty(4)
    span = np.empty(4)
    for c in range(4):
        start_c, end_c = ends_6(low, high, c)
        start[c] = start_c
        span[c] = end_c - start_c
    word = high & _ONE
    for t in range(16):
        along = 0.0
        length = 0.0
        for c in range(4):
            weight = importance[4 * t + c] * span[c]
            along += weight * (texels[4 * t + c] - start[c])
            length += weight * span[c]
        index = 0
        if length > 0.0:
            index = int(min(max(np.floor(15.0 * along / length + 0.5), 0.0), 15.0))
        if t == 0:
            index = min(index, 7)  # the anchor has no top bit
        word |= np.uint64(index) << np.uint64(4 * t if t else 1)
    return word


@njit(nogil=True)
def _add(sums, w, x):
    """Add a texel to uu, uw, ww, ux, wx; w is in 64ths."""
    u = 64.0 - w
    sums[0] += u * u
    sums[1] += u * w
    sums[2] += w * w
    sums[3] += u * x
    sums[4] += w * x


@njit(nogil=True)
def _fit_channel(sums, bits, parity_0, parity_1, known_0, known_1):
    """Codes of both endpoints of one channel, and their squared error but for a constant.

    The first endpoint is rounded down and up, and the second is the best for each of these.
    """
    uu, uw, ww = sums[0] / 4096.0, sums[1] / 4096.0, sums[2] / 4096.0
    ux, wx = sums[3] / 64.0, sums[4] / 64.0
    if uu + ww == 0.0:  # no texel counts
        return max(known_0, 0) >> 1, max(known_1, 0) >> 1, 0.0
    if known_0 != FREE:
        first = float(known_0)
    elif known_1 != FREE:
        first = (ux - uw * known_1) / uu if uu > 0.0 else float(known_1)
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
    below = _code_below(first, bits, parity_0)
    best = np.inf
    best_0 = best_1 = 0
    for code_0 in range(below, min(below + 1, (1 << bits) - 1) + 1):
        if known_0 != FREE:
            code_0 = known_0 >> 1
        value_0 = _widen(code_0, bits, parity_0)
        if known_1 != FREE:
            code_1 = known_1 >> 1
        else:
            second = (wx - uw * value_0) / ww if ww > 0.0 else value_0
            code_1 = _code_below(second, bits, parity_1)
            upper = min(code_1 + 1, (1 << bits) - 1)
            miss = second - _widen(code_1, bits, parity_1)
            if _widen(upper, bits, parity_1) - second < miss:
                code_1 = upper
        value_1 = _widen(code_1, bits, parity_1)
        cost = value_0 * (uu * value_0 + 2.0 * (uw * value_1 - ux))
        cost += value_1 * (ww * value_1 - 2.0 * wx)
        if cost < best:
            best = cost
            best_0, best_1 = code_0, code_1
    return best_0, best_1, best


@njit(nogil=True)
def _code_below(value, bits, parity):
    """The greatest code that stands for `value` or less, give or take the widening's rounding."""
    if bits == 6:
        value *= 127.0 / 255.0
    return int(min(max(np.floor((value - parity) * 0.5), 0.0), (1 << bits) - 1.0))


@njit(nogil=True)
def _widen(code, bits, parity):
    value = 2 * code + parity
    if bits == 6:
        value = 2 * value + (value >> 6)
    return float(value)
