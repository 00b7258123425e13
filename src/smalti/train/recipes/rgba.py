"""Recipes of the autoencoder of pictures with transparency."""

from collections.abc import Callable

from smalti.models.rgba import RgbaConfig
from smalti.train.losses import StructuralRgba
from smalti.train.recipes.recipe import Optimization, Recipe

LATENT_STEP = 1 / 16  # quantisation noise that the RGBA latents learn to live with


def rgba_boxes() -> Recipe:
    """The RGBA autoencoder on procedural boxes alone; no photograph.

    smalti train rgba-boxes
    22.4 dB on Kodak at 0.04 bpp (assets/weights/rgba-boxes.md). Ablations of the loss:
    --set loss.sobel=0, loss.mse=0, loss.l1=1, loss.ssim=0.1, loss.premultiply=false.
    """
    return Recipe(
        name="rgba-boxes",
        model=RgbaConfig(),
        loss=StructuralRgba(),
        steps=1600,
        batch=8,
        side=192,
        boxes=1.0,
        latent_noise=LATENT_STEP,
    )


def rgba_finetune() -> Recipe:
    """rgba-boxes, taught your own pictures: photographs, drawings, pictures with transparency.

    smalti train rgba-finetune --data PHOTOGRAPHS RGBA_ART --steps 2600
    Under five minutes of one core; 0.7 dB above rgba-boxes on Kodak (assets/weights/rgba-finetune.md).
    A quarter of the pictures stays procedural, so that what boxes taught is kept.
    """
    return Recipe(
        name="rgba-finetune",
        model=RgbaConfig(),
        loss=StructuralRgba(),
        steps=800,
        batch=8,
        side=192,
        aspect=2.0,
        boxes=0.25,
        latent_noise=LATENT_STEP,
        start="rgba-boxes",
        optimizer=Optimization(lr=1e-3, lr_muon=0.005),
    )


RGBA_RECIPES: dict[str, Callable[[], Recipe]] = {
    "rgba-boxes": rgba_boxes,
    "rgba-finetune": rgba_finetune,
}
