"""Training resamplers and diffusers by their recipes: which data, which validation."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from smalti.errors import OptionError
from smalti.files import BUNDLED_PICTURES
from smalti.models import load_shared
from smalti.models.resampler import Resampler
from smalti.train.data import Batches
from smalti.train.field_data import DigitBatches, Digits, DigitValidation, DrawnValidation
from smalti.train.loop import Options, train
from smalti.train.progress import Validation
from smalti.train.recipes.fields import DiffuserRecipe, FieldRecipe, ResamplerRecipe
from smalti.train.sources import CACHE_MB, Pictures

VALIDATED = 200  # digits of the test part


def run(
    recipe: FieldRecipe,
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
        data: the folder of MNIST's four files, or for photographs what `run_recipe` takes.
        validate_on: pictures to validate a model of photographs on; the bundled ones without.

    The rest is `loop.train`'s.

    Raises:
        OptionError: data missing, or a checkpoint of another run.
        ImageError: a file of the data is damaged.
    """
    if not data:
        wanted = "photographs" if _of_photographs(recipe) else "MNIST"
        raise OptionError(f"{recipe.name} learns from {wanted}; name the folder with --data")
    batches, validation = (_photographs if _of_photographs(recipe) else _digits)(
        recipe, data, validate_on, cache_mb
    )
    return train(
        recipe,
        batches,
        out / recipe.name,
        options=options,
        device=device,
        validation=validation,
        on_step=on_step,
        on_note=on_note,
    )


def _of_photographs(recipe: FieldRecipe) -> bool:
    return isinstance(recipe, ResamplerRecipe) and recipe.model.channels == 3


def _photographs(
    recipe: ResamplerRecipe,
    data: Sequence[str | Path],
    validate_on: Sequence[str | Path],
    cache_mb: int,
) -> tuple[Callable[[torch.device], Batches], Validation]:
    pictures = Pictures(data, channels=3, cache_mb=cache_mb)
    shown = Pictures(validate_on or [BUNDLED_PICTURES], channels=3)
    side = recipe.model.frame * recipe.sharper

    def batches(device: torch.device) -> Batches:
        return Batches(pictures, side=side, seed=recipe.seed, device=device)

    return batches, Validation(shown, factor=1, black=-1.0)


def _digits(
    recipe: FieldRecipe,
    data: Sequence[str | Path],
    validate_on: Sequence[str | Path],
    _cache_mb: int,
) -> tuple[Callable[[torch.device], DigitBatches], DigitValidation | DrawnValidation]:
    folder = Path(data[0])
    if len(data) > 1 or validate_on:
        raise OptionError(f"{recipe.name} learns from one folder of MNIST, and takes no --val")
    labelled = isinstance(recipe, DiffuserRecipe)
    if labelled:
        eye = load_shared(Resampler, recipe.model.autoencoder)
        recipe.model.check_fits(eye.config)
        if eye.channels != 1:
            raise OptionError(f"{recipe.model.autoencoder} is of {eye.channels} channels, not grey")
        side, validation = eye.config.frame, DrawnValidation(eye)
    else:
        side = recipe.model.frame
        validation = DigitValidation(Digits(folder, "test", side, VALIDATED))
    digits = Digits(folder, "train", side)
    if labelled and digits.labels.max() >= recipe.model.classes:
        raise OptionError(
            f"{folder} has labels up to {int(digits.labels.max())}; set model.classes above that"
        )

    def batches(device: torch.device) -> DigitBatches:
        return DigitBatches(digits, seed=recipe.seed, labelled=labelled, device=device)

    return batches, validation
