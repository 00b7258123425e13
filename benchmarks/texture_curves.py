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

import numpy as np

import smalti
from smalti.eval.log import conditions
from smalti.eval.metrics import psnr
from smalti.fits.tables.fit import PUBLISHED_HASH, PUBLISHED_LATENT, fit_texture
from smalti.fits.tables.hash_texture import PRESETS, HashTextureConfig
from smalti.fits.tables.kernels import round_tables
from smalti.fits.tables.latent_texture import LatentTextureConfig
from smalti.fits.tables.model import ACTIVATIONS, TextureModel
from smalti.image import to_float, to_uint8

POINTS = (100, 200, 500, 1000, 1500, 2000, 3000, 4000, 5000)
RUNS = {f"hash-{name}": (HashTextureConfig, fields, None) for name, fields in PRESETS.items()}
RUNS |= {
    "latent-single": (LatentTextureConfig, {"lo_channels": 32, "hi_channels": 0}, None),
    "latent-two": (LatentTextureConfig, {}, None),
    "latent-two-8bit": (LatentTextureConfig, {}, 256),
}
RUNS |= {
    f"latent-two-{name}": (LatentTextureConfig, {"activation": ACTIVATIONS.index(name)}, None)
    for name in ACTIVATIONS[1:]
}


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
    image = smalti.load(asked.picture)[..., :3]
    sys.stdout.write(json.dumps(conditions("cpu")) + "\n")
    for name in asked.runs or RUNS:
        line = {"picture": asked.picture.name, "run": name, "seed": asked.seed}
        line |= {"schedule": asked.steps} | curve(image, name, asked)
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


def curve(image: np.ndarray, name: str, asked: argparse.Namespace) -> dict:
    cls, fields, levels = RUNS[name]
    height, width = image.shape[:2]
    random = np.random.default_rng(asked.seed)
    model = cls(height=height, width=width, **fields).noise(random)
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

    recipe = PUBLISHED_HASH if cls is HashTextureConfig else PUBLISHED_LATENT
    if levels is None:
        recipe = replace(recipe, rounding=1.0, rounding_step=None)
    with contextlib.suppress(Enough, KeyboardInterrupt):
        fit_texture(
            model, to_float(image), recipe,
            steps=asked.steps, levels=levels, random=random, on_step=on_step,
        )  # fmt: skip
    spent = time.process_time() - started - drawing
    line = {"parameters": len(model.values), "psnr": found}
    if until not in found:
        return line | {"stopped": True}
    return line | {"ms": round(1e3 * spent / until, 1)}


def drawn(model: TextureModel, levels: int | None) -> np.ndarray:
    """The picture, with the tables rounded where the run says so."""
    seen = model.values.copy()
    if levels:
        round_tables(model.shape, model.values, levels, seen)
    return TextureModel(model.shape, seen).render()


if __name__ == "__main__":
    main()
