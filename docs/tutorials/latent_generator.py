"""Teach a small transformer to draw pictures of a label, of any shape, in minutes of one CPU core.

    python docs/tutorials/latent_generator.py --out runs/generator
    python docs/tutorials/latent_generator.py --out runs/mine --data MY  # MY/LABEL/picture.jpg

latent_generator.md beside it is the text to it, section by section; latent_transformer.py is the
model, scenes.py the pictures. Ctrl-C stops it; the same command goes on.
"""

import argparse
import json
import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from latent_transformer import CHANNELS, Generator
from scenes import Folders, Scenes
from torch import Tensor, nn

import smalti
from smalti.interrupts import StopSignals
from smalti.models.packed import Packed, PackedPatchAutoencoder
from smalti.models.pictures import to_picture
from smalti.train import checkpoints
from smalti.train.optimizers import TorchOptimizers, hidden_weights
from smalti.train.precision import Precision, keep_freed_memory
from smalti.train.recipes.recipe import Optimization

PATCH = 8  # texels along each side of a cell of the latents
PRECISION = Precision("auto", torch.device("cpu"))  # bfloat16 products where the CPU has them


@dataclass(frozen=True)
class Settings:
    width: int = 192
    depth: int = 6
    batch: int = 16  # pictures
    cells: int = 72  # of a picture, about
    steps: int = 3000
    shapes: tuple[tuple[int, int], ...] = ((9, 9), (7, 13), (13, 7), (6, 18))  # drawn at the end
    drawing: int = 25  # steps from noise to picture


REDUCED = Settings(64, 2, batch=8, cells=20, steps=150, shapes=((4, 4), (3, 6), (6, 3)), drawing=6)

# --- 1. Latents of pictures of any shape -----------------------------------------------------


class Latents:
    """Batches for training: pictures through the autoencoder, at every step or once beforehand."""

    def __init__(self, source: Scenes | Folders, settings: Settings, cached: int = 0) -> None:
        self.source, self.settings = source, settings
        self.autoencoder = PackedPatchAutoencoder(smalti.load_model("patch-f8c16"))
        self.seconds = {"draw": 0.0, "encode": 0.0}
        self.stored: list[tuple[Tensor, int]] = []
        for start in range(0, cached, 64):
            z, labels = self.fresh(min(64, cached - start), (1, start))
            self.stored += zip(z.unpack(), labels.tolist(), strict=True)

    def batch(self, step: int) -> tuple[Packed, Tensor]:
        if not self.stored:
            return self.fresh(self.settings.batch, (0, step))
        chosen = np.random.default_rng((0, step)).choice(len(self.stored), self.settings.batch)
        grids, labels = zip(*(self.stored[i] for i in chosen), strict=True)
        return Packed.of(grids), torch.tensor(labels)

    @torch.no_grad()
    def fresh(self, count: int, seed: tuple[int, int]) -> tuple[Packed, Tensor]:
        """Latents of `count` pictures, every one of its own shape between 1:3 and 3:1."""
        started, random = time.process_time(), np.random.default_rng(seed)
        labels = random.integers(len(self.source.labels), size=count)
        pictures = []
        for label in labels.tolist():
            cells = self.settings.cells * random.uniform(0.6, 1.3)
            wide = math.sqrt(3) ** random.uniform(-1, 1)
            size = (PATCH * max(2, round(math.sqrt(cells) * side)) for side in (1 / wide, wide))
            picture = self.source.draw(label, *size, random)
            pictures.append(torch.tensor(picture).permute(2, 0, 1) / 127.5 - 1)
        drawn = time.process_time()
        with PRECISION.autocast():
            z = self.autoencoder.encode(pictures)
        self.seconds["draw"] += drawn - started
        self.seconds["encode"] += time.process_time() - drawn
        return z.to(torch.float32), torch.from_numpy(labels)


# --- 2. Flow matching ------------------------------------------------------------------------


def loss_of(model: Generator, z: Packed, labels: Tensor) -> Tensor:
    """Squared error of the velocity, latents - noise, at logit-normal times (arXiv 2403.03206)."""
    t = torch.randn(len(labels)).sigmoid()
    dropped = (torch.rand(len(labels)) < 0.1).view(-1, *[1] * (labels.ndim - 1))
    labels = torch.where(dropped, model.none(labels), labels)  # for the guidance
    each = t[z.owners()][:, None]
    clean = (z.values - model.mean) / model.std
    noise = torch.randn_like(clean)
    v = model(z.like(each * clean + (1 - each) * noise), t, labels)
    return F.mse_loss(v, clean - noise)


@torch.no_grad()
def sample(
    model: Generator,
    labels: Tensor,
    sizes: tuple[tuple[int, int], ...],
    *,
    steps: int = 25,
    guidance: float = 2.5,
    seed: int = 0,
) -> Packed:
    """Latents of one picture for each label and size (rows, columns of cells), in one batch.

    Heun's method; classifier-free guidance, with and without label in the same batch.
    """
    random = torch.Generator().manual_seed(seed)
    z = torch.randn(sum(rows * columns for rows, columns in sizes), CHANNELS, generator=random)
    both = torch.cat([labels, model.none(labels)])

    def velocity(z: Tensor, t: float) -> Tensor:
        packed = Packed(torch.cat([z, z]), sizes + sizes)
        told, untold = model(packed, torch.full((len(both),), t), both).chunk(2)
        return untold + guidance * (told - untold)

    with PRECISION.autocast():
        for i in range(steps):
            v = velocity(z, i / steps)
            z = z + (v + velocity(z + v / steps, (i + 1) / steps)) / (2 * steps)
    return Packed(z * model.std + model.mean, sizes)


