"""Pictures of high dynamic range, made: the statistics of photographs, and what skies ask for.

No set of HDR photographs may be passed on here, so these stand for them, and results say so:

photograph   8-bit sRGB, dithered, to linear light, shrunk to half, and its highlights opened up
             again: luma y becomes y / (1 - 0.98 y), so that white is 50 (the inverse of Reinhard's
             curve, "Photographic Tone Reproduction for Digital Images", 2002, eq. 3)
sky          a gradient with haze, clouds of fractal noise, and a sun of 50 000 with its glow
ramps        hues across, light from 2^-12 to 2^15 downwards
"""

from pathlib import Path

import numpy as np

from smalti.image import load
from smalti.image.transfer import srgb_to_linear

WHITE = 50.0  # what the white of a photograph becomes
LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)  # BT.709


def photograph(path: Path) -> np.ndarray:
    """float32 (H / 2, W / 2, 3)."""
    levels = load(path)[..., :3].astype(np.float32)
    noise = np.random.default_rng(0).random(levels.shape, np.float32)
    x = srgb_to_linear(((levels + noise - 0.5) / 255).clip(0, 1)).astype(np.float32)
    height, width = (side // 2 for side in x.shape[:2])
    x = x[: 2 * height, : 2 * width].reshape(height, 2, width, 2, 3).mean(axis=(1, 3))
    y = x @ LUMA
    return (x / (1 - (1 - 1 / WHITE) * y[..., None])).astype(np.float32)


def sky(size: int = 512) -> np.ndarray:
    """float32 (size, size, 3)."""
    rng = np.random.default_rng(1)
    v, u = np.mgrid[0:size, 0:size].astype(np.float32) / size
    haze = np.exp(-4 * (1 - v))[..., None]
    x = (1 - haze) * np.array([0.25, 0.5, 1.1], np.float32) + haze * np.array([2.0, 1.8, 1.5])
    clouds = sum(_noise(rng, size, 4 << k) / 2**k for k in range(6))
    cover = ((clouds - clouds.mean()) / clouds.std()).clip(0, 2)[..., None] / 2
    x = (1 - cover) * x + cover * (1.5 + 4 * cover)
    away = np.hypot(u - 0.7, v - 0.3)[..., None]
    x = x + np.array([1.0, 0.9, 0.7]) * (8 * np.exp(-away * 12) + 200 * np.exp(-away * 60))
    return np.where(away < 0.012, [50000.0, 47000.0, 40000.0], x).astype(np.float32)


def ramps(size: int = 256) -> np.ndarray:
    """float32 (size, size, 3)."""
    light = np.exp2(np.linspace(-12, 15, size, dtype=np.float32))[:, None, None]
    angle = np.linspace(0, 2 * np.pi, size, dtype=np.float32)[None, :, None]
    hue = 0.5 + 0.49 * np.cos(angle - np.array([0, 2, 4], np.float32) * np.pi / 3)
    return (light * hue).astype(np.float32)


def _noise(rng: np.random.Generator, size: int, cells: int) -> np.ndarray:
    """Smooth noise of so many cells a side."""
    grid = rng.standard_normal((cells + 1, cells + 1)).astype(np.float32)
    at = np.linspace(0, cells, size, endpoint=False)
    whole = at.astype(int)
    part = at - whole
    part = (part * part * (3 - 2 * part)).astype(np.float32)
    rows = grid[whole] * (1 - part)[:, None] + grid[whole + 1] * part[:, None]
    return rows[:, whole] * (1 - part) + rows[:, whole + 1] * part
