"""The native kernels of textures of tables (`native/fits/tables.cpp`); twin: `reference`."""

from typing import TYPE_CHECKING

import numpy as np

from smalti import native
from smalti.fits.tables.levels import Axis

if TYPE_CHECKING:
    from smalti.fits.tables.model import Shape

TILE = 256  # texels that the gradient takes at a time
STRIDE = TILE + 16  # numbers of one feature of a tile
PARTS = 16  # sums into which the network's gradient is divided, however many threads there are
MAX_ROOMS = 64

_READS = {
    "values": "in f32", "table": "in i64", "row_halves": "in i32", "row_weights": "in f32",
    "column_halves": "in i32", "column_weights": "in f32", "widths": "in i32",
}  # fmt: skip
_gradient = native.kernel(
    "fits_tables_gradient", **_READS, texel_rows="in i32", texel_columns="in i32",
    target="in f32", gradient="out f32", losses="out f64", features="out f32", parts="out f32",
    room="out f32", value_count="i64", network="i64", rows="i64", columns="i64", count="i64",
    levels="i32", layers="i32", activation="i32", rooms="i32", threads="i32",
)  # fmt: skip
_draw = native.kernel(
    "fits_tables_render", **_READS, picture="out f32", network="i64", rows="i64", columns="i64",
    levels="i32", layers="i32", activation="i32", threads="i32",
)  # fmt: skip
_round = native.kernel(
    "fits_tables_round", values="in f32", seen="out f32", entries="i64", features="i32", steps="i32"
)


class Gradient:
    """The gradient of the mean square error over some texels, with the memory to work in."""

    def __init__(self, shape: "Shape", target: np.ndarray, *, threads: int | None = None) -> None:
        """target: float32 `H W C`; of RGBA premultiplied colour, as the error is of what is seen."""
        self.shape, self.target = shape, target
        self.threads = native.threads() if threads is None else threads
        rooms = min(self.threads, MAX_ROOMS)
        inner = shape.widths[0] + 2 * sum(shape.widths[1:-1]) + shape.widths[-1]
        height, width = target.shape[:2]
        down = shape.axis(np.arange(height), vertical=True)
        across = shape.axis(np.arange(width), vertical=False)
        self.given = _given(shape, down, across) | {
            "target": target,
            "losses": np.zeros(PARTS),
            "parts": np.empty(PARTS * (shape.value_count - shape.network), np.float32),
            "room": np.empty(rooms * STRIDE * inner, np.float32),
            "value_count": shape.value_count,
            "rooms": rooms,
            "threads": self.threads,
        }
        self.features = np.empty(0, np.float32)

    def __call__(
        self, values: np.ndarray, rows: np.ndarray, columns: np.ndarray, out: np.ndarray
    ) -> float:
        """The mean square error; its gradient is added to `out`.

        values, out: float32, all parameters. rows, columns: int32 (N,), the texels.
        """
        needed = -(-len(rows) // TILE) * STRIDE * self.shape.widths[0]
        if self.features.size < needed:
            self.features = np.empty(needed, np.float32)
        _gradient(
            values=values, texel_rows=rows, texel_columns=columns, gradient=out,
            features=self.features, count=len(rows), **self.given,
        )  # fmt: skip
        return float(self.given["losses"].sum())


def render(shape: "Shape", values: np.ndarray, down: Axis, across: Axis) -> np.ndarray:
    """The picture `R K C` in [0, 1] at every crossing of R rows and K columns."""
    picture = np.empty(
        (down.weights.shape[1], across.weights.shape[1], shape.widths[-1]), np.float32
    )
    _draw(values=values, picture=picture, **_given(shape, down, across))
    return picture


def round_tables(shape: "Shape", values: np.ndarray, levels: int, seen: np.ndarray) -> None:
    """The tables of `values` in `seen`, as a file of so many levels a value will hold them."""
    tables = zip(shape.tables(values), shape.tables(seen), strict=True)
    for table, out in tables:
        _round(
            values=table, seen=out, entries=len(table), features=table.shape[1], steps=levels - 1
        )


def _given(shape: "Shape", down: Axis, across: Axis) -> dict:
    """What both kernels read beside the parameters."""
    return {
        "table": shape.table,
        "row_halves": down.halves,
        "row_weights": down.weights,
        "column_halves": across.halves,
        "column_weights": across.weights,
        "widths": np.array(shape.widths, np.int32),
        "network": shape.network,
        "rows": down.weights.shape[1],
        "columns": across.weights.shape[1],
        "levels": len(shape.levels),
        "layers": len(shape.widths) - 1,
        "activation": shape.activation,
    }
