"""Batches and validation for recipes of resamplers and diffusers."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from smalti.errors import ImageError
from smalti.eval import metrics
from smalti.image import idx, to_uint8
from smalti.models.diffuser import Diffuser
from smalti.models.pictures import to_pictures
from smalti.models.resampler import Resampler

SHOWN = 10  # digits of each kind in a validation picture
FILES = {"train": "train", "test": "t10k"}


class Digits:
    """MNIST's pictures, `N 28 28` brought to a side by a bicubic resize, and their labels.

    Args:
        folder: with the distribution's files, gzipped or not.
        part: "train" or "test".

    Raises:
        OptionError: a file is not there.
        ImageError: a file is damaged, or labels and pictures do not belong together.
    """

    def __init__(self, folder: Path, part: str, side: int, limit: int | None = None) -> None:
        pictures = idx.read(idx.in_folder(folder, f"{FILES[part]}-images-idx3-ubyte"))[:limit]
        labels = idx.read(idx.in_folder(folder, f"{FILES[part]}-labels-idx1-ubyte"))[:limit]
        if pictures.ndim != 3 or labels.shape != pictures.shape[:1] or not len(labels):
            raise ImageError(f"{folder}: pictures {pictures.shape}, labels {labels.shape}")
        size, bicubic = (side, side), Image.Resampling.BICUBIC
        resized = [np.asarray(Image.fromarray(p).resize(size, bicubic)) for p in pictures]
        self.pictures = torch.from_numpy(np.stack(resized)).unsqueeze(1)
        self.labels = torch.from_numpy(labels.astype(np.int64))


class DigitBatches:
    """Random digits, in [0, 1], with their labels if asked for; batch s follows from the seed."""

    pictures = None  # nothing of it can be unreadable

    def __init__(self, digits: Digits, *, seed: int, labelled: bool, device: torch.device) -> None:
        self.digits, self.seed, self.labelled, self.device = digits, seed, labelled, device

    def __call__(
        self, step: int, first: int, count: int
    ) -> Float[Tensor, "B 1 H W"] | tuple[Float[Tensor, "B 1 H W"], Tensor]:
        randoms = (np.random.default_rng((self.seed, step, first + i)) for i in range(count))
        chosen = torch.tensor([int(r.integers(len(self.digits.labels))) for r in randoms])
        x = self.digits.pictures[chosen].to(self.device).float() / 255
        return (x, self.digits.labels[chosen].to(self.device)) if self.labelled else x


class DigitValidation:
    """Held-out digits, encoded and decoded: PSNR, and the originals over what is drawn."""

    def __init__(self, digits: Digits) -> None:
        self.digits = digits

    @torch.no_grad()
    def run(self, model: Resampler) -> tuple[dict[str, float], np.ndarray, str]:
        x = 2 * self.digits.pictures.to(model.device).float() / 255 - 1
        x_hat = torch.cat([model(part) for part in x.split(50)])
        pairs = [*zip(_levels(x), _levels(x_hat), strict=True)]
        numbers = {
            "psnr": float(np.mean([metrics.psnr(a, b) for a, b in pairs])),
            "mse": float((x_hat - x).square().mean()),
        }
        shown = _in_rows([list(row) for row in zip(*pairs[:SHOWN], strict=True)])
        return numbers, shown, f"{numbers['psnr']:.2f} dB on validation pictures"


class DrawnValidation:
    """Digits 0 .. 9, drawn: a picture to look at, and the spread of the latents, which is 1."""

    def __init__(self, autoencoder: Resampler) -> None:
        self.autoencoder = autoencoder

    @torch.no_grad()
    def run(self, model: Diffuser) -> tuple[dict[str, float], np.ndarray, str]:
        from smalti.diffusion import sample

        cells, side = model.config.cells, self.autoencoder.config.frame
        labels = torch.arange(model.config.classes, device=model.device).repeat(4)
        z = sample(model, labels, (cells, cells), seed=0)
        x = self.autoencoder.decode(z.to(self.autoencoder.device), (side, side))
        rows = [_levels(row) for row in x.split(model.config.classes)]
        return {"deviation": float(z.std())}, _in_rows(rows), ""


def _levels(x: Float[Tensor, "N 1 H W"]) -> list[np.ndarray]:
    """Of pictures in [-1, 1], each uint8 H W 1."""
    return [to_uint8(picture) for picture in to_pictures(x)]


def _in_rows(rows: list[list[np.ndarray]]) -> np.ndarray:
    """One RGB picture of rows of grey ones, all of one size."""
    return np.concatenate([np.concatenate(row, 1) for row in rows], 0).repeat(3, axis=2)
