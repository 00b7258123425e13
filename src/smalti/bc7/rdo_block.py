"""One block of the picture as rdo's kernels see it, and the error of what stands for it."""

from typing import NamedTuple

import numpy as np

from smalti.bc7.partitions import PARTITIONS
from smalti.jit import njit

_F = np.float32


class Block(NamedTuple):
    texels: np.ndarray  # float32 [64], 4 channels a texel
    importance: np.ndarray  # float32 [64]: the channel's weight; 0 for colour under alpha 0
    decoded: np.ndarray  # uint32 [16]: the candidate decoded last
    ends: np.ndarray  # uint64 [6], scratch of the decoder
    alpha: np.ndarray  # int64 [2]: masks of texels that must decode to 255, and to 0
    least_alpha: np.ndarray  # int64 [1]
    greatest_alpha: np.ndarray  # int64 [1]
    variance: np.ndarray  # float64 [1]: squared error of the mean colour


@njit(nogil=True)
def new_block():
    return Block(
        np.empty(64, dtype=np.float32),
        np.empty(64, dtype=np.float32),
        np.empty(16, dtype=np.uint32),
        np.empty(6, dtype=np.uint64),
        np.zeros(2, dtype=np.int64),
        np.zeros(1, dtype=np.int64),
        np.zeros(1, dtype=np.int64),
        np.zeros(1),
    )


@njit(nogil=True)
def load(image, row, column, weights, block):
    """Load a block, edge texels repeated; return the largest standard deviation of a channel.

    Colour under alpha 0 counts nothing and becomes the mean of the visible texels.
    """
    height, width, _ = image.shape
    texels, importance = block.texels, block.importance
    visible = 0
    least, greatest = 255, 0
    block.alpha[:] = 0
    for t in range(16):
        y = min(4 * row + t // 4, height - 1)
        x = min(4 * column + t % 4, width - 1)
        alpha = int(image[y, x, 3])
        for c in range(4):
            texels[4 * t + c] = image[y, x, c]
            importance[4 * t + c] = weights[c] if c == 3 or alpha > 0 else _F(0)
        visible += alpha > 0
        least = min(least, alpha)
        greatest = max(greatest, alpha)
        block.alpha[0] |= int(alpha == 255) << t
        block.alpha[1] |= int(alpha == 0) << t
    block.least_alpha[0] = least
    block.greatest_alpha[0] = greatest

    block.variance[0] = 0.0
    largest = 0.0
    for c in range(4):
        count = 16 if c == 3 else visible
        if count == 0:
            continue
        total = squares = 0
        for t in range(16):
            if c == 3 or texels[4 * t + 3] > 0:
                value = int(texels[4 * t + c])
                total += value
                squares += value * value
        error = squares - total * total / count
        block.variance[0] += weights[c] * error
        largest = max(largest, error / count)
        if count < 16:
            for t in range(16):
                if texels[4 * t + 3] == 0:
                    texels[4 * t + c] = (total + count // 2) // count
    return np.sqrt(largest)


@njit(nogil=True)
def squared_error(block):
    """Squared error of what was decoded last; every term is an integer for integer weights."""
    total = 0.0
    for t in range(16):
        texel = block.decoded[t]
        for c in range(4):
            value = (texel >> np.uint32(8 * c)) & np.uint32(255)
            miss = block.texels[4 * t + c] - _F(value)
            total += block.importance[4 * t + c] * miss * miss
    return total


@njit(nogil=True)
def black_error(block):
    """Squared error of transparent black."""
    total = 0.0
    for i in range(64):
        total += block.importance[i] * block.texels[i] * block.texels[i]
    return total


@njit(nogil=True)
def partition_errors(block, weights, errors):
    """errors[p] = squared error of one mean colour in each of the two subsets of partition p.

    The colours of an opaque block. 64 partitions, some 150 operations each.
    """
    for p in range(64):
        count = 0
        r = g = b = _F(0)
        for t in range(16):
            if PARTITIONS[1, p, t]:
                count += 1
                r += block.texels[4 * t]
                g += block.texels[4 * t + 1]
                b += block.texels[4 * t + 2]
        total = 0.0
        total += weights[0] * _between(block, 0, r, count)
        total += weights[1] * _between(block, 1, g, count)
        total += weights[2] * _between(block, 2, b, count)
        errors[p] = block.variance[0] - total


@njit(nogil=True)
def _between(block, c, part, count):
    """What two means explain of a channel's squared error: `part` is the sum over `count` texels."""
    total = 0.0
    for t in range(16):
        total += block.texels[4 * t + c]
    difference = part * 16.0 - total * count
    return difference * difference / (16.0 * count * (16 - count))


@njit(nogil=True)
def alpha_masks(decoded):
    """One bit a texel: where alpha is 255, and where it is 0."""
    opaque = transparent = 0
    for t in range(16):
        alpha = decoded[t] >> np.uint32(24)
        opaque |= int(alpha == 255) << t
        transparent |= int(alpha == 0) << t
    return opaque, transparent


@njit(nogil=True)
def keeps_alpha(block):
    """Whether what was decoded last keeps the alpha of 255 and of 0 that it must."""
    opaque, transparent = alpha_masks(block.decoded)
    return block.alpha[0] & ~opaque == 0 and block.alpha[1] & ~transparent == 0
