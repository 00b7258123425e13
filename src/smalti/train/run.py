"""Training by a recipe: the data that it learns from, and the loop."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from smalti.train.loop import Options, train
from smalti.train.sources import CACHE_MB


def run_recipe(
    recipe: Any,
    data: Sequence[str | Path],
    out: Path,
    *,
    validate_on: Sequence[str | Path] = (),
    options: Options | None = None,
    device: str | None = None,
    cache_mb: int = CACHE_MB,
    on_step: Callable[[int, int, str], None] | None = None,
    on_note: Callable[[str], None] | None = None,
) -> Path:
    """Train by a recipe, into the folder `out / name`; the path of the weights.

    Args:
        data: folders of pictures, .tar or .npz files, or the folder of MNIST's four files;
            nothing for boxes alone.
        validate_on: the same kinds, for validation; the five bundled pictures without.
        cache_mb: memory for decoded pictures, in each process.
        on_step: called with (steps done, steps in all, the loss in words), in the first process.

    The rest is `loop.train`'s.

    Raises:
        OptionError: data missing or not wanted, or a checkpoint of another run.
        ImageError: no picture that can be used.
    """
    recipe.check_data(data, validate_on)
    validation = recipe.validation(data, validate_on)

    def report(done: int, total: int, loss: float) -> None:
        if on_step:
            on_step(done, total, f"loss {loss:.5f}")

    return train(
        recipe,
        recipe.batches(data, cache_mb),
        out / recipe.name,
        options=options,
        device=device,
        validation=validation,
        on_step=report,
        on_note=on_note,
    )
