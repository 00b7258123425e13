"""What the codecs of fitted textures share: a model becomes sections of bytes, and is drawn.

    x ─fit→ tables, network ─to `bits`, entropy; to float16→ sections ─→ tables, network ─draw→ x̂

The first section is the network: its parameters as little-endian float16, of each layer the
weights, then the biases. One section follows for each table: the lowest and the highest value of
each feature as little-endian float32, all the lowest first, then one plane of the adaptive coder a
feature (docs/ENTROPY.md).
"""

import struct
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numba import config as numba_config
from torch import Tensor

from smalti.codec import EFFORTS, Codec, Options, Size, Window
from smalti.entropy import decode_planes, encode_planes
from smalti.errors import FormatError, OptionError
from smalti.fit import Recipe, fit_texture
from smalti.models.pictures import to_picture, to_tensor
from smalti.models.texture import TextureModel
from smalti.ops.levels import Level
from smalti.ops.quantize import channel_ranges, from_levels, to_levels

MAX_VALUE = 2.0**16  # of a table, both signs: nothing overflows behind it
MAX_BITS = 16  # of a table's value
PUBLISHED_STEPS = dict(zip(EFFORTS, (500, 2000, 5000, 10000, 20000), strict=True))


@dataclass(frozen=True, kw_only=True)
class TextureOptions(Options):
    steps: int | None = None  # of the optimiser; None: by effort
    recipe: str = "fast"  # or "published": the seed system's own, ten times slower
    threads: int = 1  # of the fit on a CPU; other numbers give files that differ in last bits


@dataclass(frozen=True)
class TextureCodec(Codec):
    """Base: a subclass names its recipes and makes the model of noise that a fit begins with."""

    channels: ClassVar[tuple[int, ...]] = (3, 4)
    Options: ClassVar[type[Options]] = TextureOptions
    recipes: ClassVar[Mapping[str, tuple[Recipe, Mapping[str, int]]]]  # name: recipe, steps

    @abstractmethod
    def model(self, size: Size, generator: torch.Generator | None) -> TextureModel:
        """The model of a picture of this size, drawn by the generator."""

    @torch.inference_mode(False)
    @torch.enable_grad()  # whatever the caller has switched off
    def encode(self, image: np.ndarray, options: TextureOptions) -> list[bytes]:
        if options.recipe not in self.recipes:
            raise OptionError(
                f"no recipe {options.recipe!r} for {self.name}; known: {', '.join(self.recipes)}"
            )
        recipe, steps_of = self.recipes[options.recipe]
        steps = steps_of[options.effort] if options.steps is None else options.steps
        for what, number in (("steps", steps), ("threads", options.threads)):
            if number < 1:
                raise OptionError(f"{number} {what}; a fit takes at least 1")
        generator = torch.Generator().manual_seed(options.seed)
        size = Size(image.shape[2], *image.shape[:2])
        model = self.model(size, generator).to(options.device)
        fit_texture(
            model,
            to_tensor(image, 0, device=options.device)[0],
            recipe,
            steps=steps,
            levels=2**self.bits,
            generator=generator,
            threads=options.threads,
            on_step=options.on_step,
        )
        model.to("cpu")
        sections = [_network_to_bytes(model)]
        for level, table in zip(model.levels, model.tables, strict=True):
            sections.append(_table_to_bytes(level, table.detach(), self.bits))
        self.read(sections, size)  # no file leaves that a decoder would refuse
        return sections

    def read(self, sections: Sequence[bytes], size: Size) -> TextureModel:
        """The fitted model that the sections hold.

        Raises:
            FormatError: they are not what `encode` can have written for this size.
        """
        model = self.model(size, torch.Generator()).requires_grad_(False)
        count = 1 + len(model.levels)
        if len(sections) != count:
            raise FormatError(f"{len(sections)} sections; this {self.name} file has {count}")
        _network_from_bytes(model, sections[0])
        for level, table, data in zip(model.levels, model.tables, sections[1:], strict=True):
            _table_from_bytes(level, table, data, self.bits)
        return model

    def decode(self, sections: Sequence[bytes], size: Size, *, device: str = "cpu") -> np.ndarray:
        return self.decode_at(sections, size, size.height, size.width, device=device)

    def decode_at(
        self, sections: Sequence[bytes], size: Size, height: int, width: int, *, device: str = "cpu"
    ) -> np.ndarray:
        """The picture drawn at `height width C`: the same model at other texels."""
        rows, columns = torch.arange(height), torch.arange(width)
        return self._draw(sections, size, rows, columns, (height, width), device)

    def decode_window(
        self, sections: Sequence[bytes], size: Size, window: Window, *, device: str = "cpu"
    ) -> np.ndarray:
        """The texels of `window`. Tables are unpacked whole, the network runs on these alone."""
        rows = torch.arange(window.top, window.top + window.height)
        columns = torch.arange(window.left, window.left + window.width)
        return self._draw(sections, size, rows, columns, None, device)

    def _draw(self, sections, size, rows, columns, drawn_size, device) -> np.ndarray:
        model = self.read(sections, size).to(device)
        drawn = model.render(
            rows.to(device),
            columns.to(device),
            size=drawn_size,
            threads=numba_config.NUMBA_NUM_THREADS,
        )
        return to_picture(drawn, 0)

    def check_limits(self, limits: Mapping[str, tuple[int, int]]) -> None:
        """Raise OptionError for the first field outside its lowest .. highest."""
        for field, (low, high) in limits.items():
            if not low <= getattr(self, field) <= high:
                raise OptionError(f"{field} {getattr(self, field)}; it must lie in {low} .. {high}")


