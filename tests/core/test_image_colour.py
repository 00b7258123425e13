"""Colours to sRGB: CMYK, YCbCr, CIELAB and ICC profiles."""

import io
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
from PIL import Image, ImageCms

from smalti.errors import ImageError
from smalti.image.jpeg_xl import jpeg_xl_header

from image_files import COLOURS, encoded, levels, picture, png, tiff


def test_other_colour_spaces():
    rgb = picture(3)
    source = Image.fromarray(rgb)
    buffer = io.BytesIO()
    source.convert("CMYK").save(buffer, "TIFF")  # K = 0, C = 255 - R
    assert np.array_equal(levels(buffer.getvalue()), rgb)
    buffer = io.BytesIO()
    source.convert("YCbCr").save(buffer, "TIFF")
    assert np.abs(levels(buffer.getvalue()) - rgb).max() <= 3
    lab = ImageCms.profileToProfile(
        source, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    buffer = io.BytesIO()
    lab.save(buffer, "TIFF")
    assert np.abs(levels(buffer.getvalue()) - rgb).mean() < 2


def test_cmyk_jpeg_is_stored_inverted():
    cmyk = np.zeros((16, 16, 4), np.uint8)
    cmyk[..., 0], cmyk[..., 3] = 255, 51  # cyan, a fifth black
    buffer = io.BytesIO()
    Image.frombytes("CMYK", (16, 16), cmyk.tobytes()).save(buffer, "JPEG", quality=95)
    assert b"Adobe" in buffer.getvalue()
    assert np.abs(levels(buffer.getvalue()) - [0, 204, 204]).max() <= 3


# --------------------------------------------------------------------------------------- ICC profiles

ADOBE_RGB = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
SRGB = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "AVIF", "TIFF"])
def test_wide_gamut_profile_becomes_srgb(kind):
    lossless = {"WEBP": {"lossless": True}}.get(kind, {})
    plain = levels(encoded(kind, **lossless)) / 255
    expected = srgb_encode(plain**2.19921875 @ np.array(ADOBE_RGB) @ np.linalg.inv(SRGB)) * 255
    array = levels(encoded(kind, icc_profile=rgb_profile(), **lossless))
    assert np.abs(array - expected).max() <= 3
    assert np.abs(array - plain * 255).max() > 30


