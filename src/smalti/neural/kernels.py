"""Fused numba kernels: features, network, error and gradients of one block at a time.

    nodes ─local─▶ block's nodes ─spread along x─▶ ─blend along y─▶ x ─dense, HGELU─▶ texels

A block is 64 x 16 texels of the finer mip level that a grid level serves, and what lies under them
in the coarser one: the same nodes. Nodes are spread along x once a row of nodes, not once a row of
texels, so that the bilinear blend of a feature costs little more than one multiply-add. A tile is
128 texels, features first, as `ops.dense` wants it, and stays in the first two caches from the
nodes to the gradient. The readable twin is `reference.py`.
"""

import numpy as np

from smalti.jit import njit
from smalti.ops.dense import backward_input, backward_weights, forward

BLOCK_WIDTH, BLOCK_HEIGHT = 64, 16  # texels of the finer mip level
TILE = 128  # texels: two rows of a block, or four of the coarser mip level's

# Columns of the table of grid levels: sides of the two mip levels (0: there is no coarser one),
# where their texels begin, and where the nodes of the two grids begin.
HEIGHT, WIDTH, TEXELS, FINE, COARSE = 0, 2, 4, 6, 9
COLUMNS = 12

LEVELS, NOISY, ROUNDED = 0, 1, 2  # nodes: levels as they are, or [0, 1] with noise, or rounded

KERNEL = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz"}}
_F = np.float32
_ZERO, _HALF, _ONE = _F(0), _F(0.5), _F(1)
_THIRD, _TWO_THIRDS, _BEND = _F(1 / 3), _F(2 / 3), _F(1.5)
_BYTE = _F(1 / 255)
BETA_1, BETA_2, EPSILON = _F(0.9), _F(0.99), _F(1e-8)  # of Adam


@njit(**KERNEL)
def activate(z, out):
    """HGELU: z clip(z + 3/2, 0, 3) / 3, a parabola between the zero line and the identity."""
    for i in range(z.shape[0]):
        for p in range(z.shape[1]):
            t = z[i, p]
            out[i, p] = t * min(max(t * _THIRD + _HALF, _ZERO), _ONE)


@njit(**KERNEL)
def activate_backward(z, d):
    """d *= the slope of HGELU at z."""
    for i in range(z.shape[0]):
        for p in range(z.shape[1]):
            t = z[i, p]
            slope = t * _TWO_THIRDS + _HALF
            slope = _ZERO if t <= -_BEND else slope
            d[i, p] *= _ONE if t >= _BEND else slope


@njit(**KERNEL)
def local_nodes(nodes, grid, steps, mode, repeat, top, left, random, out):
    """Nodes of a block and one more at each side, as the network sees them: value - 1/2.

    nodes: flat, float32 in [0, 1] or the uint8 levels themselves. grid: (first node, rows,
    columns), channel by channel. steps: levels less one. Beyond the edge the outermost node counts
    again, or with `repeat` the opposite one. random: uint64 (1,), of the noise of one step.
    """
    channels, rows, columns = out.shape
    start, height, width = grid
    size = _ONE / _F(steps)
    for c in range(channels):
        for r in range(rows):
            y = top - 1 + r
            y = y % height if repeat else min(max(y, 0), height - 1)
            row = start + (c * height + y) * width
            for k in range(columns):
                x = left - 1 + k
                x = x % width if repeat else min(max(x, 0), width - 1)
                value = _F(nodes[row + x])
                if mode == ROUNDED:
                    value = np.floor(value * _F(steps) + _HALF)
                if mode == NOISY:
                    # Knuth's MMIX generator; its upper 24 bits are the random ones
                    random[0] = random[0] * np.uint64(6364136223846793005) + np.uint64(
                        1442695040888963407
                    )
                    noise = _F(random[0] >> np.uint64(40)) * _F(2.0**-24)
                    out[c, r, k] = value + (noise - _HALF) * size - _HALF
                else:
                    out[c, r, k] = value * size - _HALF


@njit(**KERNEL)
def scatter_nodes(d_local, grid, repeat, top, left, gradient):
    """The gradient of `local_nodes`, rounding and noise passed through, added to `gradient`."""
    channels, rows, columns = d_local.shape
    start, height, width = grid
    for c in range(channels):
        for r in range(rows):
            y = top - 1 + r
            y = y % height if repeat else min(max(y, 0), height - 1)
            row = start + (c * height + y) * width
            for k in range(columns):
                x = left - 1 + k
                x = x % width if repeat else min(max(x, 0), width - 1)
                gradient[row + x] += d_local[c, r, k]


