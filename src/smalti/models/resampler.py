"""R2IR v2: pictures as fields over a small grid of latents, read and drawn at any size."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float, Real
from torch import Tensor, nn

from smalti.errors import OptionError
from smalti.models.base import Model
from smalti.models.layers.field_blocks import (
    LOCAL_RADIUS,
    FeedForward,
    LocalMixing,
    Mixing,
)
from smalti.models.layers.fields import (
    analyse,
    centres,
    mass,
    near,
    outer,
    spans,
    synthesise,
    waves,
)
from smalti.models.layers.linear_attention import Summary, read, summary

FITS = ("stretch", "contain", "cover")
TILE = 96  # texels on a side of what is drawn at once
LATENTS = 24  # or as many texels as this many latents on a side lie behind
TOKENS = 128**2  # latents that become tokens at once; of more only those around some tiles
TOGETHER = 6  # tiles on a side of whose latents become tokens together
REACH = 0.75  # least radius of what a latent draws, of the distance to the next one
TRAINED_SIZES = (-1.35, 2.35)  # log2 of a texel drawn to one of training; beyond, as at the ends
EDGE = 0.5  # of a training texel: so far beyond the frame the field goes on; then its edge does


@dataclass(frozen=True)
class ResamplerConfig:
    channels: int = 1  # of a picture
    latent_channels: int = 16
    width: int = 96  # of a latent's token
    frame: int = 32  # texels on a side of a training picture, whose side is the unit of length
    cells: int = 4  # latents on a side of a training picture
    radius: float = 1.0  # of what a latent sees and draws, in cells
    atoms: int = 12  # windowed cosines on each axis
    texel_width: int = 32  # of a texel's token
    places: int = 6  # octaves of absolute coordinates; 0: pictures of any extent, alike everywhere
    heads: int = 4
    encoder_blocks: int = 2
    mixing_blocks: int = 2  # among latents, before drawing
    texel_blocks: int = 2

    def __post_init__(self) -> None:
        for name in ("channels", "latent_channels", "frame", "cells", "atoms", "texel_width"):
            if getattr(self, name) < 1:
                raise OptionError(f"{name}={getattr(self, name)}; it must be at least 1")
        for name, least in (("width", 1), ("heads", 1), ("places", 0)):
            if getattr(self, name) < least:
                raise OptionError(f"{name}={getattr(self, name)}; it must be at least {least}")
        if self.width % self.heads:
            raise OptionError(f"width={self.width}; it is a multiple of heads={self.heads}")
        if self.radius < 1:
            raise OptionError(f"radius={self.radius}; below 1 cell texels are left out")


class Resampler(Model):
    """Any picture to a grid of latents of any size, and to a picture of any size.

        picture x ─atoms→ what each latent sees ─MLP→ z ─blocks→ tokens ─atoms→ texel ─MLP→ x̂
                 └ waves → the whole ─────────┘          └─linear attention─────┘

    A latent lies at a point p of the frame and sees the picture through windowed cosines around p;
    a texel of any size at any point q is drawn from the latents around it through the same
    cosines. Only coordinates say what is read from where: the windows are an attention whose
    weights no content changes, beside a linear attention (or, for the encoder, the lowest waves)
    that reaches everywhere. Every token is normalised by itself, so a texel depends on the latents,
    its place and its footprint, and on no other texel: a tile is that part of the whole.

    With `places` the frame is the picture, whatever its size in texels (digits). Without, a picture
    is as many frames large as it has texels, and its latents are as far apart (photographs).

    Pictures are B C H W in [-1, 1]; latents B c h w, of unit variance over the training pictures.
    The idea is R2IR's (coordinates alone move information; one resolution in training, any after
    it); what differs and why is in docs/RESAMPLER.md.
    """

    Config = ResamplerConfig
    factor = 1
    sized = True
    mean: Tensor  # of the latents in training, "c"; and their deviation
    deviation: Tensor
    earlier_names: ClassVar = {"see": "embed", "brush": "to_atoms", "glance": "attention_out"}

    def __init__(self, config: ResamplerConfig | None = None) -> None:
        super().__init__(config)
        c = self.config
        seen = c.channels * c.atoms**2 + 2 * c.atoms
        whole = c.channels * c.atoms**2 if c.places else 0
        self.embed = nn.Linear(seen + 4 * c.places + whole, c.width)
        self.encoder = nn.ModuleList(FeedForward(c.width) for _ in range(c.encoder_blocks))
        self.to_latent = nn.Sequential(nn.RMSNorm(c.width), nn.Linear(c.width, c.latent_channels))
        self.register_buffer("mean", torch.zeros(c.latent_channels))
        self.register_buffer("deviation", torch.ones(c.latent_channels))
        self.from_latent = nn.Linear(c.latent_channels + 4 * c.places, c.width)
        self.mixing = nn.ModuleList(
            Mixing(c.width, c.heads) if c.places else LocalMixing(c.width, c.cells)
            for _ in range(c.mixing_blocks)
        )
        self.norm = nn.RMSNorm(c.width)
        self.to_atoms = nn.Linear(c.width, c.atoms**2 * c.texel_width)
        if c.places:
            self.query = nn.Linear(4 * c.places, c.width)
            self.key_value = nn.Linear(c.width, 2 * c.width)
            self.attention_out = nn.Linear(c.width, c.texel_width)
        else:  # how wide each latent's distribution is, a logistic one, in steps of its rounding
            self.log_scale = nn.Parameter(torch.zeros(c.latent_channels))
        self.footprint = nn.Linear(2, c.texel_width)
        self.texels = nn.ModuleList(FeedForward(c.texel_width) for _ in range(c.texel_blocks))
        self.plain = nn.Linear(c.texel_width, c.channels)
        self.colour = nn.Sequential(nn.RMSNorm(c.texel_width), nn.Linear(c.texel_width, c.channels))

    def halves(self) -> tuple[int, int]:
        parts = (self.embed, self.encoder, self.to_latent)
        reading = sum(p.numel() for part in parts for p in part.parameters())
        return reading, sum(p.numel() for p in self.parameters()) - reading

    @property
    def pitch(self) -> float:
        """Distance of latents in training, in frames."""
        return 1 / self.config.cells

    @property
    def radius(self) -> float:
        return self.config.radius * self.pitch

    @property
    def channels(self) -> int:
        return self.config.channels

    def radii(self, extent: tuple[float, float], size: tuple[int, int]) -> tuple[float, float]:
        """How far latents draw, downwards and across: farther where they lie far apart."""
        down, across = (
            max(self.radius, REACH * side / n) for side, n in zip(extent, size, strict=True)
        )
        return down, across

    def extent(self, height: int, width: int) -> tuple[float, float]:
        """Height and width in frames of a picture of so many texels."""
        if self.config.places:
            return 1.0, 1.0
        return height / self.config.frame, width / self.config.frame

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of latents that training would give a picture of this size."""
        cells, frame = self.config.cells, self.config.frame
        if self.config.places:
            return cells, cells
        return -(-height * cells // frame), -(-width * cells // frame)

    def encode(
        self, x: Float[Tensor, "B C H W"], size: tuple[int, int] | None = None, *, tile: int = 32
    ) -> Float[Tensor, "B c h w"]:
        """Latents of pictures in [-1, 1]; a grid of any size, or the one `grid` says.

        Args:
            tile: latents on a side of what is made at once; memory grows with its square.

        Raises:
            ImageError: not `B C H W`.
        """
        self.check_pictures(x)
        extent = self.extent(*x.shape[2:])
        h, w = size or self.grid(*x.shape[2:])
        rows, columns = (centres(n, s).to(x.device) for n, s in zip((h, w), extent, strict=True))
        ys, xs = (centres(n, s).to(x.device) for n, s in zip(x.shape[2:], extent, strict=True))
        steps = (extent[0] / x.shape[2], extent[1] / x.shape[3])
        whole = self.global_features(x)
        z = x.new_empty(len(x), h, w, self.config.latent_channels)
        for down in spans(h, tile):
            i = near(ys, rows[down], self.radius)
            for across in spans(w, tile):
                j = near(xs, columns[across], self.radius)
                z[:, down, across] = self.encode_at(
                    x[:, :, i, j],
                    ys[i],
                    xs[j],
                    steps,
                    rows[None, down],
                    columns[None, across],
                    whole,
                )
        return self.standardised(z).permute(0, 3, 1, 2)

    def decode(
        self,
        z: Float[Tensor, "B c h w"],
        size: tuple[int, int],
        *,
        extent: tuple[float, float] | None = None,
        fit: str = "stretch",
        footprint: float | None = None,
        window: tuple[int, int, int, int] | None = None,
        tile: int = TILE,
    ) -> Float[Tensor, "B C H W"]:
        """Pictures of any size, in about [-1, 1].

        Args:
            size: height and width of the whole picture, in texels.
            extent: height and width in frames; by default what `encode` would have given latents
                of this grid.
            fit: how the frame meets a picture of another shape. "stretch": side to side. "contain":
                whole, in the middle, its shape kept; beyond it the picture goes on as at its edge.
                "cover": its shape kept, the picture full, what juts out left away.
            footprint: side of a texel in frames; by default that of the size.
            window: top, left, height, width: draw only these texels of the picture.
            tile: texels on a side of what is drawn at once, fewer where there are many latents;
                memory grows with its square.

        Raises:
            OptionError: no such fit, or a size below 1 x 1.
        """
        height, width = window[2:] if window else size
        picture = torch.empty(
            (len(z), self.channels, height, width), dtype=z.dtype, device=z.device
        )
        parts = self.decode_tiles(
            z, size, extent=extent, fit=fit, footprint=footprint, window=window, tile=tile
        )
        for top, left, part in parts:
            picture[:, :, top : top + part.shape[2], left : left + part.shape[3]] = part
        return picture

    def decode_tiles(
        self,
        z: Real[Tensor, "B c h w"],
        size: tuple[int, int],
        *,
        step: float = 1.0,
        extent: tuple[float, float] | None = None,
        fit: str = "stretch",
        footprint: float | None = None,
        window: tuple[int, int, int, int] | None = None,
        tile: int = TILE,
    ) -> Iterator[tuple[int, int, Float[Tensor, "B C m n"]]]:
        """Row and column in the window, and texels, of each part of `decode`, one after the other.

        Of many latents only those around some tiles become tokens at once, unless all look at all
        (`places`).

        Args:
            step: the latents are `z * step`; z may be whole numbers.
        """
        h, w = z.shape[2:]
        if min(size) < 1:
            raise OptionError(f"size {size}; height and width are at least 1 texel")
        if extent is None:
            unit = (h / self.config.cells, w / self.config.cells)
            extent = (1.0, 1.0) if self.config.places else unit
        shown = shown_extent(size, extent, fit)
        top, left, height, width = window or (0, 0, *size)
        edge = EDGE / self.config.frame
        ys, xs = (
            centres(n, side)[first : first + count]
            .clamp(-whole / 2 - edge, whole / 2 + edge)
            .to(z.device)
            for n, side, first, count, whole in zip(
                size, shown, (top, left), (height, width), extent, strict=True
            )
        )
        texel = (shown[0] / size[0], shown[1] / size[1])
        sides = texel if footprint is None else (footprint, footprint)
        rows, columns = centres(h, extent[0]).to(z.device), centres(w, extent[1]).to(z.device)
        radii = self.radii(extent, (h, w))
        tiles = [max(1, min(tile, LATENTS * n // m)) for n, m in zip(size, (h, w), strict=True)]
        whole = self.config.places > 0 or h * w <= TOKENS
        block = (height, width) if whole else (TOGETHER * tiles[0], TOGETHER * tiles[1])
        for top, left in itertools.product(range(0, height, block[0]), range(0, width, block[1])):
            bottom, right = min(top + block[0], height), min(left + block[1], width)
            seen = (slice(0, h), slice(0, w))
            if not whole:
                reach = len(self.mixing) * LOCAL_RADIUS * self.pitch
                seen = (
                    near(rows, ys[top:bottom], radii[0] + reach),
                    near(columns, xs[left:right], radii[1] + reach),
                )
            own_rows, own_columns = rows[seen[0]], columns[seen[1]]
            part = z[:, :, *seen].permute(0, 2, 3, 1)
            part = part if part.is_floating_point() else part.to(self.dtype) * step
            t = self.tokens(part, own_rows[None], own_columns[None])
            memory = self.memory(t)
            for down in spans(bottom - top, tiles[0]):
                y = ys[top:bottom][down]
                i = near(own_rows, y, radii[0])
                for across in spans(right - left, tiles[1]):
                    x = xs[left:right][across]
                    j = near(own_columns, x, radii[1])
                    drawn = self.decode_at(
                        t[:, i, j],
                        own_rows[None, i],
                        own_columns[None, j],
                        y[None],
                        x[None],
                        sides,
                        memory,
                        radii,
                    )
                    yield top + down.start, left + across.start, drawn.permute(0, 3, 1, 2)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """Encoded and decoded at its own size; latents of photographs are rounded, as in a file."""
        z = self.encode(x)
        z = z if self.config.places else z.round()
        height, width = x.shape[2:]
        return self.decode(z, (height, width), extent=self.extent(height, width))

    # What training uses as well: coordinates as they come, B of them or 1 for all, tokens last.

    def global_features(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B S"] | None:
        """The lowest waves of whole pictures, which every latent is told."""
        if not self.config.places:
            return None
        ys, xs = (centres(n).to(x.device) for n in x.shape[2:])
        middle = torch.zeros(1, 1, device=x.device)
        seen = analyse(x, ys, xs, middle, middle, radius=1.0, count=self.config.atoms)
        return seen.flatten(1) / (x.shape[2] * x.shape[3])

    def encode_at(
        self,
        x: Float[Tensor, "B C H W"],
        ys: Float[Tensor, " H"],
        xs: Float[Tensor, " W"],
        steps: tuple[float, float],
        rows: Float[Tensor, "b h"],
        columns: Float[Tensor, "b w"],
        whole: Float[Tensor, "B S"] | None,
    ) -> Float[Tensor, "B h w c"]:
        """Latents at rows and columns of points, before they are standardised.

        Args:
            ys, xs: where the texels lie, `steps` apart.
        """
        c = self.config
        per_cell = (steps[0] * c.cells, steps[1] * c.cells)
        seen = analyse(x, ys, xs, rows, columns, radius=self.radius, count=c.atoms)
        parts = [seen * (per_cell[0] * per_cell[1])]
        down = mass(rows, ys, radius=self.radius, count=c.atoms) * per_cell[0]
        across = mass(columns, xs, radius=self.radius, count=c.atoms) * per_cell[1]
        parts.append(outer(down, across))
        if whole is not None:
            parts += [waves(rows, columns, count=c.places), whole[:, None, None]]
        shape = (len(x), rows.shape[1], columns.shape[1], -1)
        t = self.embed(torch.cat([part.expand(shape).to(x.dtype) for part in parts], -1))
        for block in self.encoder:
            t = block(t)
        return self.to_latent(t)

    def standardised(self, z: Float[Tensor, "*B c"]) -> Float[Tensor, "*B c"]:
        return (z - self.mean) / self.deviation

    def tokens(
        self,
        z: Float[Tensor, "B h w c"],
        rows: Float[Tensor, "b h"],
        columns: Float[Tensor, "b w"],
    ) -> Float[Tensor, "B h w C"]:
        """Standardised latents that have looked at each other."""
        if self.config.places:
            where = waves(rows, columns, count=self.config.places)
            z = torch.cat([z, where.expand(len(z), -1, -1, -1).to(z.dtype)], -1)
        t = self.from_latent(z)
        for block in self.mixing:
            t = block(t, rows, columns)
        return self.norm(t)

    def memory(self, t: Float[Tensor, "B h w C"]) -> Summary | None:
        """All that the linear attention takes from the tokens."""
        if not self.config.places:
            return None
        key, value = self.key_value(t.flatten(1, 2)).chunk(2, -1)
        return summary(key, value, heads=self.config.heads)

    def decode_at(
        self,
        t: Float[Tensor, "B h w C"],
        rows: Float[Tensor, "b h"],
        columns: Float[Tensor, "b w"],
        ys: Float[Tensor, "b m"],
        xs: Float[Tensor, "b n"],
        footprint: tuple[Tensor | float, Tensor | float],
        memory: Summary | None,
        radii: tuple[float, float] | None = None,
    ) -> Float[Tensor, "B m n C"]:
        """Texels at rows and columns of points, each with a footprint of height and width.

        Args:
            radii: of what a latent draws, downwards and across; `radius` by default.
        """
        c = self.config
        coefficients = self.to_atoms(t).unflatten(-1, (c.atoms, c.atoms, c.texel_width))
        radii = radii or (self.radius, self.radius)
        feature = synthesise(coefficients, rows, columns, ys, xs, footprint, radii)
        if memory is not None:
            q = waves(ys, xs, count=c.places, footprint=footprint).to(t.dtype)
            q = F.silu(self.query(q))
            seen = read(q.flatten(1, 2), memory).unflatten(1, q.shape[1:3])
            feature = feature + self.attention_out(seen)
        sides = [torch.as_tensor(s, device=t.device).reshape(-1) for s in footprint]
        size = (torch.stack(sides, -1).to(t.dtype) * c.frame).log2().clamp(*TRAINED_SIZES)
        feature = feature + self.footprint(size)[:, None, None]
        plain = self.plain(feature)
        for block in self.texels:
            feature = block(feature)
        return plain + self.colour(feature)


def shown_extent(
    size: tuple[int, int], extent: tuple[float, float], fit: str
) -> tuple[float, float]:
    """Height and width in frames of what a picture of this size shows."""
    if fit not in FITS:
        raise OptionError(f"no fit {fit!r}; known: {', '.join(FITS)}")
    if fit == "stretch":
        return extent
    texel = [side / n for side, n in zip(extent, size, strict=True)]
    side = max(texel) if fit == "contain" else min(texel)
    return side * size[0], side * size[1]