def _plane_shape(level: Level) -> tuple[int, int, int]:
    """Of a table's planes for the coder, in the order of its entries."""
    if level.hashed:
        return level.features, 1, level.hashed
    across = max(level.row_stride, level.column_stride)
    return level.features, level.entries // across, across


def _table_to_bytes(level: Level, table: Tensor, bits: int) -> bytes:
    low, high = channel_ranges(table[None])
    indices = to_levels(table[None], low, high, 2**bits)[0]
    ranges = torch.stack([low, high]).numpy().astype("<f4").tobytes()
    planes = indices.T.contiguous().numpy().reshape(_plane_shape(level))
    return ranges + encode_planes(planes, [2**bits] * level.features)


def _table_from_bytes(level: Level, table: Tensor, data: bytes, bits: int) -> None:
    """Fill a table from its section."""
    features = level.features
    n_bytes = struct.calcsize("<f") * 2 * features
    if len(data) < n_bytes:
        raise FormatError(f"a table of {len(data)} bytes; its ranges alone take {n_bytes}")
    ranges = np.frombuffer(data, "<f4", 2 * features).astype(np.float32)
    low, high = torch.from_numpy(ranges.reshape(2, features))
    if not bool(((low <= high) & (low >= -MAX_VALUE) & (high <= MAX_VALUE)).all()):
        raise FormatError(f"a table's range is empty or goes beyond {MAX_VALUE:g}")
    planes = decode_planes(data[n_bytes:], _plane_shape(level), [2**bits] * features)
    indices = torch.from_numpy(planes.reshape(features, -1)).T
    table.copy_(from_levels(indices, low, high, 2**bits))


def _network_to_bytes(model: TextureModel) -> bytes:
    parameters = [p.detach().numpy() for p in model.network()]
    return b"".join(p.astype("<f2").tobytes() for p in parameters)


def _network_from_bytes(model: TextureModel, data: bytes) -> None:
    """Fill the network from its section."""
    parameters = model.network()
    ends = np.cumsum([p.numel() for p in parameters])
    if len(data) != 2 * ends[-1]:
        raise FormatError(f"a network of {len(data)} bytes; this one takes {2 * ends[-1]}")
    values = np.frombuffer(data, "<f2").astype(np.float32)
    if not np.isfinite(values).all():
        raise FormatError("the network holds numbers that are not finite")
    for p, part in zip(parameters, np.split(values, ends[:-1]), strict=True):
        p.copy_(torch.from_numpy(part).view_as(p))
