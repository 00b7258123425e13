"""Digits drawn at many sizes from latents of many grids, for the figures of `smalti explain`."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor

from smalti import diffusion
from smalti import models as trained
from smalti.diffusion import noise as noises
from smalti.errors import OptionError
from smalti.explain.drawn import DrawnDigits, LargePicture, Size, SizesShown
from smalti.image import to_uint8
from smalti.models.diffuser import Diffuser
from smalti.models.layers.fields import centres
from smalti.models.pictures import to_pictures
from smalti.models.resampler import Resampler
from smalti.train import field_data

Sample = Callable[..., Tensor]  # (diffuser, labels, grid, *, seed, on_step) -> latents
OnStep = Callable[[int, int, str], None]
Loss = Callable[..., float]  # (diffuser, latents, labels, t, *, seed), as velocity_loss

GRIDS: tuple[Size, ...] = ((4, 4), (8, 8), (4, 10), (10, 4))
SIZES: tuple[Size, ...] = ((10, 10), (16, 16), (32, 32), (64, 64), (27, 18), (32, 18), (18, 32))
OWN: Size = (32, 32)
BAND = 64  # rows of texels of the large picture at once
TIMES = np.linspace(0.02, 0.98, 25)


@dataclass(frozen=True)
class Models:
    """A resampler of grey pictures, the diffuser of its latents, and the sampler."""

    resampler: Resampler
    diffuser: Diffuser
    sample: Sample
    loss: Loss


@dataclass(frozen=True)
class Digits:
    """Pictures `N 28 28` uint8, and labels."""

    pictures: np.ndarray
    labels: np.ndarray

    def at(self, size: Size, count: int) -> Float[Tensor, "N 1 H W"]:
        """The first of them at a size, by Pillow's bicubic filter, in [-1, 1]."""
        height, width = size
        images = [Image.fromarray(p) for p in self.pictures[:count]]
        levels = [np.asarray(i.resize((width, height), Image.Resampling.BICUBIC)) for i in images]
        return torch.from_numpy(np.stack(levels))[:, None].float() / 127.5 - 1


def load(resampler: str, diffuser: str) -> Models:
    """The models of these names or files.

    Raises:
        WeightsError: no such weights.
        OptionError: weights of other models, or of a resampler with other latents.
    """
    found: list[Any] = [trained.load(resampler), trained.load(diffuser)]
    for name, model, kind in zip((resampler, diffuser), found, KINDS, strict=True):
        if type(model).__name__ != kind:
            raise OptionError(f"{name} is a {type(model).__name__}, not a {kind}")
    if found[0].config.channels != 1:
        raise OptionError(
            f"{resampler} is of {found[0].config.channels} channels, not of grey digits"
        )
    channels = [model.config.latent_channels for model in found]
    if channels[0] != channels[1]:
        raise OptionError(
            f"{diffuser} draws latents of {channels[1]} channels, {resampler} has {channels[0]}"
        )
    return Models(found[0], found[1], diffusion.sample, velocity_loss)


KINDS = ("Resampler", "Diffuser")


def read_digits(folder: Path, count: int = 256) -> Digits:
    """The first of MNIST's test pictures.

    Raises:
        OptionError: a file is not there.
        ImageError: a damaged file.
    """
    own = field_data.Digits(folder, "test", 28, limit=count)
    return Digits(own.pictures[:, 0].numpy(), own.labels.numpy())


@torch.inference_mode()
def study(
    models: Models,
    *,
    seed: int = 1,
    large: tuple[int, int, int] | None = (3, 100, 1024),
    on_step: OnStep | None = None,
) -> SizesShown:
    """Draw the ten digits from every grid, and one picture from a large one.

    Args:
        large: label, cells a side and texels a side of the large one; None for none.
        on_step: called with (steps done, steps in all, what is being drawn): grid by grid, then
            anew for the latents of the large one, and for its rows of texels.
    """
    shown, tell = SizesShown(), on_step or (lambda *_: None)
    labels = torch.arange(10)
    for done, grid in enumerate(GRIDS):
        tell(done, len(GRIDS), f"digits from {grid[0]}x{grid[1]} latents")
        z = models.sample(models.diffuser, labels, grid, seed=seed)
        shown.drawn.append(_decoded(models.resampler, z, grid, tuple(labels.tolist())))
    if large is not None:
        shown.large = _large(models, *large, seed, tell)
    return shown


