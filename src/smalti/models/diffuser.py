"""R2ID v2: a transformer over points of a field of latents that turns noise into latents."""

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from smalti.errors import OptionError
from smalti.models.base import Model
from smalti.models.layers.field_blocks import attention, heads_of
from smalti.models.layers.fields import centres, waves
from smalti.models.resampler import ResamplerConfig

TIME_WAVES = 16  # sines and cosines of log-SNR, each
SLOWEST, FASTEST = 2**-4, 2**2  # of them, in radians for each unit of log-SNR
LARGEST_LOG_SNR = 14.0  # what the network is told at most, either way: t = 0.001


@dataclass(frozen=True)
class DiffuserConfig:
    latent_channels: int = 16
    cells: int = 4  # latents on a side of a training picture, whose side is the unit of length
    width: int = 128  # of a token
    blocks: int = 6
    heads: int = 4
    places: int = 4  # octaves of coordinates
    film: int = 128  # width of the time's embedding
    classes: int = 10
    condition: int = 2  # tokens a label becomes
    autoencoder: str = "r2ir-mnist"  # whose latents these are

    def __post_init__(self) -> None:
        for name in ("latent_channels", "cells", "width", "heads", "film", "classes", "condition"):
            if getattr(self, name) < 1:
                raise OptionError(f"{name}={getattr(self, name)}; it must be at least 1")
        if self.places < 0:
            raise OptionError(f"places={self.places}; it must be at least 0")
        if self.width % self.heads:
            raise OptionError(f"width={self.width}; it is a multiple of heads={self.heads}")

    def check_fits(self, autoencoder: ResamplerConfig) -> None:
        """Refuse a resampler that has other latents.

        Raises:
            OptionError: another number of channels or cells, or a resampler of photographs.
        """
        if not autoencoder.places:
            raise OptionError(f"{self.autoencoder} is a resampler of photographs, without a frame")
        if (autoencoder.latent_channels, autoencoder.cells) != (self.latent_channels, self.cells):
            raise OptionError(
                f"{self.autoencoder} has {autoencoder.cells} cells of {autoencoder.latent_channels} numbers, not "
                f"{self.cells} of {self.latent_channels}; set model.cells and model.latent_channels"
            )


class Diffuser(Model):
    """Noisy latents, their noise level and a label to the velocity from latents to noise.

        x_t ─┬─linear→ tokens ─[self-attention, attention to the label, MLP] x blocks─→ v
        p ─waves┘        t ─log-SNR→ waves ─MLP→ scales and shifts of every block

    x_t = (1 - t) x + t ε and v = ε - x (flow matching, Lipman et al. 2023, with straight paths as in
    Liu et al. 2023). The network is told log-SNR, 2 log((1 - t) / t), not t: equal steps of it are
    equal steps of what is visible. Blocks are those of DiT (Peebles and Xie 2023) with normalised
    queries and keys. A token is a latent at a point of the frame, so there can be any number of
    them, anywhere: attention is a mean over the frame however many points it is taken at, and
    `smalti.diffusion.noise` makes the noise a field as well.

    Labels are 0 .. classes - 1; `classes` stands for any.
    """

    Config = DiffuserConfig
    factor = 1

    def __init__(self, config: DiffuserConfig | None = None) -> None:
        super().__init__(config)
        c: DiffuserConfig = self.config
        self.enter = nn.Linear(c.latent_channels + 4 * c.places, c.width)
        self.time = nn.Sequential(
            nn.Linear(2 * TIME_WAVES, c.film), nn.SiLU(), nn.Linear(c.film, c.film), nn.SiLU()
        )
        self.label = nn.Embedding(c.classes + 1, c.condition * c.width)
        self.label_norm = nn.RMSNorm(c.width)
        self.blocks = nn.ModuleList(Block(c.width, c.heads, c.film) for _ in range(c.blocks))
        self.norm = nn.RMSNorm(c.width, elementwise_affine=False)
        self.film = nn.Linear(c.film, 2 * c.width)
        self.leave = nn.Linear(c.width, c.latent_channels)
        for layer in (self.film, self.leave):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    @property
    def channels(self) -> int:
        return self.config.latent_channels

    def conditions(self, labels: Int[Tensor, " B"]) -> "list[tuple[Tensor, Tensor]]":
        """Keys and values of the labels for every block; they do not depend on the step."""
        tokens = self.label(labels).unflatten(-1, (self.config.condition, -1))
        tokens = self.label_norm(tokens)
        blocks: Any = self.blocks
        return [block.cross_key_value(tokens) for block in blocks]

    def forward(
        self,
        x: Float[Tensor, "B c h w"],
        t: Float[Tensor, " B"],
        conditions: "list[tuple[Tensor, Tensor]]",
        rows: Float[Tensor, "b h"] | None = None,
        columns: Float[Tensor, "b w"] | None = None,
    ) -> Float[Tensor, "B c h w"]:
        """The velocity at time t, 0 (latents) .. 1 (noise).

        Args:
            conditions: of `conditions`; the same ones for all t.
            rows, columns: where the latents lie, in frames; by default the centres of a grid.
        """
        h, w = x.shape[2:]
        rows = centres(h).to(x.device)[None] if rows is None else rows
        columns = centres(w).to(x.device)[None] if columns is None else columns
        where = waves(rows, columns, count=self.config.places).flatten(1, 2)
        tokens = x.flatten(2).transpose(1, 2)
        s = self.enter(torch.cat([tokens, where.expand(len(x), -1, -1).to(x.dtype)], -1))
        f = self.time(time_waves(t).to(x.dtype))
        for block, key_value in zip(self.blocks, conditions, strict=True):
            s = block(s, f, key_value)
        scale, shift = self.film(f).unsqueeze(1).chunk(2, -1)
        v = self.leave(self.norm(s) * (1 + scale) + shift)
        return v.transpose(1, 2).unflatten(2, (h, w))


