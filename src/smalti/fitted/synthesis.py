"""From features of texels to their colours, forwards and backwards.

A texel's features are the values of all grids there, one each. A texel is

    features ─┬─dense, ReLU→ hidden ─dense─┐
              └──────────dense─────────────┴─ colour - 1/2

Arrays: features `G H S` and pictures `C H S`, with S the width rounded up to whole segments.
Multiply-adds a texel: (G + C) K + G C.
"""

import numpy as np

from smalti.jit import njit
from smalti.ops import dense

SEGMENT = (
    64  # texels at a time; rows are sliced to it, as an index that may be negative is no vector's
)
FAST = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz"}}
ZERO, ONE, HALF = np.float32(0), np.float32(1), np.float32(0.5)


@njit(**FAST)
def colour(first, last, features, network, picture):
    """Rows `first` to `last` of the picture."""
    w1, b1, w2, b2, skip = network
    hidden = np.empty((w1.shape[0], SEGMENT), np.float32)
    out = np.empty((w2.shape[0], SEGMENT), np.float32)
    for row in range(first, last):
        for start in range(0, features.shape[2], SEGMENT):
            x = features[:, row, start : start + SEGMENT]
            dense.forward(w1, b1, x, hidden)
            for k in range(hidden.shape[0]):
                h = hidden[k]
                for p in range(SEGMENT):
                    h[p] = h[p] if h[p] > 0 else ZERO
            dense.forward(w2, b2, hidden, out)
            dense.accumulate(skip, x, out)
            for c in range(out.shape[0]):
                line, o = picture[c, row, start : start + SEGMENT], out[c]
                for p in range(SEGMENT):
                    line[p] = o[p]


@njit(**FAST)
def colour_back(first, last, features, network, d_picture, d_features, d_network):
    """Gradients of `colour`: adds to those of the network, sets those of the features."""
    w1, b1, w2, _, skip = network
    dw1, db1, dw2, db2, dskip = d_network
    hidden = np.empty((w1.shape[0], SEGMENT), np.float32)
    d_hidden = np.empty_like(hidden)
    d_out = np.empty((w2.shape[0], SEGMENT), np.float32)
    unused = np.zeros_like(db2)
    for row in range(first, last):
        for start in range(0, features.shape[2], SEGMENT):
            x = features[:, row, start : start + SEGMENT]
            d_x = d_features[:, row, start : start + SEGMENT]
            for c in range(d_out.shape[0]):
                line, d = d_picture[c, row, start : start + SEGMENT], d_out[c]
                for p in range(SEGMENT):
                    d[p] = line[p]
            dense.forward(w1, b1, x, hidden)
            for k in range(hidden.shape[0]):
                h = hidden[k]
                for p in range(SEGMENT):
                    h[p] = h[p] if h[p] > 0 else ZERO
            dense.backward_weights(d_out, hidden, dw2, db2)
            dense.backward_weights(d_out, x, dskip, unused)
            dense.backward_input(w2, d_out, d_hidden)
            for k in range(hidden.shape[0]):
                h, d = hidden[k], d_hidden[k]
                for p in range(SEGMENT):
                    d[p] = d[p] if h[p] > 0 else ZERO
            dense.backward_weights(d_hidden, x, dw1, db1)
            dense.backward_input(w1, d_hidden, d_x)
            dense.accumulate(skip.T, d_out, d_x)


@njit(**FAST)
def error(first, last, picture, target, weight, d_picture):
    """Sum of squared errors of rows `first` to `last`; their derivatives into d_picture.

    What lies beyond the range on the right side of an end of it is no error: decoding clamps it.
    The picture holds colours - 1/2; d_picture must be 0 right of the picture.

    Args:
        target: `C H W` in [0, 1].
        weight: `C H W`, of each squared error, or `1 1 1` where all count alike.
    """
    total = 0.0
    alike = weight.size == 1
    for c in range(target.shape[0]):
        for row in range(first, last):
            goal = target[c, row]
            line, d_line = picture[c, row, : goal.size], d_picture[c, row, : goal.size]
            scale = weight[0, 0] if alike else weight[c, row]
            part = np.float32(0)
            for p in range(goal.size):
                value = line[p] + HALF
                e = value - goal[p]
                value = min(max(value, ZERO), ONE)
                clipped = value - goal[p]
                s = scale[0] if alike else scale[p]
                d_line[p] = ZERO if clipped == 0 else s * (e + e)
                part += s * clipped * clipped
            total += part
    return total
