"""Procedural RGBA boxes: no picture anywhere, yet edges, gradients, overlap, transparency.

Each picture is a background (transparent or a colour gradient) under 3 to 24 boxes, composited
in order. A box has a random centre, size, rotation, softness of its edge, a linear gradient
between two RGBA colours, and sometimes a border of another colour.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

MOST_BOXES = 24


def draw_boxes(
    randoms: Sequence[np.random.Generator],
    height: int,
    width: int,
    *,
    device: str | torch.device = "cpu",
) -> Float[Tensor, "B 4 height width"]:
    """A picture of each random generator, straight alpha, in [0, 1].

    The numbers are drawn on the CPU, a few hundred a picture; the pictures on `device`.
    """
    return torch.stack([_picture(random, height, width, device) for random in randoms])


@dataclass(frozen=True)
class Canvas:
    """Coordinates of the texels; -1 .. 1 along the longer side, square texels."""

    x: Float[Tensor, "1 W"]
    y: Float[Tensor, "H 1"]
    texel: float  # its side

    @classmethod
    def of(cls, height: int, width: int, device: str | torch.device) -> "Canvas":
        texel = 2 / max(height, width)
        x = (torch.arange(width, device=device, dtype=torch.float32) + 0.5 - width / 2) * texel
        y = (torch.arange(height, device=device, dtype=torch.float32) + 0.5 - height / 2) * texel
        return cls(x[None, :], y[:, None], texel)

    def part(self, x: float, y: float, reach: float) -> tuple[slice, slice]:
        """The rows and columns within `reach` of a point."""
        height, width = len(self.y), self.x.shape[1]
        middle_x, middle_y = x / self.texel + width / 2, y / self.texel + height / 2
        span = reach / self.texel + 1
        rows = slice(max(0, int(middle_y - span)), max(0, min(height, int(middle_y + span) + 1)))
        return rows, slice(
            max(0, int(middle_x - span)), max(0, min(width, int(middle_x + span) + 1))
        )


def _picture(
    random: np.random.Generator, height: int, width: int, device: str | torch.device
) -> Float[Tensor, "4 H W"]:
    canvas = Canvas.of(height, width, device)
    drawn = torch.zeros(4, height, width, device=device)  # premultiplied
    angle = random.uniform(0, 2 * np.pi)
    first, second = _colour(random, device), _colour(random, device)
    if random.random() < 0.5:
        ramp = (canvas.x * np.cos(angle) + canvas.y * np.sin(angle) + 1) / 2
        drawn = _premultiplied(first + (second - first) * ramp.clamp(0, 1))
    for _ in range(random.integers(3, MOST_BOXES + 1)):
        _draw_box(drawn, random, canvas)
    alpha = drawn[3:]
    colour = torch.where(alpha > 1e-4, drawn[:3] / alpha.clamp(min=1e-4), 0.0)
    return torch.cat([colour, alpha]).clamp(0, 1)


def _draw_box(drawn: Tensor, random: np.random.Generator, canvas: Canvas) -> None:
    """Composite one box over `drawn`, touching only the texels that it can reach."""
    middle_x, middle_y = random.uniform(-1, 1, size=2)
    angle = random.uniform(0, np.pi) if random.random() < 0.7 else 0.0
    half_u, half_v = np.exp(random.uniform(np.log(0.02), np.log(0.8), size=2))
    softness = canvas.texel * (1 if random.random() < 0.7 else random.uniform(1, 40))
    first, second = _colour(random, drawn.device), _colour(random, drawn.device)
    second = first if random.random() < 0.5 else second
    border_width = random.uniform(0.1, 0.4) * min(half_u, half_v)
    border_colour = _colour(random, drawn.device) if random.random() < 0.3 else None

    rows, columns = canvas.part(middle_x, middle_y, np.hypot(half_u, half_v) + softness)
    x, y = canvas.x[:, columns] - middle_x, canvas.y[rows] - middle_y
    if 0 in (x.numel(), y.numel()):
        return
    u = x * np.cos(angle) + y * np.sin(angle)
    v = y * np.cos(angle) - x * np.sin(angle)
    inside = torch.minimum(half_u - u.abs(), half_v - v.abs())  # > 0 within the box
    coverage = (inside / softness + 0.5).clamp(0, 1)
    colour = first + (second - first) * ((u / half_u + 1) / 2).clamp(0, 1)
    if border_colour is not None:
        colour = torch.where(inside < border_width, border_colour, colour)
    top = _premultiplied(colour) * coverage
    under = drawn[:, rows, columns]
    under.mul_(1 - top[3:]).add_(top)  # Porter and Duff 1984, "over", both premultiplied


def _colour(random: np.random.Generator, device: str | torch.device) -> Float[Tensor, "4 1 1"]:
    """A random straight RGBA colour; half of them opaque."""
    rgba = random.uniform(0, 1, size=4)
    rgba[3] = 1.0 if random.random() < 0.5 else rgba[3]
    return torch.tensor(rgba, dtype=torch.float32, device=device).view(4, 1, 1)


def _premultiplied(rgba: Tensor) -> Tensor:
    return torch.cat([rgba[:3] * rgba[3:], rgba[3:]])
