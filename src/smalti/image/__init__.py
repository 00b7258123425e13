"""Pictures in and out: one convention, many files.

    file ─load→ image: C H W float32, sRGB-encoded, straight alpha, [0, 1] ─save→ file

C says what the picture is: 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA.

reading    a file -> an image, by Pillow
tiff       the TIFF layouts that Pillow does not read
jpeg_xl    the size of a JPEG XL picture, known before it is decoded
colour     ICC profiles and CMYK -> sRGB
samples    arrays of samples: to and from tensors, their range, alpha and orientation
writing    8 or 16 bits a sample -> the bytes of a file
refusals   pictures that are too large, and what other libraries say of damaged ones
"""

import os
from pathlib import Path
from typing import IO

import numpy as np
from torch import Tensor

from smalti.errors import ImageError, OptionError
from smalti.files import MAX_PIXELS, write_atomically
from smalti.image.reading import read_open_file
from smalti.image.refusals import reason
from smalti.image.samples import to_levels, to_tensor
from smalti.image.writing import FORMAT_OF, encode

__all__ = ["MAX_PIXELS", "from_uint8", "load", "save", "to_uint8"]


def load(
    path_or_file: str | os.PathLike[str] | IO[bytes], *, max_pixels: int = MAX_PIXELS
) -> Tensor:
    """Read a picture: PNG, JPEG, WebP, AVIF, TIFF, BMP, JPEG XL, or the first frame of a GIF.

    Of an animation or a file of several pages the first is read. A binary file object is read
    from its start and stays open.

    Samples of n bits become v / (2^n - 1); palettes, CMYK, YCbCr and CIELAB become RGB.
    Transparency of every kind becomes straight alpha. The EXIF orientation is applied. An embedded
    ICC profile is converted to sRGB, relative colorimetric with black point compensation, unless
    no colour would move by more than one level of 255; a broken profile is ignored. That
    conversion is the one step that reduces 16 bits to 8; without it 16 bits stay 16. PNG's gAMA
    and cHRM chunks are ignored. Floats are taken as sRGB-encoded values in [0, 1], 32-bit integers
    as 16-bit ones; files with values beyond are refused rather than clipped.

    Args:
        path_or_file: a path, or a file object opened in binary mode.
        max_pixels: the largest width x height accepted, checked in the header before decoding.

    Returns:
        C H W float32, contiguous, sRGB-encoded, straight alpha, [0, 1]; C = 1 grey,
        2 grey + alpha, 3 RGB, 4 RGBA.

    Raises:
        ImageError: no such file, no picture, truncated, damaged, or larger than `max_pixels`.
    """
    if not isinstance(path_or_file, str | os.PathLike):
        name = str(getattr(path_or_file, "name", "the file"))
        return read_open_file(path_or_file, name, max_pixels)
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
        return read_open_file(file, path.name, max_pixels)


def save(image: Tensor, path: str | os.PathLike[str], *, quality: int = 90, bits: int = 8) -> None:
    """Write a picture in the format that the suffix names, whole or not at all.

    .png .tif .tiff .bmp are lossless. .jpg .jpeg .avif are lossy without chroma subsampling,
    .webp is lossy with it, and lossless at quality 100. WebP and AVIF may store grey as RGB.
    Values outside [0, 1] are clipped. A fully opaque alpha channel is left out of formats that
    have none (JPEG, BMP); any other is an error there.

    Args:
        image: C H W of any float type, sRGB-encoded, straight alpha, [0, 1]; C = 1 to 4.
        path: where to; an existing file is replaced once the new one is complete.
        quality: 1 to 100, for JPEG, WebP and AVIF.
        bits: 8, or 16 for PNG and TIFF.

    Raises:
        ImageError: not such an image, an unknown suffix, no such folder, or a format that cannot
            hold the image.
        OptionError: a `quality` or a number of `bits` that does not exist.
    """
    path = Path(path)
    kind = FORMAT_OF.get(path.suffix.lower())
    if kind is None:
        known = " ".join(FORMAT_OF)
        raise ImageError(f"{path.name}: unknown suffix {path.suffix!r}; known: {known}")
    if bits not in (8, 16):
        raise OptionError(f"bits = {bits}; known: 8, 16")
    if not 1 <= quality <= 100:
        raise OptionError(f"quality = {quality}; it goes from 1 to 100")
    if bits == 16 and kind not in ("PNG", "TIFF"):
        raise ImageError(f"{path.name}: {kind} holds 8 bits here; for 16 use .png or .tif")
    levels = to_levels(image, bits)
    height, width, channels = levels.shape
    if channels in (2, 4) and kind in ("JPEG", "BMP"):
        least = int(levels[..., -1].min())
        if least < 255:
            raise ImageError(
                f"{path.name}: {kind} has no alpha, and this picture's goes down to {least} of 255;"
                " use .png, .webp or .avif"
            )
        levels = levels[..., :-1]
    try:
        data = encode(levels, kind, quality)
    except Exception as error:
        raise ImageError(
            f"{path.name}: {kind} cannot hold {width} x {height} pixels, {channels} channels"
            f" ({reason(error)})"
        ) from error
    try:
        write_atomically(path, data)
    except OSError as error:
        raise ImageError(str(error)) from error


def to_uint8(image: Tensor) -> np.ndarray:
    """C H W float in [0, 1] -> H W C uint8: clipped, then rounded half to even of 255 levels.

    Raises:
        ImageError: not a float tensor of 1 to 4 channels, or NaN in it.
    """
    return to_levels(image, 8)


def from_uint8(array: np.ndarray) -> Tensor:
    """H W C uint8 -> C H W float32, v / 255; `to_uint8` gives the same array back.

    Raises:
        ImageError: not an H W C array of uint8.
    """
    if array.ndim != 3 or array.dtype != np.uint8:
        raise ImageError(f"{array.dtype} array of shape {array.shape}; expected H W C uint8")
    return to_tensor(array)
