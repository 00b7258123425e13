"""Grids to a picture: doubling, then the synthesis network."""

import numpy as np

from smalti import native
from smalti.fits.picture import synthesis, upsample
from smalti.fits.picture.layout import Layout, nodes
from smalti.fits.picture.network import Network
from smalti.fits.picture.synthesis import FEATURE, Features


class Canvas:
    """Space for one picture's features, and how to fill it and to draw from it.

    `stack[l]`, l from 1, holds `grids h w` every grid of level l and coarser, doubled to level l.

    Args:
        threads: of the kernels; None: `native.threads()`.
    """

    def __init__(self, layout: Layout, network: Network, threads: int | None = None) -> None:
        self.layout = layout
        self.threads = native.threads() if threads is None else threads
        self.hidden, self.channels = network.synthesis[0].shape[0], network.synthesis[2].shape[0]
        self.top = max(layout.levels)
        self.stack = self.new_stack()

    def new_stack(self) -> dict[int, np.ndarray]:
        layout = self.layout
        return {
            level: np.zeros(
                (len(layout.channels(level)), *nodes(layout.height, layout.width, level)),
                np.float32,
            )
            for level in range(1, self.top + 1)
        }

    def place(self, level: int) -> tuple[int, int]:
        """Columns at a level, and how many of its channels come from coarser levels."""
        inner = len(self.layout.channels(level + 1))
        return nodes(self.layout.height, self.layout.width, level)[1], inner

    def own(self, values: np.ndarray, level: int) -> np.ndarray:
        """Of flat values those of the grids of a level, `grids h w`."""
        layout, inner = self.layout, self.place(level)[1]
        first, last = layout.offsets[inner], layout.offsets[len(layout.channels(level))]
        shape = nodes(layout.height, layout.width, level)
        return values[first:last].reshape(-1, *shape)

    def fill(self, values: np.ndarray, network: Network) -> Features:
        """Stack for flat values of all grids; with it the features of the texels."""
        taps = network.taps[0]
        for level in range(self.top, 0, -1):
            inner = self.place(level)[1]
            target = self.stack[level]
            if inner:
                upsample.double(
                    self.stack[level + 1], taps[level], target[:inner], self.threads
                )  # fmt: skip
            np.multiply(self.own(values, level), FEATURE, out=target[inner:])
        coarse = self.stack[1] if self.top else None
        # with level 0 alone nothing is doubled
        last = taps[0] if self.top else np.zeros(4, np.float32)
        return Features(coarse, self.own(values, 0), last)

    def render(
        self, values: np.ndarray, network: Network, dtype: np.dtype | type = np.float32
    ) -> np.ndarray:
        """The picture `H W C` of flat values: float32 in [0, 1], or uint8."""
        picture = np.empty((self.layout.height, self.layout.width, self.channels), dtype)
        features = self.fill(values, network)
        synthesis.render(features, network.parts[0], self.hidden, picture, self.threads)
        return picture
