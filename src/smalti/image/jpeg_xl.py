"""JPEG XL, decoded by imagecodecs, an optional package; what the file says is read before, here.

imagecodecs hands out samples alone: neither their colour space nor whether colours are multiplied
with alpha. So the header is read to where it says that: ISO 18181-1 annex D, 18181-2 for boxes.
"""

import contextlib
import struct
from typing import IO, NamedTuple

import numpy as np

from smalti import extras
from smalti.errors import ImageError
from smalti.image.refusals import check_size
from smalti.image.samples import checked_range, straight_alpha, to_depth, to_float
from smalti.image.transfer import linear_to_srgb

_CODESTREAM = b"\xff\n"
_CONTAINER = b"\0\0\0\x0cJXL \r\n\x87\n"
_PACKED_JPEG = b"jbrd"  # the box with what a JPEG has beside its coefficients
JPEG_XL_MAGIC = (_CODESTREAM, _CONTAINER)

_HEADER_BYTES = 4096  # more than any header takes up to its colours
_ALPHA, _SPOT, _MOSAIC = 0, 2, 5  # types of extra channels
_GREY = 1  # colour space
_D65, _SRGB_PRIMARIES = 1, 1
_TRANSFERS = {8: "linear", 13: "sRGB"}


class JpegXlHeader(NamedTuple):
    """What must be known beside the samples."""

    width: int
    height: int
    transfer: str  # "sRGB" or "linear", of sRGB's primaries; "" for any other colours
    premultiplied: bool


def read_jpeg_xl(file: IO[bytes], max_pixels: int) -> np.ndarray | bytes:
    """The upright H W C array, uint8, uint16 or float32; or the JPEG that was packed into the file.

    Raises:
        ImageError: larger than `max_pixels`, cut short, or in colours other than sRGB.
        MissingExtraError: imagecodecs is not installed.
    """
    header = jpeg_xl_header(file)
    check_size(header.width, header.height, max_pixels)
    codec = extras.need("imagecodecs", extra="jxl", what="JPEG XL")
    file.seek(0)
    data = file.read()
    if data.startswith(_CONTAINER) and _PACKED_JPEG in data:
        with contextlib.suppress(codec.JpegxlError):
            return codec.jpegxl_decode_jpeg(data)  # the very file, with its profile
    if not header.transfer:
        raise ImageError(
            "is JPEG XL in another colour space than sRGB, of which imagecodecs does not hand out the"
            " profile; convert it to sRGB, or to another format"
        )
    array = codec.jpegxl_decode(data, index=0)
    array = array[..., None] if array.ndim == 2 else array
    array = checked_range(np.asarray(array)[..., :4])
    if header.premultiplied:
        array = straight_alpha(array)
    return _encoded(array) if header.transfer == "linear" else array


def _encoded(array: np.ndarray) -> np.ndarray:
    """sRGB-encoded, of linear light; alpha stays."""
    colours = array.shape[2] - (array.shape[2] in (2, 4))
    result = array.copy()
    light = to_float(array[..., :colours])
    result[..., :colours] = to_depth(linear_to_srgb(light).astype(np.float32), array.dtype)
    return result


def jpeg_xl_header(file: IO[bytes]) -> JpegXlHeader:
    """Size, and how the samples are meant.

    Raises:
        ImageError: no codestream, or one that ends within its header.
    """
    file.seek(_codestream_start(file))
    start = file.read(_HEADER_BYTES)
    if not start.startswith(_CODESTREAM):
        raise ImageError("is a JPEG XL file without a codestream")
    bits = _Bits(start[2:])
    width, height = bits.size()
    premultiplied = False
    if bits.flag():  # everything at its default
        return JpegXlHeader(width, height, "sRGB", False)
    if bits.flag():  # extra fields
        bits.take(3)  # orientation, which the decoder applies
        if bits.flag():
            bits.size()
        if bits.flag():
            bits.preview()
        if bits.flag():
            bits.animation()
    bits.depth()
    bits.flag()  # whether 16-bit buffers do
    for _ in range(bits.number((0, 0), (1, 0), (2, 4), (1, 12))):
        premultiplied |= bits.extra_channel()
    bits.flag()  # whether coded as XYB
    return JpegXlHeader(width, height, bits.transfer(), premultiplied)


