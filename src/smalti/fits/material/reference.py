"""The readable twin of the kernels: a neural texture's mip level and gradients, in NumPy.

Of whatever type the numbers are, float64 for tests of the gradient.
"""

from typing import NamedTuple

import numpy as np

from smalti.fits.material.layout import Grid, Layout


class Read(NamedTuple):
    """What the texels of a mip level read along one axis of a grid."""

    lower: np.ndarray  # int64 (n,), the node before
    upper: np.ndarray  # the next one
    weight: np.ndarray  # float (n,), of the next one


def mip_level(layout: Layout, nodes: np.ndarray, network: np.ndarray, mip: int) -> np.ndarray:
    """The texels of a mip level, `C h w`, not clipped.

    nodes: in [0, 1], level / highest level, in the order of `layout.grid_slices`. network: of each
    layer weights, then biases.
    """
    x = np.concatenate([features(layout, nodes, mip), phase(layout, mip)])
    weights = layout.views(network)
    for number in range(3):
        weight, bias = weights[2 * number : 2 * number + 2]
        x = np.einsum("oi,ihw->ohw", weight, x) + bias[:, None, None]
        if number < 2:
            x = hgelu(x)
    return x


def gradients(
    layout: Layout, nodes: np.ndarray, network: np.ndarray, mip: int, d_y: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """By nodes and by network: the gradient of a loss whose gradient by the texels is d_y `C h w`."""
    weights = layout.views(network)
    d_nodes, d_network = np.zeros_like(nodes), np.zeros_like(network)
    d_weights = layout.views(d_network)
    inputs, zs = [np.concatenate([features(layout, nodes, mip), phase(layout, mip)])], []
    for number in range(2):
        weight, bias = weights[2 * number : 2 * number + 2]
        zs.append(np.einsum("oi,ihw->ohw", weight, inputs[-1]) + bias[:, None, None])
        inputs.append(hgelu(zs[-1]))
    d = d_y
    for number in (2, 1, 0):
        d_weights[2 * number][:] = np.einsum("ohw,ihw->oi", d, inputs[number])
        d_weights[2 * number + 1][:] = d.sum((1, 2))
        d = np.einsum("oi,ohw->ihw", weights[2 * number], d)
        if number:
            d = d * hgelu_slope(zs[number - 1])
    first = 0
    for values, shape, grid in layout.grid_slices()[2 * (mip // 2) : 2 * (mip // 2) + 2]:
        rows, columns = _reads(layout, grid, shape, mip, d.dtype)
        of_grid = d[first : first + grid.channels]
        target = d_nodes[values].reshape(shape)
        v = rows.weight[:, None]
        for row, down in ((rows.lower, 1 - v), (rows.upper, v)):
            for column, across in (
                (columns.lower, 1 - columns.weight),
                (columns.upper, columns.weight),
            ):
                part = of_grid * down * across
                for channel, gradient in enumerate(target):
                    np.add.at(gradient, (row[:, None], column[None]), part[channel])
        first += grid.channels
    return d_nodes, d_network


def hgelu(z: np.ndarray) -> np.ndarray:
    """z clip(z + 3/2, 0, 3) / 3"""
    return z * np.clip(z + 1.5, 0, 3) / 3


def hgelu_slope(z: np.ndarray) -> np.ndarray:
    return np.where(z >= 1.5, 1, np.where(z <= -1.5, 0, (2 * z + 1.5) / 3))


def features(layout: Layout, nodes: np.ndarray, mip: int) -> np.ndarray:
    """Both grids of the mip level's grid level, less 1/2, bilinearly at its texels, `F h w`."""
    found = []
    for values, shape, grid in layout.grid_slices()[2 * (mip // 2) : 2 * (mip // 2) + 2]:
        planes = nodes[values].reshape(shape) - nodes.dtype.type(0.5)
        rows, columns = _reads(layout, grid, shape, mip, nodes.dtype)
        a, b = planes[:, :, columns.lower], planes[:, :, columns.upper]
        planes = a + columns.weight * (b - a)
        a, b = planes[:, rows.lower], planes[:, rows.upper]
        found.append(a + rows.weight[:, None] * (b - a))
    return np.concatenate(found)


def phase(layout: Layout, mip: int) -> np.ndarray:
    """Where in its cell of 2 x 2 a texel lies, `3 h w`: +-1/2 across and down; 0 in odd levels."""
    height, width = layout.size(mip)
    if mip % 2:
        return np.zeros((3, height, width), np.float32)
    down, across = np.mgrid[:height, :width].astype(np.float32) % 2 - np.float32(0.5)
    return np.stack([across, down, 2 * across * down])


def noise(count: int, key: int) -> np.ndarray:
    """Uniform in [-1/2, 1/2): what the kernel adds to nodes 0 .. count - 1, in steps; float32."""
    h: np.ndarray = np.arange(count, dtype=np.uint32) ^ np.uint32(key)
    h = (h ^ h >> 16) * np.uint32(0x7FEB352D)
    h = (h ^ h >> 15) * np.uint32(0x846CA68B)
    h = h ^ h >> 16
    return (h >> 9 | 0x3F800000).view(np.float32) - np.float32(1.5)


def _reads(
    layout: Layout, grid: Grid, shape: tuple[int, int, int], mip: int, dtype: np.dtype
) -> list[Read]:
    """Along rows and along columns."""
    found = []
    for nodes, count in zip(shape[1:], layout.size(mip), strict=True):
        # texel t lies at (t + 1/2) / scale - 1/2 of the nodes
        u = (np.arange(count, dtype=dtype) + dtype.type(0.5)) * (1 + mip % 2) / grid.scale - 0.5
        lower = np.floor(u).astype(np.int64)
        ends = [i % nodes if layout.repeat else i.clip(0, nodes - 1) for i in (lower, lower + 1)]
        found.append(Read(ends[0], ends[1], (u - lower).astype(dtype)))
    return found
