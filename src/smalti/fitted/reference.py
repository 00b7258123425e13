"""The readable twin of the fit's kernels, in torch: what they compute, without a thought for speed.

Nothing calls it but the tests, which hold the kernels' values and gradients against autograd's.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from smalti.fitted.context import COARSE, HIGHEST, LOWEST, NEAR
from smalti.fitted.draw import FEATURE
from smalti.fitted.layout import Layout

Parameters = list[tuple[Tensor, ...]]  # synthesis, taps, context, as in `Network`


def soft(y: Tensor, temperature: float) -> Tensor:
    """Soft rounding (`values.soften`)."""
    whole = torch.floor(y) + 0.5
    return whole + torch.tanh((y - whole) / temperature) / (2 * math.tanh(0.5 / temperature))


def doubled(y: Float[Tensor, "h w"], taps: Float[Tensor, " 4"]) -> Float[Tensor, "H W"]:
    """Twice the rows, then twice the columns (`upsample.double`)."""
    for _ in range(2):
        padded = F.pad(y.T[None], (2, 2), mode="replicate")[0]  # columns become the last axis
        n = y.shape[0]
        shifted = [padded[:, k : k + n] for k in range(5)]
        even = sum(taps[k] * shifted[k] for k in range(4))
        odd = sum(taps[k] * shifted[4 - k] for k in range(4))
        y = torch.stack([even, odd], -1).flatten(-2)  # transposed: the next round does the others
    return y


def picture(values: Tensor, layout: Layout, parameters: Parameters) -> Float[Tensor, "C H W"]:
    """Flat values to colours, not clamped (`Canvas.fill`)."""
    (w1, b1, w2, b2, skip), (taps,), _ = parameters
    stack: list[Tensor] = []
    for level in range(max(layout.levels), -1, -1):
        rows, columns = (-(-side // (1 << level)) for side in (layout.height, layout.width))
        stack = [doubled(y, taps[level])[:rows, :columns] for y in stack]
        for grid in layout.channels(level)[len(stack) :]:
            own = values[layout.offsets[grid] : layout.offsets[grid + 1]]
            stack.append(own.view(layout.shapes[grid]) * float(FEATURE))
    features = torch.stack(stack).flatten(1)
    hidden = torch.relu(w1 @ features + b1[:, None])
    colours = w2 @ hidden + b2[:, None] + skip @ features + 0.5
    return colours.view(-1, layout.height, layout.width)


def bits(values: Tensor, layout: Layout, parameters: Parameters) -> Tensor:
    """What flat values cost (`context.tile_cost`), summed over all streams."""
    w1, b1, w2, b2, w3, b3 = parameters[2]
    total = values.new_zeros(())
    for stream in layout.streams:
        for piece in stream:
            own = _part(values, layout, piece.grid, piece.box)
            other = torch.zeros_like(own)
            if piece.coarse >= 0:
                other = _part(values, layout, piece.coarse, piece.coarse_box)
            seen = [_moved(own, *offset) for offset in NEAR.tolist()]
            for offset in COARSE.tolist():
                moved = _moved(other, *offset)
                for axis in range(2 * piece.shift):
                    moved = moved.repeat_interleave(2, axis % 2)
                seen.append(moved[: own.shape[0], : own.shape[1]])
            x = torch.stack(seen).flatten(1)
            h = torch.relu(w2 @ torch.relu(w1 @ x + b1[:, None]) + b2[:, None])
            mean, log_inverse = w3 @ h + b3[:, None]
            u = log_inverse.clamp(float(LOWEST), float(HIGHEST)).exp()
            d = (own.flatten() - mean).abs()
            near, far = torch.exp(-(d - 0.5).abs() * u), torch.exp(-(d + 0.5) * u)
            mass = torch.where(d < 0.5, 1 - (near + far) / 2, (near - far) / 2)
            total = total - torch.log2(mass).sum()
    return total


def _part(values: Tensor, layout: Layout, grid: int, box: tuple[int, int, int, int]) -> Tensor:
    top, left, height, width = box
    whole = values[layout.offsets[grid] : layout.offsets[grid + 1]].view(layout.shapes[grid])
    return whole[top : top + height, left : left + width]


def _moved(y: Tensor, down: int, across: int) -> Tensor:
    """y[row + down, column + across], 0 outside."""
    padded = F.pad(y, (3, 3, 3, 3))
    return padded[3 + down : 3 + down + y.shape[0], 3 + across : 3 + across + y.shape[1]]
