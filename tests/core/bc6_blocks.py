"""Blocks of every BC6H mode, and another's decoder of them."""

import numpy as np

from smalti.bc6.layout import MODES, mode_bits

RESERVED = (0b10011, 0b10111, 0b11011, 0b11111)


def every_mode(copies: int) -> np.ndarray:
    """Random blocks, uint8 (N, 16): each mode and partition, `copies` of each; then the reserved."""
    rng = np.random.default_rng(6)
    blocks = []
    for mode in MODES:
        for partition in range(32 if mode.subsets == 2 else 1):
            for _ in range(copies if mode.subsets == 2 else 32 * copies):
                value = int.from_bytes(rng.bytes(16), "little") >> mode_bits(mode)
                value = value << mode_bits(mode) | mode.number
                if mode.subsets == 2:
                    value = value & ~(31 << 77) | partition << 77
                blocks.append(value.to_bytes(16, "little"))
    for number in RESERVED:
        value = int.from_bytes(rng.bytes(16), "little") >> 5 << 5 | number
        blocks.append(value.to_bytes(16, "little"))
    return np.frombuffer(b"".join(blocks), np.uint8).reshape(-1, 16)


def by_bcdec(blocks: bytes, height: int, width: int, *, signed: bool) -> np.ndarray:
    """float16 (height, width, 3), sides multiples of 4."""
    import imagecodecs

    texels = imagecodecs.bcn_decode(blocks, -6 if signed else 6, shape=(height, width, 3))
    return texels.astype(np.float16)
