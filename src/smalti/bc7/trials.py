"""One try of one mode: the texels in `work`, `best` replaced where the block gets better."""

import numpy as np

from smalti.bc7.lines import (
    ANY,
    FREE,
    NO_PBIT,
    OWN_PBITS,
    SET_PBITS,
    SHARED_PBIT,
    choose,
    fit,
    sum_weights,
    widen,
)
from smalti.bc7.pack import keep
from smalti.bc7.quantisers import MARGINS, first_indices
from smalti.bc7.rank import (
    SUMS_1,
    SUMS_2,
    THREE_COUNTS_1,
    THREE_COUNTS_2,
    TOTALS,
    TWO_COUNTS,
    squared,
)
from smalti.bc7.work import (
    AXES,
    CODES,
    ENDS,
    LANE_CODE,
    LANE_SCALE,
    LANE_W,
    LANE_WP,
    LANE_WW,
    QUANTISERS,
    SECOND,
    SPACE,
    SUBSET,
    exact,
    set_subsets,
    strict,
)

_F = np.float32

# By mode, as `lines` wants them: a code's bits with its p-bit, the kind of p-bits, the greatest index
# of the colours, subsets. Mode 6 of an opaque block has both p-bits set: alpha is 127 * 2 + 1.
BITS = np.array([5, 7, 5, 8, 5, 7, 8, 6])
KINDS = np.array(
    [OWN_PBITS, SHARED_PBIT, NO_PBIT, OWN_PBITS, NO_PBIT, NO_PBIT, OWN_PBITS, OWN_PBITS]
)
TOPS = np.array([7, 7, 3, 3, 3, 3, 15, 3], dtype=np.float32)
SUBSET_COUNTS = np.array([3, 2, 3, 2, 1, 1, 1, 2])

AGAIN = 1.1  # how much worse than the best a block may be for a further fit
FAR = 1.5  # how much worse, for it to be tried from other indices
PBIT_PAIRS = np.array([1, 2, 4, 1])  # by kind: choices of p-bits that `descend` tries

NEAR = 1.1  # how much worse than the best a block may be for `descend` to be tried


@strict
def principal_axis(n, x, y, z, xx, xy, xz, yy, yz, zz):
    """The axis of the greatest scatter of n points with these moments; its length means nothing.

    Three squarings of the scatter matrix, then a column: eight power iterations from a unit vector.
    """
    n, x, y, z = float(n), float(x), float(y), float(z)  # float32 may round a trace below 0
    a, b, c = n * xx - x * x, n * xy - x * y, n * xz - x * z
    d, e, f = n * yy - y * y, n * yz - y * z, n * zz - z * z
    scale = 1.0 / (a + d + f + 1e-30)
    a, b, c, d, e, f = a * scale, b * scale, c * scale, d * scale, e * scale, f * scale
    for _ in range(3):
        a, b, c, d, e, f = squared(a, b, c, d, e, f)
    if a >= d and a >= f:
        return _F(a), _F(b), _F(c)
    if d >= f:
        return _F(b), _F(d), _F(e)
    return _F(c), _F(e), _F(f)


@strict
def colour_axes(work, table, subsets, partition):
    """Fill AXES from the moments in `table`; alpha's component stays as it is."""
    n = _F(16)
    x, y, z = table[TOTALS], table[TOTALS + 1], table[TOTALS + 2]
    xx, xy, xz = table[TOTALS + 3], table[TOTALS + 4], table[TOTALS + 5]
    yy, yz, zz = table[TOTALS + 6], table[TOTALS + 7], table[TOTALS + 8]
    for s in range(1, subsets):
        p = partition + (SUMS_1 if s == 1 else SUMS_2)
        count = THREE_COUNTS_2 if s == 2 else (THREE_COUNTS_1 if subsets == 3 else TWO_COUNTS)
        m = table[count + partition]
        i, j, k = table[p], table[p + 64], table[p + 128]
        ii, ij, ik = table[p + 192], table[p + 256], table[p + 320]
        jj, jk, kk = table[p + 384], table[p + 448], table[p + 512]
        at = AXES + 4 * s
        work[at], work[at + 1], work[at + 2] = principal_axis(m, i, j, k, ii, ij, ik, jj, jk, kk)
        n, x, y, z = n - m, x - i, y - j, z - k
        xx, xy, xz, yy, yz, zz = xx - ii, xy - ij, xz - ik, yy - jj, yz - jk, zz - kk
    work[AXES], work[AXES + 1], work[AXES + 2] = principal_axis(n, x, y, z, xx, xy, xz, yy, yz, zz)


