"""Small materials and layouts that the tests of neural textures share."""

import numpy as np

from smalti.fits.material.layout import Grid, Layout

from conftest import make_picture

# Sides that are no multiple of a block or of each other's halves; bits that cross words.
ODD = Layout(37, 70, 5, Grid(3, 2, 4), Grid(5, 8, 6), (12, 7), repeat=False, mips=4)


def make_maps(height: int = 48, width: int = 64) -> dict[str, np.ndarray]:
    """A small material: a colour, vectors of length 1, and two maps that go with the colour."""
    colour = (make_picture(3, height, width) / 255).astype(np.float32)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    across, down = 0.4 * np.sin(x / 5), 0.4 * np.cos(y / 7)
    normal = np.stack([across, down, np.sqrt(1 - across**2 - down**2)], -1) / 2 + 0.5
    return {
        "albedo": colour,
        "normal": normal,
        "roughness": 1 - colour[..., 0],
        "ao": 0.5 + colour[..., 1] / 2,
    }
