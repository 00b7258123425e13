"""Grid values to bytes and back, by the native kernels: a stream a tile, on several threads.

docs/FORMAT.md is normative; `reference_coder` is the same in plain Python.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from smalti import native
from smalti.entropy.planes import what_is_wrong
from smalti.errors import FormatError
from smalti.fits.picture.layout import Layout, Piece

HIDDEN = 16  # units of each layer of the context model
FRACTION = 8  # bits after the point of an activation
MAX_WEIGHT = 2047  # of the context model's integers; sums stay below 2**31
LIMIT = 1 << 15  # of values, both signs
VALUE_BYTES = 1  # of most coded values, at most

_STREAMS = {
    "pieces": "in i64", "first_piece": "in i64", "streams": "i64", "network": "in i32", "bits": "i32",
}  # fmt: skip
_SPACE = {"count": "i64", "scratch": "out i32", "scratch_stride": "i64"}
_encode = native.kernel(
    "fits_encode_streams", **_STREAMS, values="in i32", **_SPACE,
    data="out u8", offsets="in i64", sizes="out i64", threads="i32",
)  # fmt: skip
_decode = native.kernel(
    "fits_decode_streams", **_STREAMS, values="out i32", **_SPACE,
    data="in u8", offsets="in i64", positions="out i64", sound="out u8", threads="i32",
)  # fmt: skip


def encode_streams(
    streams: Sequence[Sequence[Piece]],
    layout: Layout,
    table: np.ndarray,
    k: int,
    values: np.ndarray,
    threads: int | None = None,
) -> list[bytes]:
    """The bytes of each stream.

    Args:
        table, k: `Network.context_table(k)`.
        values: of all grids, flat, int32, within -LIMIT .. LIMIT - 1.
    """
    arguments = _arguments(streams, layout, table, k, values, threads)
    counts = [sum(piece.box[2] * piece.box[3] for piece in stream) for stream in streams]
    sizes = VALUE_BYTES * np.array(counts, np.int64) + 64
    offsets = np.zeros(1 + len(streams), np.int64)
    while (sizes > np.diff(offsets)).any():  # most often once
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        data = np.empty(offsets[-1], np.uint8)
        _encode(**arguments, data=data, offsets=offsets, sizes=sizes)
    return [
        data[start : start + size].tobytes()
        for start, size in zip(offsets[:-1], sizes, strict=True)
    ]  # fmt: skip


def decode_streams(
    sections: Sequence[bytes],
    streams: Sequence[Sequence[Piece]],
    layout: Layout,
    table: np.ndarray,
    k: int,
    values: np.ndarray,
    threads: int | None = None,
) -> None:
    """Fill in the values of the streams' pieces, from the bytes of each.

    Raises:
        FormatError: bytes that `encode_streams` cannot have made.
    """
    if not streams:
        return
    offsets = np.concatenate([[0], np.cumsum([len(section) for section in sections])])
    positions, sound = np.zeros(len(streams), np.int64), np.zeros(len(streams), np.uint8)
    try:
        _decode(
            **_arguments(streams, layout, table, k, values, threads),
            data=np.frombuffer(b"".join(sections), np.uint8), offsets=offsets,
            positions=positions, sound=sound,
        )  # fmt: skip
    except native.DamagedError as error:
        first = int(np.argmin(sound))
        wrong = what_is_wrong(len(sections[first]), int(positions[first]))
        raise FormatError(wrong) from error


def _arguments(
    streams: Sequence[Sequence[Piece]],
    layout: Layout,
    table: np.ndarray,
    k: int,
    values: np.ndarray,
    threads: int | None,
) -> dict[str, Any]:
    """Those that encoding and decoding share."""
    pieces = [piece for stream in streams for piece in stream]
    rows = np.array([layout.numbers(piece) for piece in pieces], np.int64)
    scratch = max(map(_scratch, pieces), default=0)
    return {
        "pieces": rows,
        "first_piece": np.cumsum([0, *(len(stream) for stream in streams)], dtype=np.int64),
        "streams": len(streams), "network": table, "bits": k, "values": values,
        "count": values.size, "scratch": np.empty(len(streams) * scratch, np.int32),
        "scratch_stride": scratch, "threads": native.threads() if threads is None else threads,
    }  # fmt: skip


def _scratch(piece: Piece) -> int:
    """Numbers that the kernel works in: sums of the coarser grid, rows of neighbours of half a number."""
    columns = piece.box[3]
    coarse = (columns - 1 >> piece.shift) + 1
    return HIDDEN * (coarse + 1) + (5 * columns + 4 * coarse + 45) // 2
