"""Patch autoencoder: each 8 x 8 patch by itself to 16 numbers, and back with a small neighbourhood.

This file is the model as it is specified and trained. `fast` computes the same faster,
`packed` the same of pictures of different sizes in one batch; `stages` puts one model upon
another.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from smalti.errors import ImageError, OptionError
from smalti.models.base import Model, check_range

DECODERS = ("full", "1x1", "simple")


@dataclass(frozen=True)
class PatchConfig:
    """The defaults are StupidAE f8c16: 13,243,539 parameters, 16 numbers for each 8 x 8 patch."""

    latent_channels: int = 16
    patch: int = 8  # texels a cell of the latent, along each side
    width: int = 512  # channels of every hidden layer
    blocks: int = 2  # GEGLU blocks of the encoder; pairs of blocks of the decoder
    decoder: str = "full"  # "1x1": no 3 x 3 convolution; "simple": no pixel head
    features: int = 32  # of a texel in the pixel head
    channels: int = 3  # of the picture; those of a latent where one model codes another's

    def __post_init__(self) -> None:
        if self.decoder not in DECODERS:
            raise OptionError(f"decoder {self.decoder!r}; it is one of {', '.join(DECODERS)}")


class PatchAutoencoder(Model):
    """x ─patches→ 1x1 layers ─→ z ─1x1 and 3x3 layers→ h ─pixel head→ x̂

    Pictures are `B 3 H W`, sRGB-encoded, in [-1, 1], of any size; the latent z is
    `B 16 h w` with h = ceil(H / 8), w = ceil(W / 8), unbounded real numbers, without scaling.
    Only the two 3 x 3 convolutions of the decoder see neighbours, so decoding a part of the
    latent with two cells more on each side gives exactly that part of the picture.

    The names of the children are those of the original's state dict, so its checkpoint loads
    unchanged. Layers: model card of StupidAE f8c16.
    """

    Config: ClassVar[type] = PatchConfig

    def __init__(self, config: PatchConfig | None = None) -> None:
        super().__init__(config)
        self.takes_pictures = True  # and no latents of another stage, which have no range
        self.encoder = nn.Sequential(PatchEncoder(self.config))
        head = SimpleDecoder if self.config.decoder == "simple" else PixelHeadDecoder
        self.decoder = nn.Sequential(head(self.config))

    @property
    def factor(self) -> int:
        return self.config.patch

    @property
    def channels(self) -> int:
        return self.config.channels

    @property
    def halo(self) -> int:
        """Cells around a part of the latent that its picture depends on."""
        return 0 if self.config.decoder == "1x1" else self.config.blocks

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """x̂: what training minimises against x."""
        height, width = x.shape[-2:]
        return self.decode(self.encode(x), (height, width))

    def encode(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B Z h w"]:
        """Latents of pictures in [-1, 1]; the last row and column are repeated to whole patches.

        Raises:
            ImageError: not `B C H W` with the model's number of channels.
        """
        bottom, right = -x.shape[-2] % self.factor, -x.shape[-1] % self.factor
        return self.encoder(F.pad(self.checked(x), (0, right, 0, bottom), mode="replicate"))

    def decode(
        self, z: Float[Tensor, "B Z h w"], size: tuple[int, int] | None = None
    ) -> Float[Tensor, "B C H W"]:
        """Pictures of latents, about in [-1, 1]; cropped to `size` (height, width) if given."""
        x_hat = self.decoder(z)
        return x_hat if size is None else x_hat[:, :, : size[0], : size[1]]

    def checked(self, x: Tensor) -> Tensor:
        if x.ndim != 4 or x.shape[1] != self.config.channels:
            raise ImageError(
                f"PatchAutoencoder takes B {self.config.channels} H W, not {tuple(x.shape)}"
            )
        if self.takes_pictures and not self.training:
            check_range(x)
        return x


class PatchEncoder(nn.Module):
    """Patches to latents; no cell sees another."""

    def __init__(self, config: PatchConfig) -> None:
        super().__init__()
        width, patch = config.width, config.patch
        self.initial = nn.Sequential(nn.Conv2d(config.channels, width, patch, stride=patch))
        self.blocks = nn.ModuleList(GegluBlock(width) for _ in range(config.blocks))
        self.out = Mlp(width, width, config.latent_channels)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B Z h w"]:
        x = self.initial(x)
        for block in self.blocks:
            x = block(x)
        return self.out(x)


class PixelHeadDecoder(nn.Module):
    """Latents to features of cells, and those to the weights of a network that draws each cell."""

    def __init__(self, config: PatchConfig) -> None:
        super().__init__()
        width, self.patch = config.width, config.patch
        kernel = 1 if config.decoder == "1x1" else 3
        self.conv_in = Mlp(config.latent_channels, width, width)
        self.blocks = nn.ModuleList(
            block
            for _ in range(config.blocks)
            for block in (ConvBlock(width, kernel), GegluBlock(width))
        )
        self.nerf = nn.ModuleList([PixelHead(width, config.features)])
        self.positions = nn.Parameter(torch.randn(1, config.patch**2, config.features))
        self.last = nn.Linear(config.features, config.channels)

    def forward(self, z: Float[Tensor, "B Z h w"]) -> Float[Tensor, "B C H W"]:
        h = self.conv_in(z)
        for block in self.blocks:
            h = block(h)
        cells = h.permute(0, 2, 3, 1).flatten(0, 2)  # "N width", N = B h w
        texels = self.last(self.nerf[0](self.positions, cells))  # "N patch*patch C"
        grid = texels.unflatten(0, (h.shape[0], *h.shape[2:])).unflatten(3, (self.patch, -1))
        return grid.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)


class SimpleDecoder(nn.Module):
    """Latents to features of cells, and those to the texels of each cell at once."""

    def __init__(self, config: PatchConfig) -> None:
        super().__init__()
        width, texels = config.width, config.channels * config.patch**2
        self.conv_in = Mlp(config.latent_channels, width, width)
        self.blocks = nn.ModuleList(ConvBlock(width, 3) for _ in range(config.blocks))
        self.last = nn.Sequential(Mlp(width, width, texels), nn.PixelShuffle(config.patch))

    def forward(self, z: Float[Tensor, "B Z h w"]) -> Float[Tensor, "B C H W"]:
        h = self.conv_in(z)
        for block in self.blocks:
            h = block(h)
        return self.last(h)


class PixelHead(nn.Module):
    """Q = P + SiLU(RMSNorm(P) L1) L2, with the matrices L1, L2 of each cell made of its features.

    P, one row a texel of the cell, is shared by all cells; L1's columns have length 1.
    """

    def __init__(self, width: int, features: int) -> None:
        super().__init__()
        self.param_gen = nn.Linear(width, 2 * features * features)
        self.norm = nn.RMSNorm(features)

    def forward(
        self, positions: Float[Tensor, "1 P F"], cells: Float[Tensor, "N width"]
    ) -> Float[Tensor, "N P F"]:
        side = positions.shape[-1]
        first, second = self.param_gen(cells).unflatten(1, (2, side, side)).unbind(1)
        first = F.normalize(first, dim=-2)
        hidden = F.silu(self.norm(positions) @ first)
        return positions + hidden @ second


class GegluBlock(nn.Module):
    """x + down(a * GELU(b)), with (a, b) = up(norm(x)); Shazeer 2020, arXiv 2002.05202."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(width)
        self.mlp = Geglu(width)

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h w"]:
        return x + self.mlp(self.norm(x))


