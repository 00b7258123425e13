"""The steps of the BC7 encoder's readable twin (reference_encode.py): one block, plain NumPy.

    space ─▶ rank       what to expect of 64 partitions
    space ─▶ axes ─▶ first_indices ─▶ fit ⇄ choose

Numbers are float32 where the kernel rounds to float32, and float64 where the kernel is float64 or
where sums are exact (work.py says which). Where rounding makes the order of a sum matter, it is
the kernel's.
"""

import numpy as np

from smalti.bc7.lines import FREE, NO_PBIT, OWN_PBITS, SET_PBITS, SHARED_PBIT
from smalti.bc7.partitions import PARTITIONS
from smalti.bc7.quantisers import MARGINS

_F = np.float32

# By kind, the p-bits that a subset's two endpoints may have; earlier ones win equal errors.
PBITS = {
    NO_PBIT: [None],
    SHARED_PBIT: [(0, 0), (1, 1)],
    OWN_PBITS: [(0, 0), (1, 0), (0, 1), (1, 1)],
    SET_PBITS: [(1, 1)],
}


# ---- ranking: rank.py ----


def moments(space: np.ndarray) -> np.ndarray:
    """(9, 16): x, y, z, xx, xy, xz, yy, yz, zz of each texel, where sums of them are exact."""
    x, y, z = space[:, :3].T.astype(np.float64)
    return np.stack([x, y, z, x * x, x * y, x * z, y * y, y * z, z * z])


def subset_moments(space: np.ndarray, subset: np.ndarray, subsets: int) -> list:
    """For each subset its texels and its nine moments. subset: (..., 16), one or many partitions."""
    terms = moments(space)
    result = []
    for s in range(subsets):
        inside = (subset == s).astype(np.float64)
        result.append(
            (_F(inside.sum(axis=-1)), np.einsum("mt,...t->m...", terms, inside).astype(_F))
        )
    return result


def rank(space: np.ndarray, subsets: int) -> tuple[np.ndarray, np.ndarray]:
    """`rank_two`, `rank_three`: what each of 64 partitions leaves off its best lines, and along."""
    parts = subset_moments(space, PARTITIONS[subsets - 1], subsets)
    off, along = zip(*(split_scatter(n, m) for n, m in parts), strict=True)
    return sum(off), sum(along)  # subset 0 first


def split_scatter(n, m):
    """`rank.split_scatter`: the largest eigenvalue of the scatter is nearly (tr A^8)^(1/8)."""
    matrix = _scatter(n, m)
    trace = np.maximum(matrix[0] + matrix[3] + matrix[5], _F(0))
    scale = _F(1) / (trace + _F(1))
    a, b, c, d, e, f = _square(_square([entry * scale for entry in matrix]))
    power = a * a + d * d + f * f + _F(2) * (b * b + c * c + e * e)
    largest = np.sqrt(np.sqrt(np.sqrt(power))) * (trace + _F(1))
    inverse = _F(1) / np.maximum(n, _F(1))
    return np.maximum(trace - largest, _F(0)) * inverse, largest * inverse


def _scatter(n, m):
    """n times the scatter matrix: its entries a, b, c, d, e, f in rows, a symmetric half."""
    x, y, z, xx, xy, xz, yy, yz, zz = m
    return [
        n * xx - x * x, n * xy - x * y, n * xz - x * z,
        n * yy - y * y, n * yz - y * z, n * zz - z * z,
    ]  # fmt: skip


def _square(matrix):
    a, b, c, d, e, f = matrix
    return [
        a * a + b * b + c * c,
        a * b + b * d + c * e,
        a * c + b * e + c * f,
        b * b + d * d + e * e,
        b * c + d * e + e * f,
        c * c + e * e + f * f,
    ]


# ---- axes: trials.py ----


def principal_axis(n, m) -> np.ndarray:
    """`trials.principal_axis`: the scatter matrix to the eighth power, its greatest column."""
    matrix = _scatter(float(n), [float(entry) for entry in m])
    scale = 1.0 / (matrix[0] + matrix[3] + matrix[5] + 1e-30)
    matrix = [entry * scale for entry in matrix]
    for _ in range(3):
        matrix = _square(matrix)
    a, b, c, d, e, f = matrix
    if a >= d and a >= f:
        return np.array([a, b, c], dtype=_F)
    return np.array([b, d, e] if d >= f else [c, e, f], dtype=_F)


def rgba_axis(points: np.ndarray) -> np.ndarray:
    """`trials.rgba_axis`: eight power iterations in four dimensions; alpha grows along it."""
    points = points.astype(np.float64)
    apart = points - points.sum(axis=0) / len(points)
    scatter = sum(np.outer(a, a) for a in apart)  # in the kernel's order: float64 rounds here
    axis = scatter[np.argmax(np.diag(scatter))]
    for _ in range(8):
        norm = np.abs(axis).max()
        if norm == 0.0:
            break
        columns = scatter * (axis / norm)
        axis = columns[:, 0] + columns[:, 1] + columns[:, 2] + columns[:, 3]
    return (-axis if axis[3] < 0.0 else axis).astype(_F)


