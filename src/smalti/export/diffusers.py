"""Our autoencoders as the `vae` of a diffusers pipeline (`pip install 'smalti[diffusers]'`).

    vae = AutoencoderSmalti.from_pretrained("patch-f8c16", torch_dtype=torch.bfloat16)
    pipeline = StableDiffusion3Pipeline(vae=vae, ...)

    x in [-1, 1] ─encode→ z ─(z - mean) / std→ latents ─diffusion→ ... ─std z + mean→ ẑ ─decode→ x̂

The latents that the pipeline sees have mean 0 and standard deviation 1 in each channel already,
so `scaling_factor` is 1 and `shift_factor` 0: pipelines that know no shift, and there are many,
come out right as well.
"""

import dataclasses
import math
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from smalti import weights
from smalti.errors import ImageError, OptionError
from smalti.export.latents import Statistics, encode, statistics_of
from smalti.extras import need
from smalti.models import check_autoencoder, class_of, load
from smalti.models.base import Model, check_range, config_of
from smalti.models.fsq import FsqAutoencoder
from smalti.models.patch.model import PatchAutoencoder
from smalti.models.rgba import RgbaAutoencoder
from smalti.models.tiling import by_tiles

need("diffusers", extra="diffusers", what="this adapter")

from diffusers import ConfigMixin, ModelMixin  # noqa: E402
from diffusers.configuration_utils import register_to_config  # noqa: E402
from diffusers.utils import BaseOutput  # noqa: E402
from diffusers.utils.accelerate_utils import apply_forward_hook  # noqa: E402

TILE = 512  # texels along each side of a tile


@dataclasses.dataclass
class EncoderOutput(BaseOutput):
    latents: Tensor  # "B Z h w", standardised


@dataclasses.dataclass
class DecoderOutput(BaseOutput):
    sample: Tensor  # "B C H W", about in [-1, 1]


