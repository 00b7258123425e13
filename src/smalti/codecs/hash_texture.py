"""Hash texture as a codec: tables of features at many resolutions and a sine network, fitted."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from smalti.codec import EFFORTS, nearest_of
from smalti.codecs._tables import MAX_BITS, PUBLISHED_STEPS, TextureCodec
from smalti.errors import OptionError
from smalti.fits.tables.fit import PUBLISHED_HASH, Recipe
from smalti.fits.tables.hash_texture import PRESETS, HashTextureConfig
from smalti.settings import setting

STEPS = dict(zip(EFFORTS, (400, 1500, 3000, 6000, 16000), strict=True))
FAST = Recipe(0.1, 1e-3, 1e-2, (0.8, 0.95), epsilon=1e-15)
QUALITIES = (  # the fewest bytes first
    {"preset": "tiny", "bits": 5},
    {"preset": "tiny", "bits": 8},
    {"preset": "default", "bits": 6},
    {"preset": "default", "bits": 8},
    {"preset": "large", "bits": 8},
)


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
    efforts: ClassVar[Mapping[str, str]] = {
        name: f"{steps:,} steps" for name, steps in STEPS.items()
    }
    for_gpu: ClassVar[bool] = True
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

    levels: int = setting(HashTextureConfig.levels, "Tables, each finer.", least=1, most=32)
    base: int = setting(
        HashTextureConfig.base, "Nodes along a side of the coarsest table.", least=1, most=2**12
    )
    finest: int = setting(
        HashTextureConfig.finest,
        "Nodes along a side of the finest table; best near the picture's longer side.",
        least=1,
        most=2**16,
    )
    log2_entries: int = setting(
        HashTextureConfig.log2_entries,
        "Entries of the largest table, a power of two: 12 for 4,096.",
        least=0,
        most=20,
    )
    hidden: int = setting(HashTextureConfig.hidden, "Width of the network.", least=1, most=256)
    depth: int = setting(HashTextureConfig.depth, "Layers of sines.", least=1, most=8)
    bits: int = setting(8, "Of a table's value.", least=1, most=MAX_BITS)
    preset: str = setting(  # gone once its numbers are taken
        "",
        "Numbers for all of these at once; one given beside it wins.",
        choices=tuple(PRESETS),
        shown="none",
        wire=False,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.preset:
            default = {f.name: f.default for f in fields(self)}
            for name, value in PRESETS[self.preset].items():
                if getattr(self, name) == default[name]:
                    object.__setattr__(self, name, value)
            object.__setattr__(self, "preset", "")
        if self.finest < self.base:
            raise OptionError(f"finest {self.finest}; it must not be under base, {self.base}")

    @classmethod
    def of_quality(cls, quality: float) -> dict[str, Any]:
        return dict(nearest_of(quality, QUALITIES))
