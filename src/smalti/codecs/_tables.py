"""What the codecs of fitted textures share: a model becomes sections of bytes, and is drawn.

    x ─fit→ tables, network ─to `bits`, entropy; to float16→ sections ─→ tables, network ─draw→ x̂

The first section is the network: its parameters as little-endian float16, of each layer the
weights, then the biases. One section follows for each table: the lowest and the highest value of
each feature as little-endian float32, all the lowest first, then one plane of the adaptive coder a
feature (docs/ENTROPY.md).
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from smalti.codec import EFFORTS, Codec, EncodeOptions, Part, Size, Window, windows
from smalti.entropy import decode_planes, encode_planes
from smalti.errors import FormatError
from smalti.fits.tables.fit import Recipe, fit_texture
from smalti.fits.tables.levels import Level
from smalti.fits.tables.model import TextureConfig, TextureModel
from smalti.fits.tables.quantize import feature_ranges, from_levels, to_levels
from smalti.image import to_float
from smalti.settings import setting

MAX_VALUE = 2.0**16  # of a table, both signs: nothing overflows behind it
MAX_BITS = 16  # of a table's value
PUBLISHED_STEPS = dict(zip(EFFORTS, (500, 2000, 5000, 10000, 20000), strict=True))


@dataclass(frozen=True, kw_only=True)
class TextureOptions(EncodeOptions):
    steps: int | None = setting(
        None, "Of the optimiser, instead of effort.", least=1, shown="by effort"
    )
    recipe: str = setting(
        "fast",
        "How to fit; published is the original's own way, ten times slower.",
        choices=("fast", "published"),
    )
    threads: int | None = setting(
        None, "Of the fit; the file is the same with any number.", least=1, shown="all cores"
    )


@dataclass(frozen=True)
class TextureCodec(Codec):
    """Base: a subclass names its recipes, and the texture whose numbers its fields are."""

    channels: ClassVar[tuple[int, ...]] = (3, 4)
    Options: ClassVar[type[EncodeOptions]] = TextureOptions
    Texture: ClassVar[type[TextureConfig]]
    recipes: ClassVar[Mapping[str, tuple[Recipe, Mapping[str, int]]]]  # name: recipe, steps

    if TYPE_CHECKING:

        @property
        def bits(self) -> int:
            """Of a table's value: a field of each subclass, in its own place among the others."""

    def texture(self, size: Size) -> TextureConfig:
        """The numbers of the texture of a picture of this size."""
        numbers = [f.name for f in fields(self.Texture) if f.name not in size._fields]
        return self.Texture(**size._asdict(), **{name: getattr(self, name) for name in numbers})

    def encode(self, image: np.ndarray, options: TextureOptions) -> list[bytes]:
        recipe, steps_of = self.recipes[options.recipe]
        steps = steps_of[options.effort] if options.steps is None else options.steps
        random = np.random.default_rng(options.seed)
        size = Size(image.shape[2], *image.shape[:2])
        model = self.texture(size).noise(random)
        fit_texture(
            model,
            to_float(image),
            recipe,
            steps=steps,
            levels=2**self.bits,
            random=random,
            threads=options.threads,
            on_step=options.on_step,
        )
        sections = [model.network.astype("<f2").tobytes()]
        for level, table in zip(model.shape.levels, model.tables, strict=True):
            sections.append(_table_to_bytes(level, table, self.bits))
        self.read(sections, size)  # no file leaves that a decoder would refuse
        return sections

    def read(self, sections: Sequence[bytes], size: Size) -> TextureModel:
        """The fitted model that the sections hold.

        Raises:
            FormatError: they are not what `encode` can have written for this size.
        """
        shape = self.texture(size).shape
        count = 1 + len(shape.levels)
        if len(sections) != count:
            raise FormatError(f"{len(sections)} sections; this {self.name} file has {count}")
        network = _network_from_bytes(shape.value_count - shape.network, sections[0])
        tables = [
            _table_from_bytes(level, data, self.bits).ravel()
            for level, data in zip(shape.levels, sections[1:], strict=True)
        ]
        return TextureModel(shape, np.concatenate([*tables, network]))

    def section_name(self, index: int, size: Size) -> str:
        return "network" if index == 0 else self.table_name(index - 1)

    def arrays(self, sections: Sequence[bytes], size: Size) -> dict[str, np.ndarray]:
        """The network's parameters in one row, and each table: its nodes, features last."""
        model = self.read(sections, size)
        found = {"network": model.network}
        for index, (level, table) in enumerate(zip(model.shape.levels, model.tables, strict=True)):
            shape = (level.hashed,) if level.hashed else (level.rows, level.columns)
            name = self.table_name(index).replace(" ", "_")
            found[name] = table.reshape(*shape, level.features)
        return found

    def table_name(self, index: int) -> str:
        return f"table {index}"

    def decode(self, sections: Sequence[bytes], size: Size, *, device: str = "cpu") -> np.ndarray:
        return self.read(sections, size).render()

    def parts(
        self, sections: Sequence[bytes], size: Size, drawn: tuple[int, int], *, device: str = "cpu"
    ) -> Iterator[Part]:
        model = self.read(sections, size)
        for top, left, height, width in windows(*drawn):
            rows, columns = np.arange(top, top + height), np.arange(left, left + width)
            yield Part(top, left, model.render(rows, columns, size=drawn))

    def decode_at(
        self, sections: Sequence[bytes], size: Size, height: int, width: int, *, device: str = "cpu"
    ) -> np.ndarray:
        """The picture drawn at `height width C`: the same model at other texels."""
        return self.read(sections, size).render(size=(height, width))

    def decode_window(
        self, sections: Sequence[bytes], size: Size, window: Window, *, device: str = "cpu"
    ) -> np.ndarray:
        """The texels of `window`. Tables are unpacked whole, the network runs on these alone."""
        rows = np.arange(window.top, window.top + window.height)
        columns = np.arange(window.left, window.left + window.width)
        return self.read(sections, size).render(rows, columns)


