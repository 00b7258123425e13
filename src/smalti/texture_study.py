"""Fits of both texture models to one picture, watched for the figures of `smalti explain`."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float

from smalti.explain.fits import WatchedFit
from smalti.fit import PUBLISHED_HASH, PUBLISHED_LATENT, fit_texture
from smalti.image import to_uint8
from smalti.models.hash_texture import HashTextureConfig, HashTextureModel
from smalti.models.latent_texture import LatentTextureConfig, LatentTextureModel
from smalti.models.pictures import to_picture, to_tensor
from smalti.models.texture import TextureModel
from smalti.ops.activations import ACTIVATIONS

SHARES = (0.1, 0.4, 1.0)  # of a fit, when a picture is kept: as 500, 2,000 and 5,000 steps
POINTS = 16  # of a curve, in equal ratios


@dataclass(frozen=True)
class Study:
    """Every fit that the figures need."""

    hash: WatchedFit
    latent: WatchedFit
    activations: tuple[WatchedFit, ...]  # the latent texture with each; the first is `latent`


def study(
    picture: Float[np.ndarray, "H W 3"],
    *,
    steps: int,
    seed: int = 0,
    on_step: Callable[[int, int, str], None] | None = None,
) -> Study:
    """Fit the default hash texture, and the latent texture with each activation, as published.

    Five fits of `steps` steps of up to 65,536 texels: some 45 ms of one core each step.

    Args:
        picture: in [0, 1].
        on_step: called with (steps done, steps in all, what is being fitted).
    """
    size = {"height": picture.shape[0], "width": picture.shape[1]}
    configs = [("hash texture", HashTextureModel, HashTextureConfig(**size))]
    for number, activation in enumerate(ACTIVATIONS):
        config = LatentTextureConfig(**size, activation=number)
        configs.append((activation, LatentTextureModel, config))
    fits = []
    for done, (name, cls, config) in enumerate(configs):
        generator = torch.Generator().manual_seed(seed)

        def told(now: int, _: int, name: str = name, before: int = done * steps) -> None:
            if on_step:
                what = name if before == 0 else f"latent texture, {name}"
                on_step(before + now, len(configs) * steps, what)

        fits.append(_watch(cls(config, generator=generator), picture, name, steps, generator, told))
    return Study(fits[0], replace(fits[1], name="latent texture"), tuple(fits[1:]))


def _watch(
    model: TextureModel,
    picture: Float[np.ndarray, "H W 3"],
    name: str,
    steps: int,
    generator: torch.Generator,
    told: Callable[[int, int], None],
) -> WatchedFit:
    watched = WatchedFit(name, sum(p.numel() for p in model.parameters()))
    kept = {max(1, round(share * steps)) for share in SHARES}
    points = {math.ceil(steps ** ((k + 1) / POINTS)) for k in range(POINTS)} | kept
    target = to_uint8(picture)

    def look(done: int, total: int) -> None:
        if done in points:
            drawn = to_uint8(to_picture(model.render(*map(torch.arange, model.size)), 0))
            mse = float(np.square(drawn.astype(float) - target).mean())
            watched.curve[done] = 10 * math.log10(255**2 / max(mse, 1e-10))
            if done in kept:
                watched.pictures[done] = drawn
        told(done, total)

    hashed = isinstance(model, HashTextureModel)
    fit_texture(
        model,
        to_tensor(picture, 0)[0],
        PUBLISHED_HASH if hashed else PUBLISHED_LATENT,
        steps=steps,
        levels=None,
        generator=generator,
        on_step=look,
    )
    if not hashed:
        coarse, table = model.levels[0], model.tables[0].detach()
        grid = table[:, :3].reshape(coarse.rows, coarse.columns, -1).numpy()
        low, high = grid.min((0, 1)), grid.max((0, 1))
        watched.channels = (grid - low) / np.maximum(high - low, 1e-12)
    return watched
