"""Dense layers of a small network over a tile of texels, forwards and backwards, in numba.

Feature-major: an activation is `features P` float32, C-contiguous, of the P texels of one tile; P
is a multiple of `LANES`. A layer of n inputs and m outputs is n m P multiply-adds in each of the
three functions; the tile should stay in the first-level cache (P = 64 with 48 features: 12 KB).
Kernels call these, Python does not.

The innermost products are written as vectors of LLVM (`_product`, `_outer`), because numba turns
loops over several rows into vectors only while it can prove or check that none of them overlap.
They hold a block of the result in registers: 4 outputs x 2 vectors of texels, so that 6 loads feed
8 vector products. Each output is bias + w0 x0 + w1 x1 + ..., in this order and with one rounding a
product, whatever the vectors' width: the same numbers on every machine with fused multiply-add.
"""

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from smalti.jit import njit

WIDE = bool(binding.get_host_cpu_features().get("avx512f", False))
LANES = 16  # texels of a vector, for every caller
WIDTH = 16 if WIDE else 8  # floats of the machine's vectors
FLOAT, INDEX = ir.FloatType(), ir.IntType(64)
VECTOR = ir.VectorType(FLOAT, WIDTH)


@njit(nogil=True, error_model="numpy")
def forward(weight, bias, x, out):
    """out = weight x + bias; weight `o i`, bias `o`, x `i P`, out `o P`."""
    for o in range(out.shape[0]):
        out[o, :] = bias[o]
    accumulate(weight, x, out)


@njit(nogil=True, error_model="numpy")
def backward_input(weight, d_out, d_x):
    """d_x = weightᵀ d_out; weight `o i`, d_out `o P`, d_x `i P`."""
    d_x[:] = 0
    accumulate(weight.T, d_out, d_x)


@njit(nogil=True, error_model="numpy", fastmath={"reassoc", "nsz"})
def backward_weights(d_out, x, d_weight, d_bias):
    """d_weight += d_out xᵀ; d_bias += d_out summed over the texels."""
    outputs, inputs = d_weight.shape
    texels = x.shape[1]
    for o in range(outputs):
        total = d_bias.dtype.type(0)
        for p in range(texels):
            total += d_out[o, p]
        d_bias[o] += total
    o = 0
    while o + 4 <= outputs:
        for i in range(0, inputs - 3, 4):
            _outer(d_out, x, d_weight, o, i, texels, 4, 4)
        for i in range(inputs - inputs % 4, inputs):
            _outer(d_out, x, d_weight, o, i, texels, 4, 1)
        o += 4
    while o < outputs:
        for i in range(0, inputs - 3, 4):
            _outer(d_out, x, d_weight, o, i, texels, 1, 4)
        for i in range(inputs - inputs % 4, inputs):
            _outer(d_out, x, d_weight, o, i, texels, 1, 1)
        o += 1


@njit(nogil=True, error_model="numpy")
def accumulate(weight, x, out):
    """out += weight x."""
    outputs, inputs = weight.shape
    texels = x.shape[1]
    p = 0
    while p + 2 * WIDTH <= texels:
        o = 0
        while o + 4 <= outputs:
            _product(weight, x, out, o, p, inputs, 4, 2)
            o += 4
        if outputs - o == 3:
            _product(weight, x, out, o, p, inputs, 3, 2)
        elif outputs - o == 2:
            _product(weight, x, out, o, p, inputs, 2, 2)
        elif outputs - o == 1:
            _product(weight, x, out, o, p, inputs, 1, 2)
        p += 2 * WIDTH
    while p < texels:
        for o in range(outputs):
            _product(weight, x, out, o, p, inputs, 1, 1)
        p += WIDTH


@intrinsic(prefer_literal=True)
def _product(typing, weight, x, out, o, p, inputs, rows, vectors):
    """out[o : o + rows, p : p + vectors * WIDTH] += weight[o : o + rows, :] x, held in registers."""
    counts = rows.literal_value, vectors.literal_value

    def generate(context, builder, signature, values):
        arrays = _arrays(context, builder, signature, values)
        first, texel, n = values[3:6]
        places = [
            [_vector_at(builder, arrays[2], _plus(builder, first, r), texel, v)
             for v in range(counts[1])]
            for r in range(counts[0])
        ]  # fmt: skip
        start = [[builder.load(place, align=4) for place in row] for row in places]

        def step(i, sums):
            columns = [_vector_at(builder, arrays[1], i, texel, v) for v in range(counts[1])]
            columns = [builder.load(place, align=4) for place in columns]
            for r, row in enumerate(sums):
                place = _at(builder, arrays[0], _plus(builder, first, r), i)
                factor = _splat(builder, builder.load(place))
                sums[r] = [
                    _multiply_add(builder, factor, column, s)
                    for column, s in zip(columns, row, strict=True)
                ]
            return sums

        sums = _loop(builder, n, 1, start, step)
        for row, targets in zip(sums, places, strict=True):
            for value, place in zip(row, targets, strict=True):
                builder.store(value, place, align=4)
        return context.get_dummy_value()

    return types.void(weight, x, out, types.intp, types.intp, types.intp, rows, vectors), generate


