"""BC1, BC3, BC4 and BC5: encoded by quicktex, an optional package, and decoded by Pillow."""

import numpy as np
from PIL import Image

from smalti import extras
from smalti.errors import OptionError

# quicktex's search levels, 0 to 18. BC4 and BC5 have one way only.
_LEVELS = {"ultrafast": 2, "fast": 4, "medium": 8, "high": 10, "best": 18}

# Pillow's number and name of each block format, and the mode of what it makes of them.
_PILLOW = {
    "bc1": ("RGBA", (1, "")),
    "bc3": ("RGBA", (3, "")),
    "bc4": ("L", (4, "")),
    "bc5": ("RGB", (5, "BC5")),
}


def encode(format: str, image: np.ndarray, *, effort: str) -> bytes:
    """Blocks of a picture, uint8 (H, W, 4); edge texels are repeated up to a multiple of 4.

    bc1 takes R, G, B; bc3 all; bc4 R; bc5 R and G. Raises OptionError for an unknown effort,
    MissingExtraError where quicktex is not installed.
    """
    if effort not in _LEVELS:
        raise OptionError(f"unknown effort {effort!r}; known: {', '.join(_LEVELS)}")
    extras.need("quicktex", extra="textures", what=f"the format {format}")
    from quicktex import RawTexture
    from quicktex.s3tc.bc1 import BC1Encoder
    from quicktex.s3tc.bc3 import BC3Encoder
    from quicktex.s3tc.bc4 import BC4Encoder
    from quicktex.s3tc.bc5 import BC5Encoder

    level = _LEVELS[effort]
    if format == "bc1":
        encoder = BC1Encoder(level, BC1Encoder.ColorMode.FourColor)  # the one without holes
    elif format == "bc3":
        encoder = BC3Encoder(level)
    else:
        encoder = BC4Encoder(0) if format == "bc4" else BC5Encoder(0, 1)
    height, width, _ = image.shape
    padded = np.pad(image, [(0, -height % 4), (0, -width % 4), (0, 0)], mode="edge")
    raw = RawTexture.frombytes(padded.tobytes(), padded.shape[1], padded.shape[0])
    return encoder.encode(raw).tobytes()


def decode(format: str, blocks: bytes, height: int, width: int) -> np.ndarray:
    """uint8 (H, W, 4) as a GPU samples it: what a format lacks is 0 in R, G, B and 255 in A."""
    mode, arguments = _PILLOW[format]
    picture = np.asarray(Image.frombytes(mode, (width, height), blocks, "bcn", arguments))
    texels = np.zeros((height, width, 4), dtype=np.uint8)
    texels[..., 3] = 255
    if format == "bc4":
        texels[..., 0] = picture
    elif format == "bc5":
        texels[..., :2] = picture[..., :2]
    else:
        texels[:] = picture
    return texels
