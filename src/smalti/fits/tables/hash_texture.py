"""Hash texture: one picture as tables of features at many resolutions, and a sine network."""

import functools
import math
from dataclasses import dataclass

import numpy as np

from smalti.fits.tables.levels import Level
from smalti.fits.tables.model import Shape, TextureConfig

TABLE_BOUND = 1e-3  # of a table's values before fitting
FEATURES = 2  # of an entry
VALUES_PER_TEXEL = 4  # of all tables, at most: memory stays in proportion to the picture


@dataclass(frozen=True)
class HashTextureConfig(TextureConfig):
    """texel ─16 levels, 16 .. 512 nodes a side, 2 features─ 32 ─sin─ 64 ─sin─ 64 ─sigmoid─ C

    Levels with more nodes than the largest table has entries share them by a hash (Müller et al.
    2022, arXiv 2201.05989). SIREN: Sitzmann et al. 2020, arXiv 2006.09661. The defaults have
    101,399 parameters for pictures of 512 x 512 texels.
    """

    # Defaults are those of files too (docs/FORMAT.md) and stay as they are.
    height: int = 512  # texels
    width: int = 512
    channels: int = 3  # of the picture
    levels: int = 16
    base: int = 16  # nodes along a side of the coarsest level
    finest: int = 512  # and of the finest
    log2_entries: int = 12  # of the largest table
    hidden: int = 64  # width of the network
    depth: int = 2  # layers of sines

    @property
    def entries(self) -> int:
        """Of the largest table: a power of two that VALUES_PER_TEXEL allows."""
        allowed = VALUES_PER_TEXEL * self.height * self.width // (FEATURES * self.levels)
        return min(2**self.log2_entries, 2 ** max(0, allowed.bit_length() - 1))

    def resolutions(self) -> list[int]:
        """Nodes along a side, level by level: a geometric series, rounded."""
        growth = math.log(self.finest / self.base) / max(1, self.levels - 1)
        return [round(self.base * math.exp(growth * k)) for k in range(self.levels)]

    @functools.cached_property
    def shape(self) -> Shape:
        levels = tuple(
            Level(nodes, nodes, FEATURES, 1, nodes, self.entries if nodes**2 > self.entries else 0)
            for nodes in self.resolutions()
        )
        widths = (FEATURES * self.levels, *[self.hidden] * self.depth, self.channels)
        return Shape((self.height, self.width), levels, True, widths)

    def first_table(self, level: Level, random: np.random.Generator) -> np.ndarray:
        return random.uniform(-TABLE_BOUND, TABLE_BOUND, (level.entries, level.features))


PRESETS = {  # parameters for 3 channels: 12,317, 101,399 and 322,145
    "tiny": {
        "levels": 8, "base": 8, "finest": 256, "log2_entries": 10, "hidden": 32, "depth": 1
    },
    "default": {},
    "large": {"log2_entries": 14, "hidden": 128, "depth": 3},
}  # fmt: skip