# --- 3. Training -----------------------------------------------------------------------------


def train(
    model: Generator, averaged: Generator, latents: Latents, options: argparse.Namespace
) -> None:
    """Trains `model` to the end, or from its last checkpoint on; `averaged` follows it."""
    steps = options.steps or latents.settings.steps
    kind = {"model": model.config, "labels": list(latents.source.labels)}
    optimizer = TorchOptimizers(
        model, hidden_weights(model.blocks), Optimization(lr=2e-3, lr_muon=0.02)
    )
    step, minutes = 0, 0.0
    if state := checkpoints.newest(options.out, torch.device("cpu")):
        if state["kind"] != kind:
            raise SystemExit(f"{options.out} holds a run of other settings; choose another --out")
        for part, name in ((model, "model"), (averaged, "averaged"), (optimizer, "optimizer")):
            part.load_state_dict(state[name])
        step, minutes = state["step"], state["minutes"]
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as cause:
        raise SystemExit(f"--out {options.out}: {cause.strerror}") from None
    latents.seconds = dict.fromkeys(latents.seconds, 0.0)
    before, began, losses = minutes, time.process_time(), []
    with (options.out / "log.jsonl").open("a") as log, StopSignals() as stop:
        while (done := max(step / steps, minutes / options.budget)) < 1 and not stop.arrived:
            z, labels = latents.batch(step)
            torch.manual_seed(step)  # so that a stopped and continued run equals an unbroken one
            with PRECISION.autocast():
                loss = loss_of(model, z, labels)
            model.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step(min(1.0, 0.02 + 30 * done) * (1 + math.cos(math.pi * done)) / 2)
            step += 1
            follow(averaged, model, share=max(0.005, 10 / (step + 10)))
            losses.append(loss.item())
            spent = (time.process_time() - began) / 60
            minutes = before + spent
            if step % 50 == 0:
                shares = {k: round(v / 60 / spent, 3) for k, v in latents.seconds.items()}
                row = {
                    "step": step,
                    "minutes": round(minutes, 2),
                    "loss": round(sum(losses) / len(losses), 4),
                }
                log.write(json.dumps(row | shares) + "\n")
                say(f"step {step}, {minutes:.1f} min, loss {row['loss']}, shares {shares}")
                losses = []
    parts = {"model": model, "averaged": averaged, "optimizer": optimizer}
    state = {name: part.state_dict() for name, part in parts.items()}
    checkpoints.store(options.out, step, state | {"step": step, "minutes": minutes, "kind": kind})
    if stop.arrived:
        raise SystemExit(f"stopped after step {step}; the same command goes on")


@torch.no_grad()
def follow(averaged: nn.Module, model: nn.Module, share: float) -> None:
    for mean_of, now in zip(averaged.parameters(), model.parameters(), strict=True):
        mean_of.lerp_(now, share)


# --- 4. Pictures -----------------------------------------------------------------------------


@torch.no_grad()
def draw(model: Generator, latents: Latents, out: Path) -> None:
    """A picture for each label and shape, and a sheet of them all: a row for each label."""
    shapes, gap = latents.settings.shapes, 6
    height = PATCH * max(rows for rows, _ in shapes) + gap
    width = sum(PATCH * columns + gap for _, columns in shapes)
    sheet = np.ones((height * len(latents.source.labels), width, 3), np.float32)
    for number, name in enumerate(latents.source.labels):
        asked = torch.full((len(shapes),), number)
        z = sample(model, asked, shapes, steps=latents.settings.drawing, seed=number)
        with PRECISION.autocast():
            pictures = latents.autoencoder.decode(z)
        left = 0
        for x in pictures:
            picture = to_picture(x)
            rows, columns = picture.shape[:2]
            smalti.save(picture, out / f"{name}-{columns}x{rows}.png")
            sheet[number * height :, left:][:rows, :columns] = picture
            left += columns + gap
    smalti.save(sheet, out / "sheet.png")
    say(f"pictures in {out}")


def restored(out: Path) -> Generator:
    """The averaged model of a run's last checkpoint."""
    state = checkpoints.newest(out, torch.device("cpu"))
    if state is None:
        raise SystemExit(f"no checkpoint in {out}")
    model = Generator(**state["kind"]["model"])
    model.load_state_dict(state["averaged"])
    return model.requires_grad_(False)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("runs/generator"))
    parser.add_argument("--data", type=Path, help="DATA/LABEL/picture.jpg; else painted scenes")
    parser.add_argument("--steps", type=positive, help=f"at most; otherwise {Settings.steps}")
    parser.add_argument("--budget", type=positive, default=15, help="minutes of CPU time, at most")
    parser.add_argument("--cached", type=int, default=0, help="encode so many pictures only once")
    parser.add_argument("--reduced", action="store_true", help="half a minute, to see that it runs")
    options = parser.parse_args(arguments)
    torch.manual_seed(0)
    keep_freed_memory()
    settings = REDUCED if options.reduced else Settings()
    source = Folders(options.data) if options.data else Scenes()
    latents = Latents(source, settings, options.cached)
    model, averaged = (
        Generator(len(source.labels), settings.width, settings.depth) for _ in range(2)
    )
    values = latents.fresh(256, (2, 0))[0].values
    model.mean = values.mean(0)  # one deviation for all channels: the large ones matter most
    model.std = (values - model.mean).square().mean().sqrt()
    averaged.load_state_dict(model.state_dict())
    train(model, averaged, latents, options)
    draw(averaged, latents, options.out)


def positive(text: str) -> float:
    if not 0 < float(text) < math.inf:
        raise argparse.ArgumentTypeError(f"{text}; it must be above 0")
    return float(text)


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
