"""Fitted textures on a CPU: features, network and loss of one tile of texels at a time.

    texels ─levels→ x ─W, f→ a ─W, f→ ... ─W, sigmoid→ y ─ (y - target)² and the way back

All parameters are one flat float32 vector: the tables of the levels, then each layer's weights
`outputs inputs` and biases. A tile is `TILE` texels, feature-major, so everything it needs stays in
the second-level cache, and nothing but parameters and gradients outlives it. The readable twin is
`smalti.models.texture.TextureModel.forward`, with torch's gradient.

The floor, for 65,536 texels of the default hash texture (16 levels of 2 features, 64 wide, 2 deep)
on one Zen 5 core at 4 GHz, with 2 x 16 multiply-adds a clock:
- network: 6,336 multiply-adds a texel, three times (forwards, inputs, weights): 1.25 G, 9.7 ms;
- activations: 128 pairs of sine and cosine a texel of 35 operations: 8.4 M pairs, 2.3 ms;
- levels: 64 entries of 8 bytes a texel, read once and added to once: 4.2 M of each; at 2 loads and
  1 store a clock, tables in the first-level cache: 1 + 2.6 ms;
- Adam: 101,399 parameters, 28 bytes each: 2.8 MB in the second- and third-level cache, 0.1 ms.
16 ms; `benchmarks/texture_speed.py` measures what is reached. Part by part, the best of six: reading
7 ms, forwards 7, error 2, backwards 13, adding to the tables 8; plain torch takes 240 for all.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from smalti.jit import announce, njit
from smalti.ops import dense
from smalti.ops.activations import activate, sigmoid
from smalti.ops.levels import Axis, read, spread

TILE = 128  # texels: 64 features are 32 KB, and the weights' sums over a tile are long enough
_TWO = np.float32(2)


class Layout(NamedTuple):
    """Where the numbers of a model lie in its vector of parameters."""

    table: np.ndarray  # int64 (L, 4), of `levels.as_table`
    network: int  # where the first layer's weights begin
    widths: np.ndarray  # int64: features, width of every hidden layer, channels
    activation: int  # an index into `activations.ACTIVATIONS`


def gradient(
    values: np.ndarray,
    layout: Layout,
    axes: tuple[Axis, Axis],
    rows: np.ndarray,
    columns: np.ndarray,
    target: np.ndarray,
    out: np.ndarray,
) -> float:
    """The mean square error over some texels; its gradient is added to `out`.

    values: float32, the parameters. axes: taps of all rows and columns of the picture. rows,
    columns: int64 (N,), the texels. target: float32 (height, width, C), C of 3 or 4; of RGBA with
    premultiplied colour, as the error is of what is visible. out: float32 (threads, parameters), a
    row for each thread that shall work.
    """
    announce(_descend, "the texture fit")
    tiles = -(-len(rows) // TILE)
    threads = min(len(out), tiles)
    losses = np.zeros(threads)

    def work(number: int, first: int, last: int) -> None:
        losses[number] = _descend(
            first, last, values, layout, *axes, rows, columns, target, out[number]
        )

    _in_bands(work, tiles, threads)
    return float(losses.sum() / (len(rows) * target.shape[2]))


def render(
    values: np.ndarray, layout: Layout, vertical: Axis, horizontal: Axis, *, threads: int
) -> np.ndarray:
    """The picture `C R K` in [0, 1] at every crossing of R rows and K columns."""
    announce(_draw, "the texture decoder")
    rows, columns = vertical.weights.shape[1], horizontal.weights.shape[1]
    picture = np.empty((int(layout.widths[-1]), rows * columns), np.float32)
    tiles = -(-rows * columns // TILE)

    def work(_: int, first: int, last: int) -> None:
        _draw(first, last, values, layout, vertical, horizontal, columns, picture)

    _in_bands(work, tiles, max(1, min(threads, tiles // 64)))  # 64 tiles are a millisecond
    return picture.reshape(-1, rows, columns)


def _in_bands(work: Callable[[int, int, int], None], count: int, bands: int) -> None:
    """`work(band, first, last)` for every band of 0 .. count, each in a thread of its own."""
    edges = [count * band // bands for band in range(bands + 1)]
    if bands == 1:
        work(0, 0, count)
        return
    with ThreadPoolExecutor(bands) as pool:
        calls = [pool.submit(work, band, *edge) for band, edge in enumerate(pairwise(edges))]
        for call in calls:
            call.result()


@njit(nogil=True, error_model="numpy")
def _forward(values, layout, a, slopes, out):
    """a[0] `features P` through the network into out `C P`, before the sigmoid."""
    at = layout.network
    last = layout.widths.size - 2
    for k in range(last + 1):
        n, m = layout.widths[k], layout.widths[k + 1]
        weight = values[at : at + n * m].reshape(m, n)
        bias = values[at + n * m : at + n * m + m]
        at += n * m + m
        if k == last:
            dense.forward(weight, bias, a[k, :n], out)
        else:
            z = slopes[k, :m]  # and its slope afterwards
            dense.forward(weight, bias, a[k, :n], z)
            activate(layout.activation, z, a[k + 1, :m])


@njit(nogil=True, error_model="numpy")
def _backward(values, layout, a, slopes, d_out, d_a, gradient):
    """d_out `C P` back to d_a `features P`, adding to the parameters' gradient; uses up `slopes`.

    One buffer for the way back, because parameters, gradient and tile share the second-level cache.
    """
    end = values.size
    d_z = d_out
    for k in range(layout.widths.size - 2, -1, -1):
        n, m = layout.widths[k], layout.widths[k + 1]
        at = end - n * m - m
        weight = values[at : at + n * m].reshape(m, n)
        d_weight = gradient[at : at + n * m].reshape(m, n)
        dense.backward_weights(d_z, a[k, :n], d_weight, gradient[at + n * m : end])
        dense.backward_input(weight, d_z, d_a[:n])
        if k > 0:
            d_z = slopes[k - 1, :n]
            _multiply(d_z, d_a[:n])
        end = at


@njit(nogil=True, error_model="numpy")
def _multiply(target, factor):
    for o in range(target.shape[0]):
        for p in range(target.shape[1]):
            target[o, p] *= factor[o, p]


@njit(nogil=True, error_model="numpy", fastmath={"contract"})
def _residual(y, target, rows, columns, count, scale, d_out):
    """The sum of square errors of the first `count` texels of a tile, and scale times its slope.

    y: `C P`, before the sigmoid.
    """
    channels, texels = y.shape
    for c in range(channels):
        for p in range(texels):
            y[c, p] = sigmoid(y[c, p])
    total = 0.0
    for p in range(texels):
        if p >= count:
            for c in range(channels):
                d_out[c, p] = 0
            continue
        if channels == 4:  # colours are seen through alpha
            alpha = y[3, p]
            r = alpha - target[rows[p], columns[p], 3]
            total += r * r
            d_alpha = r
            for c in range(3):
                r = y[c, p] * alpha - target[rows[p], columns[p], c]
                total += r * r
                d_alpha += r * y[c, p]
                d_out[c, p] = r * alpha
            d_out[3, p] = d_alpha
        else:
            for c in range(channels):
                r = y[c, p] - target[rows[p], columns[p], c]
                total += r * r
                d_out[c, p] = r
    for c in range(channels):
        for p in range(texels):
            d_out[c, p] *= scale * y[c, p] * (np.float32(1) - y[c, p])
    return total


@njit(nogil=True, error_model="numpy")
def _descend(first, last, values, layout, vertical, horizontal, rows, columns, target, gradient):
    """The sum of square errors of the tiles first .. last, and the gradient of the mean of all."""
    widest = layout.widths.max()
    layers = layout.widths.size - 1
    channels = layout.widths[layers]
    a = np.empty((layers, widest, TILE), np.float32)
    slopes = np.empty((layers - 1, widest, TILE), np.float32)
    d_a = np.empty((widest, TILE), np.float32)
    y, d_out = np.empty((channels, TILE), np.float32), np.empty((channels, TILE), np.float32)
    row, column = np.empty(TILE, np.int64), np.empty(TILE, np.int64)
    scale = _TWO / np.float32(rows.size * channels)
    total = 0.0
    for tile in range(first, last):
        start = tile * TILE
        count = min(TILE, rows.size - start)
        for p in range(TILE):  # a last, shorter tile repeats its last texel, for nothing
            row[p], column[p] = (
                rows[start + min(p, count - 1)],
                columns[start + min(p, count - 1)],
            )
        read(values, layout.table, vertical, horizontal, row, column, a[0])
        _forward(values, layout, a, slopes, y)
        total += _residual(y, target, row, column, count, scale, d_out)
        _backward(values, layout, a, slopes, d_out, d_a, gradient)
        spread(gradient, layout.table, vertical, horizontal, row, column, d_a)
    return total


@njit(nogil=True, error_model="numpy")
def _draw(first, last, values, layout, vertical, horizontal, n_columns, picture):
    """Tiles first .. last of the picture `C texels`."""
    widest = layout.widths.max()
    layers = layout.widths.size - 1
    channels = layout.widths[layers]
    a = np.empty((layers, widest, TILE), np.float32)
    slopes = np.empty((layers - 1, widest, TILE), np.float32)
    y = np.empty((channels, TILE), np.float32)
    row, column = np.empty(TILE, np.int64), np.empty(TILE, np.int64)
    for tile in range(first, last):
        start = tile * TILE
        count = min(TILE, picture.shape[1] - start)
        for p in range(TILE):
            texel = start + min(p, count - 1)
            row[p], column[p] = texel // n_columns, texel % n_columns
        read(values, layout.table, vertical, horizontal, row, column, a[0])
        _forward(values, layout, a, slopes, y)
        for c in range(channels):
            for p in range(count):
                picture[c, start + p] = sigmoid(y[c, p])
