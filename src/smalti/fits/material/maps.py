"""The maps of a material, and the mip levels that a neural texture is fitted to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from smalti.errors import ImageError, OptionError
from smalti.fits.material.layout import MAX_CHANNELS
from smalti.textures.mips import mip_chain

KINDS = ("colour", "normal", "data")  # sRGB-encoded; a vector from -1 to 1; linear numbers

# What the last part of a file's name says about a map: the usual names of engines and libraries.
NAMES = {
    "colour": ("albedo", "basecolor", "base_color", "diffuse", "color", "colour", "emissive", "emission"),
    "normal": ("normal", "normalgl", "normaldx", "norm", "nrm"),
    "data": (
        *("roughness", "rough", "metallic", "metalness", "metal", "ao", "ambientocclusion"),
        *("occlusion", "height", "displacement", "specular", "gloss", "opacity", "mask"),
        *("orm", "arm", "thickness", "transmission"),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Map:
    """One picture of a material."""

    name: str
    channels: int  # 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA
    kind: str = "data"  # one of KINDS


def kind_of(name: str) -> str:
    """The kind of a map by its name; OptionError for a name that says nothing."""
    last = name.lower().replace("-", "_")
    for kind, names in NAMES.items():
        if any(last == known or last.endswith("_" + known) for known in names):
            return kind
    known = ", ".join(names[0] for names in NAMES.values())
    raise OptionError(
        f"what is the map {name!r}? Its name is none of the known ones ({known} ...); "
        "rename the file, or leave it out"
    )


def checked_maps(maps: Sequence[Map]) -> tuple[Map, ...]:
    """The same, if a material can have them.

    Raises:
        OptionError: no maps, two of one name, one of no channels or too many, or too many in all.
    """
    total = sum(each.channels for each in maps)
    if not 1 <= total <= MAX_CHANNELS:
        raise OptionError(f"maps of {total} channels together; a material has 1 .. {MAX_CHANNELS}")
    for each in maps:
        if not 1 <= each.channels <= 4:
            raise OptionError(f"map {each.name!r} of {each.channels} channels; a map has 1 .. 4")
        usable = each.name and each.name.isprintable() and not set(each.name) & set('/\\:*?"<>|')
        if not usable or each.name.startswith("."):
            raise OptionError(f"map name {each.name!r}; it must do as the name of a file")
    names = [each.name for each in maps]
    if len({name.casefold() for name in names}) < len(names):
        raise OptionError(f"two maps of one name: {', '.join(names)}")
    return tuple(maps)


def alpha_channel(maps: Sequence[Map]) -> int | None:
    """The channel, counted over all maps, that says how visible a texel is: a colour's alpha."""
    first = 0
    for each in maps:
        if each.kind == "colour" and each.channels in (2, 4):
            return first + each.channels - 1
        first += each.channels
    return None


def channel_slices(maps: Sequence[Map]) -> dict[str, slice]:
    """Where in a texture's channels each map lies."""
    found, first = {}, 0
    for each in maps:
        found[each.name] = slice(first, first + each.channels)
        first += each.channels
    return found


def channel_weights(maps: Sequence[Map], weights: Mapping[str, float]) -> list[float]:
    """Of each channel: its map's, 1 unless given.

    Raises:
        OptionError: a weight of no map, or one that is not between 0 and 1000.
    """
    known = {each.name for each in maps}
    for name, value in weights.items():
        if name not in known:
            raise OptionError(f"a weight for {name!r}; the maps are {', '.join(sorted(known))}")
        if not 0 <= value <= 1000:
            raise OptionError(f"weight {name}={value:g}; it must lie in 0 .. 1000")
    return [weights.get(each.name, 1.0) for each in maps for _ in range(each.channels)]


def mip_levels(
    maps: Sequence[Map], pictures: Sequence[np.ndarray], mips: int, *, repeat: bool
) -> list[np.ndarray]:
    """uint8 (h, w, channels of all maps) of the first `mips` levels, each map filtered as its kind.

    pictures: uint8 (H, W, C), of each map. Raises ImageError if they differ in size.
    """
    sizes = {picture.shape[:2] for picture in pictures}
    if len(sizes) > 1:
        listed = ", ".join(
            f"{each.name} {p.shape[1]} x {p.shape[0]}"
            for each, p in zip(maps, pictures, strict=True)
        )
        raise ImageError(f"the maps of a material have one size, these differ: {listed}")
    chains = []
    for each, picture in zip(maps, pictures, strict=True):
        rgba = np.full((*picture.shape[:2], 4), 255, np.uint8)
        colours = picture.shape[2] - (picture.shape[2] in (2, 4))
        rgba[..., :3] = picture[..., :colours]
        if colours < picture.shape[2]:
            rgba[..., 3] = picture[..., -1]
        levels = mip_chain(
            rgba, srgb=each.kind == "colour", normal=each.kind == "normal" and colours == 3,
            alpha_weighted=each.kind == "colour", edges="wrap" if repeat else "clamp",
        )  # fmt: skip
        keep = [*range(colours), *([3] if colours < picture.shape[2] else [])]
        chains.append([level[..., keep] for _, level in zip(range(mips), levels, strict=False)])
    return [np.concatenate(parts, -1) for parts in zip(*chains, strict=True)]
