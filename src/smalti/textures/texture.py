"""One texture as a GPU takes it: blocks of every mip level, array layer and cube face."""

from dataclasses import dataclass
from importlib import import_module
from typing import NamedTuple

from smalti.errors import FormatError, OptionError

MAX_SIDE = 16384  # texels; Direct3D 11's limit for a 2-D texture
MAX_LAYERS = 2048  # Direct3D 11's limit for an array
CUBE_FACES = ("+X", "-X", "+Y", "-Y", "+Z", "-Z")  # in the order of every file format


class PixelFormat(NamedTuple):
    """What the blocks hold, and the numbers that stand for it in files; srgb 0: there is none."""

    block_bytes: int
    channels: str  # what a GPU samples; it makes R, G, B that are not here 0, and A 1
    dxgi: int  # DXGI_FORMAT; 0: Direct3D has none
    dxgi_srgb: int
    vulkan: int  # VkFormat
    vulkan_srgb: int
    side: int = 4  # texels of a block's side; 1: texels lie as they are
    light: bool = False  # floats of any range, linear

    @property
    def has_srgb(self) -> bool:
        """Whether there is a form whose colours are sRGB-encoded."""
        return self.vulkan_srgb != 0


# BC1 is Vulkan's BC1_RGBA, the one with a DXGI twin: blocks may have texels of alpha 0.
FORMATS = {
    "bc1": PixelFormat(8, "RGBA", 71, 72, 133, 134),
    "bc3": PixelFormat(16, "RGBA", 77, 78, 137, 138),
    "bc4": PixelFormat(8, "R", 80, 0, 139, 0),
    "bc5": PixelFormat(16, "RG", 83, 0, 141, 0),
    "bc6h": PixelFormat(16, "RGB", 95, 0, 143, 0, light=True),
    "bc6h-signed": PixelFormat(16, "RGB", 96, 0, 144, 0, light=True),
    "bc7": PixelFormat(16, "RGBA", 98, 99, 145, 146),
    "astc-4x4": PixelFormat(16, "RGBA", 0, 0, 157, 158),
    "astc-5x5": PixelFormat(16, "RGBA", 0, 0, 161, 162, side=5),
    "astc-6x6": PixelFormat(16, "RGBA", 0, 0, 165, 166, side=6),
    "astc-8x8": PixelFormat(16, "RGBA", 0, 0, 171, 172, side=8),
    "rgba16f": PixelFormat(8, "RGBA", 10, 0, 97, 0, side=1, light=True),
    "rgba32f": PixelFormat(16, "RGBA", 2, 0, 109, 0, side=1, light=True),
}


