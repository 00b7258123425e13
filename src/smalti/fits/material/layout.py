"""What a neural texture is made of, and how many bits of memory that takes: exactly."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from smalti.errors import OptionError
from smalti.fits.material.kernels import COARSE, COLUMNS, FINE, HEIGHT, TEXELS, WIDTH
from smalti.textures.texture import level_count, level_size

PHASES = 3  # inputs that say where in its 2 x 2 cell a texel lies
WEIGHT_BITS = 16  # of a weight of the network, binary16
BITS = (2, 4, 6, 8)  # of a node
SCALES = (2, 4, 8)  # texels a node, along each side
MAX_GRID_CHANNELS, MAX_HIDDEN, MAX_CHANNELS = 16, 32, 16
MAX_VALUES_PER_TEXEL = 4  # of level 0, so that memory stays in proportion to the texture

# Layouts to choose from, the smallest first: fine and coarse grid, each (channels, scale, bits).
BUDGETS = (
    ((2, 4, 2), (4, 8, 2)),
    ((4, 4, 2), (4, 8, 4)),
    ((4, 4, 4), (4, 8, 4)),
    ((1, 2, 4), (4, 4, 4)),
    ((1, 2, 4), (5, 4, 4)),
    ((2, 2, 4), (4, 4, 4)),
    ((3, 2, 4), (6, 4, 4)),
    ((5, 2, 4), (8, 4, 4)),
    ((6, 2, 4), (13, 4, 4)),
    ((12, 2, 4), (12, 4, 4)),
    ((10, 2, 6), (12, 4, 4)),
)


class Grid(NamedTuple):
    """One of the two grids that every grid level has."""

    channels: int
    scale: int  # texels of the finer mip level a node, along each side
    bits: int  # a node and channel

    @property
    def steps(self) -> int:
        """The highest level of a node; the lowest is 0."""
        return 2**self.bits - 1


FINE_GRID, COARSE_GRID = Grid(3, 2, 4), Grid(6, 4, 4)  # about 5 bits a texel


@dataclass(frozen=True)
class Layout:
    """The shape of a neural texture. Grid level j serves the mip levels 2 j and 2 j + 1."""

    height: int  # texels of mip level 0
    width: int
    channels: int  # of all maps together
    fine: Grid = FINE_GRID
    coarse: Grid = COARSE_GRID
    hidden: tuple[int, int] = (32, 32)  # widths of the network's layers
    repeat: bool = False  # tiled: beyond an edge lies the opposite one
    mips: int = 0  # mip levels, 0 for all that there are

    def __post_init__(self) -> None:
        for name, grid in (("fine", self.fine), ("coarse", self.coarse)):
            if not 1 <= grid.channels <= MAX_GRID_CHANNELS:
                raise OptionError(
                    f"{name} grid of {grid.channels} channels; 1 .. {MAX_GRID_CHANNELS}"
                )
            if grid.scale not in SCALES or grid.bits not in BITS:
                raise OptionError(
                    f"{name} grid at 1/{grid.scale}, {grid.bits} bits; grids are at 1/2, 1/4 or 1/8, "
                    "of 2, 4, 6 or 8 bits"
                )
        if not all(1 <= width <= MAX_HIDDEN for width in self.hidden):
            raise OptionError(
                f"layers {self.hidden[0]} and {self.hidden[1]} wide; 1 .. {MAX_HIDDEN}"
            )
        if not 1 <= self.channels <= MAX_CHANNELS:
            raise OptionError(f"{self.channels} channels; a neural texture has 1 .. {MAX_CHANNELS}")
        if self.mips < 0:
            raise OptionError(f"{self.mips} mip levels; 0 for all, or how many")
        if (values := sum(g.channels / g.scale**2 for g in self.grids)) > MAX_VALUES_PER_TEXEL:
            raise OptionError(
                f"grids of {values:g} values a texel; the limit is {MAX_VALUES_PER_TEXEL}, so take "
                "fewer channels or larger scales"
            )

    @property
    def grids(self) -> tuple[Grid, Grid]:
        return self.fine, self.coarse

    @property
    def mip_count(self) -> int:
        most = level_count(self.height, self.width)
        return min(self.mips, most) if self.mips else most

    @property
    def level_count(self) -> int:
        """Grid levels."""
        return (self.mip_count + 1) // 2

    def size(self, mip: int) -> tuple[int, int]:
        """(height, width) of a mip level in texels."""
        return level_size(self.height, self.width, mip)

    def nodes(self, level: int, grid: Grid) -> tuple[int, int]:
        """(rows, columns) of a grid."""
        height, width = self.size(2 * level)
        return -(-height // grid.scale), -(-width // grid.scale)

    @property
    def layers(self) -> list[tuple[int, int]]:
        """(outputs, inputs) of the network's layers."""
        widths = [self.fine.channels + self.coarse.channels + PHASES, *self.hidden, self.channels]
        return [(widths[i + 1], widths[i]) for i in range(3)]

    @property
    def weight_count(self) -> int:
        return sum(outputs * (inputs + 1) for outputs, inputs in self.layers)

    @property
    def multiply_adds(self) -> int:
        """Of the network, a texel."""
        return sum(outputs * inputs for outputs, inputs in self.layers)

    @property
    def value_count(self) -> int:
        """Nodes times channels, of all levels."""
        return int(self._spans()[-1])

    @property
    def memory_bits(self) -> int:
        """All that a decoder holds: nodes of every level, weights of the network."""
        bits = self.weight_count * WEIGHT_BITS
        for level in range(self.level_count):
            for grid in self.grids:
                rows, columns = self.nodes(level, grid)
                bits += rows * columns * grid.channels * grid.bits
        return bits

    @property
    def texel_count(self) -> int:
        """Of all mip levels."""
        return sum(h * w for h, w in map(self.size, range(self.mip_count)))

    @property
    def bpp(self) -> float:
        """Bits of memory, everything counted, for each texel of mip level 0."""
        return self.memory_bits / (self.height * self.width)

    @property
    def bpp_chain(self) -> float:
        """The same for each texel of every mip level."""
        return self.memory_bits / self.texel_count

    def table(self) -> np.ndarray:
        """int64 (levels, COLUMNS), as the kernels read it."""
        table = np.zeros((self.level_count, COLUMNS), np.int64)
        spans, texels = self._spans(), 0
        for level, row in enumerate(table):
            for coarser in range(min(2, self.mip_count - 2 * level)):
                height, width = self.size(2 * level + coarser)
                row[[HEIGHT + coarser, WIDTH + coarser, TEXELS + coarser]] = height, width, texels
                texels += self.channels * height * width
            for k, (at, grid) in enumerate(zip((FINE, COARSE), self.grids, strict=True)):
                row[at : at + 3] = spans[2 * level + k], *self.nodes(level, grid)
        return table

    def _spans(self) -> np.ndarray:
        """Where the values of each grid begin: level by level, fine before coarse; then the end."""
        lengths = [
            grid.channels * rows * columns
            for level in range(self.level_count)
            for grid in self.grids
            for rows, columns in [self.nodes(level, grid)]
        ]
        return np.cumsum([0, *lengths])

    def views(self, network: np.ndarray) -> tuple[np.ndarray, ...]:
        """Weights `outputs inputs` and biases of the three layers, as views of a flat array."""
        views, at = [], 0
        for outputs, inputs in self.layers:
            weights = outputs * inputs
            views.append(network[at : at + weights].reshape(outputs, inputs))
            views.append(network[at + weights : at + weights + outputs])
            at += weights + outputs
        return tuple(views)

    def grid_slices(self) -> list[tuple[slice, tuple[int, int, int], Grid]]:
        """Of each grid, in order: its values, their shape (channels, rows, columns), and what it is."""
        spans = self._spans()
        found = []
        for k in range(2 * self.level_count):
            grid = self.grids[k % 2]
            shape = (grid.channels, *self.nodes(k // 2, grid))
            found.append((slice(int(spans[k]), int(spans[k + 1])), shape, grid))
        return found
