"""Files to arrays: every format, sample layout, palette, transparency and orientation."""

import io
import struct
import sys

import imagecodecs
import numpy as np
import pytest
from PIL import Image, ImageOps

from smalti.errors import ImageError, MissingExtraError
from smalti.files import PICTURE_SUFFIXES
from smalti.image import load, to_float
from smalti.image.transfer import linear_to_srgb

from image_files import COLOURS, HEIGHT, WIDTH, encoded, levels, picture, png, read, tiff


@pytest.mark.parametrize("suffix", PICTURE_SUFFIXES)
def test_every_suffix_is_read(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    if suffix == ".jxl":
        path.write_bytes(imagecodecs.jpegxl_encode(np.full((HEIGHT, WIDTH, 3), (0, 51, 255), "u1")))
    else:
        Image.new("RGB", (WIDTH, HEIGHT), (0, 51, 255)).save(path)  # Pillow goes by the suffix
    image = load(path)
    assert image.shape == (HEIGHT, WIDTH, 3)
    assert image.dtype == np.uint8
    assert np.abs(image.astype(int) - [0, 51, 255]).max() < 5


# -------------------------------------------------------------------------------- kinds of pictures


LAYOUTS = {
    "PNG": ("L", "LA", "RGB", "RGBA"),
    "TIFF": ("L", "LA", "RGB", "RGBA"),
    "JXL": ("L", "LA", "RGB", "RGBA"),
    "WEBP": ("RGB", "RGBA"),
    "BMP": ("L", "RGB"),
}


@pytest.mark.parametrize(("kind", "mode"), [(k, m) for k, modes in LAYOUTS.items() for m in modes])
def test_8_bits(kind, mode):
    options = {"WEBP": {"lossless": True, "exact": True}, "JXL": {"lossless": True}}.get(kind, {})
    assert np.array_equal(levels(encoded(kind, mode, **options)), picture(COLOURS[mode]))


@pytest.mark.parametrize(("kind", "colour_type"), [(1, 0), (2, 4), (3, 2), (4, 6)])
def test_png_of_16_bits(kind, colour_type):
    array = picture(kind, np.uint16)
    assert np.array_equal(levels(png(array, colour_type, 16), 65535), array)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_tiff_of_16_bits(channels, order, compression, planar):
    array = picture(channels, np.uint16)
    stored = array[..., 0] if channels == 1 else array
    data = tiff(
        np.ascontiguousarray(np.moveaxis(stored, -1, 0))
        if planar == "separate" and channels > 1
        else stored,
        byteorder=order,
        compression=compression,
        photometric="rgb" if channels > 2 else "minisblack",
        planarconfig=planar if channels > 1 else None,
        extrasamples=["unassalpha"] if channels in (2, 4) else None,
    )
    assert np.array_equal(levels(data, 65535), array)


def test_tiff_variants_of_16_bits():
    grey, rgba = picture(1, np.uint16)[..., 0], picture(4, np.uint16)
    white_is_zero = tiff(65535 - grey, photometric="miniswhite")
    assert np.array_equal(levels(white_is_zero, 65535)[..., 0], grey)
    negative = picture(2, np.uint16)
    negative[..., 0] = 65535 - negative[..., 0]
    white_is_zero = tiff(negative, photometric="miniswhite", extrasamples=["unassalpha"])
    assert np.array_equal(levels(white_is_zero, 65535), picture(2, np.uint16))
    white_is_zero = tiff(np.float32(0.25) * np.eye(4, dtype=np.float32), photometric="miniswhite")
    assert np.array_equal(read(white_is_zero)[..., 0], 1 - 0.25 * np.eye(4))
    padded = tiff(rgba, photometric="rgb", extrasamples=["unspecified"])
    assert np.array_equal(levels(padded, 65535), rgba[..., :3])
    premultiplied = rgba.copy()
    premultiplied[..., :3] = (rgba[..., :3] * (rgba[..., 3:] / 65535)).round()
    for extra in ({}, {"compression": "zlib"}, {"compression": "zlib", "predictor": True}):
        data = tiff(premultiplied, photometric="rgb", extrasamples=["assocalpha"], **extra)
        visible = rgba[..., 3] > 6000
        difference = levels(data, 65535) - rgba
        assert np.abs(difference[visible]).max() <= 6
        assert np.array_equal(levels(data, 65535)[..., 3], rgba[..., 3])


def test_lzw_tiff_of_16_bits():
    # Cleared before its table grows, LZW is a row of 9-bit codes (TIFF 6.0, section 13).
    array = picture(3, np.uint16, 4, 5)
    codes = []
    for i, value in enumerate(array.astype("<u2").tobytes()):
        codes += ([256] if i % 200 == 0 else []) + [value]
    data = tiff_by_hand(5, 4, 3, 16, 5, packed_bits([*codes, 257], 9))
    assert np.array_equal(levels(data, 65535), array)


def test_tiff_of_12_bits():
    values = [0, 1, 2048, 4095]
    data = tiff_by_hand(4, 1, 1, 12, 1, packed_bits(values, 12))
    assert np.abs(levels(data, 65535)[0, :, 0] / 65535 * 4095 - values).max() < 0.05


def tiff_by_hand(width, height, channels, bits, compression, strip) -> bytes:
    """One strip under a little-endian directory (TIFF 6.0, section 2)."""
    photometric = 2 if channels == 3 else 1
    tags = {256: width, 257: height, 258: bits, 259: compression, 262: photometric, 273: 0,
            277: channels, 278: height, 279: len(strip)}  # fmt: skip
    end = 8 + 2 + 12 * len(tags) + 4
    tags[273] = end + 6
    entries = b"".join(
        struct.pack("<HHII", tag, 3, 3, end)
        if tag == 258 and channels == 3
        else struct.pack("<HHII", tag, 4, 1, value)
        for tag, value in tags.items()
    )
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)
    return head + struct.pack("<3H", bits, bits, bits) + strip


