"""Five figures on BC7, from one picture and one of its blocks.

line      the block's texels in RGB space, and the line that stands for them
simplex   the path of Nelder-Mead on the block
block     texels, palette, indices, the 128 bits, decoded texels, difference
pipeline  the way from the picture to the bytes
errors    the error map of the whole picture, for three encoders
"""

from collections.abc import Iterator

import numpy as np
from matplotlib.figure import Figure

from smalti.bc7.decode import decode_image
from smalti.bc7.encode import encode_image
from smalti.bc7.layout import BLOCK_BYTES, BLOCK_SIDE, block_grid
from smalti.bc7.mode6 import ENGINES, encode_mode6
from smalti.bc7.reference.mode6 import trace_block
from smalti.errors import OptionError
from smalti.explain import block as block_figure
from smalti.explain import colour_line, error_map, pipeline, simplex
from smalti.explain.anatomy import dissect
from smalti.image import as_picture, to_uint8


def figures(
    picture: np.ndarray, *, block: tuple[int, int] | None = None, effort: str, name: str
) -> Iterator[tuple[str, Figure | str]]:
    """Yield (name, figure) for each figure; a sentence in place of one that cannot be drawn.

    picture: whatever `smalti.image.as_picture` takes. block: its column and row, counted from 0; None for
    the one whose squared error Nelder-Mead lowers most. effort: of `encode_image`, for the
    block's own encoding. name: of the picture, for the titles.

    Raises:
        OptionError: an unknown effort, or a block beyond the picture.
    """
    image = as_rgba(picture)
    encoded = {engine: encode_mode6(image, engine) for engine in ENGINES}
    encoded[effort] = encode_image(image, effort=effort)
    height, width = image.shape[:2]
    decoded = {key: decode_image(data, height, width) for key, data in encoded.items()}
    rows, columns = block_grid(height, width)
    if block is None:
        block = _most_improved(image, *(decoded[engine] for engine in ENGINES))
    column, row = block
    if not (0 <= column < columns and 0 <= row < rows):
        raise OptionError(
            f"block {column},{row} is beyond the picture of {columns} x {rows} blocks: "
            f"0,0 to {columns - 1},{rows - 1}"
        )
    texels = _texels(image, column, row)
    start = BLOCK_BYTES * (row * columns + column)
    data = encoded[effort][start : start + BLOCK_BYTES]
    anatomy = dissect(data)
    where = f"block {column},{row} of {name}"

    yield "line", colour_line.figure(texels, anatomy, where)
    if texels[:, 3].any():
        trace = trace_block(texels, good_enough=0)
        if trace.steps:
            yield "simplex", simplex.figure(trace, where)
        else:
            yield "simplex", f"{where} is exact from the first guess: nothing to search"
        yield (
            "pipeline",
            pipeline.figure(
                image, block, texels, anatomy.texels,
                name=name, effort=effort, trace=trace_block(texels), mode=anatomy.number,
            ),
        )  # fmt: skip
    else:
        for figure in ("simplex", "pipeline"):
            yield figure, f"{where} is transparent: nothing to search"
    yield "block", block_figure.figure(texels, anatomy, data, where)
    yield "errors", error_map.figure(image, decoded, block, name)


def as_rgba(picture: np.ndarray) -> np.ndarray:
    """A picture of grey, grey and alpha, RGB or RGBA -> uint8 (H, W, 4)."""
    picture = to_uint8(as_picture(picture))
    channels = picture.shape[2]
    alpha = picture[..., -1:] if channels in (2, 4) else np.full_like(picture[..., :1], 255)
    colour = picture[..., : channels - (channels in (2, 4))]
    return np.concatenate([np.broadcast_to(colour, (*colour.shape[:2], 3)), alpha], axis=2)


def parse_block(text: str) -> tuple[int, int]:
    """(column, row) of "COLUMN,ROW".

    Raises:
        OptionError: something else.
    """
    column, comma, row = text.partition(",")
    if not (comma and column.isdecimal() and row.isdecimal()):
        raise OptionError(f"block {text!r}; write COLUMN,ROW, counted from 0, for instance 12,7")
    return int(column), int(row)


def _texels(image: np.ndarray, column: int, row: int) -> np.ndarray:
    """The 16 texels of a block, (16, 4), edge texels repeated."""
    y = np.minimum(BLOCK_SIDE * row + np.arange(BLOCK_SIDE), image.shape[0] - 1)
    x = np.minimum(BLOCK_SIDE * column + np.arange(BLOCK_SIDE), image.shape[1] - 1)
    return image[y[:, None], x].reshape(16, 4)


def _most_improved(image: np.ndarray, before: np.ndarray, after: np.ndarray) -> tuple[int, int]:
    """Column and row of the block whose squared error falls most."""
    gain = error_map.errors(image, before) ** 2 - error_map.errors(image, after) ** 2
    height, width = gain.shape
    gain = np.pad(gain, ((0, -height % BLOCK_SIDE), (0, -width % BLOCK_SIDE)))
    rows, columns = block_grid(height, width)
    sums = gain.reshape(rows, BLOCK_SIDE, columns, BLOCK_SIDE).sum(axis=(1, 3))
    row, column = np.unravel_index(sums.argmax(), sums.shape)
    return int(column), int(row)
