"""Small materials and layouts that the tests of neural textures share."""

import torch

from smalti.neural.layout import Grid, Layout

from conftest import make_picture

# Sides that are no multiple of a block or of each other's halves; bits that cross words.
ODD = Layout(37, 70, 5, Grid(3, 2, 4), Grid(5, 8, 6), (12, 7), repeat=False, mips=4)


def make_maps(height: int = 48, width: int = 64) -> dict[str, torch.Tensor]:
    """A small material: a colour, vectors of length 1, and two maps that go with the colour."""
    colour = make_picture(3, height, width)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    across, down = 0.4 * torch.sin(x / 5), 0.4 * torch.cos(y / 7)
    normal = torch.stack([across, down, (1 - across**2 - down**2).sqrt()]) / 2 + 0.5
    return {
        "albedo": colour,
        "normal": normal,
        "roughness": 1 - colour[:1],
        "ao": (0.5 + colour[1:2] / 2),
    }