@strict
def rgba_axis(work, subset):
    """Fill a subset's AXES with the principal axis of its texels in four dimensions.

    Eight power iterations from the column of the channel that varies most, turned so that alpha
    grows along it.
    """
    mean = np.zeros(4)
    scatter = np.zeros((4, 4))
    count = 0.0
    for t in range(16):
        if work[SUBSET + t] == subset:
            count += 1.0
            for i in range(4):
                mean[i] += work[SPACE + 16 * i + t]
    for t in range(16):
        if work[SUBSET + t] == subset:
            for i in range(4):
                a = work[SPACE + 16 * i + t] - mean[i] / count
                for j in range(4):
                    scatter[i, j] += a * (work[SPACE + 16 * j + t] - mean[j] / count)
    start = 0
    for i in range(1, 4):
        if scatter[i, i] > scatter[start, start]:
            start = i
    axis = scatter[start].copy()
    for _ in range(8):
        norm = 0.0
        for i in range(4):
            norm = max(norm, abs(axis[i]))
        if norm == 0.0:
            break
        x, y, z, w = axis[0] / norm, axis[1] / norm, axis[2] / norm, axis[3] / norm
        for i in range(4):
            axis[i] = scatter[i, 0] * x + scatter[i, 1] * y + scatter[i, 2] * z + scatter[i, 3] * w
    sign = -1.0 if axis[3] < 0.0 else 1.0
    for i in range(4):
        work[AXES + 4 * subset + i] = sign * axis[i]


@strict
def held_alpha(work, subset):
    """Alpha that a subset's endpoints must have, or FREE: 0 and 255 are to come back exactly."""
    least, greatest = _F(255), _F(0)
    for t in range(16):
        if work[SUBSET + t] == subset:
            least, greatest = min(least, work[48 + t]), max(greatest, work[48 + t])
    first = least if least == _F(0) or least == _F(255) else _F(FREE)
    second = greatest if greatest == _F(0) or greatest == _F(255) else _F(FREE)
    return first, second


@strict
def try_lines(work, table, metric, best, error, mode, partition, effort, opaque):
    """Modes 0 to 3, 6 and 7; return the least error so far.

    opaque: whether alpha is left out, all texels being 255.
    """
    subsets, top, bits, kind = SUBSET_COUNTS[mode], TOPS[mode], BITS[mode], KINDS[mode]
    channels = 3 if opaque else 4
    set_subsets(work, subsets, partition)
    if opaque:
        colour_axes(work, table, subsets, partition)
        if mode == 6:
            kind = SET_PBITS
            work[CODES + 3] = work[CODES + 7] = _F(255)
    else:
        for s in range(subsets):
            rgba_axis(work, s)
    for place in range(effort.starts):
        first_indices(work, subsets, top, channels, place)
        last = _F(1e30)
        for _ in range(effort.fits):
            for s in range(subsets):
                alpha_0, alpha_1 = _F(FREE), _F(FREE)
                if not opaque:
                    alpha_0, alpha_1 = held_alpha(work, s)
                sum_weights(work, s, channels)
                fit(work, s, bits, kind, channels, alpha_0, alpha_1, ANY)
            now = choose(work, subsets, top, channels, metric)
            if now < error:
                error = now
                keep(work, best, mode, partition, 0, 0)
            if now >= last or now > _F(AGAIN) * error:
                last = min(now, last)
                break
            last = now
        if effort.passes > 0 and last < _F(NEAR) * error:
            error = descend(
                work, metric, best, error, mode, partition, 0, 0, channels, effort.passes, _F(0)
            )
        elif last > _F(FAR) * error:
            break
    return error


