"""The BC7 block layout: eight modes of 128 bits for 4 x 4 texels.

Khronos Data Format Specification 1.4, chapter 20 (BPTC Compressed Texture Image Formats), section
BC7. A block is one little-endian 128-bit number, read from its lowest bit:

    mode | partition | rotation | index selection | R ends | G ends | B ends | A ends | p-bits | indices

The mode is the number of zero bits before the first one; eight zero bits are reserved.
"""

from typing import NamedTuple

import numpy as np

BLOCK_BYTES = 16
BLOCK_SIDE = 4  # texels
MODE_COUNT = 8  # mode 8, a first byte of zero, is reserved


class Mode(NamedTuple):
    """One row of the mode table; every field is a number of bits but `subsets`."""

    subsets: int  # groups of texels, each with two endpoints of its own
    partition: int  # which of the partitions splits the texels into subsets
    rotation: int  # which channel changes place with alpha after decoding
    index_selection: int  # whether colour uses the second index set in place of the first
    colour: int  # per colour channel and endpoint
    alpha: int  # per endpoint; 0: the mode is opaque
    endpoint_pbit: int  # 1: each endpoint has a lowest bit shared by its channels
    subset_pbit: int  # 1: both endpoints of a subset share that bit
    # per texel, first set
    index: int  # type: ignore[assignment]  # a field, in place of the tuple's method
    second_index: int  # per texel, second set: alpha apart from colour; 0: none


# Table "Mode-dependent BPTC parameters".
MODES = (
    Mode(3, 4, 0, 0, 4, 0, 1, 0, 3, 0),
    Mode(2, 6, 0, 0, 6, 0, 0, 1, 3, 0),
    Mode(3, 6, 0, 0, 5, 0, 0, 0, 2, 0),
    Mode(2, 6, 0, 0, 7, 0, 1, 0, 2, 0),
    Mode(1, 0, 2, 1, 5, 6, 0, 0, 2, 3),
    Mode(1, 0, 2, 0, 7, 8, 0, 0, 2, 2),
    Mode(1, 0, 0, 0, 7, 7, 1, 0, 4, 0),
    Mode(2, 6, 0, 0, 5, 5, 1, 0, 2, 0),
)

# Interpolation weights of 64, by index bits: round(64 * index / (2 ** bits - 1)).
WEIGHTS = {
    2: (0, 21, 43, 64),
    3: (0, 9, 18, 27, 37, 46, 55, 64),
    4: (0, 4, 9, 13, 17, 21, 26, 30, 34, 38, 43, 47, 51, 55, 60, 64),
}

# The same two tables as arrays, which compiled kernels take in as constants.
MODE_TABLE = np.array(MODES, dtype=np.int64)
WEIGHT_TABLE = np.zeros((5, 16), dtype=np.uint64)
for _bits, _weights in WEIGHTS.items():
    WEIGHT_TABLE[_bits, : len(_weights)] = _weights


def block_grid(height: int, width: int) -> tuple[int, int]:
    """Return the number of block rows and block columns that cover a picture."""
    return -(-height // BLOCK_SIDE), -(-width // BLOCK_SIDE)
