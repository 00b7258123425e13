"""Uniform quantisation of a grid's channels, each between its own lowest and highest value."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def channel_ranges(
    grid: Float[Tensor, "h w C"],
) -> tuple[Float[Tensor, " C"], Float[Tensor, " C"]]:
    """Lowest and highest value of each channel."""
    return grid.amin((0, 1)), grid.amax((0, 1))


def to_levels(
    grid: Float[Tensor, "h w C"],
    low: Float[Tensor, " C"],
    high: Float[Tensor, " C"],
    levels: int,
) -> Int[Tensor, "h w C"]:
    """The nearest of `levels` equidistant values from `low` to `high`, as 0 .. levels - 1."""
    step = _step(low, high, levels)
    nearest = ((grid - low) / torch.where(step > 0, step, 1)).round()
    return nearest.clamp(0, levels - 1).to(torch.int32)


def from_levels(
    indices: Int[Tensor, "h w C"],
    low: Float[Tensor, " C"],
    high: Float[Tensor, " C"],
    levels: int,
) -> Float[Tensor, "h w C"]:
    """The values that `to_levels` chose."""
    return indices * _step(low, high, levels) + low


def straight_through(grid: Float[Tensor, "h w C"], levels: int) -> Float[Tensor, "h w C"]:
    """The grid as a decoder will see it; its gradient passes to the grid as if nothing were rounded
    (Bengio et al. 2013, arXiv 1308.3432)."""
    values = grid.detach()
    low, high = channel_ranges(values)
    seen = from_levels(to_levels(values, low, high, levels), low, high, levels)
    return grid + (seen - values)


def _step(low: Tensor, high: Tensor, levels: int) -> Tensor:
    return (high - low) / (levels - 1)
