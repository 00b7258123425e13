"""Hash texture as a codec: tables of features at many resolutions and a sine network, fitted."""

from dataclasses import dataclass, field, fields
from typing import ClassVar

from smalti.codec import EFFORTS, NOT_ON_WIRE
from smalti.codecs._tables import MAX_BITS, PUBLISHED_STEPS, TextureCodec
from smalti.errors import OptionError
from smalti.fits.tables.fit import PUBLISHED_HASH, Recipe
from smalti.fits.tables.hash_texture import PRESETS, HashTextureConfig

STEPS = dict(zip(EFFORTS, (400, 1500, 3000, 6000, 16000), strict=True))
FAST = Recipe(0.1, 1e-3, 1e-2, (0.8, 0.95), epsilon=1e-15)

LIMITS = {
    "levels": (1, 32),
    "base": (1, 2**12),
    "finest": (1, 2**16),
    "log2_entries": (0, 20),
    "hidden": (1, 256),
    "depth": (1, 8),
    "bits": (1, MAX_BITS),
}


@dataclass(frozen=True)
class HashTexture(TextureCodec):
    """x ─fit→ tables, network ─8 bit─entropy, float16→ sections ─→ tables, network ─→ x̂

    The network, then a table for each level (`smalti.codecs._tables`). `preset=tiny`, `default` or
    `large` stands for the numbers of `fits.tables.hash_texture.PRESETS`; a number given beside it wins.
    `finest` is fixed: take it near the picture's longer side, and `log2_entries` larger, for more
    than 512 texels. 6 bits instead of 8 save 24 % of the bytes for 0.12 dB, 5 bits 36 % for 0.47
    (two photographs of 481 x 321, 1,200 steps).

    The fast recipe has larger rates for tables and head and a short second moment: at 1,200 steps
    of 4,096 texels 0.8 dB above the published rates with the same texels.
    """

    name: ClassVar[str] = "hash-texture"
    summary: ClassVar[str] = "hash tables of many resolutions and a sine network, fitted"
    settings: ClassVar[tuple[str, ...]] = (
        "hash-texture:preset=tiny,effort=ultrafast",
        "hash-texture:bits=6,effort=ultrafast",
    )
    quick: ClassVar[tuple[str, ...]] = ("hash-texture:preset=tiny,effort=ultrafast",)
    Texture: ClassVar[type[HashTextureConfig]] = HashTextureConfig
    recipes: ClassVar[dict] = {
        "fast": (FAST, STEPS),
        "published": (PUBLISHED_HASH, PUBLISHED_STEPS),
    }

    # what each is, and its default: fits/tables/hash_texture.py
    levels: int = HashTextureConfig.levels
    base: int = HashTextureConfig.base
    finest: int = HashTextureConfig.finest
    log2_entries: int = HashTextureConfig.log2_entries
    hidden: int = HashTextureConfig.hidden
    depth: int = HashTextureConfig.depth
    bits: int = 8  # a table's value
    preset: str = field(default="", metadata=NOT_ON_WIRE)  # gone once its numbers are taken

    def __post_init__(self) -> None:
        if self.preset:
            if self.preset not in PRESETS:
                raise OptionError(f"no preset {self.preset!r}; known: {', '.join(PRESETS)}")
            default = {f.name: f.default for f in fields(self)}
            for name, value in PRESETS[self.preset].items():
                if getattr(self, name) == default[name]:
                    object.__setattr__(self, name, value)
            object.__setattr__(self, "preset", "")
        self.check_limits(LIMITS)
        if self.finest < self.base:
            raise OptionError(f"finest {self.finest}; it must not be under base, {self.base}")
