"""Samples: uint8 and uint16 over their whole range, float32 over [0, 1]; from one to another.

Every function takes and gives `H W C` or `H W` and keeps the shape.
"""

import numpy as np

from smalti.errors import ImageError, OptionError

DEPTHS = (np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.float32))

_STRIP = 1 << 20  # samples converted at a time, so that no second picture of floats is made


def to_uint8(picture: np.ndarray) -> np.ndarray:
    """255 levels: clipped, then rounded half to even. uint8 comes back as it is."""
    return to_depth(picture, np.uint8)


def to_float(picture: np.ndarray) -> np.ndarray:
    """float32 in [0, 1], v / 255 or v / 65535. float32 comes back as it is."""
    return to_depth(picture, np.float32)


def to_depth(picture: np.ndarray, dtype: np.dtype | type) -> np.ndarray:
    """The same picture as uint8, uint16 or float32; itself where it is that already.

    Raises:
        OptionError: another type.
        ImageError: not a picture's samples, or NaN on the way to whole levels.
    """
    depth = np.dtype(dtype)
    if depth not in DEPTHS:
        raise OptionError(f"dtype {depth}; a picture is uint8, uint16 or float32")
    if picture.dtype == depth:
        return picture
    if picture.dtype.kind != "f" and picture.dtype not in DEPTHS:
        raise ImageError(f"a picture is uint8, uint16 or float32, and this is {picture.dtype}")
    if depth == np.float32:
        if picture.dtype.kind == "f":
            return picture.astype(np.float32)
        top = np.float32(top_value(picture))
        return np.divide(picture, top, dtype=np.float32)
    if picture.dtype == np.uint8:
        return picture.astype(np.uint16) * np.uint16(257)
    return _levels(picture, depth)


def _levels(picture: np.ndarray, depth: np.dtype) -> np.ndarray:
    """Floats to whole levels, or 16 bits to 8; a strip of rows at a time."""
    top = np.float32(np.iinfo(depth).max)
    levels = np.empty(picture.shape, depth)
    not_numbers = 0
    rows = max(1, _STRIP * len(picture) // max(picture.size, 1))
    for first in range(0, len(picture), rows):
        strip = picture[first : first + rows]
        if strip.dtype == np.uint16:
            levels[first : first + rows] = (strip.astype(np.uint32) + 128) // 257
            continue
        values = strip.astype(np.float32)
        missing = int(np.isnan(values).sum())
        if not missing:
            np.clip(values, 0, 1, out=values)
            values *= top
            levels[first : first + rows] = np.rint(values, out=values)
        not_numbers += missing
    if not_numbers:
        raise ImageError(f"{not_numbers} of the picture's {picture.size} values are NaN")
    return levels


def top_value(array: np.ndarray) -> int:
    """The sample that means 1."""
    return np.iinfo(array.dtype).max if array.dtype.kind == "u" else 1


def checked_range(array: np.ndarray) -> np.ndarray:
    """Floats and wide integers, whose range no file states; uint8 and uint16 pass."""
    if array.dtype in (np.uint8, np.uint16):
        return array
    top = 1 if array.dtype.kind == "f" else 65535
    low, high = array.min(), array.max()
    # A thousandth is what resampling and rounding overshoot; NaN fails the comparison.
    if not (low >= -1e-3 and high <= top + 1e-3):
        raise ImageError(
            f"holds {array.dtype} samples from {low:.6g} to {high:.6g}, and they are read as"
            f" [0, {top}]; scale them first"
        )
    return array.clip(0, top).astype(np.float32 if top == 1 else np.uint16)


def straight_alpha(array: np.ndarray) -> np.ndarray:
    """Premultiplied alpha to straight alpha; black where nothing is visible."""
    top = top_value(array)
    colour, alpha = np.split(array.astype(np.float64), [-1], axis=-1)
    colour = np.divide(colour * top, alpha, out=np.zeros_like(colour), where=alpha > 0)
    if array.dtype.kind == "u":
        colour = colour.round()
    return np.concatenate([colour.clip(0, top), alpha], axis=-1).astype(array.dtype)


def upright(array: np.ndarray, orientation: int) -> np.ndarray:
    """EXIF 2.3, tag 274: what the stored first row and first column are in the upright picture."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return array
