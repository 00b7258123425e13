"""The BC6H block layout: fourteen modes of 128 bits for 4 x 4 texels of R, G, B.

Khronos Data Format Specification 1.4, chapter 20 (BPTC Compressed Texture Image Formats), section
BC6H. A block is one little-endian 128-bit number, read from its lowest bit:

    mode | bits of the endpoints, scattered | partition | indices

The mode is 2 bits where the second is 0, else 5. Endpoints are w and x of subset 0, y and z of
subset 1. Where a mode is `transformed`, x, y and z are differences to w, with signs.

A texel is a float16 whose bits are taken as a whole number: *steps*, which grow nearly as the
logarithm does. Endpoints are expanded to 16 bits, interpolated there, and multiplied by 31 / 64
(signed: 31 / 32), so that no infinity and no NaN can come out.
"""

from typing import NamedTuple

import numpy as np

BLOCK_BYTES = 16
BLOCK_SIDE = 4  # texels
PARTITIONS_USED = 32  # the first of BC7's with two subsets
MOST_STEPS = 0x7BFF  # of a texel: 65504, the greatest float16
ONE = 0x3C00  # float16 of 1


class Mode(NamedTuple):
    """One row of the mode table."""

    number: int  # as the first 2 or 5 bits have it
    subsets: int  # groups of texels, each with two endpoints of its own
    transformed: bool  # x, y and z are differences
    bits: int  # of each channel of w
    others: tuple[int, int, int]  # bits of R, G, B of x, y and z
    fields: str  # where the bits of the endpoints lie, from the lowest: channel, end, bits


