"""Endless training batches. Batch `step` is a pure function of (seed, step): resuming is exact."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from smalti import image
from smalti.errors import ImageError
from smalti.files import PICTURE_SUFFIXES


class Crops:
    """Random square crops, mirrored at random, of pictures held in memory.

    Args:
        sources: folders of pictures (searched recursively), or .npz files with `images N 3 H W`
            uint8.
        side: height and width of a crop, in texels; smaller pictures are left out.
        batch: crops a step.
        seed: the whole sequence of batches follows from it.

    Raises:
        ImageError: no picture of at least side x side is found.
    """

    def __init__(self, sources: Sequence[Path], *, side: int, batch: int, seed: int = 0) -> None:
        pictures = [picture for source in sources for picture in _read(Path(source))]
        self.pictures = [p for p in pictures if min(p.shape[:2]) >= side]
        self.side, self.batch, self.seed = side, batch, seed
        if not self.pictures:
            raise ImageError(
                f"none of the {len(pictures)} pictures in {', '.join(map(str, sources))} "
                f"is at least {side} x {side}"
            )

    def __call__(self, step: int) -> Float[Tensor, "B 3 S S"]:
        """Batch number `step`, values in [0, 1]."""
        random = np.random.default_rng((self.seed, step))
        crops = np.stack([self._crop(random) for _ in range(self.batch)])
        return torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255

    def _crop(self, random: np.random.Generator) -> np.ndarray:
        picture = self.pictures[random.integers(len(self.pictures))]
        top = random.integers(picture.shape[0] - self.side + 1)
        left = random.integers(picture.shape[1] - self.side + 1)
        crop = picture[top : top + self.side, left : left + self.side]
        return crop[:, ::-1] if random.random() < 0.5 else crop


class Boxes:
    """Procedural RGBA boxes: no picture anywhere, yet edges, gradients, overlap, transparency.

    Each picture is a background (transparent or a colour gradient) under 3 to 24 boxes, composited
    in order. A box has a random centre, size, rotation, softness of its edge, a linear gradient
    between two RGBA colours, and sometimes a border of another colour.

    Args:
        side: height and width, in texels.
        batch: pictures a step.
        seed: the whole sequence of batches follows from it.
    """

    def __init__(self, *, side: int, batch: int, seed: int = 0) -> None:
        self.side, self.batch, self.seed = side, batch, seed

    def __call__(self, step: int) -> Float[Tensor, "B 4 S S"]:
        """Batch number `step`, straight alpha, values in [0, 1]."""
        random = np.random.default_rng((self.seed, step))
        return torch.stack([self._picture(random) for _ in range(self.batch)])

    def _picture(self, random: np.random.Generator) -> Float[Tensor, "4 S S"]:
        axis = torch.linspace(-1, 1, self.side)
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        first, second = _colour(random), _colour(random)
        ramp = (_direction(random, x, y) + 1) / 2
        canvas = _premultiplied(first + (second - first) * ramp.clamp(0, 1))
        if random.random() < 0.5:
            canvas = torch.zeros_like(canvas)
        for _ in range(random.integers(3, 25)):
            canvas = _over(self._box(random, x, y), canvas)
        alpha = canvas[3:]
        colour = torch.where(alpha > 1e-4, canvas[:3] / alpha.clamp(min=1e-4), 0.0)
        return torch.cat([colour, alpha]).clamp(0, 1)

    def _box(self, random: np.random.Generator, x: Tensor, y: Tensor) -> Float[Tensor, "4 S S"]:
        """One box, premultiplied by its coverage and alpha."""
        u = x - random.uniform(-1, 1)
        v = y - random.uniform(-1, 1)
        angle = random.uniform(0, np.pi) if random.random() < 0.7 else 0.0
        u, v = u * np.cos(angle) + v * np.sin(angle), v * np.cos(angle) - u * np.sin(angle)
        half_u, half_v = np.exp(random.uniform(np.log(0.02), np.log(0.8), size=2))
        softness = 2 / self.side * (1 if random.random() < 0.7 else random.uniform(1, 40))
        inside = torch.minimum(half_u - u.abs(), half_v - v.abs())  # > 0 within the box
        coverage = (inside / softness + 0.5).clamp(0, 1)
        first, second = _colour(random), _colour(random)
        if random.random() < 0.5:
            second = first
        colour = first + (second - first) * ((u / half_u + 1) / 2).clamp(0, 1)
        if random.random() < 0.3:
            border = (inside < random.uniform(0.1, 0.4) * min(half_u, half_v)).float()
            colour = colour + (_colour(random) - colour) * border
        return _premultiplied(colour) * coverage


def _read(source: Path) -> list[np.ndarray]:
    """Pictures `H W 3` uint8 of a folder or an .npz file."""
    if source.suffix == ".npz":
        return list(np.load(source)["images"].transpose(0, 2, 3, 1))
    if not source.is_dir():
        raise ImageError(f"{source} is neither a folder of pictures nor an .npz file")
    pictures = []
    for path in sorted(p for p in source.rglob("*") if p.suffix.lower() in PICTURE_SUFFIXES):
        x = image.load(path)
        pictures.append(image.to_uint8((x if x.shape[0] >= 3 else x[:1].expand(3, -1, -1))[:3]))
    return pictures


def _colour(random: np.random.Generator) -> Float[Tensor, "4 1 1"]:
    """A random straight RGBA colour; half of them opaque."""
    rgba = random.uniform(0, 1, size=4)
    rgba[3] = 1.0 if random.random() < 0.5 else rgba[3]
    return torch.tensor(rgba, dtype=torch.float32).view(4, 1, 1)


def _direction(random: np.random.Generator, x: Tensor, y: Tensor) -> Tensor:
    angle = random.uniform(0, 2 * np.pi)
    return x * np.cos(angle) + y * np.sin(angle)


def _premultiplied(rgba: Tensor) -> Tensor:
    return torch.cat([rgba[:3] * rgba[3:], rgba[3:]])


def _over(top: Tensor, bottom: Tensor) -> Tensor:
    """Porter and Duff 1984, "over", both premultiplied."""
    return top + bottom * (1 - top[3:])
