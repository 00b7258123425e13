"""TIFF layouts that Pillow does not read: floats, planes, 16-bit grey + alpha, wide integers."""

import logging
from typing import IO, Any

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from smalti.errors import ImageError
from smalti.image.refusals import check_size
from smalti.image.samples import checked_range, straight_alpha, top_value, upright

TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_MAX_SAMPLES = 16  # a pixel: the colours, and further planes that are dropped

# Without a handler of its own a logger prints to standard error, beside the one sentence of ours.
_NO_OUTPUT = logging.NullHandler()


def is_planar_16(picture: Image.Image) -> bool:
    """TIFF with 16-bit colour in planes, of which Pillow unpacks 8 bits, and those wrongly."""
    if not isinstance(picture, TiffImageFile) or picture.mode.startswith("I"):
        return False
    return picture.tag_v2.get(284) == 2 and max(picture.tag_v2.get(258, (8,))) > 8


def read_by_tifffile(file: IO[bytes], max_pixels: int) -> np.ndarray:
    """The upright H W C array in sRGB of a TIFF: uint8, uint16 or float32.

    Raises:
        ImageError: larger than `max_pixels`, a layout that is not read, or samples out of range.
    """
    import tifffile

    logging.getLogger("tifffile").addHandler(_NO_OUTPUT)
    file.seek(0)
    with tifffile.TiffFile(file) as tiff:
        page = tiff.pages.first
        check_size(page.imagewidth, page.imagelength, max_pixels)
        if page.samplesperpixel > _MAX_SAMPLES:
            raise ImageError(
                f"has {page.samplesperpixel} samples a pixel, and a picture 1 to {_MAX_SAMPLES}"
            )
        colours = {"MINISBLACK": 1, "MINISWHITE": 1, "RGB": 3}.get(_tag_name(page.photometric))
        codec = _tag_name(page.compression)
        readable = (
            page.axes in ("YX", "YXS", "SYX")
            and codec in ("NONE", "DEFLATE", "ADOBE_DEFLATE", "PACKBITS")
            and colours is not None
            and page.samplesperpixel >= colours
        )
        if not readable or colours is None:
            raise ImageError(
                f"is a TIFF of a layout that cannot be read ({_tag_name(page.photometric)},"
                f" {page.samplesperpixel} x {page.bitspersample} bits, compression {codec});"
                " write it anew as RGB or grey, uncompressed"
            )
        array = page.asarray()
        array = {"YX": array[..., None], "SYX": np.moveaxis(array, 0, -1)}.get(page.axes, array)
        extras = tuple(int(extra) for extra in page.extrasamples)
        array = checked_range(array[..., : colours + (extras[:1] in ((1,), (2,)))])
        if _tag_name(page.photometric) == "MINISWHITE":
            array[..., 0] = top_value(array) - array[..., 0]
        if extras[:1] == (1,):
            array = straight_alpha(array)
        profile = page.tags.valueof(34675)
        if profile:
            from smalti.image.colour import to_srgb

            array = to_srgb(array, profile)
        return upright(array, page.tags.valueof(274))


def _tag_name(value: Any) -> str:
    return getattr(value, "name", str(value))
