"""Neural texture as a codec: a picture, or all maps of a material, with their mip levels."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from smalti.codec import Codec, EncodeOptions, Part, Size, Window, nearest_of, windows
from smalti.errors import FormatError, OptionError
from smalti.fits.material.fit import fit_texture
from smalti.fits.material.layout import BUDGETS, Grid, Layout
from smalti.fits.material.maps import Map, alpha_channel, channel_weights, mip_levels
from smalti.fits.material.sections import pack_maps, pack_texture, unpack_maps, unpack_texture
from smalti.fits.material.texture import NeuralTexture
from smalti.image import to_uint8
from smalti.settings import setting

ROUNDS = {"ultrafast": 20, "fast": 60, "medium": 200, "high": 500, "best": 1500}


@dataclass(frozen=True, kw_only=True)
class NeuralTextureOptions(EncodeOptions):
    steps: int | None = setting(
        None, "Rounds over all texels, instead of effort.", least=1, shown="by effort"
    )


@dataclass(frozen=True)
class NeuralTextureCodec(Codec):
    """x ─mip levels─fit→ grids, network ─levels─entropy, float16→ sections ─→ x̂

    A picture is a material of one map without a name. Of a material the picture that `decode` gives
    is its first map; `unpack` gives everything (`smalti.material`).
    """

    name: ClassVar[str] = "neural-texture"
    summary: ClassVar[str] = "grids of 2 to 8 bits and a small network, every mip level; materials"
    channels: ClassVar[tuple[int, ...]] = (1, 2, 3, 4)
    efforts: ClassVar[Mapping[str, str]] = {
        name: f"{steps:,} rounds" for name, steps in ROUNDS.items()
    }
    for_gpu: ClassVar[bool] = True
    settings: ClassVar[tuple[str, ...]] = ("neural-texture:effort=fast",)
    quick: ClassVar[tuple[str, ...]] = ("neural-texture:effort=ultrafast",)
    Options: ClassVar[type[EncodeOptions]] = NeuralTextureOptions

    fine: tuple[int, ...] = setting(
        (3, 2, 4),
        "Fine grid: channels (1 to 16), texels a node along each side (2, 4, 8), bits of a "
        "value (2, 4, 6, 8).",
    )
    coarse: tuple[int, ...] = setting((6, 4, 4), "Coarse grid, the same three numbers.")
    hidden: tuple[int, ...] = setting(
        (32, 32), "Widths of the network's two inner layers, 1 to 32 each."
    )
    repeat: bool = setting(False, "The texture is tiled: beyond an edge lies the opposite one.")
    mips: int = setting(0, "Mip levels, 0 for all that there are.", least=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        lengths = {"fine": 3, "coarse": 3, "hidden": 2}
        for field, length in lengths.items():
            if len(getattr(self, field)) != length:
                raise OptionError(f"{field} is {length} numbers, not {len(getattr(self, field))}")
        self.layout(1, 1, 1)  # says what cannot be

    @classmethod
    def of_quality(cls, quality: float) -> dict[str, Any]:
        return dict(zip(("fine", "coarse"), nearest_of(quality, BUDGETS), strict=True))

    def layout(self, height: int, width: int, channels: int) -> Layout:
        """The shape of a texture of this size.

        Raises:
            OptionError: a field out of its limits.
        """
        fine, coarse, hidden = (
            Grid(*self.fine),
            Grid(*self.coarse),
            (self.hidden[0], self.hidden[1]),
        )
        return Layout(height, width, channels, fine, coarse, hidden, self.repeat, self.mips)

    def encode(self, image: np.ndarray, options: NeuralTextureOptions) -> list[bytes]:
        picture = to_uint8(image)
        whole = Map("picture", picture.shape[2], "colour")
        report = options.on_step
        texture = self.fit(
            [whole],
            [picture],
            rounds=rounds_of(options),
            seed=options.seed,
            on_step=(lambda done, total, _: report(done, total)) if report else None,
        )
        return [pack_maps(()), *pack_texture(texture)]

    def fit(
        self,
        maps: Sequence[Map],
        pictures: Sequence[np.ndarray],
        *,
        rounds: int,
        weights: dict[str, float] | None = None,
        seed: int = 0,
        on_step: Callable[[int, int, float], None] | None = None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> NeuralTexture:
        """The texture of some maps, uint8 (H, W, C) each; see `fits.material.fit.fit_texture`."""
        channels = sum(each.channels for each in maps)
        height, width = pictures[0].shape[:2]
        layout = self.layout(height, width, channels)
        levels = mip_levels(maps, pictures, layout.mip_count, repeat=self.repeat)
        return fit_texture(
            layout,
            levels,
            channel_weights(maps, weights or {}),
            rounds=rounds,
            alpha=alpha_channel(maps),
            seed=seed,
            on_step=on_step,
            stopped=stopped,
        )

    def unpack(
        self, sections: Sequence[bytes], size: Size
    ) -> tuple[tuple[Map, ...], NeuralTexture]:
        """The maps, none for a plain picture, and the texture of all their channels.

        Raises:
            FormatError: the sections are not what `encode` can have written for this size.
        """
        if not sections:
            raise FormatError("no sections; a neural texture has at least 4")
        maps = unpack_maps(sections[0])
        channels = sum(each.channels for each in maps) if maps else size.channels
        if maps and maps[0].channels != size.channels:
            raise FormatError(
                f"the first map has {maps[0].channels} channels, and the picture {size.channels}"
            )
        layout = self.layout(size.height, size.width, channels)
        return maps, unpack_texture(layout, sections[1:])

    def decode(self, sections: Sequence[bytes], size: Size, *, device: str = "cpu") -> np.ndarray:
        return self._texture(sections, size).mip(0)[..., : size.channels]

    def parts(
        self, sections: Sequence[bytes], size: Size, drawn: tuple[int, int], *, device: str = "cpu"
    ) -> Iterator[Part]:
        if drawn != size[1:]:
            yield from super().parts(sections, size, drawn, device=device)
            return
        texture = self._texture(sections, size)
        for window in windows(*drawn):
            yield Part(*window[:2], texture.window(*window)[..., : size.channels])

    def decode_at(
        self, sections: Sequence[bytes], size: Size, height: int, width: int, *, device: str = "cpu"
    ) -> np.ndarray:
        """The picture at `height width C`, from the mip level next above."""
        drawn = self._texture(sections, size).at_size(height, width)
        return drawn[..., : size.channels]

    def decode_window(
        self, sections: Sequence[bytes], size: Size, window: Window, *, device: str = "cpu"
    ) -> np.ndarray:
        """The texels of `window`. The levels are unpacked whole, the network runs on these alone."""
        return self._texture(sections, size).window(*window)[..., : size.channels]

    def section_name(self, index: int, size: Size) -> str:
        return (
            ("maps", "network")[index]
            if index < 2
            else f"level {index // 2 - 1} {('fine', 'coarse')[index % 2]}"
        )

    def arrays(self, sections: Sequence[bytes], size: Size) -> dict[str, np.ndarray]:
        """The network's weights in one row, and of each level both grids, `channels h w`."""
        texture = self._texture(sections, size)
        found = {"network": texture.network}
        for index, (values, shape, _) in enumerate(texture.layout.grid_slices()):
            name = f"level_{index // 2}_{('fine', 'coarse')[index % 2]}"
            found[name] = texture.codes[values].reshape(shape)
        return found

    def _texture(self, sections: Sequence[bytes], size: Size) -> NeuralTexture:
        return self.unpack(sections, size)[1]


def rounds_of(options: NeuralTextureOptions) -> int:
    """Rounds of a fit."""
    return ROUNDS[options.effort] if options.steps is None else options.steps
