"""The maps of a material as block-compressed textures, for engines that shall not decode.

Every mip level is the one that was fitted, not filtered anew. A colour becomes BC7 (sRGB), a normal
BC5 (x and y; the shader finds z), and the other one-channel maps share BC7s, three to a texture.
"""

from collections.abc import Callable, Sequence

import numpy as np

from smalti.bc7.encode import encode_image
from smalti.fits.material.maps import Map, channel_slices
from smalti.fits.material.texture import NeuralTexture
from smalti.image import to_uint8
from smalti.textures import Texture, write_texture
from smalti.textures.bc1_to_bc5 import encode as encode_bc


def export_blocks(
    texture: NeuralTexture,
    maps: Sequence[Map],
    suffix: str,
    *,
    effort: str = "medium",
    on_step: Callable[[int, int, str], None] | None = None,
) -> dict[str, bytes]:
    """Name -> content of every texture, ".dds" or ".ktx2".

    Raises:
        OptionError: no such effort.
        MissingExtraError: there are normals, and quicktex, which makes BC5, is not installed.
    """
    groups = texture_groups(maps)
    slices = channel_slices(maps)
    layout = texture.layout
    levels: list[list[bytes]] = [[] for _ in groups]
    total = layout.texel_count * len(groups)
    done = 0
    for mip in range(layout.mip_count):
        texels = to_uint8(texture.mip(mip))
        for number, group in enumerate(groups):
            parts = [texels[..., slices[each.name]] for each in group]
            rgba = _rgba(np.concatenate(parts, -1), group)
            if _is_normal(group):
                levels[number].append(encode_bc("bc5", rgba, effort=effort))
            else:
                levels[number].append(encode_image(rgba, effort=effort))
            done += texels.shape[0] * texels.shape[1]
            if on_step:
                on_step(done, total, _name(group))
    return {
        _name(group) + suffix: write_texture(
            Texture(
                "bc5" if _is_normal(group) else "bc7",
                group[0].kind == "colour",
                layout.height,
                layout.width,
                tuple(contents),
            ),
            suffix,
        )
        for group, contents in zip(groups, levels, strict=True)
    }


def texture_groups(maps: Sequence[Map]) -> list[list[Map]]:
    """The maps of each texture: alone, but for one-channel data."""
    alone = [[each] for each in maps if each.kind != "data" or each.channels > 1]
    shared = [each for each in maps if each.kind == "data" and each.channels == 1]
    return alone + [shared[i : i + 3] for i in range(0, len(shared), 3)]


def _name(group: Sequence[Map]) -> str:
    return "_".join(each.name for each in group)


def _is_normal(group: Sequence[Map]) -> bool:
    return group[0].kind == "normal" and group[0].channels == 3


def _rgba(texels: np.ndarray, group: Sequence[Map]) -> np.ndarray:
    """uint8 (h, w, 4) of (h, w, C): grey three times, what is missing 0, without alpha opaque."""
    height, width, channels = texels.shape
    rgba = np.zeros((height, width, 4), np.uint8)
    alpha = len(group) == 1 and channels in (2, 4)
    colours = channels - alpha
    rgba[..., 3] = texels[..., -1] if alpha else 255
    grey = len(group) == 1 and colours == 1
    rgba[..., : 3 if grey else colours] = texels[..., :colours]
    return rgba
