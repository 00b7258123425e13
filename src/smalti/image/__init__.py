"""Pictures in and out: one convention, many files.

    file ─load→ H W C, or H W for grey: uint8, uint16 or float32 in [0, 1] ─save→ file

sRGB-encoded, straight alpha. C says what the picture is: 2 grey and alpha, 3 RGB, 4 RGBA.

picture    what people hand over as a picture -> H W C
resize     pictures at other sizes
transfer   sRGB and linear light
samples    8 bits, 16 bits, floats: from one to another; alpha and orientation
reading    a file -> H W C, by Pillow
tiff       the TIFF layouts that Pillow does not read
jpeg_xl    JPEG XL, by an optional package
colour     ICC profiles and CMYK -> sRGB
plugins    the formats that Pillow does not know from the start
writing    8 or 16 bits a sample -> the bytes of a file
refusals   pictures that are too large, and what other libraries say of damaged ones
"""

import io
import os
from pathlib import Path
from typing import IO, Any

import numpy as np

from smalti.errors import ImageError, OptionError
from smalti.files import MAX_PIXELS, write_atomically
from smalti.image.picture import as_picture
from smalti.image.refusals import reason
from smalti.image.samples import to_depth, to_float, to_uint8

__all__ = [
    "MAX_PIXELS",
    "as_picture",
    "load",
    "save",
    "to_bytes",
    "to_depth",
    "to_float",
    "to_uint8",
]


def load(
    path_or_file: str | os.PathLike[str] | IO[bytes] | bytes, *, max_pixels: int = MAX_PIXELS
) -> np.ndarray:
    """Read a picture: PNG, JPEG, WebP, AVIF, TIFF, BMP, JPEG XL, or the first frame of a GIF.

    Of an animation or a file of several pages the first is read. A binary file object is read
    from its start and stays open.

    The depth is the file's: samples of up to 8 bits become uint8, of 9 to 16 bits uint16, over
    the whole range of the type; floats stay floats. Palettes, CMYK, YCbCr and CIELAB become RGB.
    Transparency of every kind becomes straight alpha. The EXIF orientation is applied. An embedded
    ICC profile is converted to sRGB, relative colorimetric with black point compensation, unless
    no colour would move by more than one level of 255; a broken profile is ignored. That
    conversion is the one step that reduces 16 bits to 8. PNG's gAMA and cHRM chunks are ignored.
    Floats are taken as sRGB-encoded values in [0, 1], 32-bit integers as 16-bit ones; files with
    values beyond are refused rather than clipped.

    Args:
        path_or_file: a path, a file object opened in binary mode, or the bytes of a file.
        max_pixels: the largest width x height accepted, checked in the header before decoding.

    Returns:
        `H W C`, C = 2 grey + alpha, 3 RGB, 4 RGBA, or `H W` for grey; uint8, uint16 or float32,
        contiguous, sRGB-encoded, straight alpha.

    Raises:
        ImageError: no such file, no picture, truncated, damaged, or larger than `max_pixels`.
        MissingExtraError: a JPEG XL file, and the package that reads it is not installed.
    """
    from smalti.image.reading import read_open_file

    if isinstance(path_or_file, bytes | bytearray):
        path_or_file = io.BytesIO(path_or_file)
    if not isinstance(path_or_file, str | os.PathLike):
        name = str(getattr(path_or_file, "name", "the file"))
        return _grey_as_rows(read_open_file(path_or_file, name, max_pixels))
    path = Path(path_or_file)
    if path.is_dir():
        raise ImageError(f"{path} is a folder; name a picture inside it")
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise ImageError(f"{path}: no such file") from None
    except OSError as error:
        raise ImageError(f"{path} cannot be opened: {error.strerror}") from error
    with file:
        return _grey_as_rows(read_open_file(file, path.name, max_pixels))


def _grey_as_rows(picture: np.ndarray) -> np.ndarray:
    """`H W` of grey in `H W 1`."""
    return picture[..., 0] if picture.shape[2] == 1 else picture


def save(
    picture: Any, path: str | os.PathLike[str], *, quality: int = 90, bits: int | None = None
) -> None:
    """Write a picture in the format that the suffix names, whole or not at all.

    .png .tif .tiff .bmp are lossless. .jpg .jpeg .avif are lossy without chroma subsampling,
    .webp is lossy with it, and lossless at quality 100. WebP and AVIF may store grey as RGB.
    Floats outside [0, 1] are clipped. A fully opaque alpha channel is left out of formats that
    have none (JPEG, BMP); any other is an error there.

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
    from smalti.image.writing import FORMAT_OF, encode

    kind = FORMAT_OF.get(suffix.lower())
    if kind is None:
        known = " ".join(FORMAT_OF)
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