def packed_bits(values, width: int) -> bytes:
    bits = "".join(f"{value:0{width}b}" for value in values)
    length = -(-len(bits) // 8)
    return int(bits.ljust(8 * length, "0"), 2).to_bytes(length, "big")


def test_float_and_wide_integer_tiff():
    array = picture(3).astype(np.float32) / 255
    assert np.array_equal(read(tiff(array, photometric="rgb")), array)
    assert np.array_equal(
        read(tiff(array[..., 0], photometric="minisblack"))[..., 0], array[..., 0]
    )
    half = tiff(array.astype(np.float16), photometric="rgb")
    assert np.abs(read(half) - array).max() < 1e-3
    wide = picture(1, np.uint16)[..., 0].astype(np.int32)
    assert np.array_equal(levels(tiff(wide), 65535)[..., 0], wide)
    with pytest.raises(ImageError, match=r"float32 samples from 0 to 3.*\[0, 1\]; scale them"):
        read(tiff(array * 3, photometric="rgb"))
    with pytest.raises(ImageError, match=r"samples from -0.5"):
        read(tiff(array[..., 0] - 0.5))
    with pytest.raises(ImageError, match="from nan"):
        read(tiff(np.full((4, 4), np.nan, np.float32)))
    with pytest.raises(ImageError, match="int32 samples from 0 to 131070"):
        read(tiff(wide * 2))


def test_tiff_layouts_that_are_not_read():
    with pytest.raises(ImageError, match=r"a layout that cannot be read \(SEPARATED, "):
        read(tiff(np.zeros((4, 6, 5), np.uint16), photometric="separated"))


def test_bits_below_8():
    packed = np.array([[0b00011011], [0b11100100]], np.uint8)
    assert levels(png(packed, 0, 2))[..., 0].tolist() == [[0, 85, 170, 255], [255, 170, 85, 0]]
    assert levels(png(packed, 0, 1))[0, :, 0].tolist() == [0, 0, 0, 255, 255, 0, 255, 255]
    assert levels(png(packed, 0, 4))[..., 0].tolist() == [[17, 187], [238, 68]]
    palette = (b"PLTE", bytes(range(12)))
    assert levels(png(packed, 3, 2, palette))[0].tolist() == [
        [0, 1, 2],
        [3, 4, 5],
        [6, 7, 8],
        [9, 10, 11],
    ]


def test_transparency_chunks():
    packed = np.array([[0b00011011]], np.uint8)
    palette = (b"PLTE", bytes(range(12)))
    for alpha, expected in ((b"\0", [0, 255, 255, 255]), (b"\x01\x80\xff", [1, 128, 255, 255])):
        array = levels(png(packed, 3, 2, palette, (b"tRNS", alpha)))
        assert array.shape == (1, 4, 4)
        assert array[0, :, 3].tolist() == expected
        assert array[0, 3, :3].tolist() == [9, 10, 11]

    def key(*values):
        return (b"tRNS", struct.pack(f">{len(values)}H", *values))

    # Grey of 1, 2, 4, 8 and 16 bits: the key is a sample as stored.
    assert levels(png(packed, 0, 1, key(1)))[0, :, 1].tolist() == [255, 255, 255, 0, 0, 255, 0, 0]
    assert levels(png(packed, 0, 2, key(2)))[0].tolist() == [
        [0, 255],
        [85, 255],
        [170, 0],
        [255, 255],
    ]
    assert levels(png(packed, 0, 4, key(11)))[0].tolist() == [[17, 255], [187, 0]]
    assert levels(png(packed, 0, 8, key(27)))[0].tolist() == [[27, 0]]
    deep = np.array([[[300], [301]]], np.uint16)
    assert levels(png(deep, 0, 16, key(301)), 65535)[0].tolist() == [[300, 65535], [301, 0]]
    # RGB of 8 and 16 bits; at 16 the lower byte decides too.
    rgb = np.array([[[1, 2, 3], [1, 2, 4]]], np.uint8)
    assert levels(png(rgb, 2, 8, key(1, 2, 4)))[0].tolist() == [[1, 2, 3, 255], [1, 2, 4, 0]]
    deep = rgb.astype(np.uint16) + 512
    array = levels(png(deep, 2, 16, key(513, 514, 515)), 65535)
    assert array[0, :, 3].tolist() == [0, 65535]


def test_palette_modes():
    source = Image.fromarray(picture(3)).quantize(32)
    colours = np.array(source.convert("RGB"))
    for kind in ("PNG", "GIF", "TIFF", "BMP"):
        buffer = io.BytesIO()
        source.save(buffer, kind)
        assert np.array_equal(levels(buffer.getvalue()), colours)
    for kind in ("PNG", "GIF"):
        buffer = io.BytesIO()
        source.save(buffer, kind, transparency=3)
        array = levels(buffer.getvalue())
        assert np.array_equal(array[..., 3] == 0, np.array(source) == 3)
        assert np.array_equal(array[..., :3][array[..., 3] > 0], colours[np.array(source) != 3])


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "AVIF", "TIFF"])
def test_first_frame(kind):
    frames = [Image.new("RGB", (20, 10), colour) for colour in ("red", "blue", "lime")]
    buffer = io.BytesIO()
    frames[0].save(buffer, kind, save_all=True, append_images=frames[1:], duration=100)
    assert np.abs(levels(buffer.getvalue())[..., :3] - [255, 0, 0]).max() <= 3


