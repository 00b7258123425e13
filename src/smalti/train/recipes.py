"""Recipes: what makes each set of bundled weights, with command, cost and result."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from smalti.errors import OptionError
from smalti.models.fsq import FsqAutoencoder
from smalti.models.rgba import RgbaAutoencoder
from smalti.train.data import Boxes, Crops
from smalti.train.loop import Recipe, train
from smalti.train.losses import l1_mse_sobel, structural_rgba

LATENT_STEP = 1 / 16  # quantisation noise that the RGBA latents learn to live with


def fsq_1m() -> Recipe:
    """QKVAE-1m's model and loss, with Muon in place of AdamW and far fewer steps.

    smalti train fsq-1m --data STL10_TRAIN NATURAL96.npz
    39 minutes of one core; 33.0 dB on held-out STL-10 images (assets/weights/fsq-1m.md).
    """
    return Recipe(
        name="fsq-1m",
        model=FsqAutoencoder,
        forward=lambda model, x, _: model(x),
        loss=l1_mse_sobel,
        scale=lambda x: 2 * x - 1,
        learns_from_pictures=True,
        steps=700,
        batch=32,
        side=48,
        lr_muon=0.02,
        lr_adamw=3e-3,
    )


def rgba_boxes() -> Recipe:
    """The RGBA autoencoder on procedural boxes alone; no photograph.

    smalti train rgba-boxes
    29 minutes of one core; 22.4 dB on Kodak at 0.04 bpp (assets/weights/rgba-boxes.md).
    """
    return Recipe(
        name="rgba-boxes",
        model=RgbaAutoencoder,
        forward=_with_latent_noise,
        loss=structural_rgba,
        scale=lambda x: x,
        learns_from_pictures=False,
        steps=1600,
        batch=8,
        side=192,
        lr_muon=0.02,
        lr_adamw=3e-3,
    )


RECIPES: dict[str, Callable[[], Recipe]] = {"fsq-1m": fsq_1m, "rgba-boxes": rgba_boxes}


def run(
    name: str,
    data: Sequence[Path],
    out: Path,
    *,
    device: str = "cpu",
    on_step: Callable[[int, int, float], None] | None = None,
    **changes: int,
) -> Path:
    """Train by a recipe's name, into the folder `out / name`; the path of the weights.

    Args:
        data: folders or .npz files for recipes that learn from pictures, nothing for the others.
        changes: recipe fields to replace, such as `steps`.

    Raises:
        OptionError: an unknown recipe, data missing or not wanted, a checkpoint of another run.
    """
    if name not in RECIPES:
        raise OptionError(f"unknown recipe {name!r}; known: {', '.join(RECIPES)}")
    recipe = dataclasses.replace(RECIPES[name](), **changes)
    if recipe.learns_from_pictures and not data:
        raise OptionError(f"{name} learns from pictures; name folders of them with --data")
    if data and not recipe.learns_from_pictures:
        raise OptionError(f"{name} learns from procedural boxes; it takes no --data")
    for key in ("steps", "batch"):
        if getattr(recipe, key) < 1:
            raise OptionError(f"{key} {getattr(recipe, key)}; it must be at least 1")
    size = {"side": recipe.side, "batch": recipe.batch, "seed": recipe.seed}
    batches = Crops(data, **size) if data else Boxes(**size)
    folder = out / name
    train(recipe, batches, folder, device=device, on_step=on_step)
    return folder / f"{name}.safetensors"


def _with_latent_noise(model: RgbaAutoencoder, x: Tensor, noise: torch.Generator) -> Tensor:
    """Decode z + uniform noise one quantiser step wide, the usual stand-in for rounding."""
    z = model.encode(x)
    uniform = torch.rand(z.shape, generator=noise, device=z.device) - 0.5
    return model.decode(z + LATENT_STEP * uniform)
