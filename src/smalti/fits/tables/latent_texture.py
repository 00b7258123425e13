"""Latent texture: one picture as two small grids and a sine network that blends them."""

import functools
import math
from dataclasses import dataclass

import numpy as np

from smalti.fits.tables.levels import Level
from smalti.fits.tables.model import SIREN, Shape, TextureConfig

GRID_STD = 0.01  # of a grid's values before fitting


@dataclass(frozen=True)
class LatentTextureConfig(TextureConfig):
    """texel ─┬─ lo grid, 1/8, 16 channels ─bilinear─┐
              └─ hi grid, 1/4, 2 channels ──bilinear─┴─ 18 ─sin─ 64 ─sin─ 64 ─sigmoid─ C

    A grid has ceil(height / scale) x ceil(width / scale) nodes, the outermost on the picture's
    border, and is a level with as many features as the grid has channels. SIREN: Sitzmann et al.
    2020, arXiv 2006.09661. The defaults have 103,875 parameters; lo 32, hi 0 (one scale) 137,539.
    """

    # Defaults are those of files too (docs/FORMAT.md) and stay as they are.
    height: int = 512  # texels
    width: int = 512
    channels: int = 3  # of the picture
    lo_channels: int = 16  # of the coarse grid
    hi_channels: int = 2  # of the fine grid, 0 for none
    lo_scale: int = 8  # texels a node, along each side
    hi_scale: int = 4
    hidden: int = 64  # width of the network
    depth: int = 2  # layers of sines
    activation: int = SIREN  # in their place: an index into `model.ACTIVATIONS`

    @functools.cached_property
    def shape(self) -> Shape:
        levels = []
        for channels, scale in (
            (self.lo_channels, self.lo_scale),
            (self.hi_channels, self.hi_scale),
        ):
            rows, columns = math.ceil(self.height / scale), math.ceil(self.width / scale)
            if channels:
                levels.append(Level(rows, columns, channels, columns, 1))
        features = self.lo_channels + self.hi_channels
        widths = (features, *[self.hidden] * self.depth, self.channels)
        return Shape((self.height, self.width), tuple(levels), False, widths, self.activation)

    def first_table(self, level: Level, random: np.random.Generator) -> np.ndarray:
        return GRID_STD * random.standard_normal((level.entries, level.features))
