"""Training speed of fsq-1m: pictures a second of the engine beside a plain loop.

    python benchmarks/training.py PICTURES > benchmarks/results/DATE-training.jsonl

The plain loop is what one writes first: float32, torch's usual memory order, AdamW, the loss by
its formula, and each picture opened and cropped when it is wanted. Every contender has a process
of its own, with one thread, and they take their turns of a few steps: what disturbs one disturbs
all. What counts is processor time, of all threads of a process; of the rounds the median.

With --profile, where the engine's time goes, and the floor: the products of its convolutions alone,
at the speed of one large matrix product in the same number format.
"""

import argparse
import json
import multiprocessing
import os
import random
import statistics
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

SIDE, BATCH = 48, 32
STEPS, ROUNDS = 2, 7

# Name -> fields of the recipe, and options of the run. None: the plain loop.
CONTENDERS: dict[str, tuple[list[str], dict] | None] = {
    "plain": None,
    "engine": ([], {}),
    "engine, AdamW": (["optimizer.kind=adamw"], {}),
    "engine, float32": ([], {"precision": "no"}),
    "engine, torch's layers": ([], {"quick": False}),
    "engine, float32, torch's layers": ([], {"precision": "no", "quick": False}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    if options.profile:
        profile(options.pictures)
        return
    from smalti.eval.log import conditions

    context = multiprocessing.get_context("spawn")
    pipes = {}
    for name in CONTENDERS:
        ours, theirs = context.Pipe()
        context.Process(target=serve, args=(name, options.pictures, theirs), daemon=True).start()
        pipes[name] = ours
    seconds: dict[str, list[float]] = {name: [] for name in pipes}
    for turn in range(ROUNDS + 1):  # the first is a warm-up
        for name, pipe in pipes.items():
            pipe.send(STEPS)
            spent = pipe.recv()
            if turn:
                seconds[name].append(spent / STEPS)
    for pipe in pipes.values():
        pipe.send(0)
    print(json.dumps(conditions("cpu")))  # noqa: T201
    plain = statistics.median(seconds["plain"])
    for name, values in seconds.items():
        middle = statistics.median(values)
        row = {
            "contender": name,
            "pictures_per_cpu_second": round(BATCH / middle, 2),
            "times_plain": round(plain / middle, 2),
            "rounds": [round(BATCH / value, 2) for value in values],
        }
        print(json.dumps(row))  # noqa: T201


def serve(name: str, pictures: Path, pipe: Connection) -> None:
    """Run as many steps as asked, again and again; answer with their processor seconds."""
    import torch

    torch.set_num_threads(1)
    settings = CONTENDERS[name]
    step = plain_loop(pictures) if settings is None else engine(pictures, *settings)
    done = 0
    while steps := pipe.recv():
        began = time.process_time()
        for _ in range(steps):
            step(done)
            done += 1
        pipe.send(time.process_time() - began)


def plain_loop(pictures: Path) -> Callable[[int], None]:
    import numpy as np
    import torch
    import torch.nn.functional as F
    from PIL import Image

    from smalti.models.fsq import FsqAutoencoder

    files = sorted(p for p in pictures.rglob("*") if p.suffix in (".webp", ".png", ".jpg"))
    draw = random.Random(0)
    model = FsqAutoencoder()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, betas=(0.9, 0.95), weight_decay=1e-4)
    row = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]])
    kernels = torch.stack([row, row.T]).repeat(3, 1, 1).unsqueeze(1)

    def crop() -> torch.Tensor:
        picture = Image.open(draw.choice(files)).convert("RGB")
        left = draw.randrange(picture.width - SIDE + 1)
        top = draw.randrange(picture.height - SIDE + 1)
        part = picture.crop((left, top, left + SIDE, top + SIDE))
        return torch.from_numpy(np.array(part)).permute(2, 0, 1).float() / 127.5 - 1

    def sobel(x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(x, kernels, groups=3)

    def step(_: int) -> None:
        x = torch.stack([crop() for _ in range(BATCH)])
        x_hat = model(x)
        loss = F.l1_loss(x_hat, x) + 0.25 * F.mse_loss(x_hat, x)
        loss = loss + 0.5 * F.l1_loss(sobel(x_hat), sobel(x))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


def engine(pictures: Path, settings: list[str], options: dict) -> Callable[[int], None]:
    from smalti.train.data import Batches
    from smalti.train.loop import Options, Run, accelerator_on
    from smalti.train.recipes import recipe_of
    from smalti.train.sources import Pictures

    recipe = recipe_of("fsq-1m", [f"side={SIDE}", f"batch={BATCH}", *settings])
    batches = Batches(Pictures([pictures]), side=SIDE, factor=2)
    run = Run(recipe, batches, accelerator_on("cpu"), Options(**options))
    return lambda step: run.step(step, batches(step, 0, BATCH)).item()


def profile(pictures: Path) -> None:
    """Shares of one step, on stderr, and the floor."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    torch.set_num_threads(1)
    step = engine(pictures, [], {})
    step(0)
    step(1)
    began = time.process_time()
    for i in range(2, 5):
        step(i)
    spent = (time.process_time() - began) / 3
    with torch.profiler.profile() as found:
        step(5)
    sys.stderr.write(found.key_averages().table(sort_by="self_cpu_time_total", row_limit=20) + "\n")
    with FlopCounterMode(display=False) as counter:
        step(6)
    a = torch.randn(2048, 2048, dtype=torch.bfloat16)
    began = time.process_time()
    for _ in range(5):
        a @ a
    rate = 5 * 2 * 2048**3 / (time.process_time() - began)
    flops = counter.get_total_flops()
    row = {
        "step_cpu_seconds": round(spent, 4),
        "flops": flops,
        "matrix_product_flops_per_second": round(rate),
        "floor_cpu_seconds": round(flops / rate, 4),
    }
    print(json.dumps(row))  # noqa: T201


if __name__ == "__main__":
    main()
