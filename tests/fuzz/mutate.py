"""Damage with a seed: the same files every time, with lengths and checksums made right again."""

import re
import struct
import zlib

import numpy as np

INTERESTING = (0, 1, 2, 7, 8, 16, 31, 63, 64, 127, 128, 129, 254, 255)
SPLICED = 16  # bytes at most that are moved, repeated or left out


def mutated(seeds: list[bytes], random: np.random.Generator) -> bytes:
    """One of the files, with one to eight injuries."""
    data = bytearray(seeds[random.integers(len(seeds))])
    for _ in range(1 + int(random.geometric(0.5)) % 8):
        if not data:
            break
        at, kind = int(random.integers(len(data))), random.integers(8)
        if random.random() < 0.5:
            at = int(at * random.random() ** 3)  # headers come first
        span = int(random.integers(1, SPLICED))
        if kind == 0:
            data[at] ^= 1 << int(random.integers(8))
        elif kind == 1:
            data[at] = INTERESTING[random.integers(len(INTERESTING))]
        elif kind == 2:
            data[at] = int(random.integers(256))
        elif kind == 3:
            data[at : at + span] = random.integers(0, 256, span, np.uint8).tobytes()
        elif kind == 4:
            del data[at : at + span]
        elif kind == 5:
            data[at:at] = data[at : at + span]
        elif kind == 6:
            number = int(random.choice([0, 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1]))
            data[at : at + 4] = number.to_bytes(4, "little" if random.random() < 0.5 else "big")
        else:
            other = seeds[random.integers(len(seeds))]
            start = int(random.integers(len(other)))
            data[at : at + span] = other[start : start + span]
    if random.random() < 0.1:
        del data[int(random.integers(len(data) + 1)) :]
    return bytes(data)


def mended_smt(data: bytes) -> bytes:
    """Magic, version, length and CRC-32 of a .smt file."""
    body = bytearray(data[:-4])
    if len(body) < 8:
        return data
    struct.pack_into("<3sBI", body, 0, b"smt", 1, len(body) + 4)
    return bytes(body) + struct.pack("<I", zlib.crc32(bytes(body)))


def mended_png(data: bytes) -> bytes:
    """The CRC-32 of each chunk, as far as their lengths lead."""
    out, at = bytearray(data), 8
    while at + 12 <= len(out):
        (length,) = struct.unpack_from(">I", out, at)
        end = at + 8 + length
        if end + 4 > len(out):
            break
        struct.pack_into(">I", out, end, zlib.crc32(bytes(out[at + 4 : end])))
        at = end + 4
    return bytes(out)


def mended_safetensors(data: bytes) -> bytes:
    """The length of the header: up to where the tensors began, spaces where it has become shorter."""
    end = data.find(b"}}", 8)
    ends = [m.end() for m in re.finditer(rb"\}\s*\}", data[: 1 << 16])]
    if end < 0 or not ends:
        return data
    return struct.pack("<Q", ends[-1] - 8) + data[8:]


def as_it_is(data: bytes) -> bytes:
    return data
