"""What the figures of fitted textures show: fits that were watched. Made elsewhere, with torch."""

from dataclasses import dataclass, field

import numpy as np


@dataclass
class WatchedFit:
    """One model, fitted to the picture, and what was seen on the way."""

    name: str
    parameters: int
    curve: dict[int, float] = field(default_factory=dict)  # steps done -> PSNR, dB
    pictures: dict[int, np.ndarray] = field(default_factory=dict)  # steps done -> uint8 (H, W, 3)
    channels: np.ndarray | None = None  # first three of the coarse grid at the end, (h, w, 3), 0..1
