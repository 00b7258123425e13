"""Which partitions are worth a trial: the error of the best lines, from moments alone.

A subset of n texels with scatter matrix A (their products about the mean) leaves tr A - m off its
best line, where m is A's largest eigenvalue, and has m along it, of which the steps of an index
leave a share. Both are known for all 64 partitions from sums over texels, without any fit.
"""

import math

import numpy as np

from smalti.bc7.work import SPACE, THREE_MASK_1, THREE_MASK_2, TWO_MASK, exact, inlined, strict

MOMENTS = 9  # sums of x, y, z, xx, xy, xz, yy, yz, zz

# Rows of the flat float32 array `table`: one array, so that the compiler sees that no two overlap.
SUMS_1 = 0  # 9 rows of 64 partitions: moments of subset 1
SUMS_2 = 576  # 9 rows: moments of subset 2
TWO_COUNTS = 1152  # texels of subset 1 of two
THREE_COUNTS_1 = 1216  # texels of subset 1 of three, and of subset 2
THREE_COUNTS_2 = 1280
OFF = 1344  # square sum off the best lines
ALONG = 1408  # square sum along them
TERMS = 1472  # 9 rows of 16 texels: what MOMENTS sums
TOTALS = 1616  # the block's nine moments
EXPECTED = 1632  # 128 trials, as encode.py rates them
TABLE = 1760

_F = np.float32


@exact
def products(work, table):
    """Fill TERMS and TOTALS for the texels in `work`."""
    x = y = z = xx = xy = xz = yy = yz = zz = _F(0)
    for t in range(16):
        a, b, c = work[SPACE + t], work[SPACE + 16 + t], work[SPACE + 32 + t]
        aa, ab, ac, bb, bc, cc = a * a, a * b, a * c, b * b, b * c, c * c
        table[TERMS + t] = a
        table[TERMS + 16 + t] = b
        table[TERMS + 32 + t] = c
        table[TERMS + 48 + t] = aa
        table[TERMS + 64 + t] = ab
        table[TERMS + 80 + t] = ac
        table[TERMS + 96 + t] = bb
        table[TERMS + 112 + t] = bc
        table[TERMS + 128 + t] = cc
        x += a
        y += b
        z += c
        xx += aa
        xy += ab
        xz += ac
        yy += bb
        yz += bc
        zz += cc
    table[TOTALS], table[TOTALS + 1], table[TOTALS + 2] = x, y, z
    table[TOTALS + 3], table[TOTALS + 4], table[TOTALS + 5] = xx, xy, xz
    table[TOTALS + 6], table[TOTALS + 7], table[TOTALS + 8] = yy, yz, zz


@exact
def sum_subset(table, masks, partitions, sums):
    """Fill the rows at `sums` with a subset's moments in each of the first partitions.

    masks: [16, 64]. Texel 0 is of subset 0 always. 15 products for 64 partitions and 9 moments:
    1,080 vector operations of 8.
    """
    for m in range(MOMENTS):
        row = TERMS + 16 * m
        v1, v2, v3, v4, v5 = (
            table[row + 1],
            table[row + 2],
            table[row + 3],
            table[row + 4],
            table[row + 5],
        )
        v6, v7, v8, v9, v10 = (
            table[row + 6],
            table[row + 7],
            table[row + 8],
            table[row + 9],
            table[row + 10],
        )
        v11, v12, v13 = table[row + 11], table[row + 12], table[row + 13]
        v14, v15 = table[row + 14], table[row + 15]
        target = sums + 64 * m
        for p in range(partitions):
            table[target + p] = (
                (masks[1, p] * v1 + masks[2, p] * v2 + masks[3, p] * v3 + masks[4, p] * v4)
                + (masks[5, p] * v5 + masks[6, p] * v6 + masks[7, p] * v7 + masks[8, p] * v8)
                + (masks[9, p] * v9 + masks[10, p] * v10 + masks[11, p] * v11 + masks[12, p] * v12)
                + (masks[13, p] * v13 + masks[14, p] * v14 + masks[15, p] * v15)
            )


@inlined
def squared(a, b, c, d, e, f):
    """The square of the symmetric matrix [a b c; b d e; c e f]."""
    return (
        a * a + b * b + c * c,
        a * b + b * d + c * e,
        a * c + b * e + c * f,
        b * b + d * d + e * e,
        b * c + d * e + e * f,
        c * c + e * e + f * f,
    )