@strict
def colour_top(mode, selection):
    """The greatest index of the colours; modes 4 and 5 have another for the lone channel."""
    return _F(7) if mode == 4 and selection == 1 else TOPS[mode]


@strict
def descend(
    work, metric, best, error, mode, partition, rotation, selection, channels, passes, apart
):
    """Move the codes of an endpoint, or of both, by one step while that lowers the error.

    Starts from CODES in `work`; apart: error of the channel with indices of its own. Alpha's codes
    and p-bits stay.
    """
    subsets, bits, top = SUBSET_COUNTS[mode], BITS[mode], colour_top(mode, selection)
    stride = _F(1) if KINDS[mode] == NO_PBIT else _F(2)
    full = _F((1 << bits) - 1)
    kept = np.empty(16, dtype=np.float32)
    now = choose(work, subsets, top, channels, metric) + apart
    kind = SET_PBITS if mode == 6 else KINDS[mode]
    pairs = PBIT_PAIRS[kind] if channels == 3 and rotation == 0 else 0
    for _ in range(passes):
        before = now
        for s in range(subsets):
            choose(work, subsets, top, channels, metric)
            sum_weights(work, s, channels)
            for pair in range(pairs):
                for i in range(8):
                    kept[i], kept[8 + i] = work[CODES + 8 * s + i], work[ENDS + 8 * s + i]
                fit(work, s, bits, kind, channels, _F(FREE), _F(FREE), pair)
                other = choose(work, subsets, top, channels, metric) + apart
                if other < now:
                    now = other
                    if now < error:
                        error = now
                        keep(work, best, mode, partition, rotation, selection)
                else:
                    for i in range(8):
                        work[CODES + 8 * s + i], work[ENDS + 8 * s + i] = kept[i], kept[8 + i]
            for channel in range(3):
                at = 8 * s + channel
                if rotation == channel + 1:
                    continue
                for move in range(8):
                    step_0 = stride * _F(DIRECTIONS[move, 0])
                    step_1 = stride * _F(DIRECTIONS[move, 1])
                    q0, q1 = work[CODES + at], work[CODES + at + 4]
                    v0, v1 = work[ENDS + at], work[ENDS + at + 4]
                    if (
                        min(q0 + step_0, q1 + step_1) < _F(0)
                        or max(q0 + step_0, q1 + step_1) > full
                    ):
                        continue
                    work[CODES + at], work[CODES + at + 4] = q0 + step_0, q1 + step_1
                    work[ENDS + at] = widen(q0 + step_0, bits)
                    work[ENDS + at + 4] = widen(q1 + step_1, bits)
                    other = choose(work, subsets, top, channels, metric) + apart
                    if other < now:
                        now = other
                        if now < error:
                            error = now
                            keep(work, best, mode, partition, rotation, selection)
                    else:
                        work[CODES + at], work[CODES + at + 4] = q0, q1
                        work[ENDS + at], work[ENDS + at + 4] = v0, v1
        if now == before:
            break
    return error


DIRECTIONS = np.array(
    [[1, 0], [-1, 0], [0, 1], [0, -1], [1, 1], [-1, -1], [1, -1], [-1, 1]], dtype=np.float32
)


@strict
def try_apart(work, metric, best, error, mode, rotation, selection, effort):
    """Modes 4 and 5, where alpha's row has indices of its own; return the least error so far.

    With a rotation the caller has exchanged alpha's row and that of a colour, which is then 255
    throughout, in `work`, and their weights in `metric`. AXES: what the caller has put there.
    """
    bits = BITS[mode]
    second_bits = 6 if mode == 4 else 8
    top = colour_top(mode, selection)
    second_top = _F(7) if mode == 4 and selection == 0 else _F(3)
    apart = metric[3] * fit_second(work, second_bits, second_top, rotation == 0)
    if apart >= error:
        return error
    set_subsets(work, 1, 0)
    first_indices(work, 1, top, 3, 0)
    last = _F(1e30)
    for _ in range(effort.fits):
        sum_weights(work, 0, 3)
        fit(work, 0, bits, NO_PBIT, 3, _F(FREE), _F(FREE), ANY)
        if rotation:  # the row of opaque alpha
            at = rotation - 1
            work[CODES + at] = work[CODES + at + 4] = _F((1 << bits) - 1)
            work[ENDS + at] = work[ENDS + at + 4] = _F(255)
        now = choose(work, 1, top, 3, metric) + apart
        if now < error:
            error = now
            keep(work, best, mode, 0, rotation, selection)
        if now >= last:
            break
        last = now
    if effort.passes > 0 and last < _F(NEAR) * error:
        error = descend(
            work, metric, best, error, mode, 0, rotation, selection, 3, effort.passes, apart
        )
    return error


