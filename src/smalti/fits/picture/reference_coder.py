"""The coder of grid values in plain Python: what native/fits/coder.cpp computes, readable and slow.

The same network as in `context`, with whole numbers throughout, so that every machine decodes the
same values. docs/FORMAT.md is normative. Weights are w / 2^k; a neighbour is clamped to ±255;
activations are counted in 1/256 and end at 32767:

    h1 = min(max(w1 x + b1, 0) 2^(8-k), 32767)        h2 = min(max(w2 h1 + 2^8 b2, 0) / 2^k, 32767)
    (mean, log inverse width) in 1/256 = (w3 h2 + 2^8 b3) / 2^k

A value is coded as decisions: is it the whole number nearest to the mean; is it above; is it one
further, and so on. The probability of each starts from the Laplace distribution's and learns.
"""

from decimal import Decimal, localcontext
from functools import cache

import numpy as np

from smalti.entropy.reference_range import (
    POSITION,
    check_end,
    code_bit,
    finish,
    new_registers,
    start,
)
from smalti.fits.picture.coder import FRACTION, HIDDEN, LIMIT
from smalti.fits.picture.context import COARSE, INPUTS, NEAR, REACH
from smalti.fits.picture.layout import Layout, Piece

TOP = 32767  # of an activation
CLAMP = 255  # of a neighbour
WIDTHS = 81  # inverse widths e^-6 .. e^4 in steps of 1/8
PLACES = 17  # of the mean, -8/16 .. 8/16 from a whole number
FURTHER = 20  # decisions "one further"; what is left is an Elias gamma code
DEPTHS = 4  # "one further" is learnt apart for the first so many
RATE = 6  # a probability moves by 1/2**RATE of what it is wrong by
VALUE_BYTES = 8  # at most, of one coded value


def encode_stream(
    stream: list[Piece], layout: Layout, table: np.ndarray, k: int, values: np.ndarray
) -> bytes:
    """The bytes of one stream of `coder.encode_streams`."""
    coder = new_registers()
    count = sum(piece.box[2] * piece.box[3] for piece in stream)
    buffer = np.empty(VALUE_BYTES * count + 64, np.uint8)
    _code(False, stream, layout, table, k, values, buffer, coder)
    finish(buffer, coder)
    return buffer[: coder[POSITION]].tobytes()


def decode_stream(
    data: bytes, stream: list[Piece], layout: Layout, table: np.ndarray, k: int, values: np.ndarray
) -> None:
    """Fill in one stream's values, as `coder.decode_streams` does."""
    coder = new_registers()
    buffer = np.frombuffer(data, np.uint8)
    start(buffer, coder)
    _code(True, stream, layout, table, k, values, buffer, coder)
    check_end(buffer, coder)


def _code(decoding, stream, layout, table, k, values, buffer, coder):
    probabilities = [first.copy() for first in first_probabilities()]
    weights, offsets, shapes = table.astype(np.int64), layout.offsets, layout.shapes
    for piece in stream:
        own = values[offsets[piece.grid] : offsets[piece.grid + 1]]
        coarse, coarse_width = np.zeros(own.size, np.int32), shapes[piece.grid][1]
        if piece.coarse >= 0:
            coarse = values[offsets[piece.coarse] : offsets[piece.coarse + 1]]
            coarse_width = shapes[piece.coarse][1]
        code_tile(
            decoding, own, shapes[piece.grid][1], piece.box, coarse, coarse_width,
            piece.coarse_box, piece.shift, weights, k, *probabilities, buffer, coder,
        )  # fmt: skip


@cache
def first_probabilities() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """16-bit probabilities of "nearest" and "above" (widths, places) and "further" (widths, depths).

    Computed in decimal arithmetic, which rounds alike everywhere.
    """
    nearest = np.zeros((WIDTHS, PLACES), np.int32)
    above, further = np.zeros_like(nearest), np.zeros((WIDTHS, DEPTHS), np.int32)

    def bits(p: Decimal) -> int:
        return min(max(int(p * 65536), 32), 65536 - 32)

    with localcontext(prec=30):
        for w in range(WIDTHS):
            u = ((Decimal(w) / 8) - 6).exp()
            further[w] = bits((-u).exp())
            for place in range(PLACES):
                f = Decimal(place - 8) / 16
                upper = (-(u * (Decimal("0.5") - f))).exp() / 2
                lower = (-(u * (Decimal("0.5") + f))).exp() / 2
                nearest[w, place] = bits(1 - upper - lower)
                above[w, place] = bits(upper / (upper + lower))
    return nearest, above, further


