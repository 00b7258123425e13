"""High dynamic range: OpenEXR and Radiance .hdr, by optional packages.

    .exr, .hdr ─read_hdr→ float32 H W C, linear light, straight alpha ─write_hdr→ .exr, .hdr

Values go beyond 1; what is 1 is the file's own affair. Primaries are taken as BT.709's.
"""

import io
import re
from typing import IO, Any

import numpy as np

from smalti import extras
from smalti.errors import ImageError
from smalti.image.refusals import check_size

EXR_MAGIC = b"\x76\x2f\x31\x01"
RADIANCE_MAGICS = (b"#?RADIANCE", b"#?RGBE")
_CHANNELS = (("Y",), ("Y", "A"), ("R", "G", "B"), ("R", "G", "B", "A"))  # by their number
_LEAST_ALPHA = 2.0**-24  # the least float16: divided by, colours under less would overflow


def is_hdr(start: bytes) -> bool:
    """Whether a file that begins so holds linear light."""
    return start.startswith((EXR_MAGIC, *RADIANCE_MAGICS))


def read_hdr(file: IO[bytes], max_pixels: int) -> np.ndarray:
    """float32 (H, W, C), linear light, straight alpha. Errors are predicates of the file."""
    file.seek(0)
    start = file.read(4)
    file.seek(0)
    return _read_exr(file, max_pixels) if start == EXR_MAGIC else _read_radiance(file, max_pixels)


def write_hdr(light: np.ndarray, kind: str) -> bytes:
    """The bytes of an "EXR" or "HDR" file of float16 or float32 (H, W, C), linear light.

    EXR keeps the type. HDR has three channels of 8 bits and an exponent that they share: alpha is
    refused but where it is 1, negative numbers become 0.
    """
    if kind == "EXR":
        return _write_exr(light)
    imagecodecs = extras.need("imagecodecs", extra="hdr", what="writing .hdr")
    if light.shape[2] in (2, 4):
        least = float(light[..., -1].min())
        if least < 1:
            raise ImageError(
                f"Radiance .hdr has no alpha, and this picture's goes down to {least:g}; use .exr"
            )
        light = light[..., :-1]
    rgb = np.broadcast_to(light, (*light.shape[:2], 3)).astype(np.float32).clip(0)
    return bytes(imagecodecs.rgbe_encode(np.ascontiguousarray(rgb), header=True))


def _read_exr(file: IO[bytes], max_pixels: int) -> np.ndarray:
    openexr = extras.need("OpenEXR", extra="hdr", what="reading .exr")
    data = file.read()
    (low_x, low_y), (high_x, high_y) = openexr.File(io.BytesIO(data), header_only=True).header()[
        "dataWindow"
    ]
    width, height = int(high_x) - int(low_x) + 1, int(high_y) - int(low_y) + 1
    check_size(width, height, max_pixels)
    channels = openexr.File(io.BytesIO(data), separate_channels=True).channels()
    names = next((names for names in reversed(_CHANNELS) if channels.keys() >= {*names}), None)
    if len(channels) == 1:  # heights, a mask, a depth: grey, whatever it is called
        names = (next(iter(channels)),)
    if names is None or "RY" in channels:
        found = ", ".join(sorted(channels)) or "none"
        raise ImageError(
            f"has the channels {found}; read are R, G, B, or Y alone, with A or without, or any one"
        )
    planes = [channels[name].pixels for name in names]
    if any(plane.shape != (height, width) for plane in planes):
        raise ImageError("has channels of a lower resolution, which are not read")
    light = np.stack(planes, axis=-1).astype(np.float32)
    if names[-1] == "A":
        light[..., :-1] /= np.maximum(light[..., -1:], np.float32(_LEAST_ALPHA))
    return light


def _write_exr(light: np.ndarray) -> bytes:
    openexr = extras.need("OpenEXR", extra="hdr", what="writing .exr")
    names = _CHANNELS[light.shape[2] - 1]
    if names[-1] == "A":  # EXR's colours are multiplied with it
        alpha = light[..., -1:].astype(np.float32)
        light = np.concatenate([light[..., :-1] * alpha, alpha], axis=-1).astype(light.dtype)
    planes: dict[str, Any] = {
        name: np.ascontiguousarray(light[..., i]) for i, name in enumerate(names)
    }
    header = {"compression": openexr.ZIP_COMPRESSION, "type": openexr.scanlineimage}
    buffer = io.BytesIO()
    openexr.File(header, planes).write(buffer)
    return buffer.getvalue()


def _read_radiance(file: IO[bytes], max_pixels: int) -> np.ndarray:
    imagecodecs = extras.need("imagecodecs", extra="hdr", what="reading .hdr")
    data = file.read()
    head, _, _ = data[:65536].partition(b"\n\n")
    if b"FORMAT=32-bit_rle_xyze" in head:
        raise ImageError("holds CIE XYZ colours, and only RGB is read")
    size = re.match(rb"([-+][XY]) (\d{1,9}) ([-+][XY]) (\d{1,9})\n", data[len(head) + 2 :])
    if size is None:
        raise ImageError("is truncated, or its header is damaged")
    if size[1] != b"-Y" or size[3] != b"+X":
        raise ImageError(f"is turned ({size[0].decode().strip()}), which is not read")
    check_size(int(size[4]), int(size[2]), max_pixels)
    return np.asarray(imagecodecs.rgbe_decode(data), np.float32)
