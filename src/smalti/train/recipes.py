"""Recipes: what makes each set of weights, with command, cost and result; and running one.

Costs are CPU seconds of one thread of a machine with AVX-512 and bfloat16 products.
"""

import dataclasses
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path

from smalti.errors import OptionError
from smalti.models.fsq import FsqConfig
from smalti.models.patch import PatchConfig
from smalti.models.rgba import RgbaConfig
from smalti.train import fields
from smalti.train.coarse_recipes import COARSE_RECIPES
from smalti.train.data import Batches
from smalti.train.field_recipe import FIELD_RECIPES, FieldRecipe
from smalti.train.lm_recipe import LM_RECIPES, LmRecipe
from smalti.train.loop import Options, train
from smalti.train.losses import PictureLoss, StructuralRgba
from smalti.train.patch_recipes import PATCH_RECIPES
from smalti.train.progress import Validation
from smalti.train.recipe import BLACK, Optimization, Recipe, changed
from smalti.train.sources import CACHE_MB, Pictures

LATENT_STEP = 1 / 16  # quantisation noise that the RGBA latents learn to live with


def fsq_1m() -> Recipe:
    """QKVAE-1m's model and loss, with Muon in place of AdamW and far fewer steps.

    smalti train fsq-1m --data STL10_TRAIN NATURAL96.npz
    About 6 minutes; 33.0 dB on held-out STL-10 images, 34.8 dB after 1,650 steps more that
    start from those weights (assets/weights/fsq-1m.md).
    """
    return Recipe(
        name="fsq-1m",
        model=FsqConfig(),
        loss=PictureLoss(),
        steps=700,
        batch=32,
        side=48,
    )


def fsq_card() -> Recipe:
    """QKVAE-1m as its model card trains it: AdamW with a one-cycle schedule, 6,000 steps.

    smalti train fsq-card --data STL10_TRAIN
    The card: 32.61 dB on the STL-10 test set, 78 s on an RTX 5090.
    """
    return Recipe(
        name="fsq-card",
        model=FsqConfig(),
        loss=PictureLoss(),
        steps=6000,
        batch=32,
        side=96,
        optimizer=Optimization(kind="adamw", lr=3e-4),
    )


def fsq_small() -> Recipe:
    """Fewer parameters: a third of fsq-1m's, the same tokens.

    smalti train fsq-small --data STL10_TRAIN NATURAL96.npz
    """
    return _fsq("fsq-small", FsqConfig(width=56))


def fsq_tiny() -> Recipe:
    """Fewer parameters still, a twelfth of fsq-1m's: the same tokens.

    smalti train fsq-tiny --data STL10_TRAIN NATURAL96.npz
    """
    return _fsq("fsq-tiny", FsqConfig(width=32, blocks=1))


def fsq_1k() -> Recipe:
    """A smaller codebook, 8 * 5 * 5 * 5 = 1,000 codes, and half the parameters.

    smalti train fsq-1k --data STL10_TRAIN NATURAL96.npz
    """
    return _fsq("fsq-1k", FsqConfig(width=72, levels=(8, 5, 5, 5)))


def fsq_f4() -> Recipe:
    """A quarter of the tokens: one for each 4 x 4 texels, of 64,000 codes.

    smalti train fsq-f4 --data STL10_TRAIN NATURAL96.npz
    """
    return _fsq("fsq-f4", FsqConfig(width=80, factor=4, levels=(8, 8, 8, 5, 5, 5)))


def fsq_f8() -> Recipe:
    """A sixteenth of the tokens: one for each 8 x 8 texels, of 64,000 codes.

    smalti train fsq-f8 --data PHOTOGRAPHS
    """
    return _fsq("fsq-f8", FsqConfig(width=80, factor=8, levels=(8, 8, 8, 5, 5, 5)), side=64)


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


def _fsq(name: str, config: FsqConfig, *, side: int = 48) -> Recipe:
    return Recipe(name=name, model=config, loss=PictureLoss(), steps=700, batch=32, side=side)


RECIPES: dict[str, Callable[[], Recipe]] = {
    "fsq-1m": fsq_1m,
    "fsq-card": fsq_card,
    "fsq-small": fsq_small,
    "fsq-tiny": fsq_tiny,
    "fsq-1k": fsq_1k,
    "fsq-f4": fsq_f4,
    "fsq-f8": fsq_f8,
    "rgba-boxes": rgba_boxes,
    "rgba-finetune": rgba_finetune,
    "patch-f8c16": patch_f8c16,
    "patch-card": patch_card,
    **COARSE_RECIPES,
    **PATCH_RECIPES,
}


def recipe_of(name: str, settings: Sequence[str] = ()) -> Recipe | FieldRecipe | LmRecipe:
    """A recipe by its name, with fields set by `field=value` strings.

    Raises:
        OptionError: no such recipe or field, or a value that it cannot have.
    """
    known = {**RECIPES, **FIELD_RECIPES, **LM_RECIPES}
    if name not in known:
        raise OptionError(f"unknown recipe {name!r}; known: {', '.join(known)}")
    return changed(known[name](), settings)


def run(
    recipe: Recipe | FieldRecipe,
    data: Sequence[str | Path],
    out: Path,
    *,
    validate_on: Sequence[str | Path] = (),
    options: Options | None = None,
    device: str | None = None,
    cache_mb: int = CACHE_MB,
    on_step: Callable[[int, int, float], None] | None = None,
    on_note: Callable[[str], None] | None = None,
) -> Path:
    """Train by a recipe, into the folder `out / name`; the path of the weights.

    Args:
        data: folders of pictures, .tar or .npz files; nothing for boxes alone.
        validate_on: the same kinds, for validation; the five bundled pictures without.
        cache_mb: memory for decoded pictures, in each process.

    The rest is `loop.train`'s.

    Raises:
        OptionError: data missing or not wanted, or a checkpoint of another run.
        ImageError: no picture that can be used.
    """
    if isinstance(recipe, FieldRecipe):
        return fields.run(
            recipe,
            data,
            out,
            validate_on=validate_on,
            options=options,
            device=device,
            cache_mb=cache_mb,
            on_step=on_step,
            on_note=on_note,
        )
    if recipe.boxes < 1 and not data:
        raise OptionError(f"{recipe.name} learns from pictures; name folders of them with --data")
    if data and recipe.boxes == 1:
        raise OptionError(
            f"{recipe.name} learns from procedural boxes; it takes no --data unless boxes is "
            "below 1 (--set boxes=0.5)"
        )
    channels, factor = recipe.channels, recipe.build().factor
    pictures = Pictures(data, channels=channels, cache_mb=cache_mb) if data else None
    shown = Pictures(validate_on or [bundled_pictures()], channels=channels)
    return train(
        recipe,
        lambda on: Batches(
            pictures,
            side=recipe.side,
            channels=channels,
            factor=factor,
            aspect=recipe.aspect,
            boxes=recipe.boxes,
            seed=recipe.seed,
            device=on,
        ),
        out / recipe.name,
        options=options,
        device=device,
        validation=Validation(shown, factor=factor, black=BLACK[recipe.architecture]),
        on_step=on_step,
        on_note=on_note,
    )


def bundled_pictures() -> Path:
    return Path(str(files("smalti") / "assets" / "pictures"))
