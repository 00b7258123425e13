"""Picture files that the image tests make, and two ways to read them back."""

import io
import struct
import zlib

import imagecodecs
import numpy as np
import tifffile
from PIL import Image

from smalti.image import load

HEIGHT, WIDTH = 37, 53  # odd, and no symmetry that could hide a turned picture
COLOURS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4}


def picture(channels: int, dtype=np.uint8, height=HEIGHT, width=WIDTH) -> np.ndarray:
    """H W C: a gradient with structure, every channel different, alpha from 0 to full."""
    y, x = np.mgrid[:height, :width]
    planes = [x / width, y / height, (x * y % 64) / 63, (x + y) / (width + height - 2)]
    top = np.iinfo(dtype).max
    order = {1: [2], 2: [2, 3], 3: [0, 1, 2], 4: [0, 1, 2, 3]}[channels]
    return np.stack([(planes[c] * top).round() for c in order], axis=-1).astype(dtype)


def png(array: np.ndarray, colour_type: int, bits: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG file by hand, filter 0; `array` holds the packed bytes of each row, or samples."""
    rows = array.astype(">u2") if bits == 16 else array
    stream = b"".join(b"\0" + row.tobytes() for row in rows)
    height, width = array.shape[:2]
    width = width * 8 // bits if bits < 8 else width
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(stream)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in parts
    )


def encoded(kind: str, mode: str = "RGB", **options) -> bytes:
    """The bytes of `picture` as Pillow writes it; JPEG XL as imagecodecs does."""
    if kind == "JXL":
        return imagecodecs.jpegxl_encode(picture(COLOURS[mode]).squeeze(), **options)
    image = Image.frombytes(mode, (WIDTH, HEIGHT), picture(COLOURS[mode]).tobytes())
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def tiff(array: np.ndarray, **options) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, metadata=None, **options)
    return buffer.getvalue()


def read(data: bytes, **options) -> np.ndarray:
    """`load` from memory, as H W C."""
    image = load(io.BytesIO(data), **options)
    assert image.dtype in (np.uint8, np.uint16, np.float32)
    assert image.flags.c_contiguous
    if image.dtype == np.float32:
        assert image.min() >= 0
        assert image.max() <= 1
    if image.ndim == 2:
        return image[..., None]
    assert image.shape[2] in (2, 3, 4)
    return image


def levels(data: bytes, top: int = 255) -> np.ndarray:
    """`load` from memory, as the integers the file holds; fails for another depth."""
    array = read(data)
    assert array.dtype == (np.uint8 if top == 255 else np.uint16)
    return array.astype(int)