def test_phone_jpeg_of_several_pictures():
    frames = [Image.fromarray(picture(3)), Image.new("RGB", (20, 10), "blue")]
    buffer = io.BytesIO()
    frames[0].save(buffer, "MPO", save_all=True, append_images=frames[1:])
    assert levels(buffer.getvalue()).shape == (HEIGHT, WIDTH, 3)


# -------------------------------------------------------------------------------------- orientation


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF", "TIFF deflate"])
def test_exif_orientation(kind, orientation):
    kind, *deflate = kind.split()
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(kind, exif=exif, **({"compression": "tiff_adobe_deflate"} if deflate else {}))
    with Image.open(io.BytesIO(data)) as stored:
        upright = np.array(ImageOps.exif_transpose(stored).convert("RGB"))
    array = levels(data)
    assert array.shape[:2] == ((WIDTH, HEIGHT) if orientation > 4 else (HEIGHT, WIDTH))
    assert np.array_equal(array, upright)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_of_16_bits(orientation):
    array = picture(3, np.uint16)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray((array >> 8).astype(np.uint8))
    stored.info["exif"] = exif.tobytes()
    upright = np.array(ImageOps.exif_transpose(stored))
    by_hand = png(array, 2, 16, (b"eXIf", exif.tobytes()[6:]))
    tag = [(274, "H", 1, orientation, True)]
    planes = np.ascontiguousarray(np.moveaxis(array, -1, 0))
    for data in (
        by_hand,
        tiff(array, photometric="rgb", extratags=tag),
        tiff(array, photometric="rgb", extratags=tag, compression="zlib"),
        tiff(planes, photometric="rgb", planarconfig="separate", extratags=tag),
    ):
        loaded = levels(data, 65535)
        assert np.array_equal(loaded >> 8, upright)
        assert np.array_equal(np.sort(loaded.ravel()), np.sort(array.ravel()))


def test_damaged_exif_costs_no_pixel():
    exif = Image.Exif()
    exif[0x0112] = 6
    junk = b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + bytes(range(40))
    assert np.array_equal(levels(encoded("PNG", exif=junk)), picture(3))


# ------------------------------------------------------------------------------------------ JPEG XL


def test_exif_orientation_of_jpeg_xl_is_informative_only():
    exif = Image.Exif()
    exif[0x0112] = 6
    codestream = encoded("JXL", lossless=True, usecontainer=False)
    boxes = (
        (b"JXL ", b"\r\n\x87\n"),
        (b"ftyp", b"jxl \0\0\0\0jxl "),
        (b"Exif", bytes(4) + exif.tobytes()[6:]),
        (b"jxlc", codestream),
    )
    data = b"".join(struct.pack(">I", 8 + len(d)) + kind + d for kind, d in boxes)
    assert np.array_equal(levels(data), picture(3))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_jpeg_xl_of_more_than_8_bits_is_linear_light(channels, dtype):
    """imagecodecs writes it so, and says so in the file; alpha has no transfer function."""
    stored = picture(channels, np.uint16)
    stored = stored if dtype == np.uint16 else (stored / 65535).astype(np.float32)
    array = read(imagecodecs.jpegxl_encode(stored.squeeze(), lossless=True))
    assert array.dtype == dtype
    expected = to_float(stored)
    colours = channels - (channels in (2, 4))
    expected[..., :colours] = linear_to_srgb(expected[..., :colours])
    assert np.abs(to_float(array) - expected).max() < 1e-5
    if colours < channels:
        assert np.array_equal(array[..., -1], stored[..., -1])


def test_a_missing_reader_is_one_sentence(monkeypatch):
    data = encoded("JXL")
    monkeypatch.setitem(sys.modules, "imagecodecs", None)  # as if it were not installed
    with pytest.raises(MissingExtraError) as caught:
        read(data)
    assert str(caught.value) == (
        "JPEG XL needs imagecodecs, which is not installed: pip install 'smalti[jxl]'"
    )
