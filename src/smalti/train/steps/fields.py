"""What a step of training a resampler or a diffuser computes: pictures in [0, 1] to the loss."""

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from smalti.diffusion.noise import noise
from smalti.models import load_shared
from smalti.models.diffuser import Diffuser
from smalti.models.layers.fields import centres, reading
from smalti.models.resampler import Resampler
from smalti.train.precision import Precision

if TYPE_CHECKING:
    from smalti.train.recipes.fields import DiffuserRecipe, ResamplerRecipe

FOLLOWED = 0.02  # of the running mean and deviation of latents, each step
HALVED = 0.3  # share of the steps whose pictures are seen at less than their size
OWN_SIZE = 0.5  # share of the parts that are drawn at about the size of the picture's own texels
SPREAD = 0.1  # of those, in octaves
COARSEST, FINEST = 2.0, 1.0  # octaves below and above it that the others reach
SQUEEZED = 0.35  # most octaves that a texel is higher or wider than it is large
BITS = 1 / math.log(2)


class ResamplerStep(nn.Module):
    """Latents of whole pictures, and a part of each drawn with texels of a size of its own.

    The part's place is any, not that of the picture's texels, and its target is what an antialiased
    bicubic resize reads there: coordinate, footprint and colour always belong together.
    """

    def __init__(self, recipe: "ResamplerRecipe", model: Resampler, precision: Precision) -> None:
        super().__init__()
        self.recipe, self.model, self.precision = recipe, model, precision

    def forward(self, target: Float[Tensor, "B C H W"]) -> Tensor:
        recipe, model = self.recipe, self.model
        target = 2 * target - 1
        frame = model.config.frame
        if recipe.sharper > 1 and torch.rand(()) >= HALVED:
            target = target[:, :, :frame, :frame]
        sharper = target.shape[2] // frame
        x = F.avg_pool2d(target, sharper) if sharper > 1 else target
        finer = FINEST if recipe.sharper == 1 else math.log2(sharper)
        with self.precision.autocast():
            rows, columns = (
                lines(model.config.cells, recipe.jitter).to(x.device) for _ in range(2)
            )
            ys, xs = (centres(n).to(x.device) for n in x.shape[2:])
            steps = (1 / x.shape[2], 1 / x.shape[3])
            z = model.encode_at(x, ys, xs, steps, rows, columns, model.global_features(x))
            z, bits = self._rounded(z) if recipe.rate else self._standardised(z)
            t = model.tokens(z, rows, columns)
            ys, xs, height, width = parts(len(x), recipe.texels, frame, finer)
            ys, xs, height, width = (v.to(x.device) for v in (ys, xs, height, width))
            y = model.decode_at(
                t, rows, columns, ys, xs, (height[:, 0], width[:, 0]), model.memory(t)
            )
        wanted = torch.einsum(
            "bmy,bcyx,bnx->bmnc",
            reading(ys, height, target.shape[2]),
            target,
            reading(xs, width, target.shape[3]),
        )
        loss = (y.float() - wanted.clamp(-1, 1)).square().mean()
        return loss if bits is None else loss + recipe.rate * bits / (x.shape[2] * x.shape[3])

    def _standardised(self, z: Float[Tensor, "B h w c"]) -> tuple[Tensor, None]:
        """By this batch's mean and deviation, which the model's follow; with noise."""
        z = z.float()
        mean, deviation = z.mean((0, 1, 2)), z.std((0, 1, 2), correction=0) + 1e-4
        with torch.no_grad():
            self.model.mean.lerp_(mean, FOLLOWED)
            self.model.deviation.lerp_(deviation, FOLLOWED)
        z = (z - mean) / deviation
        return z + self.recipe.noise * torch.randn_like(z), None

    def _rounded(self, z: Float[Tensor, "B h w c"]) -> tuple[Tensor, Tensor]:
        """With the uniform noise that stands for rounding to whole numbers, and bits a picture.

        Ballé et al. 2017, arXiv 1611.01704, section 3: the bits of z + u under a density are those
        of round(z) to a good approximation.
        """
        z = z.float() + torch.rand_like(z, dtype=torch.float32) - 0.5
        scale = self.model.log_scale.exp()
        mass = torch.sigmoid((z + 0.5) / scale) - torch.sigmoid((z - 0.5) / scale)
        bits = -mass.clamp(min=1e-6).log().sum() * BITS / len(z)
        return z, bits


