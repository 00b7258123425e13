"""`smalti train`: one command for one process, several GPUs, or several machines."""

import dataclasses
import os
import sys
from pathlib import Path
from typing import Any

from smalti.cli import show


def train(
    recipe: str,
    /,
    *,
    data: tuple[Path, ...] = (),
    val: tuple[Path, ...] = (),
    out: Path = Path("runs"),
    set: tuple[str, ...] = (),
    steps: int | None = None,
    batch: int | None = None,
    seed: int | None = None,
    device: str | None = None,
    precision: str = "auto",
    workers: int = 1,
    cache_mb: int = 2048,
    checkpoint_every: int = 100,
    validate_every: int = 200,
    log_every: int = 10,
    compile: bool = False,
) -> int:
    """Make a set of trained weights.

    The same command goes on after an interruption. On several GPUs or machines: accelerate launch --num_processes 8 -m smalti train ...
    (docs/TRAINING.md).

    Args:
        recipe: Its name, such as rgba-boxes; a wrong one is answered with all of them.
        data: Folders of pictures, WebDataset .tar files, .npz or idx files, for recipes that learn
            from pictures; for digits-lm, the folder of MNIST's four files; for natural-lm, a folder
            of labelled pictures (docs/TOKENS.md).
        val: Validation pictures, of the same kinds; the five bundled ones without.
        out: The weights, checkpoints, log and validation pictures go to OUT/RECIPE.
        set: Fields of the recipe, as in side=64 optimizer.lr=1e-3; a wrong one is answered with
            all of them.
        steps: Short for --set steps=...
        batch: Short for --set batch=... (pictures a step, in each process).
        seed: Short for --set seed=... (of weights, crops and noise).
        device: cpu, cuda or mps (default: a GPU if there is one).
        precision: no, bf16, fp16, or auto: bf16 where the hardware has it.
        workers: Threads that read pictures ahead.
        cache_mb: Memory for decoded pictures, in each process.
        checkpoint_every: Steps from one checkpoint to the next.
        validate_every: Steps from one validation to the next.
        log_every: Steps from one line of the log to the next.
        compile: Use torch.compile.

    Examples:
        smalti train rgba-boxes --steps 3 --out trial
        smalti train fsq-1m --data photographs --val others --set batch=16
    """
    from smalti.train import launch

    if (processes := launch.processes_to_start()) > 1:
        return launch.start(processes, sys.argv[1:])
    from smalti.train import recipes
    from smalti.train.loop import Interrupted, Options

    short: dict[str, Any] = {"steps": steps, "batch": batch, "seed": seed}
    given = {field: value for field, value in short.items() if value is not None}
    chosen = dataclasses.replace(recipes.recipe_of(recipe, set), **given)
    run_recipe = recipes.runner_of(chosen)
    options = Options(
        precision=precision,
        workers=workers,
        checkpoint_every=checkpoint_every,
        validate_every=validate_every,
        log_every=log_every,
        compile=compile,
    )
    try:
        with show.progress() as bar:
            path = run_recipe(
                chosen,
                data,
                out,
                validate_on=val,
                options=options,
                device=device,
                cache_mb=cache_mb,
                on_step=lambda done, total, text: bar(done, total, f"{recipe}, {text}"),
                on_note=show.note,
            )
    except Interrupted as stop:
        show.error(f"interrupted {stop}; to go on: smalti {' '.join(sys.argv[1:])}")
        return 130
    if os.environ.get("RANK", "0") == "0":
        show.note(f"weights: {path}")
    return 0