class Geglu(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv_up = nn.Conv2d(width, 4 * width, 1)
        self.conv_down = nn.Conv2d(2 * width, width, 1)

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h w"]:
        a, b = self.conv_up(x).chunk(2, dim=1)
        return self.conv_down(a * F.gelu(b, approximate="tanh"))


class ConvBlock(nn.Module):
    """x + Conv3x3(GELU(Conv1x1(norm(x)))), or with a second Conv1x1 if `kernel` is 1."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(width)
        self.mlp = nn.Sequential(
            nn.Conv2d(width, width, 1),
            nn.GELU(approximate="tanh"),
            nn.Conv2d(width, width, kernel, padding=kernel // 2),
        )

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h w"]:
        return x + self.mlp(self.norm(x))


class Mlp(nn.Module):
    def __init__(self, n_in: int, hidden: int, n_out: int) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.Conv2d(n_in, hidden, 1), nn.GELU(), nn.Conv2d(hidden, n_out, 1)
        )

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B c h w"]:
        return self.model(x)


class ChannelNorm(nn.Module):
    """Each texel's channels divided by their root mean square, times a gain a channel."""

    EPSILON = 1e-8

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h w"]:
        scale = torch.rsqrt(x.square().mean(1, keepdim=True) + self.EPSILON)
        return x * scale * self.weight.view(-1, 1, 1)
