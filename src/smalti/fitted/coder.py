"""Grid values to bytes and back: the context model in integers, and a range coder.

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
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from smalti.entropy.kernel import code_bit
from smalti.fitted.context import COARSE, INPUTS, NEAR, REACH
from smalti.jit import njit

HIDDEN = 16  # a vector of integers
FRACTION = 8  # bits after the point of an activation
TOP = 32767  # of an activation
CLAMP = 255  # of a neighbour
MAX_WEIGHT = 2047  # of the network's integers; sums stay below 2**31
WIDTHS = 81  # inverse widths e^-6 .. e^4 in steps of 1/8
PLACES = 17  # of the mean, -8/16 .. 8/16 from a whole number
FURTHER = 20  # decisions "one further"; what is left is an Elias gamma code
DEPTHS = 4  # "one further" is learnt apart for the first so many
RATE = 6  # a probability moves by 1/2**RATE of what it is wrong by
LIMIT = 1 << 15  # of values, both signs
LANES, INDEX = ir.VectorType(ir.IntType(32), HIDDEN), ir.IntType(64)


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


@intrinsic(prefer_literal=True)
def _layer(typing, weights, first, count, inputs, right, left, out):
    """out[:16] = f(weights[first] + sums of weights[first + 1 + i] inputs[i]), i < count, int32.

    f(a) = min(max(a, 0) / 2^right 2^left, TOP). Products are summed in four chains.
    """
    terms = count.literal_value

    def generate(context, builder, signature, values):
        w, x, o = (
            context.make_array(signature.args[k])(context, builder, values[k]) for k in (0, 3, 6)
        )
        row = builder.gep(w.data, [builder.mul(values[1], INDEX(HIDDEN))])
        start = builder.bitcast(row, LANES.as_pointer())
        sums = [builder.load(start, align=4)] + [ir.Constant(LANES, [0] * HIDDEN)] * 3
        for i in range(terms):
            column = builder.load(builder.gep(start, [INDEX(1 + i)]), align=4)
            factor = _spread(builder, builder.load(builder.gep(x.data, [INDEX(i)])))
            sums[i % 4] = builder.add(sums[i % 4], builder.mul(column, factor))
        total = builder.add(builder.add(sums[0], sums[1]), builder.add(sums[2], sums[3]))
        zero, top = (ir.Constant(LANES, [n] * HIDDEN) for n in (0, TOP))
        h = builder.select(builder.icmp_signed(">", total, zero), total, zero)
        h = builder.ashr(h, _spread(builder, builder.trunc(values[4], ir.IntType(32))))
        left = _spread(builder, builder.trunc(values[5], ir.IntType(32)))
        fits = builder.icmp_signed("<=", h, builder.ashr(top, left))
        h = builder.select(fits, builder.shl(h, left), top)
        builder.store(h, builder.bitcast(o.data, LANES.as_pointer()), align=4)
        return context.get_dummy_value()

    number = types.intp
    return types.void(weights, number, count, inputs, number, number, out), generate


@intrinsic
def _dot(typing, weights, row, x):
    """Sum of weights[row] x over 16 int32."""

    def generate(context, builder, signature, values):
        w, h = (context.make_array(signature.args[k])(context, builder, values[k]) for k in (0, 2))
        place = builder.gep(w.data, [builder.mul(values[1], INDEX(HIDDEN))])
        a, b = (
            builder.load(builder.bitcast(p, LANES.as_pointer()), align=4) for p in (place, h.data)
        )
        kind = ir.FunctionType(ir.IntType(32), [LANES])
        name = f"llvm.vector.reduce.add.v{HIDDEN}i32"
        total = cgutils.get_or_insert_function(builder.module, kind, name)
        return builder.call(total, [builder.mul(a, b)])

    return types.int32(weights, types.intp, x), generate


def _spread(builder, number):
    """A vector of 16 times the same number."""
    none = ir.Constant(LANES, ir.Undefined)
    mask = ir.Constant(LANES, [0] * HIDDEN)
    return builder.shuffle_vector(builder.insert_element(none, number, INDEX(0)), none, mask)


@njit(nogil=True, error_model="numpy", forceinline=True)
def distribution(weights, k, x, h1, h2):
    """Mean and log inverse width, in 1/256, of a node with neighbours x.

    weights: rows of 16: bias and a row an input, of each layer in turn.
    """
    _layer(weights, 0, INPUTS, x, 0, FRACTION - k, h1)
    _layer(weights, 1 + INPUTS, HIDDEN, h1, k, 0, h2)
    last = 2 + INPUTS + HIDDEN
    mean = weights[last, 0] + _dot(weights, last + 1, h2)
    log_inverse = weights[last, 1] + _dot(weights, last + 2, h2)
    return mean >> k, log_inverse >> k


@njit(nogil=True, error_model="numpy")
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


@njit(nogil=True, error_model="numpy", forceinline=True)
def _kept(table, i, j):
    """A probability that leaves either bit possible."""
    return min(max(int(table[i, j]), 32), 65536 - 32)


@njit(nogil=True, error_model="numpy")
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
    x = np.zeros(INPUTS, np.int32)
    h1, h2 = np.zeros(HIDDEN, np.int32), np.zeros(HIDDEN, np.int32)
    quiet_mean, quiet_log = distribution(weights, k, x, h1, h2)
    for row in range(height):
        start = (top + row) * width + left
        here = (REACH + row) * stride + REACH
        for column in range(columns):
            some = np.int32(0)
            for i in range(len(NEAR)):
                x[i] = tile[np.uint64(here + near[i])]
                some |= x[i]
            there = (1 + (row >> shift)) * c_stride + 1 + (column >> shift)
            for i in range(len(COARSE)):
                x[len(NEAR) + i] = other[np.uint64(there + far[i])]
                some |= x[len(NEAR) + i]
            mean, log_inverse = quiet_mean, quiet_log
            if some:
                mean, log_inverse = distribution(weights, k, x, h1, h2)
            value = code_value(
                decoding, values[start + column], mean, log_inverse, nearest, above, further,
                buffer, coder,
            )  # fmt: skip
            value = min(max(value, -LIMIT), LIMIT - 1)  # of a forged file
            if decoding:
                values[start + column] = value
            tile[here] = min(max(value, -CLAMP), CLAMP)
            here += 1
