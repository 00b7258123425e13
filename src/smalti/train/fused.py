"""The same functions of a model's layers, in less time.

`fuse` replaces pairs of layers of a model's `nn.Sequential`s. Parameters, their names and, up
to rounding, results and gradients stay; so weights files and checkpoints do not show it.

    GroupNorm, SiLU                one pass over memory for both (on a CPU)
    nearest x 2, Conv 3x3          one transposed convolution 4x4: 16 products a value, not 36
    Conv 3x3, Conv 4x4 stride 2    one convolution 6x6 stride 2 of the picture's few channels
"""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from smalti.models.base import Model


def fuse(model: Model) -> Model:
    """The model itself, with quicker layers in place."""
    for sequence in [m for m in model.modules() if type(m) is nn.Sequential]:
        for i in range(len(sequence) - 1):
            first: Any = sequence[i]
            second: Any = sequence[i + 1]
            if type(first) is nn.GroupNorm and type(second) is nn.SiLU:
                sequence[i], sequence[i + 1] = _as(GroupNormSilu, first), nn.Identity()
            elif _doubles(first) and _is_plain_3x3(second):
                sequence[i], sequence[i + 1] = nn.Identity(), _as(DoublingConv, second)
            elif _is_plain_3x3(first) and first.in_channels <= 4 and _halves(second):
                sequence[i], sequence[i + 1] = _as(Passing, first), _as(HalvingPair, second)
                sequence[i + 1].__dict__["first"] = sequence[i]  # no child: its name stays
    return model


class GroupNormSilu(nn.GroupNorm):
    """SiLU(GroupNorm(x))"""

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        if x.device.type == "cpu" and x.dtype in (torch.float32, torch.bfloat16):
            return _GroupNormSilu.apply(x, self.weight, self.bias, self.num_groups, self.eps)
        return F.silu(super().forward(x))


class DoublingConv(nn.Conv2d):
    """Conv3x3 of x with each texel repeated 2 x 2, as one transposed convolution.

    Of the three rows of taps, two always meet copies of one texel, so the taps can be added up
    beforehand: an even row sees (w0, w1 + w2), an odd row (w0 + w1, w2).
    """

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B O 2*h 2*w"]:
        kernel = _spread(_spread(self.weight, 2), 3).transpose(0, 1)
        dtype = x.dtype
        if torch.is_autocast_enabled(x.device.type):
            dtype = torch.get_autocast_dtype(x.device.type)
        y = F.conv_transpose2d(
            x.to(dtype),
            kernel.to(dtype, memory_format=torch.channels_last),
            stride=2,
            padding=1,
        )
        return _AddBias.apply(y, self.bias)


def _spread(weight: Tensor, dim: int) -> Tensor:
    """Three taps along a dimension to the four of the transposed convolution."""
    first, middle, last = weight.unbind(dim)
    return torch.stack([last, middle + last, first + middle, first], dim)


class Passing(nn.Conv2d):
    """The first convolution of a `HalvingPair`, which does its work."""

    def forward(self, x: Tensor) -> Tensor:
        return x


class HalvingPair(nn.Conv2d):
    """Conv4x4 stride 2 of Conv3x3 of x: linear after linear, so one convolution 6x6 stride 2.

    But for the border: the second convolution sees zeros around the first one's result, where
    the 6x6 kernel sees what the first would have been there. That is taken away again, a strip
    for each side; the strips above and below have the corners.
    """

    first: nn.Conv2d

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B O H/2 W/2"]:
        w1, b1, w2 = self.first.weight, self.first.bias, self.weight
        assert b1 is not None
        assert self.bias is not None
        if x.shape[2] % 2 or x.shape[3] % 2:
            return super().forward(F.conv2d(x, w1, b1, padding=1))
        with torch.autocast(x.device.type, enabled=False):
            kernel = F.conv2d(w2, w1.transpose(0, 1).flip(2, 3), padding=2)  # O C 6 6
            bias = self.bias + torch.einsum("omij,m->o", w2, b1)
        y = F.conv2d(x, kernel, bias, stride=2, padding=2)
        above = F.conv2d(x[:, :, :1], w1[:, :, 2:], b1, padding=(0, 2))
        below = F.conv2d(x[:, :, -1:], w1[:, :, :1], b1, padding=(0, 2))
        left = F.conv2d(x[..., :1], w1[..., 2:], b1, padding=(1, 0))
        right = F.conv2d(x[..., -1:], w1[..., :1], b1, padding=(1, 0))
        y[:, :, :1] -= F.conv2d(above, w2[:, :, :1], stride=(1, 2))
        y[:, :, -1:] -= F.conv2d(below, w2[:, :, 3:], stride=(1, 2))
        y[..., :1] -= F.conv2d(left, w2[..., :1], stride=(2, 1), padding=(1, 0))
        y[..., -1:] -= F.conv2d(right, w2[..., 3:], stride=(2, 1), padding=(1, 0))
        return y


