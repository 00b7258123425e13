"""The picture of kept coverage in docs/TEXTURES.md: a cut-out far away, tested at alpha 0.5.

python docs/images/coverage.py docs/images/coverage.png
"""

import sys

import numpy as np

import smalti
from smalti.textures import Preparation, decode_surface, encode_texture

SIDE = 256
LEVELS = range(1, 6)
GREEN, WHITE = (60, 130, 40), (255, 255, 255)


def needles() -> np.ndarray:
    """uint8 (256, 256, 4): needles of a pine, 3 texels wide, opaque or not there."""
    random = np.random.default_rng(3)
    y, x = np.mgrid[:SIDE, :SIDE]
    seen = np.zeros((SIDE, SIDE), bool)
    for _ in range(110):
        x0, y0, angle = random.uniform((0, 0, 0), (SIDE, SIDE, np.pi))
        along = (x - x0) * np.cos(angle) + (y - y0) * np.sin(angle)
        across = (y - y0) * np.cos(angle) - (x - x0) * np.sin(angle)
        seen |= (np.abs(along) < 28) & (np.abs(across) < 1.5)
    return np.dstack([*[np.full((SIDE, SIDE), c) for c in GREEN], 255 * seen]).astype(np.uint8)


def tested(texture: object, level: int) -> np.ndarray:
    """What an alpha test of 0.5 draws of a level, at the size of the first, 128 a side."""
    alpha = decode_surface(texture, level)[..., 3]
    times = 128 * 2**level // SIDE
    return np.where(alpha[..., None] >= 128, GREEN, WHITE).repeat(times, 0).repeat(times, 1)


def main(target: str) -> None:
    rows = []
    for preparation in (Preparation(), Preparation(coverage=0.5)):
        texture = encode_texture([needles()], prepare=preparation)
        rows.append(np.hstack([tested(texture, level) for level in LEVELS]))
    smalti.save(np.vstack(rows).astype(np.uint8), target)


if __name__ == "__main__":
    main(sys.argv[1])