# ---- first indices: quantisers.py ----


def first_indices(places, subset, subsets, top, place):
    """Each texel's index, by the uniform quantiser that explains most of its subset's variance.

    places: float32 (16,), along the axes. place: 0 for the best quantiser, 1 for the next that
    scores otherwise, ...
    """
    index = np.empty(16, dtype=_F)
    a, b = MARGINS
    spread = top / (top - a - b)
    for s in range(subsets):
        inside = (subset == s).astype(_F)
        p = places[subset == s]
        low, high = p.min(), p.max()
        density = top / (high - low) if high > low else _F(0)
        scale, shift = density * spread, _F(0.5) - (a + low * density) * spread
        tries = np.clip(np.floor(places[:, None] * scale + shift), _F(0), top)  # (16, quantisers)
        i, p = inside[:, None] * tries, (inside * places)[:, None]
        n, w = _sum_pairs(inside), _sum_pairs(i)
        covariance = n * _sum_pairs(i * places[:, None]) - w * _sum_pairs(p)
        variance = n * _sum_pairs(i * i) - w * w
        score = covariance * covariance / np.maximum(variance, _F(1e-6))
        for _ in range(place):
            score[score == score.max()] = -1
        index[subset == s] = tries[subset == s, np.argmax(score)]
    return index


def _sum_pairs(values):
    """Sum over texels in the kernel's order: float32 rounds here."""
    return sum(values[::2] + values[1::2])


def weights_of(index, top):
    """The decoder's interpolation weights / 64."""
    return np.floor(index * (_F(64) / top) + _F(0.5)) * _F(1 / 64)


# ---- endpoints: lines.py ----


def widen(code, bits):
    """The decoder's 8-bit value of a code: its top bits repeated below."""
    return code * _F(1 << (8 - bits)) + np.floor(code / _F(1 << (2 * bits - 8)))


def fit(x, weight, visible, bits, pbits, held):
    """The least-squares endpoints of a subset's texels, as codes float32 (2, channels).

    x: (n, channels). weight: (n,), of the second endpoint. held: alpha that the two endpoints must
    have, or FREE. pbits: choices of the endpoints' p-bits. For each and each channel, the first
    endpoint is rounded down and up, the second is then the best; the choice that adds least to the
    optimum's error is taken.
    """
    tries = []  # [channel][choice of p-bits]: error, code, code
    for c in range(x.shape[1]):
        counts = visible if c < 3 else np.ones(len(x))
        form, ends = _solve(x[:, c], weight, counts)
        limits = held if c == 3 else (FREE, FREE)
        tries.append([_round(form, ends, bits, pair, limits) for pair in pbits])
    errors = [sum(channel[i][0] for channel in tries) for i in range(len(pbits))]
    best = int(np.argmin(errors))
    return np.array([channel[best][1:] for channel in tries], dtype=_F).T


def _solve(x, weight, counts):
    """The optimum of a channel, and the quadratic form of the error about it."""
    v, w = counts.astype(np.float64), weight.astype(np.float64)
    x = x.astype(np.float64)
    n, sum_w, ww = v.sum(), (v * w).sum(), (v * w * w).sum()
    x, wx = (v * x).sum(), (v * w * x).sum()
    uu, uw = n - 2.0 * sum_w + ww, sum_w - ww
    determinant = uu * ww - uw * uw
    if determinant < 1e-6:  # all texels at one step: both endpoints to their mean
        inverse, uu, uw, ww, ux, wx = 1.0 / max(n, 1.0), 1.0, 0.0, 1.0, x, x
    else:
        inverse, ux = 1.0 / determinant, x - wx
    form = _F(uu), _F(2.0 * uw), _F(ww), _F(uw / ww)
    return form, (_F((ux * ww - wx * uw) * inverse), _F((wx * uu - ux * uw) * inverse))


