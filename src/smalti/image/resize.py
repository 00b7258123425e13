"""Pictures at other sizes, by Pillow's antialiased filters on floats."""

import numpy as np

from smalti.image.samples import to_float


def resized(picture: np.ndarray, height: int, width: int, filter: str) -> np.ndarray:
    """`height width C` float32 in [0, 1] of `H W C`; itself as floats where the size is the same.

    filter: "bilinear" or "bicubic" (a = -0.5); shrinking averages what a texel covers, as
    torch's `interpolate(antialias=True)` does.
    """
    floats = to_float(picture)
    if floats.shape[:2] == (height, width):
        return floats
    from PIL import Image

    kind = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}[filter]
    planes = [
        np.asarray(Image.fromarray(np.ascontiguousarray(plane)).resize((width, height), kind))
        for plane in floats.transpose(2, 0, 1)
    ]
    return np.stack(planes, -1).clip(0, 1)
