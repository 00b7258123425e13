"""The .smt container, version 1: a checked envelope around a codec's sections.

    "smt" 1 │ length │ codec │ H │ W │ channels │ [weights hash] │ config │ sections │ CRC-32

docs/FORMAT.md is normative. Length and CRC are checked before anything else is read, and the
picture's size before anything is allocated. This module knows bytes and numbers, no codecs.
"""

import struct
import zlib
from dataclasses import dataclass

from smalti.entropy.varint import read_varint, write_varint
from smalti.errors import FormatError

MAGIC = b"smt"
VERSION = 1
MAX_SIDE = 2**20  # texels
MAX_SECTIONS = 65_536
MAX_CONFIG = 256  # bytes
HASH_BYTES = 8  # of the weights' SHA-256
HAS_HASH = 0x08  # in the channels byte

PREFIX = struct.Struct("<3sBI")  # magic, version, length of the whole file
CRC = struct.Struct("<I")
SHORTEST = PREFIX.size + 6 + CRC.size  # an envelope with no section


@dataclass(frozen=True)
class Container:
    """What a file holds."""

    codec: int  # wire number, from registry.py
    channels: int  # 1..4
    height: int
    width: int
    config: bytes
    sections: tuple[bytes, ...]
    weights: bytes = b""  # first 8 bytes of the SHA-256 of the weights file, or nothing


def write(content: Container) -> bytes:
    """The bytes of a file."""
    assert 1 <= content.channels <= 4
    assert len(content.weights) in (0, HASH_BYTES)
    assert len(content.config) <= MAX_CONFIG
    assert len(content.sections) <= MAX_SECTIONS
    body = b"".join(
        [
            write_varint(content.codec),
            write_varint(content.height),
            write_varint(content.width),
            bytes([content.channels | (HAS_HASH if content.weights else 0)]),
            content.weights,
            write_varint(len(content.config)),
            content.config,
            write_varint(len(content.sections)),
            *[write_varint(len(section)) for section in content.sections[:-1]],
            *content.sections,
        ]
    )
    length = PREFIX.size + len(body) + CRC.size
    if length >= 2**32:
        raise FormatError(f"{length} bytes are more than the 4 GiB that one file can hold")
    data = PREFIX.pack(MAGIC, VERSION, length) + body
    return data + CRC.pack(zlib.crc32(data))


def read(data: bytes) -> Container:
    """What the bytes of a file hold.

    Raises:
        FormatError: not a .smt file, another version, truncated, damaged, or over a limit.
    """
    if data[: len(MAGIC)] != MAGIC[: len(data)]:
        raise FormatError("no .smt file: it does not start with 'smt'")
    if len(data) < SHORTEST:
        raise FormatError(f"truncated: {len(data)} bytes, and no file is under {SHORTEST}")
    _, version, length = PREFIX.unpack_from(data)
    if version != VERSION:
        raise FormatError(f"file version {version}; this release reads version {VERSION}")
    if length != len(data):
        kind = "truncated" if len(data) < length else "bytes appended"
        raise FormatError(f"{kind}: {len(data)} bytes, and the header says {length}")
    end = len(data) - CRC.size
    if CRC.unpack_from(data, end)[0] != zlib.crc32(memoryview(data)[:end]):
        raise FormatError("damaged: the checksum does not fit the content")
    return _read_body(data, PREFIX.size, end)


def _read_body(data: bytes, offset: int, end: int) -> Container:
    body = data[:end]
    codec, offset = read_varint(body, offset)
    height, offset = read_varint(body, offset)
    width, offset = read_varint(body, offset)
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise FormatError(f"a picture of {width} x {height}; sides are 1 .. {MAX_SIDE}")
    flags, offset = _take(body, offset, 1)
    channels = flags[0] & ~HAS_HASH
    if not 1 <= channels <= 4:
        raise FormatError(f"channels byte {flags[0]:#04x}; channels are 1 .. 4")
    weights, offset = _take(body, offset, HASH_BYTES if flags[0] & HAS_HASH else 0)
    config_length, offset = read_varint(body, offset)
    if config_length > MAX_CONFIG:
        raise FormatError(f"a config of {config_length} bytes; the limit is {MAX_CONFIG}")
    config, offset = _take(body, offset, config_length)
    count, offset = read_varint(body, offset)
    if count > MAX_SECTIONS:
        raise FormatError(f"{count} sections; the limit is {MAX_SECTIONS}")
    lengths = []
    for _ in range(count - 1):
        length, offset = read_varint(body, offset)
        lengths.append(length)
    left = end - offset - sum(lengths)  # the last section's length is what is left
    if left < 0 or (count == 0 and left):
        raise FormatError(f"{count} sections of {sum(lengths)} bytes in {end - offset} bytes")
    sections = []
    for length in [*lengths, left][:count]:
        section, offset = _take(body, offset, length)
        sections.append(section)
    return Container(codec, channels, height, width, config, tuple(sections), weights)


def _take(body: bytes, offset: int, count: int) -> tuple[bytes, int]:
    if offset + count > len(body):
        raise FormatError(f"the header ends {offset + count - len(body)} bytes early")
    return body[offset : offset + count], offset + count
