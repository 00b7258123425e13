"""Straight paths from latents to noise, and which points of them sampling visits.

x_t = (1 - t) x + t ε        SNR(t) = ((1 - t) / t)²        t = 0 latents .. 1 noise
"""

import torch
from jaxtyping import Float
from torch import Tensor

from smalti.errors import OptionError

MOST_STEPS = 10_000


def times(steps: int, *, shift: float = 1.0) -> Float[Tensor, " steps+1"]:
    """1 = t_0 > ... > t_steps = 0, evenly spaced, then shifted.

    Args:
        shift: factor of noise over signal, as t' = s t / (1 + (s - 1) t): log-SNR comes down by
            2 log s. White noise on latents m times as dense on each side needs s = m (Hoogeboom et
            al. 2023, arXiv 2301.11093, equation 4; Esser et al. 2024, arXiv 2403.03206, equation 23).

    Raises:
        OptionError: no step or too many, or a shift that is not positive.
    """
    if not 1 <= steps <= MOST_STEPS:
        raise OptionError(f"{steps} steps; at least 1 and at most {MOST_STEPS:,}")
    if shift <= 0:
        raise OptionError(f"a shift of {shift}; it is greater than 0")
    t = torch.linspace(1, 0, steps + 1, dtype=torch.float64)
    return shift * t / (1 + (shift - 1) * t)


def shift_of(noise: str, size: tuple[int, int], cells: int) -> float:
    """What `times` is to be shifted by for a grid of latents: 1 for noise that is a field."""
    if noise == "field":
        return 1.0
    return (size[0] * size[1]) ** 0.5 / cells