class AutoencoderSmalti(ModelMixin, ConfigMixin):
    """Any of our autoencoders with the calls of diffusers' `AutoencoderTiny`.

    Pictures are `B C H W`, sRGB-encoded, in [-1, 1] for every model (RGBA too, with alpha -1 for
    transparent); latents are `B latent_channels H/f W/f`. Inputs of any floating-point dtype are
    taken; results have the dtype of the weights. A tokenizer's latents (FSQ) are its quantised
    vectors: what a pipeline makes is rounded to the nearest code before it is decoded.

    Args:
        architecture: the class of the model, one of `smalti.models.MODELS`.
        fields: its config.
        mean, std: of its latents, one number a channel.
        scaling_factor, shift_factor: on top of these, for pipelines; 1 and 0.
    """

    @register_to_config
    def __init__(
        self,
        architecture: str = "PatchAutoencoder",
        fields: dict[str, Any] | None = None,
        mean: tuple[float, ...] | None = None,
        std: tuple[float, ...] | None = None,
        scaling_factor: float = 1.0,
        shift_factor: float = 0.0,
        force_upcast: bool = False,
    ) -> None:
        super().__init__()
        kind = class_of(architecture)
        self.model: Model = kind(config_of(kind.Config, fields or {}))
        channels, self._factor = _latent_channels(self.model), self.model.factor
        if 2 ** (halvings := self._factor.bit_length() - 1) != self._factor:
            raise OptionError(f"cells of {self._factor} texels; pipelines know powers of two only")
        self._mean, self._std = mean or (0.0,) * channels, std or (1.0,) * channels
        if not len(self._mean) == len(self._std) == channels:
            raise OptionError(f"mean and std must have {channels} numbers, one a latent channel")
        self.use_slicing = self.use_tiling = False
        self._tile = 1
        widths = (getattr(self.model.config, "width", channels),) * (halvings + 1)
        self.register_to_config(  # what pipelines read besides
            in_channels=self.model.channels,
            out_channels=self.model.channels,
            latent_channels=channels,
            block_out_channels=widths,  # 2 ** (their number - 1) is the factor
            encoder_block_out_channels=widths,
            decoder_block_out_channels=widths,
        )

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        *,
        torch_dtype: torch.dtype | None = None,
        dtype: torch.dtype | None = None,
        statistics: Statistics | None = None,
        **options: Any,
    ) -> Self:
        """An adapter around trained weights, in evaluation mode.

        Args:
            name: whatever `smalti.load_model` takes, or a folder that `save_pretrained` wrote.
            torch_dtype, dtype: of the weights and all results, float32 by default; two names of one.
            statistics: of the latents; by default as measured for the bundled weights
                (`latents.MEASURED`), and on the bundled pictures for others.
            options: of diffusers, for a folder of diffusers (subfolder, ...).

        Raises:
            WeightsError: no such weights, or weights of no model of ours.
            OptionError: weights of a model that is no autoencoder of cells, or an option of
                diffusers for other weights than those in its own form.
        """
        torch_dtype = torch_dtype or dtype or torch.float32
        if (Path(name) / options.get("subfolder", "") / cls.config_name).is_file():
            stored = cls.load_config(name, **options)
            if stored.get("_class_name") == cls.__name__:
                return super().from_pretrained(name, torch_dtype=torch_dtype, **options)
        if options:
            raise OptionError(
                f"{name} is no folder of diffusers, which alone takes {', '.join(sorted(options))}"
            )
        model = load(name)
        check_autoencoder(model, "the adapter for diffusers")
        statistics = statistics or statistics_of(model, weights.sha256(weights.find(name)))
        return cls.around(model.to(torch_dtype), statistics)

    @classmethod
    def around(cls, model: Model, statistics: Statistics) -> Self:
        """An adapter around this very model, whose weights it shares."""
        fields = dataclasses.asdict(model.config)
        with torch.device("meta"):
            adapter = cls(type(model).__name__, fields, statistics.mean, statistics.std)
        adapter.model = model
        return adapter.eval()

    @apply_forward_hook
    def encode(self, x: Tensor, return_dict: bool = True) -> EncoderOutput | tuple[Tensor]:
        """Latents of pictures in [-1, 1], standardised; there is no distribution to draw from.

        Raises:
            ImageError: other channels, sides that are no multiples of the factor (models other
                than the patch autoencoder), or values far outside of [-1, 1].
        """
        x = self._checked(x).to(self.dtype)
        latents = torch.cat([self._encode(part) for part in self._slices(x)])
        return EncoderOutput(latents=latents) if return_dict else (latents,)

    @apply_forward_hook
    def decode(
        self, z: Tensor, generator: torch.Generator | None = None, return_dict: bool = True
    ) -> DecoderOutput | tuple[Tensor]:
        """Pictures, about in [-1, 1], of standardised latents; `generator` draws nothing."""
        sample = torch.cat([self._decode(part) for part in self._slices(z.to(self.dtype))])
        return DecoderOutput(sample=sample) if return_dict else (sample,)

    def forward(self, sample: Tensor, return_dict: bool = True) -> DecoderOutput | tuple[Tensor]:
        return self.decode(self.encode(sample).latents, return_dict=return_dict)

    def enable_tiling(self, use_tiling: bool = True, *, side: int = TILE) -> None:
        """Compute large pictures in tiles of side x side texels: the same result in less memory.

        Tiles overlap by as much as the model sees, so there are no seams to blend.
        """
        self.use_tiling, self._tile = use_tiling, max(1, side // self._factor)

    def disable_tiling(self) -> None:
        self.use_tiling = False

    def enable_slicing(self) -> None:
        """Compute the pictures of a batch one by one."""
        self.use_slicing = True

    def disable_slicing(self) -> None:
        self.use_slicing = False

    def _slices(self, x: Tensor) -> tuple[Tensor, ...]:
        return x.split(1) if self.use_slicing else (x,)

    def _encode(self, x: Tensor) -> Tensor:
        z = encode(self.model, x, tile=self._tile if self.use_tiling else None)
        return (z - self._column(self._mean, z)) / self._column(self._std, z)

    def _decode(self, z: Tensor) -> Tensor:
        z = z * self._column(self._std, z) + self._column(self._mean, z)
        tile = self._tile if self.use_tiling else None
        if isinstance(self.model, FsqAutoencoder):
            return self.model.from_digits(_nearest(z, self.model.config.levels), tile=tile)
        if isinstance(self.model, RgbaAutoencoder):
            return self.model.decode(z, tile=tile)
        if tile is None:
            return self.model.decode(z)
        height, width = (side * self._factor for side in z.shape[2:])
        x_hat = z.new_empty(len(z), self.model.channels, height, width)
        grid = {"cell_in": 1, "cell_out": self._factor, "halo": _halo(self.model)}
        return by_tiles(self.model.decode, z, x_hat, tile=tile, **grid)

    def _checked(self, x: Tensor) -> Tensor:
        if x.ndim != 4 or x.shape[1] != self.model.channels:
            raise ImageError(f"takes B {self.model.channels} H W, not {tuple(x.shape)}")
        check_range(x)
        return x

    def _column(self, values: tuple[float, ...], like: Tensor) -> Tensor:
        return torch.tensor(values, dtype=like.dtype, device=like.device).view(1, -1, 1, 1)


def _latent_channels(model: Model) -> int:
    if isinstance(model, FsqAutoencoder):
        return len(model.config.levels)
    config = model.config
    return getattr(config, "second", config).latent_channels


def _halo(model: Model) -> int:
    """Cells around a part of the latent that its picture depends on."""
    if isinstance(model, PatchAutoencoder):
        return model.halo
    return model.second.halo + math.ceil(model.first.halo / model.second.factor)


def _nearest(z: Tensor, levels: tuple[int, ...]) -> Tensor:
    """Digits of the code nearest to each vector."""
    half = torch.tensor([count // 2 for count in levels], device=z.device).view(1, -1, 1, 1)
    last = torch.tensor([count - 1 for count in levels], device=z.device).view(1, -1, 1, 1)
    digits = (z.float() * half).round().to(torch.int64) + half
    return torch.minimum(digits.clamp(min=0), last)
