"""BC7 encoder, mode 6 only so far.

    picture ──4 x 4 texels──▶ search ──endpoints, indices──▶ 16 bytes

`_encode_rows` is where a further mode enters: search it too and keep the block of less error.

numba's cache watches the file of the kernel that is called, not those of the kernels inside it:
after a change in mode6.py or mode6_loops.py, touch this file.
"""

from typing import NamedTuple

import numpy as np

from smalti.bc7.layout import BLOCK_SIDE, block_grid
from smalti.bc7.mode6 import FREE, search
from smalti.bc7.mode6_loops import INDEX, VISIBLE, WORK, choose, fill_steps, load_norms
from smalti.bc7.threads import run_in_bands
from smalti.errors import ImageError, OptionError
from smalti.jit import njit


class Effort(NamedTuple):
    """How hard a block is searched; see `mode6.search`."""

    refinements: int
    passes: int
    thorough_passes: int


# Each searches all that the one before it does, so that no block gets worse up the ladder. Mean RGB
# PSNR of Kodak 1-12: 42.32, 42.56, 42.59, 42.69, 42.72 dB.
EFFORTS = {
    "ultrafast": Effort(0, 0, 0),
    "fast": Effort(1, 0, 0),
    "medium": Effort(2, 0, 0),
    "high": Effort(4, 2, 0),
    "best": Effort(4, 2, 16),
}


def encode_image(image: np.ndarray, *, effort: str = "medium") -> bytes:
    """Encode a picture into ceil(height / 4) * ceil(width / 4) blocks in row-major order.

    image: uint8 (H, W, 4), straight alpha; edge texels are repeated where a side is no multiple of
    4. effort: ultrafast, fast, medium, high or best, each at least as near to the picture as the
    one before. What is made least is the squared error of R, G, B and A; colour under alpha 0 counts
    nothing.

    Guaranteed for alpha, at every effort: a block whose texels are all opaque decodes to alpha 255
    everywhere, one whose texels are all transparent to alpha 0 everywhere (and to black), and in a
    block that has both, or anything between, each transparent texel to alpha 0. Opaque texels beside
    transparent ones have an endpoint of alpha 255 to choose, but may lose some alpha for colour.
    Mode 6 has no black of alpha 255: opaque 0 becomes 1.

    Raises ImageError for another shape or type, OptionError for an unknown effort.
    """
    if effort not in EFFORTS:
        raise OptionError(f"unknown effort {effort!r}; known: {', '.join(EFFORTS)}")
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
    run_in_bands(_encode_rows, rows, work, image, words, *EFFORTS[effort])
    return words.astype("<u8", copy=False).tobytes()


@njit(nogil=True)
def _encode_rows(first, last, image, words, refinements, passes, thorough_passes):
    """Encode block rows `first` to `last`."""
    work = np.zeros(WORK, dtype=np.float32)
    best = np.empty(8, dtype=np.float32)
    ends = np.empty(8, dtype=np.float32)
    scratch = np.empty(8, dtype=np.float32)
    fill_steps(work)
    for row in range(first, last):
        for column in range(words.shape[1]):
            least_alpha, greatest_alpha = _load(image, row, column, work)
            if greatest_alpha == 0:
                words[row, column, 0] = 1 << 6  # mode 6, all the rest zero
                words[row, column, 1] = 0
                continue
            # Which end has which alpha: see `encode_image`'s guarantee.
            fixed_0 = least_alpha if least_alpha == 0 or least_alpha == 255 else FREE
            fixed_1 = 255 if greatest_alpha == 255 else FREE
            load_norms(work)
            search(
                work, fixed_0, fixed_1, refinements, passes, thorough_passes, best, ends, scratch
            )
            choose(work, best)
            low, high = _pack(work, best)
            words[row, column, 0] = low
            words[row, column, 1] = high


@njit(nogil=True)
def _load(image, row, column, work):
    """Load a block's texels; return the least and the greatest alpha.

    Invisible texels get the mean of the visible colours, so that they do not turn the axis.
    """
    height, width, _ = image.shape
    least, greatest = 255, 0
    for y in range(4):
        source_y = min(4 * row + y, height - 1)
        for x in range(4):
            source_x = min(4 * column + x, width - 1)
            t = 4 * y + x
            for c in range(4):
                work[16 * c + t] = image[source_y, source_x, c]
            alpha = int(image[source_y, source_x, 3])
            work[VISIBLE + t] = alpha > 0
            least = min(least, alpha)
            greatest = max(greatest, alpha)
    if least == 0 and greatest > 0:
        for c in range(3):
            total = count = 0
            for t in range(16):
                if work[VISIBLE + t] != 0:
                    total += int(work[16 * c + t])
                    count += 1
            for t in range(16):
                if work[VISIBLE + t] == 0:
                    work[16 * c + t] = (total + count // 2) // count
    return least, greatest


@njit(nogil=True)
def _pack(work, ends):
    """Return the block's two words, from its endpoints and the indices chosen last."""
    # The anchor's index has no top bit: turn the line round where it is set. The weights are
    # symmetric, so the texels stay.
    turned = work[INDEX] >= 8
    low = np.uint64(1 << 6)
    shift = 7
    for c in range(4):
        for e in range(2):
            value = np.uint64(ends[c + 4 * (e ^ turned)])
            low |= (value >> np.uint64(1)) << np.uint64(shift)
            shift += 7
    low |= np.uint64(int(ends[4 * turned]) & 1) << np.uint64(63)
    high = np.uint64(int(ends[4 - 4 * turned]) & 1)
    for t in range(16):
        index = int(work[INDEX + t])
        if turned:
            index = 15 - index
        high |= np.uint64(index) << np.uint64(4 * t if t else 1)
    return low, high
