"""Lossless coding of planes of small integers, with no trained tables.

    values C H W ─ context model ─→ P(bit = 1) per binary decision ─ range coder ─→ bytes

Made for arrays too small to carry tables of their own (the latents of one picture) and for flat or
smooth 8-bit planes: all probabilities are learnt while coding, by encoder and decoder alike, in
integer arithmetic, so the symbols are the same on every machine. docs/ENTROPY.md is the normative
description of the bytes. The parts are well known: the range coder is Martin's (1979) with the
carry handling of LZMA, the mixing of predictions in the logistic domain is Mahoney's (PAQ7, 2005).
"""

from collections.abc import Sequence

import numpy as np

from smalti.entropy import kernel
from smalti.entropy.tables import LIMIT, tables
from smalti.errors import FormatError, OptionError

MAX_LEVELS = 65536
CHECK = 0x5A5A  # 16 even bits behind the last value: damage goes unnoticed once in 2**16
FLUSH_BYTES = 1  # of the four that a decoder holds; it reads the others as 0


def encode_planes(values: np.ndarray, levels: Sequence[int]) -> bytes:
    """The bytes of an integer array (C, H, W) with values[c] in 0..levels[c]-1.

    levels: one number in 1..65536 per plane. Planes with one level cost nothing; an array with
    nothing to tell gives b"". Raises OptionError if shape, type, levels or values do not fit.
    """
    values = np.asarray(values)
    if values.ndim != 3 or not np.issubdtype(values.dtype, np.integer):
        raise OptionError(
            f"planes are an integer array (C, H, W), not {values.dtype} {values.shape}"
        )
    levels = checked_levels(values.shape, levels)
    for c, n in enumerate(levels.tolist()):
        if values[c].size and not (values[c].min() >= 0 and values[c].max() < n):
            raise OptionError(
                f"plane {c} holds {values[c].min()}..{values[c].max()}, its {n} levels are 0..{n - 1}"
            )
    if nothing_to_code(values.shape, levels):
        return b""
    values = np.ascontiguousarray(values, np.int32)
    model, state = tables(), new_state(values.size)
    out = bytearray()
    for c, y, linear in rows(values.shape, levels):
        # at most 18 decisions of 16 bits per value
        buffer = output_buffer(state, 40 * values.shape[2])
        kernel.code_row(False, c, y, values, levels, buffer, model, state, linear)
        out += buffer[: state.coder[kernel.POSITION]].tobytes()
    buffer = output_buffer(state, 0)
    finish(buffer, state.coder)
    return bytes(out + buffer[: state.coder[kernel.POSITION]].tobytes())


def decode_planes(data: bytes, shape: tuple[int, int, int], levels: Sequence[int]) -> np.ndarray:
    """The int32 array (C, H, W) that `encode_planes` made these bytes of.

    Raises FormatError if the data ends early, has bytes left over, or is not what an encoder ends
    with. Damaged data that passes for sound (once in 65536) still gives values in range; whoever
    must know stores a checksum as well. OptionError if shape or levels are impossible.
    """
    levels = checked_levels(shape, levels)
    values = np.zeros(shape, np.int32)
    if nothing_to_code(shape, levels):
        if data:
            raise FormatError(f"{len(data)} bytes of data for planes that need none")
        return values
    model, state = tables(), new_state(values.size)
    buffer = np.frombuffer(data, np.uint8).copy()  # numba compiles anew for read-only arrays
    start(buffer, state.coder)
    for c, y, linear in rows(shape, levels):
        kernel.code_row(True, c, y, values, levels, buffer, model, state, linear)
        check_position(state.coder, last=False)
    check_end(buffer, state.coder)
    return values


def checked_levels(shape: tuple[int, ...], levels: Sequence[int]) -> np.ndarray:
    if len(shape) != 3 or min(shape) < 0:
        raise OptionError(f"the shape of planes is (C, H, W), not {tuple(shape)}")
    if len(levels) != shape[0]:
        raise OptionError(f"{len(levels)} numbers of levels for {shape[0]} planes")
    for n in levels:
        if not 1 <= n <= MAX_LEVELS:
            raise OptionError(f"a plane has 1..{MAX_LEVELS} levels, not {n}")
    return np.array(levels, np.int64)


