"""Lossless coding of planes of small integers, with no trained tables.

    values C H W ─ context model ─→ P(bit = 1) per binary decision ─ range coder ─→ bytes

Made for arrays too small to carry tables of their own (the latents of one picture) and for flat or
smooth 8-bit planes: all probabilities are learnt while coding, by encoder and decoder alike, in
integer arithmetic, so the symbols are the same on every machine. docs/ENTROPY.md is the normative
description of the bytes. The parts are well known: the range coder is Martin's (1979) with the
carry handling of LZMA, the mixing of predictions in the logistic domain is Mahoney's (PAQ7, 2005).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from smalti import native
from smalti.errors import FormatError, OptionError

MAX_LEVELS = 65536
CONTEXTS = 9  # tables of slots
LOG_SLOTS = 12, 18  # of each, by the number of values
HELD_BYTES = 3  # of the four that a decoder holds, how many lie behind the end

_PLANES = {
    "levels": "in i32", "planes": "i64", "height": "i64", "width": "i64",
    "slots": "out i32", "slot_count": "i64",
}  # fmt: skip
_encode = native.kernel(
    "entropy_encode", values="in i32", **_PLANES, data="out u8", capacity="i64", size="out i64"
)
_decode = native.kernel(
    "entropy_decode", data="in u8", size="i64", **_PLANES, values="out i32", position="out i64"
)


def encode_planes(values: np.ndarray, levels: Sequence[int]) -> bytes:
    """The bytes of an integer array (C, H, W) with values[c] in 0..levels[c]-1.

    levels: one number in 1..65536 per plane. Planes with one level cost nothing; an array with
    nothing to tell gives b"". Raises OptionError if shape, type, levels or values do not fit.

    Examples:
        >>> import numpy as np
        >>> from smalti.entropy import decode_planes, encode_planes
        >>> values = np.arange(64).reshape(1, 8, 8) // 9
        >>> data = encode_planes(values, [8])
        >>> len(data)
        10
        >>> bool((decode_planes(data, (1, 8, 8), [8]) == values).all())
        True
    """
    values = np.asarray(values)
    if values.ndim != 3 or not np.issubdtype(values.dtype, np.integer):
        raise OptionError(
            f"planes are an integer array (C, H, W), not {values.dtype} {values.shape}"
        )
    counts = checked_levels(values.shape, levels)
    for c, n in enumerate(counts.tolist()):
        if values[c].size and not (values[c].min() >= 0 and values[c].max() < n):
            raise OptionError(
                f"plane {c} holds {values[c].min()}..{values[c].max()}, its {n} levels are 0..{n - 1}"
            )
    if nothing_to_code(values.shape, counts):
        return b""
    values = np.ascontiguousarray(values, np.int32)
    # what noise holds; little data that surprises takes a few bytes more
    size = np.array([values.size * int(counts.max() - 1).bit_length() // 8 + 16])
    data = np.empty(0, np.uint8)
    while data.size < size[0]:
        data = np.empty(int(size[0]), np.uint8)
        _encode(
            values=values, **_arguments(values.shape, counts),
            data=data, capacity=data.size, size=size,
        )  # fmt: skip
    return data[: size[0]].tobytes()


def decode_planes(data: bytes, shape: tuple[int, int, int], levels: Sequence[int]) -> np.ndarray:
    """The int32 array (C, H, W) that `encode_planes` made these bytes of.

    Raises FormatError if the data ends early, has bytes left over, or is not what an encoder ends
    with. Damaged data that passes for sound (once in 65536) still gives values in range; whoever
    must know stores a checksum as well. OptionError if shape or levels are impossible.
    """
    counts = checked_levels(shape, levels)
    if nothing_to_code(shape, counts):
        if data:
            raise FormatError(f"{len(data)} bytes of data for planes that need none")
        return np.zeros(shape, np.int32)
    values, position = np.empty(shape, np.int32), np.zeros(1, np.int64)
    try:
        _decode(
            data=np.frombuffer(data, np.uint8), size=len(data), **_arguments(shape, counts),
            values=values, position=position,
        )  # fmt: skip
    except native.DamagedError as error:
        raise FormatError(what_is_wrong(len(data), int(position[0]))) from error
    return values


def checked_levels(shape: tuple[int, ...], levels: Sequence[int]) -> np.ndarray:
    if len(shape) != 3 or min(shape) < 0:
        raise OptionError(f"the shape of planes is (C, H, W), not {tuple(shape)}")
    if len(levels) != shape[0]:
        raise OptionError(f"{len(levels)} numbers of levels for {shape[0]} planes")
    for n in levels:
        if not 1 <= n <= MAX_LEVELS:
            raise OptionError(f"a plane has 1..{MAX_LEVELS} levels, not {n}")
    return np.array(levels, np.int32)


def nothing_to_code(shape: tuple[int, int, int], levels: np.ndarray) -> bool:
    return 0 in shape or bool((levels == 1).all())


def log_slots(count: int) -> int:
    """Bits of the number of slots in each context's table, for so many values."""
    return min(max((4 * count).bit_length(), LOG_SLOTS[0]), LOG_SLOTS[1])


def what_is_wrong(size: int, position: int) -> str:
    """A sentence about `size` damaged bytes of which a decoder asked for the first `position`."""
    excess = position - size - HELD_BYTES
    if excess > 0:
        return f"the coded values need more than {size} bytes"
    if excess < 0:
        return f"the {size} bytes of coded values are damaged, or {-excess} bytes too many"
    return f"the {size} bytes of coded values are damaged or cut"


def _arguments(shape: tuple[int, ...], levels: np.ndarray) -> dict[str, Any]:
    """Those that encoding and decoding share."""
    planes, height, width = shape
    slots = np.empty(CONTEXTS << log_slots(planes * height * width), np.int32)
    return {
        "levels": levels, "planes": planes, "height": height, "width": width,
        "slots": slots, "slot_count": slots.size,
    }  # fmt: skip
