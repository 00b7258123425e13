"""Doubling the resolution of grids on a GPU, and the same backwards: native/fits/upsample.cpp's twin.

One axis at a time, rows first. An array is seen as `outer n inner`, n along the axis; see there for
the filter. Backwards every number gathers what it was read for, so that nothing is added by two
programs at once and results repeat exactly.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 1024  # numbers a program
PROGRAMS = 256  # at most, where each leaves a partial sum


def double(source: Tensor, taps: Tensor, target: Tensor) -> None:
    """source `c h w` -> target `c H W`, H <= 2h, W <= 2w; both contiguous, taps `4`."""
    c, h, w = source.shape
    rows, columns = target.shape[1:]
    middle = source.new_empty((c, rows, w))
    _forward(source, taps, middle, (h, rows, w))
    _forward(middle, taps, target, (w, columns, 1))


def double_back(source: Tensor, taps: Tensor, d_target: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of `double` by source, `c h w`, and taps, `4`."""
    c, h, w = source.shape
    rows, columns = d_target.shape[1:]
    middle = source.new_empty((c, rows, w))
    _forward(source, taps, middle, (h, rows, w))
    d_middle, d_source = torch.empty_like(middle), torch.empty_like(source)
    d_taps = _backward(middle, taps, d_target, d_middle, (w, columns, 1))
    return d_source, d_taps + _backward(source, taps, d_middle, d_source, (h, rows, w))


def _forward(x: Tensor, taps: Tensor, y: Tensor, axis: tuple[int, int, int]) -> None:
    _forward_kernel[(triton.cdiv(y.numel(), BLOCK),)](x, taps, y, y.numel(), *axis, BLOCK=BLOCK)


def _backward(
    x: Tensor, taps: Tensor, d_y: Tensor, d_x: Tensor, axis: tuple[int, int, int]
) -> Tensor:
    blocks = triton.cdiv(x.numel(), BLOCK)
    _backward_kernel[(blocks,)](taps, d_y, d_x, x.numel(), *axis, BLOCK=BLOCK)
    blocks = triton.cdiv(d_y.numel(), BLOCK)
    programs = min(blocks, PROGRAMS)
    sums = x.new_empty((programs, 4))
    _taps_kernel[(programs,)](x, d_y, sums, d_y.numel(), *axis, blocks, programs, BLOCK=BLOCK)
    return sums.sum(0)


@triton.jit
def _read_for(place, odd, k: tl.constexpr, n_in):
    """Where tap k of a new number reads: place is its old number, `odd` which of the two it is."""
    return tl.minimum(tl.maximum(place + tl.where(odd == 1, 2 - k, k - 2), 0), n_in - 1)


@triton.jit
def _forward_kernel(x, taps, y, count, n_in, n_out, inner, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    exists = i < count
    across, along, outer = i % inner, (i // inner) % n_out, i // (inner * n_out)
    total = tl.zeros((BLOCK,), tl.float32)
    for k in tl.static_range(4):
        place = _read_for(along // 2, along % 2, k, n_in)
        value = tl.load(x + (outer * n_in + place) * inner + across, mask=exists, other=0.0)
        total += tl.load(taps + k) * value
    tl.store(y + i, total, mask=exists)


@triton.jit
def _backward_kernel(taps, d_y, d_x, count, n_in, n_out, inner, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    exists = i < count
    across, own, outer = i % inner, (i // inner) % n_in, i // (inner * n_in)
    total = tl.zeros((BLOCK,), tl.float32)
    for number in tl.static_range(10):  # the new numbers that may have read this one
        place = own + number // 2 - 2
        along = 2 * place + number % 2
        odd = along * 0 + number % 2
        weight = tl.zeros((BLOCK,), tl.float32)
        for k in tl.static_range(4):
            weight += tl.where(_read_for(place, odd, k, n_in) == own, tl.load(taps + k), 0.0)
        reads = exists & (place >= 0) & (place < n_in) & (along < n_out)
        d = tl.load(d_y + (outer * n_out + along) * inner + across, mask=reads, other=0.0)
        total += weight * d
    tl.store(d_x + i, total, mask=exists)


@triton.jit
def _taps_kernel(
    x, d_y, sums, count, n_in, n_out, inner, blocks, programs, BLOCK: tl.constexpr
):  # fmt: skip
    program = tl.program_id(0)
    s0 = tl.zeros((BLOCK,), tl.float32)
    s1 = tl.zeros((BLOCK,), tl.float32)
    s2 = tl.zeros((BLOCK,), tl.float32)
    s3 = tl.zeros((BLOCK,), tl.float32)
    for block in range(program, blocks, programs):
        i = block * BLOCK + tl.arange(0, BLOCK)
        exists = i < count
        across, along, outer = i % inner, (i // inner) % n_out, i // (inner * n_out)
        start = x + outer * n_in * inner + across
        j, odd = along // 2, along % 2
        d = tl.load(d_y + i, mask=exists, other=0.0)
        s0 += d * tl.load(start + _read_for(j, odd, 0, n_in) * inner, mask=exists, other=0.0)
        s1 += d * tl.load(start + _read_for(j, odd, 1, n_in) * inner, mask=exists, other=0.0)
        s2 += d * tl.load(start + _read_for(j, odd, 2, n_in) * inner, mask=exists, other=0.0)
        s3 += d * tl.load(start + _read_for(j, odd, 3, n_in) * inner, mask=exists, other=0.0)
    tl.store(sums + 4 * program, tl.sum(s0, axis=0))
    tl.store(sums + 4 * program + 1, tl.sum(s1, axis=0))
    tl.store(sums + 4 * program + 2, tl.sum(s2, axis=0))
    tl.store(sums + 4 * program + 3, tl.sum(s3, axis=0))