@intrinsic(prefer_literal=True)
def _outer(typing, d_out, x, d_weight, o, i, texels, rows, columns):
    """d_weight[o : o + rows, i : i + columns] += d_out[o ...] x[i ...]ᵀ over all texels."""
    counts = rows.literal_value, columns.literal_value

    def generate(context, builder, signature, values):
        arrays = _arrays(context, builder, signature, values)
        row, column, n = values[3:6]
        zero = ir.Constant(VECTOR, [0.0] * WIDTH)
        start = [[zero] * counts[1] for _ in range(counts[0])]

        def step(p, sums):
            left, right = [
                [
                    builder.load(
                        _vector_at(builder, array, _plus(builder, first, k), p, 0), align=4
                    )
                    for k in range(count)
                ]
                for array, first, count in zip(arrays[:2], (row, column), counts, strict=True)
            ]
            return [
                [
                    _multiply_add(builder, a, b, s)
                    for b, s in zip(right, sums_of_row, strict=True)
                ]
                for a, sums_of_row in zip(left, sums, strict=True)
            ]  # fmt: skip

        sums = _loop(builder, n, WIDTH, start, step)
        for r, sums_of_row in enumerate(sums):
            for c, value in enumerate(sums_of_row):
                place = _at(
                    builder, arrays[2], _plus(builder, row, r), _plus(builder, column, c)
                )  # fmt: skip
                builder.store(builder.fadd(builder.load(place), _total(builder, value)), place)
        return context.get_dummy_value()

    return types.void(
        d_out, x, d_weight, types.intp, types.intp, types.intp, rows, columns
    ), generate


# What follows writes single instructions.


def _arrays(context, builder, signature, values):
    kinds = signature.args[:3]
    return [
        context.make_array(kind)(context, builder, value)
        for kind, value in zip(kinds, values[:3], strict=True)
    ]


def _plus(builder, index, constant):
    return builder.add(index, ir.Constant(INDEX, constant)) if constant else index


def _at(builder, array, row, column):
    """Address of array[row, column]."""
    strides = cgutils.unpack_tuple(builder, array.strides, 2)
    offset = builder.add(builder.mul(row, strides[0]), builder.mul(column, strides[1]))
    start = builder.bitcast(array.data, ir.IntType(8).as_pointer())
    return builder.bitcast(builder.gep(start, [offset]), FLOAT.as_pointer())


def _vector_at(builder, array, row, column, number):
    """Address of a vector of neighbours in a row; rows are contiguous."""
    place = _at(builder, array, row, _plus(builder, column, number * WIDTH))
    return builder.bitcast(place, VECTOR.as_pointer())


def _splat(builder, value):
    single = builder.insert_element(ir.Constant(VECTOR, ir.Undefined), value, INDEX(0))
    mask = ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [0] * WIDTH)
    return builder.shuffle_vector(single, ir.Constant(VECTOR, ir.Undefined), mask)


def _multiply_add(builder, a, b, c):
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(VECTOR, [VECTOR] * 3), f"llvm.fma.v{WIDTH}f32"
    )
    return builder.call(function, [a, b, c])


def _total(builder, vector):
    """The sum of a vector's numbers, halves first."""
    width = WIDTH
    while width > 1:
        width //= 2
        mask = [*range(width, 2 * width), *[0] * (WIDTH - width)]
        upper = builder.shuffle_vector(
            vector, vector, ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), mask)
        )
        vector = builder.fadd(vector, upper)
    return builder.extract_element(vector, INDEX(0))


def _loop(builder, count, stride, start, step):
    """`for k in range(0, count, stride)`, with a table of vectors carried from round to round."""
    before = builder.block
    body, after = builder.append_basic_block("body"), builder.append_basic_block("after")
    some = builder.icmp_signed(">", count, INDEX(0))
    builder.cbranch(some, body, after)
    builder.position_at_end(body)
    k = builder.phi(INDEX)
    carried = [[builder.phi(VECTOR) for _ in row] for row in start]
    result = step(k, [list(row) for row in carried])
    advanced = builder.add(k, INDEX(stride))
    end = builder.block
    builder.cbranch(builder.icmp_signed("<", advanced, count), body, after)
    k.add_incoming(INDEX(0), before)
    k.add_incoming(advanced, end)
    builder.position_at_end(after)
    final = []
    for row, initial, last in zip(carried, start, result, strict=True):
        final.append([])
        for phi, first, value in zip(row, initial, last, strict=True):
            phi.add_incoming(first, before)
            phi.add_incoming(value, end)
            out = builder.phi(VECTOR)
            out.add_incoming(first, before)
            out.add_incoming(value, end)
            final[-1].append(out)
    return final
