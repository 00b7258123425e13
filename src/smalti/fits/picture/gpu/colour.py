"""From features of texels to colours on a GPU, and back: the twin of native/fits/distortion.cpp.

Arrays: features `G N`, colours - 1/2 `C N`, N texels. Matrices are padded to powers of two, of 16
at least, as `tl.dot` asks; products are of float32 without shortening.
"""

import triton
import triton.language as tl
from torch import Tensor

BLOCK = 64  # texels
PROGRAMS = 512  # at most, where each leaves partial sums of the network's gradients


def colour(features: Tensor, network: tuple[Tensor, ...], picture: Tensor) -> None:
    """picture `C N` of features `G N`; network: w1 `K G`, b1, w2 `C K`, b2, skip `C G`."""
    (k, g), c, n = network[0].shape, network[2].shape[0], features.shape[1]
    _colour_kernel[(triton.cdiv(n, BLOCK),)](
        features, *network, picture, n, g, k, c,
        G=_padded(g), K=_padded(k), C=_padded(c), BLOCK=BLOCK,
    )  # fmt: skip


def colour_back(
    features: Tensor, network: tuple[Tensor, ...], d_picture: Tensor, d_features: Tensor
) -> tuple[Tensor, ...]:
    """Sets d_features `G N`; the gradients of the network, shaped as it is."""
    (k, g), c, n = network[0].shape, network[2].shape[0], features.shape[1]
    sizes = {"G": _padded(g), "K": _padded(k), "C": _padded(c)}
    blocks = triton.cdiv(n, BLOCK)
    programs = min(blocks, PROGRAMS)
    sums = [
        features.new_empty((programs, *(sizes[letter] for letter in shape)))
        for shape in ("KG", "K", "CK", "C", "CG")
    ]
    _colour_back_kernel[(programs,)](
        features, *network, d_picture, d_features, *sums, n, g, k, c, blocks, programs,
        **sizes, BLOCK=BLOCK,
    )  # fmt: skip
    return tuple(
        total.sum(0)[tuple(slice(size) for size in array.shape)].contiguous()
        for total, array in zip(sums, network, strict=True)
    )


def _padded(size: int) -> int:
    return max(triton.next_power_of_2(size), 16)


@triton.jit
def _matrix(pointer, rows, columns, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    i, j = tl.arange(0, ROWS)[:, None], tl.arange(0, COLUMNS)[None, :]
    return tl.load(pointer + i * columns + j, mask=(i < rows) & (j < columns), other=0.0)


@triton.jit
def _column(pointer, rows, ROWS: tl.constexpr):
    i = tl.arange(0, ROWS)
    return tl.load(pointer + i, mask=i < rows, other=0.0)[:, None]


@triton.jit
def _texels(pointer, block, rows, n, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    """A block of an array `rows n`."""
    i, p = tl.arange(0, ROWS)[:, None], block * BLOCK + tl.arange(0, BLOCK)[None, :]
    return tl.load(pointer + i * n + p, mask=(i < rows) & (p < n), other=0.0)


@triton.jit
def _keep_texels(
    pointer, block, value, rows, n, ROWS: tl.constexpr, BLOCK: tl.constexpr
):  # fmt: skip
    i, p = tl.arange(0, ROWS)[:, None], block * BLOCK + tl.arange(0, BLOCK)[None, :]
    tl.store(pointer + i * n + p, value, mask=(i < rows) & (p < n))


@triton.jit
def _keep_sum(pointer, value, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """A matrix into the place of this program."""
    start = pointer + tl.program_id(0) * ROWS * COLUMNS
    i, j = tl.arange(0, ROWS)[:, None], tl.arange(0, COLUMNS)[None, :]
    tl.store(start + i * COLUMNS + j, value)


@triton.jit
def _keep_column(pointer, value, ROWS: tl.constexpr):
    tl.store(pointer + tl.program_id(0) * ROWS + tl.arange(0, ROWS), value)


@triton.jit
def _colour_kernel(
    features, w1, b1, w2, b2, skip, picture, n, g, k, c,
    G: tl.constexpr, K: tl.constexpr, C: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    block = tl.program_id(0)
    x = _texels(features, block, g, n, G, BLOCK)
    hidden = tl.dot(_matrix(w1, k, g, K, G), x, input_precision="ieee") + _column(b1, k, K)
    hidden = tl.maximum(hidden, 0.0)
    out = tl.dot(_matrix(w2, c, k, C, K), hidden, input_precision="ieee") + _column(b2, c, C)
    out += tl.dot(_matrix(skip, c, g, C, G), x, input_precision="ieee")
    _keep_texels(picture, block, out, c, n, C, BLOCK)


@triton.jit
def _colour_back_kernel(
    features, w1, b1, w2, b2, skip, d_picture, d_features,
    dw1, db1, dw2, db2, dskip, n, g, k, c, blocks, programs,
    G: tl.constexpr, K: tl.constexpr, C: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    m1, m2, m3 = _matrix(w1, k, g, K, G), _matrix(w2, c, k, C, K), _matrix(skip, c, g, C, G)
    bias = _column(b1, k, K)
    s1 = tl.zeros((K, G), tl.float32)
    s2 = tl.zeros((C, K), tl.float32)
    s3 = tl.zeros((C, G), tl.float32)
    t1 = tl.zeros((K,), tl.float32)
    t2 = tl.zeros((C,), tl.float32)
    for block in range(tl.program_id(0), blocks, programs):
        x = _texels(features, block, g, n, G, BLOCK)
        d_out = _texels(d_picture, block, c, n, C, BLOCK)
        hidden = tl.maximum(tl.dot(m1, x, input_precision="ieee") + bias, 0.0)
        s2 += tl.dot(d_out, tl.trans(hidden), input_precision="ieee")
        s3 += tl.dot(d_out, tl.trans(x), input_precision="ieee")
        t2 += tl.sum(d_out, axis=1)
        d_hidden = tl.dot(tl.trans(m2), d_out, input_precision="ieee")
        d_hidden = tl.where(hidden > 0.0, d_hidden, 0.0)
        s1 += tl.dot(d_hidden, tl.trans(x), input_precision="ieee")
        t1 += tl.sum(d_hidden, axis=1)
        d_x = tl.dot(tl.trans(m1), d_hidden, input_precision="ieee")
        d_x += tl.dot(tl.trans(m3), d_out, input_precision="ieee")
        _keep_texels(d_features, block, d_x, g, n, G, BLOCK)
    _keep_sum(dw1, s1, K, G)
    _keep_sum(dw2, s2, C, K)
    _keep_sum(dskip, s3, C, G)
    _keep_column(db1, t1, K)
    _keep_column(db2, t2, C)
