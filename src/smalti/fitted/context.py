"""The context model in training: what a grid value costs, given those that are decoded before it.

For every node of every grid a small network looks at the 12 nearest values before it in reading
order, and at five of the next coarser grid, and says where a Laplace distribution lies and how
wide it is. The cost of the value is -log2 of that distribution's mass in value ± 1/2. Nothing
outside the node's own tile is seen (it counts as 0), so that tiles decode independently.

    12 + 5 values ─dense, ReLU→ 16 ─dense, ReLU→ 16 ─dense→ mean, log of the inverse width
"""

import numpy as np

from smalti.jit import njit
from smalti.ops import dense
from smalti.ops.elementary import exp, log

# (row, column) of the 12 values before a node, nearest first
NEAR = np.array(
    [(0, -1), (-1, 0), (-1, -1), (-1, 1), (0, -2), (-2, 0), (-1, -2), (-1, 2), (-2, -1), (-2, 1),
     (0, -3), (-3, 0)],
    np.int64,
)  # fmt: skip
COARSE = np.array([(0, 0), (0, -1), (0, 1), (-1, 0), (1, 0)], np.int64)
REACH = 3  # how far NEAR goes, up, left and right
INPUTS = len(NEAR) + len(COARSE)
SEGMENT = 128  # nodes at a time

ZERO, ONE, HALF = np.float32(0), np.float32(1), np.float32(0.5)
LOWEST, HIGHEST = np.float32(-6), np.float32(4)  # of the log of the inverse width
BITS = np.float32(1 / np.log(2))


@njit(nogil=True, error_model="numpy", forceinline=True, fastmath={"contract", "nsz"})
def cost(distance, log_inverse):
    """Nats of a value at `distance` from the mean, and its derivatives by both arguments.

    With u the inverse width: mass of [d - 1/2, d + 1/2] under u / 2 exp(-u |t|).
    """
    inside = LOWEST < log_inverse < HIGHEST
    log_inverse = LOWEST if log_inverse < LOWEST else log_inverse
    log_inverse = HIGHEST if log_inverse > HIGHEST else log_inverse
    u = exp(log_inverse)
    d = abs(distance)
    sign = ONE if distance >= 0 else -ONE
    a = exp(-u)
    near, far = exp(-abs(d - HALF) * u), exp(-(d + HALF) * u)
    central = d < HALF
    tail = HALF * (ONE - a)
    mass = ONE - HALF * (near + far)
    nats = -log(mass if central else tail)
    nats += ZERO if central else (d - HALF) * u
    by_d = HALF * u * (near - far) / mass if central else u
    by_u = (
        -HALF * ((HALF - d) * near + (HALF + d) * far) / mass
        if central
        else (d - HALF) - a / (ONE - a)
    )
    by_log = by_u * u if inside else ZERO
    return nats, by_d * sign, by_log


@njit(nogil=True, error_model="numpy", fastmath={"contract", "nsz"})
def _copy_padded(values, width, top, left, height, columns, margin, target):
    """A tile of a flat grid into the middle of a zeroed array."""
    target[:] = 0
    for row in range(height):
        start = (top + row) * width + left
        for column in range(columns):
            target[margin + row, margin + column] = values[start + column]


@njit(nogil=True, error_model="numpy", fastmath={"contract", "nsz"})
def _add_back(source, width, top, left, height, columns, margin, values):
    for row in range(height):
        start = (top + row) * width + left
        for column in range(columns):
            values[start + column] += source[margin + row, margin + column]


@njit(nogil=True, error_model="numpy", fastmath={"contract", "nsz"})
def _relu(x):
    for k in range(x.shape[0]):
        row = x[k]
        for p in range(x.shape[1]):
            row[p] = row[p] if row[p] > 0 else ZERO


@njit(nogil=True, error_model="numpy", fastmath={"contract", "nsz"})
def _mask(x, d_x):
    for k in range(x.shape[0]):
        row, d_row = x[k], d_x[k]
        for p in range(x.shape[1]):
            d_row[p] = d_row[p] if row[p] > 0 else ZERO


@njit(nogil=True, error_model="numpy", fastmath={"contract", "nsz"})
def _charge(values, out, d_out, count):
    """Nats of a segment's first `count` values; out holds means and logs of inverse widths.

    d_out gets the derivatives by mean, log and value. The means are overwritten.
    """
    total = 0.0
    mean, log_inverse = out[0], out[1]
    d_mean, d_log, d_value = d_out[0], d_out[1], d_out[2]
    for p in range(values.size):
        nats, by_distance, by_log = cost(values[p] - mean[p], log_inverse[p])
        counts = p < count
        d_value[p] = by_distance if counts else ZERO
        d_mean[p] = -by_distance if counts else ZERO
        d_log[p] = by_log if counts else ZERO
        mean[p] = nats if counts else ZERO
    for p in range(values.size):
        total += mean[p]
    return total


