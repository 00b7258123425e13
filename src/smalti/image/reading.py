"""A file -> H W C, by Pillow.

Pillow keeps only 8 of 16 bits of colour pictures, so their halves are decoded apart and joined
here.
"""

import io
import re
import sys
import threading
import warnings
from typing import IO

import numpy as np
from PIL import ExifTags, Image, ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from smalti.errors import ImageError, MissingExtraError
from smalti.image.hdr import is_hdr, read_hdr
from smalti.image.jpeg_xl import JPEG_XL_MAGIC, read_jpeg_xl
from smalti.image.plugins import register
from smalti.image.refusals import check_scans, check_size, reason
from smalti.image.samples import checked_range, straight_alpha, top_value, upright
from smalti.image.tiff import TIFF_MAGIC, is_planar_16, read_by_tifffile

# As Pillow names them, first those that it knows from the start; the phone format MPO is a JPEG.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "AVIF", "TIFF")

_STRIP = 1 << 20  # bytes

_limit_lifted = threading.Lock()


def read_open_file(
    file: IO[bytes], name: str, max_pixels: int, *, light: bool = True
) -> np.ndarray:
    """`load` of an open file: `H W C`, uint8, uint16 or float32.

    light: files of linear light are read, too, not refused.

    The errors of what it calls are predicates; `name` is put before them here.
    """
    try:
        if not file.seekable():
            file = io.BytesIO(file.read())
        size = file.seek(0, io.SEEK_END)
        if size == 0:
            raise ImageError("is empty (0 bytes)")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"PIL\.")
            try:
                return np.ascontiguousarray(_pixels(file, max_pixels, light))
            except Image.DecompressionBombError:
                # Pillow's own limit (179 MPix) is global: it is lifted for one picture at a time,
                # and `max_pixels` decides.
                with _limit_lifted:
                    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
                    try:
                        return np.ascontiguousarray(_pixels(file, max_pixels, light))
                    finally:
                        Image.MAX_IMAGE_PIXELS = limit
    except ImageError as error:
        raise ImageError(f"{name} {reason(error)}") from error.__cause__
    except MissingExtraError:
        raise
    except Image.UnidentifiedImageError:
        file.seek(0)
        start = file.read(8).hex(" ")
        raise ImageError(
            f"{name} ({size} bytes, starting with {start}) is no picture of a kind that can be read"
            f" ({', '.join(_FORMATS)}, JPEG XL, EXR, Radiance), or its header is damaged"
        ) from None
    except Exception as error:  # decoders meet damaged files with nearly any exception
        raise ImageError(
            f"{name} ({size} bytes) is truncated, damaged or of an unknown variant;"
            f" the decoder says: {reason(error)}"
        ) from error


def _pixels(file: IO[bytes], max_pixels: int, light: bool) -> np.ndarray:
    """The upright H W C array in sRGB, or linear light; uint8, uint16 or float32."""
    file.seek(0)
    start = file.read(12)
    if start.startswith(JPEG_XL_MAGIC):
        found = read_jpeg_xl(file, max_pixels)
        if isinstance(found, np.ndarray):
            return found
        file = io.BytesIO(found)  # a JPEG
    if is_hdr(start):
        if not light:
            raise ImageError(
                "holds linear light of any range, and a picture here is sRGB-encoded in [0, 1]: "
                "smalti texture --format bc6h keeps it, smalti decode (smalti.image.tone_map) makes a "
                "picture of it"
            )
        return read_hdr(file, max_pixels)
    kind = _kind(start)
    if kind:
        register(kind)
    try:
        picture = Image.open(file, formats=[kind] if kind else _FORMATS)
    except Image.UnidentifiedImageError:
        if start.startswith(TIFF_MAGIC):
            return read_by_tifffile(file, max_pixels)
        raise
    with picture:
        check_size(*picture.size, max_pixels)
        if picture.format in ("JPEG", "MPO"):
            check_scans(file)
        if is_planar_16(picture):
            return read_by_tifffile(file, max_pixels)
        profile = picture.info.get("icc_profile")
        array = _wide_samples(picture, file)
        if array is None:
            array = _samples(picture, profile)
        if profile and picture.mode != "CMYK":
            from smalti.image.colour import to_srgb

            array = to_srgb(array, profile)
        return upright(array, _orientation(picture))


def _kind(start: bytes) -> str:
    """Which of the formats with a plugin of their own begins so; empty for the others."""
    if start.startswith(TIFF_MAGIC):
        return "TIFF"
    if start.startswith(b"RIFF") and start[8:] == b"WEBP":
        return "WEBP"
    return "AVIF" if start[4:8] == b"ftyp" else ""


def of_pillow(picture: Image.Image) -> np.ndarray:
    """`H W C` of an image that is open already, in sRGB; its pixels as they lie."""
    try:
        profile = picture.info.get("icc_profile")
        array = _samples(picture, profile)
        if profile and picture.mode != "CMYK":
            from smalti.image.colour import to_srgb

            return to_srgb(array, profile)
        return array
    except ImageError as error:
        raise ImageError(f"this Pillow image {error}") from error
    except Exception as error:  # it may be decoded only now
        raise ImageError(f"this Pillow image cannot be read: {reason(error)}") from error


