"""Packed batches against padding and against buckets: pictures a second of the patch autoencoder.

    OMP_NUM_THREADS=1 python benchmarks/packed.py PHOTOGRAPHS \\
        > benchmarks/results/DATE-packed.jsonl

Photographs are resized to about 64k texels at their own aspect ratio, and drawn at random into
batches of 16 (8 for training steps).

- packed: `PackedPatchAutoencoder` of the pictures as they are, packing included.
- padded: one tensor as high and wide as the highest and widest picture, with zeros around; the
  loss leaves them out.
- bucketed: each picture is resized to cover the bucket of the nearest aspect ratio (sides are
  multiples of 32 texels, about 64k texels) and cropped at the centre; a batch is of one bucket,
  whose share of the batches is its share of the pictures.

Weights are patch-f8c16's; a training step is forwards and backwards of encoder and decoder with
the squared error, without the optimiser, which costs all the same. Processor time of one thread.
Every contender runs once on each batch, in turns, so that a busy machine slows all of them.
`texels_used` is the share of the computed texels that are a picture's, `texels_lost` the share of
the pictures' texels that cropping drops. `difference` is the largest between a packed latent, or
picture, and that of the picture by itself, in float32.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

import smalti
from smalti.eval.log import conditions
from smalti.files import PICTURE_SUFFIXES
from smalti.models.packed import PackedPatchAutoencoder, pack_patches
from smalti.models.patch.model import PatchAutoencoder
from smalti.models.pictures import to_tensor
from smalti.train.precision import keep_freed_memory

TEXELS = 256 * 256
STEP = 32  # texels, of a bucket's sides
WIDEST = 3.0  # aspect ratio of a bucket
ENCODED, TRAINED = 16, 8  # pictures a batch

Batch = list[Tensor]  # of pictures C H W in [-1, 1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--batches", type=int, default=4, help="for encoding")
    parser.add_argument("--steps", type=int, default=2, help="of training")
    arguments = parser.parse_args()
    keep_freed_memory()  # as in training, or else who runs first pays for its pages
    draw = Drawing(arguments.photographs)
    say(conditions("cpu") | {"pictures": len(draw.paths), "set": arguments.photographs.name})
    model = smalti.load_model("patch-f8c16").to(memory_format=torch.channels_last)
    say(equality(model, draw.batch(ENCODED)))
    for dtype in (torch.float32, torch.bfloat16):
        batches = [(draw.batch(ENCODED), draw.bucket(ENCODED)) for _ in range(arguments.batches)]
        compare(encoders(model), batches, "encode", dtype)
    batches = [(draw.batch(TRAINED), draw.bucket(TRAINED)) for _ in range(arguments.steps)]
    compare(steps(model), batches, "training step", torch.bfloat16)


class Drawing:
    """Random pictures of a folder."""

    def __init__(self, folder: Path) -> None:
        self.paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES)
        self.random = np.random.default_rng(0)

    def batch(self, count: int) -> Batch:
        """About 64k texels each, at their own aspect ratio."""
        pictures = [self._picture() for _ in range(count)]
        return [resized(x, (TEXELS / (x.shape[1] * x.shape[2])) ** 0.5) for x in pictures]

    def bucket(self, count: int) -> tuple[Batch, float]:
        """Crops of one bucket, and the share of the texels that were cropped away."""
        size, crops, lost = None, [], []
        while len(crops) < count:
            x = self._picture()
            height, width = nearest(x.shape[1] / x.shape[2])
            size = size or (height, width)
            if size != (height, width):
                continue
            wide = resized(x, max(height / x.shape[1], width / x.shape[2]))
            top, left = (wide.shape[1] - height) // 2, (wide.shape[2] - width) // 2
            crops.append(wide[:, top : top + height, left : left + width])
            lost.append(1 - height * width / (wide.shape[1] * wide.shape[2]))
        return crops, float(np.mean(lost))

    def _picture(self) -> Tensor:
        return to_tensor(self.paths[self.random.integers(len(self.paths))])[0, :3]


def resized(x: Tensor, scale: float) -> Tensor:
    size = [max(1, round(side * scale)) for side in x.shape[1:]]
    return F.interpolate(x[None], size=size, mode="bilinear", antialias=True)[0]


def nearest(ratio: float) -> tuple[int, int]:
    """The bucket (height, width) of the nearest ratio of the two."""
    sides = range(STEP, TEXELS // STEP, STEP)
    buckets = [(side, round(TEXELS / side / STEP) * STEP) for side in sides]
    buckets = [(h, w) for h, w in buckets if w and max(h, w) <= WIDEST * min(h, w)]
    return min(buckets, key=lambda size: abs(np.log(size[0] / size[1] / ratio)))


def encoders(model: PatchAutoencoder) -> dict[str, Callable[[Batch], Any]]:
    packed = PackedPatchAutoencoder(model)
    return {
        "packed": packed.encode,
        "padded": lambda pictures: model.encode(padded(pictures)[0]),
        "bucketed": lambda pictures: model.encode(torch.stack(pictures)),
    }


def steps(model: PatchAutoencoder) -> dict[str, Callable[[Batch], Any]]:
    packed = PackedPatchAutoencoder(model)

    def packed_step(pictures: Batch) -> None:
        x = pack_patches(pictures, model.factor)
        x_hat = packed.decode_patches(packed.encode(x)).values
        (x_hat.float() - x.values).square().mean().backward()

    def padded_step(pictures: Batch) -> None:
        x, mask = padded(pictures)
        error = (model(x).float() - x).square() * mask
        (error.sum() / (mask.sum() * x.shape[1])).backward()

    def bucketed_step(pictures: Batch) -> None:
        x = torch.stack(pictures)
        (model(x).float() - x).square().mean().backward()

    return {"packed": packed_step, "padded": padded_step, "bucketed": bucketed_step}


def padded(pictures: Batch) -> tuple[Tensor, Tensor]:
    """One batch with zeros around the pictures, and where they are."""
    size = [max(x.shape[side] for x in pictures) for side in (1, 2)]
    batch = torch.zeros(len(pictures), 3, *size)
    mask = torch.zeros(len(pictures), 1, *size)
    for i, x in enumerate(pictures):
        batch[i, :, : x.shape[1], : x.shape[2]] = x
        mask[i, :, : x.shape[1], : x.shape[2]] = 1
    return batch, mask


def compare(
    contenders: dict[str, Callable[[Batch], Any]],
    batches: list[tuple[Batch, tuple[Batch, float]]],
    task: str,
    dtype: torch.dtype,
) -> None:
    """One line a contender: pictures a second, and what its way of batching costs."""
    seconds, used, texels = (dict.fromkeys(contenders, 0.0) for _ in range(3))
    lost = float(np.mean([share for _, (_, share) in batches]))
    short = {"enabled": dtype != torch.float32, "dtype": torch.bfloat16}
    for turn, (pictures, (crops, _)) in enumerate([batches[0], *batches]):
        if turn == 1:  # the one before warms up
            seconds, used, texels = (dict.fromkeys(contenders, 0.0) for _ in range(3))
        for name, run in contenders.items():
            batch = crops if name == "bucketed" else pictures
            started = time.process_time()
            with torch.autocast("cpu", **short), torch.set_grad_enabled(task != "encode"):
                run(batch)
            seconds[name] += time.process_time() - started
            used[name] += share_used(name, batch) / len(batches)
            texels[name] += sum(x.shape[1] * x.shape[2] for x in batch)
    count = sum(len(pictures) for pictures, _ in batches)
    for name in contenders:
        line = {"task": task, "dtype": str(dtype).removeprefix("torch."), "batching": name}
        line["pictures_a_second"] = round(count / seconds[name], 2)
        line["times_padded"] = round(seconds["padded"] / seconds[name], 3)
        line["megatexels_a_second"] = round(texels[name] / seconds[name] / 1e6, 4)
        line["texels_used"] = round(used[name], 3)
        say(line | ({"texels_lost": round(lost, 3)} if name == "bucketed" else {}))


def share_used(name: str, pictures: Batch) -> float:
    texels = sum(x.shape[1] * x.shape[2] for x in pictures)
    if name == "packed":
        return texels / (64 * len(pack_patches(pictures, 8).values))
    return texels / padded(pictures)[1].numel()


@torch.no_grad()
def equality(model: PatchAutoencoder, pictures: Batch) -> dict[str, Any]:
    packed = PackedPatchAutoencoder(model)
    z = packed.encode(pictures)
    x_hats = packed.decode(z)
    worst = {"latent": 0.0, "picture": 0.0}
    for x, got, x_hat in zip(pictures, z.unpack(), x_hats, strict=True):
        alone = model.encode(x[None])
        worst["latent"] = max(worst["latent"], (got - alone[0]).abs().max().item())
        error = (x_hat - model.decode(alone)[0]).abs().max().item()
        worst["picture"] = max(worst["picture"], error)
    sizes = sorted({tuple(x.shape[1:]) for x in pictures})
    return {"difference": worst, "pictures": len(pictures), "sizes": len(sizes)}


def say(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