# Tables "Mode-dependent BC6H parameters" and "BC6H block formats"; "rw0-9" is ten bits upwards.
MODES = (
    Mode(
        *(0b00000, 2, True, 10, (5, 5, 5)),
        "gy4 by4 bz4 rw0-9 gw0-9 bw0-9 rx0-4 gz4 gy0-3 gx0-4 bz0 gz0-3 bx0-4 bz1 by0-3 ry0-4 bz2 "
        "rz0-4 bz3",
    ),
    Mode(
        *(0b00001, 2, True, 7, (6, 6, 6)),
        "gy5 gz4 gz5 rw0-6 bz0 bz1 by4 gw0-6 by5 bz2 gy4 bw0-6 bz3 bz5 bz4 rx0-5 gy0-3 gx0-5 gz0-3 "
        "bx0-5 by0-3 ry0-5 rz0-5",
    ),
    Mode(
        *(0b00010, 2, True, 11, (5, 4, 4)),
        "rw0-9 gw0-9 bw0-9 rx0-4 rw10 gy0-3 gx0-3 gw10 bz0 gz0-3 bx0-3 bw10 bz1 by0-3 ry0-4 bz2 "
        "rz0-4 bz3",
    ),
    Mode(
        *(0b00110, 2, True, 11, (4, 5, 4)),
        "rw0-9 gw0-9 bw0-9 rx0-3 rw10 gz4 gy0-3 gx0-4 gw10 gz0-3 bx0-3 bw10 bz1 by0-3 ry0-3 bz0 "
        "bz2 rz0-3 gy4 bz3",
    ),
    Mode(
        *(0b01010, 2, True, 11, (4, 4, 5)),
        "rw0-9 gw0-9 bw0-9 rx0-3 rw10 by4 gy0-3 gx0-3 gw10 bz0 gz0-3 bx0-4 bw10 by0-3 ry0-3 bz1 "
        "bz2 rz0-3 bz4 bz3",
    ),
    Mode(
        *(0b01110, 2, True, 9, (5, 5, 5)),
        "rw0-8 by4 gw0-8 gy4 bw0-8 bz4 rx0-4 gz4 gy0-3 gx0-4 bz0 gz0-3 bx0-4 bz1 by0-3 ry0-4 bz2 "
        "rz0-4 bz3",
    ),
    Mode(
        *(0b10010, 2, True, 8, (6, 5, 5)),
        "rw0-7 gz4 by4 gw0-7 bz2 gy4 bw0-7 bz3 bz4 rx0-5 gy0-3 gx0-4 bz0 gz0-3 bx0-4 bz1 by0-3 "
        "ry0-5 rz0-5",
    ),
    Mode(
        *(0b10110, 2, True, 8, (5, 6, 5)),
        "rw0-7 bz0 by4 gw0-7 gy5 gy4 bw0-7 gz5 bz4 rx0-4 gz4 gy0-3 gx0-5 gz0-3 bx0-4 bz1 by0-3 "
        "ry0-4 bz2 rz0-4 bz3",
    ),
    Mode(
        *(0b11010, 2, True, 8, (5, 5, 6)),
        "rw0-7 bz1 by4 gw0-7 by5 gy4 bw0-7 bz5 bz4 rx0-4 gz4 gy0-3 gx0-4 bz0 gz0-3 bx0-5 by0-3 "
        "ry0-4 bz2 rz0-4 bz3",
    ),
    Mode(
        *(0b11110, 2, False, 6, (6, 6, 6)),
        "rw0-5 gz4 bz0 bz1 by4 gw0-5 gy5 by5 bz2 gy4 bw0-5 gz5 bz3 bz5 bz4 rx0-5 gy0-3 gx0-5 gz0-3 "
        "bx0-5 by0-3 ry0-5 rz0-5",
    ),
    Mode(*(0b00011, 1, False, 10, (10, 10, 10)), "rw0-9 gw0-9 bw0-9 rx0-9 gx0-9 bx0-9"),
    Mode(
        *(0b00111, 1, True, 11, (9, 9, 9)),
        "rw0-9 gw0-9 bw0-9 rx0-8 rw10 gx0-8 gw10 bx0-8 bw10",
    ),
    Mode(
        *(0b01011, 1, True, 12, (8, 8, 8)),
        "rw0-9 gw0-9 bw0-9 rx0-7 rw11 rw10 gx0-7 gw11 gw10 bx0-7 bw11 bw10",
    ),
    Mode(
        *(0b01111, 1, True, 16, (4, 4, 4)),
        "rw0-9 gw0-9 bw0-9 rx0-3 rw15 rw14 rw13 rw12 rw11 rw10 gx0-3 gw15 gw14 gw13 gw12 gw11 gw10 "
        "bx0-3 bw15 bw14 bw13 bw12 bw11 bw10",
    ),
)


class Run(NamedTuple):
    """Bits of an endpoint that lie side by side in a block, upwards in both."""

    channel: int
    end: int  # 0 .. 3: w, x, y, z
    first: int  # bit of the endpoint
    count: int  # type: ignore[assignment]  # a field, in place of the tuple's method


def runs(mode: Mode) -> list[Run]:
    """The fields of a mode, in the order of the block's bits."""
    found = []
    for text in mode.fields.split():
        first, _, last = text[2:].partition("-")
        count = int(last or first) - int(first) + 1
        found.append(Run("rgb".index(text[0]), "wxyz".index(text[1]), int(first), count))
    return found


def index_bits(mode: Mode) -> int:
    """Of each texel's index, but those of anchors, which have one less."""
    return 3 if mode.subsets == 2 else 4


def mode_bits(mode: Mode) -> int:
    return 2 if mode.number < 2 else 5


def to_steps(halves: np.ndarray, signed: bool) -> np.ndarray:
    """Bits of float16 (uint16) as whole numbers, int32.

    What BC6H does not hold is moved to the nearest that it does: infinity to 65504, negative numbers
    to 0 where not `signed`. NaN becomes 0.
    """
    bits = np.asarray(halves).astype(np.int32)
    size = bits & 0x7FFF
    size = np.where(size > 0x7C00, 0, np.minimum(size, MOST_STEPS))
    return np.where(bits >= 0x8000, -size if signed else 0, size)
