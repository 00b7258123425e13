"""R2IR and R2ID exactly as published: a resampler and a diffuser without a fixed resolution.

Kept for its published figures and checkpoints, faults included; `models.resampler` and
`models.diffuser` are the same idea with the faults mended. docs/R2_LEGACY.md lists them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from smalti.errors import ImageError, OptionError
from smalti.models.base import Model
from smalti.models.legacy.blocks import (
    CrossBlock,
    SelfBlock,
    TextBlock,
    legacy_positions,
    time_features,
)
from smalti.models.legacy.names import DIFFUSER, LABEL_ENCODER, RESAMPLER, from_original

Size = tuple[int, int]  # height, width


@dataclass(frozen=True)
class LegacyResamplerConfig:
    """The defaults are the published R2IR: 3,668,993 parameters."""

    channels: int = 1
    latent_channels: int = 64
    width: int = 192
    encoder_blocks: int = 4
    decoder_blocks: int = 4
    heads: int = 6
    n_high: int = 10  # frequencies π 2^0 .. π 2^(n_high - 1)
    n_low: int = 6  # and below: π 2^-n_low .. π 2^-1
    dropout: float = 0.1  # after an attention
    ffn_dropout: float = 0.2  # inside a feed-forward network

    def __post_init__(self) -> None:
        _check_heads(self.width, self.heads)


@dataclass(frozen=True)
class LegacyDiffuserConfig:
    """The defaults are the published R2ID: 10,385,920 parameters."""

    latent_channels: int = 64
    width: int = 192
    encoder_blocks: int = 8
    decoder_blocks: int = 8
    heads: int = 6
    n_high: int = 10
    n_low: int = 6
    time_high: int = 7
    time_low: int = 3
    film: int = 128  # numbers of the time vector
    dropout: float = 0.1  # after a self-attention
    cross_dropout: float = 0.1
    ffn_dropout: float = 0.2

    def __post_init__(self) -> None:
        _check_heads(self.width, self.heads)


@dataclass(frozen=True)
class LegacyLabelEncoderConfig:
    classes: int = 10
    tokens: int = 2
    width: int = 192


class LegacyResampler(Model):
    """encode:  t = E_img[x; pos(H, W)]  q = E_pos(pos(h, w))  ─blocks(q, t)→ tanh O_lat = z
    decode:  t = E_lat[z; pos(h, w)]  q = E_pos(pos(H, W))  ─blocks(q, t)→ tanh O_img = x̂

    Pictures are `B C H W` in [-1, 1] of any size and aspect ratio, latents `B Z h w` in (-1, 1)
    of any other. In training every coordinate is jittered, anew at every use. Both heads start
    at zero, so that a new model draws grey.

    Specification: R2IR of Yegor-men/resolution-invariant-image-diffuser, commit b5f134e.
    """

    Config = LegacyResamplerConfig
    factor = 1

    def __init__(self, config: LegacyResamplerConfig | None = None) -> None:
        super().__init__(config)
        c = self.config
        positions = 8 * (c.n_high + c.n_low)
        self.image_in = nn.Linear(c.channels + positions, c.width)
        self.position_in = nn.Linear(positions, c.width)
        self.latent_in = nn.Linear(c.latent_channels + positions, c.width)
        self.latent_out = _zeros(nn.Linear(c.width, c.latent_channels))
        self.image_out = _zeros(nn.Linear(c.width, c.channels))
        block = (c.width, c.heads, c.dropout, c.ffn_dropout)
        self.encoder = nn.ModuleList([CrossBlock(*block) for _ in range(c.encoder_blocks)])
        self.decoder = nn.ModuleList([CrossBlock(*block) for _ in range(c.decoder_blocks)])

    @property
    def channels(self) -> int:
        return self.config.channels

    def forward(self, x: Float[Tensor, "B C H W"], *, scale: int = 8) -> Float[Tensor, "B C H W"]:
        """x̂ in (-1, 1): what training minimises the squared distance to x of."""
        return self.decode(self.encode(x, scale=scale), (x.shape[2], x.shape[3]))

    def encode(
        self, x: Float[Tensor, "B C H W"], size: Size | None = None, *, scale: int = 8
    ) -> Float[Tensor, "B Z h w"]:
        """Latents in (-1, 1) of `size` (height, width), or of the picture's divided by `scale`.

        Raises:
            ImageError: no `B C H W`, or a size without rows or columns.
        """
        size = size or (x.shape[2] // scale, x.shape[3] // scale)
        z = self._resample(x, size, self.image_in, self.encoder, self.latent_out)
        return z.transpose(1, 2).unflatten(2, size)

    def decode(
        self, z: Float[Tensor, "B Z h w"], size: Size | None = None, *, scale: int = 8
    ) -> Float[Tensor, "B C H W"]:
        """Pictures in (-1, 1) of `size` (height, width), or of the latent's times `scale`.

        Raises:
            ImageError: no `B Z h w`, or a size without rows or columns.
        """
        size = size or (z.shape[2] * scale, z.shape[3] * scale)
        x_hat = self._resample(z, size, self.latent_in, self.decoder, self.image_out)
        return x_hat.transpose(1, 2).unflatten(2, size)

    @classmethod
    def from_original(cls, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return from_original(tensors, RESAMPLER)

    def _resample(
        self, source: Tensor, size: Size, enter: nn.Linear, blocks: nn.ModuleList, leave: nn.Linear
    ) -> Float[Tensor, "B N out"]:
        check_sizes(source, size, enter.in_features - self.position_in.in_features)
        t = enter(with_positions(self, source))
        x = self.position_in(positions(self, len(source), size))
        for block in blocks:
            x = block(x, t)
        return leave(x).tanh()


class LegacyDiffuser(Model):
    """z_t, pos ─E→ x ─8 SelfBlocks→ x ─8 TextBlocks, once a conditioning→ ─O→ ε̂

    f is the time vector that every norm gets. Latents are `B Z h w` of any size; O starts at zero.

    Specification: R2ID of Yegor-men/resolution-invariant-image-diffuser, commit b5f134e.
    """

    Config = LegacyDiffuserConfig
    factor = 1

    def __init__(self, config: LegacyDiffuserConfig | None = None) -> None:
        super().__init__(config)
        c = self.config
        self.latent_in = nn.Linear(c.latent_channels + 8 * (c.n_high + c.n_low), c.width)
        self.noise_out = _zeros(nn.Linear(c.width, c.latent_channels))
        self.film = nn.Sequential(
            nn.Linear(2 * (c.time_high + c.time_low), c.film),
            nn.SiLU(),
            nn.Linear(c.film, c.film),
            nn.SiLU(),
        )
        own, rest = (c.width, c.heads, c.film, c.dropout), c.ffn_dropout
        self.encoder = nn.ModuleList([SelfBlock(*own, rest) for _ in range(c.encoder_blocks)])
        self.decoder = nn.ModuleList(
            [TextBlock(*own, c.cross_dropout, rest) for _ in range(c.decoder_blocks)]
        )

    @property
    def channels(self) -> int:
        return self.config.latent_channels

    def forward(
        self,
        z: Float[Tensor, "B Z h w"],
        alpha_bar: Float[Tensor, " B"],
        conditions: Sequence[Float[Tensor, "B T C"]],
    ) -> list[Float[Tensor, "B Z h w"]]:
        """The noise in z, once for each conditioning.

        Args:
            z: √ᾱ z_0 + √(1 - ᾱ) ε.
            alpha_bar: in [0, 1]; 1 is no noise.
            conditions: tokens of `LegacyLabelEncoder`, or any of the width C.

        Raises:
            ImageError: no `B Z h w`.
        """
        size = (z.shape[2], z.shape[3])
        check_sizes(z, size, self.config.latent_channels)
        f = self.time(alpha_bar)
        x = self.latent_in(with_positions(self, z))
        for block in self.encoder:
            x = block(x, f)
        found = []
        for text in conditions:
            y = x
            for block in self.decoder:
                y = block(y, f, text)
            found.append(self.noise_out(y).transpose(1, 2).unflatten(2, size))
        return found

    def time(self, alpha_bar: Float[Tensor, " B"]) -> Float[Tensor, "B film"]:
        features = time_features(alpha_bar, self.config.time_high, self.config.time_low)
        return self.film(features.to(self.dtype))

    @classmethod
    def from_original(cls, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return from_original(tensors, DIFFUSER)


class LegacyLabelEncoder(Model):
    """one-hot label ─Linear→ T x C ─LayerNorm→ tokens; no label is a row of zeros.

    4,608 parameters. Oddity of the original: it is never trained.
    """

    Config = LegacyLabelEncoderConfig
    factor = 1
    channels = 1

    def __init__(self, config: LegacyLabelEncoderConfig | None = None) -> None:
        super().__init__(config)
        self.tokens = nn.Linear(self.config.classes, self.config.tokens * self.config.width)
        self.norm = nn.LayerNorm(self.config.width)

    def forward(
        self, labels: Int[Tensor, " B"] | None, *, batch: int = 1
    ) -> Float[Tensor, "B T C"]:
        """Tokens of labels in 0 .. classes - 1, -1 for none; or of `batch` times none.

        Raises:
            OptionError: a label out of range.
        """
        classes = self.config.classes
        if labels is None:
            labels = torch.full((batch,), -1)
        if labels.min() < -1 or labels.max() >= classes:
            raise OptionError(
                f"labels {int(labels.min())} .. {int(labels.max())}; they are 0 .. {classes - 1}, "
                "or -1 for none"
            )
        known = torch.arange(classes, device=self.device)
        one_hot = (labels.to(self.device).unsqueeze(1) == known).to(self.dtype)
        return self.norm(self.tokens(one_hot).unflatten(1, (self.config.tokens, -1)))

    @classmethod
    def from_original(cls, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return from_original(tensors, LABEL_ENCODER)


def positions(model: Model, batch: int, size: Size) -> Float[Tensor, "B N 8*F"]:
    """Of a grid; jittered in training, else the same for the whole batch."""
    c = model.config
    drawn = batch if model.training else None
    found = legacy_positions(*size, c.n_high, c.n_low, jittered=drawn, device=model.device)
    return found.to(model.dtype).expand(batch, -1, -1)


def with_positions(model: Model, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B N C+8*F"]:
    tokens = x.to(model.device, model.dtype).flatten(2).transpose(1, 2)
    return torch.cat([tokens, positions(model, len(x), (x.shape[2], x.shape[3]))], dim=2)


def check_sizes(x: Tensor, size: Size, channels: int) -> None:
    """Refuse what has no token, or other channels."""
    if x.ndim != 4 or x.shape[1] != channels or not x.shape[2] * x.shape[3]:
        raise ImageError(f"input of shape {tuple(x.shape)}; it is B {channels} H W, not empty")
    if min(size) < 1:
        raise ImageError(f"{size[0]} x {size[1]} asked for; both sides are at least 1")


def _check_heads(width: int, heads: int) -> None:
    if heads < 1 or width % heads:
        raise OptionError(f"{heads} heads of {width} channels; heads divide the width")


def _zeros(layer: nn.Linear) -> nn.Linear:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


# For colour pictures and a sixteenth of their sides: 27,576,067 and 247,722,496 parameters.
RESAMPLER_16X = LegacyResamplerConfig(
    channels=3, latent_channels=768, width=1024, encoder_blocks=1, decoder_blocks=1, heads=16,
    n_high=16, n_low=16,
)  # fmt: skip
DIFFUSER_16X = LegacyDiffuserConfig(latent_channels=768, width=1024, heads=16, n_high=16, n_low=16)
