"""Latent texture: one picture as two small grids and a sine network that blends them."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from smalti.models.texture import TextureModel
from smalti.ops.activations import SIREN
from smalti.ops.levels import Level

GRID_STD = 0.01  # of a grid's values before fitting


@dataclass(frozen=True)
class LatentTextureConfig:
    """The defaults have 103,875 parameters; lo 32, hi 0 (one scale) has 137,539."""

    height: int = 512  # texels
    width: int = 512
    channels: int = 3  # of the picture
    lo_channels: int = 16  # of the coarse grid
    hi_channels: int = 2  # of the fine grid, 0 for none
    lo_scale: int = 8  # texels a node, along each side
    hi_scale: int = 4
    hidden: int = 64  # width of the network
    depth: int = 2  # layers of sines
    activation: int = SIREN  # in their place: an index into `ops.activations.ACTIVATIONS`


class LatentTextureModel(TextureModel):
    """texel ─┬─ lo grid, 1/8, 16 channels ─bilinear─┐
              └─ hi grid, 1/4, 2 channels ──bilinear─┴─ 18 ─sin─ 64 ─sin─ 64 ─sigmoid─ C

    A grid has ceil(height / scale) x ceil(width / scale) nodes, the outermost on the picture's
    border, and is a level with as many features as the grid has channels. SIREN: Sitzmann et al.
    2020, arXiv 2006.09661.
    """

    corners = False

    def __init__(
        self, config: LatentTextureConfig | None = None, *, generator: torch.Generator | None = None
    ) -> None:
        """A model of noise; `generator` draws it, torch's global one without."""
        self.config = c = config or LatentTextureConfig()
        levels = []
        for channels, scale in ((c.lo_channels, c.lo_scale), (c.hi_channels, c.hi_scale)):
            rows, columns = math.ceil(c.height / scale), math.ceil(c.width / scale)
            if channels:
                levels.append(Level(rows, columns, channels, columns, 1))
        super().__init__(
            levels,
            (c.height, c.width),
            channels=c.channels,
            hidden=c.hidden,
            depth=c.depth,
            activation=c.activation,
            generator=generator,
        )

    def first_values(
        self, level: Level, generator: torch.Generator | None
    ) -> Float[Tensor, "entries features"]:
        return GRID_STD * torch.randn(level.entries, level.features, generator=generator)
