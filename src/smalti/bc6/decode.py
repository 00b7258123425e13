"""BC6H decoder: all fourteen modes, in integers, to the same texels as every other decoder.

    16 bytes ──fields──▶ endpoints, weights ──interpolate──▶ 16 texels ──crop──▶ picture

The kernel is native/bc6/decode.cpp, its readable twin `reference.decode.decode_block`.
"""

import numpy as np

from smalti import native
from smalti.bc6.layout import BLOCK_BYTES
from smalti.bc7.layout import block_grid
from smalti.errors import FormatError, OptionError

_decode = native.kernel(
    "bc6_decode", blocks="in u8", texels="out u16", block_columns="i64", top="i64", left="i64",
    height="i64", width="i64", channels="i32", is_signed="i32", threads="i32",
)  # fmt: skip


def decode_image(
    blocks: bytes | np.ndarray, height: int, width: int, *, signed: bool = False, channels: int = 3
) -> np.ndarray:
    """Decode a picture of ceil(height / 4) * ceil(width / 4) blocks in row-major order.

    signed: the blocks are BC6H_SF16, else BC6H_UF16. channels: 3, or 4 with an alpha of 1. Returns
    float16 (height, width, channels), linear light; never infinite, never NaN. Raises FormatError
    where the number of bytes does not fit.
    """
    return decode_window(
        blocks, height, width, 0, 0, height, width, signed=signed, channels=channels
    )


def decode_window(
    blocks: bytes | np.ndarray,
    height: int,
    width: int,
    top: int,
    left: int,
    window_height: int,
    window_width: int,
    *,
    signed: bool = False,
    channels: int = 3,
) -> np.ndarray:
    """Decode a window of a picture, reading only the blocks that it touches.

    blocks, height, width: the whole picture, as in `decode_image`. The window starts at row `top`
    and column `left`. Returns float16 (window_height, window_width, channels). Raises FormatError
    where the number of bytes does not fit, OptionError where the window leaves the picture.
    """
    blocks = _checked_blocks(blocks, height, width)
    if channels not in (3, 4):
        raise OptionError(f"BC6H decodes to 3 or 4 channels, not to {channels}")
    if (
        min(top, left, window_height, window_width) < 0
        or top + window_height > height
        or left + window_width > width
    ):
        raise OptionError(
            f"a window of {window_width} x {window_height} at column {left}, row {top} "
            f"leaves the picture of {width} x {height}"
        )
    window = np.empty((window_height, window_width, channels), np.uint16)
    _decode(
        blocks=blocks,
        texels=window,
        block_columns=block_grid(height, width)[1],
        top=top,
        left=left,
        height=window_height,
        width=window_width,
        channels=channels,
        is_signed=signed,
    )
    return window.view(np.float16)


def _checked_blocks(blocks: bytes | np.ndarray, height: int, width: int) -> np.ndarray:
    """The blocks as uint8, contiguous, as many as the picture has."""
    if height < 1 or width < 1:
        raise OptionError(f"a picture of {width} x {height} texels has no blocks")
    if not isinstance(blocks, np.ndarray):
        blocks = np.frombuffer(blocks, np.uint8)
    if blocks.dtype != np.uint8:
        raise FormatError(f"BC6H blocks are uint8, these are {blocks.dtype}")
    rows, columns = block_grid(height, width)
    expected = rows * columns * BLOCK_BYTES
    if blocks.size != expected:
        raise FormatError(
            f"BC6H blocks of a {width} x {height} picture take {expected} bytes, "
            f"here are {blocks.size}"
        )
    return np.ascontiguousarray(blocks)
