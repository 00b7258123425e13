"""A path, a file object or the bytes of a file -> `H W C`, or `H W` for grey."""

import io
import os
from pathlib import Path
from typing import IO, Any, Literal, overload

import numpy as np

from smalti.errors import ImageError
from smalti.files import MAX_PIXELS
from smalti.image.output import check_output, given_as

Source = str | os.PathLike[str] | IO[bytes] | bytes | bytearray | memoryview


@overload
def load(
    path_or_file: Source, *, max_pixels: int = ..., output: Literal["numpy"] = ...
) -> np.ndarray: ...
@overload
def load(path_or_file: Source, *, max_pixels: int = ..., output: str) -> Any: ...
def load(path_or_file: Source, *, max_pixels: int = MAX_PIXELS, output: str = "numpy") -> Any:
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

    OpenEXR (.exr) and Radiance (.hdr) files hold linear light of any range: float32 that is not
    sRGB-encoded and goes beyond 1. `image.tone_map` makes a picture in [0, 1] of it.

    Args:
        path_or_file: a path, a file object opened in binary mode, or the bytes of a file.
        max_pixels: the largest width x height accepted, checked in the header before decoding.
        output: "numpy", or "pil" for a Pillow image, "torch" for a tensor `C H W`.

    Returns:
        `H W C`, C = 2 grey + alpha, 3 RGB, 4 RGBA, or `H W` for grey; uint8, uint16 or float32,
        contiguous, sRGB-encoded, straight alpha.

    Raises:
        ImageError: no such file, no picture, truncated, damaged, or larger than `max_pixels`.
        MissingExtraError: a JPEG XL, EXR or Radiance file, and the package that reads it is not
            installed.

    Examples:
        >>> import numpy as np
        >>> import smalti
        >>> smalti.save(np.full((2, 3), 40000, np.uint16), "grey.png")
        >>> smalti.load("grey.png")
        array([[40000, 40000, 40000],
               [40000, 40000, 40000]], dtype=uint16)
        >>> smalti.load("gray.png")
        Traceback (most recent call last):
        smalti.errors.ImageError: gray.png: no such file
    """
    check_output(output)
    return given_as(_grey_as_rows(_read(path_or_file, max_pixels, light=True)), output)


def load_picture(path_or_file: Source, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """As `load`, `H W C`; files of linear light are refused: what takes pictures takes [0, 1].

    Raises:
        ImageError: one of them, too.
    """
    return _read(path_or_file, max_pixels, light=False)


def _read(path_or_file: Source, max_pixels: int, *, light: bool) -> np.ndarray:
    from smalti.image.reading import read_open_file  # Pillow, for those who open a file

    if isinstance(path_or_file, bytes | bytearray | memoryview):
        path_or_file = io.BytesIO(path_or_file)
    if not isinstance(path_or_file, str | os.PathLike):
        name = str(getattr(path_or_file, "name", "the file"))
        return read_open_file(path_or_file, name, max_pixels, light=light)
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
        return read_open_file(file, path.name, max_pixels, light=light)


def _grey_as_rows(picture: np.ndarray) -> np.ndarray:
    """`H W` of grey in `H W 1`."""
    return picture[..., 0] if picture.shape[2] == 1 else picture
