"""BC7 decoder: all eight modes, in integers, to the same texels as every other decoder.

    16 bytes ──fields──▶ endpoints, weights ──interpolate──▶ 16 texels ──crop──▶ picture

The kernel is native/bc7/decode.cpp, its readable twin `reference.decode_block`.
"""

import numpy as np

from smalti import native
from smalti.bc7.layout import BLOCK_BYTES, BLOCK_SIDE, block_grid
from smalti.errors import FormatError, OptionError

_decode = native.kernel(
    "bc7_decode", blocks="in u8", texels="out u8", block_columns="i64", top="i64", left="i64",
    height="i64", width="i64", stride="i64", channels="i32", threads="i32",
)  # fmt: skip


def decode_blocks(blocks: np.ndarray) -> np.ndarray:
    """Decode blocks one by one.

    blocks: uint8 (N, 16). Returns uint8 (N, 16, 4): texels in row-major order, R, G, B, A.
    A reserved block (first byte 0) is transparent black. Raises FormatError for another shape or
    type.
    """
    blocks = np.asarray(blocks)
    if blocks.dtype != np.uint8 or blocks.ndim != 2 or blocks.shape[1] != BLOCK_BYTES:
        raise FormatError(
            f"BC7 blocks are uint8 of shape (N, {BLOCK_BYTES}), "
            f"these are {blocks.dtype} of shape {blocks.shape}"
        )
    height = BLOCK_SIDE * len(blocks)  # of a picture one block wide
    texels = decode_image(blocks, height, BLOCK_SIDE) if height else np.empty(0, dtype=np.uint8)
    return texels.reshape(-1, 16, 4)


def decode_image(
    blocks: bytes | np.ndarray, height: int, width: int, *, channels: int = 4
) -> np.ndarray:
    """Decode a picture of ceil(height / 4) * ceil(width / 4) blocks in row-major order.

    channels: 4, or 3 for R, G, B alone. Returns uint8 (height, width, channels). Raises FormatError
    where the number of bytes does not fit.
    """
    return decode_window(blocks, height, width, 0, 0, height, width, channels=channels)


def decode_window(
    blocks: bytes | np.ndarray,
    height: int,
    width: int,
    top: int,
    left: int,
    window_height: int,
    window_width: int,
    *,
    channels: int = 4,
) -> np.ndarray:
    """Decode a window of a picture, reading only the blocks that it touches.

    blocks, height, width: the whole picture, as in `decode_image`. The window starts at row `top`
    and column `left`. Returns uint8 (window_height, window_width, channels). Raises FormatError
    where the number of bytes does not fit, OptionError where the window leaves the picture.
    """
    blocks = _checked_blocks(blocks, height, width)
    if channels not in (3, 4):
        raise OptionError(f"BC7 decodes to 3 or 4 channels, not to {channels}")
    if (
        min(top, left, window_height, window_width) < 0
        or top + window_height > height
        or left + window_width > width
    ):
        raise OptionError(
            f"a window of {window_width} x {window_height} at column {left}, row {top} "
            f"leaves the picture of {width} x {height}"
        )
    window = np.empty((window_height, window_width, channels), dtype=np.uint8)
    _decode(
        blocks=blocks,
        texels=window,
        block_columns=block_grid(height, width)[1],
        top=top,
        left=left,
        height=window_height,
        width=window_width,
        channels=channels,
    )
    return window


def _checked_blocks(blocks: bytes | np.ndarray, height: int, width: int) -> np.ndarray:
    """Return the blocks as uint8, contiguous, as many as the picture has."""
    if height < 1 or width < 1:
        raise OptionError(f"a picture of {width} x {height} texels has no blocks")
    if not isinstance(blocks, np.ndarray):
        blocks = np.frombuffer(blocks, dtype=np.uint8)
    if blocks.dtype != np.uint8:
        raise FormatError(f"BC7 blocks are uint8, these are {blocks.dtype}")
    rows, columns = block_grid(height, width)
    expected = rows * columns * BLOCK_BYTES
    if blocks.size != expected:
        raise FormatError(
            f"BC7 blocks of a {width} x {height} picture take {expected} bytes, "
            f"here are {blocks.size}"
        )
    return np.ascontiguousarray(blocks)
