"""BC6H encoder: the finest mode that holds a block's ends, with one line or two.

    texels ─▶ one line ─▶ rank: which partitions? ─▶ two lines ─▶ least error ─▶ descend ─▶ 16 bytes

What is made least is the square error of R, G and B in steps of float16, nearly logarithms: a dark
texel counts as much as a bright one. The kernel is native/bc6/encode.cpp with the headers beside it,
its readable twin `reference.encode.encode_blocks`.
"""

import numpy as np

from smalti import native
from smalti.bc6.layout import BLOCK_BYTES
from smalti.bc6.search import EFFORTS
from smalti.bc7.layout import block_grid
from smalti.errors import ImageError, OptionError

_encode = native.kernel(
    "bc6_encode", halves="in u16?", floats="in f32?", blocks="out u8", height="i64", width="i64",
    channels="i32", effort="i32", is_signed="i32", threads="i32",
)  # fmt: skip


def encode_image(light: np.ndarray, *, effort: str = "medium", signed: bool = False) -> bytes:
    """Encode a picture into ceil(height / 4) * ceil(width / 4) blocks in row-major order.

    light: float (H, W, 3) or (H, W, 4), whose alpha is not looked at; linear. What is beyond
    +-65504 becomes that, and what is negative 0 unless `signed` (BC6H_SF16, which is half as fine).
    Edge texels are repeated where a side is no multiple of 4. effort: ultrafast, fast, medium, high
    or best.

    Raises ImageError for another shape or type, or NaN; OptionError for an unknown effort.
    """
    if effort not in EFFORTS:
        raise OptionError(f"unknown effort {effort!r}; known: {', '.join(EFFORTS)}")
    light = np.asarray(light)
    if light.dtype.kind != "f" or light.ndim != 3 or light.shape[2] not in (3, 4) or not light.size:
        raise ImageError(
            "the BC6H encoder takes floats of shape (height, width, 3) or (height, width, 4), "
            f"this is {light.dtype} of shape {light.shape}"
        )
    if light.dtype == np.float16:
        numbers = np.ascontiguousarray(light).view(np.uint16)
        missing = int(((numbers & 0x7FFF) > 0x7C00).sum())  # faster than isnan of float16
    else:
        numbers = np.ascontiguousarray(light, np.float32)
        missing = int(np.isnan(numbers).sum())
    if missing:
        raise ImageError(f"{missing} of the picture's {light.size} values are NaN")
    height, width, channels = light.shape
    rows, columns = block_grid(height, width)
    blocks = np.empty((rows, columns, BLOCK_BYTES), np.uint8)
    _encode(
        halves=numbers if numbers.dtype == np.uint16 else None,
        floats=numbers if numbers.dtype == np.float32 else None,
        blocks=blocks,
        height=height,
        width=width,
        channels=channels,
        effort=list(EFFORTS).index(effort),
        is_signed=signed,
    )
    return blocks.tobytes()
