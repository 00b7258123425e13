"""The context model in training on a GPU: the twin of native/fits/context.cpp.

A grid at a time, all tiles of it at once: a node knows its tile by its place. Nodes leave the
gradients of what they looked at in `parts`, `INPUTS + 1 N`, and a second kernel gathers, for every
value, what the nodes that looked at it left: nothing is added by two programs at once.
"""

import numpy as np
import torch
import triton
import triton.language as tl
from torch import Tensor

from smalti.fits.picture.coder import HIDDEN
from smalti.fits.picture.context import BITS, COARSE, HIGHEST, INPUTS, LOWEST, NEAR
from smalti.fits.picture.layout import COMMON, Layout

BLOCK = 64  # nodes
PROGRAMS = 512  # at most, where each leaves partial sums of the network's gradients
PADDED = 32  # rows of an array of inputs: a power of two
LOW, HIGH = tl.constexpr(float(LOWEST)), tl.constexpr(float(HIGHEST))
OWN, ALL = tl.constexpr(len(NEAR)), tl.constexpr(INPUTS)
UNITS, ROWS = tl.constexpr(HIDDEN), tl.constexpr(PADDED)


class Costs:
    """Bits of all grids of a layout and their gradients, on one device."""

    def __init__(self, layout: Layout, device: torch.device) -> None:
        self.layout = layout
        offsets = np.zeros((2, PADDED), np.int32)
        offsets[:, :INPUTS] = np.concatenate([NEAR, COARSE]).T
        self._offsets = torch.from_numpy(offsets).to(device)
        most = max(rows * columns for rows, columns in layout.shapes)
        self._parts = torch.empty((INPUTS + 1) * most, device=device)

    def add(
        self, values: Tensor, gradient: Tensor, scale: float, network: tuple[Tensor, ...]
    ) -> tuple[Tensor, list[Tensor]]:
        """Bits of flat values, and the gradients of the network (w1, b1, w2, b2, w3, b3).

        Adds `scale` times the bits' gradients to those of the values; those of the network are
        times `scale` too.
        """
        bits = values.new_zeros(())
        d_network = [torch.zeros_like(array) for array in network]
        for grid in range(len(self.layout.levels)):
            found, parts = self._grid(grid, values, gradient, scale, network)
            bits += found
            for total, part in zip(d_network, parts, strict=True):
                total += part
        return bits * float(BITS), d_network

    def _grid(
        self,
        grid: int,
        values: Tensor,
        gradient: Tensor,
        scale: float,
        network: tuple[Tensor, ...],
    ) -> tuple[Tensor, list[Tensor]]:
        layout, offsets = self.layout, self.layout.offsets
        rows, columns = layout.shapes[grid]
        level, count = layout.levels[grid], rows * columns
        side = layout.tile >> level
        tile = (rows, columns) if level >= COMMON else (side, side)
        coarse, has = max(grid - 1, 0), grid > 0  # the first grid looks at no other
        shift = layout.levels[coarse] - level
        c_rows, c_columns = layout.shapes[coarse]
        own = values[offsets[grid] : offsets[grid + 1]]
        other = values[offsets[coarse] : offsets[coarse + 1]]
        blocks = triton.cdiv(count, BLOCK)
        programs = min(blocks, PROGRAMS)
        shapes = (
            (HIDDEN, PADDED),
            (HIDDEN,),
            (HIDDEN, HIDDEN),
            (HIDDEN,),
            (HIDDEN, HIDDEN),
            (HIDDEN,),
        )
        sums = [values.new_empty((programs, *shape)) for shape in shapes]
        nats = values.new_empty(programs)
        _cost_kernel[(programs,)](
            own, other, self._offsets, *network, self._parts, *sums, nats,
            scale * float(BITS), rows, columns, *tile, c_columns, blocks, programs,
            SHIFT=shift, HAS=has, BLOCK=BLOCK,
        )  # fmt: skip
        _gather_kernel[(blocks,)](
            self._parts, self._offsets, gradient[offsets[grid] : offsets[grid + 1]],
            rows, columns, *tile, BLOCK=BLOCK,
        )  # fmt: skip
        if has:
            _gather_coarse_kernel[(triton.cdiv(c_rows * c_columns, BLOCK),)](
                self._parts, self._offsets, gradient[offsets[coarse] : offsets[coarse + 1]],
                rows, columns, *tile, c_rows, c_columns, SHIFT=shift, BLOCK=BLOCK,
            )  # fmt: skip
        d_network = [
            total.sum(0)[tuple(slice(size) for size in array.shape)]
            for total, array in zip(sums, network, strict=True)
        ]
        return nats.sum(), d_network


