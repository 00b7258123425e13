"""The readable twin of `kernels.py`, in torch: a whole mip level at a time, with torch's gradients."""

import torch
from jaxtyping import Float
from torch import Tensor

from smalti.neural.layout import Layout


def mip_level(
    layout: Layout,
    nodes: Float[Tensor, " values"],
    network: Float[Tensor, " weights"],
    mip: int,
) -> Float[Tensor, "C h w"]:
    """The texels of a mip level, not clipped.

    nodes: in [0, 1], level / highest level, in the order of `layout.grid_slices`. network: of each
    layer weights, then biases.
    """
    x = torch.cat([features(layout, nodes, mip), phase(layout, mip)])
    at = 0
    for number, (outputs, inputs) in enumerate(layout.layers):
        weight = network[at : at + outputs * inputs].view(outputs, inputs)
        bias = network[at + outputs * inputs : at + outputs * (inputs + 1)]
        at += outputs * (inputs + 1)
        x = torch.einsum("oi,ihw->ohw", weight, x) + bias[:, None, None]
        if number < 2:
            x = hgelu(x)
    return x


def hgelu(z: Tensor) -> Tensor:
    """z clip(z + 3/2, 0, 3) / 3"""
    return z * (z + 1.5).clamp(0, 3) / 3


def features(layout: Layout, nodes: Tensor, mip: int) -> Float[Tensor, "F h w"]:
    """Both grids of the mip level's grid level, less 1/2, bilinearly at its texels' centres."""
    level, coarser = divmod(mip, 2)
    height, width = layout.size(mip)
    found = []
    for values, shape, grid in layout.grid_slices()[2 * level : 2 * level + 2]:
        planes = nodes[values].view(shape) - 0.5
        for axis, count in ((1, height), (2, width)):
            # texel t lies at (t + 1/2) / scale - 1/2 of the nodes
            u = (torch.arange(count, dtype=nodes.dtype) + 0.5) * (1 + coarser) / grid.scale - 0.5
            lower = u.floor().long()
            weight = (u - lower).view([-1 if a == axis else 1 for a in range(3)])
            n = planes.shape[axis]
            ends = [i % n if layout.repeat else i.clamp(0, n - 1) for i in (lower, lower + 1)]
            a, b = (planes.index_select(axis, end) for end in ends)
            planes = a + weight * (b - a)
        found.append(planes)
    return torch.cat(found)


def phase(layout: Layout, mip: int) -> Float[Tensor, "3 h w"]:
    """Where in its cell of 2 x 2 a texel lies: +-1/2 across and down; 0 in every other mip level."""
    height, width = layout.size(mip)
    if mip % 2:
        return torch.zeros(3, height, width)
    down, across = torch.meshgrid(
        torch.arange(height) % 2 - 0.5, torch.arange(width) % 2 - 0.5, indexing="ij"
    )
    return torch.stack([across, down, 2 * across * down])
