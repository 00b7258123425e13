"""Readable twin of the BC6H encoder, many blocks side by side: native/bc6/encode*, bit for bit.

    texels ─▶ one line ─▶ rank: which partitions? ─▶ two lines ─▶ least error ─▶ descend ─▶ pack
                 └─ fit: choose the mode, quantise ⇄ index, least squares ─┘

An array's last axis is the block, a lane of the kernel. Sums go from the first texel to the last.
"""

from dataclasses import dataclass

import numpy as np

from smalti.bc6.layout import MODES, to_steps
from smalti.bc6.reference.pack import pack
from smalti.bc6.search import ALONG, EFFORTS, Effort
from smalti.bc7.partitions import ANCHORS, PARTITIONS

_F = np.float32
_MASKS = [sum(1 << t for t in range(16) if PARTITIONS[1, p, t]) for p in range(32)]
_DONE = np.iinfo(np.int32).max  # the rank of a partition that has had its turn

# Modes from the coarsest to the finest: of those that hold a block's ends, the last is taken.
ONE_LINE = (10, 11, 12, 13)
TWO_LINES = (9, 1, 6, 7, 8, 5, 0, 2, 3, 4)


def encode_blocks(halves: np.ndarray, *, effort: str = "medium", signed: bool = False) -> bytes:
    """Encode uint16 (N, 16, 3), the bits of float16, texels in row-major order, to N x 16 bytes."""
    steps = to_steps(halves, signed).transpose(1, 2, 0).astype(_F)
    if signed:  # the 16 bits that stand for just these steps
        y = np.copysign(np.ceil(np.abs(steps) * _F(32) / _F(31)), steps)
    else:
        y = np.floor((steps + _F(0.5)) * _F(64) / _F(31))
    return pack(search(y, EFFORTS[effort], signed))


@dataclass
class Coding:
    """What blocks store."""

    mode: np.ndarray  # (N,): of MODES
    partition: np.ndarray  # (N,)
    codes: np.ndarray  # (4, 3, N): of w, x, y, z; whole numbers as floats
    indices: np.ndarray  # (16, N), whole numbers as floats
    error: np.ndarray  # (N,)

    def take(self, better: np.ndarray, other: "Coding") -> None:
        """The other's where it is better."""
        for name in ("mode", "partition", "codes", "indices", "error"):
            setattr(self, name, np.where(better, getattr(other, name), getattr(self, name)))


def search(y: np.ndarray, effort: Effort, signed: bool) -> Coding:
    """y: float32 (16, 3, N). The best coding of each block."""
    count = y.shape[2]
    nothing = np.zeros(count, np.int32)
    best = Coding(
        *(nothing, nothing, np.zeros((4, 3, count), _F), np.zeros((16, count), _F)),
        np.full(count, np.inf, _F),
    )
    mean = _sum(y) * _F(1 / 16)
    x = y - mean
    nowhere = np.zeros((16, count), bool)  # no texel is in the second subset
    ends = lines(x, nowhere, 1) + mean
    improve(best, y, ends, nowhere, nothing, effort, signed, 1)
    ranks = rank(x)
    for _ in range(effort.trials):
        least = ranks.min(axis=0)
        partition = least & 31
        ranks[partition, np.arange(count)] = _DONE
        expected = (least & ~31).view(_F)
        live = (best.error > _F(effort.enough)) & (_F(effort.hope) * expected < best.error)
        second = (np.array(_MASKS)[partition] >> np.arange(16)[:, None] & 1).astype(bool)
        trial = best if live.all() else Coding(**vars(best))
        improve(trial, y, lines(x, second, 2) + mean, second, partition, effort, signed, 2)
        if trial is not best:
            best.take(live, trial)
    for _ in range(effort.passes):
        descend(best, y, signed)
    return best


