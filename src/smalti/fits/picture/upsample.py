"""Doubling planes' resolution with a short filter, and the same backwards.

A node's centre is the centre of the 2 x 2 finer nodes that it covers, so the two new nodes of a
node see its neighbours in mirror order. With y the row, its ends repeated:

    even[j] = t0 y[j-2] + t1 y[j-1] + t2 y[j] + t3 y[j+1]
    odd[j]  = t3 y[j-1] + t2 y[j] + t1 y[j+1] + t0 y[j+2]

(0, 1/4, 3/4, 0) is bilinear interpolation. Columns first, then rows, by the same four taps.
Multiply-adds a new node: 4 + 2. The kernels are `native/fits/upsample.cpp`, the readable twin
`reference.doubled`.
"""

import numpy as np

from smalti import native

_sides = {"planes": "i64", "height": "i64", "width": "i64", "new_height": "i64", "new_width": "i64"}
_double = native.kernel(
    "fits_double", source="in f32", target="out f32", taps="in f32", **_sides, threads="i32"
)
_double_back = native.kernel(
    "fits_double_back", source="in f32", d_target="in f32", stride="i64", d_source="out f32",
    taps="in f32", d_taps="out f32", partial="out f32", **_sides, threads="i32",
)  # fmt: skip


def double(source: np.ndarray, taps: np.ndarray, target: np.ndarray, threads: int) -> None:
    """source `n h w` -> target `n H W`, H at most 2 h and W 2 w: what lies beyond is cut off."""
    planes, height, width = source.shape
    _double(
        source=source, target=target, taps=taps, planes=planes, height=height, width=width,
        new_height=target.shape[1], new_width=target.shape[2], threads=threads,
    )  # fmt: skip


def double_back(
    source: np.ndarray,
    taps: np.ndarray,
    d_target: np.ndarray,
    new_width: int,
    d_source: np.ndarray,
    d_taps: np.ndarray,
    threads: int,
) -> None:
    """The gradients of `double`: sets d_source `n h w`, adds to d_taps.

    Args:
        d_target: `n H S`, of which the first `new_width` columns count.
    """
    planes, height, width = source.shape
    _double_back(
        source=source, d_target=d_target, stride=d_target.shape[2], d_source=d_source, taps=taps,
        d_taps=d_taps, partial=np.empty(4 * planes, np.float32), planes=planes, height=height,
        width=width, new_height=d_target.shape[1], new_width=new_width, threads=threads,
    )  # fmt: skip
