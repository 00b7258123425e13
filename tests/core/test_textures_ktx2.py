"""KTX 2.0: every byte of a file against the specification, and damage of every kind."""

import struct
import tracemalloc
import zlib

import pytest
import zstandard

import smalti
from smalti.errors import FormatError, OptionError
from smalti.textures import Texture, read_texture, write_texture
from smalti.textures.ktx2 import read_ktx2, write_ktx2

from texture_files import KINDS, SHAPES, flipped_bits, random_texture

VK_FORMATS = {
    **{("astc-4x4", srgb): 157 + srgb for srgb in (False, True)},
    **{("astc-5x5", srgb): 161 + srgb for srgb in (False, True)},
    **{("astc-6x6", srgb): 165 + srgb for srgb in (False, True)},
    **{("astc-8x8", srgb): 171 + srgb for srgb in (False, True)},
    ("bc1", False): 133,
    ("bc1", True): 134,
    ("bc3", False): 137,
    ("bc3", True): 138,
    ("bc4", False): 139,
    ("bc5", False): 141,
    ("bc6h", False): 143,
    ("bc6h-signed", False): 144,
    ("bc7", False): 145,
    ("bc7", True): 146,
    ("rgba16f", False): 97,
    ("rgba32f", False): 109,
}
MODELS = {
    **dict.fromkeys(("astc-4x4", "astc-5x5", "astc-6x6", "astc-8x8"), 162),
    "bc1": 128,
    "bc3": 130,
    "bc4": 131,
    "bc5": 132,
    "bc6h": 133,
    "bc6h-signed": 133,
    "bc7": 134,
    "rgba16f": 1,
    "rgba32f": 1,
}
TEXEL_BYTES = {"rgba16f": 8, "rgba32f": 16}  # of formats without blocks
BLOCK_BYTES = {"bc1": 8, "bc4": 8, "rgba16f": 8}  # of others 16
FLOATS = {  # what counts as least and greatest, as floats' bits
    "bc6h": (0, 0x3F800000),
    **dict.fromkeys(["bc6h-signed", "rgba16f", "rgba32f"], (0xBF800000, 0x3F800000)),
}
# Channel and qualifiers, first bit, bits less one.
ASTC_SIDES = {"astc-4x4": 4, "astc-5x5": 5, "astc-6x6": 6, "astc-8x8": 8}
SAMPLES = {
    **{(format, srgb): [(0, 0, 127)] for format in ASTC_SIDES for srgb in (False, True)},
    ("bc1", False): [(1, 0, 63)],
    ("bc1", True): [(1, 0, 63)],
    ("bc3", False): [(15, 0, 63), (0, 64, 63)],
    ("bc3", True): [(15 | 0x10, 0, 63), (0, 64, 63)],
    ("bc4", False): [(0, 0, 63)],
    ("bc5", False): [(0, 0, 63), (1, 64, 63)],
    ("bc6h", False): [(0x80, 0, 127)],
    ("bc6h-signed", False): [(0xC0, 0, 127)],
    ("rgba16f", False): [(0xC0 | c, 16 * i, 15) for i, c in enumerate((0, 1, 2, 15))],
    ("rgba32f", False): [(0xC0 | c, 32 * i, 31) for i, c in enumerate((0, 1, 2, 15))],
    ("bc7", False): [(0, 0, 127)],
    ("bc7", True): [(0, 0, 127)],
}


def header_of(data: bytes) -> tuple[int, ...]:
    return struct.unpack_from("<9I4I2Q", data, 12)


def level_index(data: bytes) -> list[tuple[int, int, int]]:
    count = header_of(data)[7]
    return [struct.unpack_from("<3Q", data, 80 + 24 * level) for level in range(count)]


def patched(data: bytes, offset: int, value: int, kind: str = "<I") -> bytes:
    packed = struct.pack(kind, value)
    return data[:offset] + packed + data[offset + len(packed) :]


