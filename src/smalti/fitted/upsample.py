"""Doubling a grid's resolution with a short filter, and the same backwards.

A node's centre is the centre of the 2 x 2 finer nodes that it covers, so the two new nodes of a
node see its neighbours in mirror order. With y the row, its ends repeated:

    even[j] = t0 y[j-2] + t1 y[j-1] + t2 y[j] + t3 y[j+1]
    odd[j]  = t3 y[j-1] + t2 y[j] + t1 y[j+1] + t0 y[j+2]

(0, 1/4, 3/4, 0) is bilinear interpolation. Columns first, then rows, by the same four taps.
Multiply-adds a new node: 4 + 2.
"""

import numpy as np

from smalti.jit import njit

FAST = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz"}}
SUMS = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "reassoc", "nsz"}}


@njit(forceinline=True, **FAST)
def _between(source, row, taps, line):
    """Into `line` new row `row` before its columns are doubled, ends repeated; the four old rows."""
    h, w = source.shape
    j = row >> 1
    if row & 1:
        a, b, c, d = min(j + 2, h - 1), min(j + 1, h - 1), j, max(j - 1, 0)
    else:
        a, b, c, d = max(j - 2, 0), max(j - 1, 0), j, min(j + 1, h - 1)
    t0, t1, t2, t3 = taps[0], taps[1], taps[2], taps[3]
    ya, yb, yc, yd = source[a], source[b], source[c], source[d]
    middle = line[2 : w + 2]
    for i in range(w):
        middle[i] = t0 * ya[i] + t1 * yb[i] + t2 * yc[i] + t3 * yd[i]
    line[0] = line[1] = line[2]
    line[w + 2] = line[w + 3] = line[w + 1]
    return a, b, c, d


@njit(**FAST)
def double(source, taps, target):
    """source `h w` -> target, at most `2h 2w` (what lies beyond its end is cut off)."""
    w = source.shape[1]
    rows, columns = target.shape
    t0, t1, t2, t3 = taps[0], taps[1], taps[2], taps[3]
    line = np.empty(w + 4, np.float32)
    wide = np.empty(2 * w, np.float32)
    for row in range(rows):
        _between(source, row, taps, line)
        for i in range(w):
            wide[2 * i] = t0 * line[i] + t1 * line[i + 1] + t2 * line[i + 2] + t3 * line[i + 3]
            wide[2 * i + 1] = (
                t3 * line[i + 1] + t2 * line[i + 2] + t1 * line[i + 3] + t0 * line[i + 4]
            )
        out = target[row]
        for i in range(columns):
            out[i] = wide[i]


@njit(**SUMS)
def double_back(source, taps, d_target, d_source, d_taps):
    """The gradients of `double`, added to d_source and d_taps."""
    w = source.shape[1]
    rows, columns = d_target.shape
    t0, t1, t2, t3 = taps[0], taps[1], taps[2], taps[3]
    line = np.empty(w + 4, np.float32)
    d_line = np.empty(w + 4, np.float32)
    # gradients of the even and odd new nodes, with zeros before and behind for the sums below
    even, odd = np.zeros(w + 8, np.float32), np.zeros(w + 8, np.float32)
    s0 = s1 = s2 = s3 = np.float32(0)
    for row in range(rows):
        ja, jb, jc, jd = _between(source, row, taps, line)
        a, b, c, d = source[ja], source[jb], source[jc], source[jd]
        d_out = d_target[row]
        half = columns >> 1
        e, o = even[4 : w + 4], odd[4 : w + 4]
        for i in range(half):
            e[i] = d_out[2 * i]
            o[i] = d_out[2 * i + 1]
        if columns & 1:
            e[half] = d_out[columns - 1]
            o[half] = 0
        for i in range(w):
            s0 += e[i] * line[i] + o[i] * line[i + 4]
            s1 += e[i] * line[i + 1] + o[i] * line[i + 3]
            s2 += e[i] * line[i + 2] + o[i] * line[i + 2]
            s3 += e[i] * line[i + 3] + o[i] * line[i + 1]
        for i in range(w + 4):
            d_line[i] = (
                t0 * (even[i + 4] + odd[i])
                + t1 * (even[i + 3] + odd[i + 1])
                + t2 * (even[i + 2] + odd[i + 2])
                + t3 * (even[i + 1] + odd[i + 3])
            )
        d_line[2] += d_line[0] + d_line[1]
        d_line[w + 1] += d_line[w + 2] + d_line[w + 3]
        d_middle = d_line[2 : w + 2]
        da, db, dc, dd = d_source[ja], d_source[jb], d_source[jc], d_source[jd]
        for i in range(w):
            s0 += d_middle[i] * a[i]
            s1 += d_middle[i] * b[i]
            s2 += d_middle[i] * c[i]
            s3 += d_middle[i] * d[i]
        for i in range(w):
            da[i] += t0 * d_middle[i]
        for i in range(w):
            db[i] += t1 * d_middle[i]
        for i in range(w):
            dc[i] += t2 * d_middle[i]
        for i in range(w):
            dd[i] += t3 * d_middle[i]
    d_taps[0] += s0
    d_taps[1] += s1
    d_taps[2] += s2
    d_taps[3] += s3
