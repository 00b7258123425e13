"""The range coder in plain Python: binary decisions to bytes and back (docs/ENTROPY.md, section 2).

Its registers are an array of seven numbers; encoder and decoder share `code_bit`.
"""

import numpy as np

from smalti.entropy.planes import HELD_BYTES
from smalti.errors import FormatError

MASK32 = 0xFFFFFFFF
CHECK = 0x5A5A  # 16 even bits behind the last value: damage goes unnoticed once in 2**16

LOW, RANGE, CACHE, PENDING, POSITION, CODE, END = range(7)


def new_registers() -> np.ndarray:
    coder = np.zeros(7, np.int64)
    coder[RANGE] = MASK32
    coder[CACHE] = -1
    return coder


def code_bit(decoding, bit, probability, buffer, coder):
    """Narrow [low, low + range) to the part of a 1 (the lower, probability / 2**16) or of a 0."""
    part = coder[RANGE] * probability >> 16
    if decoding:
        bit = 1 if coder[CODE] < part else 0
    if bit:
        coder[RANGE] = part
    else:
        coder[RANGE] -= part
        coder[LOW] += part
        coder[CODE] -= part
    while coder[RANGE] < 1 << 24:
        coder[RANGE] <<= 8
        if decoding:
            coder[CODE] <<= 8
            if coder[POSITION] < coder[END]:
                coder[CODE] |= int(buffer[coder[POSITION]])
            coder[POSITION] += 1
        else:
            shift_low(buffer, coder)
    return bit


def shift_low(buffer, coder):
    """Encoder: put out the highest byte of low, once no later carry can change it."""
    low = coder[LOW]
    if low < 0xFF << 24 or low > MASK32:
        carry = low >> 32
        if coder[CACHE] >= 0:  # nothing is cached before the first byte
            buffer[coder[POSITION]] = coder[CACHE] + carry & 255
            coder[POSITION] += 1
        while coder[PENDING] > 0:
            buffer[coder[POSITION]] = 255 + carry & 255
            coder[POSITION] += 1
            coder[PENDING] -= 1
        coder[CACHE] = low >> 24 & 255
    else:
        coder[PENDING] += 1
    coder[LOW] = (low & 0xFFFFFF) << 8


def start(buffer: np.ndarray, coder: np.ndarray) -> None:
    """Decoder: load the first four bytes."""
    first = buffer[:4].tobytes().ljust(4, b"\0")
    coder[CODE] = int.from_bytes(first, "big")
    coder[POSITION] = 4
    coder[END] = len(buffer)


def finish(buffer: np.ndarray, coder: np.ndarray) -> None:
    """Encoder: the check bits, then the one byte that suffices, as range >= 2**24."""
    for k in range(16):
        code_bit(False, CHECK >> k & 1, 1 << 15, buffer, coder)
    coder[LOW] = (coder[LOW] + 0xFFFFFF) >> 24 << 24
    shift_low(buffer, coder)
    shift_low(buffer, coder)


def check_end(buffer: np.ndarray, coder: np.ndarray) -> None:
    """Decoder: what `finish` wrote, and nothing behind it."""
    for k in range(16):
        bit = code_bit(True, 0, 1 << 15, buffer, coder)
        if bit != CHECK >> k & 1:
            raise FormatError(f"the {len(buffer)} bytes of coded values are damaged or cut")
    check_position(coder, last=True)


def check_position(coder: np.ndarray, *, last: bool) -> None:
    excess = int(coder[POSITION] - coder[END]) - HELD_BYTES
    if excess > 0:
        raise FormatError(f"the coded planes need more than {coder[END]} bytes")
    if last and excess < 0:
        raise FormatError(f"{-excess} bytes are left over behind the coded planes")
    if last and coder[CODE] >> 24:
        raise FormatError("the coded planes do not end as an encoder ends them")