def _plane_shape(level: Level) -> tuple[int, int, int]:
    """Of a table's planes for the coder, in the order of its entries."""
    if level.hashed:
        return level.features, 1, level.hashed
    across = max(level.row_stride, level.column_stride)
    return level.features, level.entries // across, across


def _table_to_bytes(level: Level, table: np.ndarray, bits: int) -> bytes:
    low, high = feature_ranges(table)
    planes = to_levels(table, low, high, 2**bits).T.reshape(_plane_shape(level))
    ranges = np.stack([low, high]).astype("<f4").tobytes()
    return ranges + encode_planes(np.ascontiguousarray(planes), [2**bits] * level.features)


def _table_from_bytes(level: Level, data: bytes, bits: int) -> np.ndarray:
    """`entries features` of a section, float32."""
    features = level.features
    n_bytes = struct.calcsize("<f") * 2 * features
    if len(data) < n_bytes:
        raise FormatError(f"a table of {len(data)} bytes; its ranges alone take {n_bytes}")
    ranges = np.frombuffer(data, "<f4", 2 * features).astype(np.float32)
    low, high = ranges.reshape(2, features)
    if not ((low <= high) & (low >= -MAX_VALUE) & (high <= MAX_VALUE)).all():
        raise FormatError(f"a table's range is empty or goes beyond {MAX_VALUE:g}")
    planes = decode_planes(data[n_bytes:], _plane_shape(level), [2**bits] * features)
    return from_levels(planes.reshape(features, -1).T, low, high, 2**bits)


def _network_from_bytes(count: int, data: bytes) -> np.ndarray:
    """`count` float32 of a section."""
    if len(data) != 2 * count:
        raise FormatError(f"a network of {len(data)} bytes; this one takes {2 * count}")
    values = np.frombuffer(data, "<f2").astype(np.float32)
    if not np.isfinite(values).all():
        raise FormatError("the network holds numbers that are not finite")
    return values
