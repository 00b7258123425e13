"""Textures of random blocks, and every way to damage their files a little."""

from collections.abc import Iterator

import numpy as np

from smalti.textures import FORMATS, Texture
from smalti.textures.texture import level_count, level_size, surface_bytes

# Height, width, levels, layers, faces.
SHAPES = [
    (1, 1, 1, 1, 1),
    (5, 7, 3, 1, 1),
    (16, 12, 1, 1, 1),
    (20, 9, 5, 3, 1),
    (13, 13, 4, 1, 6),
    (8, 8, 2, 2, 6),
]
KINDS = [
    (format, srgb)
    for format in FORMATS
    for srgb in (False, True)
    if not srgb or FORMATS[format].has_srgb
]
OF_DDS = [(format, srgb) for format, srgb in KINDS if FORMATS[format].dxgi]


def random_texture(
    height: int,
    width: int,
    levels: int,
    layers: int,
    faces: int,
    format: str = "bc7",
    srgb: bool = True,
) -> Texture:
    random = np.random.default_rng(height + 31 * width + 7 * levels)
    assert levels <= level_count(height, width)
    contents = tuple(
        random.bytes(layers * faces * surface_bytes(format, *level_size(height, width, level)))
        for level in range(levels)
    )
    return Texture(format, srgb, height, width, contents, layers, faces)


def flipped_bits(data: bytes, count: int) -> Iterator[bytes]:
    """`data` with one bit flipped, for every bit of the first `count` bytes."""
    for bit in range(8 * count):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        yield bytes(damaged)
