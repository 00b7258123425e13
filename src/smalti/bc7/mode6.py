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
- Alpha that must be exact (see `encode_mode6`) is no variable: 6 dimensions in an opaque block.

All arithmetic is exact or float64 in a fixed order: the same picture gives the same blocks on every
machine, and `reference.mode6.encode_block`, the readable twin of native/bc7/mode6.cpp, the same bits.
"""

import numpy as np

from smalti import native
from smalti.bc7.layout import BLOCK_BYTES, block_grid
from smalti.errors import ImageError, OptionError

ENGINES = ("pca", "nelder-mead")

FREE = -1  # for an end's alpha: not prescribed
GOOD_ENOUGH = 0.004 * 255**2  # squared error of a block, in levels of 255: no search below it
ITERATIONS = 64  # at most
FIRST_STEP = 0.1 * 255  # levels
REFLECTION = 1.3
EXPANSION = 2.2
CONTRACTION = 0.55
SHRINK = 0.45

_encode = native.kernel(
    "bc7_mode6",
    image="in u8",
    blocks="out u8",
    height="i64",
    width="i64",
    search="i32",
    threads="i32",
)


def encode_mode6(image: np.ndarray, engine: str = "nelder-mead") -> bytes:
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
    height, width = image.shape[:2]
    rows, columns = block_grid(height, width)
    blocks = np.empty(rows * columns * BLOCK_BYTES, dtype=np.uint8)
    _encode(
        image=np.ascontiguousarray(image),
        blocks=blocks,
        height=height,
        width=width,
        search=engine == "nelder-mead",
    )
    return blocks.tobytes()
