"""The steps of the BC7 encoder's readable twin (encode.py): one block, plain NumPy.

    space ─▶ rank       what to expect of 64 partitions
    space ─▶ axes ─▶ first_indices ─▶ fit ⇄ choose

Numbers are float32, as in the kernel, and float64 only in sums that float32 holds exactly too. Where
rounding makes the order of a sum matter, it is the kernel's.
"""

import numpy as np

from smalti.bc7.partitions import PARTITIONS
from smalti.bc7.search import FREE, MARGINS, NO_PBIT, OWN_PBITS, SET_PBITS, SHARED_PBIT

_F = np.float32

THIRDS = 3  # of a unit of `space`: sums of products of places are then exact in every metric

# By kind, the p-bits that a subset's two endpoints may have; earlier ones win equal errors.
PBITS: dict[int, list] = {  # pairs, or None
    NO_PBIT: [None],
    SHARED_PBIT: [(0, 0), (1, 1)],
    OWN_PBITS: [(0, 0), (1, 0), (0, 1), (1, 1)],
    SET_PBITS: [(1, 1)],
}


# ---- ranking: encode_rank.h ----


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
    """`rank`: what each of 64 partitions leaves off its best lines, and along them.

    In the plane of the block's two greatest axes; what is off the plane is off all lines.
    """
    u, v, off = plane(space)
    sums = [u, v, u * u, u * v, v * v]
    all_off = all_along = np.zeros((), _F)
    for s in (*range(1, subsets), 0):  # in the kernel's order
        inside = PARTITIONS[subsets - 1] == s
        n = inside.sum(axis=1).astype(_F)
        x, y, xx, xy, yy = (np.where(inside, term, _F(0)).sum(axis=1) for term in sums)
        a, b, d = n * xx - x * x, n * xy - x * y, n * yy - y * y
        root = np.sqrt((a - d) * (a - d) + (b + b) * (b + b))
        by = _F(0.5 / THIRDS**2) / n  # of a sum of two eigenvalues the half
        all_off = all_off + np.maximum((a + d) - root, _F(0)) * by
        all_along = all_along + ((a + d) + root) * by
    return off + all_off, all_along


def plane(space: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.float32]:
    """`Plane`: places along the block's two greatest axes, in thirds, and what lies off them."""
    ((n, m),) = subset_moments(space, PARTITIONS[0, 0], 1)
    a, b, c, d, e, f = _scatter(n, m)
    p = _unit(principal_axis(n, m))
    along = _along((a, b, c, d, e, f), p)
    rest = [  # the scatter without the first axis
        a - along * p[0] * p[0], b - along * p[0] * p[1], c - along * p[0] * p[2],
        d - along * p[1] * p[1], e - along * p[1] * p[2], f - along * p[2] * p[2],
    ]  # fmt: skip
    left = abs(rest[0]) + abs(rest[3]) + abs(rest[5])
    scale = _F(1) / (left + _F(1e-30))
    near = _unit(_greatest_column(_square([entry * scale for entry in rest])))
    slant = near[0] * p[0] + near[1] * p[1] + near[2] * p[2]
    q = _unit(near - slant * p)
    places = []
    for axis in (p, q):
        place = axis[0] * space[:, 0] + axis[1] * space[:, 1] + axis[2] * space[:, 2]
        places.append(np.rint(_F(THIRDS) * place))
    off = a + d + f - (along + _along((a, b, c, d, e, f), q))
    return *places, max(off, _F(0)) * _F(1 / 16)


def _along(matrix, p):
    a, b, c, d, e, f = matrix
    x = a * p[0] + b * p[1] + c * p[2]
    y = b * p[0] + d * p[1] + e * p[2]
    z = c * p[0] + e * p[1] + f * p[2]
    return x * p[0] + y * p[1] + z * p[2]


def _unit(axis):
    x, y, z = axis * (_F(1) / (np.abs(axis).max() + _F(1e-30)))
    return np.array([x, y, z]) * (_F(1) / np.sqrt(x * x + y * y + z * z + _F(1e-30)))


def rank_rotations(n, m) -> list[tuple]:
    """`rank_ways`: without alpha and without each colour, what is off the best line, along it,
    and the square sum of the colour itself about its mean.
    """
    a, b, c, d, e, f = whole = [entry * (_F(1) / n) for entry in _scatter(n, m)]
    trace = np.maximum(a + d + f, _F(0))
    # the largest eigenvalue is nearly (tr A^8)^(1/8)
    fourth = _square(_square([entry * (_F(1) / (trace + _F(1))) for entry in whole]))
    aa, bb, cc, dd, ee, ff = (entry * entry for entry in fourth)
    power = aa + dd + ff + _F(2) * (bb + cc + ee)
    largest = np.sqrt(np.sqrt(np.sqrt(power))) * (trace + _F(1))
    found = [(np.maximum(trace - largest, _F(0)), largest, _F(0))]
    for lone, first, second, product in [(a, d, f, e), (d, a, f, c), (f, a, d, b)]:
        difference, twice = first - second, product + product
        root = np.sqrt(difference * difference + twice * twice)
        off = np.maximum((first + second) - root, _F(0)) * _F(0.5)
        found.append((off, ((first + second) + root) * _F(0.5), lone))
    return found


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


# ---- axes: encode_axes.h ----


