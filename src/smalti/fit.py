"""Fitting a texture model to one picture: samples, Adam, a cosine schedule, and no more than that.

    every step:  texels drawn ─→ gradient of the mean square error ─→ Adam

On a CPU the gradient comes from `smalti.ops.tiles`, elsewhere from torch, of the same model.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from smalti.jit import njit
from smalti.models.texture import TextureModel
from smalti.ops.levels import round_tables
from smalti.ops.tiles import gradient

EPSILON = 1e-8  # of Adam, where a recipe names no other
MAX_STRIDE = 8  # texels between two of a step's along an axis
_ONE = np.float32(1)


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


@dataclass(frozen=True)
class Group:
    """Parameters that share a learning rate."""

    parameters: Sequence[Tensor]
    rate: float  # of Adam at the first step; falls to 0 over the run


def fit_texture(
    model: TextureModel,
    image: Float[Tensor, "C H W"],
    recipe: Recipe,
    *,
    steps: int,
    levels: int | None,
    generator: torch.Generator,
    threads: int = 1,
    on_step: Callable[[int, int], None] | None = None,
) -> None:
    """Fit the model to the picture, in place.

    Args:
        image: in [0, 1], on the model's device. Of RGBA what is visible is fitted: premultiplied
            colour and alpha.
        levels: to which each feature of a table is rounded for the last part of the fit.
        generator: draws the texels.
        threads: on a CPU. Sums of several threads differ in their last bits, and so do files.
        on_step: called with (steps done, steps in all), when the model may be looked at. An
            exception of its own stops the fit.
    """
    target = visible(image.permute(1, 2, 0)).clone(memory_format=torch.contiguous_format)
    on_cpu = target.device.type == "cpu"
    differentiate = _tile_gradient(model, target, threads) if on_cpu else _autograd(model, target)
    rounding = min(recipe.rounding * steps, recipe.rounding_step or steps)
    adam = Adam(
        [
            Group(list(model.tables), recipe.table_rate),
            Group(list(model.layers.parameters()), recipe.layer_rate),
            Group(list(model.head.parameters()), recipe.head_rate),
        ],
        recipe.betas,
        recipe.epsilon,
    )
    with _one_thread():
        for done in range(steps):
            rows, columns = _draw(recipe, *target.shape[:2], generator)
            differentiate(rows, columns, levels if done >= rounding else None)
            adam.step(0.5 * (1 + math.cos(math.pi * done / steps)))
            if on_step:
                on_step(done + 1, steps)


def visible(texels: Float[Tensor, "... C"]) -> Float[Tensor, "... C"]:
    """RGB as it is; of RGBA premultiplied colour and alpha, so that hidden colours cost nothing."""
    if texels.shape[-1] == 3:
        return texels
    colour, alpha = texels[..., :3], texels[..., 3:]
    return torch.cat([colour * alpha, alpha], -1)


def _draw(
    recipe: Recipe, height: int, width: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Rows and columns of a step's texels."""
    if not recipe.lattice:
        count = min(recipe.texels, height * width)
        texels = torch.randint(0, height * width, (count,), generator=generator)
        return texels // width, texels % width
    stride = min(max(1, round(math.sqrt(height * width / recipe.texels))), MAX_STRIDE)
    rows = _one_of_each(height, stride, generator)
    columns = _one_of_each(width, stride, generator)
    return rows.repeat_interleave(len(columns)), columns.repeat(len(rows))


def _one_of_each(length: int, stride: int, generator: torch.Generator) -> Tensor:
    """A random index out of each `stride` consecutive ones."""
    first = torch.arange(0, length, stride)
    offset = torch.randint(0, stride, first.shape, generator=generator)
    return (first + offset).clamp(max=length - 1)


Differentiate = Callable[[Tensor, Tensor, int | None], None]  # rows, columns, levels


