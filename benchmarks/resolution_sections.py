"""The sections of `resolution.py`, whose docstring says what each measures."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import judge as judges
import resolution_measures as measures
import torch
from resolution_study import (
    ASPECTS,
    FEW,
    FITS,
    GRID,
    GRIDS,
    MOST_CALLS,
    OWN,
    SAMPLERS,
    SEED,
    STEPS,
    TEXELS,
    TEXELS_DRAWN,
    Row,
    Size,
    Study,
    as_input,
    decoded,
    encoded,
    named,
    resized,
    shapes,
    squares,
)
from torch import Tensor, nn


def reconstruction(study: Study) -> Iterator[Row]:
    every = len(study.test.labels)
    for name, model in study.resamplers.items():
        for grid in GRIDS:
            count = every if grid == GRID else min(every, study.samples // 4)
            x = study.pictures(OWN, count)
            z = encoded(model, x, grid)
            x_hat = decoded(model, z, OWN)
            row = {"model": name, "latent": named(grid), "numbers": z[0].numel(), "pictures": count}
            row["mse"] = round(float((x_hat.double() - x.double()).square().mean()), 6)
            truth = study.truth(OWN, "stretch", count)
            row["psnr"] = measures.mean(measures.psnrs(truth, x_hat))
            if grid == GRID:
                row["pca_mse"] = round(pca_mse(study, z[0].numel()), 6)
                row["deviation"] = round(float(z.std()), 4)
            yield row


def pca_mse(study: Study, numbers: int) -> float:
    """MSE of test pictures through the best linear code of so many numbers, unquantised."""
    pictures = (judges.resized(d.pictures, *OWN)[..., None] for d in (study.train, study.test))
    train, test = (as_input(p).flatten(1).double() for p in pictures)
    mean = train.mean(0)
    _, vectors = torch.linalg.eigh((train - mean).T @ (train - mean))
    basis = vectors[:, -numbers:] if numbers < vectors.shape[1] else vectors
    rest = (test - mean) - (test - mean) @ basis @ basis.T
    return float(rest.square().mean())


def truth(study: Study) -> Iterator[Row]:
    for name, model in study.resamplers.items():
        for size, fit in shapes(1024):
            count = max(2, min(study.samples // 2, TEXELS // (size[0] * size[1])))
            x, real = study.pictures(OWN, count), study.truth(size, fit, count)
            z = encoded(model, x, GRID)
            how = {} if fit == "stretch" else {"fit": fit}
            row = {"model": name, "size": named(size), "fit": fit, "pictures": count}
            own = decoded(model, z, OWN)
            for key, x_hat in (
                ("psnr", decoded(model, z, size, **how)),
                ("resized", resized(own, size, fit)),
                ("unshuffle", resized(x, size, fit)),
            ):
                row[key] = measures.mean(measures.psnrs(real, x_hat))
            yield row


def encoded_from(study: Study) -> Iterator[Row]:
    count = min(study.samples, 100)
    x, real = study.pictures(OWN, count), study.truth(OWN, "stretch", count)
    for name, model in study.resamplers.items():
        own = decoded(model, encoded(model, x, GRID), OWN)
        for size in (*squares(128), *ASPECTS):
            small = study.pictures(size, count)
            first = measures.resize(small, OWN)
            row = {"model": name, "size": named(size), "pictures": count}
            for key, given in (("psnr", small), ("resized_first", first)):
                x_hat = decoded(model, encoded(model, given, GRID), OWN)
                row[key] = measures.mean(measures.psnrs(real, x_hat))
            row["own"] = measures.mean(measures.psnrs(real, own))
            row["unshuffle"] = measures.mean(measures.psnrs(real, first))
            yield row


def consistency(study: Study) -> Iterator[Row]:
    x = study.pictures(OWN, FEW)
    for name, model in study.resamplers.items():
        z = encoded(model, x, GRID)

        def draw(size: Size, model: nn.Module = model, z: Tensor = z) -> Tensor:
            return model.decode(z, size, footprint=1 / OWN[0])

        exact = draw(OWN)
        if measures.decibels(exact, x) < LEAST:
            raise SystemExit(f"{name} does not draw what it was given; nothing to compare")
        row: Row = {"model": name, "pictures": FEW}
        row |= {
            f"float32_{side}_in_{side * n}": measures.nested(draw, side, n) for side, n in NESTED
        }
        row["float32"] = min(row[f"float32_{side}_in_{side * n}"] for side, n in NESTED)
        with torch.autocast("cpu", torch.bfloat16):
            row["bfloat16"] = min(measures.nested(draw, side, n) for side, n in NESTED[:2])
            row["bfloat16_to_float32"] = measures.decibels(draw(OWN), exact)
        yield {k: round(v, 2) if isinstance(v, float) else v for k, v in row.items()}


NESTED = ((32, 3), (20, 5), (14, 9))  # a side, and how often finer; the first is exact in binary
LEAST = 10.0  # dB: a constant picture would be consistent too


def downscale(study: Study) -> Iterator[Row]:
    x = study.pictures(OWN, FEW)
    for name, model in study.resamplers.items():
        z = encoded(model, x, GRID)
        for side in (10, 16, 32, 64):
            small, large = (side, side), (4 * side, 4 * side)
            down = measures.resize(decoded(model, z, large), small)
            real = as_input(study.truth(large, "stretch", len(x)))
            values = measures.psnrs(measures.as_uint8(down), decoded(model, z, small))
            real_values = measures.psnrs(
                study.truth(small, "stretch", len(x)), measures.resize(real, small)
            )
            yield {
                "model": name,
                "size": named(small),
                "pictures": len(x),
                "psnr": measures.mean(values),
                "real": measures.mean(real_values),
            }


def samples(study: Study) -> Iterator[Row]:
    first: Tensor | None = None  # 4 x 4 at 32 x 32
    for grid in GRIDS:
        share = {GRID: 1, (8, 8): 2}.get(grid, 4)
        z, labels = study.sampled(grid, study.samples // share)
        own = decoded(study.resampler, z, OWN)
        first = own if first is None else first
        known: dict[int, Row] = {}  # of so many pictures at 32 x 32
        for size, fit in shapes(256) if grid == GRID else shapes_of_others():
            count = min(len(z), TEXELS_DRAWN // (size[0] * size[1]))
            study.tell(f"samples of {named(grid)} at {named(size)}, {fit}")
            x = decoded(study.resampler, z[:count], size, fit=fit)
            plain, real = resized(own[:count], size, fit), study.truth(size, fit, count)
            row: Row = {"latent": named(grid), "size": named(size), "fit": fit, "pictures": count}
            row["accuracy"] = study.accuracy(x, labels[:count])
            row["resized_accuracy"] = study.accuracy(plain, labels[:count])
            row["real_accuracy"] = judges.accuracy(
                study.judge, real[..., 0], study.test.labels[:count]
            )
            if fit == "stretch":
                row["fid"] = study.fid(x)
                if count not in known:
                    floor = study.fid(study.pictures(OWN, count))
                    known[count] = {"fid_32": study.fid(own[:count]), "floor": floor}
                row |= known[count]
                row["resized_fid"] = study.fid(plain)
                row["real_fid"] = study.fid(as_input(real))
            if size == OWN:
                row["accuracy_4x4"] = study.accuracy(first[:count], labels[:count])
                row["fid_4x4"] = study.fid(first[:count])
            yield row


def shapes_of_others() -> Iterator[tuple[Size, str]]:
    """Sizes at which grids other than 4 x 4 are drawn."""
    yield from ((size, fit) for size, fit in shapes(64) if size[0] in (10, 32, 64))
    yield from ((size, fit) for size in (ASPECTS[0], ASPECTS[-1]) for fit in FITS)


def steps(study: Study) -> Iterator[Row]:
    count = study.samples // 5
    floor = study.fid(study.pictures(OWN, count))
    for sampler, calls in SAMPLERS.items():
        for number in STEPS:
            if number * calls > MOST_CALLS:
                continue
            z, labels = study.sampled(GRID, count, sampler=sampler, steps=number)
            x = decoded(study.resampler, z, OWN)
            seconds = study.seconds(GRID, count, sampler=sampler, steps=number)
            yield {
                "sampler": sampler,
                "steps": number,
                "calls": number * calls,
                "pictures": count,
                "accuracy": study.accuracy(x, labels),
                "fid": study.fid(x),
                "floor": floor,
                "seconds": round(seconds, 1),
            }


def loss(study: Study) -> Iterator[Row]:
    count = min(study.samples, 256)
    x, labels = study.pictures(OWN, count), torch.from_numpy(study.test.labels[:count])
    for grid in GRIDS:
        z = encoded(study.resampler, x, grid)
        found = [study.loss(study.diffuser, z, labels, float(t), seed=SEED) for t in TIMES]
        row: Row = {"latent": named(grid), "pictures": count, "t": [*TIMES]}
        yield row | {"loss": [round(value, 4) for value in found]}


TIMES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)


def drift(study: Study) -> Iterator[Row]:
    """Of drawn digits, the same resized, and real ones, against each one's own 48 x 48."""
    count, square = min(study.samples, 500), (48, 48)
    real = {square: study.pictures(square, count)}
    z, _ = study.sampled(GRID, study.samples)
    model, z = study.resampler, z[:count]
    own, upright = decoded(model, z, OWN), decoded(model, z, square)
    before = [measures.inertia_ratios(x) for x in (upright, resized(own, square, "stretch"))]
    before.append(measures.inertia_ratios(real[square]))
    for size in ASPECTS:
        for fit in FITS:
            stretched = size[1] / size[0] if fit == "stretch" else 1.0
            after = (
                decoded(model, z, size, fit=fit),
                resized(own, size, fit),
                as_input(study.truth(size, fit, count)),
            )
            row: Row = {"size": named(size), "fit": fit, "pictures": count}
            for key, drawn, ratios in zip(("drawn", "resized", "real"), after, before, strict=True):
                found = measures.drift(measures.inertia_ratios(drawn), ratios, stretched)
                row |= {
                    f"{key}_mean": round(found["mean"], 4),
                    f"{key}_median": round(found["median"], 4),
                }
            yield row


def cost(study: Study) -> Iterator[Row]:
    for name in study.resamplers:
        command = [
            sys.executable,
            str(Path(__file__).with_name("resolution_cost.py")),
            name,
            "2048",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"the decode at 2048 x 2048 failed: {done.stderr.strip()[-500:]}")
        yield {"model": name, **json.loads(done.stdout)}


SECTIONS: dict[str, Callable[[Study], Iterator[Row]]] = {
    "reconstruction": reconstruction,
    "truth": truth,
    "encoded_from": encoded_from,
    "consistency": consistency,
    "downscale": downscale,
    "samples": samples,
    "steps": steps,
    "loss": loss,
    "drift": drift,
    "cost": cost,
}
OF_DIFFUSER = ("samples", "steps", "loss", "drift")
