"""Training by a recipe: the data that it learns from, and the loop."""

from collections.abc import Callable, Sequence
from pathlib import Path

from smalti.errors import OptionError
from smalti.files import BUNDLED_PICTURES
from smalti.train import field_run
from smalti.train.data import Batches
from smalti.train.loop import Options, train
from smalti.train.progress import Validation
from smalti.train.recipes.fields import FieldRecipe
from smalti.train.recipes.recipe import Recipe
from smalti.train.sources import CACHE_MB, Pictures


def run_recipe(
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
        return field_run.run(
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
    shown = Pictures(validate_on or [BUNDLED_PICTURES], channels=channels)
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
        validation=Validation(shown, factor=factor, black=recipe.black),
        on_step=on_step,
        on_note=on_note,
    )
