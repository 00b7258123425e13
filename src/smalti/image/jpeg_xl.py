"""JPEG XL: a Pillow plugin reads it, and decodes on opening; its size must be known before."""

import struct
from typing import IO

from smalti.errors import ImageError

_CODESTREAM = b"\xff\n"
_CONTAINER = b"\0\0\0\x0cJXL \r\n\x87\n"
JPEG_XL_MAGIC = (_CODESTREAM, _CONTAINER)


def jpeg_xl_size(file: IO[bytes]) -> tuple[int, int]:
    """Width and height in a JPEG XL header: ISO 18181-1 annex D (SizeHeader), 18181-2 (boxes)."""
    file.seek(0)
    start = 0
    if file.read(2) != _CODESTREAM:
        while True:
            file.seek(start)
            size, kind = struct.unpack(">I4s", file.read(8))
            payload = start + 8
            if size == 1:
                (size,) = struct.unpack(">Q", file.read(8))
                payload += 8
            if kind in (b"jxlc", b"jxlp"):
                break
            if size < 8:
                raise ImageError("is a JPEG XL file without a codestream")
            start += size
        start = payload + (4 if kind == b"jxlp" else 0)  # a part has its number first
    file.seek(start)
    header = file.read(14)
    if len(header) < 14 or not header.startswith(_CODESTREAM):
        raise ImageError("is a JPEG XL file that ends within its header")
    stream = int.from_bytes(header[2:], "little")

    def take(bits: int) -> int:
        nonlocal stream
        value, stream = stream & ((1 << bits) - 1), stream >> bits
        return value

    small = take(1)

    def length() -> int:
        return 8 * (1 + take(5)) if small else 1 + take((9, 13, 18, 30)[take(2)])

    height = length()
    ratio = take(3)
    if ratio == 0:
        return length(), height
    numerator, denominator = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))[ratio - 1]
    return height * numerator // denominator, height


def jpeg_xl_formats() -> tuple[str, ...]:
    """Pillow's name of the format, once the plugin has registered it."""
    try:
        import pillow_jxl  # noqa: F401  registers JXL with Pillow
    except ImportError as error:
        raise ImageError("is JPEG XL, which needs pillow-jxl-plugin to be installed") from error
    return ("JXL",)
