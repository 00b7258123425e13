"""Readable twins of the BC7 decoder and of the mode 6 encoder, one block at a time.

They say what the compiled kernels must compute, bit for bit, and are some thousand times slower.
`decode_block` is `decode._decode_block`, and `encode_block` a block of `encode.encode_image`.
"""

from itertools import product

import numpy as np

from smalti.bc7.encode import EFFORTS
from smalti.bc7.layout import BLOCK_BYTES, MODES, WEIGHTS
from smalti.bc7.mode6 import AXIS_SCALE, FREE, POWER_ITERATIONS
from smalti.bc7.partitions import ANCHORS, PARTITIONS

_WEIGHTS_6 = np.array(WEIGHTS[4])
# Steps of a channel's two endpoints, in the order in which equal errors are decided.
_NEIGHBOURS = [divmod((order + 4) % 9, 3) for order in range(9)]


def decode_block(block: bytes) -> np.ndarray:
    """Decode 16 bytes to uint8 (16, 4), texels in row-major order.

    Khronos Data Format Specification 1.4, chapter 20, section BC7.
    """
    bits = _Bits(block)
    number = next((n for n in range(8) if bits.take(1)), None)
    if number is None:
        return np.zeros((16, 4), dtype=np.uint8)
    mode = MODES[number]
    partition = bits.take(mode.partition)
    rotation = bits.take(mode.rotation)
    selection = bits.take(mode.index_selection)

    count = 2 * mode.subsets
    widths = [mode.colour] * 3 + [mode.alpha]
    fields = [[bits.take(width) for _ in range(count)] for width in widths]
    if mode.endpoint_pbit:
        pbits = [bits.take(1) for _ in range(count)]
    elif mode.subset_pbit:
        pbits = [bit for _ in range(mode.subsets) for bit in [bits.take(1)] * 2]
    else:
        pbits = None
    ends = [
        [_widen(field, width, pbits and pbits[i]) for i, field in enumerate(channel)]
        for channel, width in zip(fields, widths, strict=True)
    ]

    anchors = ANCHORS[mode.subsets - 1, partition]
    sets = [
        [bits.take(width - (texel in anchors)) for texel in range(16)] if width else None
        for width in (mode.index, mode.second_index)
    ]
    weight_sets = [
        [WEIGHTS[width][index] for index in indices] if indices else None
        for indices, width in zip(sets, (mode.index, mode.second_index), strict=True)
    ]
    colour_weights = weight_sets[selection]
    alpha_weights = weight_sets[1 - selection] or weight_sets[0]

    texels = np.empty((16, 4), dtype=np.uint8)
    for texel in range(16):
        first = 2 * PARTITIONS[mode.subsets - 1, partition, texel]
        for channel in range(4):
            weight = (alpha_weights if channel == 3 else colour_weights)[texel]
            low, high = ends[channel][first], ends[channel][first + 1]
            texels[texel, channel] = ((64 - weight) * low + weight * high + 32) >> 6
    if rotation:
        texels[:, [rotation - 1, 3]] = texels[:, [3, rotation - 1]]
    return texels


class _Bits:
    """A little-endian number, read from its lowest bit."""

    def __init__(self, data: bytes) -> None:
        self.value = int.from_bytes(data, "little")

    def take(self, bits: int) -> int:
        field = self.value & ((1 << bits) - 1)
        self.value >>= bits
        return field


def _widen(field: int, width: int, pbit: int | None) -> int:
    """Append the p-bit, if any, and repeat the top bits below to fill 8; no bits: opaque."""
    if width == 0:
        return 255
    if pbit is not None:
        field, width = 2 * field + pbit, width + 1
    return field << (8 - width) | field >> (2 * width - 8)


def encode_block(texels: np.ndarray, *, effort: str = "medium") -> bytes:
    """Encode uint8 (16, 4) as a mode 6 block; see `encode.encode_image` for what is made least."""
    if not texels[:, 3].any():
        return (1 << 6).to_bytes(BLOCK_BYTES, "little")
    return _Mode6(texels).search(*EFFORTS[effort]).pack()


