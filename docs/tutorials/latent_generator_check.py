"""What share of the generator's pictures shows what was asked for, shape by shape.

    python docs/tutorials/latent_generator_check.py runs/generator > check.jsonl

A small classifier learns the labels from painted scenes (half a minute), sees scenes that it was not
trained on, plain and after the autoencoder, and then the generator's pictures. Chance is 1 in 8.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import latent_generator as tutorial
import numpy as np
import scenes
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import smalti
from smalti.eval.log import conditions
from smalti.models.packed import PackedPatchAutoencoder
from smalti.train.precision import keep_freed_memory

SHAPES = {  # cells; the last two are wider and larger than any in training
    "1:1": (9, 9),
    "13:7": (7, 13),
    "7:13": (13, 7),
    "3:1": (6, 18),
    "5:1": (4, 20),
    "1:1 large": (15, 15),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path, help="the generator's --out")
    parser.add_argument("--each", type=int, default=8, help="pictures of a label and shape")
    parser.add_argument("--guidance", type=float, nargs="+", default=[2.5])
    args = parser.parse_args()
    keep_freed_memory()
    generator = tutorial.restored(args.run)
    autoencoder = PackedPatchAutoencoder(smalti.load_model("patch-f8c16"))
    torch.manual_seed(0)
    judge = trained(steps=300, batch=32)
    labels = torch.arange(len(scenes.THINGS)).repeat(args.each)
    say(conditions("cpu") | {"pictures": len(labels)})
    for name, (rows, columns) in SHAPES.items():
        real = painted(labels, 8 * rows, 8 * columns, seed=1)
        with torch.no_grad(), tutorial.PRECISION.autocast():
            decoded = torch.stack(autoencoder.decode(autoencoder.encode(list(real))))
        row = {"shape": name, "texels": f"{8 * columns}x{8 * rows}"}
        row |= {"painted": share(judge, real, labels), "decoded": share(judge, decoded, labels)}
        for guidance in args.guidance:
            started = time.process_time()
            made = generated(generator, autoencoder, labels, (rows, columns), guidance)
            row[f"guidance {guidance:g}"] = share(judge, made, labels)
            row["cpu_seconds_a_picture"] = round((time.process_time() - started) / len(labels), 2)
        say(row)


def trained(steps: int, batch: int) -> nn.Module:
    """A classifier of scenes of any size: four convolutions and the largest values."""
    layers: list[nn.Module] = []
    for channels, wider in ((3, 32), (32, 64), (64, 128), (128, 128)):
        layers += [nn.Conv2d(channels, wider, 3, 2, 1), nn.BatchNorm2d(wider), nn.ReLU()]
    judge = nn.Sequential(*layers, Largest(), nn.Linear(128, len(scenes.THINGS)))
    optimizer = torch.optim.AdamW(judge.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    random = np.random.default_rng(0)
    for step in range(steps):
        labels = torch.from_numpy(random.integers(len(scenes.THINGS), size=batch))
        rows, columns = (8 * random.integers(5, 19, 2)).tolist()
        x = painted(labels, rows, columns, seed=2 + step)
        x += 0.05 * random.random() * torch.randn_like(x)
        with tutorial.PRECISION.autocast():
            loss = F.cross_entropy(judge(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return judge.eval()


class Largest(nn.Module):
    """The largest value of each channel: whether the thing is anywhere."""

    def forward(self, x: Tensor) -> Tensor:
        return x.amax((2, 3))


@torch.no_grad()
def generated(
    generator: nn.Module,
    autoencoder: PackedPatchAutoencoder,
    labels: Tensor,
    size: tuple[int, int],
    guidance: float,
) -> Tensor:
    """Pictures `B 3 H W` in [-1, 1], eight at a time so that they stay in the cache."""
    pictures: list[Tensor] = []
    for number, some in enumerate(labels.split(8)):
        z = tutorial.sample(
            generator, some, (size,) * len(some), guidance=guidance, seed=1000 + number
        )
        pictures += autoencoder.decode(z)
    return torch.stack(pictures)


def painted(labels: Tensor, height: int, width: int, seed: int) -> Tensor:
    """Scenes `B 3 H W` in [-1, 1] that the generator is not trained on."""
    random = np.random.default_rng((9, seed))
    scene = [scenes.scene(label, height, width, random) for label in labels.tolist()]
    return torch.from_numpy(np.stack(scene)).permute(0, 3, 1, 2) / 127.5 - 1


@torch.no_grad()
def share(judge: nn.Module, pictures: Tensor, labels: Tensor) -> float:
    """Of the pictures that the judge takes for what their labels say."""
    return round((judge(pictures.float()).argmax(1) == labels).double().mean().item(), 3)


def say(row: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(row) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
