"""Latent texture: one picture as two small grids and a sine network that blends them."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from smalti.ops.sample import bilinear, taps
from smalti.ops.sine import sine

OMEGA = 30.0  # of the sines (Sitzmann et al. 2020, section 3.2)
GRID_STD = 0.01  # of a grid's values before fitting
CHUNK = 2**19  # activations of one layer at a time in `render`: 2 MB, an L2 cache's worth


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


class LatentTextureModel(nn.Module):
    """texel ─┬─ lo grid, 1/8, 16 channels ─bilinear─┐
              └─ hi grid, 1/4, 2 channels ──bilinear─┴─ 18 ─sin─ 64 ─sin─ 64 ─sigmoid─ C

    Not trained on pictures: fitted to one. A grid has ceil(height / scale) x ceil(width / scale)
    nodes, the outermost on the picture's border. SIREN: Sitzmann et al. 2020, arXiv 2006.09661.
    """

    def __init__(
        self, config: LatentTextureConfig | None = None, *, generator: torch.Generator | None = None
    ) -> None:
        """A model of noise; `generator` draws it, torch's global one without."""
        super().__init__()
        self.config = c = config or LatentTextureConfig()
        self.lo = _grid(c, c.lo_channels, c.lo_scale, generator)
        self.hi = _grid(c, c.hi_channels, c.hi_scale, generator)
        features = c.lo_channels + c.hi_channels
        widths = [features] + [c.hidden] * c.depth
        # Sitzmann et al. 2020, section 3.2: phases of every layer spread over the sine's periods
        bounds = [1 / features] + [math.sqrt(6 / c.hidden) / OMEGA] * (c.depth - 1)
        self.sines = nn.ModuleList(
            _linear(*layer, bound, generator)
            for *layer, bound in zip(widths[:-1], widths[1:], bounds, strict=True)
        )
        self.head = _linear(c.hidden, c.channels, 1 / math.sqrt(c.hidden), generator)

    def forward(
        self,
        rows: Int[Tensor, " R"],
        columns: Int[Tensor, " K"],
        *,
        size: tuple[int, int] | None = None,
        see: Callable[[Tensor], Tensor] | None = None,
    ) -> Float[Tensor, "R K C"]:
        """The texels, in [0, 1], at every crossing of some rows and columns.

        Args:
            rows, columns: indices of texels.
            size: (height, width) of the lattice that the indices count in; the picture's own
                without.
            see: applied to each grid first, for quantisation in the loop.
        """
        height, width = size or (self.config.height, self.config.width)
        features = []
        for grid in (self.lo, self.hi):
            if grid.numel() == 0:
                continue
            seen = see(grid) if see else grid
            down, across = taps(rows, height, grid.shape[0]), taps(columns, width, grid.shape[1])
            features.append(bilinear(seen, down, across))
        x = torch.cat(features, -1).flatten(0, 1)
        for layer in self.sines:
            # omega on the weights: one product a weight instead of one a texel
            x = sine(nn.functional.linear(x, OMEGA * layer.weight, OMEGA * layer.bias))
        return torch.sigmoid(self.head(x)).view(len(rows), len(columns), -1)

    @torch.no_grad()
    def render(
        self,
        rows: Int[Tensor, " R"],
        columns: Int[Tensor, " K"],
        *,
        size: tuple[int, int] | None = None,
    ) -> Float[Tensor, "C R K"]:
        """`forward` as a picture, in chunks: memory beyond the result stays under 32 MB.

        Time a texel, for the defaults: 5,440 multiply-adds, 128 sines, 72 grid values read.
        """
        n = max(1, CHUNK // self.config.hidden)
        columns_each = min(n, len(columns))
        rows_each = max(1, n // columns_each)
        picture = self.lo.new_empty(self.config.channels, len(rows), len(columns))
        for top in range(0, len(rows), rows_each):
            for left in range(0, len(columns), columns_each):
                down = slice(top, top + rows_each)
                across = slice(left, left + columns_each)
                texels = self(rows[down], columns[across], size=size)
                picture[:, down, across] = texels.permute(2, 0, 1)
        return picture


def _grid(
    c: LatentTextureConfig, channels: int, scale: int, generator: torch.Generator | None
) -> nn.Parameter:
    nodes = (math.ceil(c.height / scale), math.ceil(c.width / scale))
    return nn.Parameter(GRID_STD * torch.randn(*nodes, channels, generator=generator))


def _linear(n_in: int, n_out: int, bound: float, generator: torch.Generator | None) -> nn.Linear:
    layer = nn.utils.skip_init(nn.Linear, n_in, n_out)  # draws nothing from the global generator
    nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
    nn.init.zeros_(layer.bias)
    return layer
