"""Cut-outs, such as leaves and fences: texels are drawn where alpha passes a test, or not at all.

Filtering moves alpha towards its mean, so that of a smaller level more or less passes, and leaves
thin out or grow together. Castaño, Computing Alpha Mipmaps, 2010: each level's alpha is scaled until
as much passes as of the first.
"""

import numpy as np

from smalti.textures.mips import inside
from smalti.textures.prepare.channels import like, unit

_STEPS = 16  # bisections: 2^-16 of a scale


def covered(alpha: np.ndarray, test: float, edges: str) -> float:
    """Which part passes: alpha float32 (H, W) of at least `test`, as a GPU's linear filter sees it.

    It is looked up at four places in each texel, a quarter from its middle.
    """
    for axis in (0, 1):
        size = alpha.shape[axis]
        positions = np.arange(size)
        before = alpha.take(inside(positions - 1, size, edges), axis)
        after = alpha.take(inside(positions + 1, size, edges), axis)
        middle = np.float32(0.75) * alpha
        between = (middle + np.float32(0.25) * before, middle + np.float32(0.25) * after)
        alpha = np.concatenate(between, axis)
    return float(np.count_nonzero(alpha >= np.float32(test)) / alpha.size)


def kept(texels: np.ndarray, wanted: float, test: float, edges: str) -> np.ndarray:
    """A level `h w C` with its alpha scaled, so that as near to `wanted` as possible passes."""
    alpha = unit(texels[..., -1])

    def missed(scale: float) -> float:
        return covered((alpha * np.float32(scale)).clip(0, 1), test, edges) - wanted

    best, error = 1.0, missed(1.0)
    # The scale that lifts an alpha of `passing` to the test: as `passing` grows, less is covered.
    low, high = test / 256, 1.0
    for _ in range(_STEPS):
        passing = (low + high) / 2
        found = missed(test / passing)
        if abs(found) < abs(error):
            best, error = test / passing, found
        low, high = (passing, high) if found > 0 else (low, passing)
    result = texels.copy()
    result[..., -1] = like((alpha * np.float32(best)).clip(0, 1), texels)
    return result
