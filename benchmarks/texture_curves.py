"""PSNR over the steps of a fit: the published recipes of the hash and the latent texture.

    OMP_NUM_THREADS=1 python benchmarks/texture_curves.py PICTURE [RUN ...] [--steps 5000]
        [--until STEPS] [--seed 0] >> benchmarks/results/DATE-texture-curves.jsonl

RUN is one of RUNS, all without. The cosine schedule is that of --steps, --until stops before its
end. PSNR is of the picture rounded to 8 bits, drawn from float32 parameters (rounded to 8 bits
where the run says so), as the published figures are; a file's is that of its codec. `ms` is
processor time a step, without the drawing. Interrupted, a run writes the points that it has, with
"stopped" in place of the time.
"""

import argparse
import contextlib
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch

import smalti
from smalti.eval.log import conditions
from smalti.eval.metrics import psnr
from smalti.fit import PUBLISHED_HASH, PUBLISHED_LATENT, fit_texture
from smalti.image import to_uint8
from smalti.models.hash_texture import PRESETS, HashTextureConfig, HashTextureModel
from smalti.models.latent_texture import LatentTextureConfig, LatentTextureModel
from smalti.ops.activations import ACTIVATIONS
from smalti.ops.levels import round_tables

POINTS = (100, 200, 500, 1000, 1500, 2000, 3000, 4000, 5000)
RUNS = {f"hash-{name}": (HashTextureModel, HashTextureConfig, fields, None)
        for name, fields in PRESETS.items()}  # fmt: skip
RUNS |= {
    "latent-single": (
        LatentTextureModel, LatentTextureConfig, {"lo_channels": 32, "hi_channels": 0}, None
    ),
    "latent-two": (LatentTextureModel, LatentTextureConfig, {}, None),
    "latent-two-8bit": (LatentTextureModel, LatentTextureConfig, {}, 256),
}  # fmt: skip
RUNS |= {
    f"latent-two-{name}": (
        LatentTextureModel, LatentTextureConfig, {"activation": ACTIVATIONS.index(name)}, None
    )
    for name in ACTIVATIONS[1:]
}  # fmt: skip


class Enough(Exception):
    """The last point is measured."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", type=Path)
    parser.add_argument("runs", nargs="*")
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--until", type=int)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    image = smalti.load(asked.picture)[:3]
    sys.stdout.write(json.dumps(conditions("cpu")) + "\n")
    for name in asked.runs or RUNS:
        line = {"picture": asked.picture.name, "run": name, "seed": asked.seed}
        line |= {"schedule": asked.steps} | curve(image, name, asked)
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


def curve(image: torch.Tensor, name: str, asked: argparse.Namespace) -> dict:
    cls, config, fields, levels = RUNS[name]
    height, width = image.shape[1:]
    generator = torch.Generator().manual_seed(asked.seed)
    model = cls(config(height=height, width=width, **fields), generator=generator)
    until = min(asked.until or asked.steps, asked.steps)
    found: dict[int, float] = {}
    started = time.process_time()
    drawing = 0.0

    def on_step(done: int, _: int) -> None:
        nonlocal drawing
        if done in POINTS or done == until:
            before = time.process_time()
            x_hat = drawn(model, levels if done >= 500 else None)
            found[done] = round(psnr(to_uint8(image), to_uint8(x_hat)), 2)
            sys.stderr.write(f"{name} {done} {found[done]} dB\n")
            drawing += time.process_time() - before
        if done == until:
            raise Enough

    recipe = PUBLISHED_HASH if cls is HashTextureModel else PUBLISHED_LATENT
    if levels is None:
        recipe = replace(recipe, rounding=1.0, rounding_step=None)
    with contextlib.suppress(Enough, KeyboardInterrupt):
        fit_texture(
            model, image, recipe,
            steps=asked.steps, levels=levels, generator=generator, on_step=on_step,
        )  # fmt: skip
    spent = time.process_time() - started - drawing
    parameters = sum(p.numel() for p in model.parameters())
    line = {"parameters": parameters, "psnr": found}
    if until not in found:
        return line | {"stopped": True}
    return line | {"ms": round(1e3 * spent / until, 1)}


def drawn(model, levels: int | None) -> torch.Tensor:
    """The picture, with the tables rounded for as long as it takes."""
    height, width = model.size
    values = model.flat_parameters()
    kept = values.copy()
    if levels:
        ends = torch.tensor([level.values for level in model.levels]).cumsum(0).numpy()
        round_tables(kept, model.layout().table, ends, levels - 1, values)
    x_hat = model.render(torch.arange(height), torch.arange(width))
    values[:] = kept
    return x_hat


if __name__ == "__main__":
    main()
