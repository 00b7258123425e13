"""Materials: aligned maps fitted together into one .smt file, and any texels of it back.

maps ─fit→ grids, network ─codec neural-texture→ .smt ─open_material→ Material ─→ texels

material = smalti.material.open_material(Path("rock.smt").read_bytes())
material.mip("normal", 2)                       # C h w in [0, 1]
material.window("albedo", 0, 0, 64, 64)
material.texel("roughness", 10, 20)
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from smalti.codec import Size
from smalti.codecs.neural_texture import ROUNDS, NeuralTextureCodec
from smalti.errors import FormatError, OptionError
from smalti.files import MAX_PIXELS, content
from smalti.fits.material.layout import BUDGETS
from smalti.fits.material.maps import Map, channel_slices, checked_maps, kind_of
from smalti.fits.material.sections import pack_maps, pack_texture
from smalti.fits.material.texture import NeuralTexture
from smalti.geometry import CHANNELS
from smalti.image import as_picture, to_bytes, to_uint8
from smalti.smt import check_pixels, open_file, write_file


@dataclass(frozen=True, repr=False)
class Material:
    """A fitted material: what is in a file, ready to be read texel by texel."""

    maps: tuple[Map, ...]
    texture: NeuralTexture  # of all maps' channels

    def __repr__(self) -> str:
        maps = ", ".join(f"{each.name} {CHANNELS[each.channels]}" for each in self.maps)
        layout = self.texture.layout
        return f"Material({maps}; {layout.width} x {layout.height}, {layout.bpp:.2f} bpp in memory)"

    def _repr_png_(self) -> bytes:
        """What a notebook shows: every map, side by side, at the mip level of 256 texels or so."""
        layout = self.texture.layout
        mip = min(layout.mip_count - 1, max(0, max(layout.height, layout.width).bit_length() - 9))
        texels = self.texture.mip(mip)
        shown = [_as_rgb(texels[..., place]) for place in channel_slices(self.maps).values()]
        return to_bytes(np.concatenate(shown, 1), ".png")

    def mip(self, name: str, mip: int = 0) -> np.ndarray:
        """A whole mip level of one map, `h w C` float32 in [0, 1]."""
        return self.texture.mip(mip)[..., self._channels(name)]

    def window(
        self, name: str, top: int, left: int, height: int, width: int, *, mip: int = 0
    ) -> np.ndarray:
        """A rectangle of one mip level, `height width C`; no other texels are decoded."""
        return self.texture.window(top, left, height, width, mip=mip)[..., self._channels(name)]

    def texel(self, name: str, y: int, x: int, *, mip: int = 0) -> np.ndarray:
        """One texel of one map, `C`."""
        return self.texture.texel(y, x, mip=mip)[..., self._channels(name)]

    def at_size(self, name: str, height: int, width: int) -> np.ndarray:
        """One map, `height width C`, at any size, from the mip level next above."""
        return self.texture.at_size(height, width)[..., self._channels(name)]

    def _channels(self, name: str) -> slice:
        found = channel_slices(self.maps)
        if name not in found:
            raise OptionError(f"no map {name!r} here; the maps are {', '.join(found)}")
        return found[name]


def _as_rgb(texels: np.ndarray) -> np.ndarray:
    """Grey as three equal channels; of more than three the first three, of two a third of 0."""
    if texels.shape[2] == 1:
        return np.repeat(texels, 3, axis=2)
    return np.pad(texels[..., :3], [(0, 0), (0, 0), (0, max(0, 3 - texels.shape[2]))])


def fit_material(
    pictures: Mapping[str, Any],
    *,
    bpp: float = 5.0,
    effort: str = "medium",
    weights: Mapping[str, float] | None = None,
    repeat: bool = False,
    rounds: int | None = None,
    seed: int = 0,
    on_step: Callable[[int, int, float], None] | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> Material:
    """Fit all maps of a material, and all their mip levels, together.

    Args:
        pictures: name -> map, `H W C` or whatever else `image.as_picture` takes; sRGB-encoded colours or linear numbers in [0, 1]; the name says
            which, as in albedo, normal, roughness, metallic, ao, height.
        bpp: the most that everything may take in memory, in bits a texel of mip level 0: nodes of
            all levels and the network.
        effort: ultrafast, fast, medium, high, best.
        weights: name -> weight of a map's square error, 1 without.
        repeat: the maps are tiled: mip levels and grids go on at the opposite edge.
        rounds: visits of every texel; by effort without.
        on_step, stopped: see `fits.material.fit.fit_texture`.

    Raises:
        ImageError: maps of different sizes.
        OptionError: an unknown kind of map, more than 16 channels, a bpp that nothing fits into.

    Examples:
        >>> import numpy as np
        >>> from smalti.material import fit_material, open_material, write_material
        >>> maps = {"albedo": np.zeros((32, 32, 3)), "roughness": np.full((32, 32), 0.25)}
        >>> material = fit_material(maps, bpp=40, rounds=2)  # so small, the network is most of it
        >>> material = open_material(write_material(material))
        >>> material.window("albedo", 8, 8, 4, 6, mip=1).shape
        (4, 6, 3)
    """
    levels = [to_uint8(as_picture(x)) for x in pictures.values()]
    sizes = zip(pictures, levels, strict=True)
    maps = checked_maps([Map(name, x.shape[2], kind_of(name)) for name, x in sizes])
    if effort not in ROUNDS:
        raise OptionError(f"no effort {effort!r}; known: {', '.join(ROUNDS)}")
    height, width = levels[0].shape[:2]
    codec = codec_for(bpp, height, width, sum(each.channels for each in maps), repeat)
    texture = codec.fit(
        maps,
        levels,
        rounds=rounds or ROUNDS[effort],
        weights=dict(weights or {}),
        seed=seed,
        on_step=on_step,
        stopped=stopped,
    )
    return Material(maps, texture)


def codec_for(
    bpp: float, height: int, width: int, channels: int, repeat: bool = False
) -> NeuralTextureCodec:
    """The largest of the known layouts that takes no more than `bpp` bits a texel in memory.

    Raises:
        OptionError: there is none.
    """
    fitting = []
    for fine, coarse in BUDGETS:
        codec = NeuralTextureCodec(fine=fine, coarse=coarse, repeat=repeat)
        layout = codec.layout(height, width, channels)
        if layout.bpp <= bpp:
            fitting.append((layout.bpp, codec))
    if not fitting:
        least = NeuralTextureCodec(fine=BUDGETS[0][0], coarse=BUDGETS[0][1]).layout(
            height, width, channels
        )
        raise OptionError(
            f"{bpp:g} bits a texel; the smallest layout takes {least.bpp:.2f} for {width} x {height} "
            f"texels, {least.weight_count * 16 / height / width:.2f} of them the network's"
        )
    return max(fitting, key=lambda each: each[0])[1]


def write_material(material: Material) -> bytes:
    """The bytes of a .smt file."""
    layout = material.texture.layout
    codec = NeuralTextureCodec(
        fine=tuple(layout.fine),
        coarse=tuple(layout.coarse),
        hidden=layout.hidden,
        repeat=layout.repeat,
        mips=layout.mips,
    )
    sections = pack_maps(material.maps), *pack_texture(material.texture)
    return write_file(codec, sections, Size(material.maps[0].channels, layout.height, layout.width))


def open_material(data: Any, *, max_pixels: int = MAX_PIXELS) -> Material:
    """What a file of `write_material`, or of `smalti encode --codec neural-texture`, holds.

    Args:
        data: its bytes, a path or a binary file object.
        max_pixels: refuse a file of more texels than this.

    Raises:
        FormatError: no such file, or one of more texels than `max_pixels`.
    """
    codec, size, sections, _ = open_file(content(data))
    if not isinstance(codec, NeuralTextureCodec):
        raise FormatError(f"this file's codec is {codec.name}, not {NeuralTextureCodec.name}")
    check_pixels(size, max_pixels, codec.name)
    maps, texture = codec.unpack(sections, size)
    return Material(maps or (Map("picture", size.channels, "colour"),), texture)
