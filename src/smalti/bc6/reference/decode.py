"""Readable twin of the BC6H decoder, one block at a time: native/bc6/decode.cpp, bit for bit."""

import numpy as np

from smalti.bc6.layout import MODES, index_bits, mode_bits, runs
from smalti.bc7.layout import WEIGHTS
from smalti.bc7.partitions import ANCHORS, PARTITIONS

_OF_NUMBER = {mode.number: mode for mode in MODES}


def decode_block(block: bytes, *, signed: bool = False) -> np.ndarray:
    """Decode 16 bytes to float16 (16, 3), texels in row-major order.

    Khronos Data Format Specification 1.4, chapter 20, section BC6H; the four reserved modes are
    black.
    """
    value = int.from_bytes(block, "little")
    number = value & 3 if value & 2 == 0 else value & 31
    if number not in _OF_NUMBER:
        return np.zeros((16, 3), np.float16)
    mode = _OF_NUMBER[number]

    ends = [[0] * 3 for _ in range(4)]
    at = mode_bits(mode)
    for run in runs(mode):
        ends[run.end][run.channel] |= (value >> at & (1 << run.count) - 1) << run.first
        at += run.count
    partition = value >> at & 31 if mode.subsets == 2 else 0
    at += 5 * (mode.subsets == 2)

    for channel in range(3):
        w = ends[0][channel] = _number(ends[0][channel], mode.bits, signed)
        for end in (1, 2, 3):
            other = ends[end][channel]
            if mode.transformed:
                other = w + _number(other, mode.others[channel], True)  # wraps around
            ends[end][channel] = _number(other, mode.bits, signed)
    ends = [[_expand(code, mode.bits, signed) for code in end] for end in ends]

    anchors = ANCHORS[mode.subsets - 1, partition, : mode.subsets]
    texels = np.empty((16, 3), np.uint16)
    for texel in range(16):
        width = index_bits(mode) - (texel in anchors)
        weight = WEIGHTS[index_bits(mode)][value >> at & (1 << width) - 1]
        at += width
        first = 2 * PARTITIONS[mode.subsets - 1, partition, texel]
        for channel in range(3):
            low, high = ends[first][channel], ends[first + 1][channel]
            texels[texel, channel] = _half(((64 - weight) * low + weight * high + 32) >> 6, signed)
    return texels.view(np.float16)


def _number(field: int, bits: int, signed: bool) -> int:
    """The low bits of a field as a whole number, in two's complement where it has a sign."""
    field &= (1 << bits) - 1
    return field - (1 << bits) if signed and field >> (bits - 1) else field


def _expand(code: int, bits: int, signed: bool) -> int:
    """A code to 16 bits: the middle of what it stands for, but both ends of the range exactly."""
    if signed:
        size = abs(code)
        if bits < 16 and size:
            top = (1 << (bits - 1)) - 1
            size = 0x7FFF if size >= top else ((size << 15) + 0x4000) >> (bits - 1)
        return -size if code < 0 else size
    if bits == 16 or code == 0:
        return code
    return 0xFFFF if code == (1 << bits) - 1 else ((code << 16) + 0x8000) >> bits


def _half(value: int, signed: bool) -> int:
    """Bits of float16."""
    if not signed:
        return value * 31 >> 6
    return 0x8000 | -value * 31 >> 5 if value < 0 else value * 31 >> 5
