"""RGBA autoencoder: a picture with transparency as four numbers for each 16 x 16 texels."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from smalti.models.base import Model
from smalti.models.tiling import by_tiles, joined, tiles


@dataclass(frozen=True)
class RgbaConfig:
    """The defaults are Parallax Vision Boxes-RGBA: 493,876 parameters."""

    latent_channels: int = 4
    width: int = 32  # channels after the first convolution; doubled at each of the next three


class RgbaAutoencoder(Model):
    """x ─encoder→ z ─decoder→ x̂

    Pictures are `B 4 H W`, sRGB-encoded with straight alpha, in [-1, 1] as those of every model,
    H and W multiples of 16; the network itself, as published, has them in [0, 1]. The latent z is `B 4 H/16 W/16`, unbounded real numbers.

    The children of `encoder` and `decoder` keep the numbering of the original's state dict
    (`encoder.{0,2,4,6,8}`, `decoder.{0,3,6,9}`), so its checkpoint loads unchanged.
    Layers: model card of Parallax Vision Boxes-RGBA.
    """

    Config = RgbaConfig
    factor = 16  # texels a latent, along each side
    channels = 4

    def __init__(self, config: RgbaConfig | None = None) -> None:
        super().__init__(config)
        latent, w = self.config.latent_channels, self.config.width
        self.encoder = nn.Sequential(
            nn.Conv2d(4, w, 3, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(w, 2 * w, 3, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * w, 4 * w, 3, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(4 * w, 8 * w, 3, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(8 * w, latent, 1),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(latent, 8 * w, 3, padding=1),
            nn.PixelShuffle(2),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * w, 4 * w, 3, padding=1),
            nn.PixelShuffle(2),
            nn.LeakyReLU(0.2),
            nn.Conv2d(w, 2 * w, 3, padding=1),
            nn.PixelShuffle(2),
            nn.LeakyReLU(0.2),
            nn.Conv2d(w // 2, 16, 3, padding=1),
            nn.PixelShuffle(2),
            nn.Sigmoid(),
        )

    def forward(self, x: Float[Tensor, "B 4 H W"]) -> Float[Tensor, "B 4 H W"]:
        return self.decode(self.encode(x))

    def encode(
        self, x: Float[Tensor, "B 4 H W"], *, tile: int | None = None
    ) -> Float[Tensor, "B C H/16 W/16"]:
        """Latents of pictures in [-1, 1], all at once or by tiles as `encode_unit`."""
        self.check_pictures(x)
        return self.encode_unit((x + 1) / 2, tile=tile)

    def decode(
        self, z: Float[Tensor, "B C h w"], *, tile: int | None = None
    ) -> Float[Tensor, "B 4 16*h 16*w"]:
        """Pictures in [-1, 1] of latents, all at once or by tiles as `encode_unit`."""
        return 2 * self.decode_unit(z, tile=tile) - 1

    def encode_unit(
        self, x: Float[Tensor, "B 4 H W"], *, tile: int | None = None
    ) -> Float[Tensor, "B C H/16 W/16"]:
        """Latents of pictures in [0, 1], as files have them: no rounding on the way.

        Args:
            tile: at most tile x tile cells of the latent at once, with the same result and
                memory for one tile; without gradients. None: all at once.
        """
        if tile is None:
            return self.encoder(x)
        rows, columns = x.shape[2] // self.factor, x.shape[3] // self.factor
        z = x.new_empty(len(x), self.config.latent_channels, rows, columns)
        # four times a stride of 2: 15 texels to the left and above, none beyond the cell
        with torch.no_grad():
            return by_tiles(self.encoder, x, z, cell_in=self.factor, cell_out=1, halo=1, tile=tile)

    def decode_unit(
        self, z: Float[Tensor, "B C h w"], *, tile: int | None = None
    ) -> Float[Tensor, "B 4 16*h 16*w"]:
        """Pictures in [0, 1] of latents, all at once or by tiles as `encode_unit`."""
        if tile is None:
            return self.decoder(z)
        height, width = z.shape[2] * self.factor, z.shape[3] * self.factor
        x_hat = z.new_empty(len(z), self.channels, height, width)
        return joined(self.decode_tiles(z, tile=tile), x_hat)

    @torch.no_grad()
    def decode_tiles(
        self, z: Float[Tensor, "B C h w"], *, tile: int
    ) -> Iterator[tuple[int, int, Float[Tensor, "B 4 m n"]]]:
        """Row, column and texels of each part of `decode_unit`, one after the other."""
        # 3 x 3 convolutions at 1, 1/2, 1/4 and 1/8 of a cell: 1.875 cells
        yield from tiles(self.decoder, z, cell_in=1, cell_out=self.factor, halo=2, tile=tile)
