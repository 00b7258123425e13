"""The FSQ tokenizers at one training budget each: rate, quality and size side by side.

    OMP_NUM_THREADS=1 python benchmarks/fsq_family.py SECONDS HELD_OUT TRAINING... \\
        > benchmarks/results/DATE-fsq-family.jsonl

Each recipe of `FAMILY` is trained on TRAINING for about SECONDS of processor time of one thread:
its first steps are timed in a run of their own, and as many steps as then fit are its schedule,
so that every learning rate comes down to zero. Then each picture of the folder HELD_OUT goes
through a real .smt file. One line a recipe; PSNR and SSIM are of the 8-bit pictures
(smalti/eval/metrics.py), per picture, then the mean.

- bits_a_token: of the tokens' section alone, as the entropy coder makes it; bits_fixed: log2 of
  the codebook, what a token costs uncoded.
- bpp: of the whole file, whose envelope is some 50 bytes more than that section.
"""

import json
import math
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import smalti
from smalti.eval.log import conditions
from smalti.eval.metrics import psnr, ssim
from smalti.files import PICTURE_SUFFIXES
from smalti.image import to_uint8
from smalti.train import recipes
from smalti.train.loop import Options
from smalti.train.run import run_recipe

FAMILY = ("fsq-1m", "fsq-small", "fsq-tiny", "fsq-1k", "fsq-f4", "fsq-f8")
TIMED = (4, 14)  # steps: after the first ones, which fill caches and memory, and at the end
AT_END = 10**9  # steps: neither checkpoints nor validation before the last one


def main() -> None:
    seconds, held_out, training = float(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
    pictures = sorted(p for p in held_out.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES)
    say(conditions("cpu") | {"seconds": seconds, "set": held_out.name, "pictures": len(pictures)})
    with tempfile.TemporaryDirectory() as folder:
        for name in FAMILY:
            timed = train(name, TIMED[1], training, Path(folder, "timed"))
            step = (timed[TIMED[1]] - timed[TIMED[0]]) / (TIMED[1] - TIMED[0])
            steps = max(1, round(seconds / step))
            taken = train(name, steps, training, Path(folder))
            weights = Path(folder, name, f"{name}.safetensors")
            cost = {"steps": steps, "cpu_seconds": round(taken[steps] - taken[0], 1)}
            say({"recipe": name} | cost | measure(weights, pictures))


def train(name: str, steps: int, training: list[str], out: Path) -> dict[int, float]:
    """Train by a recipe; the processor time at each step, from 0 on."""
    clock = {0: time.process_time()}
    run_recipe(
        recipes.recipe_of(name, [f"steps={steps}"]),
        training,
        out,
        options=Options(checkpoint_every=AT_END, validate_every=AT_END, log_every=1),
        device="cpu",
        on_step=lambda done, _total, _text: clock.update({done: time.process_time()}),
    )
    return clock


def measure(weights: Path, pictures: list[Path]) -> dict[str, Any]:
    model = smalti.load_model(str(weights))
    codebook, factor = model.codebook_size, model.factor
    rows = []
    for path in pictures:
        x = smalti.load(path)[..., :3]
        data = smalti.encode(x, f"fsq:weights={weights}")
        x_hat = smalti.decode(data, weights=weights)
        height, width = x.shape[:2]
        tokens = -(-height // factor) * -(-width // factor)
        original, decoded = to_uint8(x), x_hat
        rows.append(
            (
                psnr(original, decoded),
                ssim(original, decoded),
                tokens,
                8 * sum(smalti.info(data).sections) / tokens,
                8 * len(data) / (height * width),
            )
        )
    means = [statistics.mean(column) for column in zip(*rows, strict=True)]
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "codebook": codebook,
        "factor": factor,
        "tokens": round(means[2], 1),
        "psnr": round(means[0], 3),
        "ssim": round(means[1], 4),
        "bits_fixed": round(math.log2(codebook), 3),
        "bits_a_token": round(means[3], 3),
        "bpp": round(means[4], 4),
    }


def say(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
