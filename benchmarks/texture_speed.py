"""Fitted textures, materials and group norm: the native kernels against those of an older release.

    OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 SMALTI_NUM_THREADS=1 python benchmarks/texture_speed.py
        --before FOLDER [--rounds 5] > benchmarks/results/DATE-texture-speed.jsonl

FOLDER is `src` of a checkout of commit c8a53e0, whose kernels are numba's; without it only today's
are timed. Each has a process of its own, and the two take turns task by task, so that a busy machine
slows both alike. `ms` is the median of processor time over the rounds, `ratio` the median of the
rounds' ratios, before / now. Pictures are of 512 x 512 texels; a step is of 65,536 random texels
(published; three steps are timed together, with what a fit sets up) or of 4,096 (fast; twenty); a
round of a material is every texel of every mip level once. `mpix` is million texels a second, drawn or fitted.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np

SIDE = 512  # texels
STEPS = {"published": 3, "fast": 20}  # of a fit that is timed
Tasks = dict[str, tuple[Callable[[], object], float]]  # name: what is timed, texels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tasks", nargs="*", help="only these")
    parser.add_argument("--serve", choices=SIDES, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        serve(SIDES[asked.serve]())
        return
    from smalti.eval.log import conditions

    sys.stdout.write(json.dumps(conditions("cpu") | {"rounds": asked.rounds}) + "\n")
    here = Path(__file__).resolve().parents[1] / "src"
    sides = {"now": process("now", here)}
    if asked.before:
        sides["before"] = process("before", asked.before)
    names = ask(sides["now"], "names")
    for name in asked.tasks or names:
        for side in sides.values():
            ask(side, name)  # compiles, and warms the caches
        seconds: dict[str, list[float]] = {key: [] for key in sides}
        for _ in range(asked.rounds):
            for key, side in sides.items():
                seconds[key].append(ask(side, name)["seconds"])
        texels = ask(sides["now"], name)["texels"]
        medians = {key: statistics.median(found) for key, found in seconds.items()}
        line = {"task": name, "ms": {key: round(1e3 * s, 2) for key, s in medians.items()}}
        line["mpix"] = {key: round(texels / 1e6 / s, 2) for key, s in medians.items()}
        if asked.before:
            pairs = zip(seconds["before"], seconds["now"], strict=True)
            line["ratio"] = round(statistics.median(old / new for old, new in pairs), 2)
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
    for side in sides.values():
        side.stdin.close()
        side.wait()


def process(name: str, source: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, __file__, "--serve", name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(source)},
    )


def ask(side: subprocess.Popen, question: str):
    side.stdin.write(question + "\n")
    side.stdin.flush()
    return json.loads(side.stdout.readline())


def serve(tasks: Tasks) -> None:
    """Answers questions: the names of tasks, or how long one takes now."""
    for line in sys.stdin:
        name = line.strip()
        answer: object = list(tasks)
        if name != "names":
            run, texels = tasks[name]
            started = time.process_time()
            run()
            answer = {"seconds": time.process_time() - started, "texels": texels}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def picture() -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 1, (SIDE, SIDE, 3)).astype(np.float32)


def now() -> Tasks:
    from smalti.codecs.hash_texture import FAST as FAST_HASH
    from smalti.codecs.latent_texture import FAST as FAST_LATENT
    from smalti.fits.tables import fit
    from smalti.fits.tables.hash_texture import PRESETS, HashTextureConfig
    from smalti.fits.tables.latent_texture import LatentTextureConfig
    from smalti.train import norm_kernels

    image, tasks = picture(), {}
    configs = {f"hash-{name}": HashTextureConfig(**fields) for name, fields in PRESETS.items()}
    configs["latent-two"] = LatentTextureConfig()
    for name, config in configs.items():
        hashed = name.startswith("hash")
        recipes = {
            "published": fit.PUBLISHED_HASH if hashed else fit.PUBLISHED_LATENT,
            "fast": FAST_HASH if hashed else FAST_LATENT,
        }
        model = config.noise(np.random.default_rng(0))
        for kind, recipe in recipes.items():
            tasks[f"{name} {kind} step"] = (
                lambda model=model, recipe=recipe, kind=kind: fit.fit_texture(
                    model,
                    image,
                    recipe,
                    steps=STEPS[kind],
                    levels=None,
                    random=np.random.default_rng(0),
                ),
                STEPS[kind] * recipe.texels,
            )
        tasks[f"{name} draw"] = (model.render, SIDE * SIDE)
    tasks |= materials()

    def forward(x, gamma, y, statistics):
        norm_kernels.forward(x, gamma, gamma, 8, 1e-5, y, *statistics, threads=1)

    def backward(x, gamma, y, statistics, of_parameters):
        norm_kernels.backward(x, x, gamma, gamma, *statistics, y, *of_parameters, threads=1)

    return tasks | norms(np.float32, forward, backward)


def before() -> Tasks:
    import torch

    from smalti.codecs.hash_texture import FAST as FAST_HASH
    from smalti.codecs.latent_texture import FAST as FAST_LATENT
    from smalti.fit import PUBLISHED_HASH, PUBLISHED_LATENT, fit_texture
    from smalti.models.hash_texture import PRESETS, HashTextureConfig, HashTextureModel
    from smalti.models.latent_texture import LatentTextureConfig, LatentTextureModel
    from smalti.train import norm_kernels

    image, tasks = torch.from_numpy(picture()).permute(2, 0, 1).contiguous(), {}
    everywhere = torch.arange(SIDE)
    models = {
        f"hash-{name}": HashTextureModel(HashTextureConfig(**fields))
        for name, fields in PRESETS.items()
    }
    models["latent-two"] = LatentTextureModel(LatentTextureConfig())
    for name, model in models.items():
        hashed = name.startswith("hash")
        recipes = {
            "published": PUBLISHED_HASH if hashed else PUBLISHED_LATENT,
            "fast": FAST_HASH if hashed else FAST_LATENT,
        }
        for kind, recipe in recipes.items():
            tasks[f"{name} {kind} step"] = (
                lambda model=model, recipe=recipe, kind=kind: fit_texture(
                    model, image, recipe, steps=STEPS[kind], levels=None,
                    generator=torch.Generator().manual_seed(0),
                ),
                STEPS[kind] * recipe.texels,
            )  # fmt: skip
        tasks[f"{name} draw"] = (
            lambda model=model: model.render(everywhere, everywhere),
            SIDE * SIDE,
        )
    tasks |= materials()

    def forward(x, gamma, y, statistics):
        norm_kernels.forward(x, gamma, gamma, 8, np.float32(1e-5), y, *statistics)

    def backward(x, gamma, y, statistics, of_parameters):
        norm_kernels.backward(x, x, gamma, gamma, *statistics, y, *of_parameters)

    return tasks | norms(np.uint32, forward, backward)


def materials() -> Tasks:
    """Drawing and fitting a material of 3 and of 8 channels, alike in both."""
    room = "smalti.neural" if find_spec("smalti.neural") else "smalti.fits.material"  # before, now
    fit, layouts, textures = (
        import_module(f"{room}.{name}") for name in ("fit", "layout", "texture")
    )

    random, tasks = np.random.default_rng(0), {}
    for channels in (3, 8):
        layout = layouts.Layout(SIDE, SIDE, channels)
        codes = random.integers(0, 16, layout.value_count).astype(np.uint8)
        network = fit.first_network(layout, np.full(channels, 0.5), random).astype(np.float16)
        texture = textures.NeuralTexture(layout, codes, network)
        tasks[f"material of {channels} draw"] = (texture.mip, SIDE * SIDE)
        mips = [
            random.integers(0, 256, (*layout.size(mip), channels), dtype=np.uint8)
            for mip in range(layout.mip_count)
        ]
        run = fit._Run(layout, mips, [1.0] * channels, -1, 0)
        tasks[f"material of {channels} round"] = (
            lambda run=run: run.round(0.1, 0.11),
            layout.texel_count,
        )
    return tasks


def norms(kind: type, forward: Callable, backward: Callable) -> Tasks:
    """Group norm of 4 samples of 64 x 64 texels, 64 channels, float32 and bfloat16."""
    random, tasks = np.random.default_rng(0), {}
    whole = random.normal(0, 1, (4, 64 * 64, 64)).astype(np.float32)
    gamma = random.normal(1, 0.1, 64).astype(np.float32)
    halves = (whole.view(np.uint32) >> 16).astype(np.uint16)
    for name, x in (("float32", whole.view(kind)), ("bfloat16", halves)):
        y, statistics = np.empty_like(x), np.ones((2, 4, 8), np.float32)
        of_parameters = np.empty((2, 4, 64), np.float32)
        given = (x, gamma, y, statistics)
        tasks[f"norm {name} forward"] = (lambda given=given: forward(*given), 4 * 64 * 64)
        tasks[f"norm {name} backward"] = (
            lambda given=given, out=of_parameters: backward(*given, out),
            4 * 64 * 64,
        )
    return tasks


SIDES: dict[str, Callable[[], Tasks]] = {"now": now, "before": before}


if __name__ == "__main__":
    main()
