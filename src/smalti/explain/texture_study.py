"""Fits of both texture models to one picture, watched for the figures of `smalti explain`."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from smalti.explain.fits import WatchedFit
from smalti.fits.tables.fit import PUBLISHED_HASH, PUBLISHED_LATENT, fit_texture
from smalti.fits.tables.hash_texture import HashTextureConfig
from smalti.fits.tables.latent_texture import LatentTextureConfig
from smalti.fits.tables.model import ACTIVATIONS, TextureConfig
from smalti.image import to_float, to_uint8

SHARES = (0.1, 0.4, 1.0)  # of a fit, when a picture is kept: as 500, 2,000 and 5,000 steps
POINTS = 16  # of a curve, in equal ratios


@dataclass(frozen=True)
class Study:
    """Every fit that the figures need."""

    hash: WatchedFit
    latent: WatchedFit
    activations: tuple[WatchedFit, ...]  # the latent texture with each; the first is `latent`


def study(
    image: np.ndarray,
    *,
    steps: int,
    seed: int = 0,
    on_step: Callable[[int, int, str], None] | None = None,
) -> Study:
    """Fit the default hash texture, and the latent texture with each activation, as published.

    Five fits of `steps` steps of up to 65,536 texels: some 40 ms of one core each step.

    Args:
        image: `H W 3`, uint8, uint16 or float32 in [0, 1].
        on_step: called with (steps done, steps in all, what is being fitted).
    """
    size = {"height": image.shape[0], "width": image.shape[1]}
    configs: list[tuple[str, TextureConfig]] = [("hash texture", HashTextureConfig(**size))]
    for number, activation in enumerate(ACTIVATIONS):
        configs.append((activation, LatentTextureConfig(**size, activation=number)))
    fits = []
    for done, (name, config) in enumerate(configs):

        def told(now: int, _: int, name: str = name, before: int = done * steps) -> None:
            if on_step:
                what = name if before == 0 else f"latent texture, {name}"
                on_step(before + now, len(configs) * steps, what)

        fits.append(_watch(config, image, name, steps, seed, told))
    return Study(fits[0], replace(fits[1], name="latent texture"), tuple(fits[1:]))


def _watch(
    config: TextureConfig,
    image: np.ndarray,
    name: str,
    steps: int,
    seed: int,
    told: Callable[[int, int], None],
) -> WatchedFit:
    random = np.random.default_rng(seed)
    model = config.noise(random)
    watched = WatchedFit(name, len(model.values))
    kept = {max(1, round(share * steps)) for share in SHARES}
    points = {math.ceil(steps ** ((k + 1) / POINTS)) for k in range(POINTS)} | kept
    target = to_uint8(image)

    def look(done: int, total: int) -> None:
        if done in points:
            picture = to_uint8(model.render())
            mse = float(np.square(picture.astype(float) - target).mean())
            watched.curve[done] = 10 * math.log10(255**2 / max(mse, 1e-10))
            if done in kept:
                watched.pictures[done] = picture
        told(done, total)

    hashed = isinstance(config, HashTextureConfig)
    fit_texture(
        model,
        to_float(image),
        PUBLISHED_HASH if hashed else PUBLISHED_LATENT,
        steps=steps,
        levels=None,
        random=random,
        on_step=look,
    )
    if not hashed:
        coarse = model.shape.levels[0]
        grid = model.tables[0][:, :3].reshape(coarse.rows, coarse.columns, -1)
        low, high = grid.min((0, 1)), grid.max((0, 1))
        watched.channels = (grid - low) / np.maximum(high - low, 1e-12)
    return watched
