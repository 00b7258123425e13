"""Latent texture as a codec: two grids and a small network, fitted to the picture."""

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from smalti.codec import Codec, Options, Size, Window
from smalti.entropy import decode_planes, encode_planes
from smalti.errors import FormatError, OptionError
from smalti.fit import Group, fit
from smalti.models.latent_texture import LatentTextureConfig, LatentTextureModel
from smalti.ops.quantize import channel_ranges, from_levels, straight_through, to_levels

STEPS = {"ultrafast": 400, "fast": 1500, "medium": 3000, "high": 6000, "best": 16000}
BATCH = 4096  # texels a step; more for pictures over 0.26 MPix, so that every node is visited
MAX_STRIDE = 8  # texels between two samples along an axis
ROUNDING_FROM = 0.75  # of the fit: from here on it sees rounded grids
GRID_RATE, SINE_RATE, HEAD_RATE = 0.1, 5e-4, 1e-2  # of Adam
BETAS = (0.8, 0.95)

MAX_VALUE = 2.0**16  # of a grid, both signs: nothing overflows behind it
MAX_VALUES_PER_TEXEL = 4  # of both grids, so that memory stays in proportion to the picture
MAX_CHANNELS, MAX_SCALE, MAX_HIDDEN, MAX_DEPTH = 64, 64, 256, 8


@dataclass(frozen=True, kw_only=True)
class LatentTextureOptions(Options):
    steps: int | None = None  # of the optimiser; None: by effort


@dataclass(frozen=True)
class LatentTexture(Codec):
    """x ─fit→ grids, network ─8 bit─entropy, float16→ sections ─→ grids, network ─→ x̂

    Three sections: the network's parameters as little-endian float16 (of each layer weight, then
    bias); the coarse grid; the fine grid. A grid is the lowest and the highest value of each
    channel as little-endian float32, all the lowest first, then one plane of the adaptive coder a
    channel (docs/ENTROPY.md).

    Time is the fit's, and most of the fit's is the network's. A texel of a step takes 5,440
    multiply-adds forward and twice that for the gradients, 33 kFLOP, plus 128 sines with their
    cosines. At 70 GFLOP/s and 0.8 ns a pair (one AVX2 core) the floor is 0.47 + 0.10 microseconds;
    activations and their gradients, 4 kB a texel in float32, move another 0.2 at 20 GB/s.

    Three things make the fit short: rates 200 times larger for the grids than for the sines (their
    values differ in size as much), a short second moment, and few texels a step. A photograph of
    512 x 512 reaches 36 dB after 6 million texels; with Adam at 3e-3 for everything and 65,536
    texels a step it takes 131 million. The texels of a step are the crossings of random rows and
    random columns, one out of each stripe: at equal number as good as independent ones, and their
    grid values come by whole rows. Starting from the picture (downsampled into the grids) or from
    a least-squares head gained nothing.
    """

    name: ClassVar[str] = "latent-texture"
    summary: ClassVar[str] = "two small grids and a sine network fitted to the picture"
    channels: ClassVar[tuple[int, ...]] = (3, 4)
    settings: ClassVar[tuple[str, ...]] = (
        "latent-texture:effort=ultrafast",
        "latent-texture:bits=6,effort=fast",
    )
    Options: ClassVar[type[Options]] = LatentTextureOptions

    lo_channels: int = 16  # of the coarse grid
    hi_channels: int = 2  # of the fine grid, 0 for none
    lo_scale: int = 8  # texels a node, along each side
    hi_scale: int = 4
    hidden: int = 64  # width of the network
    depth: int = 2  # layers of sines
    bits: int = 8  # a grid value

    def __post_init__(self) -> None:
        for field, low, high in (
            ("lo_channels", 1, MAX_CHANNELS),
            ("hi_channels", 0, MAX_CHANNELS),
            ("lo_scale", 1, MAX_SCALE),
            ("hi_scale", 1, MAX_SCALE),
            ("hidden", 1, MAX_HIDDEN),
            ("depth", 1, MAX_DEPTH),
            ("bits", 1, 16),
        ):
            if not low <= getattr(self, field) <= high:
                raise OptionError(f"{field} {getattr(self, field)}; it must lie in {low} .. {high}")
        values = self.lo_channels / self.lo_scale**2 + self.hi_channels / self.hi_scale**2
        if values > MAX_VALUES_PER_TEXEL:
            raise OptionError(
                f"grids of {values:g} values a texel; the limit is {MAX_VALUES_PER_TEXEL}, "
                "so take fewer channels or larger scales"
            )

    @torch.inference_mode(False)
    @torch.enable_grad()  # whatever the caller has switched off
    def encode(self, image: Tensor, options: LatentTextureOptions) -> list[bytes]:
        steps = STEPS[options.effort] if options.steps is None else options.steps
        if steps < 1:
            raise OptionError(f"{steps} steps; a fit takes at least 1")
        random = torch.Generator().manual_seed(options.seed)
        size = Size(*image.shape)
        model = self._model(size, random).to(options.device)
        target = (
            image.to(options.device).permute(1, 2, 0).clone(memory_format=torch.contiguous_format)
        )
        height, width = target.shape[:2]
        stride = min(max(1, round(math.sqrt(height * width / BATCH))), MAX_STRIDE)

        def loss(progress: float) -> Tensor:
            rows = _one_of_each(height, stride, random).to(target.device)
            columns = _one_of_each(width, stride, random).to(target.device)
            see = self._rounded if progress >= ROUNDING_FROM else None
            texels = target.index_select(0, rows).index_select(1, columns)
            return F.mse_loss(_visible(model(rows, columns, see=see)), _visible(texels))

        groups = [
            Group([grid for grid in (model.lo, model.hi) if grid.numel()], GRID_RATE),
            Group(list(model.sines.parameters()), SINE_RATE),
            Group(list(model.head.parameters()), HEAD_RATE),
        ]
        fit(loss, groups, steps=steps, betas=BETAS, on_step=options.on_step)
        sections = [
            _network_to_bytes(model),
            self._grid_to_bytes(model.lo.detach().cpu()),
            self._grid_to_bytes(model.hi.detach().cpu()),
        ]
        self._read(sections, size, "cpu")  # no file leaves that a decoder would refuse
        return sections

    def decode(self, sections: Sequence[bytes], size: Size, *, device: str = "cpu") -> Tensor:
        return self.decode_at(sections, size, size.height, size.width, device=device)

    def decode_at(
        self, sections: Sequence[bytes], size: Size, height: int, width: int, *, device: str = "cpu"
    ) -> Tensor:
        """The picture drawn at `C height width`: the same network at other texel centres."""
        model = self._read(sections, size, device)
        rows = torch.arange(height, device=device)
        columns = torch.arange(width, device=device)
        return model.render(rows, columns, size=(height, width))

    def decode_window(
        self, sections: Sequence[bytes], size: Size, window: Window, *, device: str = "cpu"
    ) -> Tensor:
        """The texels of `window`. The grids are unpacked whole, the network runs on these alone."""
        model = self._read(sections, size, device)
        top, left, height, width = window
        rows = torch.arange(top, top + height, device=device)
        columns = torch.arange(left, left + width, device=device)
        return model.render(rows, columns)

    def _model(self, size: Size, random: torch.Generator) -> LatentTextureModel:
        config = LatentTextureConfig(
            height=size.height,
            width=size.width,
            channels=size.channels,
            lo_channels=self.lo_channels,
            hi_channels=self.hi_channels,
            lo_scale=self.lo_scale,
            hi_scale=self.hi_scale,
            hidden=self.hidden,
            depth=self.depth,
        )
        return LatentTextureModel(config, generator=random)

    def _rounded(self, grid: Tensor) -> Tensor:
        return straight_through(grid, 2**self.bits)

    def _grid_to_bytes(self, grid: Tensor) -> bytes:
        if grid.numel() == 0:
            return b""
        low, high = channel_ranges(grid)
        indices = to_levels(grid, low, high, 2**self.bits)
        ranges = torch.stack([low, high]).numpy().astype("<f4").tobytes()
        planes = indices.permute(2, 0, 1).contiguous().numpy()
        return ranges + encode_planes(planes, [2**self.bits] * len(planes))

    def _read(self, sections: Sequence[bytes], size: Size, device: str) -> LatentTextureModel:
        if len(sections) != 3:
            raise FormatError(f"{len(sections)} sections; a latent-texture file has 3")
        model = self._model(size, torch.Generator()).requires_grad_(False)
        _network_from_bytes(model, sections[0])
        self._grid_from_bytes(model.lo, sections[1])
        self._grid_from_bytes(model.hi, sections[2])
        return model.to(device)

    def _grid_from_bytes(self, grid: Tensor, data: bytes) -> None:
        """Fill a grid from its section."""
        height, width, channels = grid.shape
        n_bytes = struct.calcsize("<f") * 2 * channels
        if len(data) < n_bytes:
            raise FormatError(f"a grid of {len(data)} bytes; its ranges alone take {n_bytes}")
        ranges = np.frombuffer(data, "<f4", 2 * channels).astype(np.float32)
        low, high = torch.from_numpy(ranges.reshape(2, channels))
        if not bool(((low <= high) & (low >= -MAX_VALUE) & (high <= MAX_VALUE)).all()):
            raise FormatError(f"a grid's range is empty or goes beyond {MAX_VALUE:g}")
        levels = [2**self.bits] * channels
        planes = decode_planes(data[n_bytes:], (channels, height, width), levels)
        indices = torch.from_numpy(planes).permute(1, 2, 0)
        grid.copy_(from_levels(indices, low, high, 2**self.bits))


