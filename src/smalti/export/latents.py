"""Mean and standard deviation of a model's latents, channel by channel."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from smalti.files import BUNDLED_PICTURES
from smalti.image import load
from smalti.models.base import Model
from smalti.models.fsq import FsqAutoencoder
from smalti.models.layers import fsq
from smalti.models.pictures import to_tensor
from smalti.models.rgba import RgbaAutoencoder


@dataclass(frozen=True)
class Statistics:
    """Of each channel of the latents, over all cells of all pictures."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


# SHA-256 of a bundled set of weights, its first 16 digits -> measured on every sixth (fsq-1m:
# every thirtieth) of 1,174 photographs, ImageNet samples and BSDS500 with a long side of up to 512,
# opaque and not bundled:
#     python benchmarks/latent_statistics.py PHOTOGRAPHS --every 6 --models patch-f8c16 ...
MEASURED: dict[str, Statistics] = {
    "e1cc51b6668e672e": Statistics(  # patch-f8c16
        mean=(
            *(-0.056, -0.017, -0.013, -0.028, -0.064, -0.026, 0.017, 0.016),
            *(0.018, -0.008, -0.032, -0.019, 0.031, 0.021, 0.058, 0.022),
        ),
        std=(
            *(1.296, 0.755, 0.511, 0.503, 0.523, 0.412, 0.39, 0.427),
            *(0.394, 0.395, 0.367, 0.345, 0.387, 0.374, 0.328, 0.364),
        ),
    ),
    "14c8902d601c8c88": Statistics(  # fsq-1m
        mean=(-0.02, -0.252, 0.008, 0.097, 0.011), std=(0.57, 0.625, 0.535, 0.477, 0.614)
    ),
    "4708fa40437a430b": Statistics(  # rgba-boxes
        mean=(1.575, 1.876, 0.462, -1.012), std=(1.045, 0.792, 1.572, 0.512)
    ),
    "57baeaf07454d3c8": Statistics(  # rgba-finetune
        mean=(1.26, 1.68, 0.374, -0.817), std=(0.929, 0.949, 1.38, 0.655)
    ),
}


def statistics_of(model: Model, digest: bytes) -> Statistics:
    """Of the model with the weights of this SHA-256: known, or measured on the bundled pictures.

    The bundled pictures are five, so the numbers of other weights are an estimate; `measure` takes
    your own.
    """
    return MEASURED.get(digest.hex()[:16]) or measure(model, bundled_pictures())


def bundled_pictures() -> list[np.ndarray]:
    """The bundled pictures, each `H W C` with 3 or 4 channels."""
    return [load(path) for path in sorted(BUNDLED_PICTURES.glob("*.png"))]


@torch.no_grad()
def measure(model: Model, pictures: Iterable[np.ndarray]) -> Statistics:
    """Of the latents of these pictures, rounded to three decimals.

    Args:
        pictures: `H W C`, 3 or 4 channels; cropped to whole cells.
    """
    count, total, squares = 0, 0.0, 0.0
    for picture in pictures:
        x = to_channels(to_tensor(picture, device=model.device), model.channels)
        height, width = (side // model.factor * model.factor for side in x.shape[2:])
        z = encode(model, x[..., :height, :width].to(model.dtype))[0].flatten(1).double()
        count += z.shape[1]
        total, squares = total + z.sum(1), squares + z.square().sum(1)
    mean = total / count
    std = (squares / count - mean.square()).clamp(min=0).sqrt()
    return Statistics(_rounded(mean), _rounded(std.clamp(min=1e-3)))


def to_channels(x: Tensor, channels: int) -> Tensor:
    """`N C H W`: opaque pictures get alpha 1; alpha that a model does not take is left out."""
    missing = channels - x.shape[1]
    return torch.cat([x, torch.ones_like(x[:, :1])], 1) if missing > 0 else x[:, :channels]


def encode(model: Model, x: Tensor, *, tile: int | None = None) -> Tensor:
    """`B Z h w` latents of pictures `B C H W` in [-1, 1].

    Args:
        tile: at most tile x tile cells of the latent at once, for models that see neighbours.
    """
    if isinstance(model, FsqAutoencoder):
        return fsq.dequantize(model.digits(x, tile=tile), model.config.levels).to(model.dtype)
    if isinstance(model, RgbaAutoencoder):
        return model.encode(x, tile=tile)
    return model.encode(x)


def _rounded(values: Sequence[float] | Tensor) -> tuple[float, ...]:
    return tuple(round(float(value), 3) for value in values)