@inlined
def split_scatter(n, x, y, z, xx, xy, xz, yy, yz, zz):
    """Return what a subset leaves off its best line, and the square sum along it.

    The largest eigenvalue m is the eighth root of tr A^8, at most 1.09 times too large and exact for
    one line: A is squared twice, and tr A^8 is the sum of A^4's squares.
    """
    # n times the scatter; then a scale that keeps the eighth power in range. The trace is rounded
    # where SPACE has fractions, below 0 even.
    a, b, c = n * xx - x * x, n * xy - x * y, n * xz - x * z
    d, e, f = n * yy - y * y, n * yz - y * z, n * zz - z * z
    trace = max(a + d + f, _F(0))
    scale = _F(1) / (trace + _F(1))
    a, b, c, d, e, f = a * scale, b * scale, c * scale, d * scale, e * scale, f * scale
    a, b, c, d, e, f = squared(a, b, c, d, e, f)
    a, b, c, d, e, f = squared(a, b, c, d, e, f)
    power = a * a + d * d + f * f + _F(2) * (b * b + c * c + e * e)
    largest = math.sqrt(math.sqrt(math.sqrt(power))) * (trace + _F(1))
    inverse = _F(1) / max(n, _F(1))
    return max(trace - largest, _F(0)) * inverse, largest * inverse


@strict
def rank_two(table, partitions):
    """Fill OFF and ALONG for the first partitions of two subsets."""
    tx, ty, tz = table[TOTALS], table[TOTALS + 1], table[TOTALS + 2]
    txx, txy, txz = table[TOTALS + 3], table[TOTALS + 4], table[TOTALS + 5]
    tyy, tyz, tzz = table[TOTALS + 6], table[TOTALS + 7], table[TOTALS + 8]
    for p in range(partitions):
        n = table[TWO_COUNTS + p]
        x, y, z = table[SUMS_1 + p], table[SUMS_1 + 64 + p], table[SUMS_1 + 128 + p]
        xx, xy, xz = table[SUMS_1 + 192 + p], table[SUMS_1 + 256 + p], table[SUMS_1 + 320 + p]
        yy, yz, zz = table[SUMS_1 + 384 + p], table[SUMS_1 + 448 + p], table[SUMS_1 + 512 + p]
        off_1, along_1 = split_scatter(n, x, y, z, xx, xy, xz, yy, yz, zz)
        off_0, along_0 = split_scatter(
            _F(16) - n, tx - x, ty - y, tz - z,
            txx - xx, txy - xy, txz - xz, tyy - yy, tyz - yz, tzz - zz,
        )  # fmt: skip
        table[OFF + p] = off_0 + off_1
        table[ALONG + p] = along_0 + along_1


@strict
def rank_three(table, partitions):
    """As `rank_two`, for three subsets."""
    tx, ty, tz = table[TOTALS], table[TOTALS + 1], table[TOTALS + 2]
    txx, txy, txz = table[TOTALS + 3], table[TOTALS + 4], table[TOTALS + 5]
    tyy, tyz, tzz = table[TOTALS + 6], table[TOTALS + 7], table[TOTALS + 8]
    for p in range(partitions):
        n = table[THREE_COUNTS_1 + p]
        x, y, z = table[SUMS_1 + p], table[SUMS_1 + 64 + p], table[SUMS_1 + 128 + p]
        xx, xy, xz = table[SUMS_1 + 192 + p], table[SUMS_1 + 256 + p], table[SUMS_1 + 320 + p]
        yy, yz, zz = table[SUMS_1 + 384 + p], table[SUMS_1 + 448 + p], table[SUMS_1 + 512 + p]
        off_1, along_1 = split_scatter(n, x, y, z, xx, xy, xz, yy, yz, zz)
        n2 = table[THREE_COUNTS_2 + p]
        x2, y2, z2 = table[SUMS_2 + p], table[SUMS_2 + 64 + p], table[SUMS_2 + 128 + p]
        xx2, xy2, xz2 = table[SUMS_2 + 192 + p], table[SUMS_2 + 256 + p], table[SUMS_2 + 320 + p]
        yy2, yz2, zz2 = table[SUMS_2 + 384 + p], table[SUMS_2 + 448 + p], table[SUMS_2 + 512 + p]
        off_2, along_2 = split_scatter(n2, x2, y2, z2, xx2, xy2, xz2, yy2, yz2, zz2)
        off_0, along_0 = split_scatter(
            _F(16) - n - n2, tx - x - x2, ty - y - y2, tz - z - z2,
            txx - xx - xx2, txy - xy - xy2, txz - xz - xz2,
            tyy - yy - yy2, tyz - yz - yz2, tzz - zz - zz2,
        )  # fmt: skip
        table[OFF + p] = off_0 + off_1 + off_2
        table[ALONG + p] = along_0 + along_1 + along_2


@strict
def fill_counts(table):
    """Fill the rows of counts, which are the same for all blocks."""
    for p in range(64):
        for row in range(3):
            table[TWO_COUNTS + 64 * row + p] = _F(0)
        for t in range(16):
            table[TWO_COUNTS + p] += TWO_MASK[t, p]
            table[THREE_COUNTS_1 + p] += THREE_MASK_1[t, p]
            table[THREE_COUNTS_2 + p] += THREE_MASK_2[t, p]
