"""Photographs through the resampler, at sizes other than those they were encoded at.

    OMP_NUM_THREADS=1 python benchmarks/resolution.py MNIST ... --photos KODAK

A line for each scale, with means over the pictures, PSNR in dB of 8 bits. Pictures are cut at their
right and lower edges to multiples of 48 texels, so that every scale has whole latents; the truth is
the picture, or below 1 what Pillow's bicubic filter makes of it. Latents are rounded to whole numbers,
as a file holds them.

- scale 1: encoded and decoded at its own size.
- above 1: the picture is brought down by the scale, encoded there, and decoded at the full size.
  `resized`: the same latents decoded at the size they were encoded at, then a bicubic resize.
  `unshuffle`: that resize of what was encoded, as if a code were exact.
- below 1: encoded at the full size and decoded at that part of it; `resized`: decoded at the full
  size, then brought down.
- downscale: decode at half size against what the bicubic filter makes of decode at full size.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import resolution_measures as measures
import torch
from PIL import Image
from torch import Tensor, nn

from smalti.errors import OptionError
from smalti.eval.metrics import psnr
from smalti.files import PICTURE_SUFFIXES

MULTIPLE = 48  # of the sides: halves and two thirds are multiples of 8 texels
ABOVE, BELOW = (2.0, 1.5), (0.5,)


@torch.inference_mode()
def photos(model: nn.Module, folder: Path, *, rounded: bool = True) -> Iterator[dict[str, Any]]:
    """The lines of a folder of photographs.

    Args:
        rounded: whether latents are, to whole numbers.

    Raises:
        OptionError: it holds none that can be used.
    """
    paths = sorted(p for p in folder.glob("*") if p.suffix.lower() in PICTURE_SUFFIXES)
    pictures = [_read(path) for path in paths]
    pictures = [picture for picture in pictures if picture.size]
    if not pictures:
        raise OptionError(f"no picture of {MULTIPLE} x {MULTIPLE} texels or more in {folder}")

    def encode(x: Tensor) -> Tensor:
        z = model.encode(x, None)
        return z.round() if rounded else z

    for scale in (1.0, *ABOVE, *BELOW):
        found = [_at_scale(model, encode, picture, scale) for picture in pictures]
        row = {key: measures.mean([one[key] for one in found]) for key in found[0]}
        yield {"what": "photos", "scale": scale, "pictures": len(pictures), **row}
    yield {
        "what": "photos",
        "scale": "downscale",
        "pictures": len(pictures),
        "psnr": measures.mean([_consistency(model, encode, picture) for picture in pictures]),
    }


def _at_scale(
    model: nn.Module, encode: Callable[[Tensor], Tensor], picture: np.ndarray, scale: float
) -> dict[str, float]:
    height, width = picture.shape[:2]
    small = round(height / max(scale, 1.0)), round(width / max(scale, 1.0))
    shown = round(height * min(scale, 1.0)), round(width * min(scale, 1.0))
    given, real = _resized(picture, small), _resized(picture, shown)
    z = encode(as_input(given))
    found = {"psnr": psnr(real, _levels(model.decode(z, shown)))}
    if scale == 1:
        return found
    plain = measures.resize(model.decode(z, small), shown)
    unshuffled = measures.resize(as_input(given), shown)
    return found | {
        "resized": psnr(real, _levels(plain)),
        "unshuffle": psnr(real, _levels(unshuffled)),
    }


def _consistency(
    model: nn.Module, encode: Callable[[Tensor], Tensor], picture: np.ndarray
) -> float:
    height, width = picture.shape[:2]
    z, half = encode(as_input(picture)), (height // 2, width // 2)
    large = measures.resize(model.decode(z, (height, width)), half)
    return psnr(_levels(large), _levels(model.decode(z, half)))


def as_input(picture: np.ndarray) -> Tensor:
    """`H W 3` uint8 -> `1 3 H W` in [-1, 1]."""
    return torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1


def _levels(x: Tensor) -> np.ndarray:
    return measures.as_uint8(x)[0]


def _read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        picture = np.asarray(image.convert("RGB"))
    height, width = (n // MULTIPLE * MULTIPLE for n in picture.shape[:2])
    return picture[:height, :width]


def _resized(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    image = Image.fromarray(picture).resize(size[::-1], Image.Resampling.BICUBIC)
    return np.asarray(image)
