"""DDS: what is written is read back, by Pillow too; what is no such file is a FormatError."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from smalti.bc7.decode import decode_image
from smalti.bc7.encode import encode_image
from smalti.errors import FormatError, OptionError
from smalti.textures import Texture, read_texture, write_texture
from smalti.textures.dds import read_dds, write_dds
from smalti.textures.texture import MAX_SIDE

from texture_files import OF_DDS, SHAPES, flipped_bits, random_texture

HEADERS = 148  # bytes before the blocks


def patched(data: bytes, offset: int, value: int) -> bytes:
    return data[:offset] + struct.pack("<I", value) + data[offset + 4 :]


def legacy(data: bytes, fourcc: bytes, caps2: int = 0) -> bytes:
    """The same file with a FourCC in place of the second header."""
    return patched(data[:84] + fourcc + data[88:128] + data[HEADERS:], 112, caps2)


@pytest.mark.parametrize(("format", "srgb"), OF_DDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_round_trip(shape, format, srgb):
    texture = random_texture(*shape, format, srgb)
    data = write_dds(texture)
    assert len(data) == HEADERS + texture.total_bytes
    assert read_dds(data) == texture
    assert read_dds(data + b"something after it") == texture


def test_every_field_of_the_headers():
    data = write_dds(random_texture(16, 16, 5, 2, 6))
    assert data[:4] == b"DDS "
    fields = struct.unpack("<31I", data[4:128])
    # Caps, height, width, pixel format, linear size, mip maps.
    assert fields[0:7] == (124, 0x1 | 0x2 | 0x4 | 0x1000 | 0x80000 | 0x20000, 16, 16, 256, 1, 5)
    assert fields[7:18] == (0,) * 11
    assert fields[18:20] == (32, 4)
    assert data[84:88] == b"DX10"
    assert fields[21:26] == (0,) * 5
    # Texture, mip maps, complex; all six faces of a cube.
    assert fields[26:31] == (0x1000 | 0x400000 | 0x8, 0x200 | 0xFC00, 0, 0, 0)
    assert struct.unpack("<5I", data[128:148]) == (99, 3, 4, 2, 0)  # two cubes


def test_surfaces_go_layer_by_layer_face_by_face_level_by_level():
    texture = random_texture(8, 8, 2, 2, 6)
    data = write_dds(texture)
    start = HEADERS + 6 * (64 + 16) + 3 * (64 + 16) + 64  # layer 1, face 3, level 1
    assert data[start : start + 16] == texture.surface(1, 1, 3)


@pytest.mark.parametrize("srgb", [True, False])
def test_pillow_shows_the_same_pixels(srgb):
    image = np.random.default_rng(4).integers(0, 256, (23, 30, 4), dtype=np.uint8)
    levels = tuple(
        encode_image(np.ascontiguousarray(image[:h, :w]), effort="fast")
        for h, w in ((23, 30), (11, 15), (5, 7))
    )
    data = write_dds(Texture("bc7", srgb, 23, 30, levels))
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.size == (30, 23)
        np.testing.assert_array_equal(np.asarray(picture), decode_image(levels[0], 23, 30))


@pytest.mark.parametrize(
    ("fourcc", "format"), [(b"DXT1", "bc1"), (b"DXT5", "bc3"), (b"ATI2", "bc5")]
)
def test_files_of_before_direct3d_10(fourcc, format):
    texture = random_texture(12, 12, 3, 1, 6, format, srgb=False)
    data = legacy(write_dds(texture), fourcc, 0x200 | 0xFC00)
    assert read_dds(data) == texture
    with pytest.raises(FormatError, match="5 of a cube's 6 faces"):
        read_dds(patched(data, 112, 0x200 | 0xF800))
    with pytest.raises(FormatError, match="volume"):
        read_dds(patched(data, 112, 0x200000))


@pytest.mark.parametrize(("pillow", "format"), [("DXT1", "bc1"), ("DXT5", "bc3"), ("BC5", "bc5")])
def test_what_pillow_writes(pillow, format):
    file = io.BytesIO()
    picture = (
        Image.linear_gradient("L").resize((20, 12)).convert("RGB" if format == "bc5" else "RGBA")
    )
    picture.save(file, "DDS", pixel_format=pillow)
    texture = read_texture(file.getvalue())
    assert (texture.format, texture.height, texture.width) == (format, 12, 20)


def test_every_truncation_is_a_format_error():
    data = write_dds(random_texture(8, 8, 2, 1, 6))
    for length in range(len(data)):
        with pytest.raises(FormatError, match=r"truncated|no DDS file"):
            read_dds(data[:length])


def test_a_flipped_bit_is_a_format_error_or_another_texture():
    data = write_dds(random_texture(8, 8, 2, 2, 6))
    read = 0
    for damaged in flipped_bits(data, HEADERS):
        try:
            assert read_dds(damaged).total_bytes <= len(data)
            read += 1
        except FormatError:
            pass
    assert 0 < read < 8 * HEADERS


def test_other_files_are_named():
    data = write_dds(random_texture(4, 4, 1, 1, 1))
    with pytest.raises(FormatError, match="no DDS file"):
        read_dds(b"\x89PNG" + data[4:])
    with pytest.raises(FormatError, match=r"no \.dds or \.ktx2 file"):
        read_texture(b"\x89PNG" + data[4:])
    with pytest.raises(FormatError, match=r"BC2 \(FourCC 'DXT3'\); known: bc1, bc3"):
        read_dds(legacy(data, b"DXT3"))
    with pytest.raises(FormatError, match=r"BC4_SNORM \(DXGI format 81\); known: bc1"):
        read_dds(patched(data, 128, 81))
    with pytest.raises(FormatError, match="uncompressed"):
        read_dds(patched(data, 80, 0x41))
    with pytest.raises(FormatError, match="dimension is 4"):
        read_dds(patched(data, 132, 4))
    with pytest.raises(FormatError, match="damaged: sizes 123"):
        read_dds(patched(data, 4, 123))


def test_typeless_formats_are_srgb_where_they_can_be():
    for format, dxgi in (("bc7", 97), ("bc1", 70), ("bc4", 79)):
        texture = random_texture(4, 4, 1, 1, 1, format, srgb=format != "bc4")
        assert read_dds(patched(write_dds(texture), 128, dxgi)) == texture


@pytest.mark.parametrize("offset", [12, 16])  # height, width
@pytest.mark.parametrize("side", [0, MAX_SIDE + 1, 2**32 - 1])
def test_impossible_sizes_are_refused(offset, side):
    with pytest.raises(FormatError, match="sides are 1 to 16384"):
        read_dds(patched(write_dds(random_texture(4, 4, 1, 1, 1)), offset, side))


def test_a_shape_larger_than_the_file_is_a_truncation():
    data = write_dds(random_texture(4, 4, 1, 1, 1))
    with pytest.raises(FormatError, match="16 of 65536 bytes of its 1 x 1 surfaces, 4 x 16384"):
        read_dds(patched(data, 12, MAX_SIDE))
    with pytest.raises(FormatError, match="16 of 32768 bytes"):
        read_dds(patched(data, 140, 2048))
    with pytest.raises(FormatError, match="2049 layers"):
        read_dds(patched(data, 140, 2049))


def test_writing_knows_two_suffixes():
    texture = random_texture(4, 4, 1, 1, 1)
    with pytest.raises(OptionError, match=r"\.dds or \.ktx2, not '\.png'"):
        write_texture(texture, ".png")
    with pytest.raises(OptionError, match=r"zstd 3: \.dds files are not compressed"):
        write_texture(texture, ".dds", zstd=3)
