"""What `resolution.py` measures: models, test pictures, drawn latents, and a judge of them."""

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import judge as judges
import numpy as np
import resolution_measures as measures
import torch
from torch import Tensor, nn

Size = tuple[int, int]  # height, width
Row = dict[str, Any]

OWN: Size = (32, 32)
GRID: Size = (4, 4)  # of latents, in training
GRIDS: tuple[Size, ...] = (GRID, (6, 6), (8, 8), (10, 10), (4, 10), (10, 4))
SQUARES: tuple[Size, ...] = tuple((n, n) for n in (10, 16, 20, 28, 32, 48, 64, 128, 256, 1024))
ASPECTS: tuple[Size, ...] = ((48, 24), (48, 32), (32, 48), (24, 48))  # 1:2, 2:3, 3:2, 2:1
FITS = ("stretch", "contain")
TEXELS = 2**20  # of the pictures of a size in `truth`: 16 of 256 x 256
TEXELS_DRAWN = 2**24  # the same in `samples`: 256 of 256 x 256
FEW = 32  # pictures, for what hardly differs between them
STEPS = (4, 8, 20, 50, 100)
SAMPLERS = {"ddim": 1, "heun": 2, "dpm++2m": 1}  # calls of the network a step
MOST_CALLS = 100
SEED = 1
REFERENCE = 10_000  # training pictures, of the Frechet distance


@dataclass
class Study:
    """What is measured, and with what."""

    resamplers: dict[str, nn.Module]  # by name; the first is the diffuser's
    diffuser: nn.Module | None
    judge: nn.Module
    train: judges.Digits
    test: judges.Digits
    folder: Path
    samples: int = 1000  # pictures drawn from 4 x 4; half from 8 x 8, a quarter from other grids
    draw: Callable[..., Tensor] | None = None  # smalti.diffusion.sample
    loss: Callable[..., float] | None = None  # smalti.explain.size_study.velocity_loss
    sampling: Row = field(default_factory=dict)  # of `draw`: guidance; steps and sampler by default
    tell: Callable[[str], None] = lambda text: None
    truths: dict[tuple[Size, str], np.ndarray] = field(default_factory=dict)
    reference: Tensor | None = None

    @property
    def resampler(self) -> nn.Module:
        return next(iter(self.resamplers.values()))

    def truth(self, size: Size, fit: str, count: int) -> np.ndarray:
        """Test pictures `count H W 1` uint8."""
        known = self.truths.get((size, fit))
        if known is None or len(known) < count:
            make = judges.contained if fit == "contain" else judges.resized
            known = make(self.test.pictures[:count], *size)[..., None]
            self.truths[size, fit] = known
        return known[:count]

    def pictures(self, size: Size, count: int) -> Tensor:
        """The same as `count 1 H W` in [-1, 1], stretched."""
        return as_input(self.truth(size, "stretch", count))

    def sampled(self, grid: Size, count: int, **changed: Any) -> tuple[Tensor, Tensor]:
        """Latents `count c h w` drawn by the diffuser, and their labels; kept in the folder."""
        labels = torch.arange(count) % 10
        path = self._place(grid, count, changed)
        if path.is_file():
            return torch.load(path, weights_only=True)["z"], labels
        started, parts = time.process_time(), []
        for number, part in enumerate(labels.split(PART)):
            self.tell(f"drawing {path.stem}: {number * PART} of {count}")
            sampling = {**self.sampling, **changed}
            parts.append(self.draw(self.diffuser, part, grid, seed=SEED + number, **sampling))
        z = torch.cat(parts).float()
        judges.store({"z": z, "seconds": time.process_time() - started}, path)
        return z, labels

    def seconds(self, grid: Size, count: int, **changed: Any) -> float:
        """Core seconds that `sampled` took, when it did more than to read a file."""
        return torch.load(self._place(grid, count, changed), weights_only=True)["seconds"]

    def _place(self, grid: Size, count: int, changed: Row) -> Path:
        sampling = {**self.sampling, **changed}
        words = [digest(self.diffuser), named(grid), *(f"{k}-{v}" for k, v in sampling.items())]
        return self.folder / f"latents-{'_'.join([*words, str(count)])}.pt"

    def features(self, x: Tensor) -> Tensor:
        """The judge's of pictures `N 1 H W` in [-1, 1]."""
        return judges.features(self.judge, seen(x))

    def fid(self, x: Tensor) -> float:
        """Frechet distance to the training pictures, after a resize to 32 x 32."""
        if self.reference is None:
            pictures = judges.resized(self.train.pictures[:REFERENCE], *OWN)[..., None]
            self.reference = self.features(as_input(pictures))
        features = self.features(measures.resize(x, OWN))
        return measures.significant(measures.frechet(features, self.reference))

    def accuracy(self, x: Tensor, labels: Tensor) -> float:
        found = judges.judged(self.judge, seen(x))
        return round(float((found == labels).double().mean()), 4)


PART = 250  # latents drawn at a time


def as_input(pictures: np.ndarray) -> Tensor:
    """`B H W 1` uint8 -> `B 1 H W` in [-1, 1]."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1


def seen(x: Tensor) -> Tensor:
    """`B 1 H W` in [-1, 1] -> `B H W` in [0, 1] of 8 bits, as in a file."""
    return torch.from_numpy(measures.as_uint8(x)[..., 0]).float() / 255


def decoded(model: nn.Module, z: Tensor, size: Size, **how: Any) -> Tensor:
    def run(part: Tensor) -> Tensor:
        return model.decode(part, size, **how)

    return measures.in_parts(run, z, size[0] * size[1])


def encoded(model: nn.Module, x: Tensor, grid: Size) -> Tensor:
    return measures.in_parts(lambda part: model.encode(part, grid), x, x.shape[2] * x.shape[3])


def named(size: Size) -> str:
    return f"{size[0]}x{size[1]}"


def squares(longest: int) -> list[Size]:
    return [size for size in SQUARES if size[0] <= longest]


def shapes(longest: int) -> Iterator[tuple[Size, str]]:
    """Squares of at most that side, then the aspects, each with its fit."""
    yield from ((size, "stretch") for size in squares(longest))
    yield from ((size, fit) for size in ASPECTS for fit in FITS)


def resized(square: Tensor, size: Size, fit: str) -> Tensor:
    """The trivial baseline: a picture at 32 x 32, brought to a size."""
    if fit == "contain":
        return measures.contained(lambda side: measures.resize(square, side), size)
    return measures.resize(square, size)


def digest(module: nn.Module | None) -> str:
    """Of a model's weights, the first 16 hexadecimal digits of their SHA-256."""
    if module is None:
        return ""
    found = hashlib.sha256()
    for value in module.state_dict().values():
        found.update(value.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()[:16]
