"""Planes of signed integers: for each its lowest value and number of levels, then all of them.

C x (lowest, zigzag varint; levels, varint) | the planes less their lowest (docs/ENTROPY.md)
"""

import numpy as np

from smalti.entropy.planes import decode_planes, encode_planes
from smalti.entropy.varint import read_varint, unzigzag, write_varint, zigzag
from smalti.errors import FormatError

LOWEST, HIGHEST = -(2**15), 2**15 - 1  # 65,536 levels


def encode_signed(values: np.ndarray) -> bytes:
    """The bytes of an integer array (C, H, W) with values in LOWEST .. HIGHEST."""
    low = values.min((1, 2))
    levels = values.max((1, 2)) - low + 1
    ranges = [
        write_varint(zigzag(int(lowest))) + write_varint(int(count))
        for lowest, count in zip(low, levels, strict=True)
    ]
    return b"".join(ranges) + encode_planes(values - low[:, None, None], levels.tolist())


def decode_signed(data: bytes, shape: tuple[int, int, int]) -> np.ndarray:
    """The int16 array (C, H, W) that `encode_signed` made these bytes of.

    Raises:
        FormatError: they are not of such an array.
    """
    low, levels, offset = [], [], 0
    for _ in range(shape[0]):
        lowest, offset = read_varint(data, offset)
        count, offset = read_varint(data, offset)
        low.append(unzigzag(lowest))
        levels.append(count)
    for lowest, count in zip(low, levels, strict=True):
        if lowest < LOWEST or not 1 <= count <= HIGHEST - lowest + 1:
            raise FormatError(
                f"latents {lowest} .. {lowest + count - 1}; they lie in {LOWEST} .. {HIGHEST}"
            )
    values = decode_planes(data[offset:], shape, levels)
    values += np.array(low, np.int32)[:, None, None]
    return values.astype(np.int16)
