"""Rate-distortion optimisation: blocks that a general compressor makes smaller.

    blocks ──for each: candidates──▶ least  D + lagrangian * R ──▶ blocks of the same number of bytes

BC7 has a fixed rate, but textures are stored and sent in packages behind Deflate, zstd or LZ4.
Those find bytes that came before, so each block is offered what earlier blocks have: a whole block,
its index bytes, its endpoint bytes, or both from different blocks; where only one part is taken, the
other is fitted anew (the table is in `rdo_kernel`). D is the exact squared error of the decoded
candidate, R a model of the bits that it takes (`rdo_rate`). The idea of a greedy search in the
encoded bytes is R. Geldreich's ("RDO BC7 encoding", 2021); the fits and the books of distinct
entries are made for this encoder.

    rdo                what the public function is, and its checks
    native/bc7/rdo.cpp the search, block after block
      rdo_book.h         the books of earlier entries, and their scans
      rdo_fit.h          endpoints for indices, indices for endpoints
      rdo_rate.h         bits
      rdo_block.h        texels and errors of one block
    reference/rdo*     all that again, to read: the same bytes
"""

import math
from collections.abc import Sequence

import numpy as np

from smalti import native
from smalti.bc7.layout import BLOCK_BYTES, block_grid
from smalti.errors import FormatError, ImageError, OptionError

WINDOW = 512  # entries
MAX_WINDOW = 2048  # blocks in the 32 KiB that Deflate can look back

# Blocks that are optimised one after another. Every segment starts with empty books, so that they
# can run in threads and the result does not depend on how many there are; 0.5 MPix of texture lose
# little by that.
SEGMENT = 1 << 15

# A change of a flat block is seen as an edge around it. Its error counts up to FLAT_WEIGHT times,
# from no variation up to a standard deviation of FLAT_LIMIT levels, where it counts once.
FLAT_WEIGHT = 10.0
FLAT_LIMIT = 10.0

_optimise = native.kernel(
    "bc7_rdo", blocks="out u8", image="in u8", weights="in f32", height="i64", width="i64",
    segment="i64", lagrangian="f64", flat_weight="f64", flat_limit="f64", window="i32", threads="i32",
)  # fmt: skip


def optimise(
    blocks: bytes,
    image: np.ndarray,
    *,
    lagrangian: float,
    window: int = WINDOW,
    weights: Sequence[float] = (1, 1, 1, 1),
) -> bytes:
    """Return blocks that compress better, at some cost in quality.

    blocks: BC7 of any modes, row-major. image: uint8 (H, W, 4), what they should look like.
    lagrangian: squared 8-bit levels of error, summed over a block, that one bit is worth; 0 leaves
    the blocks as they are, 4 to 10 are usual. In a block whose largest standard deviation of a
    channel is s < 10 levels, error counts 1 + 9 (1 - s / 10)^2 times. window: how many different
    blocks, index patterns and (a quarter of it) endpoint pairs are remembered, 1..2048; time grows
    with it. weights: whole numbers 0..255, of the error of R, G, B and A; colour under alpha 0
    counts nothing.

    A texel of alpha 255 or 0 that `blocks` decode to just that keeps it. The result is the same on
    every machine, for every number of threads.

    Raises FormatError where the number of bytes does not fit the picture, ImageError for another
    shape or type, OptionError for an option out of range.
    """
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 4 or not image.size:
        raise ImageError(
            "rate-distortion optimisation takes uint8 of shape (height, width, 4), "
            f"this is {image.dtype} of shape {image.shape}"
        )
    height, width = image.shape[:2]
    rows, columns = block_grid(height, width)
    expected = rows * columns * BLOCK_BYTES
    if len(blocks) != expected:
        raise FormatError(
            f"BC7 blocks of a {width} x {height} picture take {expected} bytes, "
            f"here are {len(blocks)}"
        )
    if not (math.isfinite(lagrangian) and lagrangian >= 0):
        raise OptionError(f"a Lagrangian is 0 or more, this is {lagrangian}")
    if not 1 <= window <= MAX_WINDOW:
        raise OptionError(f"a window has 1 to {MAX_WINDOW} entries, this has {window}")
    if len(weights) != 4 or any(w not in range(256) for w in weights):
        raise OptionError(f"weights are four whole numbers 0..255, these are {tuple(weights)}")
    if lagrangian == 0:
        return bytes(blocks)

    optimised = np.frombuffer(blocks, dtype=np.uint8).copy()
    _optimise(
        blocks=optimised,
        image=np.ascontiguousarray(image),
        weights=np.array(weights, dtype=np.float32),
        height=height,
        width=width,
        segment=SEGMENT,
        lagrangian=lagrangian,
        flat_weight=FLAT_WEIGHT,
        flat_limit=FLAT_LIMIT,
        window=window,
    )
    return optimised.tobytes()
