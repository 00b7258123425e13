"""The native kernels of neural textures: drawing texels, errors and gradients, Adam of the nodes.

    nodes ─local─▶ block's nodes ─spread along x─▶ ─blend along y─▶ x ─dense, HGELU─▶ texels

A block is 64 x 16 texels of the finer mip level that a grid level serves, and what lies under them
in the coarser one: the same nodes (`native/fits/material.h`). The readable twin is `reference`.
"""

from typing import TYPE_CHECKING

import numpy as np

from smalti import native
from smalti.fits._adam import KERNEL_ARGUMENTS, Adam

if TYPE_CHECKING:
    from smalti.fits.material.layout import Layout

BLOCK_WIDTH, BLOCK_HEIGHT = 64, 16  # texels of the finer mip level
ROOM = 140000  # floats that the gradient works in, for each block

# Columns of the table of grid levels: sides of the two mip levels (0: there is no coarser one),
# where their texels begin, and where the nodes of the two grids begin.
HEIGHT, WIDTH, TEXELS, FINE, COARSE = 0, 2, 4, 6, 9
COLUMNS = 12

LEVELS, NOISY, ROUNDED = 0, 1, 2  # nodes: levels as they are, or [0, 1] with noise, or rounded
ADAM = Adam(0.9, 0.99, 1e-8)

_GRIDS = {
    "fine_channels": "i32", "fine_scale": "i32", "fine_steps": "i32", "coarse_channels": "i32",
    "coarse_scale": "i32", "coarse_steps": "i32",
}  # fmt: skip
_NETWORK = {"hidden_1": "i32", "hidden_2": "i32", "channels": "i32"}
_draw = native.kernel(
    "fits_material_render", codes="in u8", network="in f32", level="in i64", out="out f32", top="i64",
    left="i64", height="i64", width="i64", coarser="i32", repeat="i32", **_GRIDS, **_NETWORK,
    threads="i32",
)  # fmt: skip
_gradient = native.kernel(
    "fits_material_gradient", blocks="in i64", table="in i64", nodes="in f32", network="in f32",
    texels="in u8", weights="in f32", d_nodes="out f32", d_network="out f32", sums="out f64",
    room="out f32", count="i64", mask="i32", mode="i32", key="u32", repeat="i32", **_GRIDS,
    **_NETWORK, threads="i32",
)  # fmt: skip
_adam_nodes = native.kernel(
    "fits_material_adam", blocks="in i64", table="in i64", nodes="out f32", d_nodes="out f32",
    mean="out f32", spread="out f32", count="i64", **KERNEL_ARGUMENTS, fine_channels="i32", fine_scale="i32",
    coarse_channels="i32", coarse_scale="i32",
)  # fmt: skip


def render(
    layout: "Layout", codes: np.ndarray, network: np.ndarray, level: np.ndarray, coarser: int,
    window: tuple[int, int, int, int],
) -> np.ndarray:  # fmt: skip
    """A window of one mip level, float32 `height width C` in [0, 1].

    codes: uint8, the levels of all nodes. network: float32. level: int64 (COLUMNS,), of the grid
    level. coarser: 1 for its second mip level. window: (top, left, height, width) in texels.
    """
    top, left, height, width = window
    out = np.empty((height, width, layout.channels), np.float32)
    _draw(
        codes=codes, network=network, level=level, out=out, top=top, left=left, height=height,
        width=width, coarser=coarser, repeat=layout.repeat, **_shape(layout),
    )  # fmt: skip
    return out


class Gradient:
    """Square errors of blocks and their gradients, with the memory to work in."""

    def __init__(
        self, layout: "Layout", texels: np.ndarray, weights: np.ndarray, mask: int, blocks: int,
        *, threads: int | None = None,
    ) -> None:  # fmt: skip
        """texels: uint8, flat, of all mip levels, channel by channel. weights: float32 `C`.

        mask: the channel whose value weighs the others' errors (alpha), or -1. blocks: at most so
        many at a time.
        """
        self.given = _shape(layout) | {
            "table": layout.table(),
            "texels": texels,
            "weights": weights,
            "mask": mask,
            "repeat": layout.repeat,
            "room": np.empty(blocks * ROOM, np.float32),
            "threads": native.threads() if threads is None else threads,
        }

    def __call__(
        self, blocks: np.ndarray, mode: int, key: int, nodes: np.ndarray, network: np.ndarray,
        d_nodes: np.ndarray, d_network: np.ndarray, sums: np.ndarray,
    ) -> None:  # fmt: skip
        """Adds half the gradient of the blocks' weighted square errors to d_nodes and d_network.

        blocks: int64 (N, 3): grid level, row and column of each. mode: LEVELS, NOISY or ROUNDED; key:
        of the noise. sums: float64 (2, C), gains the square errors in the finer and in the coarser
        mip levels.
        """
        _gradient(
            blocks=blocks, count=len(blocks), mode=mode, key=key, nodes=nodes, network=network,
            d_nodes=d_nodes, d_network=d_network, sums=sums, **self.given,
        )  # fmt: skip

    def adam_nodes(
        self, blocks: np.ndarray, rate: float, step: int, nodes: np.ndarray, d_nodes: np.ndarray,
        mean: np.ndarray, spread: np.ndarray,
    ) -> None:  # fmt: skip
        """One step of Adam for the nodes inside some blocks, which uses up their gradients."""
        of_grids = {
            name: self.given[name]
            for name in ("fine_channels", "fine_scale", "coarse_channels", "coarse_scale")
        }
        _adam_nodes(
            blocks=blocks, table=self.given["table"], nodes=nodes, d_nodes=d_nodes, mean=mean,
            spread=spread, count=len(blocks), **ADAM.arguments(rate, step), **of_grids,
        )  # fmt: skip


def _shape(layout: "Layout") -> dict[str, int]:
    """What every kernel reads of a layout."""
    fine, coarse = layout.grids
    return {
        "fine_channels": fine.channels, "fine_scale": fine.scale, "fine_steps": fine.steps,
        "coarse_channels": coarse.channels, "coarse_scale": coarse.scale,
        "coarse_steps": coarse.steps, "hidden_1": layout.hidden[0], "hidden_2": layout.hidden[1],
        "channels": layout.channels,
    }  # fmt: skip
