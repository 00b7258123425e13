"""The arrays in which one block is searched, and the loops that fill them.

`work` is one flat float32 array in rows of 16 texels (or lanes); the constants below are the rows'
offsets, so that a loop over a row becomes two 8-wide vectors. Two rules keep the blocks the same on
every machine, however wide its vectors are:

- a sum over texels has only integers (or multiples of 1/16, 1/64, ...) under 2 ** 24 of their units,
  which float32 adds exactly in any order: those loops may be reordered (`exact`);
- everything else is done for each texel or lane by itself, in the order written down (`strict`).
"""

import numpy as np

from smalti.bc7.partitions import PARTITIONS
from smalti.jit import njit

_F = np.float32

exact = njit(nogil=True, error_model="numpy", fastmath=True)
strict = njit(nogil=True, error_model="numpy", fastmath={"nnan", "ninf", "nsz"})
# For what a loop calls: a loop with a call left in it becomes no vectors.
inlined = njit(nogil=True, error_model="numpy", fastmath={"nnan", "ninf", "nsz"}, forceinline=True)

TEXEL = 0  # 4 rows: R, G, B, A; colour under alpha 0 is the mean of the visible colours
SPACE = 64  # 4 rows: the texel where the metric is a plain squared distance
VISIBLE = 128  # weight of the texel's colour error
OPACITY = 144  # weight of its alpha error: HELD where alpha is 0 or 255, else 1
SUBSET = 160  # 0, 1 or 2
MASK = 176  # 3 rows: VISIBLE where the texel is of subset 0, 1, 2
INDEX = 224  # index chosen last
WEIGHT = 240  # its interpolation weight / 64
SECOND = 256  # index of the channel that has its own (modes 4 and 5)
PROJECTION = 272  # place of the texel along its subset's axis; later its error
LANE_COST = 288  # 4 channels of 8 lanes: see `lines.fit`
LANE_CODE = 320  # 2 rows of 32: codes of the first and of the second endpoint
SUMS = 384  # 3 subsets of 16 numbers: see `lines.sum_weights`
ENDS = 432  # 3 subsets of 8: decoded endpoints, R G B A of the first, then of the second
CODES = 456  # the same for what the block stores, a p-bit as the lowest bit
AXES = 480  # 3 subsets of 4
QUANTISERS = 8  # that `lines.first_indices` tries for each subset; lanes of 3 subsets in each row:
LANE_SCALE, LANE_SHIFT, LANE_N, LANE_P, LANE_W, LANE_WW, LANE_WP = range(496, 720, 32)
LANE_FIRST, LANE_SECOND = 720, 752  # the least-squares ends of `lines.fit`'s lanes
FORM = 784  # and of the square error about them: uu, 2 uw, ww, uw / ww
WORK = 788

HELD = 65536.0  # so that no gain in colour pays for an opaque texel's alpha

# The metric: d^T M d of a texel's error d, and the matrix into SPACE. See metric.py.
M_RR, M_GG, M_BB, M_AA, M_RG, M_RB, M_GB = range(7)
TO_SPACE = 7  # 3 x 3, row-major
ALPHA_TO_SPACE = 16
BY_ALPHA = 17  # whether colour errors count by alpha
METRIC = 18

# [texel, partition] -> 1 where the texel is of the subset, else 0
TWO_MASK = np.ascontiguousarray((PARTITIONS[1] == 1).T.astype(np.float32))
THREE_MASK_1 = np.ascontiguousarray((PARTITIONS[2] == 1).T.astype(np.float32))
THREE_MASK_2 = np.ascontiguousarray((PARTITIONS[2] == 2).T.astype(np.float32))
SUBSETS = PARTITIONS.astype(np.float32)  # [subsets - 1, partition, texel]


