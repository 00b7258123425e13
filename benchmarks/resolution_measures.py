"""What `resolution.py` measures with: on pictures and features alone, whatever model made them."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from smalti.eval import metrics
from smalti.image import to_uint8
from smalti.models.pictures import to_pictures

RANGE = 2.0  # of a model's pictures, [-1, 1]


class Unshuffled(nn.Module):
    """PixelUnshuffle: a lossless code of side x side texels as channels, with no parameter.

    The trivial resampler: exact at its own size, and beyond it only what a resize makes of that.
    """

    def __init__(self, side: int = 8) -> None:
        super().__init__()
        self.side = side

    def encode(self, x: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """`B C H W` -> `B C*side² H/side W/side`."""
        return F.pixel_unshuffle(x, self.side)

    def decode(self, z: Tensor, size: tuple[int, int]) -> Tensor:
        return resize(F.pixel_shuffle(z, self.side), size)


def resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """`B C H W` to another size as Pillow's bicubic does (a = -1/2, antialiased), in floats."""
    if tuple(x.shape[2:]) == tuple(size):
        return x
    return F.interpolate(x.float(), size, mode="bicubic", antialias=True)


def contained(square: Callable[[tuple[int, int]], Tensor], size: tuple[int, int]) -> Tensor:
    """The square picture that `square` gives of a side, in the middle of `size`, black beyond."""
    side = min(size)
    x = square((side, side))
    top, left = ((n - side) // 2 for n in size)
    beyond = (left, size[1] - side - left, top, size[0] - side - top)
    return F.pad(x, beyond, value=-1.0)


def as_uint8(x: Tensor) -> np.ndarray:
    """`B C H W` in [-1, 1] -> `B H W C` uint8."""
    return to_uint8(to_pictures(x))


def psnrs(truth: np.ndarray, x_hat: Tensor) -> list[float]:
    """PSNR in dB of each picture, both of 8 bits. truth: `B H W C`; x_hat: `B C H W`."""
    return [metrics.psnr(a, b) for a, b in zip(truth, as_uint8(x_hat), strict=True)]


def decibels(x: Tensor, y: Tensor) -> float:
    """10 log10(2² / MSE) of values in [-1, 1], all pictures together, not rounded to 8 bits."""
    mse = float((x.double() - y.double()).square().mean())
    return 10 * float(np.log10(RANGE**2 / mse)) if mse else float("inf")


def nested(draw: Callable[[tuple[int, int]], Tensor], side: int, factor: int = 3) -> float:
    """How equal the same points of two grids are, in dB: `side` texels, and `factor` times as many.

    With an odd factor every centre of the small grid is a centre of the large one. `draw` gives
    pictures of a size and must keep the footprint.
    """
    small, large = draw((side, side)), draw((factor * side, factor * side))
    middle = factor // 2
    return decibels(small, large[..., middle::factor, middle::factor])


def inertia_ratios(x: Tensor) -> Tensor:
    """How wide the ink lies for its height: its central second moments, x over y, `B` float64.

    In texels, of pictures `B 1 H W` in [-1, 1] with white ink. A picture whose sides are changed to
    a times the width has a² times the ratio; NaN where there is no ink.
    """
    ink = ((x[:, 0].double() + 1) / 2).clamp(0, 1)
    ink = torch.where(ink < INK, 0, ink)  # far out, a faint veil would outweigh a stroke
    return _variance(ink.sum(1)) / _variance(ink.sum(2))


INK = 0.1  # of white; what is darker is background


def _variance(mass: Tensor) -> Tensor:
    """`B n` masses at 0 .. n - 1 -> `B`. No 1/12 is added: Keys' cubic has no second moment."""
    place = torch.arange(mass.shape[1], dtype=mass.dtype)
    total = mass.sum(1)
    mean = (mass * place).sum(1) / total
    return (mass * (place - mean[:, None]).square()).sum(1) / total


def drift(drawn: Tensor, square: Tensor, stretched: float = 1.0) -> dict[str, float]:
    """Mean and median of |ratio / (ratio at 1:1 * stretched²) - 1|, over pictures with ink."""
    away = (drawn / (square * stretched**2) - 1).abs()
    known = away.isfinite()
    return {
        "mean": float(away[known].mean()),
        "median": float(away[known].median()),
        "pictures": int(known.sum()),
    }


def frechet(x: Tensor, y: Tensor) -> float:
    """|m_x - m_y|² + tr(S_x + S_y - 2 (S_x S_y)^½) of features `N F` and `M F`.

    Heusel et al. 2017, equation 6. The trace of the root is the sum of the roots of the eigenvalues
    of A S_y A with A the symmetric root of S_x: real and at least 0 but for rounding. It grows as
    1/N for few pictures, so compare only what has the same N.
    """
    (mean_x, cov_x), (mean_y, cov_y) = (_moments(f.double()) for f in (x, y))
    values, vectors = torch.linalg.eigh(cov_x)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    product = torch.linalg.eigvalsh(root @ cov_y @ root).clamp(min=0).sqrt().sum()
    distance = (mean_x - mean_y).square().sum() + cov_x.trace() + cov_y.trace() - 2 * product
    return max(0.0, float(distance))


def _moments(f: Tensor) -> tuple[Tensor, Tensor]:
    mean = f.mean(0)
    return mean, (f - mean).T @ (f - mean) / (len(f) - 1)


def in_parts(
    run: Callable[[Tensor], Tensor], z: Tensor, texels: int, *, at_once: int = 2**18
) -> Tensor:
    """`run` on few enough of `z` at a time that they have at most `at_once` texels together."""
    return torch.cat([run(part) for part in z.split(max(1, at_once // texels))])


def mean(values: Sequence[float], digits: int = 2) -> float:
    """Mean of dB; infinite where a picture is exact."""
    return round(float(np.mean(values)), digits)


def significant(value: float) -> float:
    """To four significant digits."""
    return float(f"{value:.4g}")
