"""BC7 encoder: all eight modes, the best of those that are worth a trial.

    texels ─┬─ alpha 255 throughout ──▶ mode 6 ─▶ modes 1, 3, 0, 2 by rank ─▶ modes 5, 4 ─┬─▶ 16 bytes
            └─ else ──────────────────▶ modes 5, 4, 6 ─▶ mode 7 by rank ──────────────────┘

Moments tell what error to expect of each mode and partition; the most promising are tried, and the
exact error of the decoded block decides. The kernel is native/bc7/encode.cpp with the headers beside
it, its readable twin `reference.encode.encode_block`.
"""

from collections.abc import Callable

import numpy as np

from smalti import native
from smalti.bc7.layout import BLOCK_BYTES, BLOCK_SIDE, block_grid
from smalti.bc7.metric import metric as metric_of
from smalti.bc7.search import EFFORTS
from smalti.errors import ImageError, OptionError

ENGINES = ("pca", "nelder-mead")  # of mode 6, to learn from: mode6.py
STRIP_TEXELS = 1 << 21  # encoded before progress is told

_encode = native.kernel(
    "bc7_encode", texels="in u8", blocks="out u8", metric="in f32", height="i64", width="i64",
    stride="i64", channels="i32", effort="i32", threads="i32",
)  # fmt: skip


def encode_image(
    image: np.ndarray,
    *,
    effort: str = "medium",
    metric: str = "rgba",
    weights: tuple[float, ...] = (1, 1, 1, 1),
    rdo: float = 0.0,
    on_rows: Callable[[int, int], None] | None = None,
) -> bytes:
    """Encode a picture into ceil(height / 4) * ceil(width / 4) blocks in row-major order.

    image: uint8 (H, W, 4), straight alpha, or (H, W, 3), opaque; edge texels are repeated where a
    side is no multiple of 4. effort: ultrafast, fast, medium, high or best; or "pca",
    "nelder-mead", two engines of mode 6 for comparison (mode6.py), which know the rgba metric only.
    metric, weights: what is made least, see `metric.metric`; colour under alpha 0 counts in "data"
    alone. rdo: Lagrange multiplier of rdo.optimise, which then makes the blocks compress better; 0 for
    none. on_rows: called with (block rows done, block rows in all).

    Guaranteed at the five efforts: a texel of alpha 255 decodes to alpha 255, one of 0 to 0.

    Raises ImageError for another shape or type, OptionError for an unknown effort or metric.
    """
    if effort not in EFFORTS and effort not in ENGINES:
        raise OptionError(f"unknown effort {effort!r}; known: {', '.join((*EFFORTS, *ENGINES))}")
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (3, 4) or not image.size:
        raise ImageError(
            "the BC7 encoder takes uint8 of shape (height, width, 4) or (height, width, 3), "
            f"this is {image.dtype} of shape {image.shape}"
        )
    parameters = metric_of(metric, weights)
    if not rdo >= 0:
        raise OptionError(f"rdo={rdo}; a Lagrange multiplier is 0 (none) or more")
    if metric == "data" and rdo > 0 and image.shape[2] == 4 and not image[..., 3].all():
        raise OptionError(
            f"rdo={rdo:g} does not keep colour under alpha 0, which metric data is for; leave out one"
        )
    if effort in ENGINES or rdo > 0:
        image = _with_alpha(image)
    rows, columns = block_grid(*image.shape[:2])
    blocks = np.empty((rows, columns, BLOCK_BYTES), dtype=np.uint8)
    strip = max(1, STRIP_TEXELS // (BLOCK_SIDE * BLOCK_SIDE * columns))
    for first in range(0, rows, strip):
        last = min(first + strip, rows)
        part = image[BLOCK_SIDE * first : BLOCK_SIDE * last]
        if effort in ENGINES:
            from smalti.bc7.mode6 import encode_mode6  # only who asks for them pays for them

            blocks[first:last].reshape(-1)[:] = np.frombuffer(encode_mode6(part, effort), np.uint8)
        else:
            _encode(
                texels=np.ascontiguousarray(part),
                blocks=blocks[first:last],
                metric=parameters,
                height=part.shape[0],
                width=part.shape[1],
                channels=part.shape[2],
                effort=list(EFFORTS).index(effort),
            )
        if on_rows:
            on_rows(last, rows)
    if rdo > 0:
        from smalti.bc7.rdo import optimise

        return optimise(blocks.tobytes(), image, lagrangian=rdo, weights=tuple(weights))
    return blocks.tobytes()


def _with_alpha(image: np.ndarray) -> np.ndarray:
    """The picture with four channels."""
    if image.shape[2] == 4:
        return image
    return np.dstack([image, np.full(image.shape[:2], 255, dtype=np.uint8)])
