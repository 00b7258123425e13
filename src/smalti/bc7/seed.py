"""Two small mode 6 encoders to learn from: `pca`, and `nelder-mead`, which goes on from there.

    16 texels ──half-space sums──▶ line ──extremes──▶ two ends ──round, choose──▶ block, error
                                                         ▲                          │
                                                         └─── Nelder-Mead, ≤ 64 ◀───┘ error > 0.004

They are those of tinyBC, whose error is that of two unrounded colours and unrounded weights; here it
is that of the block as every decoder reads it. Nelder and Mead, "A simplex method for function
minimization", The Computer Journal 7(4), 1965. What else differs from tinyBC:

- The ends are the two extremes on the line. Its componentwise minimum and maximum of the two put
  a line that rises in one channel and falls in another on the wrong diagonal.
- Alpha takes part in the choice of the line, and colour is not multiplied with alpha before it.
- The first step of a value goes down where up would leave 0 .. 1: a simplex with two equal
  vertices never leaves a plane.
- A simplex whose errors are all equal has nothing left to compare, and stops.
- Alpha that must be exact (see `encode_seed`) is no variable: 6 dimensions in an opaque block.

All arithmetic is exact or scalar float64 without `fastmath`: the same picture gives the same blocks
on every machine, and `seed_reference.encode_block`, the readable twin, the same bits.

numba's cache watches this file alone: after a change in seed_loops.py, touch it.
"""

import numpy as np

from smalti.bc7.layout import BLOCK_SIDE, block_grid
from smalti.bc7.seed_loops import INDEX, VISIBLE, WORK, choose, fill_steps, load_norms
from smalti.bc7.threads import run_in_bands
from smalti.errors import ImageError, OptionError
from smalti.jit import njit

ENGINES = ("pca", "nelder-mead")

FREE = -1  # for an end's alpha: not prescribed
GOOD_ENOUGH = 0.004 * 255**2  # squared error of a block, in levels of 255: no search below it
ITERATIONS = 64  # at most
FIRST_STEP = 0.1 * 255  # levels
REFLECTION = 1.3
EXPANSION = 2.2
CONTRACTION = 0.55
SHRINK = 0.45


def encode_seed(image: np.ndarray, engine: str = "nelder-mead") -> bytes:
    """Encode a picture into ceil(height / 4) * ceil(width / 4) mode 6 blocks in row-major order.

    image: uint8 (H, W, 4), straight alpha; edge texels are repeated where a side is no multiple of
    4. engine: `pca`, or `nelder-mead`, which is never worse in any block. What is made least is the
    squared error of R, G, B and A; colour under alpha 0 counts nothing.

    Alpha 255 in all of a block stays 255, alpha 0 in all of it stays 0, and in a block that has
    both, or anything between, each transparent texel stays 0.

    Raises ImageError for another shape or type, OptionError for an unknown engine.
    """
    if engine not in ENGINES:
        raise OptionError(f"unknown engine {engine!r}; known: {', '.join(ENGINES)}")
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 4 or not image.size:
        raise ImageError(
            "the BC7 encoder takes uint8 of shape (height, width, 4), "
            f"this is {image.dtype} of shape {image.shape}"
        )
    image = np.ascontiguousarray(image).view()
    image.flags.writeable = False  # one compiled kernel for arrays of both kinds
    rows, columns = block_grid(*image.shape[:2])
    words = np.empty((rows, columns, 2), dtype=np.uint64)
    work = columns * BLOCK_SIDE * BLOCK_SIDE
    run_in_bands(_encode_rows, rows, work, image, words, engine == "nelder-mead")
    return words.astype("<u8", copy=False).tobytes()