def principal_axis(n, m) -> np.ndarray:
    """`principal_axis`: the scatter matrix to the eighth power, its greatest column."""
    matrix = _scatter(n, m)
    scale = _F(1) / (matrix[0] + matrix[3] + matrix[5] + _F(1e-30))
    matrix = [entry * scale for entry in matrix]
    for _ in range(3):
        matrix = _square(matrix)
    return _greatest_column(matrix)


def _greatest_column(matrix) -> np.ndarray:
    a, b, c, d, e, f = matrix
    if a >= d and a >= f:
        return np.array([a, b, c], dtype=_F)
    return np.array([b, d, e] if d >= f else [c, e, f], dtype=_F)


def rgba_axis(points: np.ndarray) -> np.ndarray:
    """`rgba_axis`: the same in four dimensions; alpha grows along it."""
    sums, products = points.sum(axis=0), (points[:, :, None] * points[:, None, :]).sum(axis=0)
    matrix = _F(len(points)) * products - sums[:, None] * sums
    matrix = matrix * (_F(1) / (sum(np.diag(matrix)) + _F(1e-30)))
    for _ in range(3):
        matrix = sum(matrix[:, k, None] * matrix[k] for k in range(4))  # from left to right
    axis = matrix[np.argmax(np.diag(matrix))]
    return -axis if axis[3] < 0 else axis


# ---- first indices: encode_lines.h ----


def steps_along(places, subset, subsets, top):
    """`project`: places along their subset's axis, float32 (16,), in 64ths of a step from its least."""
    result = np.empty(16, dtype=_F)
    for s in range(subsets):
        p = places[subset == s]
        low, high = p.min(), p.max()
        density = _F(64) * top / (high - low) if high > low else _F(0)
        result[subset == s] = np.rint((p - low) * density)
    return result


def first_indices(places, subset, subsets, top, quantisers, place):
    """Each texel's index, by the uniform quantiser that explains most of its subset's variance.

    places: as of `steps_along`. quantisers: how many there are. place: 0 for the best quantiser, 1 for the next that scores
    otherwise, ...
    """
    index = np.empty(16, dtype=_F)
    a, b = MARGINS[:, :quantisers]
    spread = top / (top - a - b)
    for s in range(subsets):
        p = places[subset == s][:, None]
        tries = np.clip(np.rint(p * (spread * _F(1 / 64)) + -(a * spread)), _F(0), top)
        n, w, ww = _F(len(p)), tries.sum(axis=0), (tries * tries).sum(axis=0)  # of each quantiser
        covariance = n * (tries * p).sum(axis=0) - w * p.sum()
        variance = n * ww - w * w
        score = covariance * covariance / np.maximum(variance, _F(1))
        for _ in range(place):
            score[score == score.max()] = -1
        index[subset == s] = tries[:, np.argmax(score)]
    return index


def weights_of(index, top):
    """The decoder's interpolation weights of 64."""
    return np.rint(index * (_F(64) / top))


# ---- endpoints: encode_fit.h ----


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
    """`Line`: the optimum of a channel, and the quadratic form of the error about it."""
    v, w, x = counts.astype(np.float64), weight.astype(np.float64), x.astype(np.float64)
    n, sum_w, ww = _F(v.sum()), _F((v * w).sum()), _F((v * w * w).sum())
    x, wx = _F((v * x).sum()), _F((v * w * x).sum())
    spread = n * ww - sum_w * sum_w
    uu, uw = (_F(4096) * n - _F(128) * sum_w) + ww, _F(64) * sum_w - ww
    if spread < _F(1 / 32):  # all texels at one step: both endpoints to their mean
        slope, form = _F(0), (_F(1), _F(0), _F(1), _F(0))
    else:
        slope, form = (n * wx - sum_w * x) * (_F(1) / spread), (uu, _F(2) * uw, ww, uw / ww)
    first = (x - slope * sum_w) * (_F(1) / n if n > 0 else _F(0))
    return form, (first, first + slope * _F(64))


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
    """Each texel's nearer step of the two around its place on its line, and each subset's error.

    subset: (16,). ends: float32 (subsets, 2, channels), decoded. Returns index (16,) and the exact
    errors of the decoded subsets, float32.
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
        decoded = np.floor(first + (weight * (second - first) + _F(32)) * _F(1 / 64))
        errors.append(_texel_errors(block, x - decoded))
    below, above = errors
    index = np.where(above < below, low + _F(1), low)
    least = np.minimum(below, above)
    return index, [sum(least[subset == s]) for s in range(len(ends))]  # from left to right


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


# ---- a channel by itself, in modes 4 and 5: encode_trial.h ----


def fit_second(values, bits, top, hold, quantisers):
    """`fit_second`: codes of the two endpoints, indices, and the square error.

    values: float32 (16,). hold: whether 0 and 255 are to come back exactly. quantisers: how many
    pairs of ends are tried.
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
    for code_0, code_1 in zip(q0[:quantisers], q1[:quantisers], strict=True):
        first = widen(code_0, bits)
        span = widen(code_1, bits) - first
        density = top / span if span > 0 else _F(0)
        index = np.clip(np.rint((values - first) * density), _F(0), top)
        misses = values - np.floor(first + (weights_of(index, top) * span + _F(32)) * _F(1 / 64))
        error = (misses**2).sum()
        if best is None or error < best[3]:
            best = code_0, code_1, index, error
    return best
