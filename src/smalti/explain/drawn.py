"""What the figures of sizes show: digits that were drawn. Made elsewhere, with torch."""

from dataclasses import dataclass, field

import numpy as np

Size = tuple[int, int]  # height, width


@dataclass(frozen=True)
class DrawnDigits:
    """Latents of one grid, and what the resampler makes of them at each size."""

    grid: Size
    labels: tuple[int, ...]
    latents: np.ndarray  # (N, h, w, c)
    pictures: dict[tuple[Size, str], np.ndarray]  # size and fit -> (N, H, W) uint8


@dataclass(frozen=True)
class LargePicture:
    """One picture from a grid far larger than any in training."""

    label: int
    latents: np.ndarray  # (h, w, c)
    picture: np.ndarray  # (H, W) uint8
    seconds: float  # of the processor, to draw both


@dataclass
class SizesShown:
    """Everything that the figures need; the last two only with real digits."""

    drawn: list[DrawnDigits] = field(default_factory=list)
    large: LargePicture | None = None
    real: list[DrawnDigits] = field(default_factory=list)  # latents of test pictures
    originals: dict[Size, np.ndarray] = field(default_factory=dict)  # size -> (N, H, W) uint8
    # Grid -> times of the diffusion, and the loss there.
    losses: dict[Size, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    loss_pictures: int = 0  # that each of them is a mean over
