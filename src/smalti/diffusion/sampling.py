"""Drawing latents with a diffuser: guidance, steps, seeds."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from smalti.diffusion import noise as noises
from smalti.diffusion.samplers import OnStep, sampler_of
from smalti.diffusion.schedule import shift_of, times
from smalti.errors import OptionError
from smalti.models.layers.fields import centres

if TYPE_CHECKING:
    from smalti.models.diffuser import Diffuser

STEPS, SAMPLER, GUIDANCE = 20, "dpm++2m", 1.5
INTERVAL = (0.1, 0.9)  # of the time, in which guidance acts: Kynkäänniemi et al. 2024, 2404.07724
BATCH, MOST_TOKENS = 256, 2**16  # pictures drawn at once, and latents of all of them


@dataclass(frozen=True)
class Guided:
    """What the latents are expected to be, nearer to the label than the network believes.

    v = v_any + g (v_label - v_any), Ho and Salimans 2022, arXiv 2207.12598, in one batch of both;
    the labels' keys and values are made once.
    """

    diffuser: "Diffuser"
    conditions: list[tuple[Tensor, Tensor]]  # of the labels, then of as many unknown ones
    guidance: float
    interval: tuple[float, float]
    rows: Tensor
    columns: Tensor

    @classmethod
    def of(
        cls,
        diffuser: "Diffuser",
        labels: Int[Tensor, " B"],
        guidance: float,
        interval: tuple[float, float],
        rows: Tensor,
        columns: Tensor,
    ) -> "Guided":
        if guidance != 1:
            labels = torch.cat([labels, torch.full_like(labels, diffuser.config.classes)])
        return cls(diffuser, diffuser.conditions(labels), guidance, interval, rows, columns)

    def __call__(self, x: Float[Tensor, "B c h w"], t: float) -> Float[Tensor, "B c h w"]:
        count = len(x)
        if self.guidance == 1 or not self.interval[0] <= t <= self.interval[1]:
            conditions = [(k[:count], v[:count]) for k, v in self.conditions]
            return x - t * self._velocity(x, t, conditions)
        told, untold = self._velocity(torch.cat([x, x]), t, self.conditions).split(count)
        return x - t * (untold + self.guidance * (told - untold))

    def _velocity(self, x: Tensor, t: float, conditions: list[tuple[Tensor, Tensor]]) -> Tensor:
        return self.diffuser(x, x.new_full((len(x),), t), conditions, self.rows, self.columns)


@torch.no_grad()
def sample(
    diffuser: "Diffuser",
    labels: Int[Tensor, " B"],
    size: tuple[int, int],
    *,
    steps: int = STEPS,
    sampler: str = SAMPLER,
    guidance: float = GUIDANCE,
    interval: tuple[float, float] = INTERVAL,
    noise: str = "field",
    seed: int = 0,
    on_step: OnStep | None = None,
) -> Float[Tensor, "B c h w"]:
    """Latents of unit variance that the diffuser's autoencoder draws.

    Picture i follows from the seed, i and its label alone, but for rounding; with noise that is a
    field it is the same picture at every size of latents.

    Args:
        labels: 0 .. classes - 1, or `classes` for any.
        size: rows and columns of latents; training saw one size.
        steps: calls of the network, but for "heun", which makes two a step.
        sampler: "ddim", "heun" or "dpm++2m".
        guidance: 1 as the network believes; above, nearer to the label.
        interval: times within which guidance acts.
        noise: "field", or "white", with log-SNR shifted by the number of latents.
        on_step: called with (steps done, steps in all).

    Raises:
        OptionError: an unknown sampler, noise or label, or a number out of range.
    """
    config, device = diffuser.config, diffuser.device
    if len(size) != 2 or min(size) < 1:
        raise OptionError(f"latents of {size}; rows and columns are at least 1")
    if not len(labels):
        raise OptionError("no labels; name at least one")
    if not 0 <= int(labels.min()) <= int(labels.max()) <= config.classes:
        raise OptionError(
            f"labels {int(labels.min())} .. {int(labels.max())}; they lie in 0 .. "
            f"{config.classes - 1}, and {config.classes} is any"
        )
    if not 0 <= guidance <= 100:
        raise OptionError(f"guidance {guidance}; it lies in 0 .. 100")
    if not 0 <= interval[0] <= interval[1] <= 1:
        raise OptionError(f"guidance in {interval}; times lie in 0 .. 1, the lesser one first")
    if seed < 0:
        raise OptionError(f"seed {seed}; it is at least 0")
    rows, columns = (centres(n).to(device)[None] for n in size)
    visited = times(steps, shift=shift_of(noise, size, config.cells))
    move = sampler_of(sampler)
    x = noises.first(
        noise, seed, len(labels), config.latent_channels, config.cells, rows, columns
    ).to(device)
    batch = max(1, min(BATCH, MOST_TOKENS // (size[0] * size[1])))
    parts, count = [], -(-len(labels) // batch)
    for number, (part, told) in enumerate(zip(x.split(batch), labels.split(batch), strict=True)):
        denoise = Guided.of(diffuser, told.to(device), guidance, interval, rows, columns)
        report = None
        if on_step:
            report = lambda done, total, first=number: on_step(first * total + done, count * total)  # noqa: E731
        parts.append(move(denoise, part, visited, report))
    return torch.cat(parts)