@njit(**KERNEL)
def tap(position, scale):
    """Of a texel of a block: the lower node, the halo's being 0, and the weight of the next one."""
    u = (_F(position) + _HALF) / _F(scale) + _HALF
    lower = int(u)
    return lower, u - _F(lower)


@njit(**KERNEL)
def spread(local, scale, texels, wide):
    """wide `channels rows 64`: at the first `texels`, the blend of two neighbours in x."""
    lower, weight = np.empty(BLOCK_WIDTH, np.int64), np.empty(BLOCK_WIDTH, np.float32)
    for t in range(texels):
        lower[t], weight[t] = tap(t, scale)
    for c in range(local.shape[0]):
        for r in range(local.shape[1]):
            for t in range(texels):
                a = local[c, r, lower[t]]
                wide[c, r, t] = a + weight[t] * (local[c, r, lower[t] + 1] - a)


@njit(**KERNEL)
def gather(d_wide, scale, texels, d_local):
    """The gradient of `spread`, added to d_local."""
    for t in range(texels):
        lower, weight = tap(t, scale)
        for c in range(d_local.shape[0]):
            for r in range(d_local.shape[1]):
                d = d_wide[c, r, t]
                d_local[c, r, lower] += (_ONE - weight) * d
                d_local[c, r, lower + 1] += weight * d