@njit(nogil=True, error_model="numpy", fastmath={"contract", "nsz"})
def tile_cost(
    values, gradient, width, box, coarse, d_coarse, coarse_width, coarse_box, shift,
    scale, network, d_network,
):  # fmt: skip
    """Bits of one tile of one grid; adds `scale` times their gradients to the gradients.

    Args:
        values, gradient: a flat grid of `width` columns.
        box: top, left, height, width of the tile.
        coarse, d_coarse, coarse_width, coarse_box: the same of the grid that is also looked at.
        shift: 1 if that has half the resolution, 0 if the same.
        scale: of the gradients, for one bit.
        network, d_network: (w1, b1, w2, b2, w3, b3), and what their gradients are added to.
    """
    top, left, height, columns = box
    w1, b1, w2, b2, w3, b3 = network
    dw1, db1, dw2, db2, dw3, db3 = d_network
    hidden = w1.shape[0]
    segments = (columns + SEGMENT - 1) // SEGMENT
    padded = segments * SEGMENT + 2 * REACH
    tile = np.empty((height + 2 * REACH, padded), np.float32)
    d_tile = np.zeros((height + 2 * REACH, padded), np.float32)
    _copy_padded(values, width, top, left, height, columns, REACH, tile)
    c_top, c_left, c_height, c_columns = coarse_box
    c_shape = (c_height + 2, (padded >> shift) + 4)
    other, d_other = np.empty(c_shape, np.float32), np.zeros(c_shape, np.float32)
    _copy_padded(coarse, coarse_width, c_top, c_left, c_height, c_columns, 1, other)

    x, d_x = np.empty((INPUTS, SEGMENT), np.float32), np.empty((INPUTS, SEGMENT), np.float32)
    h1, h2 = np.empty((hidden, SEGMENT), np.float32), np.empty((hidden, SEGMENT), np.float32)
    d_h1, d_h2 = np.empty_like(h1), np.empty_like(h2)
    out, d_out = np.empty((2, SEGMENT), np.float32), np.empty((3, SEGMENT), np.float32)
    total = 0.0
    factor = np.float32(scale * BITS)
    for row in range(height):
        for segment in range(segments):
            start = segment * SEGMENT
            for k in range(len(NEAR)):
                first = REACH + start + NEAR[k, 1]
                source = tile[REACH + row + NEAR[k, 0], first : first + SEGMENT]
                target = x[k]
                for p in range(SEGMENT):
                    target[p] = source[p]
            for k in range(len(COARSE)):
                first = 1 + (start >> shift) + COARSE[k, 1]
                source = other[1 + (row >> shift) + COARSE[k, 0], first : first + SEGMENT]
                target = x[len(NEAR) + k]
                if shift:
                    for p in range(SEGMENT // 2):
                        target[2 * p] = source[p]
                        target[2 * p + 1] = source[p]
                else:
                    for p in range(SEGMENT):
                        target[p] = source[p]
            dense.forward(w1, b1, x, h1)
            _relu(h1)
            dense.forward(w2, b2, h1, h2)
            _relu(h2)
            dense.forward(w3, b3, h2, out)
            own = tile[REACH + row, REACH + start : REACH + start + SEGMENT]
            total += _charge(own, out, d_out, columns - start)
            for k in range(3):
                d = d_out[k]
                for p in range(SEGMENT):
                    d[p] *= factor
            dense.backward_weights(d_out[:2], h2, dw3, db3)
            dense.backward_input(w3, d_out[:2], d_h2)
            _mask(h2, d_h2)
            dense.backward_weights(d_h2, h1, dw2, db2)
            dense.backward_input(w2, d_h2, d_h1)
            _mask(h1, d_h1)
            dense.backward_weights(d_h1, x, dw1, db1)
            dense.backward_input(w1, d_h1, d_x)
            target = d_tile[REACH + row, REACH + start : REACH + start + SEGMENT]
            d = d_out[2]
            for p in range(SEGMENT):
                target[p] += d[p]
            for k in range(len(NEAR)):
                first = REACH + start + NEAR[k, 1]
                target = d_tile[REACH + row + NEAR[k, 0], first : first + SEGMENT]
                d = d_x[k]
                for p in range(SEGMENT):
                    target[p] += d[p]
            for k in range(len(COARSE)):
                first = 1 + (start >> shift) + COARSE[k, 1]
                target = d_other[1 + (row >> shift) + COARSE[k, 0], first : first + SEGMENT]
                d = d_x[len(NEAR) + k]
                if shift:
                    for p in range(SEGMENT // 2):
                        target[p] += d[2 * p] + d[2 * p + 1]
                else:
                    for p in range(SEGMENT):
                        target[p] += d[p]
    _add_back(d_tile, width, top, left, height, columns, REACH, gradient)
    _add_back(d_other, coarse_width, c_top, c_left, c_height, c_columns, 1, d_coarse)
    return total * BITS