@dataclass(frozen=True, repr=False)
class Texture:
    """A 2-D texture, cube map or array of either, with its mip levels.

    A *surface* is one level of one face of one layer: blocks in row-major order from the top left.
    `levels` holds one byte string a mip level, the largest first: its surfaces in the order
    layer 0 face 0, layer 0 face 1, ..., layer 1 face 0, ...

    Raises:
        FormatError: sides out of 1..16384, layers out of 1..2048, not 1 or 6 faces, a cube that is
            not square, more levels than halve the texture to 1 x 1, an sRGB form that the format
            does not have, or a level of another number of bytes.
    """

    format: str  # a key of FORMATS
    srgb: bool  # R, G, B are sRGB-encoded: the GPU decodes them on sampling
    height: int  # texels of level 0
    width: int
    levels: tuple[bytes, ...]
    layers: int = 1  # of an array; 1: no array
    faces: int = 1  # 6: a cube map, in the order of CUBE_FACES
    premultiplied: bool = False  # R, G, B are multiplied with alpha, as light

    def __post_init__(self) -> None:
        check_shape(self.height, self.width, self.layers, self.faces, len(self.levels))
        if self.format not in FORMATS:
            raise FormatError(f"unknown format {self.format!r}; known: {', '.join(FORMATS)}")
        if self.srgb and not FORMATS[self.format].has_srgb:
            raise FormatError(f"{self.format} has no sRGB form, its texels are linear")
        for level, data in enumerate(self.levels):
            expected = self.surface_bytes(level) * self.layers * self.faces
            if len(data) != expected:
                height, width = self.size(level)
                raise FormatError(
                    f"level {level}, {self.layers} x {self.faces} {self.format} surfaces of "
                    f"{width} x {height} texels, takes {expected} bytes, here are {len(data)}"
                )

    def __repr__(self) -> str:
        return f"Texture({self.summary}, {self.total_bytes:,} bytes)"

    @property
    def summary(self) -> str:
        """For instance "bc7 sRGB, 512 x 512, 10 levels, cube map, 2 layers"."""
        parts = [f"{self.format} {'sRGB' if self.srgb else 'linear'}"]
        parts.append(f"{self.width} x {self.height}")
        parts.append(f"{len(self.levels)} level{'s' * (len(self.levels) > 1)}")
        parts += ["premultiplied"] * self.premultiplied + ["cube map"] * (self.faces == 6)
        parts += [f"{self.layers} layers"] * (self.layers > 1)
        return ", ".join(parts)

    def _repr_png_(self) -> bytes:
        """What a notebook shows: the first surface, of the level of 512 texels or so."""
        from smalti.image import to_bytes, tone_map

        module = import_module("smalti.textures")  # which is made of this module

        level = min(len(self.levels) - 1, max(0, max(self.height, self.width).bit_length() - 10))
        texels = module.straight(self, module.decode_surface(self, level))
        return to_bytes(tone_map(texels) if FORMATS[self.format].light else texels, ".png")

    def size(self, level: int) -> tuple[int, int]:
        """(height, width) of a level in texels."""
        return level_size(self.height, self.width, level)

    def surface_bytes(self, level: int) -> int:
        """Bytes of one surface of a level."""
        return surface_bytes(self.format, *self.size(level))

    def surface(self, level: int = 0, layer: int = 0, face: int = 0) -> bytes:
        """The blocks of one surface.

        Raises:
            OptionError: the texture has no such level, layer or face.
        """
        for what, index, count in (
            ("level", level, len(self.levels)),
            ("layer", layer, self.layers),
            ("face", face, self.faces),
        ):
            if not 0 <= index < count:
                raise OptionError(f"{what} {index}; the texture's go from 0 to {count - 1}")
        length = self.surface_bytes(level)
        start = (layer * self.faces + face) * length
        return self.levels[level][start : start + length]

    @property
    def total_bytes(self) -> int:
        """Bytes of all blocks: what the texture takes in GPU memory."""
        return sum(len(level) for level in self.levels)


def level_size(height: int, width: int, level: int) -> tuple[int, int]:
    """(height, width) of a mip level: halved `level` times, rounded down, at least 1."""
    return max(1, height >> level), max(1, width >> level)


def level_count(height: int, width: int) -> int:
    """Levels of a full mip chain, down to 1 x 1."""
    return max(height, width).bit_length()


def surface_bytes(format: str, height: int, width: int) -> int:
    """Bytes of the blocks that cover one picture."""
    known = FORMATS[format]
    return -(-height // known.side) * -(-width // known.side) * known.block_bytes


def check_shape(height: int, width: int, layers: int, faces: int, levels: int) -> None:
    """Raises FormatError for a shape that no texture has; see `Texture`."""
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise FormatError(f"the texture is {width} x {height}; sides are 1 to {MAX_SIDE}")
    if not 1 <= layers <= MAX_LAYERS:
        raise FormatError(f"the texture has {layers} layers; arrays have 1 to {MAX_LAYERS}")
    if faces not in (1, 6):
        raise FormatError(f"the texture has {faces} faces; a cube map has 6, any other texture 1")
    if faces == 6 and height != width:
        raise FormatError(f"the faces of the cube map are {width} x {height}, not square")
    most = level_count(height, width)
    if not 1 <= levels <= most:
        raise FormatError(f"{levels} mip levels; a texture of {width} x {height} has 1 to {most}")
