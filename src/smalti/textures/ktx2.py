"""KTX 2.0 files: header, index, data format descriptor, key/value data, mip levels.

    identifier, header, index | level index | descriptor | keys and values | smallest level .. level 0

Khronos, KTX File Format Specification 2.0; the descriptor is that of the Khronos Data Format
Specification 1.4, chapters 3 to 5. All numbers are little-endian. A level holds its surfaces in
`Texture`'s order, and may be compressed as a whole with Zstandard (which needs no other level).
"""

import io
import struct
import zlib
from collections.abc import Callable
from typing import NamedTuple

import smalti
from smalti.errors import FormatError, OptionError
from smalti.files import TEXTURE_MAGICS
from smalti.textures.texture import (
    FORMATS,
    Texture,
    check_shape,
    level_size,
    surface_bytes,
)

KTX2_MAGIC = TEXTURE_MAGICS[".ktx2"]
MAX_BYTES = 2**30  # of all levels after decompression, unless told otherwise

_HEADER = struct.Struct("<9I 4I 2Q")  # vkFormat .. supercompressionScheme, index
_LEVEL = struct.Struct("<3Q")  # byteOffset, byteLength, uncompressedByteLength
_LEVELS_OFFSET = len(KTX2_MAGIC) + _HEADER.size

_NONE, _ZSTANDARD, _ZLIB = 0, 2, 3  # supercompressionScheme
_CHUNK = 1 << 20  # bytes to decompress at a time

_OF_VULKAN = {
    number: (name, srgb)
    for name, known in FORMATS.items()
    for number, srgb in ((known.vulkan, False), (known.vulkan_srgb, True))
    if number
} | {131: ("bc1", False), 132: ("bc1", True)}  # BC1_RGB: the same blocks, none of them transparent
_OTHER_VULKAN = {
    0: "a universal format (UASTC or ETC1S)",
    37: "R8G8B8A8_UNORM",
    43: "R8G8B8A8_SRGB",
    135: "BC2_UNORM",
    136: "BC2_SRGB",
    140: "BC4_SNORM",
    142: "BC5_SNORM",
}


class _Descriptor(NamedTuple):
    """Colour model and samples of a format; a sample is (channel, first bit), each of `bits`."""

    model: int
    bits: int
    samples: tuple[tuple[int, int], ...]
    least: float | None = None  # of floats, 0 where they have no sign; None: whole numbers


# khr_df_model_e and the channels of each model. 15 is alpha everywhere; BC1's 1: alpha present.
_DESCRIPTORS = {
    "bc1": _Descriptor(128, 64, ((1, 0),)),
    "bc3": _Descriptor(130, 64, ((15, 0), (0, 64))),
    "bc4": _Descriptor(131, 64, ((0, 0),)),
    "bc5": _Descriptor(132, 64, ((0, 0), (1, 64))),
    "bc6h": _Descriptor(133, 128, ((0, 0),), least=0.0),
    "bc6h-signed": _Descriptor(133, 128, ((0, 0),), least=-1.0),
    "bc7": _Descriptor(134, 128, ((0, 0),)),
    "astc-4x4": _Descriptor(162, 128, ((0, 0),)),
    "astc-5x5": _Descriptor(162, 128, ((0, 0),)),
    "astc-6x6": _Descriptor(162, 128, ((0, 0),)),
    "astc-8x8": _Descriptor(162, 128, ((0, 0),)),
    "rgba16f": _Descriptor(1, 16, ((0, 0), (1, 16), (2, 32), (15, 48)), least=-1.0),
    "rgba32f": _Descriptor(1, 32, ((0, 0), (1, 32), (2, 64), (15, 96)), least=-1.0),
}
_ALPHA = 15
_DATATYPE_LINEAR, _DATATYPE_SIGNED, _DATATYPE_FLOAT = 0x10, 0x40, 0x80  # beside the channel
_PRIMARIES_BT709 = 1
_TRANSFER_LINEAR, _TRANSFER_SRGB = 1, 2
_FLAGS_OFFSET, _FLAG_PREMULTIPLIED = 15, 1  # from the descriptor's start, its total size included


