"""What earlier blocks offer a later one: whole blocks, index patterns, endpoint pairs.

Each of the three is a book of different entries, each with the last block that had it. A full book
forgets the entry that was used longest ago. Features lie in rows of one number an entry, so that a
scan of all entries runs along the rows in vectors. No sum is reordered and no product fused: the
scans give the same bits on every machine.
"""

from typing import NamedTuple

import numpy as np

from smalti.bc7.layout import WEIGHT_TABLE
from smalti.bc7.partitions import PARTITIONS
from smalti.bc7.rdo_fit import ends_6, index_1, index_6
from smalti.jit import njit

_F = np.float32

BLOCK_ROWS = 64  # 4 x 16 decoded channels
PATTERN_ROWS = 17  # a subset: 16 weights less their mean, times its size; 1 / sum of their squares
ENDS_ROWS = 12  # start R G B A, end R G B A, |start|^2, start . end, |end|^2, 1 / |end - start|^2


class Book(NamedTuple):
    keys: np.ndarray  # uint64 [2, capacity]
    used: np.ndarray  # int64 [capacity]: the last block with this entry
    features: np.ndarray  # float32 [rows, capacity]
    masks: np.ndarray  # int64 [2, capacity], of whole blocks: texels of alpha 255, and of 0;
    # [0] of mode 1 patterns: the partition
    count: np.ndarray  # int64 [1]


@njit(nogil=True)
def new_book(rows, capacity):
    return Book(
        np.zeros((2, capacity), dtype=np.uint64),
        np.zeros(capacity, dtype=np.int64),
        np.zeros((rows, capacity), dtype=np.float32),
        np.zeros((2, capacity), dtype=np.int64),
        np.zeros(1, dtype=np.int64),
    )


@njit(nogil=True)
def enter(book, key_0, key_1, block):
    """Note that `block` has the entry; return its place if it is new to the book, else -1."""
    count = book.count[0]
    for n in range(count):
        if book.keys[0, n] == key_0 and book.keys[1, n] == key_1:
            book.used[n] = block
            return -1
    if count < len(book.used):
        place = count
        book.count[0] += 1
    else:
        place = 0
        oldest = book.used[0]
        for n in range(count):
            if book.used[n] < oldest:
                oldest = book.used[n]
                place = n
    book.keys[0, place] = key_0
    book.keys[1, place] = key_1
    book.used[place] = block
    return place


@njit(nogil=True)
def enter_block(book, low, high, block, texels):
    place = enter(book, low, high, block)
    if place < 0:
        return
    opaque = transparent = 0
    for t in range(16):
        texel = texels[t]
        for c in range(4):
            book.features[4 * t + c, place] = (texel >> np.uint32(8 * c)) & np.uint32(255)
        alpha = texel >> np.uint32(24)
        opaque |= int(alpha == 255) << t
        transparent |= int(alpha == 0) << t
    book.masks[0, place] = opaque
    book.masks[1, place] = transparent


@njit(nogil=True)
def enter_pattern_6(book, high, block):
    """The second word of a mode 6 block: its indices, and the p-bit of its second endpoint."""
    place = enter(book, high, np.uint64(0), block)
    if place < 0:
        return
    for t in range(16):
        book.features[t, place] = WEIGHT_TABLE[4, index_6(high, t)]
    _centre(book.features, place, 0, 16, np.uint64(0), 0)


@njit(nogil=True)
def enter_pattern_1(book, low, high, block):
    """What a mode 1 block has but endpoints: partition, p-bits and indices."""
    place = enter(book, low & np.uint64(0xFF), high & ~np.uint64(0xFFFF), block)
    if place < 0:
        return
    partition = (low >> np.uint64(2)) & np.uint64(63)
    book.masks[0, place] = partition
    for subset in range(2):
        count = 0
        for t in range(16):
            weight = _F(0)
            if PARTITIONS[1, partition, t] == subset:
                weight = _F(WEIGHT_TABLE[3, index_1(high, partition, t)])
                count += 1
            book.features[17 * subset + t, place] = weight
        _centre(book.features, place, 17 * subset, count, partition, subset)


@njit(nogil=True)
def _centre(features, place, row, count, partition, subset):
    """Turn the weights of a subset of `count` texels into the direction that `scan_patterns` wants."""
    total = _F(0)
    for t in range(16):
        total += features[row + t, place]
    squares = _F(0)
    for t in range(16):
        centred = _F(0)
        if count == 16 or PARTITIONS[1, partition, t] == subset:
            centred = _F(count) * features[row + t, place] - total
        features[row + t, place] = centred
        squares += centred * centred
    features[row + 16, place] = _F(1) / squares if squares > 0 else _F(0)


@njit(nogil=True)
def enter_ends(book, low, high, block):
    """The first word of a mode 6 block, with the p-bit of the second endpoint beside it."""
    place = enter(book, low, high & np.uint64(1), block)
    if place < 0:
        return
    starts = both = stops = _F(0)
    for c in range(4):
        start, end = ends_6(low, high, c)
        book.features[c, place] = start
        book.features[4 + c, place] = end
        starts += _F(start) * _F(start)
        both += _F(start) * _F(end)
        stops += _F(end) * _F(end)
    book.features[8, place] = starts
    book.features[9, place] = both
    book.features[10, place] = stops
    length = starts - _F(2) * both + stops
    book.features[11, place] = _F(1) / length if length > 0 else _F(0)


