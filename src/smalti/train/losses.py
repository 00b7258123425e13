"""Training losses: functions of a reconstruction and its target, both `B C H W`."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def sobel(x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B 2*C H-2 W-2"]:
    """Horizontal and vertical Sobel gradients of each channel, interior texels only."""
    row = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]], device=x.device)
    kernels = torch.stack([row, row.T]).to(x.dtype).repeat(x.shape[1], 1, 1).unsqueeze(1)
    return F.conv2d(x, kernels, groups=x.shape[1])


def l1_mse_sobel(x_hat: Float[Tensor, "B C H W"], x: Float[Tensor, "B C H W"]) -> Tensor:
    """L1 + 0.25 MSE + 0.5 L1 of Sobel gradients: the recipe of QKVAE-1m's model card."""
    return (
        F.l1_loss(x_hat, x) + 0.25 * F.mse_loss(x_hat, x) + 0.5 * F.l1_loss(sobel(x_hat), sobel(x))
    )


def structural_rgba(x_hat: Float[Tensor, "B 4 H W"], x: Float[Tensor, "B 4 H W"]) -> Tensor:
    """What a viewer sees of a picture with transparency: MSE and Sobel L1 of premultiplied RGBA.

        loss = MSE(p̂, p) + 0.01 · L1(sobel p̂, sobel p),   p = (α R, α G, α B, α)

    Colour counts as much as it is visible; under alpha 0 it counts nothing. The gradient term
    keeps edges in place where the mean squared error alone would blur them.
    """
    p_hat, p = _premultiply(x_hat), _premultiply(x)
    return F.mse_loss(p_hat, p) + 0.01 * F.l1_loss(sobel(p_hat), sobel(p))


def _premultiply(x: Tensor) -> Tensor:
    colour, alpha = x[:, :3], x[:, 3:]
    return torch.cat([colour * alpha, alpha], 1)
