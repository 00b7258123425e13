"""Blocks of models on fields: tokens that lie at points, and what moves between them."""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from smalti.models.layers.fields import analyse, mass, near, outer, spans

LOCAL_ATOMS = 4  # windowed cosines on each axis, of what a token sees of its neighbours
LOCAL_RADIUS = 2.0  # cells that it sees them within
TILE = 32  # tokens on a side that look around at once


class FeedForward(nn.Module):
    """x + W₂ SiLU(W₁ norm(x)), each token by itself."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Float[Tensor, "*B C"]) -> Float[Tensor, "*B C"]:
        return x + self.down(F.silu(self.up(self.norm(x))))


class Mixing(nn.Module):
    """Attention of all tokens to all, then `FeedForward`. Tokens know where they lie.

    Queries and keys are normalised (Henry et al. 2020, arXiv 2010.04245).
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.RMSNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width, bias=False)
        self.query_norm = nn.RMSNorm(width // heads)
        self.key_norm = nn.RMSNorm(width // heads)
        self.out = nn.Linear(width, width)
        self.feed = FeedForward(width)

    def forward(
        self, t: Float[Tensor, "B h w C"], rows: Float[Tensor, "b h"], columns: Float[Tensor, "b w"]
    ) -> Float[Tensor, "B h w C"]:
        q, k, v = (
            heads_of(part, self.heads)
            for part in self.query_key_value(self.norm(t).flatten(1, 2)).chunk(3, -1)
        )
        seen = attention(self.query_norm(q), self.key_norm(k), v)
        return self.feed(t + self.out(seen).view(t.shape))


def heads_of(x: Float[Tensor, "B N C"], heads: int) -> Float[Tensor, "B heads N D"]:
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def attention(
    q: Float[Tensor, "B heads N D"],
    k: Float[Tensor, "B heads M D"],
    v: Float[Tensor, "B heads M D"],
) -> Float[Tensor, "B N C"]:
    """Softmax attention; heads beside each other again."""
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


class LocalMixing(nn.Module):
    """What lies around each token, through windowed cosines; then `FeedForward`.

    A convolution for tokens at any distance: only offsets count, measured in cells.
    """

    def __init__(self, width: int, cells: int) -> None:
        super().__init__()
        self.cells = cells
        self.norm = nn.RMSNorm(width)
        self.out = nn.Linear(LOCAL_ATOMS**2 * width + 2 * LOCAL_ATOMS, width)
        self.feed = FeedForward(width)

    def forward(
        self, t: Float[Tensor, "B h w C"], rows: Float[Tensor, "1 h"], columns: Float[Tensor, "1 w"]
    ) -> Float[Tensor, "B h w C"]:
        radius = LOCAL_RADIUS / self.cells
        ys, xs = rows[0], columns[0]
        around: dict[str, Any] = {"radius": radius, "count": LOCAL_ATOMS}
        down, across = (self.cells * _spacing(at, 1 / self.cells) for at in (ys, xs))
        x = self.norm(t).permute(0, 3, 1, 2)
        parts = []
        for i in spans(len(ys), TILE):
            near_y = near(ys, ys[i], radius)
            strip = []
            for j in spans(len(xs), TILE):
                near_x = near(xs, xs[j], radius)
                seen = analyse(
                    x[:, :, near_y, near_x],
                    ys[near_y],
                    xs[near_x],
                    rows[:, i],
                    columns[:, j],
                    **around,
                )
                border = (
                    outer(
                        mass(rows[:, i], ys[near_y], **around) * down,
                        mass(columns[:, j], xs[near_x], **around) * across,
                    )
                    .expand(len(t), -1, -1, -1)
                    .to(t.dtype)
                )
                seen = self.out(torch.cat([seen * (down * across), border], -1))
                strip.append(self.feed(t[:, i, j] + seen))
            parts.append(torch.cat(strip, 2))
        return torch.cat(parts, 1)


def _spacing(at: Float[Tensor, " n"], alone: float) -> float:
    """Mean distance of points; `alone` of a single one."""
    return alone if len(at) == 1 else float(at[-1] - at[0]) / (len(at) - 1)