@njit(**KERNEL)
def blend(wide, scale, first_row, texels, x):
    """x `channels TILE`: rows of `texels` texels each, from `first_row` of the block on."""
    for r in range(TILE // texels):
        lower, weight = tap(first_row + r, scale)
        for c in range(wide.shape[0]):
            for t in range(texels):
                a = wide[c, lower, t]
                x[c, r * texels + t] = a + weight * (wide[c, lower + 1, t] - a)


@njit(**KERNEL)
def unblend(d_x, scale, first_row, texels, d_wide):
    """The gradient of `blend`, added to d_wide."""
    for r in range(TILE // texels):
        lower, weight = tap(first_row + r, scale)
        for c in range(d_wide.shape[0]):
            for t in range(texels):
                d = d_x[c, r * texels + t]
                d_wide[c, lower, t] += (_ONE - weight) * d
                d_wide[c, lower + 1, t] += weight * d


@njit(**KERNEL)
def write_phase(coarser, x):
    """The last three inputs: where in its cell of 2 x 2 a texel lies; 0 in the coarser level."""
    for p in range(TILE):
        across = _ZERO if coarser else _F(p % 2) - _HALF
        down = _ZERO if coarser else _F(p // BLOCK_WIDTH % 2) - _HALF
        x[0, p], x[1, p], x[2, p] = across, down, _F(2) * across * down


@njit(**KERNEL)
def block_of_nodes(block, scale):
    """First row and column of a block's nodes."""
    return block[1] * BLOCK_HEIGHT // scale, block[2] * BLOCK_WIDTH // scale


@njit(**KERNEL)
def room(channels, scale):
    """An array for the nodes of one block."""
    return np.empty((channels, BLOCK_HEIGHT // scale + 2, BLOCK_WIDTH // scale + 2), np.float32)


@njit(**KERNEL)
def residual(y, texels, first, height, width, rows, columns, top, left, weights, mask, sums, d_y):
    """d_y = the slope of the weighted square error; sums `C` gains the plain square error.

    The error is of what is seen, clipped to [0, 1], and the slope passes through the clipping: black
    and white, as in masks, may be overshot for nothing, which leaves more for their edges.

    texels: uint8, flat, channel by channel from `first` on. weights: float32 `C`. mask: the channel
    whose value weighs the others' errors (alpha), or -1. The tile's texels are `rows` rows of
    `columns` texels from (top, left); those outside height x width count nothing.
    """
    for c in range(y.shape[0]):
        plane = first + c * height * width
        for r in range(rows):
            v = top + r
            inside = min(columns, width - left) if v < height else 0
            start = r * columns
            for t in range(inside, columns):
                d_y[c, start + t] = 0
            if inside <= 0:
                continue
            line = plane + v * width + left
            seen, wanted = y[c, start : start + inside], texels[line : line + inside]
            slope = d_y[c, start : start + inside]
            total = _ZERO
            if mask >= 0 and mask != c:
                line = first + (mask * height + v) * width + left
                cover = texels[line : line + inside]
                for t in range(inside):
                    e = min(max(seen[t], _ZERO), _ONE) - _F(wanted[t]) * _BYTE
                    total += e * e
                    slope[t] = weights[c] * e * _F(cover[t]) * _BYTE
            else:
                for t in range(inside):
                    e = min(max(seen[t], _ZERO), _ONE) - _F(wanted[t]) * _BYTE
                    total += e * e
                    slope[t] = weights[c] * e
            sums[c] += total


@njit(**KERNEL)
def descend(
    blocks, table, grids, repeat, mode, random, nodes, network, texels, weights, mask,
    d_nodes, d_network, sums
):  # fmt: skip
    """Square errors of some blocks; their gradients are added to d_nodes and d_network.

    blocks: int64 (N, 3): grid level, row and column of the block. table: int64 (levels, COLUMNS).
    grids: (channels, scale, steps) of the fine and of the coarse grid. network: weights and biases
    of three layers. sums: float64 (2, C), the square errors in the finer
    and in the coarser mip levels.
    """
    w1, b1, w2, b2, w3, b3 = network
    dw1, db1, dw2, db2, dw3, db3 = d_network
    (fine, fine_scale, fine_steps), (coarse, coarse_scale, coarse_steps) = grids
    local, d_local = room(fine, fine_scale), room(fine, fine_scale)
    local_2, d_local_2 = room(coarse, coarse_scale), room(coarse, coarse_scale)
    wide = np.zeros((fine, local.shape[1], BLOCK_WIDTH), np.float32)
    wide_2 = np.zeros((coarse, local_2.shape[1], BLOCK_WIDTH), np.float32)
    d_wide, d_wide_2 = np.empty_like(wide), np.empty_like(wide_2)
    features = fine + coarse
    x, d_x = np.empty((w1.shape[1], TILE), np.float32), np.empty((w1.shape[1], TILE), np.float32)
    z_1, h_1 = np.empty((len(b1), TILE), np.float32), np.empty((len(b1), TILE), np.float32)
    z_2, h_2 = np.empty((len(b2), TILE), np.float32), np.empty((len(b2), TILE), np.float32)
    y, d_y = np.empty((len(b3), TILE), np.float32), np.empty((len(b3), TILE), np.float32)
    for n in range(len(blocks)):
        level = table[blocks[n, 0]]
        block = blocks[n]
        grid = level[FINE], level[FINE + 1], level[FINE + 2]
        grid_2 = level[COARSE], level[COARSE + 1], level[COARSE + 2]
        top, left = block_of_nodes(block, fine_scale)
        top_2, left_2 = block_of_nodes(block, coarse_scale)
        local_nodes(nodes, grid, fine_steps, mode, repeat, top, left, random, local)
        local_nodes(nodes, grid_2, coarse_steps, mode, repeat, top_2, left_2, random, local_2)
        d_local[:] = 0
        d_local_2[:] = 0
        for coarser in range(2):
            height, width = level[HEIGHT + coarser], level[WIDTH + coarser]
            rows, columns = BLOCK_HEIGHT >> coarser, BLOCK_WIDTH >> coarser
            first_row, first_column = block[1] * rows, block[2] * columns
            if first_row >= height or first_column >= width:
                continue
            scale, scale_2 = fine_scale >> coarser, coarse_scale >> coarser
            spread(local, scale, columns, wide)
            spread(local_2, scale_2, columns, wide_2)
            d_wide[:] = 0
            d_wide_2[:] = 0
            write_phase(coarser, x[features:])
            for row in range(0, min(rows, height - first_row), TILE // columns):
                blend(wide, scale, row, columns, x[:fine])
                blend(wide_2, scale_2, row, columns, x[fine:features])
                forward(w1, b1, x, z_1)
                activate(z_1, h_1)
                forward(w2, b2, h_1, z_2)
                activate(z_2, h_2)
                forward(w3, b3, h_2, y)
                residual(
                    y, texels, level[TEXELS + coarser], height, width, TILE // columns, columns,
                    first_row + row, first_column, weights, mask, sums[coarser], d_y
                )  # fmt: skip
                backward_weights(d_y, h_2, dw3, db3)
                backward_input(w3, d_y, h_2)
                activate_backward(z_2, h_2)
                backward_weights(h_2, h_1, dw2, db2)
                backward_input(w2, h_2, h_1)
                activate_backward(z_1, h_1)
                backward_weights(h_1, x, dw1, db1)
                backward_input(w1, h_1, d_x)
                unblend(d_x[:fine], scale, row, columns, d_wide)
                unblend(d_x[fine:features], scale_2, row, columns, d_wide_2)
            gather(d_wide, scale, columns, d_local)
            gather(d_wide_2, scale_2, columns, d_local_2)
        scatter_nodes(d_local, grid, repeat, top, left, d_nodes)
        scatter_nodes(d_local_2, grid_2, repeat, top_2, left_2, d_nodes)


@njit(**KERNEL)
def adam_nodes(blocks, table, grids, rate, unbiased_1, unbiased_2, nodes, d_nodes, first, second):
    """One step of Adam for the nodes inside some blocks, which uses up their gradients."""
    for n in range(len(blocks)):
        level = table[blocks[n, 0]]
        for g in range(2):
            channels, scale, _ = grids[g]
            at = FINE if g == 0 else COARSE
            start, height, width = level[at], level[at + 1], level[at + 2]
            top, left = block_of_nodes(blocks[n], scale)
            bottom = min(top + BLOCK_HEIGHT // scale, height)
            right = min(left + BLOCK_WIDTH // scale, width)
            for c in range(channels):
                for y in range(top, bottom):
                    row = start + (c * height + y) * width
                    for i in range(row + left, row + right):
                        d = d_nodes[i]
                        m = BETA_1 * first[i] + (_ONE - BETA_1) * d
                        v = BETA_2 * second[i] + (_ONE - BETA_2) * d * d
                        first[i], second[i], d_nodes[i] = m, v, _ZERO
                        step = rate * m * unbiased_1 / (np.sqrt(v * unbiased_2) + EPSILON)
                        nodes[i] = min(max(nodes[i] - step, _ZERO), _ONE)


@njit(**KERNEL)
def draw(first, last, table, level_index, coarser, grids, repeat, codes, network, window, out):
    """Rows first .. last of blocks of a window of one mip level: out float32 `C h w` in [0, 1].

    codes: uint8, the levels of all nodes. window: (top, left, height, width) in texels.
    """
    w1, b1, w2, b2, w3, b3 = network
    (fine, fine_scale, fine_steps), (coarse, coarse_scale, coarse_steps) = grids
    local, local_2 = room(fine, fine_scale), room(coarse, coarse_scale)
    wide = np.zeros((fine, local.shape[1], BLOCK_WIDTH), np.float32)
    wide_2 = np.zeros((coarse, local_2.shape[1], BLOCK_WIDTH), np.float32)
    features = fine + coarse
    x = np.empty((w1.shape[1], TILE), np.float32)
    # z and f(z) apart: a loop that reads where it writes is no vector loop, and 10 times slower
    z_1, h_1 = np.empty((len(b1), TILE), np.float32), np.empty((len(b1), TILE), np.float32)
    z_2, h_2 = np.empty((len(b2), TILE), np.float32), np.empty((len(b2), TILE), np.float32)
    y = np.empty((len(b3), TILE), np.float32)
    random = np.zeros(1, np.uint64)
    level = table[level_index]
    grid = level[FINE], level[FINE + 1], level[FINE + 2]
    grid_2 = level[COARSE], level[COARSE + 1], level[COARSE + 2]
    top, left, height, width = window
    rows, columns = BLOCK_HEIGHT >> coarser, BLOCK_WIDTH >> coarser
    scale, scale_2 = fine_scale >> coarser, coarse_scale >> coarser
    write_phase(coarser, x[features:])
    for block_row in range(first, last):
        start = max(0, top - block_row * rows)
        end = min(rows, top + height - block_row * rows)
        for block_column in range(left // columns, (left + width - 1) // columns + 1):
            block = (level_index, block_row, block_column)
            node, node_column = block_of_nodes(block, fine_scale)
            local_nodes(codes, grid, fine_steps, LEVELS, repeat, node, node_column, random, local)
            node, node_column = block_of_nodes(block, coarse_scale)
            local_nodes(
                codes, grid_2, coarse_steps, LEVELS, repeat, node, node_column, random, local_2
            )
            spread(local, scale, columns, wide)
            spread(local_2, scale_2, columns, wide_2)
            a = max(left, block_column * columns)
            b = min(left + width, (block_column + 1) * columns)
            for row in range(start // (TILE // columns) * (TILE // columns), end, TILE // columns):
                blend(wide, scale, row, columns, x[:fine])
                blend(wide_2, scale_2, row, columns, x[fine:features])
                forward(w1, b1, x, z_1)
                activate(z_1, h_1)
                forward(w2, b2, h_1, z_2)
                activate(z_2, h_2)
                forward(w3, b3, h_2, y)
                for r in range(max(row, start), min(row + TILE // columns, end)):
                    place = (r - row) * columns - block_column * columns
                    to = block_row * rows + r - top
                    for c in range(y.shape[0]):
                        source, target = (
                            y[c, place + a : place + b],
                            out[c, to, a - left : b - left],
                        )
                        for t in range(source.size):  # slices: no index can be negative
                            target[t] = min(max(source[t], _ZERO), _ONE)