def _tile_gradient(model: TextureModel, target: Tensor, threads: int) -> Differentiate:
    """Sets the parameters' gradients by `smalti.ops.tiles`."""
    values, layout = model.flat_parameters(), model.layout()
    height, width = target.shape[:2]
    axes = (
        model.axis(np.arange(height), vertical=True),
        model.axis(np.arange(width), vertical=False),
    )
    ends = np.cumsum([level.values for level in model.levels])
    out = np.zeros((threads, values.size), np.float32)
    flat = torch.from_numpy(out[0])
    parameters = list(model.parameters())
    views = [
        part.view_as(p)
        for part, p in zip(flat.split([p.numel() for p in parameters]), parameters, strict=True)
    ]
    seen = values.copy()

    def differentiate(rows: Tensor, columns: Tensor, levels: int | None) -> None:
        used = values
        if levels:
            used = seen
            seen[layout.network :] = values[layout.network :]
            round_tables(values, layout.table, ends, levels - 1, seen)
        out[:] = 0
        gradient(used, layout, axes, rows.numpy(), columns.numpy(), target.numpy(), out)
        for other in out[1:]:
            out[0] += other
        for p, view in zip(parameters, views, strict=True):
            p.grad = view

    return differentiate


def _autograd(model: TextureModel, target: Tensor) -> Differentiate:
    """Sets the parameters' gradients by torch."""

    def differentiate(rows: Tensor, columns: Tensor, levels: int | None) -> None:
        rows, columns = rows.to(target.device), columns.to(target.device)
        texels = model(rows, columns, levels=levels)
        F.mse_loss(visible(texels), target[rows, columns]).backward()

    return differentiate


@contextmanager
def _one_thread() -> Iterator[None]:
    """A step is milliseconds of small products: on a busy machine threads mostly wait for each
    other (measured: 30 times slower), and sums in one order give the same file every time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class Adam:
    """Kingma and Ba 2015, arXiv 1412.6980, algorithm 1.

    `torch.optim.Adam` does the same, but its constructor imports torch's compiler: 1.5 s, as long
    as a short fit. The second moment's decay matters in a fit: at the usual 0.999 it remembers a
    thousand steps, longer than these gradients keep their size.
    """

    def __init__(
        self, groups: Sequence[Group], betas: tuple[float, float], epsilon: float = EPSILON
    ) -> None:
        self.betas = betas
        self.epsilon = epsilon
        self.steps = 0
        self.state = [
            (p, torch.zeros_like(p), torch.zeros_like(p), group.rate)
            for group in groups
            for p in group.parameters
        ]

    @torch.no_grad()
    def step(self, scale: float) -> None:
        """One update, with all rates times `scale`, that uses up the gradients."""
        self.steps += 1
        beta_1, beta_2 = self.betas
        unbiased_1, unbiased_2 = 1 - beta_1**self.steps, 1 - beta_2**self.steps
        for p, first, second, rate in self.state:
            if p.device.type == "cpu" and p.dtype == torch.float32 and p.is_contiguous():
                _update(
                    *(t.detach().reshape(-1).numpy() for t in (p, p.grad, first, second)),
                    *np.array([beta_1, beta_2, scale * rate / unbiased_1], np.float32),
                    *np.array([1 / unbiased_2, self.epsilon], np.float32),
                )
            else:
                first.lerp_(p.grad, 1 - beta_1)
                second.mul_(beta_2).addcmul_(p.grad, p.grad, value=1 - beta_2)
                spread = (second / unbiased_2).sqrt_().add_(self.epsilon)
                p.addcdiv_(first, spread, value=-scale * rate / unbiased_1)
            p.grad = None


@njit(nogil=True, error_model="numpy", fastmath={"contract"})
def _update(p, gradient, first, second, beta_1, beta_2, rate, unbias, epsilon):
    """Both moments and the parameters in one pass over memory; all float32."""
    for i in range(p.size):
        g = gradient[i]
        m = beta_1 * first[i] + (_ONE - beta_1) * g
        v = beta_2 * second[i] + (_ONE - beta_2) * g * g
        first[i] = m
        second[i] = v
        p[i] -= rate * m / (np.sqrt(v * unbias) + epsilon)