def lines(x: np.ndarray, second: np.ndarray, subsets: int) -> np.ndarray:
    """Ends (4, 3, N) of each subset's line: its mean and axis, as far as its texels reach."""
    ends = np.zeros((4, *x.shape[1:]), _F)
    for subset in range(subsets):
        here = second if subset else ~second
        w = here.astype(_F)[:, None]
        mean = _sum(w * x) * (_F(1) / np.maximum(_sum(w), _F(1)))
        away = x - mean
        axis = principal_axis(_sum(w * products(away)))
        along = dot(away, axis)
        low = np.where(here, along, _F(np.inf)).min(axis=0)
        high = np.where(here, along, -_F(np.inf)).max(axis=0)
        length = _F(1) / np.maximum(dot(axis, axis), _F(1e-20))
        ends[2 * subset] = mean + axis * (low * length)
        ends[2 * subset + 1] = mean + axis * (high * length)
    return ends


def products(x: np.ndarray) -> np.ndarray:
    """(..., 6, N): rr, rg, rb, gg, gb, bb of (..., 3, N)."""
    r, g, b = x[..., 0, :], x[..., 1, :], x[..., 2, :]
    return np.stack([r * r, r * g, r * b, g * g, g * b, b * b], axis=-2)


def dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[..., 0, :] * b[..., 0, :] + a[..., 1, :] * b[..., 1, :] + a[..., 2, :] * b[..., 2, :]


def squared(m: np.ndarray) -> np.ndarray:
    """A symmetric matrix times itself, over its trace."""
    a, b, c, d, e, f = m
    out = np.stack(
        [
            a * a + b * b + c * c,
            a * b + b * d + c * e,
            a * c + b * e + c * f,
            b * b + d * d + e * e,
            b * c + d * e + e * f,
            c * c + e * e + f * f,
        ]
    )
    return out * (_F(1) / np.maximum(out[0] + out[3] + out[5], _F(1e-20)))


def principal_axis(scatter: np.ndarray) -> np.ndarray:
    """(3, N) of (6, N): the greatest column of its eighth power, or nearly."""
    trace = np.maximum(scatter[0] + scatter[3] + scatter[5], _F(1e-3))
    a, b, c, d, e, f = squared(squared(squared(scatter * (_F(1) / trace))))
    by_g, by_b = (d > a) & (d >= f), (f > a) & (f > d)
    return np.stack(
        [
            np.where(by_b, c, np.where(by_g, b, a)),
            np.where(by_b, e, np.where(by_g, d, b)),
            np.where(by_b, f, np.where(by_g, e, c)),
        ]
    )


def rank(x: np.ndarray) -> np.ndarray:
    """int32 (32, N): of each partition the error to expect, a float's bits, and its number."""
    every, all_squares = _sum(x), _sum(products(x))
    ranks = np.empty((32, x.shape[2]), np.int32)
    for partition in range(32):
        members = [t for t in range(16) if PARTITIONS[1, partition, t]]
        total, squares = _sum(x[members]), _sum(products(x[members]))
        expected = left_over(total, squares, len(members))
        expected = expected + left_over(every - total, all_squares - squares, 16 - len(members))
        ranks[partition] = (np.maximum(expected, _F(0)).view(np.int32) & ~31) | partition
    return ranks


def left_over(total: np.ndarray, squares: np.ndarray, size: int) -> np.ndarray:
    """The square error to expect of texels on their best line."""
    scatter = squares - products(total) * _F(1 / size)
    trace = np.maximum(scatter[0] + scatter[3] + scatter[5], _F(0))
    a, b, c, d, e, f = squared(scatter * (_F(1) / np.maximum(trace, _F(1e-3))))
    power = a * a + d * d + f * f + _F(2) * (b * b + c * c + e * e)
    along = np.sqrt(np.sqrt(power)) * trace  # nearly the greatest eigenvalue
    return (trace - along) + _F(ALONG) * along


def improve(
    best: Coding,
    y: np.ndarray,
    ends: np.ndarray,
    second: np.ndarray,
    partition: np.ndarray,
    effort: Effort,
    signed: bool,
    subsets: int,
) -> None:
    """Quantise ends, index texels, fit the ends to the indices, and again; keep what is better."""
    ends = turned(y, ends, second, partition, subsets)
    for fit in range(effort.fits):
        ends = np.clip(ends, -_F(32767) if signed else _F(0), _F(32767) if signed else _F(65535))
        mode = choose_mode(ends, subsets)
        codes = quantise(ends, mode, signed)
        indices, weights, error = index(y, codes, mode, second, partition, signed, subsets)
        found = Coding(mode, partition, codes, indices, error)
        best.take(error < best.error, found)
        if fit + 1 < effort.fits:
            ends = least_squares(y, ends, weights, second, subsets)