def _large(
    models: Models, label: int, cells: int, texels: int, seed: int, tell: OnStep
) -> LargePicture:
    """One picture of texels x texels, from cells x cells latents."""
    started = time.process_time()
    z = models.sample(
        models.diffuser,
        torch.tensor([label]),
        (cells, cells),
        seed=seed,
        on_step=lambda done, total: tell(done, total, f"{cells}x{cells} latents"),
    )
    bands = []
    for top in range(0, texels, BAND):
        tell(top, texels, f"{texels}x{texels} from {cells}x{cells} latents")
        window = (top, 0, min(BAND, texels - top), texels)
        bands.append(_levels(models.resampler.decode(z, (texels, texels), window=window))[0])
    seconds = time.process_time() - started
    return LargePicture(label, _cells(z)[0], np.concatenate(bands), seconds)


@torch.inference_mode()
def add_real(shown: SizesShown, resampler: Resampler, digits: Digits) -> None:
    """Ten test pictures, as what they are at each size and what comes back there."""
    labels = tuple(digits.labels[:10].tolist())
    shown.originals = {size: _levels(digits.at(size, 10)) for size in SIZES}
    for grid in GRIDS[:2]:
        z = resampler.encode(digits.at(OWN, 10), grid)
        sizes = [(size, "stretch") for size in SIZES]
        shown.real.append(_decoded(resampler, z, grid, labels, sizes))


@torch.inference_mode()
def add_losses(
    shown: SizesShown,
    models: Models,
    digits: Digits,
    *,
    count: int = 256,
    seed: int = 1,
    on_step: OnStep | None = None,
) -> None:
    """The loss in latents of test pictures at every time and grid."""
    x, labels = digits.at(OWN, count), torch.from_numpy(digits.labels[:count])
    shown.loss_pictures = len(x)
    for done, grid in enumerate(GRIDS):
        z, found = models.resampler.encode(x, grid), []
        for place, t in enumerate(TIMES):
            found.append(models.loss(models.diffuser, z, labels, float(t), seed=seed))
            if on_step:
                on_step(done * len(TIMES) + place + 1, len(GRIDS) * len(TIMES), "loss over time")
        shown.losses[grid] = (TIMES, np.array(found))


@torch.inference_mode()
def velocity_loss(
    diffuser: Diffuser,
    z: Float[Tensor, "N c h w"],
    labels: Int[Tensor, " N"],
    t: float,
    *,
    seed: int,
) -> float:
    """Mean squared error of the velocity ε - z that the diffuser finds in (1 - t) z + t ε.

    What it is trained with, at one time. The noise is a field, as in sampling: at a latent of the
    training's grid it is white.
    """
    rows, columns = (centres(n)[None] for n in z.shape[2:])
    noise = noises.first("field", seed, len(z), z.shape[1], diffuser.config.cells, rows, columns)
    times = torch.full((len(z),), t)
    v = diffuser((1 - t) * z + t * noise, times, diffuser.conditions(labels))
    return float((v - (noise - z)).square().mean())


def _decoded(
    resampler: Resampler,
    z: Tensor,
    grid: Size,
    labels: tuple[int, ...],
    sizes: list[tuple[Size, str]] | None = None,
) -> DrawnDigits:
    pictures = {
        (size, fit): _levels(resampler.decode(z, size, fit=fit))
        for size, fit in sizes or _sizes_and_fits()
    }
    return DrawnDigits(grid, labels, _cells(z), pictures)


def _sizes_and_fits() -> list[tuple[Size, str]]:
    square = [(size, "stretch") for size in SIZES if size[0] == size[1]]
    return square + [
        (size, fit) for size in SIZES if size[0] != size[1] for fit in ("stretch", "contain")
    ]


def _cells(z: Tensor) -> np.ndarray:
    return z.permute(0, 2, 3, 1).float().numpy()


def _levels(x: Tensor) -> np.ndarray:
    """`N 1 H W` in [-1, 1] -> uint8 (N, H, W)."""
    return to_uint8(to_pictures(x))[..., 0]