def _codestream_start(file: IO[bytes]) -> int:
    """Where the codestream, or its first part, begins."""
    file.seek(0)
    if file.read(2) == _CODESTREAM:
        return 0
    start = 0
    while True:
        file.seek(start)
        size, kind = struct.unpack(">I4s", file.read(8))
        payload = start + 8
        if size == 1:
            (size,) = struct.unpack(">Q", file.read(8))
            payload += 8
        if kind in (b"jxlc", b"jxlp"):
            return payload + (4 if kind == b"jxlp" else 0)  # a part has its number first
        if size < 8:
            raise ImageError("is a JPEG XL file without a codestream")
        start += size


class _Bits:
    """The header's bits, the lowest of each byte first, and the bundles made of them."""

    def __init__(self, data: bytes) -> None:
        self.stream, self.left = int.from_bytes(data, "little"), 8 * len(data)

    def take(self, bits: int) -> int:
        self.left -= bits
        if self.left < 0:
            raise ImageError("is a JPEG XL file that ends within its header")
        value, self.stream = self.stream & ((1 << bits) - 1), self.stream >> bits
        return value

    def flag(self) -> bool:
        return bool(self.take(1))

    def number(self, *choices: tuple[int, int]) -> int:
        """U32: one of four (offset, bits)."""
        offset, bits = choices[self.take(2)]
        return offset + self.take(bits)

    def enum(self) -> int:
        return self.number((0, 0), (1, 0), (2, 4), (18, 6))

    def size(self) -> tuple[int, int]:
        """SizeHeader: width and height."""
        small = self.flag()

        def length() -> int:
            if small:
                return 8 * (1 + self.take(5))
            return self.number((1, 9), (1, 13), (1, 18), (1, 30))

        height = length()
        return self._by_ratio(height) or (length(), height)

    def _by_ratio(self, height: int) -> tuple[int, int] | None:
        ratio = self.take(3)
        if not ratio:
            return None
        by, of = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))[ratio - 1]
        return height * by // of, height

    def preview(self) -> None:
        small = self.flag()
        choices = (
            ((16, 0), (32, 0), (1, 5), (33, 9))
            if small
            else ((1, 6), (65, 8), (321, 10), (1345, 12))
        )
        if not self._by_ratio(self.number(*choices)):
            self.number(*choices)

    def animation(self) -> None:
        self.number((100, 0), (1000, 0), (1, 10), (1, 30))
        self.number((1, 0), (1001, 0), (1, 8), (1, 10))
        self.number((0, 0), (0, 3), (0, 16), (0, 32))
        self.flag()

    def depth(self) -> None:
        """BitDepth: of whole numbers, or of floats with their exponent."""
        if self.flag():
            self.number((32, 0), (16, 0), (24, 0), (1, 6))
            self.take(4)
        else:
            self.number((8, 0), (10, 0), (12, 0), (1, 6))

    def extra_channel(self) -> bool:
        """Whether it is alpha that colours are multiplied with."""
        if self.flag():
            return False  # alpha of 8 bits
        kind = self.enum()
        self.depth()
        self.number((0, 0), (3, 0), (4, 0), (1, 3))
        for _ in range(self.number((0, 0), (0, 4), (16, 5), (48, 10))):
            self.take(8)  # of its name
        if kind == _SPOT:
            self.take(64)
        if kind == _MOSAIC:
            self.number((1, 0), (0, 2), (3, 4), (19, 8))
        return kind == _ALPHA and self.flag()

    def transfer(self) -> str:
        """ColourEncoding: of sRGB's primaries, or grey; "" for any other."""
        if self.flag():
            return "sRGB"
        if self.flag():
            return ""  # an ICC profile
        grey = self.enum() == _GREY
        if self.enum() != _D65:
            return ""
        if not grey and self.enum() != _SRGB_PRIMARIES:
            return ""
        return "" if self.flag() else _TRANSFERS.get(self.enum(), "")  # a flag of a plain power
