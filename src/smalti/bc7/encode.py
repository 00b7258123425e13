"""BC7 encoder: all eight modes, the best of those that are worth a trial.

    texels ─┬─ alpha 255 throughout ──▶ mode 6 ─▶ modes 0, 1, 2, 3 by rank ─▶ modes 4, 5 ─┬─▶ 16 bytes
            └─ else ──────────────────▶ modes 4, 5, 6 ─▶ mode 7 by rank ──────────────────┘

Moments tell what error to expect of each mode and partition (rank.py); the most promising are
tried (trials.py), and the exact error of the decoded block decides. numba's cache watches this file
only: after a change in a kernel elsewhere in this folder, touch it.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from smalti.bc7.layout import BLOCK_SIDE, block_grid
from smalti.bc7.metric import metric as metric_of
from smalti.bc7.pack import (
    BEST,
    BEST_CODES,
    BEST_INDEX,
    BEST_SECOND,
    MODE,
    PARTITION,
    ROTATION,
    SELECTION,
    pack,
)
from smalti.bc7.rank import (
    ALONG,
    EXPECTED,
    OFF,
    SUMS_1,
    SUMS_2,
    TABLE,
    TOTALS,
    fill_counts,
    products,
    rank_three,
    rank_two,
    split_scatter,
    sum_subset,
)
from smalti.bc7.rdo import optimise
from smalti.bc7.seed import ENGINES, encode_seed
from smalti.bc7.threads import run_in_bands
from smalti.bc7.trials import alpha_scatter, colour_axes, try_apart, try_lines
from smalti.bc7.work import (
    M_AA,
    M_GB,
    M_RB,
    M_RG,
    M_RR,
    SPACE,
    THREE_MASK_1,
    THREE_MASK_2,
    TWO_MASK,
    WORK,
    exact,
    has_black,
    inlined,
    load,
    strict,
    swap_rows,
    to_space,
)
from smalti.errors import ImageError, OptionError
from smalti.jit import announce


class Effort(NamedTuple):
    """How hard a block is searched."""

    trials: int  # of modes with several subsets, at most
    three: bool  # whether three subsets are among them
    apart: int  # of modes 4 and 5, at most, in an opaque block
    starts: int  # quantisers that a trial begins with
    fits: int  # least-squares fits of a trial, at most
    passes: int  # coordinate descents of a trial near the best, at most
    enough: float  # square error of a block at which its search ends
    hope: float  # a trial is made where this share of its expected error is below the best


EFFORTS = {
    "ultrafast": Effort(0, False, 0, 1, 1, 0, 0.0, 1.0),
    "fast": Effort(3, False, 0, 1, 2, 0, 20.0, 0.85),
    "medium": Effort(4, True, 6, 1, 2, 0, 10.0, 0.8),
    "high": Effort(12, True, 6, 1, 3, 1, 5.0, 0.65),
    "best": Effort(24, True, 9, 3, 4, 4, 0.0, 0.5),
}

# What to expect of a mode: a share of what is off its lines, a share of what is along them, and
# a constant for the rounding of endpoints. Fitted to the errors that trials reach on photographs.
EXPECT = np.array(
    [
        [1.2, 1 / 150, 25.0],
        [1.2, 1 / 150, 20.0],
        [1.6, 1 / 80, 70.0],
        [1.2, 1 / 30, 10.0],
        [1.2, 1 / 30, 60.0],
        [1.2, 1 / 30, 10.0],
        [1.2, 1 / 300, 10.0],
        [1.5, 1 / 30, 40.0],
    ],
    dtype=np.float32,
)
SECOND_SHARE = np.array([1 / 30, 1 / 150], dtype=np.float32)  # of a lone channel's, 4 and 8 steps

_F = np.float32
STRIP_TEXELS = 1 << 21  # encoded before progress is told


def _solid_codes() -> np.ndarray:
    """[value, endpoint]: 7-bit codes of mode 5 between which index 1 is exactly that value."""
    code = np.arange(128)
    wide = 2 * code + (code >> 6)
    value = (43 * wide[:, None] + 21 * wide[None, :] + 32) >> 6
    table = np.empty((256, 2), dtype=np.float32)
    for v in range(256):
        first, second = np.nonzero(value == v)
        nearest = np.argmin(np.abs(first - second))
        table[v] = first[nearest], second[nearest]
    return table


SOLID_CODES = _solid_codes()


def encode_image(
    image: np.ndarray,
    *,
    effort: str = "medium",
    metric: str = "rgba",
    weights: tuple[float, ...] = (1, 1, 1, 1),
    rdo: float = 0.0,
    on_rows: Callable[[int, int], None] | None = None,
) -> bytes:
    """Encode a picture into ceil(height / 4) * ceil(width / 4) blocks in row-major order.

    image: uint8 (H, W, 4), straight alpha; edge texels are repeated where a side is no multiple of
    4. effort: ultrafast, fast, medium, high or best; or "pca", "nelder-mead", two engines of mode 6
    for comparison (seed.py), which know the rgba metric only. metric, weights: what is made
    least, see `metric.metric`; colour under alpha 0 counts nothing in any. rdo: Lagrange multiplier
    of rdo.optimise, which then makes the blocks compress better; 0 for none. on_rows: called with
    (block rows done, block rows in all).

    Guaranteed at the five efforts: a texel of alpha 255 decodes to alpha 255, one of 0 to 0.

    Raises ImageError for another shape or type, OptionError for an unknown effort or metric.
    """
    if effort not in EFFORTS and effort not in ENGINES:
        raise OptionError(f"unknown effort {effort!r}; known: {', '.join((*EFFORTS, *ENGINES))}")
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 4 or not image.size:
        raise ImageError(
            "the BC7 encoder takes uint8 of shape (height, width, 4), "
            f"this is {image.dtype} of shape {image.shape}"
        )
    parameters = metric_of(metric, weights)
    if not rdo >= 0:
        raise OptionError(f"rdo={rdo}; a Lagrange multiplier is 0 (none) or more")
    rows, columns = block_grid(*image.shape[:2])
    strip = max(1, STRIP_TEXELS // (BLOCK_SIDE * BLOCK_SIDE * columns))
    blocks = bytearray()
    for first in range(0, rows, strip):
        part = image[BLOCK_SIDE * first : BLOCK_SIDE * (first + strip)]
        blocks += _encode_strip(part, parameters, effort)
        if on_rows:
            on_rows(min(first + strip, rows), rows)
    if rdo > 0:
        return optimise(bytes(blocks), image, lagrangian=rdo, weights=tuple(weights))
    return bytes(blocks)


def _encode_strip(image: np.ndarray, parameters: np.ndarray, effort: str) -> bytes:
    if effort in ENGINES:
        return encode_seed(image, effort)
    texels = np.require(np.ascontiguousarray(image).view("<u4")[..., 0], requirements="A").view()
    texels.flags.writeable = False  # one compiled kernel for arrays of both kinds
    rows, columns = block_grid(*image.shape[:2])
    words = np.empty((rows, columns, 2), dtype=np.uint64)
    work = columns * BLOCK_SIDE * BLOCK_SIDE
    announce(_encode_rows, "the BC7 encoder (40 to 50 seconds)")
    run_in_bands(_encode_rows, rows, work, texels, words, parameters, EFFORTS[effort])
    return words.astype("<u8", copy=False).tobytes()


@strict
def _encode_rows(first, last, texels, words, parameters, effort):
    """Encode block rows `first` to `last`."""
    work = np.zeros(WORK, dtype=np.float32)
    table = np.zeros(TABLE, dtype=np.float32)
    best = np.zeros(BEST, dtype=np.float32)
    block = np.empty(16, dtype=np.uint32)
    fill_counts(table)
    metric = parameters.copy()
    for row in range(first, last):
        for column in range(words.shape[1]):
            least_alpha, greatest_alpha, solid = load(texels, row, column, metric, block, work)
            if greatest_alpha == 0:
                words[row, column, 0] = 1 << 6  # mode 6, all the rest zero
                words[row, column, 1] = 0
                continue
            if solid:
                _keep_solid(work, best)
            elif least_alpha == 255:
                _search_opaque(work, table, metric, best, effort)
            else:
                _search_alpha(work, table, metric, best, effort)
            words[row, column, 0], words[row, column, 1] = pack(best)


@strict
def _keep_solid(work, best):
    best[MODE], best[PARTITION], best[ROTATION], best[SELECTION] = 5, 0, 0, 0
    for c in range(3):
        value = int(work[16 * c])
        best[BEST_CODES + c] = SOLID_CODES[value, 0]
        best[BEST_CODES + 4 + c] = SOLID_CODES[value, 1]
    best[BEST_CODES + 3] = best[BEST_CODES + 7] = work[48]
    for t in range(16):
        best[BEST_INDEX + t] = 1
        best[BEST_SECOND + t] = 0


@strict
def _search_opaque(work, table, metric, best, effort):
    enough = _F(effort.enough)
    to_space(work, metric)
    products(work, table)
    error = try_lines(work, table, metric, best, _F(1e30), 6, 0, effort, True)
    if effort.trials and has_black(work):
        error = try_apart(work, metric, best, error, 5, 0, 0, effort)
    if effort.trials == 0 or error <= enough:
        return
    sum_subset(table, TWO_MASK, 64, SUMS_1)
    rank_two(table, 64)
    error = _try_ranked(work, table, metric, best, error, 1, 3, 64, 64, effort)
    if effort.three and error > enough:
        sum_subset(table, THREE_MASK_1, 64, SUMS_1)
        sum_subset(table, THREE_MASK_2, 64, SUMS_2)
        rank_three(table, 64)
        error = _try_ranked(work, table, metric, best, error, 0, 2, 16, 64, effort)
    if effort.apart and error > enough:
        _try_rotations(work, table, metric, best, error, effort)


@strict
def _try_ranked(work, table, metric, best, error, mode_a, mode_b, count_a, count_b, effort):
    """Try partitions of two modes that share their OFF and ALONG, the most promising first."""
    for p in range(64):
        off, along = table[OFF + p], table[ALONG + p]
        a = EXPECT[mode_a, 0] * off + EXPECT[mode_a, 1] * along + EXPECT[mode_a, 2]
        b = EXPECT[mode_b, 0] * off + EXPECT[mode_b, 1] * along + EXPECT[mode_b, 2]
        table[EXPECTED + p] = _rated(a if p < count_a else _F(NEVER), p)
        table[EXPECTED + 64 + p] = _rated(b if p < count_b else _F(NEVER), 64 + p)
    for _ in range(effort.trials):
        expected, place = _take_least(table, 128)
        if _F(effort.hope) * expected >= error or expected == _F(NEVER):
            break
        mode = mode_a if place < 64 else mode_b
        error = try_lines(work, table, metric, best, error, mode, place % 64, effort, True)
    return error


NEVER = 131071.0  # expected of what is not to be tried: 128 times that, and a place, is exact
MOST = NEVER - 1.0  # to expect of a trial


@inlined
def _rated(expected, place):
    """An error in whole units and a place below 128, in one number: the least is found at once."""
    expected = expected if expected == _F(NEVER) else min(expected, _F(MOST))
    return np.floor(expected) * _F(128) + _F(np.int32(place))


@exact
def _take_least(table, count):
    """The least expected error and its place, which is taken out."""
    least = table[EXPECTED]
    for i in range(count):
        least = min(least, table[EXPECTED + i])
    place = int(least) % 128
    table[EXPECTED + place] = _rated(_F(NEVER), place)
    return _F(int(least) // 128), place


@strict
def _try_rotations(work, table, metric, best, error, effort):
    """Modes 4 and 5 on an opaque block: one channel, or opaque alpha, gets indices of its own."""
    crossed = metric[M_RG] != _F(0) or metric[M_RB] != _F(0) or metric[M_GB] != _F(0)
    tried = 0
    for rotation in range(1 if crossed else 4):
        c = rotation - 1
        if rotation:
            _rotate(work, metric, c)
        products(work, table)
        off, along = split_scatter(
            _F(16), table[TOTALS], table[TOTALS + 1], table[TOTALS + 2], table[TOTALS + 3],
            table[TOTALS + 4], table[TOTALS + 5], table[TOTALS + 6], table[TOTALS + 7], table[TOTALS + 8],
        )  # fmt: skip
        colour_axes(work, table, 1, 0)
        lone = _row_scatter(work, SPACE + 48)
        for mode, selection in ((5, 0), (4, 0), (4, 1)):
            if rotation == 0 and mode == 4:
                continue
            steps = 8 if mode == 4 and selection == 1 else 4
            share = EXPECT[mode, 1] if steps == 4 else SECOND_SHARE[1]
            expected = EXPECT[mode, 0] * off + share * along + EXPECT[mode, 2]
            expected += SECOND_SHARE[1 if mode == 4 and selection == 0 else 0] * lone
            if tried < effort.apart and _F(effort.hope) * expected < error:
                tried += 1
                error = try_apart(work, metric, best, error, mode, rotation, selection, effort)
        if rotation:
            _rotate(work, metric, c)
    return error


@strict
def _rotate(work, metric, channel):
    """Exchange a colour with alpha; a second call undoes it."""
    swap_rows(work, 16 * channel, 48)
    swap_rows(work, SPACE + 16 * channel, SPACE + 48)
    metric[M_RR + channel], metric[M_AA] = metric[M_AA], metric[M_RR + channel]


@strict
def _row_scatter(work, row):
    x, xx = _row_sums(work, row)
    return xx - x * x * _F(1 / 16)


@exact
def _row_sums(work, row):
    x = xx = _F(0)
    for t in range(16):
        x += work[row + t]
        xx += work[row + t] * work[row + t]
    return x, xx


@strict
def _search_alpha(work, table, metric, best, effort):
    """A block with texels that are not opaque. Mode 5 can hold alpha 0 and 255 whatever the colours."""
    to_space(work, metric)
    products(work, table)
    colour_axes(work, table, 1, 0)
    error = try_apart(work, metric, best, _F(1e30), 5, 0, 0, effort)
    if effort.trials:
        error = try_apart(work, metric, best, error, 4, 0, 0, effort)
        error = try_apart(work, metric, best, error, 4, 0, 1, effort)
    error = try_lines(work, table, metric, best, error, 6, 0, effort, False)
    if effort.trials == 0 or error == _F(0):
        return
    sum_subset(table, TWO_MASK, 64, SUMS_1)
    rank_two(table, 64)
    for p in range(64):
        inside = metric[M_AA] * alpha_scatter(work, TWO_MASK, p)
        expected = EXPECT[7, 0] * table[OFF + p] + EXPECT[7, 1] * (table[ALONG + p] + inside)
        table[EXPECTED + p] = _rated(expected + EXPECT[7, 2], p)
    for _ in range(effort.trials):
        expected, place = _take_least(table, 64)
        if _F(effort.hope) * expected >= error:
            break
        error = try_lines(work, table, metric, best, error, 7, place, effort, False)
