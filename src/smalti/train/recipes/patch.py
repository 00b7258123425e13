"""Recipes of the patch autoencoder and of its variants: other decoders, and larger patches.

The variants begin as the best linear code, as patch-f8c16 does, and take its loss and rates.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

from smalti.models.patch.model import PatchConfig
from smalti.models.patch.stages import SECOND, StackedConfig
from smalti.train.losses import PictureLoss
from smalti.train.recipes.recipe import Optimization, Recipe

WIDE = {"batch": 12, "side": 128}  # as many texels a step as of 32 crops of 80 x 80


def patch_f8c16() -> Recipe:
    """The patch autoencoder from its linear optimum, within half an hour of a CPU.

    smalti train patch-f8c16 --data PHOTOGRAPHS
    The rates are low: Muon at 0.02 undoes the linear start.
    """
    return Recipe(
        name="patch-f8c16",
        model=PatchConfig(),
        loss=PictureLoss(l1=0.0, mse=1.0, sobel=0.0),
        steps=700,
        batch=32,
        side=80,
        linear_init=True,
        optimizer=Optimization(lr=1e-3, lr_muon=4e-3),
    )


def patch_card() -> Recipe:
    """The patch autoencoder as its card trains it: squared error, Muon within SNOO; for a GPU.

    smalti train patch-card --data PHOTOGRAPHS
    The card: squared error 0.0020 in [-1, 1], that is 33.0 dB, after 30,000 steps of 256 pictures.
    """
    return dataclasses.replace(
        patch_f8c16(),
        name="patch-card",
        steps=30_000,
        batch=256,
        side=64,
        optimizer=Optimization(lr=1e-3, lr_muon=1e-3, snoo_k=20),
    )


def patch_1x1() -> Recipe:
    """No cell sees another: the decoder's 3 x 3 convolutions are 1 x 1.

    smalti train patch-1x1 --data PHOTOGRAPHS
    Any part of a picture decodes by itself, without a halo.
    """
    return _patch("patch-1x1", PatchConfig(decoder="1x1"))


def patch_simple() -> Recipe:
    """A 1 x 1 MLP to the texels of a cell in place of the pixel head.

    smalti train patch-simple --data PHOTOGRAPHS
    """
    return _patch("patch-simple", PatchConfig(decoder="simple"))


def patch_d32c256() -> Recipe:
    """Two stages: 4 x 4 cells of patch-f8c16 to one of 256 channels; as many numbers, larger cells.

    smalti train patch-d32c256 --data PHOTOGRAPHS
    The first stage is frozen, and without training the second loses nothing but rounding.
    """
    second = PatchConfig(latent_channels=256, patch=4, decoder="simple", channels=16)
    return _two_stages("patch-d32c256", StackedConfig(second=second))


def patch_d32c64() -> Recipe:
    """Two stages: 4 x 4 cells of patch-f8c16 to one of 64 channels, a quarter of the numbers.

    smalti train patch-d32c64 --data PHOTOGRAPHS
    The loss compares latents, each channel weighted by how far it moves the picture: after 60 CPU
    seconds 0.07 dB better than comparing pictures, which takes twice as long a step.
    """
    return _two_stages("patch-d32c64", StackedConfig(second=SECOND))


def patch_naive32() -> Recipe:
    """32 x 32 texels to 64 channels at once: what patch-d32c64 is measured against.

    smalti train patch-naive32 --data PHOTOGRAPHS
    A simple decoder, as in the second stage there: the pixel head's 32 features cannot hold the
    64 components with which a linear beginning starts.
    """
    config = PatchConfig(latent_channels=64, patch=32, decoder="simple")
    return _patch("patch-naive32", config, **WIDE)


def _two_stages(name: str, config: StackedConfig) -> Recipe:
    return _patch(
        name,
        config,
        batch=24,
        side=128,
        frozen="patch-f8c16",
        latent_loss=True,
        optimizer=Optimization(lr=1e-3, lr_muon=1e-3),
    )


def _patch(name: str, model: PatchConfig | StackedConfig, **changes: Any) -> Recipe:
    fields = {
        "steps": 700,
        "batch": 32,
        "side": 80,
        "optimizer": Optimization(lr=1e-3, lr_muon=4e-3),
        **changes,
    }
    return Recipe(
        name=name,
        model=model,
        loss=PictureLoss(l1=0.0, mse=1.0, sobel=0.0),
        linear_init=True,
        **fields,
    )


PATCH_RECIPES: dict[str, Callable[[], Recipe]] = {
    "patch-f8c16": patch_f8c16,
    "patch-card": patch_card,
}

PATCH_VARIANTS: dict[str, Callable[[], Recipe]] = {
    "patch-1x1": patch_1x1,
    "patch-simple": patch_simple,
    "patch-d32c256": patch_d32c256,
    "patch-d32c64": patch_d32c64,
    "patch-naive32": patch_naive32,
}
