"""Pictures in and out: one convention, many files.

    file ─load→ H W C, or H W for grey: uint8, uint16 or float32 in [0, 1] ─save→ file

sRGB-encoded, straight alpha; only .exr and .hdr hold linear light of any range. C says what the picture is: 2 grey and alpha, 3 RGB, 4 RGBA.

picture    what people hand over as a picture -> H W C
resize     pictures at other sizes
sheet      several pictures as one
transfer   sRGB and linear light
samples    8 bits, 16 bits, floats: from one to another; alpha and orientation
opening    a path, a file object or bytes -> H W C
output     H W C -> a Pillow image or a torch tensor
reading    an open file -> H W C, by Pillow
tiff       the TIFF layouts that Pillow does not read
jpeg_xl    JPEG XL, by an optional package
hdr        OpenEXR and Radiance .hdr, by optional packages
tone       linear light -> a picture in [0, 1]
colour     ICC profiles and CMYK -> sRGB
idx        MNIST's files
plugins    the formats that Pillow does not know from the start
writing    8 or 16 bits a sample -> the bytes of a file
refusals   pictures that are too large, and what other libraries say of damaged ones
"""

import os
from pathlib import Path
from typing import Any

import numpy as np

from smalti.errors import ImageError, OptionError
from smalti.files import HDR_FORMATS, MAX_PIXELS, WRITTEN_FORMATS, write_atomically
from smalti.image.hdr import is_hdr
from smalti.image.opening import load
from smalti.image.picture import as_light, as_picture
from smalti.image.refusals import reason
from smalti.image.samples import to_depth, to_float, to_uint8
from smalti.image.tone import tone_map

__all__ = [
    "MAX_PIXELS",
    "as_light",
    "as_picture",
    "is_hdr",
    "load",
    "save",
    "to_bytes",
    "to_depth",
    "to_float",
    "to_uint8",
    "tone_map",
]


def save(
    picture: Any, path: str | os.PathLike[str], *, quality: int = 90, bits: int | None = None
) -> None:
    """Write a picture in the format that the suffix names, whole or not at all.

    .png .tif .tiff .bmp are lossless. .jpg .jpeg .avif are lossy without chroma subsampling,
    .webp is lossy with it, and lossless at quality 100. WebP and AVIF may store grey as RGB.
    Floats outside [0, 1] are clipped. A fully opaque alpha channel is left out of formats that
    have none (JPEG, BMP); any other is an error there.

    .exr and .hdr hold linear light: there floats are written as they are, in 16 bits where
    these hold them exactly, and uint8 and uint16 are decoded from sRGB.

    Args:
        picture: `H W C` or `H W`, uint8, uint16 or float in [0, 1], sRGB-encoded, straight alpha;
            or whatever else `as_picture` takes.
        path: where to; an existing file is replaced once the new one is complete.
        quality: 1 to 100, for JPEG, WebP and AVIF.
        bits: 8, or 16 for PNG and TIFF. None: 16 for a uint16 picture where the format holds it.

    Raises:
        ImageError: not a picture, an unknown suffix, no such folder, or a format that cannot
            hold the picture.
        OptionError: a `quality` or a number of `bits` that does not exist.

    Examples:
        >>> import numpy as np
        >>> import smalti
        >>> x = np.linspace(0, 1, 24).reshape(2, 4, 3)
        >>> smalti.save(x, "a.png", bits=16)
        >>> smalti.load("a.png").dtype, smalti.load("a.png").shape
        (dtype('uint16'), (2, 4, 3))
        >>> smalti.save(x, "a.avif", quality=75)
    """
    path = Path(path)
    data = to_bytes(picture, path.suffix, quality=quality, bits=bits, name=path.name)
    try:
        write_atomically(path, data)
    except OSError as error:
        raise ImageError(str(error)) from error


def to_bytes(
    picture: Any,
    suffix: str,
    *,
    quality: int = 90,
    bits: int | None = None,
    name: str = "the picture",
) -> bytes:
    """The bytes of the file that `save` writes under a name with this suffix.

    Args:
        name: what errors call the file.

    Raises:
        ImageError, OptionError: as `save`.
    """
    from smalti.image.writing import encode

    if hdr := HDR_FORMATS.get(suffix.lower()):
        return _light_to_bytes(picture, hdr, name)
    kind = WRITTEN_FORMATS.get(suffix.lower())
    if kind is None:
        known = " ".join(WRITTEN_FORMATS)
        raise ImageError(f"{name}: unknown suffix {suffix!r}; known: {known}")
    if bits not in (None, 8, 16):
        raise OptionError(f"bits = {bits}; known: 8, 16")
    if not 1 <= quality <= 100:
        raise OptionError(f"quality = {quality}; it goes from 1 to 100")
    if bits == 16 and kind not in ("PNG", "TIFF"):
        raise ImageError(f"{name}: {kind} holds 8 bits here; for 16 use .png or .tif")
    samples = as_picture(picture, clip=True)
    if bits is None:
        bits = 16 if samples.dtype == np.uint16 and kind in ("PNG", "TIFF") else 8
    levels = to_depth(samples, np.uint8 if bits == 8 else np.uint16)
    height, width, channels = levels.shape
    if channels in (2, 4) and kind in ("JPEG", "BMP"):
        least = int(levels[..., -1].min())
        if least < 255:
            raise ImageError(
                f"{name}: {kind} has no alpha, and this picture's goes down to {least} of 255;"
                " use .png, .webp or .avif"
            )
        levels = levels[..., :-1]
    try:
        return encode(levels, kind, quality)
    except Exception as error:
        raise ImageError(
            f"{name}: {kind} cannot hold {width} x {height} pixels, {channels} channels"
            f" ({reason(error)})"
        ) from error


def _light_to_bytes(picture: Any, kind: str, name: str) -> bytes:
    from smalti.image.hdr import write_hdr

    light = as_light(picture)
    with np.errstate(over="ignore"):
        halves = light.astype(np.float16)
    eight_bits = getattr(picture, "dtype", None) == np.uint8  # float16 has eleven
    if eight_bits or np.array_equal(halves, light):
        light = halves
    try:
        return write_hdr(light, kind)
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from error
