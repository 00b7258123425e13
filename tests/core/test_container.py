"""The envelope: what it costs, what it refuses."""

import struct
import zlib

import pytest

from smalti import container
from smalti.container import Container
from smalti.errors import FormatError

SMALL = Container(1, 3, 512, 768, b"", (b"section",))


@pytest.mark.parametrize(
    "content",
    [
        SMALL,
        Container(4, 4, 1, 1, b"", (b"",), bytes(range(8))),
        Container(300, 1, 2**20, 2**20, b"config", ()),
        Container(2, 2, 5, 7, b"\x00" * 256, tuple(bytes([i]) * i for i in range(200))),
    ],
)
def test_round_trip(content):
    assert container.read(container.write(content)) == content


def test_overhead_of_one_section_is_at_most_40_bytes():
    largest = Container(127, 4, 2**20, 2**20, b"12345678", (b"x" * 2**20,), bytes(8))
    assert len(container.write(largest)) - 2**20 <= 40
    assert len(container.write(SMALL)) - len(b"section") == 20


def test_layout_is_the_documented_one():
    data = container.write(SMALL)
    body = b"smt\x01" + struct.pack("<I", 27) + b"\x01\x80\x04\x80\x06\x03\x00\x01section"
    assert data == body + struct.pack("<I", zlib.crc32(body))


def test_every_truncation_and_every_flipped_bit_is_a_format_error():
    data = container.write(Container(2, 4, 5, 7, b"config", (b"one", b"two"), bytes(8)))
    for end in range(len(data)):
        with pytest.raises(FormatError):
            container.read(data[:end])
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FormatError):
            container.read(bytes(damaged))
    with pytest.raises(FormatError, match="appended"):
        container.read(data + b"\x00")


def forge(body: bytes, version: int = 1) -> bytes:
    """A file with any body, but a right length and checksum."""
    data = b"smt" + bytes([version]) + struct.pack("<I", len(body) + 12) + body
    return data + struct.pack("<I", zlib.crc32(data))


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "truncated"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "no .smt file"),
        (forge(bytes(20), version=2), "file version 2; this release reads version 1"),
        (forge(b"\x01\x00\x01\x03\x00\x00"), "picture of 1 x 0"),
        (forge(b"\x01\x01\x81\x80\x40\x03\x00\x00"), "1048577 x 1"),
        (forge(b"\x01\x01\x01\x05\x00\x00"), "channels"),
        (forge(b"\x01\x01\x01\x43\x00\x00"), "channels"),
        (forge(b"\x01\x01\x01\x03\x81\x02\x00"), "config of 257 bytes"),
        (forge(b"\x01\x01\x01\x03\x00\x81\x80\x04"), "65537 sections"),
        (forge(b"\x01\x01\x01\x03\x00\x02\x09ab"), "2 sections of 9 bytes in 2 bytes"),
        (forge(b"\x01\x01\x01\x03\x00\x00ab"), "0 sections of 0 bytes in 2 bytes"),
        (forge(b"\x01\x01\x01\x0b\x00\x00"), "early"),
        (forge(b"\xff" * 30), "more than 10 bytes"),
    ],
)
def test_refuses(data, sentence):
    with pytest.raises(FormatError, match=sentence):
        container.read(data)