def test_profile_leaves_alpha_alone_and_reduces_16_bits():
    profile = (b"iCCP", b"test\0\0" + zlib.compress(rgb_profile()))
    array = picture(4, np.uint16)
    converted = levels(png(array, 6, 16, profile), 255)  # 8 bits now
    reduced = ((array.astype(int) + 128) // 257).astype(np.uint8)
    assert np.array_equal(converted[..., 3], reduced[..., 3])
    assert np.array_equal(converted, levels(png(reduced, 6, 8, profile)))
    assert np.abs(converted[..., :3] - reduced[..., :3].astype(int)).max() > 30


def test_profile_of_16_bit_planes():
    array = picture(3, np.uint8).astype(np.uint16) * 257
    planes = np.ascontiguousarray(np.moveaxis(array, -1, 0))
    data = tiff(planes, photometric="rgb", planarconfig="separate", iccprofile=rgb_profile())
    assert np.array_equal(levels(data), levels(encoded("PNG", icc_profile=rgb_profile())))


def test_srgb_profile_changes_nothing():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert np.array_equal(levels(encoded("PNG", icc_profile=profile)), picture(3))
    array = picture(3, np.uint16)
    chunk = (b"iCCP", b"test\0\0" + zlib.compress(profile))
    assert np.array_equal(levels(png(array, 2, 16, chunk), 65535), array)


def test_grey_profiles():
    linear = icc_profile(b"mntr", b"GRAY", b"XYZ ", {b"kTRC": gamma(1)})
    for mode in ("L", "LA"):
        array = levels(encoded("PNG", mode, icc_profile=linear))
        expected = srgb_encode(picture(1) / 255) * 255
        assert np.abs(array[..., :1] - expected).max() <= 1
        assert np.array_equal(array[..., 1:], picture(COLOURS[mode])[..., 1:])
    # A grey picture with an RGB profile goes along that profile's grey axis.
    array = levels(encoded("PNG", "L", icc_profile=rgb_profile(SRGB, 1.0)))
    assert np.abs(array - srgb_encode(picture(1) / 255) * 255).max() <= 1
    # A profile of another kind says nothing about an RGB picture.
    assert np.array_equal(levels(encoded("PNG", icc_profile=linear)), picture(3))


def test_cmyk_profile():
    # ICC.1:2001-04, section 6.5.10 (lut8Type): two grid points an axis; only K makes it dark.
    corners = [(255 * (1 - i % 2), 128, 128) for i in range(16)]
    identity = bytes(range(256))
    lut = b"mft1" + bytes(4) + bytes([4, 3, 2, 0])
    lut += struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    lut += identity * 4 + bytes(v for corner in corners for v in corner) + identity * 3
    profile = icc_profile(b"prtr", b"CMYK", b"Lab ", {b"A2B0": lut})
    array = levels(encoded("TIFF", "CMYK", icc_profile=profile))
    lightness = 1 - picture(4)[..., 3] / 255  # L* / 100
    linear = np.where(lightness > 0.08, ((lightness + 0.16) / 1.16) ** 3, lightness / 9.033)
    assert np.abs(array - srgb_encode(linear)[..., None] * 255).max() <= 2
    naive = levels(encoded("TIFF", "CMYK"))
    assert np.array_equal(naive, levels(encoded("TIFF", "CMYK", icc_profile=rgb_profile())))


@pytest.mark.parametrize("length", [1, 100, 140, 300])
def test_broken_profile_is_ignored(length):
    assert np.array_equal(levels(encoded("PNG", icc_profile=rgb_profile()[:length])), picture(3))


def test_a_jpeg_within_jpeg_xl_is_that_jpeg_with_its_profile():
    jpeg = encoded("JPEG", icc_profile=rgb_profile())
    packed = imagecodecs.jpegxl_encode_jpeg(jpeg)
    assert packed != jpeg
    assert jpeg_xl_header(io.BytesIO(packed)).transfer == ""
    assert np.array_equal(levels(packed), levels(jpeg))


# ISO 18181-1 annex D, the lowest bit first: 8 x 8 RGB of 8 bits without extra channels.
JPEG_XL_HEADER = "100000100000001000"
JPEG_XL_COLOURS = {
    "01": "",  # an ICC profile
    "0000100110010011101": "",  # Display P3
    "000010100011101": "sRGB",
    "000010100010110": "linear",
    "000010101" + "1" * 24: "",  # a plain power
    "0010100011101": "sRGB",  # grey
    "1": "sRGB",
}


@pytest.mark.parametrize("bits", JPEG_XL_COLOURS)
def test_what_a_jpeg_xl_header_says_of_colours(bits):
    stream = int((JPEG_XL_HEADER + bits)[::-1], 2).to_bytes(16, "little")
    header = jpeg_xl_header(io.BytesIO(b"\xff\n" + stream))
    assert header == (8, 8, JPEG_XL_COLOURS[bits], False)
    if not header.transfer:
        with pytest.raises(ImageError, match="JPEG XL in another colour space than sRGB"):
            levels(b"\xff\n" + stream)


def icc_profile(device_class: bytes, space: bytes, pcs: bytes, tags: dict[bytes, bytes]) -> bytes:
    """An ICC version 2 profile (ICC.1:2001-04): header, tag table, tags."""
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(78),
        b"cprt": b"text" + bytes(4) + b"none\0",
        b"wtpt": xyz(0.9642, 1, 0.8249),
        **tags,
    }
    table, body = b"", b""
    start = 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        table += name + struct.pack(">II", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    header = bytearray(128)
    header[0:4] = struct.pack(">I", start + len(body))
    header[8:12] = b"\x02\x40\0\0"
    header[12:24] = device_class + space + pcs
    header[24:36] = struct.pack(">6H", 2020, 1, 1, 0, 0, 0)
    header[36:40] = b"acsp"
    header[68:80] = struct.pack(">3i", 0xF6D6, 0x10000, 0xD32D)  # D50
    return bytes(header) + struct.pack(">I", len(tags)) + table + body


def xyz(*values: float) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(v * 65536) for v in values))


def gamma(value: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(value * 256))


def rgb_profile(primaries=ADOBE_RGB, exponent=2.19921875) -> bytes:
    tags = {bytes([c]) + b"XYZ": xyz(*p) for c, p in zip(b"rgb", primaries, strict=True)}
    tags |= {bytes([c]) + b"TRC": gamma(exponent) for c in b"rgb"}
    return icc_profile(b"mntr", b"RGB ", b"XYZ ", tags)


def srgb_encode(linear: np.ndarray) -> np.ndarray:
    linear = linear.clip(0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
