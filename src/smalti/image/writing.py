"""H W C levels -> the bytes of a file: 8 bits by Pillow, 16 bits by hand and by tifffile."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

from smalti.image.plugins import register


def encode(levels: np.ndarray, kind: str, quality: int) -> bytes:
    """The bytes of a file of H W C levels."""
    if levels.dtype == np.uint16:
        return _encode_png_16(levels) if kind == "PNG" else _encode_tiff_16(levels)
    picture = Image.fromarray(levels[..., 0] if levels.shape[-1] == 1 else levels)
    of_kinds: dict[str, dict[str, Any]] = {
        "JPEG": {"quality": quality, "subsampling": "4:4:4"},
        "WEBP": {"quality": quality, "lossless": quality == 100, "exact": True},
        "AVIF": {"quality": quality, "subsampling": "4:4:4"},
        "TIFF": {"compression": "tiff_adobe_deflate"},
    }
    register(kind)
    buffer = io.BytesIO()
    picture.save(buffer, kind, **of_kinds.get(kind, {}))
    return buffer.getvalue()


def _encode_png_16(levels: np.ndarray) -> bytes:
    """PNG of 16-bit samples (W3C PNG, third edition), every row under filter 1, Sub."""
    height, width, channels = levels.shape
    rows = levels.astype(">u2").view(np.uint8).reshape(height, width, 2 * channels)
    filtered = np.diff(rows, axis=1, prepend=np.uint8(0)).reshape(height, -1)  # modulo 256
    stream = np.pad(filtered, ((0, 0), (1, 0)), constant_values=1).tobytes()
    colour_type = (0, 4, 2, 6)[channels - 1]
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(stream)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def _encode_tiff_16(levels: np.ndarray) -> bytes:
    import tifffile

    channels = levels.shape[-1]
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        levels if channels > 1 else levels[..., 0],
        photometric="rgb" if channels > 2 else "minisblack",
        planarconfig="contig" if channels > 1 else None,
        extrasamples=["unassalpha"] if channels in (2, 4) else None,
        compression="zlib",
        predictor=True,
        metadata=None,
    )
    return buffer.getvalue()