def turned(y, ends, second, partition, subsets):
    """Ends in such an order that each anchor lies in the first half of its line."""
    ends = ends.copy()
    for subset in range(subsets):
        anchor = ANCHORS[1, partition, 1] if subset else np.zeros_like(partition)
        texel = np.take_along_axis(y, anchor[None, None].astype(np.int64), axis=0)[0]
        first, last = ends[2 * subset], ends[2 * subset + 1]
        span = last - first
        beyond = dot(texel - first, span) > _F(0.5) * dot(span, span)
        ends[2 * subset : 2 * subset + 2] = np.where(beyond, [last, first], [first, last])
    return ends


def unit(bits: int) -> float:
    """What a code counts in 16 bits."""
    return 2.0 ** (16 - bits)


def choose_mode(ends: np.ndarray, subsets: int) -> np.ndarray:
    """The finest mode that holds the distances of the ends from the first."""
    reach = np.abs(ends[1] - ends[0])
    if subsets == 2:
        reach = np.maximum(reach, np.maximum(np.abs(ends[2] - ends[0]), np.abs(ends[3] - ends[0])))
    order = TWO_LINES if subsets == 2 else ONE_LINE
    chosen = np.full(ends.shape[2], order[0], np.int32)
    for number in order[1:]:
        mode = MODES[number]
        fits = np.ones(ends.shape[2], bool)
        for channel in range(3):
            most = (2.0 ** (mode.others[channel] - 1) - 0.5) * unit(mode.bits)
            fits &= reach[channel] <= _F(most)
        chosen = np.where(fits, np.int32(number), chosen)
    return chosen


_BITS = np.array([mode.bits for mode in MODES])
# Greatest code less w's, of R, G, B; more than any where a mode has no differences.
_REACH = np.array(
    [[2.0 ** (n - 1) - 1 if mode.transformed else 1e6 for n in mode.others] for mode in MODES], _F
)


def quantise(ends: np.ndarray, mode: np.ndarray, signed: bool) -> np.ndarray:
    """Codes (4, 3, N), as whole floats, that the mode holds."""
    bits = _BITS[mode]
    per = (_F(1) / (1 << (16 - bits))).astype(_F)
    top = ((1 << (bits - signed)) - 1).astype(_F)
    scaled = np.abs(ends) * per
    # Code 0 stands for 0, 1 for 1.5 units: what is nearer to 1.5 begins at 0.75.
    size = np.where(
        bits == 16,
        np.floor(scaled + _F(0.5)),
        np.floor(np.maximum(scaled, (scaled >= _F(0.75)).astype(_F))),
    )
    codes = np.copysign(np.minimum(size, top), ends) + _F(0)
    return held(codes, mode)


def held(codes: np.ndarray, mode: np.ndarray) -> np.ndarray:
    """Codes brought near enough to the first end's."""
    reach = _REACH[mode].T
    others = np.minimum(np.maximum(codes[1:], codes[0] - reach - _F(1)), codes[0] + reach)
    return np.concatenate([codes[:1], others])


def expand(codes: np.ndarray, mode: np.ndarray, signed: bool) -> np.ndarray:
    """Codes to the 16 bits that they stand for."""
    bits = _BITS[mode]
    size = np.abs(codes)
    middle = (size + _F(0.5)) * (1 << (16 - bits)).astype(_F)
    middle = np.where(size == 0, _F(0), middle)
    top = ((1 << (bits - signed)) - 1).astype(_F)
    middle = np.where(size >= top, _F(32767) if signed else _F(65535), middle)
    return np.copysign(np.where(bits == 16, size, middle), codes) + _F(0)


