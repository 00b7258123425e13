"""Readable twin of the BC7 decoder, one block at a time: native/bc7/decode.h, bit for bit.

Of the encoder's see encode.py.
"""

import numpy as np

from smalti.bc7.layout import MODES, WEIGHTS
from smalti.bc7.partitions import ANCHORS, PARTITIONS


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
        pbits = []
    ends = [
        [_widen(field, width, pbits[i] if pbits else None) for i, field in enumerate(channel)]
        for channel, width in zip(fields, widths, strict=True)
    ]

    anchors = ANCHORS[mode.subsets - 1, partition]
    sets = [
        [bits.take(width - (texel in anchors)) for texel in range(16)] if width else []
        for width in (mode.index, mode.second_index)
    ]
    weight_sets = [
        [WEIGHTS[width][index] for index in indices]
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