def write_ktx2(texture: Texture, *, zstd: int = 0) -> bytes:
    """Return the bytes of a KTX 2.0 file.

    zstd: 0 leaves the blocks as they are; 1 (quick) to 22 (small) compresses each level with
    Zstandard. Raises OptionError for another number.
    """
    if not 0 <= zstd <= 22:
        raise OptionError(f"zstd {zstd}; it goes from 1 (quick) to 22 (small), 0 is without")
    known = FORMATS[texture.format]
    descriptor = expected_descriptor(texture)
    # Keys in alphabetical order. "rd": rows go down, as in pictures and all APIs but OpenGL.
    pairs = _pair("KTXorientation", "rd") + _pair("KTXwriter", f"smalti {smalti.__version__}")
    descriptor_offset = _LEVELS_OFFSET + _LEVEL.size * len(texture.levels)
    pairs_offset = descriptor_offset + len(descriptor)
    header = _HEADER.pack(
        known.vulkan_srgb if texture.srgb else known.vulkan,
        known.block_bytes // len(known.channels) if known.side == 1 else 1,  # typeSize
        texture.width,
        texture.height,
        0,  # pixelDepth: not a volume
        texture.layers if texture.layers > 1 else 0,
        texture.faces,
        len(texture.levels),
        _ZSTANDARD if zstd else _NONE,
        *(descriptor_offset, len(descriptor), pairs_offset, len(pairs), 0, 0),
    )
    stored = texture.levels
    if zstd:
        import zstandard

        compress = zstandard.ZstdCompressor(level=zstd, write_checksum=True).compress
        stored = tuple(compress(level) for level in texture.levels)
    # mipPadding: to a multiple of lcm(block size, 4), and none between compressed levels.
    alignment = 1 if zstd else known.block_bytes
    offset = pairs_offset + len(pairs)
    index, body = [], []
    for level, data in zip(reversed(texture.levels), reversed(stored), strict=True):
        padding = -offset % alignment
        body += [bytes(padding), data]
        index.append(_LEVEL.pack(offset + padding, len(data), len(level)))
        offset += padding + len(data)
    return b"".join([KTX2_MAGIC, header, *reversed(index), descriptor, pairs, *body])


def read_ktx2(data: bytes, *, max_bytes: int = MAX_BYTES) -> Texture:
    """Read a KTX 2.0 file of BC1, BC3, BC4, BC5, BC6H or BC7 blocks, or of floats.

    Its levels are plain, Zstandard or ZLIB.

    The format is taken from vkFormat, premultiplied alpha from the descriptor; key/value data is not
    read. Raises FormatError for bytes that
    are no KTX 2.0 file, hold another format (named in the message) or a volume, have an impossible
    shape, decompress to another number of bytes or to more than `max_bytes`, or are truncated.
    """
    if data[: len(KTX2_MAGIC)] != KTX2_MAGIC:
        raise FormatError(f"these {len(data)} bytes are no KTX 2.0 file: its identifier is missing")
    if len(data) < _LEVELS_OFFSET:
        raise FormatError(
            f"the KTX file is truncated: {len(data)} bytes, its header alone takes {_LEVELS_OFFSET}"
        )
    fields = _HEADER.unpack_from(data, len(KTX2_MAGIC))
    vulkan, _, width, height, depth, layers, faces, levels, scheme = fields[:9]
    if vulkan not in _OF_VULKAN:
        name = _OTHER_VULKAN.get(vulkan, "another format")
        raise FormatError(
            f"the KTX file holds {name} (VkFormat {vulkan}); known: {', '.join(FORMATS)}"
        )
    format, srgb = _OF_VULKAN[vulkan]
    if depth:
        raise FormatError(f"the KTX file holds a volume {depth} deep, only 2-D textures are read")
    layers = max(layers, 1)
    check_shape(height, width, layers, faces, levels)
    if scheme not in (_NONE, _ZSTANDARD, _ZLIB):
        raise FormatError(f"supercompression scheme {scheme}; known: 0, 2 (Zstandard), 3 (ZLIB)")
    if len(data) < _LEVELS_OFFSET + levels * _LEVEL.size:
        raise FormatError(
            f"the KTX file is truncated: {len(data)} bytes, its headers and {levels} levels "
            f"take {_LEVELS_OFFSET + levels * _LEVEL.size}"
        )
    expected = [
        surface_bytes(format, *level_size(height, width, level)) * layers * faces
        for level in range(levels)
    ]
    if scheme != _NONE and sum(expected) > max_bytes:
        raise FormatError(
            f"the KTX file's levels take {sum(expected):,} bytes decompressed, over the limit of "
            f"{max_bytes:,}; raise it with max_bytes="
        )
    contents = tuple(_read_level(data, level, scheme, expected[level]) for level in range(levels))
    premultiplied = _is_premultiplied(data, fields[9], fields[10])
    return Texture(format, srgb, height, width, contents, layers, faces, premultiplied)


