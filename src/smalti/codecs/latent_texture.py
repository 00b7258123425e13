"""Latent texture as a codec: two grids and a small network, fitted to the picture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from smalti.codec import EFFORTS, Size, nearest_of
from smalti.codecs._tables import (
    MAX_BITS,
    PUBLISHED_STEPS,
    TextureCodec,
    TextureOptions,
)
from smalti.errors import FormatError, OptionError
from smalti.fits.tables.fit import PUBLISHED_LATENT, Recipe
from smalti.fits.tables.latent_texture import LatentTextureConfig
from smalti.fits.tables.model import ACTIVATIONS, TextureModel
from smalti.settings import setting

STEPS = dict(zip(EFFORTS, (400, 1500, 3000, 6000, 16000), strict=True))
FAST = Recipe(0.1, 5e-4, 1e-2, (0.8, 0.95))

QUALITIES = (  # the fewest bytes first
    {"lo_channels": 8, "hi_channels": 0, "bits": 4},
    {"bits": 5},
    {"bits": 6},
    {"hi_channels": 4, "bits": 6},
    {"hi_channels": 4, "hi_scale": 2, "bits": 6},
    {"hi_channels": 8, "hi_scale": 2, "bits": 6},
)
MAX_VALUES_PER_TEXEL = 4  # of both grids, so that memory stays in proportion to the picture


@dataclass(frozen=True)
class LatentTexture(TextureCodec):
    """x ─fit→ grids, network ─8 bit─entropy, float16→ sections ─→ grids, network ─→ x̂

    Three sections: the network, the coarse grid, the fine grid (`smalti.codecs._tables`).

    Three things make the fast recipe's fit short: rates 200 times larger for the grids than for the
    sines (their values differ in size as much), a short second moment, and few texels a step. A
    photograph of 512 x 512 reaches 36 dB after 6 million texels; with Adam at 3e-3 for everything
    and 65,536 texels a step it takes 131 million. The texels of a step are the crossings of random
    rows and random columns, one out of each stripe: at equal number as good as independent ones.
    Starting from the picture (downsampled into the grids) or from a least-squares head gained
    nothing.
    """

    name: ClassVar[str] = "latent-texture"
    summary: ClassVar[str] = "two small grids and a sine network fitted to the picture"
    efforts: ClassVar[Mapping[str, str]] = {
        name: f"{steps:,} steps" for name, steps in STEPS.items()
    }
    for_gpu: ClassVar[bool] = True
    settings: ClassVar[tuple[str, ...]] = (
        "latent-texture:effort=ultrafast",
        "latent-texture:bits=6,effort=fast",
    )
    quick: ClassVar[tuple[str, ...]] = ("latent-texture:effort=ultrafast",)
    Texture: ClassVar[type[LatentTextureConfig]] = LatentTextureConfig
    recipes: ClassVar[dict] = {
        "fast": (FAST, STEPS),
        "published": (PUBLISHED_LATENT, PUBLISHED_STEPS),
    }

    lo_channels: int = setting(
        LatentTextureConfig.lo_channels, "Channels of the coarse grid.", least=1, most=64
    )
    hi_channels: int = setting(
        LatentTextureConfig.hi_channels, "Of the fine grid, 0 for none.", least=0, most=64
    )
    lo_scale: int = setting(
        LatentTextureConfig.lo_scale,
        "Texels a node of the coarse grid, along each side.",
        least=1,
        most=64,
    )
    hi_scale: int = setting(
        LatentTextureConfig.hi_scale, "The same of the fine grid.", least=1, most=64
    )
    hidden: int = setting(LatentTextureConfig.hidden, "Width of the network.", least=1, most=256)
    depth: int = setting(LatentTextureConfig.depth, "Layers of the network.", least=1, most=8)
    bits: int = setting(8, "Of a grid's value.", least=1, most=MAX_BITS)
    activation: int = setting(
        LatentTextureConfig.activation, "Of the network's layers.", choices=ACTIVATIONS
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        values = self.lo_channels / self.lo_scale**2 + self.hi_channels / self.hi_scale**2
        if values > MAX_VALUES_PER_TEXEL:
            raise OptionError(
                f"grids of {values:g} values a texel; the limit is {MAX_VALUES_PER_TEXEL}, "
                "so take fewer channels or larger scales"
            )

    @classmethod
    def of_quality(cls, quality: float) -> dict[str, Any]:
        return dict(nearest_of(quality, QUALITIES))

    def table_name(self, index: int) -> str:
        return ("coarse grid", "fine grid")[index]

    def encode(self, image: np.ndarray, options: TextureOptions) -> list[bytes]:
        sections = super().encode(image, options)
        return sections if self.hi_channels else [*sections, b""]

    def read(self, sections: Sequence[bytes], size: Size) -> TextureModel:
        if not self.hi_channels and len(sections) == 3:  # an empty one stands for no fine grid
            *sections, empty = sections
            if empty:
                raise FormatError(f"{len(empty)} bytes for a fine grid without channels")
        return super().read(sections, size)