def _one_of_each(length: int, stride: int, random: torch.Generator) -> Tensor:
    """A random index out of each `stride` consecutive ones."""
    first = torch.arange(0, length, stride)
    offset = torch.randint(0, stride, first.shape, generator=random)
    return (first + offset).clamp(max=length - 1)


def _visible(texels: Tensor) -> Tensor:
    """RGB as it is; of RGBA premultiplied colour and alpha, so that hidden colours cost nothing."""
    if texels.shape[-1] == 3:
        return texels
    colour, alpha = texels[..., :3], texels[..., 3:]
    return torch.cat([colour * alpha, alpha], -1)


def _network(model: LatentTextureModel) -> list[nn.Parameter]:
    return [*model.sines.parameters(), *model.head.parameters()]


def _network_to_bytes(model: LatentTextureModel) -> bytes:
    parameters = [p.detach().cpu().numpy() for p in _network(model)]
    return b"".join(p.astype("<f2").tobytes() for p in parameters)


def _network_from_bytes(model: LatentTextureModel, data: bytes) -> None:
    """Fill the network from its section."""
    parameters = _network(model)
    ends = np.cumsum([p.numel() for p in parameters])
    if len(data) != 2 * ends[-1]:
        raise FormatError(f"a network of {len(data)} bytes; this one takes {2 * ends[-1]}")
    values = np.frombuffer(data, "<f2").astype(np.float32)
    if not np.isfinite(values).all():
        raise FormatError("the network holds numbers that are not finite")
    for p, part in zip(parameters, np.split(values, ends[:-1]), strict=True):
        p.copy_(torch.from_numpy(part).view_as(p))
