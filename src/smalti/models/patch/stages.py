"""Two patch autoencoders, one upon the other: fewer and larger cells, trained one at a time."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from smalti.errors import OptionError
from smalti.models.base import Model
from smalti.models.patch.model import PatchAutoencoder, PatchConfig

FIRST = PatchConfig()
SECOND = PatchConfig(latent_channels=64, patch=4, decoder="simple", channels=16)  # d32c64


@dataclass(frozen=True)
class StackedConfig:
    """The defaults are d32c64: 64 numbers for each 32 x 32 patch, a quarter of f8c16's."""

    first: PatchConfig = FIRST
    second: PatchConfig = SECOND

    def __post_init__(self) -> None:
        if self.second.channels != self.first.latent_channels:
            raise OptionError(
                f"second.channels={self.second.channels}; the latents of the first stage have "
                f"{self.first.latent_channels} channels"
            )


class StackedPatchAutoencoder(Model):
    """x ─first─→ y ─gains─second─→ z ─→ ŷ ─first─→ x̂

    The first stage is frozen: its parameters take no gradients. The second sees the latents y as
    a picture. Each channel of y is multiplied by how much it moves the picture, so that for small
    errors the squared error of the latents is that of the picture.

    Pictures `B 3 H W` in [-1, 1], of any size; latents `B Z h w` with h = ceil(H / 32).
    """

    Config: ClassVar[type] = StackedConfig
    gains: Tensor  # of the first stage's latent channels, "Y 1 1"

    def __init__(self, config: StackedConfig | None = None) -> None:
        super().__init__(config)
        self.first = PatchAutoencoder(self.config.first).requires_grad_(False)
        self.second = PatchAutoencoder(self.config.second)
        self.second.takes_pictures = False
        self.register_buffer("gains", torch.ones(self.config.first.latent_channels, 1, 1))

    @property
    def factor(self) -> int:
        return self.first.factor * self.second.factor

    @property
    def channels(self) -> int:
        return self.first.channels

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        height, width = x.shape[-2:]
        return self.decode(self.encode(x), (height, width))

    def encode(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B Z h w"]:
        """Latents of pictures in [-1, 1]; the last row and column are repeated to whole patches."""
        return self.second.encode(self.between(x))

    def decode(
        self, z: Float[Tensor, "B Z h w"], size: tuple[int, int] | None = None
    ) -> Float[Tensor, "B C H W"]:
        """Pictures of latents, about in [-1, 1]; cropped to `size` (height, width) if given."""
        return self.first.decode(self.second.decode(z) / self.gains, size)

    def load_first(self, name: str | Path) -> None:
        """Take the first stage's weights from a set of weights of a `PatchAutoencoder`.

        Raises:
            WeightsError: no such weights.
            OptionError: weights of another config than `first`.
        """
        trained = PatchAutoencoder.from_pretrained(name)
        if trained.config != self.config.first:
            raise OptionError(f"{name} has {trained.config}, not {self.config.first}")
        self.first.load_state_dict(trained.state_dict())

    def between(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B Y h w"]:
        """What the second stage codes: the first one's latents, times `gains`."""
        return self.gains * self.first.encode(x)

    @torch.no_grad()
    def set_gains(self, pictures: Float[Tensor, "B C H W"]) -> None:
        """Measure how much each latent channel of the first stage moves these pictures.

        Every cell of a channel is moved by 0.1, up or down at random. The gains are such that the
        mean squared error of latents estimates that of pictures.
        """
        y = self.first.encode(pictures)
        before = self.first.decode(y)
        random = torch.Generator().manual_seed(0)
        for channel in range(y.shape[1]):
            moved = y.clone()
            signs = torch.randint(0, 2, y[:, channel].shape, generator=random) * 2 - 1
            moved[:, channel] += 0.1 * signs.to(y)
            change = self.first.decode(moved) - before
            self.gains[channel] = change.square().mean().sqrt() / 0.1 * y.shape[1] ** 0.5