def _wide_samples(picture: Image.Image, file: IO[bytes]) -> np.ndarray | None:
    """H W C uint16 of a colour or grey + alpha picture with 16 bits a sample; else None.

    Pillow unpacks such samples to their upper 8 bits. Told that the file has the other byte order,
    it unpacks the lower 8 bits, so two decodings have all 16.
    """
    match = re.fullmatch(r"(LA|RGB[AaX]?);16([BLN])", _raw_mode(picture))
    if match is None:
        return None
    kind, order = match.groups()
    if kind == "LA":  # two 16-bit samples a pixel are laid out as four of 8 bits
        _set_raw_mode(picture, "RGBA")
        return np.array(_loaded(picture)).view(">u2").astype(np.uint16)
    native, other = ("L", "B") if sys.byteorder == "little" else ("B", "L")
    swapped = {"L": "B", "B": "L", "N": other}[order]
    premultiplied = "a" in kind
    kind = kind.replace("a", "A")
    _set_raw_mode(picture, f"{kind};16{native if order == 'N' else order}")
    upper = np.array(_loaded(picture), dtype=np.uint16)
    with Image.open(file, formats=[str(picture.format)]) as again:
        _set_raw_mode(again, f"{kind};16{swapped}")
        array = upper << 8 | np.asarray(_loaded(again))
    if premultiplied:
        return straight_alpha(array)
    return _with_colour_key(array, picture.info.get("transparency"))


def _samples(picture: Image.Image, profile: bytes | None) -> np.ndarray:
    """H W C array of every other picture: uint8, or uint16 or float32 where it is grey."""
    raw_mode = _raw_mode(picture)
    mode = _loaded(picture).mode
    key = picture.info.get("transparency")
    if mode.startswith(("I", "F")):
        array = np.array(picture)[..., None]
        if mode.startswith("I;16"):
            array = array.astype(np.uint16)  # in the byte order of this machine
        if raw_mode == "I;12":
            array = (array / 4095 * 65535).round().astype(np.uint16)
        array = checked_range(array)
        if isinstance(picture, TiffImageFile) and picture.tag_v2.get(262) == 0:
            array = top_value(array) - array  # white is zero, which Pillow minds at 8 bits only
        return _with_colour_key(array, key)
    if mode == "CMYK":
        from smalti.image.colour import cmyk_to_rgb

        return np.array(cmyk_to_rgb(picture, profile))
    if mode in ("P", "PA"):
        return np.array(picture.convert("RGBA" if mode == "PA" or key is not None else "RGB"))
    standard = {"1": "L", "La": "LA", "RGBa": "RGBA"}.get(mode, mode)
    if standard not in ("L", "LA", "RGB", "RGBA"):  # YCbCr, LAB, RGBX, HSV
        standard = "RGB"
    array = _array(picture if standard == mode else picture.convert(standard))
    if array.ndim == 2:
        array = array[..., None]
        # Pillow scales samples of 2 and 4 bits up to 8, and leaves the colour key as it is.
        key = key * {"L;2": 85, "L;4": 17}.get(raw_mode, 1) if isinstance(key, int) else None
    return _with_colour_key(array, key)


def _array(picture: Image.Image) -> np.ndarray:
    """`H W` or `H W C` of 8-bit samples, a strip of rows at a time: Pillow copies them three times."""
    width, height = picture.size
    channels = len(picture.getbands())
    array = np.empty((height, width, channels)[: 2 + (channels > 1)], np.uint8)
    rows = max(1, _STRIP // (width * channels))
    for top in range(0, height, rows):
        strip = picture.crop((0, top, width, min(top + rows, height))) if rows < height else picture
        array[top : top + rows] = np.asarray(strip)
    return array


def _raw_mode(picture: Image.Image) -> str:
    """How Pillow is about to unpack the file's samples; empty where a library hides it."""
    tile = getattr(picture, "tile", None)  # of a file's; gone once it is decoded
    if not tile:
        return ""
    args = tile[0].args
    raw_mode = args[0] if isinstance(args, tuple) and args else args
    return raw_mode if isinstance(raw_mode, str) else ""


def _set_raw_mode(picture: Image.Image, raw_mode: str) -> None:
    assert isinstance(picture, ImageFile.ImageFile)  # as `Image.open` gives it
    picture.tile = [
        tile._replace(args=(raw_mode, *tile.args[1:]) if isinstance(tile.args, tuple) else raw_mode)
        for tile in picture.tile
    ]


def _loaded(picture: Image.Image) -> Image.Image:
    picture.load()
    return picture


def _with_colour_key(array: np.ndarray, key: int | tuple[int, int, int] | None) -> np.ndarray:
    """PNG's tRNS chunk of grey and RGB: one colour is transparent, every other is opaque."""
    channels = array.shape[-1]
    if key is None or channels not in (1, 3) or np.size(key) != channels:
        return array
    top = top_value(array)
    is_key = (array == np.asarray(key) & top).all(axis=-1, keepdims=True)
    return np.concatenate([array, np.where(is_key, 0, top).astype(array.dtype)], axis=-1)


def _orientation(picture: Image.Image) -> int:
    """EXIF orientation still to be applied, 1 to 8."""
    try:
        return picture.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged EXIF raises nearly anything, and costs no pixel
        return 1
