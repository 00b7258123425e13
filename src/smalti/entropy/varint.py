"""Unsigned integers in few bytes: LEB128, seven bits a byte, the low ones first.

The top bit of a byte says that another follows: 0..127 take one byte, 300 is ``ac 02``. Only the
shortest form of a number is valid, so equal numbers are equal bytes.
"""

from smalti.errors import FormatError, OptionError

MAX_BYTES = 10  # enough for 64 bits


def write_varint(n: int) -> bytes:
    """The bytes of n, 0 <= n < 2**64; OptionError outside.

    Examples:
        >>> from smalti.entropy.varint import read_varint, write_varint
        >>> write_varint(300).hex(" "), read_varint(write_varint(300))
        ('ac 02', (300, 2))
    """
    if not 0 <= n < 1 << 64:
        raise OptionError(f"{n} is no number that a file holds; they are 0 .. 2^64 - 1")
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def read_varint(data: bytes, offset: int = 0) -> tuple[int, int]:
    """The number at `offset` and the offset behind it.

    Raises FormatError if the data ends inside the number, or if the number has more than ten
    bytes, more than 64 bits, or a form longer than it needs.
    """
    n = 0
    for i in range(MAX_BYTES):
        if offset + i >= len(data):
            raise FormatError(
                f"the data ends after {len(data)} bytes, inside the varint at byte {offset}"
            )
        byte = data[offset + i]
        n |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            if byte == 0 and i > 0:
                raise FormatError(f"the varint at byte {offset} is longer than {n} needs")
            if n >= 1 << 64:
                raise FormatError(f"the varint at byte {offset} exceeds 64 bits")
            return n, offset + i + 1
    raise FormatError(f"the varint at byte {offset} has more than {MAX_BYTES} bytes")


def zigzag(n: int) -> int:
    """0, -1, 1, -2, 2 ... as 0, 1, 2, 3, 4 ..., so that small signed numbers stay small."""
    return 2 * n if n >= 0 else -2 * n - 1


def unzigzag(n: int) -> int:
    """The signed number whose zigzag is n, n >= 0."""
    return n >> 1 if n & 1 == 0 else -(n >> 1) - 1
