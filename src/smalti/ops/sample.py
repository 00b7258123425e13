"""Bilinear sampling of a grid at the texel centres of a picture, row by row and column by column.

A picture's texels form a lattice, so the four-corner blend separates into a blend of two grid rows
followed by a blend of two grid columns: 2 C products a texel instead of 4 C, and whole rows are
read at a time.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor


class Taps(NamedTuple):
    """What positions along one axis read: `(1 - weight) * node[lower] + weight * node[upper]`."""

    lower: Int[Tensor, " N"]
    upper: Int[Tensor, " N"]
    weight: Float[Tensor, " N"]  # of the upper node, [0, 1)


def taps(index: Int[Tensor, " N"], length: int, nodes: int) -> Taps:
    """Taps of some of the `length` texels along an axis whose grid has `nodes` nodes.

    Texel i has its centre at (i + 1/2) / length; the axis' ends, 0 and 1, lie on the first and the
    last node ("align corners"), so no position falls outside the grid.
    The division is one of integers, so equal texels have equal taps on every device.
    """
    numerator, denominator = (2 * index + 1) * (nodes - 1), 2 * length
    lower = numerator // denominator
    weight = (numerator - lower * denominator).float() / denominator
    return Taps(lower, (lower + 1).clamp(max=nodes - 1), weight)


def bilinear(grid: Float[Tensor, "h w C"], rows: Taps, columns: Taps) -> Float[Tensor, "H W C"]:
    """The grid at every crossing of the H rows and W columns; differentiable in the grid."""
    lines = torch.lerp(
        grid.index_select(0, rows.lower),
        grid.index_select(0, rows.upper),
        rows.weight[:, None, None],
    )
    return torch.lerp(
        lines.index_select(1, columns.lower),
        lines.index_select(1, columns.upper),
        columns.weight[None, :, None],
    )