@triton.jit
def _cost(distance, log_inverse):
    """Nats and their derivatives by both arguments: `fits.picture.reference.nats`."""
    inside = (log_inverse > LOW) & (log_inverse < HIGH)
    u = tl.exp(tl.minimum(tl.maximum(log_inverse, LOW), HIGH))
    d = tl.abs(distance)
    sign = tl.where(distance >= 0.0, 1.0, -1.0)
    a = tl.exp(-u)
    near, far = tl.exp(-tl.abs(d - 0.5) * u), tl.exp(-(d + 0.5) * u)
    central = d < 0.5
    mass = 1.0 - 0.5 * (near + far)
    nats = -tl.log(tl.where(central, mass, 0.5 * (1.0 - a)))
    nats += tl.where(central, 0.0, (d - 0.5) * u)
    safe = tl.where(central, mass, 1.0)
    by_d = tl.where(central, 0.5 * u * (near - far) / safe, u)
    by_u = tl.where(
        central,
        -0.5 * ((0.5 - d) * near + (0.5 + d) * far) / safe,
        (d - 0.5) - a / (1.0 - a),
    )
    return nats, by_d * sign, tl.where(inside, by_u * u, 0.0)


@triton.jit
def _weights(pointer, rows: tl.constexpr, columns: tl.constexpr, M: tl.constexpr, N: tl.constexpr):
    i, j = tl.arange(0, M)[:, None], tl.arange(0, N)[None, :]
    return tl.load(pointer + i * columns + j, mask=(i < rows) & (j < columns), other=0.0)


@triton.jit
def _bias(pointer, rows: tl.constexpr):
    i = tl.arange(0, UNITS)
    return tl.load(pointer + i, mask=i < rows, other=0.0)[:, None]