def distribution(weights, k, x):
    """Mean and log inverse width, in 1/256, of a node with neighbours x.

    weights: rows of 16, int64: bias and a row an input, of each layer in turn.
    """
    first, second, last = 0, 1 + INPUTS, 2 + INPUTS + HIDDEN
    h1 = np.maximum(weights[first] + x @ weights[first + 1 : second], 0) << (FRACTION - k)
    h1 = np.minimum(h1, TOP)
    h2 = np.maximum(weights[second] + h1 @ weights[second + 1 : last], 0) >> k
    h2 = np.minimum(h2, TOP)
    mean, log_inverse = weights[last, :2] + weights[last + 1 :] @ h2
    return int(mean) >> k, int(log_inverse) >> k


def code_value(decoding, value, mean, log_inverse, nearest, above, further, buffer, coder):
    """Code one value given its distribution; the value."""
    width = min(max((log_inverse + (6 << FRACTION) + 16) >> 5, 0), WIDTHS - 1)
    sixteenths = (mean + 8) >> 4
    middle = (sixteenths + 8) >> 4
    place = sixteenths - 16 * middle + 8
    difference = value - middle
    bit = code_bit(decoding, int(difference == 0), _kept(nearest, width, place), buffer, coder)
    nearest[width, place] += ((bit << 16) - nearest[width, place]) >> RATE
    if bit:
        return middle
    positive = code_bit(decoding, int(difference > 0), _kept(above, width, place), buffer, coder)
    above[width, place] += ((positive << 16) - above[width, place]) >> RATE
    magnitude = 1
    size = abs(difference)
    while magnitude <= FURTHER:
        depth = min(magnitude, DEPTHS) - 1
        bit = code_bit(decoding, int(size > magnitude), _kept(further, width, depth), buffer, coder)
        further[width, depth] += ((bit << 16) - further[width, depth]) >> RATE
        if not bit:
            break
        magnitude += 1
    if magnitude > FURTHER:
        rest = size - magnitude + 1  # from 1
        length = 0
        while length < 17:
            bit = code_bit(decoding, int(rest >> (length + 1) > 0), 1 << 15, buffer, coder)
            if not bit:
                break
            length += 1
        held = 1
        for k in range(length - 1, -1, -1):
            held = held << 1 | code_bit(decoding, rest >> k & 1, 1 << 15, buffer, coder)
        magnitude += held - 1
    return middle + magnitude if positive else middle - magnitude


def _kept(table, i, j):
    """A probability that leaves either bit possible."""
    return min(max(int(table[i, j]), 32), 65536 - 32)


def code_tile(
    decoding, values, width, box, coarse, coarse_width, coarse_box, shift,
    weights, k, nearest, above, further, buffer, coder,
):  # fmt: skip
    """Code one tile of one grid, int32, of which the decoder fills in the values.

    The arguments are those of `context.tile_cost`, with integers for floats.
    """
    top, left, height, columns = box
    c_top, c_left, c_height, c_columns = coarse_box
    # clamped values with a margin of zeros, flat, so that a neighbour is one addition away
    stride = columns + 2 * REACH
    tile = np.zeros((height + REACH) * stride, np.int32)
    c_stride = max(c_columns, columns >> shift) + 3
    other = np.zeros((c_height + 2) * c_stride, np.int32)
    for row in range(c_height):
        for column in range(c_columns):
            value = coarse[(c_top + row) * coarse_width + c_left + column]
            other[(1 + row) * c_stride + 1 + column] = min(max(value, -CLAMP), CLAMP)
    near, far = np.empty(len(NEAR), np.int64), np.empty(len(COARSE), np.int64)
    for i in range(len(NEAR)):
        near[i] = NEAR[i, 0] * stride + NEAR[i, 1]
    for i in range(len(COARSE)):
        far[i] = COARSE[i, 0] * c_stride + COARSE[i, 1]
    x = np.zeros(INPUTS, np.int64)
    quiet_mean, quiet_log = distribution(weights, k, x)
    for row in range(height):
        left_end = (top + row) * width + left
        here = (REACH + row) * stride + REACH
        for column in range(columns):
            some = 0
            for i in range(len(NEAR)):
                x[i] = tile[here + near[i]]
                some |= x[i]
            there = (1 + (row >> shift)) * c_stride + 1 + (column >> shift)
            for i in range(len(COARSE)):
                x[len(NEAR) + i] = other[there + far[i]]
                some |= x[len(NEAR) + i]
            mean, log_inverse = quiet_mean, quiet_log
            if some:
                mean, log_inverse = distribution(weights, k, x)
            value = code_value(
                decoding, int(values[left_end + column]), mean, log_inverse, nearest, above, further,
                buffer, coder,
            )  # fmt: skip
            value = min(max(value, -LIMIT), LIMIT - 1)  # of a forged file
            if decoding:
                values[left_end + column] = value
            tile[here] = min(max(value, -CLAMP), CLAMP)
            here += 1