@pytest.mark.parametrize("zstd", [0, 1, 19])
@pytest.mark.parametrize(("format", "srgb"), KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_round_trip(shape, format, srgb, zstd):
    texture = random_texture(*shape, format, srgb)
    assert read_texture(write_texture(texture, ".ktx2", zstd=zstd)) == texture


@pytest.mark.parametrize("zstd", [0, 5])
@pytest.mark.parametrize(("format", "srgb"), KINDS)
def test_header_and_index(format, srgb, zstd):
    texture = random_texture(13, 13, 4, 2, 6, format, srgb)
    data = write_ktx2(texture, zstd=zstd)
    assert data[:12] == bytes.fromhex("AB 4B 54 58 20 32 30 BB 0D 0A 1A 0A")
    header = header_of(data)
    scheme = 2 if zstd else 0
    size = TEXEL_BYTES.get(format, 4) // 4  # of what a machine of the other byte order swaps
    assert header[:9] == (VK_FORMATS[format, srgb], size, 13, 13, 0, 2, 6, 4, scheme)
    descriptor_offset, descriptor_length, pairs_offset, pairs_length = header[9:13]
    assert descriptor_offset == 80 + 24 * 4
    assert pairs_offset == descriptor_offset + descriptor_length
    assert header[13:] == (0, 0)  # no global data
    # The smallest level first, each on a multiple of its block size; packed where compressed.
    end = pairs_offset + pairs_length
    alignment = 1 if zstd else BLOCK_BYTES.get(format, 16)
    for level, (offset, length, inflated) in reversed(list(enumerate(level_index(data)))):
        assert offset == -(-end // alignment) * alignment
        assert not any(data[end:offset])
        assert inflated == len(texture.levels[level])
        if not zstd:
            assert data[offset : offset + length] == texture.levels[level]
        end = offset + length
    assert end == len(data)


def test_what_is_no_array_has_layer_count_0():
    assert header_of(write_ktx2(random_texture(8, 8, 1, 1, 6)))[5] == 0
    # An array of one layer is read as none.
    texture = random_texture(8, 8, 2, 1, 1)
    assert read_ktx2(patched(write_ktx2(texture), 32, 1)) == texture


@pytest.mark.parametrize(("format", "srgb"), KINDS)
def test_every_byte_of_the_data_format_descriptor(format, srgb):
    data = write_ktx2(random_texture(8, 8, 1, 1, 1, format, srgb))
    offset, length = header_of(data)[9:11]
    samples, side = SAMPLES[format, srgb], ASTC_SIDES.get(format, 4)
    block = b"".join(
        [
            bytes([0, 0, 0, 0]),  # vendor Khronos, type basic format
            struct.pack("<HH", 2, 24 + 16 * len(samples)),  # version 1.3 and later, block size
            bytes([MODELS[format], 1, 2 if srgb else 1, 0]),  # BT.709, sRGB or linear, straight
            bytes([0, 0, 0, 0] if format in TEXEL_BYTES else [side - 1, side - 1, 0, 0]),
            bytes([BLOCK_BYTES.get(format, 16), 0, 0, 0, 0, 0, 0, 0]),
            *(
                struct.pack("<HBB4xII", first, bits, channel, *FLOATS.get(format, (0, 0xFFFFFFFF)))
                for channel, first, bits in samples
            ),
        ]
    )
    assert data[offset : offset + length] == struct.pack("<I", 4 + len(block)) + block


def test_key_value_data():
    data = write_ktx2(random_texture(8, 8, 1, 1, 1))
    start, length = header_of(data)[11:13]
    pairs, end = {}, start + length
    while start < end:
        (size,) = struct.unpack_from("<I", data, start)
        key, _, value = data[start + 4 : start + 4 + size].partition(b"\0")
        pairs[key.decode()] = value
        padded = -(-size // 4) * 4
        assert not any(data[start + 4 + size : start + 4 + padded])
        start += 4 + padded
    assert start == end
    assert list(pairs) == sorted(pairs)
    writer = f"smalti {smalti.__version__}\0".encode()
    assert pairs == {"KTXorientation": b"rd\0", "KTXwriter": writer}


def test_a_smooth_texture_gets_smaller_and_zlib_is_read():
    texture = Texture("bc7", True, 64, 64, (bytes(range(16)) * 256,))
    plain, small = write_ktx2(texture), write_ktx2(texture, zstd=18)
    assert len(small) < len(plain) - 4000
    ((offset, length, _),) = level_index(plain)
    deflated = zlib.compress(plain[offset:], 9)
    data = patched(patched(plain[:offset] + deflated, 44, 3), 88, len(deflated), "<Q")
    assert length == 4096
    assert read_ktx2(data) == texture


@pytest.mark.parametrize("zstd", [0, 3])
def test_every_truncation_is_a_format_error(zstd):
    data = write_ktx2(random_texture(8, 8, 2, 1, 6), zstd=zstd)
    for length in range(len(data)):
        with pytest.raises(FormatError, match=r"truncated|no KTX 2.0 file"):
            read_ktx2(data[:length])


@pytest.mark.parametrize("zstd", [0, 3])
def test_a_flipped_bit_is_a_format_error_or_another_texture(zstd):
    texture = random_texture(8, 8, 2, 2, 6)
    data = write_ktx2(texture, zstd=zstd)
    first_level = min(offset for offset, _, _ in level_index(data))
    read = 0
    for damaged in flipped_bits(data, first_level + 40):
        try:
            assert read_ktx2(damaged).total_bytes <= 2 * len(data)
            read += 1
        except FormatError:
            pass
    assert 0 < read < 8 * first_level


def test_damage_in_a_compressed_level_is_found():
    data = write_ktx2(random_texture(16, 16, 1, 1, 1), zstd=3)
    with pytest.raises(FormatError, match="level 0 of the KTX file cannot be decompressed"):
        read_ktx2(data[:-10] + bytes([data[-10] ^ 1]) + data[-9:])


def test_other_files_are_named():
    data = write_ktx2(random_texture(8, 8, 2, 1, 1))
    with pytest.raises(FormatError, match=r"no KTX 2\.0 file"):
        read_ktx2(data[:5] + b"11" + data[7:])
    with pytest.raises(FormatError, match=r"R8G8B8A8_SRGB \(VkFormat 43\); known: bc1, bc3"):
        read_ktx2(patched(data, 12, 43))
    with pytest.raises(FormatError, match=r"universal format .* \(VkFormat 0\)"):
        read_ktx2(patched(data, 12, 0))
    with pytest.raises(FormatError, match="volume 4 deep"):
        read_ktx2(patched(data, 28, 4))
    with pytest.raises(FormatError, match="2 faces"):
        read_ktx2(patched(data, 36, 2))
    with pytest.raises(FormatError, match=r"5 mip levels; a texture of 8 x 8 has 1 to 4"):
        read_ktx2(patched(data, 40, 5))
    with pytest.raises(FormatError, match="0 mip levels"):
        read_ktx2(patched(data, 40, 0))
    with pytest.raises(FormatError, match="scheme 1; known: 0, 2"):
        read_ktx2(patched(data, 44, 1))
    with pytest.raises(FormatError, match="not square"):
        read_ktx2(patched(patched(data, 36, 6), 20, 9))
    with pytest.raises(FormatError, match="level 0 takes 64 bytes, the KTX file says 65"):
        read_ktx2(patched(data, 96, 65, "<Q"))


def test_no_more_memory_than_the_file_has_bytes_for():
    """A small file that claims much, with a frame that says the same, and with one that has it."""
    side, expected = 16384, 16384 * 16384
    texture = random_texture(8, 8, 1, 1, 1)
    data = write_ktx2(texture, zstd=1)
    ((offset, _, _),) = level_index(data)
    head = patched(patched(data[:offset], 20, side), 24, side)
    head = patched(head, 96, expected, "<Q")

    def with_frame(frame: bytes) -> bytes:
        return patched(head, 88, len(frame), "<Q") + frame

    # Magic, single segment with 4 bytes of content size, then one raw block of 16 bytes, the last.
    claims = b"\x28\xb5\x2f\xfd\xa0" + struct.pack("<I", expected) + b"\x81\0\0" + bytes(16)
    tracemalloc.start()
    with pytest.raises(FormatError, match=r"level 0"):
        read_ktx2(with_frame(claims))
    assert tracemalloc.get_traced_memory()[1] < 4e6
    tracemalloc.stop()
    bomb = zstandard.ZstdCompressor(level=1).compress(bytes(1 << 22))
    with pytest.raises(FormatError, match="268435456 bytes, it decompresses to 4194304"):
        read_ktx2(with_frame(bomb))
    with pytest.raises(
        FormatError, match="268,435,456 bytes decompressed, over the limit of 1,000"
    ):
        read_ktx2(with_frame(bomb), max_bytes=1000)
    small = patched(patched(patched(with_frame(bomb), 20, 8), 24, 8), 96, 64, "<Q")
    with pytest.raises(
        FormatError, match="level 0 takes 64 bytes, it decompresses to more than 64"
    ):
        read_ktx2(small)


@pytest.mark.parametrize("zstd", [-1, 23])
def test_compression_levels(zstd):
    with pytest.raises(OptionError, match=f"zstd {zstd}; it goes from 1"):
        write_ktx2(random_texture(4, 4, 1, 1, 1), zstd=zstd)