def nothing_to_code(shape: tuple[int, int, int], levels: np.ndarray) -> bool:
    return 0 in shape or bool((levels == 1).all())


def rows(shape: tuple[int, int, int], levels: np.ndarray):
    """(plane, row, predictor) in coding order; each plane starts with a predictor that knows 0."""
    for c in range(shape[0]):
        if levels[c] == 1:
            continue
        linear = new_predictor()
        for y in range(shape[1]):
            yield c, y, linear


def new_state(n_values: int) -> kernel.State:
    size = 1 << min(max((4 * n_values).bit_length(), 12), 18)
    weights = np.full((kernel.MIXERS, kernel.INPUTS), 4000, np.int64)
    weights[:, kernel.CONTEXTS :] = 12000
    knots = np.clip(np.arange(kernel.KNOTS) * 160 - 2880, -LIMIT, LIMIT)
    refinement = np.tile(tables().squash[knots + LIMIT] << 6, (kernel.REFINEMENTS, 1))
    coder = np.zeros(7, np.int64)
    coder[kernel.RANGE] = kernel.MASK32
    coder[kernel.CACHE] = -1
    return kernel.State(
        coder=coder,
        slots=np.full((kernel.CONTEXTS, size), 1 << 29, np.int32),
        weights=weights,
        updates=np.zeros(kernel.MIXERS, np.int64),
        refinement=refinement,
        runs=np.full(264, 7 << 27, np.int64),
        context=np.zeros(kernel.CONTEXTS, np.int64),
        index=np.zeros(kernel.CONTEXTS, np.int64),
        inputs=np.zeros(kernel.INPUTS, np.int64),
    )


def new_predictor() -> kernel.Predictor:
    n = kernel.FEATURES
    error = np.zeros(18, np.int64)
    error[16:] = 32768
    return kernel.Predictor(
        covariance=np.zeros((n, n), np.int64),
        correlation=np.zeros(n, np.int64),
        coefficients=np.zeros(n, np.int64),
        features=np.zeros(n, np.int64),
        error=error,
        seen=np.zeros(18, np.int64),
    )


def output_buffer(state: kernel.State, n_bytes: int) -> np.ndarray:
    """Room for n_bytes more, those that still wait for a carry, and the end's."""
    state.coder[kernel.POSITION] = 0
    return np.empty(n_bytes + int(state.coder[kernel.PENDING]) + 16, np.uint8)


def start(buffer: np.ndarray, coder: np.ndarray) -> None:
    """Decoder: load the first four bytes."""
    first = buffer[:4].tobytes().ljust(4, b"\0")
    coder[kernel.CODE] = int.from_bytes(first, "big")
    coder[kernel.POSITION] = 4
    coder[kernel.END] = len(buffer)


def finish(buffer: np.ndarray, coder: np.ndarray) -> None:
    """Encoder: the check bits, then the one byte that suffices, as range >= 2**24."""
    for k in range(16):
        kernel.code_bit(False, CHECK >> k & 1, 1 << 15, buffer, coder)
    coder[kernel.LOW] = (coder[kernel.LOW] + 0xFFFFFF) >> 24 << 24
    kernel.shift_low(buffer, coder)
    kernel.shift_low(buffer, coder)


def check_end(buffer: np.ndarray, coder: np.ndarray) -> None:
    """Decoder: what `finish` wrote, and nothing behind it."""
    for k in range(16):
        bit = kernel.code_bit(True, 0, 1 << 15, buffer, coder)
        if bit != CHECK >> k & 1:
            raise FormatError(f"the {len(buffer)} bytes of coded values are damaged or cut")
    check_position(coder, last=True)


def check_position(coder: np.ndarray, *, last: bool) -> None:
    excess = int(coder[kernel.POSITION] - coder[kernel.END]) - (4 - FLUSH_BYTES)
    if excess > 0:
        raise FormatError(f"the coded planes need more than {coder[kernel.END]} bytes")
    if last and excess < 0:
        raise FormatError(f"{-excess} bytes are left over behind the coded planes")
    if last and coder[kernel.CODE] >> 24:
        raise FormatError("the coded planes do not end as an encoder ends them")