@strict
def load(texels, row, column, metric, words, work):
    """Load a block's texels; return the least and the greatest alpha, and whether all are equal.

    texels: uint32 (H, W), R in the lowest byte. words: uint32 [16] to work in. Edge texels repeat where the picture ends.
    Invisible texels get the mean of the visible colours, so that they do not turn an axis.
    """
    height, width = texels.shape
    if 4 * row + 4 <= height and 4 * column + 4 <= width:
        for y in range(4):
            for x in range(4):
                words[4 * y + x] = texels[4 * row + y, 4 * column + x]
    else:
        for y in range(4):
            for x in range(4):
                words[4 * y + x] = texels[
                    min(4 * row + y, height - 1), min(4 * column + x, width - 1)
                ]
    least, greatest, change = np.uint32(255), np.uint32(0), np.uint32(0)
    first = words[0]
    for t in range(16):
        word = words[t]
        change |= word ^ first
        alpha = word >> np.uint32(24)
        work[t] = _F(np.int32(word & np.uint32(255)))
        work[16 + t] = _F(np.int32((word >> np.uint32(8)) & np.uint32(255)))
        work[32 + t] = _F(np.int32((word >> np.uint32(16)) & np.uint32(255)))
        work[48 + t] = _F(np.int32(alpha))
        work[VISIBLE + t] = _F(1) if alpha else _F(0)
        least, greatest = min(least, alpha), max(greatest, alpha)
    if least < 255 and greatest > 0:
        _weigh(work, metric)
        if least == 0:
            _fill_invisible(work)
    return least, greatest, change == 0


@strict
def _weigh(work, metric):
    """Fill OPACITY, and VISIBLE by alpha squared where the metric is premultiplied; in 16ths."""
    held = _F(HELD) / metric[M_AA]  # which the metric multiplies with that again
    for t in range(16):
        alpha = work[48 + t]
        work[OPACITY + t] = held if alpha == _F(0) or alpha == _F(255) else _F(1)
        if metric[BY_ALPHA] != _F(0):
            share = alpha * alpha * _F(16 / 65025)
            work[VISIBLE + t] = np.ceil(share) * _F(1 / 16)


@strict
def _fill_invisible(work):
    for c in range(3):
        total = count = 0
        for t in range(16):
            if work[VISIBLE + t] != 0:
                total += int(work[16 * c + t])
                count += 1
        for t in range(16):
            if work[VISIBLE + t] == 0:
                work[16 * c + t] = (total + count // 2) // count


@strict
def to_space(work, metric):
    """Fill SPACE, in steps of 1/4 from mid-grey on: sums of its products are then exact."""
    middle = _F(128)
    four, half, quarter = _F(4), _F(0.5), _F(0.25)
    a, b, c = metric[TO_SPACE] * four, metric[TO_SPACE + 1] * four, metric[TO_SPACE + 2] * four
    d, e, f = metric[TO_SPACE + 3] * four, metric[TO_SPACE + 4] * four, metric[TO_SPACE + 5] * four
    g, h, i = metric[TO_SPACE + 6] * four, metric[TO_SPACE + 7] * four, metric[TO_SPACE + 8] * four
    j = metric[ALPHA_TO_SPACE] * four
    for t in range(16):
        red, green, blue = work[t] - middle, work[16 + t] - middle, work[32 + t] - middle
        work[SPACE + t] = np.floor(a * red + b * green + c * blue + half) * quarter
        work[SPACE + 16 + t] = np.floor(d * red + e * green + f * blue + half) * quarter
        work[SPACE + 32 + t] = np.floor(g * red + h * green + i * blue + half) * quarter
        work[SPACE + 48 + t] = np.floor(j * work[48 + t] + half) * quarter


@strict
def set_subsets(work, subsets, partition):
    """Fill SUBSET and MASK for a partition."""
    for t in range(16):
        s = SUBSETS[subsets - 1, partition, t]
        v = work[VISIBLE + t]
        work[SUBSET + t] = s
        work[MASK + t] = v if s == _F(0) else _F(0)
        work[MASK + 16 + t] = v if s == _F(1) else _F(0)
        work[MASK + 32 + t] = v if s == _F(2) else _F(0)


@strict
def swap_rows(work, first, second):
    """Exchange two rows."""
    for t in range(16):
        work[first + t], work[second + t] = work[second + t], work[first + t]


@strict
def has_black(work):
    """Whether a texel is pure black, which the odd values of an opaque mode 6 miss."""
    black = False
    for t in range(16):
        black |= max(max(work[t], work[16 + t]), work[32 + t]) == _F(0)
    return black
