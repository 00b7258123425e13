"""Several pictures as one."""

import math

import numpy as np


def sheet(pictures: np.ndarray, scale: int = 1) -> np.ndarray:
    """Pictures `N H W C` beside and below each other, each texel `scale` x `scale`."""
    count, height, width, channels = pictures.shape
    across = math.ceil(math.sqrt(count))
    down = math.ceil(count / across)
    drawn = np.zeros((down * across, height, width, channels), pictures.dtype)
    drawn[:count] = pictures
    rows = drawn.reshape(down, across, height, width, channels).transpose(0, 2, 1, 3, 4)
    rows = rows.reshape(down * height, across * width, channels)
    return rows.repeat(scale, axis=0).repeat(scale, axis=1)
