"""Textures of light: BC6H blocks and floats, of any range, and their mip levels.

float32 H W C, linear ──mip_levels──▶ levels ──encode──▶ blocks or texels ──decode──▶ float32
"""

from collections.abc import Iterator

import numpy as np

from smalti.bc6.decode import decode_image
from smalti.errors import ImageError
from smalti.textures.mips import FILTERS, RINGING, inside, shrink_planes, taps
from smalti.textures.texture import FORMATS, level_size

_FLOATS: dict[str, np.dtype] = {"rgba16f": np.dtype("<f2"), "rgba32f": np.dtype("<f4")}
_MOST_HALF = 65504.0
_FINITE = np.float32(1e30)
# Colour under alpha 0 weighs this little in mip levels, as in those of 8 bits.
_INVISIBLE = np.float32(2.0**-16)


def encode(format: str, light: np.ndarray, *, effort: str) -> bytes:
    """Blocks or texels of float32 (H, W, C), C 1 to 4, straight alpha.

    Of bc6h negative numbers become 0; of all formats of 16 bits, what is beyond 65504 becomes that.
    """
    rgba = _rgba(light)
    if format in _FLOATS:
        kind = _FLOATS[format]
        return (
            (rgba.clip(-_MOST_HALF, _MOST_HALF) if kind.itemsize == 2 else rgba)
            .astype(kind)
            .tobytes()
        )
    from smalti.bc6.encode import encode_image

    return encode_image(rgba[..., :3], effort=effort, signed=format == "bc6h-signed")


def decode(format: str, data: bytes, height: int, width: int) -> np.ndarray:
    """float32 (H, W, 4) as a GPU samples it; alpha is 1 where the format has none."""
    if format in _FLOATS:
        texels = np.frombuffer(data, _FLOATS[format]).reshape(height, width, 4)
        return texels.astype(np.float32)
    signed = format == "bc6h-signed"
    return decode_image(data, height, width, signed=signed, channels=4).astype(np.float32)


def check(format: str, light: np.ndarray, number: int) -> None:
    """Refuse alpha where the format has none.

    Raises:
        ImageError: picture `number` has some.
    """
    if light.shape[2] in (2, 4) and "A" not in FORMATS[format].channels:
        least = float(light[..., -1].min())
        if least < 1:
            raise ImageError(
                f"{format} holds no alpha, and that of picture {number} goes down to {least:g}; "
                "use rgba16f or bc7"
            )


def mip_levels(
    light: np.ndarray, *, levels: int, filter: str, alpha_weighted: bool, edges: str
) -> Iterator[np.ndarray]:
    """The levels from 1 to `levels - 1` of float32 (H, W, C), each made of the one before.

    filter: as in `mips.mip_strips`. Filters of negative weights ring, and beside a sun by thousands;
    their result is held between the least and the greatest of the texels that each covers.
    """
    assert filter in FILTERS
    height, width, channels = light.shape
    weighted = alpha_weighted and channels in (2, 4)
    # 0 times infinity is no number
    planes = np.ascontiguousarray(light.transpose(2, 0, 1).clip(-_FINITE, _FINITE))
    if weighted:
        planes[:-1] *= planes[-1:] + _INVISIBLE
    for level in range(1, levels):
        before, size = planes.shape[1:], level_size(height, width, level)
        down, across = (taps(filter, b, s) for b, s in zip(before, size, strict=True))
        smaller = shrink_planes(planes, down, across, edges)
        if filter in RINGING:
            smaller = _held(smaller, planes, edges)
        planes = smaller
        texels = planes.transpose(1, 2, 0).copy()
        if weighted:
            texels[..., :-1] /= texels[..., -1:] + _INVISIBLE
        yield texels


def _held(smaller: np.ndarray, planes: np.ndarray, edges: str) -> np.ndarray:
    """Each between the extremes of what it covers."""
    low = high = planes
    for axis in (1, 2):
        boxes = taps("box", planes.shape[axis], smaller.shape[axis])
        count = boxes.weights.shape[1]
        positions = boxes.starts[:, None] + np.arange(count)
        positions = np.where(boxes.weights > 0, positions, boxes.starts[:, None])
        at = inside(positions, planes.shape[axis], edges)
        low = np.minimum.reduce([low.take(at[:, n], axis) for n in range(count)])
        high = np.maximum.reduce([high.take(at[:, n], axis) for n in range(count)])
    return smaller.clip(low, high)


def _rgba(light: np.ndarray) -> np.ndarray:
    """float32 (H, W, 4): grey becomes equal red, green and blue, what has no alpha is opaque."""
    channels = light.shape[2]
    rgba = np.empty((*light.shape[:2], 4), np.float32)
    rgba[..., :3] = light[..., :3] if channels >= 3 else light[..., :1]
    rgba[..., 3] = light[..., -1] if channels in (2, 4) else 1
    return rgba