class _Mode6:
    """The search of mode6.py: a block's texels, and the state of the least error."""

    def __init__(self, texels: np.ndarray) -> None:
        self.x = texels.astype(np.int64)
        self.visible = (self.x[:, 3] > 0).astype(np.int64)
        hidden = self.visible == 0
        count = self.visible.sum()
        self.x[hidden, :3] = (self.x[~hidden, :3].sum(axis=0) + count // 2) // count
        self.importance = np.stack([self.visible] * 3 + [np.ones(16, dtype=np.int64)], axis=1)
        least, greatest = self.x[:, 3].min(), self.x[:, 3].max()
        self.fixed = (int(least) if least in (0, 255) else FREE, 255 if greatest == 255 else FREE)

    def search(self, refinements: int, passes: int, thorough_passes: int) -> "_Mode6":
        free = (FREE, FREE)
        error, ends = self.improve(self.principal_ends(), free, refinements)
        error, ends = self.descend(error, ends, passes, moves=2)
        if thorough_passes:
            error, ends = self.descend(error, ends, thorough_passes, moves=4)
            for parity_1, parity_0 in product((0, 1), repeat=2):
                parities = (parity_0, parity_1)
                if any(f not in (FREE, 255 * p) for f, p in zip(self.fixed, parities, strict=True)):
                    continue
                start = self.fit(self.choose(ends)[1], ends, parities)
                other, moved = self.improve(start, parities, refinements)
                other, moved = self.descend(other, moved, thorough_passes, moves=4)
                if other < error:
                    error, ends = other, moved
        self.ends = ends
        self.indices = self.choose(ends)[1]
        return self

    def improve(self, ends, parities, refinements):
        error, indices = self.choose(ends)
        for _ in range(refinements):
            fitted = self.fit(indices, ends, parities)
            other, indices = self.choose(fitted)
            if other >= error:
                break
            error, ends = other, fitted
        return error, ends

    def descend(self, error, ends, passes, moves):
        for _ in range(passes):
            before = error
            for channel, move, sign in product(range(4), range(moves), (-2, 2)):
                steps = np.array([(sign, 0), (0, sign), (sign, sign), (sign, -sign)][move])
                if channel == 3 and any(steps[i] and self.fixed[i] != FREE for i in (0, 1)):
                    continue
                while True:
                    trial = ends.copy()
                    trial[:, channel] += steps
                    if trial.min() < 0 or trial.max() > 255:
                        break
                    other = self.choose(trial)[0]
                    if other >= error:
                        break
                    error, ends = other, trial
            if error == before:
                break
        return error, ends

    def choose(self, ends):
        """Return the squared error and the nearest of the 16 entries for each texel."""
        weights = _WEIGHTS_6[:, None]
        palette = ((64 - weights) * ends[0] + weights * ends[1] + 32) >> 6
        squares = (self.x[:, None] - palette) ** 2 * self.importance[:, None]
        errors = squares.sum(axis=2)
        return int(errors.min(axis=1).sum()), errors.argmin(axis=1)

    def principal_ends(self):
        mean = self.x.sum(axis=0) / 16
        covariance = self.x.T @ self.x - np.outer(self.x.sum(axis=0), mean)
        if covariance.trace() == 0:
            return self.solid_ends()
        # Sums in the kernel's order, from left to right: float64 rounds here.
        axis = list(covariance[int(np.argmax(covariance.diagonal()))])
        for _ in range(POWER_ITERATIONS):
            axis = [_dot(row, axis) for row in covariance]
        scale = AXIS_SCALE / max(map(abs, axis))
        if axis[3] < 0:
            scale = -scale
        axis = [float(np.floor(component * scale + 0.5)) for component in axis]
        products = self.x @ np.array(axis, dtype=np.int64)
        centre, length = _dot(axis, mean), _dot(axis, axis)
        ends = []
        for extreme, fixed in zip((products.min(), products.max()), self.fixed, strict=True):
            step = (extreme - centre) / length
            ends.append(_quantise([m + step * a for m, a in zip(mean, axis, strict=True)], fixed))
        return np.array(ends)

    def solid_ends(self):
        value = self.x[0]
        parity = 1
        if self.fixed == (FREE, FREE):
            parity = int((value == 255).sum() >= (value == 0).sum())
        odd = (value ^ parity) & 1
        below, above = value - odd, value + odd
        return np.array([np.where(below < 0, above, below), np.where(above > 255, below, above)])

    def fit(self, indices, ends, parities):
        w = _WEIGHTS_6[indices] / 64
        u = 1 - w
        solved = np.empty((2, 4))
        for channel in range(4):
            v, x = self.importance[:, channel], self.x[:, channel]
            uu, uw, ww = (v * u * u).sum(), (v * u * w).sum(), (v * w * w).sum()
            ux, wx = (v * u * x).sum(), (v * w * x).sum()
            fixed_0, fixed_1 = self.fixed if channel == 3 else (FREE, FREE)
            solved[:, channel] = ends[:, channel]
            determinant = uu * ww - uw * uw
            if fixed_0 != FREE:
                if ww > 0:
                    solved[1, channel] = (wx - uw * fixed_0) / ww
            elif fixed_1 != FREE:
                if uu > 0:
                    solved[0, channel] = (ux - uw * fixed_1) / uu
            elif determinant > 0:
                inverse = 1 / determinant
                solved[:, channel] = (ux * ww - wx * uw) * inverse, (wx * uu - ux * uw) * inverse
        fitted = np.array([_quantise(solved[i], self.fixed[i], parities[i]) for i in (0, 1)])
        for channel in range(3 if self.fixed != (FREE, FREE) else 4):
            fitted[:, channel] = self.best_neighbour(channel, indices, fitted[:, channel])
        return fitted

    def best_neighbour(self, channel, indices, pair):
        w = _WEIGHTS_6[indices]
        best = None
        for i, j in _NEIGHBOURS:
            low, high = pair[0] + 2 * i - 2, pair[1] + 2 * j - 2
            if min(low, high) < 0 or max(low, high) > 255:
                continue
            misses = self.x[:, channel] - (((64 - w) * low + w * high + 32) >> 6)
            error = (self.importance[:, channel] * misses**2).sum()
            if best is None or error < best[0]:
                best = error, (low, high)
        return best[1]

    def pack(self) -> bytes:
        ends, indices = self.ends, self.indices
        if indices[0] >= 8:
            ends, indices = ends[::-1], 15 - indices
        fields = [(1 << 6, 7)]
        fields += [(int(ends[i, channel]) >> 1, 7) for channel in range(4) for i in (0, 1)]
        fields += [(int(ends[i, 0]) & 1, 1) for i in (0, 1)]
        fields += [(int(index), 4 if texel else 3) for texel, index in enumerate(indices)]
        value = shift = 0
        for field, width in fields:
            value |= field << shift
            shift += width
        return value.to_bytes(BLOCK_BYTES, "little")


def _dot(a, b):
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3]


def _quantise(end, fixed, parity=FREE):
    """The nearest endpoint of 7 bits and a p-bit a channel; fixed: its alpha, or FREE."""
    end = list(end)
    if fixed != FREE:
        parity = fixed & 1
        end[3] = float(fixed)
    if parity != FREE:
        return [_nearest(value, parity) for value in end]
    even, odd = _quantise(end, FREE, 0), _quantise(end, FREE, 1)
    misses = [[value - near for value, near in zip(end, q, strict=True)] for q in (even, odd)]
    return odd if _dot(misses[1], misses[1]) <= _dot(misses[0], misses[0]) else even


def _nearest(value, parity):
    return 2 * int(min(max(np.floor((value - parity) * 0.5 + 0.5), 0), 127)) + parity