@njit(nogil=True)
def scan_blocks(book, channels, texels, importance, errors):
    """errors[n] = squared error of every whole block; exact for weights of 1.

    channels: 3 where alpha is the same in all, else 4. texels, importance: float32 [64], 4 channels
    a texel. 4 operations a number, so 260 an entry, 8 entries at a time.
    """
    count = book.count[0]
    rows = book.features
    errors[:count] = 0
    for i in range(0, 64, 4):
        x0, x1, x2, x3 = texels[i], texels[i + 1], texels[i + 2], texels[i + 3]
        m0, m1, m2, m3 = importance[i], importance[i + 1], importance[i + 2], importance[i + 3]
        if channels == 4:
            for n in range(count):
                d0, d1 = x0 - rows[i, n], x1 - rows[i + 1, n]
                d2, d3 = x2 - rows[i + 2, n], x3 - rows[i + 3, n]
                errors[n] += d0 * d0 * m0 + d1 * d1 * m1 + d2 * d2 * m2 + d3 * d3 * m3
        else:
            for n in range(count):
                d0, d1, d2 = x0 - rows[i, n], x1 - rows[i + 1, n], x2 - rows[i + 2, n]
                errors[n] += d0 * d0 * m0 + d1 * d1 * m1 + d2 * d2 * m2


@njit(nogil=True)
def scan_patterns(book, subsets, channels, texels, weights, sums, gains):
    """gains[n] = how much of the squared error the slopes fitted to a pattern take away.

    That is (d . x) ^ 2 / d^2 in each subset and channel, d the centred weights. subsets: 1 for
    mode 6, 2 for mode 1. weights: of the channels; sums: float32 scratch. 130 operations an entry
    and subset, 8 entries at a time.
    """
    count = book.count[0]
    rows = book.features
    gains[:count] = 0
    for first in range(0, 17 * subsets, 17):
        for c in range(channels):
            weight = weights[c]
            sums[:count] = 0
            for t in range(0, 16, 4):
                i = first + t
                x0, x1 = texels[4 * t + c], texels[4 * t + 4 + c]
                x2, x3 = texels[4 * t + 8 + c], texels[4 * t + 12 + c]
                for n in range(count):
                    part = x0 * rows[i, n] + x1 * rows[i + 1, n]
                    sums[n] += part + (x2 * rows[i + 2, n] + x3 * rows[i + 3, n])
            for n in range(count):
                gains[n] += weight * (sums[n] * sums[n]) * rows[first + 16, n]


@njit(nogil=True)
def scan_ends(book, texels, importance, errors):
    """errors[n] = squared error of every endpoint pair with the best indices, not rounded.

    25 operations a texel, so 400 an entry, 8 entries at a time.
    """
    count = book.count[0]
    rows = book.features
    errors[:count] = 0
    for t in range(16):
        i = 4 * t
        r, g, b, a = texels[i], texels[i + 1], texels[i + 2], texels[i + 3]
        mr, mg, mb, ma = importance[i], importance[i + 1], importance[i + 2], importance[i + 3]
        for n in range(count):
            sr, sg = rows[4, n] - rows[0, n], rows[5, n] - rows[1, n]
            sb, sa = rows[6, n] - rows[2, n], rows[7, n] - rows[3, n]
            dr, dg, db, da = r - rows[0, n], g - rows[1, n], b - rows[2, n], a - rows[3, n]
            k = (dr * sr + dg * sg + db * sb + da * sa) * rows[11, n]
            k = min(max(k, _F(0)), _F(1))
            dr, dg, db, da = dr - k * sr, dg - k * sg, db - k * sb, da - k * sa
            errors[n] += dr * dr * mr + dg * dg * mg + db * db * mb + da * da * ma


@njit(nogil=True)
def scan_pairs(book, uu, uw, ww, starts, stops, errors):
    """errors[n] = squared error of every endpoint pair with one pattern, less that of black.

    uu, uw, ww, starts, stops: sums over the texels of products of the weights u = 1 - w and w, and
    of each channel with u and with w; float32 [4]. 22 operations an entry, 8 entries at a time.
    """
    count = book.count[0]
    rows = book.features
    r0, g0, b0, a0 = starts[0], starts[1], starts[2], starts[3]
    r1, g1, b1, a1 = stops[0], stops[1], stops[2], stops[3]
    for n in range(count):
        cross = r0 * rows[0, n] + g0 * rows[1, n] + b0 * rows[2, n] + a0 * rows[3, n]
        cross += r1 * rows[4, n] + g1 * rows[5, n] + b1 * rows[6, n] + a1 * rows[7, n]
        square = uu * rows[8, n] + _F(2) * uw * rows[9, n] + ww * rows[10, n]
        errors[n] = square - _F(2) * cross
