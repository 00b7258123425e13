"""A fitted neural texture, and its texels: one, a window, a mip level, any size."""

import functools
from dataclasses import dataclass

import numpy as np

from smalti.errors import OptionError
from smalti.fits.material import kernels
from smalti.fits.material.layout import Layout
from smalti.image.resize import resized


@dataclass(frozen=True)
class NeuralTexture:
    """What a decoder holds: `layout.memory_bits` of it, if levels and weights are packed."""

    layout: Layout
    codes: np.ndarray  # uint8 (layout.value_count,), a node's level; in the order of `grid_slices`
    network: np.ndarray  # float16 (layout.weight_count,): of each layer weights, then biases

    def window(self, top: int, left: int, height: int, width: int, *, mip: int = 0) -> np.ndarray:
        """The texels of a rectangle of one mip level, `height width C` float32 in [0, 1].

        No other blocks are looked at.

        Raises:
            OptionError: there is no such mip level, or the rectangle leaves it.
        """
        rows, columns = self._size(mip)
        if not (0 <= top < top + height <= rows and 0 <= left < left + width <= columns):
            raise OptionError(
                f"window top {top}, left {left}, {height} x {width} does not lie within the "
                f"{rows} rows and {columns} columns of mip level {mip}"
            )
        level, coarser = divmod(mip, 2)
        return kernels.render(
            self.layout, self.codes, self._network, self._table[level], coarser,
            (top, left, height, width),
        )  # fmt: skip

    def texel(self, y: int, x: int, *, mip: int = 0) -> np.ndarray:
        """All channels of one texel."""
        return self.window(y, x, 1, 1, mip=mip)[0, 0]

    def mip(self, mip: int = 0) -> np.ndarray:
        """A whole mip level, `h w C`."""
        return self.window(0, 0, *self._size(mip), mip=mip)

    def at_size(self, height: int, width: int) -> np.ndarray:
        """Any size, `height width C`: the smallest mip level that is no smaller, resampled bilinearly."""
        mip = 0
        while mip + 1 < self.layout.mip_count:
            rows, columns = self.layout.size(mip + 1)
            if rows < height or columns < width:
                break
            mip += 1
        return resized(self.mip(mip), height, width, "bilinear")

    @functools.cached_property
    def _table(self) -> np.ndarray:
        return self.layout.table()

    @functools.cached_property
    def _network(self) -> np.ndarray:
        return self.network.astype(np.float32)

    def _size(self, mip: int) -> tuple[int, int]:
        if not 0 <= mip < self.layout.mip_count:
            raise OptionError(
                f"mip level {mip}; this texture's go from 0 to {self.layout.mip_count - 1}"
            )
        return self.layout.size(mip)