def _is_premultiplied(data: bytes, offset: int, length: int) -> bool:
    """The one flag of the data format descriptor; where that is not all there, straight alpha."""
    at = offset + _FLAGS_OFFSET
    return length > _FLAGS_OFFSET and at < len(data) and bool(data[at] & _FLAG_PREMULTIPLIED)


def _read_level(data: bytes, level: int, scheme: int, expected: int) -> bytes:
    offset, length, inflated = _LEVEL.unpack_from(data, _LEVELS_OFFSET + level * _LEVEL.size)
    if offset + length > len(data):
        raise FormatError(
            f"the KTX file is truncated: level {level} is {length} bytes at {offset}, "
            f"the file has {len(data)}"
        )
    if inflated != expected or (scheme == _NONE and length != expected):
        raise FormatError(
            f"level {level} takes {expected} bytes, the KTX file says {inflated} in {length} stored"
        )
    stored = data[offset : offset + length]
    if scheme == _NONE:
        return stored
    import zstandard

    try:
        if scheme == _ZSTANDARD:
            decompressor = zstandard.ZstdDecompressor(max_window_size=2**27)
            reader = decompressor.stream_reader(io.BytesIO(stored), read_across_frames=True)
            content = _at_most(expected + 1, reader.read)
        else:
            content = zlib.decompressobj().decompress(stored, expected + 1)
    except (zstandard.ZstdError, zlib.error) as cause:
        raise FormatError(
            f"level {level} of the KTX file cannot be decompressed: {cause}"
        ) from cause
    if len(content) != expected:
        many = f"more than {expected}" if len(content) > expected else str(len(content))
        raise FormatError(f"level {level} takes {expected} bytes, it decompresses to {many}")
    return content


def _at_most(count: int, read: Callable[[int], bytes]) -> bytes:
    """At most `count` bytes, in pieces: no more memory than what really comes."""
    parts = []
    while count and (part := read(min(count, _CHUNK))):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def expected_descriptor(texture: Texture) -> bytes:
    """The data format descriptor that a file of this texture has."""
    return _descriptor(texture.format, texture.srgb, texture.premultiplied)


def _descriptor(format: str, srgb: bool, premultiplied: bool) -> bytes:
    """The data format descriptor: its total size and one basic descriptor block, version 1.3."""
    model, bits, samples, least = _DESCRIPTORS[format]
    side = FORMATS[format].side
    transfer = _TRANSFER_SRGB if srgb else _TRANSFER_LINEAR
    size = 24 + 16 * len(samples)
    words = [
        4 + size,
        0,  # vendor Khronos, descriptor type basic format
        2 | size << 16,  # version
        model | _PRIMARIES_BT709 << 8 | transfer << 16 | (premultiplied << 24),  # flags
        (side - 1) | (side - 1) << 8,  # texel block dimensions, less one; 1 x 1 of the others
        FORMATS[format].block_bytes,  # bytesPlane0; the other seven are 0
        0,
    ]
    for channel, first_bit in samples:
        # Alpha is linear whatever the transfer function, and says so.
        channel |= _DATATYPE_LINEAR if srgb and channel == _ALPHA else 0
        lower, upper = 0, 0xFFFFFFFF
        if least is not None:  # what counts as -1 and 1, or 0 and 1, are floats themselves
            channel |= _DATATYPE_FLOAT | (_DATATYPE_SIGNED if least else 0)
            lower, upper = struct.unpack("<2I", struct.pack("<2f", least, 1.0))
        words += [first_bit | (bits - 1) << 16 | channel << 24, 0, lower, upper]
    return struct.pack(f"<{len(words)}I", *words)


def _pair(key: str, value: str) -> bytes:
    """One key and value, both with a terminating zero, padded to a multiple of 4 bytes."""
    content = f"{key}\0{value}\0".encode()
    return struct.pack("<I", len(content)) + content + bytes(-len(content) % 4)