def _round(form, ends, bits, pbits, held):
    """The two codes near a channel's ends that add least to its error: error, code, code."""
    a, b, c, slope = form
    stride = _F(1 if pbits is None else 2)
    p0, p1 = pbits or (0, 0)
    top = _F((1 << bits) - 1)
    scale = top * _F(1 / 255)

    def code(value, pbit):
        return np.clip(value * stride, _F(0), top + _F(1) - stride) + _F(pbit)

    tries = []
    for up in (0, 1):
        q0 = code(np.floor((ends[0] * scale - _F(p0)) / stride) + _F(up), p0)
        d0 = widen(q0, bits) - ends[0]
        target = (ends[1] - slope * d0) * scale  # the best second endpoint for this first one
        q1 = code(np.floor((target - _F(p1)) / stride + _F(0.5)), p1)
        q0 = q0 if held[0] == FREE else _F(held[0] and top)
        q1 = q1 if held[1] == FREE else _F(held[1] and top)
        d0, d1 = widen(q0, bits) - ends[0], widen(q1, bits) - ends[1]
        error = d0 * (a * d0 + b * d1) + c * d1 * d1
        for q, pbit, value in zip((q0, q1), (p0, p1), held, strict=True):
            if value != FREE and pbits and q % 2 != pbit:
                error = _F(1e20)  # such p-bits cannot
        tries.append((error, q0, q1))
    return tries[1] if tries[1][0] < tries[0][0] else tries[0]


def choose(block, subset, ends, top):
    """Each texel's nearer step of the two around its place on its line, and the block's error.

    subset: (16,). ends: float32 (subsets, 2, channels), decoded. Returns index (16,) and the exact
    error of the decoded block, float32.
    """
    channels = ends.shape[2]
    x = block.x[:, :channels]
    places = np.empty(16, dtype=_F)
    for s, (first, second) in enumerate(ends):
        inside = subset == s
        places[inside] = _places(block, first, second, top)[inside]
    low = np.clip(np.floor(places), _F(0), top - _F(1))
    first, second = ends[subset, 0], ends[subset, 1]
    errors = []
    for index in (low, low + _F(1)):
        weight = weights_of(index, top)[:, None]
        errors.append(
            _texel_errors(block, x - np.floor(first + _F(0.5) + weight * (second - first)))
        )
    below, above = errors
    index = np.where(above < below, low + _F(1), low)
    return index, _F(np.minimum(below, above).sum(dtype=np.float64))


def _places(block, first, second, top):
    """Where on a line all texels are, in steps; by alpha alone where alpha is to be exact."""
    span = second - first
    r, g, b = span[:3]
    x, y, z = (row[0] * r + row[1] * g + row[2] * b for row in block.form)
    w = block.form_a * span[3] if len(span) == 4 else _F(0)
    length = x * r + y * g + z * b
    if len(span) == 4:
        length += w * span[3]
    scale = top / length if length > 0 else _F(0)
    x, y, z, w = x * scale, y * scale, z * scale, w * scale
    origin = x * first[0] + y * first[1] + z * first[2]
    if len(span) == 4:
        origin += w * first[3]
    red, green, blue, alpha = block.x.T
    places = x * red + y * green + z * blue + -origin
    if len(span) == 4:
        places = places + w * alpha
        alone = (alpha - first[3]) * (top / span[3] if span[3] else _F(0))
        places = np.where((block.opacity > 1) & (span[3] != 0), alone, places)
    return places


def _texel_errors(block, d):
    """What errors d, (16, 3 or 4), count."""
    (rr, rg, rb), (_, gg, gb), (_, _, bb) = block.form
    rg, rb, gb = _F(2) * rg, _F(2) * rb, _F(2) * gb
    r, g, b = d[:, :3].T
    errors = block.visible * (r * (rr * r + rg * g + rb * b) + g * (gg * g + gb * b) + bb * b * b)
    if d.shape[1] == 4:
        errors = errors + block.opacity * (block.form_a * d[:, 3] * d[:, 3])
    return errors


# ---- a channel by itself, in modes 4 and 5: trials.py ----


def fit_second(values, bits, top, hold):
    """`trials.fit_second`: codes of the two endpoints, indices, and the square error.

    values: float32 (16,). hold: whether 0 and 255 are to come back exactly.
    """
    low, high = values.min(), values.max()
    full = _F((1 << bits) - 1)
    scale = full * _F(1 / 255)
    step = (high - low) / top
    keep_low = _F(0) if hold and low == 0 else step
    keep_high = _F(0) if hold and high == 255 else step
    q0 = np.floor((low + MARGINS[0] * keep_low) * scale + _F(0.5))
    q1 = np.floor((high - MARGINS[1] * keep_high) * scale + _F(0.5))
    if low == high:  # the codes on both sides of it
        q0, q1 = np.full_like(q0, np.floor(low * scale)), np.full_like(q1, np.ceil(high * scale))
    q0, q1 = np.clip(q0, _F(0), full), np.clip(q1, _F(0), full)
    best = None
    for code_0, code_1 in zip(q0, q1, strict=True):
        first = widen(code_0, bits)
        span = widen(code_1, bits) - first
        density = top / span if span > 0 else _F(0)
        index = np.clip(np.floor((values - first) * density + _F(0.5)), _F(0), top)
        misses = values - np.floor(first + weights_of(index, top) * span + _F(0.5))
        error = (misses**2).sum()
        if best is None or error < best[3]:
            best = code_0, code_1, index, error
    return best
