"""A step of the fitted textures against plain torch code of the published scripts, and drawing.

    OMP_NUM_THREADS=1 SMALTI_NUM_THREADS=1 python benchmarks/texture_speed.py [--rounds 5]
        > benchmarks/results/DATE-texture-speed.jsonl

A step is 65,536 random texels of a 512 x 512 picture: draw, forward, backward, Adam. The plain code
is `TextureModel.forward` with torch's gradients and Adam; for the latent texture also with
`grid_sample`, which is how its script reads the grids. Every contender runs once a round, one after
the other, so that a busy machine slows all alike; figures are the medians of processor time over
the rounds, and the ratio is the median of the rounds' ratios. `drawn` is in million texels a second.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F

from smalti.eval.log import conditions
from smalti.fit import PUBLISHED_HASH, PUBLISHED_LATENT, Recipe, fit_texture
from smalti.models.hash_texture import PRESETS, HashTextureConfig, HashTextureModel
from smalti.models.latent_texture import LatentTextureConfig, LatentTextureModel
from smalti.models.texture import TextureModel

SIDE = 512  # texels
TEXELS = 65536  # a step
MODELS = {
    **{f"hash-{name}": (HashTextureModel, HashTextureConfig(**fields), PUBLISHED_HASH)
       for name, fields in PRESETS.items()},
    "latent-single": (
        LatentTextureModel, LatentTextureConfig(lo_channels=32, hi_channels=0), PUBLISHED_LATENT
    ),
    "latent-two": (LatentTextureModel, LatentTextureConfig(), PUBLISHED_LATENT),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--models", nargs="*", default=list(MODELS))
    asked = parser.parse_args()
    image = torch.rand(3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    sys.stdout.write(json.dumps(conditions("cpu") | {"rounds": asked.rounds}) + "\n")
    for name in asked.models:
        cls, config, recipe = MODELS[name]
        runs = contenders(cls, config, recipe, image)
        for run in runs.values():
            run()  # compiles, and warms the caches
        seconds: dict[str, list[float]] = {key: [] for key in runs}
        for _ in range(asked.rounds):
            for key, run in runs.items():
                started = time.process_time()
                run()
                seconds[key].append(time.process_time() - started)
        ms = {key: round(1e3 * statistics.median(values), 1) for key, values in seconds.items()}
        line = {"model": name, "ms": ms}
        for plain, ours in (("torch", "tiles"), ("grid_sample", "tiles"), ("torch draw", "draw")):
            if plain in seconds:
                pairs = zip(seconds[plain], seconds[ours], strict=True)
                ratios = [theirs / own for theirs, own in pairs]
                line[f"{plain} / {ours}"] = round(statistics.median(ratios), 2)
        line["drawn"] = round(SIDE * SIDE / 1e3 / ms["draw"], 2)
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


def contenders(
    cls: type[TextureModel], config: object, recipe: Recipe, image: torch.Tensor
) -> dict[str, Callable[[], object]]:
    """What is timed, by name."""
    runs = {"tiles": tile_step(cls(config), recipe, image), "torch": plain_step(cls(config), image)}
    if cls is LatentTextureModel:
        runs["grid_sample"] = plain_step(cls(config), image, features=by_grid_sample)
    everywhere = torch.arange(SIDE)
    drawn = cls(config)
    runs["draw"] = lambda: drawn.render(everywhere, everywhere)
    texels = torch.cartesian_prod(everywhere, everywhere).split(TEXELS)

    @torch.no_grad()
    def plainly() -> None:
        for part in texels:
            drawn(*part.unbind(1))

    runs["torch draw"] = plainly
    return runs


def tile_step(model: TextureModel, recipe: Recipe, image: torch.Tensor) -> Callable[[], None]:
    """A fit of one step, with all that a fit sets up."""
    random = torch.Generator().manual_seed(0)

    def step() -> None:
        fit_texture(model, image, recipe, steps=1, levels=None, generator=random)

    return step


def by_grid_sample(model: LatentTextureModel) -> Callable:
    """Features as the published script reads them, from grids `1 C h w`."""
    grids = [
        table.detach().view(level.rows, level.columns, -1).permute(2, 0, 1)[None].contiguous()
        for level, table in zip(model.levels, model.tables, strict=True)
    ]
    for grid in grids:
        grid.requires_grad_()

    def features(rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        where = (torch.stack([columns, rows], -1) * 2 / (SIDE - 1) - 1)[None, None]
        read = [
            F.grid_sample(grid, where, align_corners=True, padding_mode="border") for grid in grids
        ]
        return torch.cat([part[0, :, 0].T for part in read], 1)

    features.parameters = [*grids, *model.network()]
    return features


def plain_step(
    model: TextureModel, image: torch.Tensor, features: Callable | None = None
) -> Callable[[], None]:
    """One step with torch's own gradients and Adam."""
    read = features(model) if features else None
    parameters = read.parameters if read else list(model.parameters())
    adam = torch.optim.Adam(parameters, lr=3e-3, eps=1e-15)
    target = image.permute(1, 2, 0).reshape(-1, 3).contiguous()
    random = torch.Generator().manual_seed(0)

    def step() -> None:
        texels = torch.randint(0, SIDE * SIDE, (TEXELS,), generator=random)
        rows, columns = texels // SIDE, texels % SIDE
        if read:
            x = read(rows, columns)
            for layer in model.layers:
                x = torch.sin(30 * layer(x))
            texels_hat = torch.sigmoid(model.head(x))
        else:
            texels_hat = model(rows, columns)
        loss = F.mse_loss(texels_hat, target[texels])
        adam.zero_grad()
        loss.backward()
        adam.step()

    return step


if __name__ == "__main__":
    main()