class DiffuserStep(nn.Module):
    """Latents of pictures at rows and columns of points, noised, and the velocity found there."""

    autoencoder: Resampler  # no child: it is not trained

    def __init__(self, recipe: "DiffuserRecipe", model: Diffuser, precision: Precision) -> None:
        super().__init__()
        self.recipe, self.model, self.precision = recipe, model, precision
        device = str(model.device)
        self.__dict__["autoencoder"] = load_shared(
            Resampler, recipe.model.autoencoder, device=device
        )

    def forward(self, batch: tuple[Float[Tensor, "B C H W"], Int[Tensor, " B"]]) -> Tensor:
        x, labels = batch
        cells, count = self.model.config.cells, len(x)
        rows, columns = (lines(cells, self.recipe.jitter).to(x.device) for _ in range(2))
        with torch.no_grad(), self.precision.autocast():
            z = latents(self.autoencoder, 2 * x - 1, rows, columns)
        knots = torch.randn(count, z.shape[1], cells + 2, cells + 2, device=x.device)
        e = noise(knots, rows, columns)
        # Esser et al. 2024, arXiv 2403.03206, section 3.1: the middle of the path more often.
        t = torch.randn(count, device=x.device).sigmoid()
        dropped = torch.rand(count, device=x.device) < self.recipe.dropout
        labels = torch.where(dropped, self.model.config.classes, labels)
        at = t.view(-1, 1, 1, 1)
        with self.precision.autocast():
            conditions = self.model.conditions(labels)
            v = self.model((1 - at) * z + at * e, t, conditions, rows, columns)
        return (v.float() - (e - z)).square().mean()


def latents(
    autoencoder: Resampler, x: Float[Tensor, "B C H W"], rows: Tensor, columns: Tensor
) -> Float[Tensor, "B c h w"]:
    """Standardised latents of whole pictures at any rows and columns of points."""
    ys, xs = (centres(n).to(x.device) for n in x.shape[2:])
    steps = (1 / x.shape[2], 1 / x.shape[3])
    z = autoencoder.encode_at(x, ys, xs, steps, rows, columns, autoencoder.global_features(x))
    return autoencoder.standardised(z).float().permute(0, 3, 1, 2)


def lines(cells: int, jitter: float) -> Float[Tensor, "1 cells"]:
    """Rows (or columns) of latents: as in a grid, or each anywhere within its part of the frame."""
    at = centres(cells)[None]
    if torch.rand(()) < jitter:
        at = at + (torch.rand_like(at) - 0.5) / cells
    return at


def parts(
    count: int, texels: int, frame: int, finer: float
) -> tuple[Tensor, Tensor, Float[Tensor, "count 1"], Float[Tensor, "count 1"]]:
    """Parts of pictures to draw: rows and columns of texels, and the height and width of a texel.

    Sizes are about those of the picture's texels in half of the parts, and COARSEST octaves coarser
    to `finer` octaves finer in the others. Parts reach a little beyond the frame.
    """
    own = math.log2(frame) + SPREAD * torch.randn(count, 1)
    other = math.log2(frame) - COARSEST + torch.rand(count, 1) * (COARSEST + finer)
    octave = torch.where(torch.rand(count, 1) < OWN_SIZE, own, other)
    tilt = SQUEEZED * (2 * torch.rand(count, 1) - 1)
    height, width = torch.exp2(-octave - tilt), torch.exp2(tilt - octave)
    span = torch.arange(texels) - (texels - 1) / 2

    def along(side: Tensor) -> Tensor:
        room = (1 + 2 * side.clamp(max=0.1) - texels * side).clamp(min=0)
        edge = 0.5 + 0.5 / frame
        return ((torch.rand(count, 1) - 0.5) * room + span * side).clamp(-edge, edge)

    return along(height), along(width), height, width
