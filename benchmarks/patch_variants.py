"""The patch autoencoder's variants: what each costs, and what each reaches at one small budget.

    OMP_NUM_THREADS=1 python benchmarks/patch_variants.py --seconds 240 --data PHOTOGRAPHS \\
        --sets HELD_OUT KODAK --weights FOLDER > benchmarks/results/DATE-patch-variants.jsonl

Cost, at 512 x 512 texels: `gflop` by torch's counter, `ms` the least processor time of `fast()` in
float32 over rounds in which every recipe runs once.

Quality: each recipe begins as the best linear code and is trained for about so many seconds of
processor time of one thread: its first steps are timed in a run of their own, and as many as then
fit are its schedule, so that every learning rate comes down to zero. Neither the linear beginning
nor the first stage of the recipes with two stages (patch-f8c16 as shipped) is within the budget.
With --seconds 0 nothing is trained, and only the linear beginnings are measured.

One line a recipe, written when it is done. PSNR is of the 8-bit picture, per picture, then the
mean: of the middle 256 x 256 texels in the first set, of whole pictures in the others. `start` is
the linear beginning's on the first set.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

import smalti
from smalti import models
from smalti.eval.log import conditions
from smalti.eval.metrics import psnr
from smalti.files import PICTURE_SUFFIXES
from smalti.image import to_uint8
from smalti.models.base import Model
from smalti.models.patch.stages import StackedPatchAutoencoder
from smalti.models.pictures import to_picture, to_tensor
from smalti.train import recipes
from smalti.train.data import Batches
from smalti.train.loop import Options
from smalti.train.recipes.recipe import Recipe
from smalti.train.run import run_recipe
from smalti.train.sources import Pictures

VARIANTS = (
    "patch-f8c16",  # the full decoder
    "patch-1x1",
    "patch-simple",
    "patch-d32c64",
    "patch-naive32",
    "patch-d32c256",
)
TIMED = (4, 10)  # steps: after the first ones, which fill caches and memory, and at the end
AT_END = 10**9  # steps: neither checkpoints nor validation before the last one
SIDE = 512  # texels, of the picture that cost is measured on
ROUNDS = 3
MIDDLE = 256  # texels

Half = Callable[[Tensor], Tensor]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=240)
    parser.add_argument("--data", nargs="+", required=True)
    parser.add_argument("--sets", nargs="+", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True, help="folder that receives them")
    parser.add_argument("--only", nargs="*", default=list(VARIANTS), help="recipes to train")
    parser.add_argument("--no-cost", action="store_true", help="quality alone")
    asked = parser.parse_args()
    say(conditions("cpu") | {"seconds": asked.seconds, "sets": [path.name for path in asked.sets]})
    costs = {} if asked.no_cost else cost_of(VARIANTS)
    for name, cost in costs.items():
        say({"recipe": name} | cost)
    for name in asked.only:
        say({"recipe": name} | reached(name, asked))


def reached(name: str, asked: argparse.Namespace) -> dict[str, Any]:
    """Steps, time and PSNR of a recipe, trained for `asked.seconds`."""
    start = asked.weights / f"{name}-start.safetensors"
    beginning(recipes.recipe_of(name), asked.data).save_pretrained(start, dtype=torch.float32)
    found: dict[str, Any] = {"start": quality_of(start, asked.sets[:1])}
    if asked.seconds == 0:
        return found
    settings = ["linear_init=false", "frozen=", f"start={start}"]
    with tempfile.TemporaryDirectory() as folder:
        timed = train(name, [*settings, f"steps={TIMED[1]}"], asked.data, Path(folder))
    step = (timed[TIMED[1]] - timed[TIMED[0]]) / (TIMED[1] - TIMED[0])
    steps = max(2, round(asked.seconds / step))
    taken = train(name, [*settings, f"steps={steps}"], asked.data, asked.weights)
    trained = asked.weights / name / f"{name}.safetensors"
    found |= {"steps": steps, "cpu_seconds": round(taken[steps], 1)}
    return found | {"psnr": quality_of(trained, asked.sets)}


def beginning(recipe: Recipe, data: list[str]) -> Model:
    """The linear beginning of a recipe."""
    factor = recipe.build().factor
    return recipe.first_model(Batches(Pictures(data), side=recipe.side, factor=factor))


def train(name: str, settings: list[str], data: list[str], out: Path) -> dict[int, float]:
    """Train by a recipe; the processor time since the beginning at each step."""
    clock: dict[int, float] = {}
    started = time.process_time()
    run_recipe(
        recipes.recipe_of(name, settings),
        data,
        out,
        options=Options(checkpoint_every=AT_END, validate_every=AT_END, log_every=1, workers=0),
        device="cpu",
        on_step=lambda done, _total, _text: clock.update({done: time.process_time() - started}),
    )
    return clock


def quality_of(weights: Path, sets: list[Path]) -> dict[str, float]:
    """Mean PSNR on each set; of the middle of the pictures in the first."""
    encode, decode = halves(smalti.load_model(str(weights)))
    means = {}
    for folder in sets:
        values = []
        for path in sorted(p for p in folder.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES):
            x = to_tensor(path)[0, :3]
            if folder is sets[0]:
                x = middle(x)
            x_hat = decode(encode(x[None]))[0, :, : x.shape[1], : x.shape[2]]
            values.append(psnr(*(to_uint8(to_picture(y)) for y in (x, x_hat))))
        means[folder.name] = round(statistics.mean(values), 3)
    return means


def middle(x: Tensor) -> Tensor:
    height, width = (min(n, MIDDLE) for n in x.shape[1:])
    top, left = (x.shape[1] - height) // 2, (x.shape[2] - width) // 2
    return x[:, top : top + height, left : left + width]


def halves(model: Model) -> tuple[Half, Half]:
    """Encoder and decoder in their fast form, without gradients."""
    if not isinstance(model, StackedPatchAutoencoder):
        fast = models.fast(model)
        return fast.encode, fast.decode
    first, second, gains = models.fast(model.first), models.fast(model.second), model.gains
    return (
        lambda x: second.encode(gains * first.encode(x)),
        lambda z: first.decode(second.decode(z) / gains),
    )


def cost_of(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Parameters, operations and time of each recipe's model, of random weights."""
    x = 2 * torch.rand(1, 3, SIDE, SIDE) - 1
    costs: dict[str, dict[str, Any]] = {}
    runs: dict[tuple[str, str], tuple[Half, Tensor]] = {}
    for name in names:
        model = recipes.recipe_of(name).build().eval()
        encode, decode = halves(model)
        z = encode(x)
        runs[name, "encode"], runs[name, "decode"] = (encode, x), (decode, z)
        counted = model.to("meta")
        costs[name] = {
            "parameters": sum(p.numel() for p in model.parameters()),
            "numbers_a_texel": z.numel() / SIDE**2,
            "gflop": {
                "encode": operations(counted.encode, x.to("meta")),
                "decode": operations(counted.decode, z.to("meta")),
            },
        }
    seconds: dict[tuple[str, str], list[float]] = {key: [] for key in runs}
    for _ in range(ROUNDS):
        for key, (run, value) in runs.items():
            started = time.process_time()
            run(value)
            seconds[key].append(time.process_time() - started)
    for name in names:
        costs[name]["ms"] = {
            half: round(1e3 * min(seconds[name, half]), 1) for half in ("encode", "decode")
        }
    return costs


def operations(run: Half, x: Tensor) -> float:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        run(x)
    return round(counter.get_total_flops() / 1e9, 2)


def say(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
