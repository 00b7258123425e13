"""Training losses: functions of a reconstruction and its target, both `B C H W`.

Each is a dataclass whose fields are the weights of its terms. A term of weight 0 is not computed,
so `--set loss.sobel=0` is an ablation.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class PictureLoss:
    """l1 · L1(x̂, x) + mse · MSE(x̂, x) + sobel · L1(sobel x̂, sobel x)

    The defaults are the recipe of QKVAE-1m's model card.
    """

    l1: float = 1.0
    mse: float = 0.25
    sobel: float = 0.5

    def __call__(self, x_hat: Float[Tensor, "B C H W"], x: Float[Tensor, "B C H W"]) -> Tensor:
        difference = x_hat - x
        loss = difference.new_zeros(())
        if self.l1:
            loss = loss + self.l1 * difference.abs().mean()
        if self.mse:
            loss = loss + self.mse * difference.square().mean()
        if self.sobel:  # sobel is linear: the gradients' difference is the difference's gradient
            loss = loss + self.sobel * sobel(difference).abs().mean()
        return loss


@dataclass(frozen=True)
class StructuralRgba:
    """What a viewer sees of a picture with transparency, in terms of premultiplied RGBA.

        p = (α R, α G, α B, α)
        loss = l1 · L1(p̂, p) + mse · MSE(p̂, p) + sobel · L1(sobel p̂, sobel p)
             + ssim · (1 - mean over scales of SSIM(p̂, p))

    Colour counts as much as it is visible; under alpha 0 it counts nothing. The gradient term
    keeps edges in place where the squared error alone would blur them; SSIM compares local
    contrast, at full, half and quarter size.
    """

    l1: float = 0.0
    mse: float = 1.0
    sobel: float = 0.01
    ssim: float = 0.0
    premultiply: bool = True  # false: the four channels as they are, visible or not

    def __call__(self, x_hat: Float[Tensor, "B 4 H W"], x: Float[Tensor, "B 4 H W"]) -> Tensor:
        if self.premultiply:
            x_hat, x = premultiplied(x_hat), premultiplied(x)
        loss = PictureLoss(self.l1, self.mse, self.sobel)(x_hat, x)
        if self.ssim:
            loss = loss + self.ssim * (1 - multiscale_ssim(x_hat, x))
        return loss


def sobel(x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B 2*C H-2 W-2"]:
    """Horizontal and vertical Sobel gradients of each channel, interior texels only.

    Both kernels are products of (1, 2, 1) and (1, 0, -1): sums of shifted pictures, quicker
    forwards and backwards than a convolution with three channels.
    """
    down = x[:, :, :-2] + 2 * x[:, :, 1:-1] + x[:, :, 2:]
    across = x[:, :, :, :-2] + 2 * x[:, :, :, 1:-1] + x[:, :, :, 2:]
    horizontal = down[..., :-2] - down[..., 2:]
    vertical = across[:, :, :-2] - across[:, :, 2:]
    return torch.cat([horizontal, vertical], 1)


def premultiplied(x: Float[Tensor, "B 4 H W"]) -> Float[Tensor, "B 4 H W"]:
    colour, alpha = x[:, :3], x[:, 3:]
    return torch.cat([colour * alpha, alpha], 1)


def multiscale_ssim(
    x_hat: Float[Tensor, "B C H W"], x: Float[Tensor, "B C H W"], *, scales: int = 3
) -> Tensor:
    """Mean SSIM at full size, half, quarter, ...; values in [0, 1], windows of 8 x 8 texels.

    A box window at every other texel instead of Wang et al.'s Gaussian one: as good a gradient,
    a tenth of the time. Use `eval.metrics` to report.
    """
    scores = []
    for _ in range(scales):
        if min(x.shape[2:]) < 8:
            break
        mean, mean_hat = F.avg_pool2d(x, 8, 2), F.avg_pool2d(x_hat, 8, 2)
        variance = F.avg_pool2d(x.square(), 8, 2) - mean.square()
        variance_hat = F.avg_pool2d(x_hat.square(), 8, 2) - mean_hat.square()
        covariance = F.avg_pool2d(x * x_hat, 8, 2) - mean * mean_hat
        luminance = (2 * mean * mean_hat + 1e-4) / (mean.square() + mean_hat.square() + 1e-4)
        contrast = (2 * covariance + 9e-4) / (variance + variance_hat + 9e-4)
        scores.append((luminance * contrast).mean())
        x, x_hat = F.avg_pool2d(x, 2), F.avg_pool2d(x_hat, 2)
    return torch.stack(scores).mean()