@triton.jit
def _cost_kernel(
    values, coarse, offsets, w1, b1, w2, b2, w3, b3, parts, dw1, db1, dw2, db2, dw3, db3, nats,
    factor, rows, columns, tile_rows, tile_columns, c_columns, blocks, programs,
    SHIFT: tl.constexpr, HAS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    program = tl.program_id(0)
    count = rows * columns
    m1 = _weights(w1, UNITS, ALL, UNITS, ROWS)
    m2 = _weights(w2, UNITS, UNITS, UNITS, UNITS)
    m3 = _weights(w3, 2, UNITS, UNITS, UNITS)
    v1, v2, v3 = _bias(b1, UNITS), _bias(b2, UNITS), _bias(b3, 2)
    k, o = tl.arange(0, ROWS)[:, None], tl.arange(0, UNITS)[:, None]
    down, across = tl.load(offsets + k), tl.load(offsets + ROWS + k)
    s1 = tl.zeros((UNITS, ROWS), tl.float32)
    s2 = tl.zeros((UNITS, UNITS), tl.float32)
    s3 = tl.zeros((UNITS, UNITS), tl.float32)
    t1 = tl.zeros((UNITS,), tl.float32)
    t2 = tl.zeros((UNITS,), tl.float32)
    t3 = tl.zeros((UNITS,), tl.float32)
    total = tl.zeros((BLOCK,), tl.float32)
    for block in range(program, blocks, programs):
        node = block * BLOCK + tl.arange(0, BLOCK)
        exists = node < count
        row, column = node // columns, node % columns
        top, left = row // tile_rows * tile_rows, column // tile_columns * tile_columns
        bottom, right = tl.minimum(top + tile_rows, rows), tl.minimum(left + tile_columns, columns)
        y, x = row[None, :] + down, column[None, :] + across
        seen = (k < OWN) & exists[None, :] & (y >= top[None, :]) & (y < bottom[None, :])
        seen = seen & (x >= left[None, :]) & (x < right[None, :])
        inputs = tl.load(values + y * columns + x, mask=seen, other=0.0)
        if HAS:
            c_top, c_left = top >> SHIFT, left >> SHIFT
            c_bottom = c_top + ((bottom - top + SHIFT) >> SHIFT)
            c_right = c_left + ((right - left + SHIFT) >> SHIFT)
            y, x = (row >> SHIFT)[None, :] + down, (column >> SHIFT)[None, :] + across
            seen = (k >= OWN) & (k < ALL) & exists[None, :]
            seen = seen & (y >= c_top[None, :]) & (y < c_bottom[None, :])
            seen = seen & (x >= c_left[None, :]) & (x < c_right[None, :])
            inputs += tl.load(coarse + y * c_columns + x, mask=seen, other=0.0)

        h1 = tl.maximum(tl.dot(m1, inputs, input_precision="ieee") + v1, 0.0)
        h2 = tl.maximum(tl.dot(m2, h1, input_precision="ieee") + v2, 0.0)
        out = tl.dot(m3, h2, input_precision="ieee") + v3
        mean = tl.sum(tl.where(o == 0, out, 0.0), axis=0)
        log_inverse = tl.sum(tl.where(o == 1, out, 0.0), axis=0)
        own = tl.load(values + node, mask=exists, other=0.0)
        cost, by_distance, by_log = _cost(own - mean, log_inverse)
        total += tl.where(exists, cost, 0.0)
        by_distance = tl.where(exists, by_distance, 0.0) * factor
        by_log = tl.where(exists, by_log, 0.0) * factor

        d_out = tl.where(o == 0, -by_distance[None, :], 0.0)
        d_out += tl.where(o == 1, by_log[None, :], 0.0)
        s3 += tl.dot(d_out, tl.trans(h2), input_precision="ieee")
        t3 += tl.sum(d_out, axis=1)
        d_h2 = tl.dot(tl.trans(m3), d_out, input_precision="ieee")
        d_h2 = tl.where(h2 > 0.0, d_h2, 0.0)
        s2 += tl.dot(d_h2, tl.trans(h1), input_precision="ieee")
        t2 += tl.sum(d_h2, axis=1)
        d_h1 = tl.dot(tl.trans(m2), d_h2, input_precision="ieee")
        d_h1 = tl.where(h1 > 0.0, d_h1, 0.0)
        s1 += tl.dot(d_h1, tl.trans(inputs), input_precision="ieee")
        t1 += tl.sum(d_h1, axis=1)
        d_inputs = tl.dot(tl.trans(m1), d_h1, input_precision="ieee")
        kept = (k < ALL) & exists[None, :]
        tl.store(parts + k * count + node[None, :], d_inputs, mask=kept)
        tl.store(parts + ALL * count + node, by_distance, mask=exists)
    i, j, n = (
        tl.arange(0, UNITS)[:, None],
        tl.arange(0, ROWS)[None, :],
        tl.arange(0, UNITS)[None, :],
    )
    tl.store(dw1 + program * UNITS * ROWS + i * ROWS + j, s1)
    tl.store(dw2 + program * UNITS * UNITS + i * UNITS + n, s2)
    tl.store(dw3 + program * UNITS * UNITS + i * UNITS + n, s3)
    unit = tl.arange(0, UNITS)
    tl.store(db1 + program * UNITS + unit, t1)
    tl.store(db2 + program * UNITS + unit, t2)
    tl.store(db3 + program * UNITS + unit, t3)
    tl.store(nats + program, tl.sum(total, axis=0))


@triton.jit
def _gather_kernel(
    parts, offsets, gradient, rows, columns, tile_rows, tile_columns, BLOCK: tl.constexpr
):  # fmt: skip
    """To each value's gradient: its own part, and those of the nodes of its tile that saw it."""
    count = rows * columns
    node = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    exists = node < count
    row, column = node // columns, node % columns
    top, left = row // tile_rows * tile_rows, column // tile_columns * tile_columns
    bottom, right = tl.minimum(top + tile_rows, rows), tl.minimum(left + tile_columns, columns)
    total = tl.load(gradient + node, mask=exists, other=0.0)
    total += tl.load(parts + ALL * count + node, mask=exists, other=0.0)
    for k in range(OWN):
        y, x = row - tl.load(offsets + k), column - tl.load(offsets + ROWS + k)
        saw = exists & (y >= top) & (y < bottom) & (x >= left) & (x < right)
        total += tl.load(parts + k * count + y * columns + x, mask=saw, other=0.0)
    tl.store(gradient + node, total, mask=exists)


@triton.jit
def _gather_coarse_kernel(
    parts, offsets, gradient, rows, columns, tile_rows, tile_columns, c_rows, c_columns,
    SHIFT: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The same for the coarser grid, `gradient`, that the nodes of a grid looked at."""
    count = rows * columns
    node = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    exists = node < c_rows * c_columns
    row, column = node // c_columns, node % c_columns
    total = tl.load(gradient + node, mask=exists, other=0.0)
    for k in range(OWN, ALL):
        y, x = row - tl.load(offsets + k), column - tl.load(offsets + ROWS + k)
        for child in tl.static_range(1 << (2 * SHIFT)):
            down, across = (y << SHIFT) + (child >> SHIFT), (x << SHIFT) + child % (1 << SHIFT)
            # the coarse box of the child's tile
            top, left = down // tile_rows * tile_rows, across // tile_columns * tile_columns
            bottom = tl.minimum(top + tile_rows, rows)
            right = tl.minimum(left + tile_columns, columns)
            c_bottom = (top >> SHIFT) + ((bottom - top + SHIFT) >> SHIFT)
            c_right = (left >> SHIFT) + ((right - left + SHIFT) >> SHIFT)
            saw = exists & (y >= 0) & (x >= 0) & (down < rows) & (across < columns)
            saw = saw & (row >= top >> SHIFT) & (row < c_bottom)
            saw = saw & (column >= left >> SHIFT) & (column < c_right)
            total += tl.load(parts + k * count + down * columns + across, mask=saw, other=0.0)
    tl.store(gradient + node, total, mask=exists)