@strict
def fit_second(work, bits, top, hold):
    """Fit alpha's row by itself: fill SECOND and its codes; return its square error.

    hold: whether values 0 and 255 are to come back exactly, for which the endpoints stay on them.
    Tries QUANTISERS pairs of endpoints, in from the extremes.
    """
    low, high = _F(255), _F(0)
    for t in range(16):
        low, high = min(low, work[48 + t]), max(high, work[48 + t])
    full = _F((1 << bits) - 1)
    scale = full * _F(1 / 255)
    step = (high - low) / top
    keep_low = _F(0) if hold and low == _F(0) else step
    keep_high = _F(0) if hold and high == _F(255) else step
    for lane in range(QUANTISERS):
        q0 = np.floor((low + MARGINS[0, lane] * keep_low) * scale + _F(0.5))
        q1 = np.floor((high - MARGINS[1, lane] * keep_high) * scale + _F(0.5))
        if low == high:  # both sides of a value that may have no code
            q0, q1 = np.floor(low * scale), np.ceil(high * scale)
        q0, q1 = min(max(q0, _F(0)), full), min(max(q1, _F(0)), full)
        e0 = widen(q0, bits)
        span = widen(q1, bits) - e0
        work[LANE_CODE + lane], work[LANE_CODE + 32 + lane] = q0, q1
        work[LANE_W + lane], work[LANE_WW + lane] = e0, span
        work[LANE_SCALE + lane] = top / span if span > _F(0) else _F(0)
        work[LANE_WP + lane] = _F(0)
    for t in range(16):
        v = work[48 + t]
        for lane in range(QUANTISERS):
            index = np.floor((v - work[LANE_W + lane]) * work[LANE_SCALE + lane] + _F(0.5))
            w = np.floor(min(max(index, _F(0)), top) * (_F(64) / top) + _F(0.5)) * _F(1 / 64)
            d = v - np.floor(work[LANE_W + lane] + w * work[LANE_WW + lane] + _F(0.5))
            work[LANE_WP + lane] += d * d
    best = 0
    for lane in range(QUANTISERS):
        if work[LANE_WP + lane] < work[LANE_WP + best]:
            best = lane
    work[CODES + 3], work[CODES + 7] = work[LANE_CODE + best], work[LANE_CODE + 32 + best]
    e0, density = work[LANE_W + best], work[LANE_SCALE + best]
    for t in range(16):
        index = np.floor((work[48 + t] - e0) * density + _F(0.5))
        work[SECOND + t] = min(max(index, _F(0)), top)
    return work[LANE_WP + best]


@strict
def alpha_scatter(work, partition_mask, partition):
    """Square sum of alpha about its mean in each of two subsets, both together."""
    n, x, xx, tx, txx = _alpha_sums(work, partition_mask, partition)
    inside = xx - x * x / max(n, _F(1))
    outside = (txx - xx) - (tx - x) * (tx - x) / max(_F(16) - n, _F(1))
    return inside + outside


@exact
def _alpha_sums(work, partition_mask, partition):
    """1, A, AA over subset 1, and A, AA over all texels."""
    n = x = xx = tx = txx = _F(0)
    for t in range(16):
        m, a = partition_mask[t, partition], work[48 + t]
        n += m
        x += m * a
        xx += m * a * a
        tx += a
        txx += a * a
    return n, x, xx, tx, txx
