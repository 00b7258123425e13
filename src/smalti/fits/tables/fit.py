"""Fitting a texture of tables to one picture: samples, Adam, a cosine schedule, no more than that.

every step:  texels drawn ─→ gradient of the mean square error ─→ Adam
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from smalti.fits._adam import Adam
from smalti.fits.tables.kernels import Gradient, round_tables
from smalti.fits.tables.model import TextureModel

EPSILON = 1e-8  # of Adam, where a recipe names no other
MAX_STRIDE = 8  # texels between two of a step's along an axis


@dataclass(frozen=True)
class Recipe:
    """How a texture is fitted. Rates are Adam's at the first step; they fall to 0 by a cosine."""

    table_rate: float  # of grids and hash tables
    layer_rate: float  # of the hidden layers
    head_rate: float  # of the last layer
    betas: tuple[float, float]  # decay of Adam's two moments
    epsilon: float = EPSILON
    texels: int = 4096  # a step
    lattice: bool = True  # the crossings of random rows and columns, or else random with repeats
    rounding: float = 0.75  # of the fit: from here on it sees rounded tables; 1 for never
    rounding_step: int | None = None  # or from this step on, if that is sooner


# As the two systems were published: one rate for the latent texture, which rounds its grids to 8
# bits from step 500 on where it does at all; none for the hash tables, which were never rounded.
PUBLISHED_HASH = Recipe(
    3e-2, 1e-3, 1e-3, (0.9, 0.999), epsilon=1e-15, texels=65536, lattice=False, rounding=1
)
PUBLISHED_LATENT = Recipe(
    3e-3, 3e-3, 3e-3, (0.9, 0.999), epsilon=1e-15, texels=65536, lattice=False, rounding_step=500
)


def fit_texture(
    model: TextureModel,
    image: np.ndarray,
    recipe: Recipe,
    *,
    steps: int,
    levels: int | None,
    random: np.random.Generator,
    threads: int | None = None,
    on_step: Callable[[int, int], None] | None = None,
    on_loss: Callable[[float], None] | None = None,
) -> None:
    """Fit the model to the picture, in place.

    Args:
        image: float32 `H W C` in [0, 1]. Of RGBA what is visible is fitted: premultiplied colour
            and alpha.
        levels: to which each feature of a table is rounded for the last part of the fit.
        random: draws the texels.
        threads: of the kernels, on which nothing depends; `native.threads()` without.
        on_step: called with (steps done, steps in all), when the model may be looked at. An
            exception of its own stops the fit.
        on_loss: called after every step with its mean square error.
    """
    shape, values = model.shape, model.values
    height, width = image.shape[:2]
    differentiate = Gradient(shape, np.ascontiguousarray(visible(image)), threads=threads)
    gradient, seen = np.zeros_like(values), values.copy()
    rounding = min(recipe.rounding * steps, recipe.rounding_step or steps)
    adam, (mean, spread) = (
        Adam(*recipe.betas, recipe.epsilon),
        np.zeros((2, len(values)), np.float32),
    )
    rates = (
        (slice(0, shape.network), recipe.table_rate),
        (slice(shape.network, shape.head), recipe.layer_rate),
        (slice(shape.head, shape.value_count), recipe.head_rate),
    )
    for done in range(steps):
        rows, columns = _draw(recipe, height, width, random)
        used = values
        if levels and done >= rounding:
            used = seen
            seen[shape.network :] = values[shape.network :]
            round_tables(shape, values, levels, seen)  # the gradient passes through the rounding
        loss = differentiate(used, rows, columns, gradient)
        fall = 0.5 * (1 + math.cos(math.pi * done / steps))
        for part, rate in rates:
            adam.step(
                values[part], gradient[part], mean[part], spread[part],
                rate=fall * rate, step=done + 1, threads=threads,
            )  # fmt: skip
        if on_loss:
            on_loss(loss)
        if on_step:
            on_step(done + 1, steps)


def visible(texels: np.ndarray) -> np.ndarray:
    """RGB as it is; of RGBA premultiplied colour and alpha, so that hidden colours cost nothing."""
    if texels.shape[-1] == 3:
        return texels
    return np.concatenate([texels[..., :3] * texels[..., 3:], texels[..., 3:]], -1)


def _draw(
    recipe: Recipe, height: int, width: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns, int32, of a step's texels."""
    if not recipe.lattice:
        count = min(recipe.texels, height * width)
        texels = random.integers(0, height * width, count)
        return (texels // width).astype(np.int32), (texels % width).astype(np.int32)
    stride = min(max(1, round(math.sqrt(height * width / recipe.texels))), MAX_STRIDE)
    rows = _one_of_each(height, stride, random)
    columns = _one_of_each(width, stride, random)
    return np.repeat(rows, len(columns)), np.tile(columns, len(rows))


def _one_of_each(length: int, stride: int, random: np.random.Generator) -> np.ndarray:
    """A random index, int32, out of each `stride` consecutive ones."""
    first = np.arange(0, length, stride, dtype=np.int32)
    offset = random.integers(0, stride, first.shape, dtype=np.int32)
    return np.minimum(first + offset, length - 1)
