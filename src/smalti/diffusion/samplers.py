"""Samplers, functions of one signature: from noise at times[0] to latents at times[-1] = 0.

`denoise(x, t)` is what the latents are expected to be, E[x_0 | x_t]; it is called with t > 0.
"""

from collections.abc import Callable
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from smalti.errors import OptionError

Denoise = Callable[[Tensor, float], Tensor]
OnStep = Callable[[int, int], None]


def ddim(
    denoise: Denoise, x: Tensor, times: Float[Tensor, " n"], on_step: OnStep | None = None
) -> Tensor:
    """Straight steps along the velocity (ε - x) at their beginning; one call a step.

    Song et al. 2021, arXiv 2010.02502, equation 12 with η = 0, which for straight paths is Euler's.
    """
    for i, (t, s) in enumerate(_pairs(times), 1):
        x = _towards(x, denoise(x, t), t, s)
        _tell(on_step, i, times)
    return x


def heun(
    denoise: Denoise, x: Tensor, times: Float[Tensor, " n"], on_step: OnStep | None = None
) -> Tensor:
    """Steps along the mean of the velocities at both ends; two calls a step, but for the last.

    Karras et al. 2022, arXiv 2206.00364, algorithm 1.
    """
    for i, (t, s) in enumerate(_pairs(times), 1):
        x_0 = denoise(x, t)
        end = _towards(x, x_0, t, s)
        if s > 0:
            velocity = (x - x_0) / t + (end - denoise(end, s)) / s
            end = x + (s - t) * velocity / 2
        x = end
        _tell(on_step, i, times)
    return x


def dpmpp_2m(
    denoise: Denoise, x: Tensor, times: Float[Tensor, " n"], on_step: OnStep | None = None
) -> Tensor:
    """Second order from the step before; one call a step.

    DPM-Solver++(2M): Lu et al. 2022, arXiv 2211.01095, algorithm 2, with α = 1 - t, σ = t, so
    λ = log(α / σ). Steps that touch an infinite λ are of first order: the first two and the last.
    """
    before, gap = None, 0.0
    for i, (t, s) in enumerate(_pairs(times), 1):
        x_0 = denoise(x, t)
        d = x_0
        if before is not None and s > 0:
            h = _half_log_snr(s) - _half_log_snr(t)
            d = x_0 + (x_0 - before) * (h / (2 * gap)) if gap else x_0
            gap = h
        x = _towards(x, d, t, s)
        before = x_0
        _tell(on_step, i, times)
    return x


SAMPLERS: dict[str, Callable[..., Tensor]] = {"ddim": ddim, "heun": heun, "dpm++2m": dpmpp_2m}


def sampler_of(name: str) -> Callable[..., Tensor]:
    """A sampler by its name.

    Raises:
        OptionError: there is none.
    """
    if name not in SAMPLERS:
        raise OptionError(f"no sampler {name!r}; known: {', '.join(SAMPLERS)}")
    return SAMPLERS[name]


def _towards(x: Tensor, x_0: Tensor, t: float, s: float) -> Tensor:
    """From time t to s if x_0 are the latents: (1 - s) x_0 + s ε with ε = (x - (1 - t) x_0) / t."""
    return s / t * x + (1 - s / t) * x_0


def _half_log_snr(t: float) -> float:
    return float(torch.logit(torch.tensor(1 - t, dtype=torch.float64)))


def _pairs(times: Tensor) -> list[tuple[float, float]]:
    values = times.tolist()
    return list(pairwise(values))


def _tell(on_step: OnStep | None, done: int, times: Tensor) -> None:
    if on_step:
        on_step(done, len(times) - 1)
