"""FSQ image tokenizer: a picture as a grid of integers from one fixed codebook."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from smalti.errors import OptionError
from smalti.models.base import Model
from smalti.models.layers import fsq
from smalti.models.tiling import joined, layers_by_tiles, layers_in_tiles

HELD = 3 << 24  # bytes of a layer's result that decoding by tiles stores whole; else again


@dataclass(frozen=True)
class FsqConfig:
    """The defaults are QKVAE-1m: 1,063,304 parameters, 15,360 codes, one token for 2 x 2 texels."""

    levels: tuple[int, ...] = (8, 8, 8, 6, 5)
    width: int = 104  # channels of every hidden layer, a multiple of 8
    blocks: int = 2  # residual blocks on each side, at the tokens' resolution
    factor: int = 2  # texels a token, along each side: 2, 4, 8, ...

    def __post_init__(self) -> None:
        if self.factor < 2 or self.factor & (self.factor - 1):
            raise OptionError(f"factor {self.factor}; it is a power of two, at least 2")


class FsqAutoencoder(Model):
    """x ─encoder→ z ─FSQ→ digits ⇄ tokens;  digits ─dequantise→ ẑ ─decoder→ x̂

    Pictures are `B 3 H W`, sRGB-encoded, in [-1, 1], H and W multiples of 2 (`config.factor`);
    tokens are `B H/2 W/2` integers in 0 .. codebook_size - 1 (15,360 by default).

    Quantiser: Mentzer et al. 2023, arXiv 2309.15505. Layers: QKVAE-1m's model card.
    """

    Config = FsqConfig
    channels = 3

    def __init__(self, config: FsqConfig | None = None) -> None:
        super().__init__(config)
        width, dims = self.config.width, len(self.config.levels)
        halvings = self.config.factor.bit_length() - 2  # before the last one
        self.encoder = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1),
            *[layer for _ in range(halvings) for layer in (_halve(width), ResidualBlock(width))],
            _halve(width),
            *[ResidualBlock(width) for _ in range(self.config.blocks)],
            nn.GroupNorm(8, width),
            nn.SiLU(),
            nn.Conv2d(width, dims, 1),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(dims, width, 3, padding=1),
            *[ResidualBlock(width) for _ in range(self.config.blocks)],
            *[layer for _ in range(halvings) for layer in (*_double(width), ResidualBlock(width))],
            *_double(width),
            nn.SiLU(),
            nn.GroupNorm(8, width),
            nn.SiLU(),
            nn.Conv2d(width, 3, 3, padding=1),
            nn.Tanh(),
        )

    @property
    def factor(self) -> int:
        return self.config.factor

    @property
    def codebook_size(self) -> int:
        return fsq.codebook_size(self.config.levels)

    def forward(self, x: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 3 H W"]:
        """x̂ in [-1, 1], with straight-through gradients: what training minimises against x."""
        return self.decoder(fsq.quantize(self.encoder(x), self.config.levels))

    def encode(self, x: Float[Tensor, "B 3 H W"]) -> Int[Tensor, "B H/2 W/2"]:
        """Tokens of pictures in [-1, 1]."""
        return fsq.to_index(self.digits(x), self.config.levels)

    def decode(
        self, tokens: Int[Tensor, "B h w"] | Int[Tensor, "B n"], size: tuple[int, int] | None = None
    ) -> Float[Tensor, "B 3 2*h 2*w"]:
        """Pictures in [-1, 1] of tokens; ValueError if a token is outside the codebook.

        Args:
            size: rows and columns of tokens that stand in one row, as a language model has them.

        Raises:
            OptionError: tokens in one row without their size, or of another number.
        """
        if size is not None or tokens.ndim < 3:
            tokens = _in_rows(tokens, size)
        return self.from_digits(fsq.from_index(tokens, self.config.levels))

    def digits(
        self, x: Float[Tensor, "B 3 H W"], *, tile: int | None = None
    ) -> Int[Tensor, "B D H/2 W/2"]:
        """The quantised numbers behind the tokens, channel d in 0 .. levels[d] - 1.

        Args:
            tile: at most tile x tile tokens at once, in a quarter of the memory, without
                gradients; equal up to the rounding of the norms' sums. None: all at once.
        """
        self.check_pictures(x)
        if tile is None:
            z = self.encoder(x)
        else:
            z = layers_by_tiles(self.encoder, x, residual=ResidualBlock, tile=tile)
        return fsq.to_digits(z, self.config.levels)

    def from_digits(
        self, digits: Int[Tensor, "B D h w"], *, tile: int | None = None
    ) -> Float[Tensor, "B 3 2*h 2*w"]:
        """Pictures in [-1, 1] of quantised numbers, all at once or by tiles as `digits`."""
        if tile is None:
            return self.decoder(self._dequantize(digits))
        height, width = digits.shape[2] * self.factor, digits.shape[3] * self.factor
        x_hat = torch.empty((len(digits), 3, height, width), dtype=self.dtype, device=digits.device)
        return joined(self.decode_tiles(digits, tile=tile), x_hat)

    def decode_tiles(
        self, digits: Int[Tensor, "B D h w"], *, tile: int | None
    ) -> Iterator[tuple[int, int, Float[Tensor, "B 3 m n"]]]:
        """Row, column and texels of each part of `from_digits`, one after the other."""
        if tile is None:
            yield 0, 0, self.from_digits(digits)
            return
        layers = [_Values(self._dequantize), *self.decoder]
        yield from layers_in_tiles(layers, digits, residual=ResidualBlock, tile=tile, held=HELD)

    def _dequantize(self, digits: Int[Tensor, "B D h w"]) -> Float[Tensor, "B D h w"]:
        return fsq.dequantize(digits, self.config.levels).to(self.dtype)


class _Values(nn.Module):
    """The first layer of a decoder by tiles: whole numbers, which take less room, to values."""

    def __init__(self, dequantize: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.dequantize = dequantize

    def forward(self, digits: Tensor) -> Tensor:
        return self.dequantize(digits)


def _in_rows(tokens: Tensor, size: tuple[int, int] | None) -> Int[Tensor, "B h w"]:
    count = tokens.shape[-1] if tokens.ndim else 1
    if size is None:
        raise OptionError(
            f"{count} tokens in one row; say how many rows and columns: "
            "model.decode(tokens, size=(rows, columns))"
        )
    if tokens.ndim > 2 or math.prod(size) != count:
        raise OptionError(
            f"tokens of shape {tuple(tokens.shape)} are not {size[0]} x {size[1]} in one row"
        )
    return tokens.reshape(-1, *size)


class ResidualBlock(nn.Module):
    """x + Conv3x3(SiLU(GroupNorm(Conv3x3(SiLU(GroupNorm(x))))))"""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.GroupNorm(8, width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.GroupNorm(8, width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
        )

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        return x + self.layers(x)


def _halve(width: int) -> nn.Module:
    return nn.Conv2d(width, width, 4, stride=2, padding=1)


def _double(width: int) -> tuple[nn.Module, nn.Module]:
    return nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv2d(width, width, 3, padding=1)
