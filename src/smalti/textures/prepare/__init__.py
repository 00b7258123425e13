"""What is done to pictures before they become a texture, and to levels before they are encoded.

    files ──packed──▶ ──resized──▶ ──flipped──▶ ──converted──▶ ──normals──▶ picture
    picture ──mips──▶ levels ──coverage──▶ ──premultiplied──▶ ──swizzled──▶ encoder

Every step is a function on arrays `H W C`, uint8, uint16 or float32, and gives the same type back;
what is not asked for changes nothing.

channels  swizzle, packing, flip, premultiplied alpha
sizes     to another size, in light, by the filters of mip levels
colours   linear light and Display P3 to sRGB, and back
normals   of heights, green turned, blue found
coverage  what of a cut-out stays opaque in each level
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from smalti import settings
from smalti.errors import OptionError
from smalti.settings import setting
from smalti.textures.mips import EDGES
from smalti.textures.prepare import channels, colours, coverage, normals, sizes


@dataclass(frozen=True)
class Preparation:
    """How pictures become the picture and the levels that are encoded.

    Raises:
        OptionError: a value out of its limits, or a swizzle or size that cannot be read.

    Examples:
        >>> from smalti.textures import Preparation
        >>> Preparation(swizzle="r+r+r").together  # ambient occlusion, roughness, metal
        3
    """

    swizzle: str = setting(
        "",
        "Channels of the texture, each r, g, b, a, 0 or 1 of the picture: rgb1; with + those of "
        "several pictures: r+r+r packs three.",
        shown="as they are",
    )
    resize: str = setting(
        "",
        "Another size: 512x256, 50%, fit1024 (no side longer), pow2 (the next power of two) or "
        "multiple4.",
        shown="as it is",
    )
    flip: str = setting("none", "Turn round.", choices=("none", "x", "y", "xy"))
    colours: str = setting(
        "",
        "What the pictures' numbers are, converted to what the texture holds.",
        choices=tuple(colours.SPACES),
        shown="as they are",
    )
    from_height: float = setting(
        0.0,
        "Normals of a picture of heights: texels that white is higher than black; 0: none.",
        least=-1000,
        most=1000,
    )
    invert_y: bool = setting(False, "Turn the green of normals, between OpenGL and Direct3D.")
    rebuild_z: bool = setting(False, "Blue of normals from red and green.")
    premultiply: bool = setting(False, "Colours times alpha, and the file says so.")
    edges: str = setting("clamp", "What lies beyond an edge: to filters.", choices=EDGES)
    levels: int = setting(0, "At most so many levels; 0: all.", least=0, most=15)
    smallest: int = setting(1, "No level with a side below this.", least=1, most=16384)
    coverage: float = setting(
        0.0,
        "Alpha test of a cut-out: as much of each level passes as of the first; 0: none.",
        least=0,
        most=1,
    )

    def __post_init__(self) -> None:
        settings.check(self)
        channels.parsed(self.swizzle)
        sizes.target(self.resize, 1, 1)

    @property
    def together(self) -> int:
        """Pictures that become one."""
        return self.swizzle.count("+") + 1

    def level_count(self, height: int, width: int) -> int:
        """Levels of a texture of this size."""
        sides = [max(1, min(height, width) >> n) for n in range(max(height, width).bit_length())]
        wanted = sum(side >= self.smallest for side in sides) or 1
        return min(wanted, self.levels or wanted)


def prepared(
    pictures: Sequence[np.ndarray],
    preparation: Preparation,
    *,
    srgb: bool,
    light: bool = False,
    normal: bool = False,
    alpha_weighted: bool = True,
) -> list[np.ndarray]:
    """The pictures, `H W C`, as mip levels are made of them.

    Args:
        pictures: in groups of `preparation.together`.
        srgb: the texture's colours are sRGB-encoded. light: floats of any range, linear.
        normal: they are vectors; so is what `from_height` makes.
        alpha_weighted: see `mips.mip_strips`.

    Raises:
        OptionError: another number of pictures.
        ImageError: pictures of several sizes for one, or without the channels that a step needs.
    """
    together = preparation.together
    if len(pictures) % together:
        raise OptionError(
            f"swizzle {preparation.swizzle} makes one of {together} pictures, here are "
            f"{len(pictures)}"
        )
    result = []
    for first in range(0, len(pictures), together):
        image = pictures[first]
        if together > 1 or (preparation.swizzle and not normal):
            image = channels.swizzled(pictures[first : first + together], preparation.swizzle)
        vectors = normal and not preparation.from_height
        image = sizes.resized(
            image,
            preparation.resize,
            edges=preparation.edges,
            srgb=_encoded(preparation, srgb, light) and not vectors,
            normal=vectors,
            alpha_weighted=alpha_weighted,
        )
        image = channels.flipped(image, preparation.flip)
        if preparation.colours:
            image = colours.converted(image, preparation.colours, "srgb" if srgb else "linear")
        if preparation.from_height:
            image = normals.of_height(image, preparation.from_height, preparation.edges)
        if preparation.invert_y:
            image = normals.with_inverted_y(image)
        if preparation.rebuild_z:
            image = normals.with_rebuilt_z(image)
        result.append(image)
    return result


def _encoded(preparation: Preparation, srgb: bool, light: bool) -> bool:
    """Whether a picture's colours are encoded while they are resized."""
    if light or not preparation.colours:
        return srgb and not light
    return preparation.colours != "linear"


class Finish:
    """The last steps of every level of one picture."""

    def __init__(
        self, picture: np.ndarray, preparation: Preparation, *, srgb: bool, normal: bool
    ) -> None:
        self.preparation, self.srgb = preparation, srgb
        self.swizzle = preparation.swizzle if normal and preparation.together == 1 else ""
        has_alpha = picture.shape[2] in (2, 4)
        self.of_whole_levels = bool(preparation.coverage) and has_alpha
        self.covered = 0.0
        if self.of_whole_levels:
            self.covered = coverage.covered(
                channels.unit(picture[..., -1]), preparation.coverage, preparation.edges
            )

    def __call__(self, texels: np.ndarray, level: int) -> np.ndarray:
        """The texels, some rows of a level or, where `of_whole_levels`, all, as they are encoded."""
        if self.of_whole_levels and level:
            test, edges = self.preparation.coverage, self.preparation.edges
            texels = coverage.kept(texels, self.covered, test, edges)
        if self.preparation.premultiply:
            texels = channels.premultiplied(texels, srgb=self.srgb)
        return channels.swizzled([texels], self.swizzle) if self.swizzle else texels