class _AddBias(torch.autograd.Function):
    """y + bias a channel, in place; the bias' gradient by a matrix product, quick in bfloat16."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, bias: Tensor) -> Tensor:
        ctx.mark_dirty(y)
        ctx.kind = bias.dtype
        return y.add_(bias.to(y.dtype).view(1, -1, 1, 1))

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor]:
        rows = dy.permute(0, 2, 3, 1).flatten(1, 2)  # N P C
        sums = rows.new_ones(len(rows), 1, rows.shape[1]) @ rows
        return dy, sums.to(ctx.kind).sum((0, 1))


class _GroupNormSilu(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, gamma: Tensor, beta: Tensor, groups: int, epsilon: float
    ) -> Tensor:
        from smalti.train.norm_kernels import forward

        x = x.contiguous(memory_format=torch.channels_last)
        y = torch.empty_like(x)
        mean, rstd = torch.empty(2, len(x), groups)
        weights = gamma.detach().float().numpy(), beta.detach().float().numpy()
        forward(
            _array(x), *weights, groups, epsilon, _array(y), mean.numpy(), rstd.numpy(),
            threads=torch.get_num_threads(),
        )  # fmt: skip
        ctx.save_for_backward(x, gamma, beta, mean, rstd)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        from smalti.train.norm_kernels import backward

        x, gamma, beta, mean, rstd = ctx.saved_tensors
        dy = dy.to(x.dtype).contiguous(memory_format=torch.channels_last)
        dx = torch.empty_like(x)
        d_gamma, d_beta = torch.empty(2, len(x), len(gamma))
        weights = gamma.detach().float().numpy(), beta.detach().float().numpy()
        backward(
            _array(dy), _array(x), *weights, mean.numpy(), rstd.numpy(), _array(dx),
            d_gamma.numpy(), d_beta.numpy(), threads=torch.get_num_threads(),
        )  # fmt: skip
        return dx, d_gamma.sum(0), d_beta.sum(0), None, None


def _array(x: Tensor) -> np.ndarray:
    """A channels-last `N C H W` tensor as `N P C`, of the same memory; of bfloat16 its bits."""
    rows = x.detach().permute(0, 2, 3, 1).flatten(1, 2)
    return (rows.view(torch.uint16) if x.dtype == torch.bfloat16 else rows).numpy()


def _as(cls: type[nn.Module], module: nn.Module) -> nn.Module:
    """A module of the same parameters and settings, of a subclass of its class."""
    twin = cls.__new__(cls)
    twin.__dict__.update(module.__dict__)
    return twin


def _doubles(module: nn.Module) -> bool:
    return (
        type(module) is nn.Upsample
        and module.mode == "nearest"
        and module.scale_factor in (2, 2.0, (2, 2), (2.0, 2.0))
    )


def _halves(module: nn.Module) -> bool:
    return type(module) is nn.Conv2d and (
        (module.kernel_size, module.stride, module.padding, module.dilation, module.groups)
        == ((4, 4), (2, 2), (1, 1), (1, 1), 1)
        and module.bias is not None
        and module.padding_mode == "zeros"
    )


def _is_plain_3x3(module: nn.Module) -> bool:
    return type(module) is nn.Conv2d and (
        (module.kernel_size, module.stride, module.padding, module.dilation, module.groups)
        == ((3, 3), (1, 1), (1, 1), (1, 1), 1)
        and module.bias is not None
        and module.padding_mode == "zeros"
    )
