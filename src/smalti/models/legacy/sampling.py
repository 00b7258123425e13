"""The schedule and the sampler of the published R2ID, for its published pictures.

    z_t = √ᾱ z_0 + √(1 - ᾱ) ε      ᾱ(t) = cos²((t + 0.008) / 1.008 · π/2), t from 1 to 0

Oddities, kept: ᾱ is not divided by ᾱ(0), so that the end still holds noise (ᾱ(0) = 0.99984); the
first step divides by √1e-6; with eta 2 the noise put in is up to four times what fits, and is cut.

Cosine schedule: Nichol and Dhariwal 2021, arXiv 2102.09672, equation 17. Steps: Song et al. 2020,
arXiv 2010.02502, equations 12 and 16. Guidance: Ho and Salimans 2022, arXiv 2207.12598, with its
w written as s - 1. Constants: commit b5f134e of Yegor-men/resolution-invariant-image-diffuser.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from smalti.errors import OptionError

EPSILON = 1e-6  # the least ᾱ, and added to what divides
OFFSET = 0.008


def alpha_bar(t: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
    """The share of the signal in the variance: 0.99984 at t = 0, 0 at t = 1."""
    return torch.cos((t + OFFSET) / (1 + OFFSET) * math.pi / 2).clamp(0, 1).square()


def corrupt(
    z: Float[Tensor, "B Z h w"], noise: Float[Tensor, "B Z h w"], share: Float[Tensor, " B"]
) -> Float[Tensor, "B Z h w"]:
    """z with Gaussian noise of deviation 1 to a share ᾱ of the signal, in [0, 1]."""
    share = share.view(-1, 1, 1, 1)
    return share.sqrt() * z + (1 - share).sqrt() * noise


def sample(
    predict: Callable[[Tensor, Tensor], Sequence[Tensor]],
    noise: Float[Tensor, "B Z h w"],
    *,
    steps: int = 100,
    guidance: float = 1.0,
    eta: float = 1.0,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "B Z h w"]:
    """Latents drawn from noise. What is decoded is z itself, not the last estimate of z_0.

    Args:
        predict: (z, ᾱ of every entry) -> the noise without and with the conditioning, as
            `LegacyDiffuser` with conditions [null, label] returns it.
        noise: of deviation 1; also says size, dtype and device.
        steps: equal ones in t.
        guidance: s in ε_null + s (ε_label - ε_null); the published pictures have 4.
        eta: 0 is DDIM, 1 ancestral sampling; the published pictures have 2.
        generator: of the noise between steps, on the device of `noise`.

    Raises:
        OptionError: no step.
    """
    if steps < 1:
        raise OptionError(f"{steps} steps; at least 1")
    shares = alpha_bar(torch.linspace(1, 0, steps + 1)).clamp(min=EPSILON).tolist()
    z = noise
    with torch.no_grad():
        for now, then in pairwise(shares):
            null, label = predict(z, torch.full((len(z),), now, device=z.device))
            epsilon = null + guidance * (label - null)
            z_0 = (z - math.sqrt(1 - now) * epsilon) / (math.sqrt(now) + EPSILON)
            direction = (z - math.sqrt(now) * z_0) / (math.sqrt(1 - now) + EPSILON)
            ratio = (1 - then) / (1 - now + EPSILON)
            sigma = eta * math.sqrt(max(0.0, ratio * (1 - now / (then + EPSILON))))
            kept = math.sqrt(max(0.0, 1 - then - sigma**2))
            z = math.sqrt(then) * z_0 + kept * direction
            if eta > 0:
                fresh = torch.randn(z.shape, generator=generator, dtype=z.dtype, device=z.device)
                z = z + sigma * fresh
    return z