def index(y, codes, mode, second, partition, signed, subsets):
    """Indices (16, N), their weights of 1, and the square error, for codes."""
    ends = expand(codes, mode, signed)
    top = _F(7 if subsets == 2 else 15)
    anchor = ANCHORS[1, partition, 1]
    first, span = ends[0], ends[1] - ends[0]
    inverse = top / np.maximum(dot(span, span), _F(1e-20))
    if subsets == 2:
        first_2, span_2 = ends[2], ends[3] - ends[2]
        inverse_2 = top / np.maximum(dot(span_2, span_2), _F(1e-20))
    indices, weights, error = [], [], None
    for t in range(16):
        a, d, over = first, span, inverse
        most = np.full(y.shape[2], top)
        if t == 0:
            most = np.full(y.shape[2], (top - 1) / 2)
        if subsets == 2:
            here = second[t]
            a, d = np.where(here, first_2, a), np.where(here, span_2, d)
            over = np.where(here, inverse_2, over)
            most = np.where(anchor == t, (top - 1) / 2, most)
        i = np.rint(np.minimum(np.maximum(dot(y[t] - a, d) * over, _F(0)), most))
        weight = weight_of(i, subsets)
        miss = (a + weight * d) - y[t]
        square = dot(miss, miss)
        error = square if error is None else error + square
        indices.append(i)
        weights.append(weight)
    return np.stack(indices), np.stack(weights), error


def weight_of(index: np.ndarray, subsets: int) -> np.ndarray:
    """Interpolation weight of 1: that of the format, of 64, divided by it."""
    if subsets == 2:
        return (_F(9) * index + np.floor(index * _F(0.25))) * _F(1 / 64)
    return (_F(4) * index + np.floor((index + _F(2)) * _F(0.25))) * _F(1 / 64)


def least_squares(y, ends, weights, second, subsets):
    """The ends that fit best where texels keep their weights; those of before where any would."""
    ends = ends.copy()
    for subset in range(subsets):
        here = (second if subset else ~second).astype(_F)
        high = here * weights
        low = here - high
        aa, ab, bb = _sum(low * low), _sum(low * high), _sum(high * high)
        at_low, at_high = _sum(low[:, None] * y), _sum(high[:, None] * y)
        determinant = aa * bb - ab * ab
        solved = determinant > _F(1e-3)
        over = _F(1) / np.where(solved, determinant, _F(1))
        ends[2 * subset] = np.where(solved, (at_low * bb - at_high * ab) * over, ends[2 * subset])
        ends[2 * subset + 1] = np.where(
            solved, (at_high * aa - at_low * ab) * over, ends[2 * subset + 1]
        )
    return ends


def descend(best: Coding, y: np.ndarray, signed: bool) -> None:
    """Move every code up and down by one, and keep what is better."""
    second = (np.array(_MASKS)[best.partition] >> np.arange(16)[:, None] & 1).astype(bool)
    for subsets in (1, 2):
        of_these = (best.mode < 10) == (subsets == 2)
        members = second if subsets == 2 else np.zeros_like(second)
        for end in range(2 * subsets):
            for channel in range(3):
                for step in (1, -1):
                    codes = best.codes.copy()
                    codes[end, channel] = codes[end, channel] + _F(step)
                    fits = of_these & allowed(codes, best.mode, signed, subsets)
                    indices, _, error = index(
                        y, codes, best.mode, members, best.partition, signed, subsets
                    )
                    found = Coding(best.mode, best.partition, codes, indices, error)
                    best.take(fits & (error < best.error), found)


def allowed(codes, mode, signed, subsets):
    """Whether the mode holds these codes."""
    top = ((1 << (_BITS[mode] - signed)) - 1).astype(_F)
    reach = _REACH[mode].T
    fits = np.ones(codes.shape[2], bool)
    for end in range(2 * subsets):
        away = codes[end] - codes[0]
        for channel in range(3):
            code = codes[end, channel]
            fits &= (code >= (-top if signed else _F(0))) & (code <= top)
            fits &= (away[channel] <= reach[channel]) & (away[channel] >= -reach[channel] - _F(1))
    return fits


def _sum(x: np.ndarray) -> np.ndarray:
    """Over the first axis, from first to last."""
    total = x[0]
    for part in x[1:]:
        total = total + part
    return total
