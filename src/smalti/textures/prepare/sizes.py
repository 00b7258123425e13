"""Pictures at other sizes: in light, weighted by alpha, by a filter of the mip levels."""

import re

import numpy as np

from smalti.errors import ImageError, OptionError
from smalti.image.transfer import linear_to_srgb, srgb_to_linear
from smalti.textures.mips import shrink_planes, taps
from smalti.textures.prepare.channels import like, unit
from smalti.textures.texture import MAX_SIDE

# Lanczos' lobes ring beside hard edges, Mitchell's little; it is what its paper found best for both
# enlarging and shrinking.
_FILTER = "mitchell"
_MOST = 250  # times smaller: the kernel takes 1024 texels together, the filter reaches 4 of its own
_INVISIBLE = np.float32(2.0**-16)  # what colour under alpha 0 weighs, as in mip levels


def target(text: str, height: int, width: int) -> tuple[int, int]:
    """(height, width) of what was asked for: 512x256, 50%, fit1024, pow2, multiple4; "": the same.

    Raises:
        OptionError: none of these, or a side out of 1..16384.
    """
    if not text:
        return height, width
    if sides := re.fullmatch(r"(\d{1,6})x(\d{1,6})", text):
        size = int(sides[2]), int(sides[1])
    elif percent := re.fullmatch(r"(\d{1,4}(?:\.\d{1,4})?)%", text):
        factor = float(percent[1]) / 100
        size = max(1, round(factor * height)), max(1, round(factor * width))
    elif most := re.fullmatch(r"fit(\d{1,6})", text):
        factor = min(1.0, int(most[1]) / max(height, width))
        size = max(1, round(factor * height)), max(1, round(factor * width))
        if not int(most[1]):
            size = 0, 0
    elif text == "pow2":
        size = 1 << (height - 1).bit_length(), 1 << (width - 1).bit_length()
    elif text == "multiple4":
        size = -(-height // 4) * 4, -(-width // 4) * 4
    else:
        raise OptionError(
            f"resize {text!r}; it is a size as 512x256, 50%, fit1024, pow2 or multiple4"
        )
    if not all(1 <= side <= MAX_SIDE for side in size):
        raise OptionError(f"resize {text} makes {size[1]} x {size[0]}; sides are 1 to {MAX_SIDE}")
    return size


def resized(
    picture: np.ndarray, text: str, *, edges: str, srgb: bool, normal: bool, alpha_weighted: bool
) -> np.ndarray:
    """`h w C` of `H W C`, of its type; itself where the size is the same.

    Args:
        text: see `target`.
        edges: of `mips.EDGES`: what lies beyond the picture.
        srgb: colours are sRGB-encoded, and averaged as light.
        normal: they are vectors, and get length 1 again.
        alpha_weighted: a colour counts as much as it is visible.

    Raises:
        OptionError: see `target`.
        ImageError: it is made more than 250 times smaller.
    """
    before, size = picture.shape[:2], target(text, *picture.shape[:2])
    if size == before:
        return picture
    if any(b > _MOST * s for b, s in zip(before, size, strict=True)):
        raise ImageError(
            f"{before[1]} x {before[0]} to {size[1]} x {size[0]} is more than {_MOST} times smaller; "
            "resize it in two steps"
        )
    channels = picture.shape[2]
    colours = channels - (channels in (2, 4))
    weighted = alpha_weighted and not normal and colours < channels
    planes = np.ascontiguousarray(unit(picture).transpose(2, 0, 1))
    if srgb:
        planes[:colours] = srgb_to_linear(planes[:colours])
    if normal:
        planes[:colours] = 2 * planes[:colours] - 1
    if weighted:
        planes[:-1] *= planes[-1:] + _INVISIBLE
    down, across = (taps(_FILTER, b, s) for b, s in zip(before, size, strict=True))
    planes = shrink_planes(planes, down, across, edges)
    if weighted:
        planes[-1] = planes[-1].clip(0)
        planes[:-1] /= planes[-1:] + _INVISIBLE
    if normal:
        length = np.linalg.norm(planes[:3], axis=0)
        flat = length < np.float32(1e-6)  # opposite directions: which one is left is chance
        planes[:3] /= np.where(flat, np.float32(1), length)
        planes[:3, flat] = [[0], [0], [1]]
        planes[:colours] = planes[:colours] * np.float32(0.5) + np.float32(0.5)
    if srgb:
        planes[:colours] = linear_to_srgb(planes[:colours].clip(0, 1))
    return like(planes.transpose(1, 2, 0), picture)