class Block(nn.Module):
    """Self-attention, attention to the label's tokens and an MLP, scaled and shifted by the time."""

    def __init__(self, width: int, heads: int, film: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.RMSNorm(width, elementwise_affine=False)
        self.query_key_value = nn.Linear(width, 3 * width, bias=False)
        self.query_norm, self.key_norm = (nn.RMSNorm(width // heads) for _ in range(2))
        self.out = nn.Linear(width, width)
        self.cross_query = nn.Linear(width, width, bias=False)
        self.cross_keys = nn.Linear(width, 2 * width, bias=False)
        self.cross_norm = nn.RMSNorm(width // heads)
        self.cross_out = nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.film = nn.Linear(film, 6 * width)
        for layer in (self.film, self.cross_out):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def cross_key_value(self, tokens: Float[Tensor, "B T C"]) -> tuple[Tensor, Tensor]:
        key, value = (heads_of(part, self.heads) for part in self.cross_keys(tokens).chunk(2, -1))
        return self.cross_norm(key), value

    def forward(
        self,
        s: Float[Tensor, "B N C"],
        f: Float[Tensor, "B film"],
        key_value: tuple[Tensor, Tensor],
    ) -> Float[Tensor, "B N C"]:
        scale, shift, gate, *second = self.film(f).unsqueeze(1).chunk(6, -1)
        x = self.norm(s) * (1 + scale) + shift
        q, k, v = (heads_of(p, self.heads) for p in self.query_key_value(x).chunk(3, -1))
        s = s + gate * self.out(attention(self.query_norm(q), self.key_norm(k), v))
        q = self.query_norm(heads_of(self.cross_query(self.norm(s)), self.heads))
        s = s + self.cross_out(attention(q, *key_value))
        scale, shift, gate = second
        x = self.norm(s) * (1 + scale) + shift
        return s + gate * self.down(F.silu(self.up(x)))


def time_waves(t: Float[Tensor, " B"]) -> Float[Tensor, "B waves"]:
    """Sines and cosines of log-SNR = 2 log((1 - t) / t)."""
    t = t.float()
    snr = (2 * (torch.log1p(-t) - t.log())).clamp(-LARGEST_LOG_SNR, LARGEST_LOG_SNR)
    ratio = (FASTEST / SLOWEST) ** (torch.arange(TIME_WAVES, device=t.device) / (TIME_WAVES - 1))
    angle = snr.unsqueeze(-1) * (SLOWEST * ratio)
    return math.sqrt(2) * torch.cat([angle.sin(), angle.cos()], -1)
