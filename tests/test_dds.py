"""DDS: what is written is read back, by Pillow too; what is no BC7 DDS is a FormatError."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from smalti.bc7.dds import MAX_SIDE, read_dds, write_dds
from smalti.bc7.decode import decode_image
from smalti.bc7.encode import encode_image
from smalti.errors import FormatError, OptionError

HEADERS = 148  # bytes before the blocks


def some_blocks(count: int) -> bytes:
    return np.random.default_rng(2).bytes(16 * count)


def patched(data: bytes, offset: int, value: int) -> bytes:
    return data[:offset] + struct.pack("<I", value) + data[offset + 4 :]


@pytest.mark.parametrize("srgb", [True, False])
@pytest.mark.parametrize(("height", "width", "count"), [(1, 1, 1), (5, 7, 4), (16, 12, 12)])
def test_round_trip(height, width, count, srgb):
    blocks = some_blocks(count)
    data = write_dds(blocks, height, width, srgb=srgb)
    assert len(data) == HEADERS + len(blocks)
    assert read_dds(data) == (height, width, srgb, blocks)


@pytest.mark.parametrize("srgb", [True, False])
def test_pillow_shows_the_same_pixels(srgb):
    rng = np.random.default_rng(4)
    image = rng.integers(0, 256, (23, 30, 4), dtype=np.uint8)
    blocks = encode_image(image, effort="fast")
    with Image.open(io.BytesIO(write_dds(blocks, 23, 30, srgb=srgb))) as picture:
        assert picture.size == (30, 23)
        np.testing.assert_array_equal(np.asarray(picture), decode_image(blocks, 23, 30))


def test_further_mips_and_surfaces_are_left_out():
    blocks = some_blocks(4)
    data = patched(write_dds(blocks, 8, 8), 28, 4)  # mip maps
    data = patched(data, 140, 6)  # array size
    assert read_dds(data + some_blocks(7)).blocks == blocks


def test_every_truncation_is_a_format_error():
    data = write_dds(some_blocks(2), 4, 8)
    for length in range(len(data)):
        with pytest.raises(FormatError, match=r"truncated|no DDS file"):
            read_dds(data[:length])


def test_other_files_are_named():
    data = write_dds(some_blocks(1), 4, 4)
    with pytest.raises(FormatError, match="no DDS file"):
        read_dds(b"\x89PNG" + data[4:])
    with pytest.raises(FormatError, match=r"BC3 \('DXT5'\), not BC7"):
        read_dds(data[:84] + b"DXT5" + data[88:])
    with pytest.raises(FormatError, match=r"BC6H_UF16 \(DXGI format 95\), not BC7"):
        read_dds(patched(data, 128, 95))
    with pytest.raises(FormatError, match="uncompressed"):
        read_dds(patched(data, 80, 0x41))
    with pytest.raises(FormatError, match="dimension is 4"):
        read_dds(patched(data, 132, 4))
    with pytest.raises(FormatError, match="damaged: sizes 123"):
        read_dds(patched(data, 4, 123))


@pytest.mark.parametrize("offset", [12, 16])  # height, width
@pytest.mark.parametrize("side", [0, MAX_SIDE + 1, 2**32 - 1])
def test_impossible_sizes_are_refused(offset, side):
    with pytest.raises(FormatError, match="sides are 1 to 16384"):
        read_dds(patched(write_dds(some_blocks(1), 4, 4), offset, side))


def test_a_size_larger_than_the_file_is_a_truncation():
    data = patched(write_dds(some_blocks(1), 4, 4), 12, MAX_SIDE)
    with pytest.raises(FormatError, match="16 of 65536 bytes"):
        read_dds(data)


def test_writing_checks_its_arguments():
    with pytest.raises(FormatError, match="take 16 bytes, here are 15"):
        write_dds(bytes(15), 4, 4)
    with pytest.raises(OptionError, match="0 x 4"):
        write_dds(b"", 4, 0)