@njit(nogil=True)
def _encode_rows(first, last, image, words, search):
    """Encode block rows `first` to `last`."""
    work = np.zeros(WORK, dtype=np.float32)
    fixed = np.empty(2, dtype=np.int64)
    point = np.empty(8)
    simplex = np.empty((9, 8))
    errors = np.empty(9)
    scratch = np.empty((3, 8))
    ends = np.empty(8, dtype=np.float32)
    trial = np.empty(8, dtype=np.float32)
    fill_steps(work)
    for row in range(first, last):
        for column in range(words.shape[1]):
            if not _load(image, row, column, work, fixed):
                words[row, column, 0] = 1 << 6  # mode 6, all the rest zero
                words[row, column, 1] = 0
                continue
            load_norms(work)
            _principal_ends(work, point)
            error = _round_and_choose(work, fixed, point, ends, trial)
            if search and error > GOOD_ENOUGH:
                _nelder_mead(work, fixed, point, error, simplex, errors, scratch, ends, trial)
                _round_and_choose(work, fixed, point, ends, trial)
            choose(work, ends)
            low, high = _pack(work, ends)
            words[row, column, 0] = low
            words[row, column, 1] = high


@njit(nogil=True)
def _load(image, row, column, work, fixed):
    """Load a block's texels and the alphas that its ends must have; False if none is visible.

    Invisible texels get the mean of the visible colours, so that they do not turn the line.
    """
    height, width, _ = image.shape
    least, greatest, visible = 255, 0, 0
    for t in range(16):
        y = min(4 * row + t // 4, height - 1)
        x = min(4 * column + t % 4, width - 1)
        for c in range(4):
            work[16 * c + t] = image[y, x, c]
        alpha = int(image[y, x, 3])
        work[VISIBLE + t] = alpha > 0
        visible += alpha > 0
        least = min(least, alpha)
        greatest = max(greatest, alpha)
    if visible == 0:
        return False
    for c in range(3):
        total = 0
        for t in range(16):
            total += int(work[16 * c + t]) * int(work[VISIBLE + t])
        for t in range(16):
            if work[VISIBLE + t] == 0:
                work[16 * c + t] = (total + visible // 2) // visible
    fixed[0] = least if least == 0 or least == 255 else FREE
    fixed[1] = 255 if greatest == 255 else FREE
    return True


@njit(nogil=True)
def _principal_ends(work, point):
    """The first guess: the extremes of the texels on the line through their mean.

    Its direction is the longest of four sums: of the texels above the mean in R, in G, in B, in A.
    point: receives R, G, B, A of both ends, 0 .. 255, unrounded.
    """
    mean = np.zeros(4)
    direction = np.zeros(4)
    for c in range(4):
        for t in range(16):
            mean[c] += work[16 * c + t]
        mean[c] /= 16
    longest = 0.0
    total = np.empty(4)
    for above in range(4):
        total[:] = 0
        for t in range(16):
            if work[16 * above + t] > mean[above]:
                for c in range(4):
                    total[c] += work[16 * c + t] - mean[c]
        length = 0.0
        for c in range(4):
            length += total[c] * total[c]
        if length > longest:
            longest = length
            direction[:] = total
    if direction[3] < 0:  # end 0 is the one with less alpha
        direction *= -1
    low = high = 0.0
    for t in range(16):
        product = 0.0
        for c in range(4):
            product += (work[16 * c + t] - mean[c]) * direction[c]
        low = min(low, product)
        high = max(high, product)
    for c in range(4):
        along = direction[c] / longest if longest > 0 else 0.0
        point[c] = min(max(mean[c] + low * along, 0.0), 255.0)
        point[4 + c] = min(max(mean[c] + high * along, 0.0), 255.0)


@njit(nogil=True)
def _round_and_choose(work, fixed, point, ends, trial):
    """Round `point` to 7 bits and the best of the p-bits; return the block's squared error.

    ends: receives the rounded ends. An end of prescribed alpha has a prescribed p-bit.
    """
    least = np.inf
    for pair in range(4):
        parity_0, parity_1 = pair & 1, pair >> 1
        if fixed[0] != FREE and parity_0 != fixed[0] & 1:
            continue
        if fixed[1] != FREE and parity_1 != fixed[1] & 1:
            continue
        for c in range(4):
            trial[c] = _nearest(point[c], parity_0)
            trial[4 + c] = _nearest(point[4 + c], parity_1)
        if fixed[0] != FREE:
            trial[3] = fixed[0]
        if fixed[1] != FREE:
            trial[7] = fixed[1]
        error = float(choose(work, trial))
        if error < least:
            least = error
            ends[:] = trial
    return least


@njit(nogil=True)
def _nearest(value, parity):
    """The nearest number of 0 .. 255 with the given lowest bit."""
    return 2 * min(max(np.floor((value - parity) * 0.5 + 0.5), 0.0), 127.0) + parity


@njit(nogil=True)
def _nelder_mead(work, fixed, point, error, simplex, errors, scratch, ends, trial):
    """Move `point`, of the given error, to the best point that the simplex finds."""
    centroid, reflected, other = scratch[0], scratch[1], scratch[2]
    simplex[0] = point
    errors[0] = error
    last = 0  # index of the last vertex
    for v in range(8):
        if (v == 3 and fixed[0] != FREE) or (v == 7 and fixed[1] != FREE):
            continue
        last += 1
        simplex[last] = point
        up = point[v] + FIRST_STEP
        simplex[last, v] = up if up <= 255 else point[v] - FIRST_STEP
        errors[last] = _round_and_choose(work, fixed, simplex[last], ends, trial)

    for _ in range(ITERATIONS):
        _sort(simplex, errors, last)
        if errors[0] == errors[last]:
            break
        for v in range(8):
            centroid[v] = 0.0
            for i in range(last):
                centroid[v] += simplex[i, v]
            centroid[v] /= last
        # A point beyond the centroid is a move by a negative factor, seen from the worst vertex.
        _move(centroid, simplex[last], -REFLECTION, reflected)
        reflected_error = _round_and_choose(work, fixed, reflected, ends, trial)
        if reflected_error < errors[0]:
            _move(centroid, reflected, EXPANSION, other)
            other_error = _round_and_choose(work, fixed, other, ends, trial)
            if other_error < reflected_error:
                reflected[:] = other
                reflected_error = other_error
        if reflected_error < errors[last - 1]:
            simplex[last] = reflected
            errors[last] = reflected_error
            continue
        _move(centroid, simplex[last], CONTRACTION, other)
        other_error = _round_and_choose(work, fixed, other, ends, trial)
        if other_error < errors[last]:
            simplex[last] = other
            errors[last] = other_error
            continue
        for i in range(1, last + 1):
            _move(simplex[0], simplex[i], SHRINK, simplex[i])
            errors[i] = _round_and_choose(work, fixed, simplex[i], ends, trial)
    _sort(simplex, errors, last)
    point[:] = simplex[0]


@njit(nogil=True)
def _move(origin, source, factor, target):
    """target = origin + factor (source - origin), within 0 .. 255."""
    for v in range(8):
        value = origin[v] + factor * (source[v] - origin[v])
        target[v] = min(max(value, 0.0), 255.0)


@njit(nogil=True)
def _sort(simplex, errors, last):
    """Least error first; equal errors keep their order."""
    for i in range(1, last + 1):
        for j in range(i, 0, -1):
            if errors[j] >= errors[j - 1]:
                break
            errors[j], errors[j - 1] = errors[j - 1], errors[j]
            for v in range(8):
                simplex[j, v], simplex[j - 1, v] = simplex[j - 1, v], simplex[j, v]


@njit(nogil=True)
def _pack(work, ends):
    """The block's two words, from its ends and the indices chosen last."""
    # The anchor's index has no top bit: turn the line round where it is set. The weights are
    # symmetric, so the texels stay.
    turned = int(work[INDEX] >= 8)
    low, high = np.uint64(1 << 6), np.uint64(0)
    for c in range(4):
        for e in range(2):
            value = np.uint64(int(ends[4 * (e ^ turned) + c]) >> 1)
            low |= value << np.uint64(7 + 14 * c + 7 * e)
    low |= np.uint64(int(ends[4 * turned]) & 1) << np.uint64(63)
    high |= np.uint64(int(ends[4 * (1 - turned)]) & 1)
    for t in range(16):
        index = int(work[INDEX + t])
        index = 15 - index if turned else index
        high |= np.uint64(index) << np.uint64(max(4 * t, 1))
    return low, high
