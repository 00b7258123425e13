"""Where the grids of a fitted picture lie, and how they are cut into streams."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

COMMON = 4  # grids of this level and above are one stream, for all tiles together


class Piece(NamedTuple):
    """What one stream holds of one grid; boxes are top, left, height, width in nodes."""

    grid: int
    box: tuple[int, int, int, int]
    coarse: int  # the grid before it, whose values are known too; -1: none
    coarse_box: tuple[int, int, int, int]
    shift: int  # of coordinates from this grid to that: 1, or 0 where both have one resolution


@dataclass(frozen=True)
class Layout:
    """Grids of a picture, coarse ones first; a grid of level n has a node for 2^n x 2^n texels."""

    height: int  # texels
    width: int
    levels: tuple[int, ...]  # of the grids, falling
    tile: int  # texels, a multiple of 2^COMMON

    @cached_property
    def shapes(self) -> list[tuple[int, int]]:
        """Rows and columns of each grid."""
        return [nodes(self.height, self.width, level) for level in self.levels]

    @cached_property
    def offsets(self) -> list[int]:
        """Where each grid begins in a flat array of all values, and where the last ends."""
        found = [0]
        for rows, columns in self.shapes:
            found.append(found[-1] + rows * columns)
        return found

    @property
    def count(self) -> int:
        """Values of all grids together."""
        return self.offsets[-1]

    @cached_property
    def tiles(self) -> list[tuple[int, int]]:
        """Top and left of each tile, in texels, in reading order."""
        return [
            (top, left)
            for top in range(0, self.height, self.tile)
            for left in range(0, self.width, self.tile)
        ]

    @cached_property
    def streams(self) -> list[list[Piece]]:
        """The common stream, then that of each tile. Pieces stand in the order of coding."""
        common = [g for g, level in enumerate(self.levels) if level >= COMMON]
        fine = [g for g, level in enumerate(self.levels) if level < COMMON]
        whole = [self._piece(g, (0, 0, *self.shapes[g])) for g in common]
        return [whole, *([self._piece(g, self._box(g, tile)) for g in fine] for tile in self.tiles)]

    @cached_property
    def table(self) -> tuple[np.ndarray, np.ndarray]:
        """The streams as the kernels take them.

        `pieces 13`: of each its numbers; `streams + 1`: the first piece of each stream, and behind
        the last.
        """
        rows = [self.numbers(piece) for stream in self.streams for piece in stream]
        lengths = [len(stream) for stream in self.streams]
        first = np.cumsum([0, *lengths], dtype=np.int64)
        return np.array(rows, np.int64).reshape(-1, 13), first

    def numbers(self, piece: Piece) -> list[int]:
        """SMALTI_FITS_PIECE of `native/include/smalti/fits.h`: where the grid begins among all values,
        its columns, the box; the same of the coarser grid, or -1; and the shift."""
        own = [self.offsets[piece.grid], self.shapes[piece.grid][1], *piece.box]
        coarse = [-1] * 6
        if piece.coarse >= 0:
            columns = self.shapes[piece.coarse][1]
            coarse = [self.offsets[piece.coarse], columns, *piece.coarse_box]
        return [*own, *coarse, piece.shift]

    def _box(self, grid: int, tile: tuple[int, int]) -> tuple[int, int, int, int]:
        level, (rows, columns) = self.levels[grid], self.shapes[grid]
        top, left = tile[0] >> level, tile[1] >> level
        side = self.tile >> level
        return top, left, min(side, rows - top), min(side, columns - left)

    def _piece(self, grid: int, box: tuple[int, int, int, int]) -> Piece:
        if grid == 0:
            return Piece(0, box, -1, box, 0)
        shift = self.levels[grid - 1] - self.levels[grid]
        top, left, height, width = box
        coarse = (top >> shift, left >> shift, (height + shift) >> shift, (width + shift) >> shift)
        return Piece(grid, box, grid - 1, coarse, shift)

    def channels(self, level: int) -> list[int]:
        """Grids of this level and coarser ones: what has been doubled down to it."""
        return [g for g, held in enumerate(self.levels) if held >= level]


def nodes(height: int, width: int, level: int) -> tuple[int, int]:
    """Rows and columns of a grid of a level."""
    return (height + (1 << level) - 1) >> level, (width + (1 << level) - 1) >> level
