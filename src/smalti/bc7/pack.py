"""From codes and indices to the 16 bytes of a block (see layout.py for the order of the fields).

`best`, float32 [BEST], holds the block to be written: mode, partition, rotation and index
selection, then 24 codes as in CODES, the 16 indices of the colours, and the 16 of the channel that
has its own in modes 4 and 5.
"""

import numpy as np

from smalti.bc7.layout import MODE_TABLE
from smalti.bc7.partitions import ANCHORS, PARTITIONS
from smalti.bc7.work import CODES, INDEX, SECOND, strict

MODE, PARTITION, ROTATION, SELECTION = range(4)
BEST_CODES, BEST_INDEX, BEST_SECOND = 4, 28, 44
BEST = 60

_ONE = np.uint64(1)

# [subsets - 1, partition]: a bit for each anchor; 0 repeats in ANCHORS where there is no such subset
ANCHOR_MASKS = np.bitwise_or.reduce(1 << ANCHORS.astype(np.int64), axis=2)


@strict
def keep(work, best, mode, partition, rotation, selection):
    """Write what `work` holds into `best`."""
    best[MODE], best[PARTITION], best[ROTATION], best[SELECTION] = (
        mode, partition, rotation, selection,
    )  # fmt: skip
    for i in range(24):
        best[BEST_CODES + i] = work[CODES + i]
    for t in range(16):
        best[BEST_INDEX + t] = work[INDEX + t]
        best[BEST_SECOND + t] = work[SECOND + t]


@strict
def pack(best):
    """Return the two 64-bit words of the block in `best`."""
    mode, partition = int(best[MODE]), int(best[PARTITION])
    selection = int(best[SELECTION])
    subsets = MODE_TABLE[mode, 0]
    colour_bits, alpha_bits = MODE_TABLE[mode, 4], MODE_TABLE[mode, 5]
    own_pbits, subset_pbits = MODE_TABLE[mode, 6], MODE_TABLE[mode, 7]
    index_bits = MODE_TABLE[mode, 8 + selection]
    second_bits = MODE_TABLE[mode, 9 - selection]
    apart = MODE_TABLE[mode, 9] > 0
    for s in range(subsets):
        _turn(best, s, partition, subsets, index_bits, apart)
    if apart and int(best[BEST_SECOND]) >> (second_bits - 1):
        _turn_second(best, second_bits)

    low, high, at = _put(_ONE << np.uint64(mode), mode + 1, np.uint64(0), np.uint64(0), 0)
    low, high, at = _put(np.uint64(partition), MODE_TABLE[mode, 1], low, high, at)
    low, high, at = _put(np.uint64(best[ROTATION]), MODE_TABLE[mode, 2], low, high, at)
    low, high, at = _put(np.uint64(selection), MODE_TABLE[mode, 3], low, high, at)
    pbit = 1 if own_pbits or subset_pbits else 0
    for channel in range(4 if alpha_bits else 3):
        bits = colour_bits if channel < 3 else alpha_bits
        for s in range(subsets):
            for end in range(2):
                code = np.uint64(best[BEST_CODES + 8 * s + 4 * end + channel])
                low, high, at = _put(code >> np.uint64(pbit), bits, low, high, at)
    for s in range(subsets):
        for end in range(pbit * (1 + own_pbits)):
            code = np.uint64(best[BEST_CODES + 8 * s + 4 * end]) & _ONE
            low, high, at = _put(code, 1, low, high, at)

    if apart and selection:
        low, high, at = _put_indices(best, BEST_SECOND, second_bits, 0, 0, low, high, at)
        low, high, at = _put_indices(best, BEST_INDEX, index_bits, 0, 0, low, high, at)
        return low, high
    low, high, at = _put_indices(
        best, BEST_INDEX, index_bits, subsets - 1, partition, low, high, at
    )
    if apart:
        low, high, at = _put_indices(best, BEST_SECOND, second_bits, 0, 0, low, high, at)
    return low, high


@strict
def _put(value, bits, low, high, at):
    """Or a field into the words at bit `at`; return them, and where the next one goes."""
    if bits == 0:
        return low, high, at
    if at >= 64:
        high |= value << np.uint64(at - 64)
    else:
        low |= value << np.uint64(at)
        if at + bits > 64:
            high |= value >> np.uint64(64 - at)
    return low, high, at + bits


@strict
def _put_indices(best, row, bits, table, partition, low, high, at):
    """Put 16 indices, those of the anchors without their top bit, in two halves."""
    anchors = ANCHOR_MASKS[table, partition]
    for half in range(0, 16, 8):
        field, width = np.uint64(0), 0
        for t in range(half, half + 8):
            field |= np.uint64(np.int64(best[row + t])) << np.uint64(width)
            width += bits - ((anchors >> t) & 1)
        low, high, at = _put(field, width, low, high, at)
    return low, high, at


@strict
def _turn(best, subset, partition, subsets, bits, apart):
    """Exchange a subset's endpoints where its anchor's index has its top bit."""
    anchor = ANCHORS[subsets - 1, partition, subset]
    if not int(best[BEST_INDEX + anchor]) >> (bits - 1):
        return
    for channel in range(3 if apart else 4):
        at = BEST_CODES + 8 * subset + channel
        best[at], best[at + 4] = best[at + 4], best[at]
    for t in range(16):
        if PARTITIONS[subsets - 1, partition, t] == subset:
            best[BEST_INDEX + t] = np.float32((1 << bits) - 1) - best[BEST_INDEX + t]


@strict
def _turn_second(best, bits):
    best[BEST_CODES + 3], best[BEST_CODES + 7] = best[BEST_CODES + 7], best[BEST_CODES + 3]
    for t in range(16):
        best[BEST_SECOND + t] = np.float32((1 << bits) - 1) - best[BEST_SECOND + t]
