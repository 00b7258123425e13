"""The transformer of `latent_generator.py`: cells of many pictures in, a velocity for each out."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from smalti.models.packed import Packed

CHANNELS = 16  # numbers of a cell, as the autoencoder makes them
Turns = tuple[Tensor, Tensor]  # cosines and sines, "cells 1 1 channels/2"


class Generator(nn.Module):
    """z_t, t, label ─→ v, the velocity from noise to latents, for pictures packed together.

    A DiT (Peebles and Xie 2022, arXiv 2212.09748). Scale, shift and gate come of one layer for
    all blocks, as in PixArt-α (arXiv 2310.00426), plus what each block learns for itself.
    """

    def __init__(self, labels: int, width: int = 192, depth: int = 6) -> None:
        super().__init__()
        self.config = {"labels": labels, "width": width, "depth": depth}
        self.labels, self.width = labels, width  # label number `labels` means none
        self.register_buffer("mean", torch.zeros(CHANNELS))
        self.register_buffer("std", torch.ones(()))
        self.cells = nn.Linear(CHANNELS, width)
        self.place = nn.Sequential(nn.Linear(4, width), nn.SiLU(), nn.Linear(width, width))
        self.label = nn.Embedding(labels + 1, width)
        self.time = nn.Sequential(nn.Linear(64, width), nn.SiLU(), nn.Linear(width, width))
        self.modulation = nn.Linear(width, 6 * width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        self.velocity = nn.Linear(width, CHANNELS)
        nn.init.zeros_(self.velocity.weight)

    def none(self, labels: Tensor) -> Tensor:
        """As many labels that say nothing."""
        return torch.full_like(labels, self.labels)

    def forward(self, z: Packed, t: Tensor, labels: Tensor) -> Tensor:
        """Velocities `cells 16`; t in [0, 1] and labels, one each for a picture."""
        waves = 1000 * t[:, None] * torch.exp(-torch.arange(32) * 0.28)
        about = self.label(labels) + self.time(torch.cat([waves.cos(), waves.sin()], dim=1))
        owners, positions = z.owners(), z.positions()
        sizes = torch.tensor(z.sizes)[owners].float()
        place = torch.cat([2 * positions / sizes - 1, sizes.log() - 2], dim=1)
        turns = rotations(positions, self.width // Block.HEADS)
        # A product with ones and zeros: its gradient is quicker than an index's.
        modulation = F.one_hot(owners, len(z)).float() @ self.modulation(F.silu(about)).float()
        h = self.cells(z.values) + self.place(place)
        for block in self.blocks:
            h = block(h, modulation, turns, z.sizes)
        return self.velocity(F.rms_norm(h, (self.width,))).float()


class Block(nn.Module):
    """Attention within each picture, then a network for each cell."""

    HEADS = 4

    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.bias = nn.Parameter(torch.zeros(6 * width))
        for layer in (self.out, self.down):
            nn.init.zeros_(layer.weight)

    def forward(self, h: Tensor, modulation: Tensor, turns: Turns, sizes: tuple) -> Tensor:
        shift, scale, gate, shift2, scale2, gate2 = (modulation + self.bias).chunk(6, dim=1)
        x = F.rms_norm(h, h.shape[1:]) * (1 + scale) + shift
        qkv = self.qkv(x).float().unflatten(1, (3, self.HEADS, -1))
        q, k = rotate(F.rms_norm(qkv[:, :2], qkv.shape[3:]), turns).unbind(1)
        h = h + (1 + gate) * self.out(attention(q, k, qkv[:, 2], sizes))
        x = F.rms_norm(h, h.shape[1:]) * (1 + scale2) + shift2
        return h + (1 + gate2) * self.down(F.gelu(self.up(x)))


def attention(q: Tensor, k: Tensor, v: Tensor, sizes: tuple) -> Tensor:
    """Every cell looks at the cells of its own picture; q, k, v are `cells heads channels`."""
    cells = [rows * columns for rows, columns in sizes]
    pictures = zip(*(y.transpose(0, 1)[None].split(cells, dim=2) for y in (q, k, v)), strict=True)
    with torch.autocast(q.device.type, enabled=False):  # bfloat16 is slower for short sequences
        seen = [F.scaled_dot_product_attention(*picture) for picture in pictures]
    return torch.cat(seen, dim=2)[0].transpose(0, 1).flatten(1)


def rotations(positions: Tensor, channels: int) -> Turns:
    """Half of the angles count rows, half columns (RoPE, Su et al. 2021, along two axes)."""
    speeds = torch.exp(-torch.linspace(0, 3, channels // 4))  # 1 to 1/20 radian a cell
    angles = (positions[:, :, None] * speeds).flatten(1)[:, None, None]
    return angles.cos(), angles.sin()


def rotate(x: Tensor, turns: Turns) -> Tensor:
    (a, b), (cos, sin) = x.chunk(2, dim=3), turns
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=3)
