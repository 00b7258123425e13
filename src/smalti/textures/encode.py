"""Pictures to a texture and back."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from smalti.bc7.decode import decode_image
from smalti.bc7.encode import encode_image
from smalti.errors import ImageError, OptionError
from smalti.image import as_light, as_picture, to_uint8
from smalti.textures import astc, bc1_to_bc5, light
from smalti.textures.mips import FILTERS, STRIP, mip_strips
from smalti.textures.prepare import Finish, Preparation, prepared
from smalti.textures.prepare.channels import unpremultiplied
from smalti.textures.texture import (
    CUBE_FACES,
    FORMATS,
    MAX_LAYERS,
    MAX_SIDE,
    Texture,
    level_size,
)

MIPS = ("none", *FILTERS)
_AS_IT_IS = Preparation()

# Texels of one call of an encoder: a few seconds of the slowest search between two reports of
# progress. Blocks do not know each other, so that pieces are as good as the whole.
_STRIP_TEXELS = 1 << 20


def encode_texture(
    pictures: Sequence[Any],
    *,
    format: str = "bc7",
    effort: str = "medium",
    mips: str | None = None,
    srgb: bool | None = None,
    cube: bool = False,
    normal: bool = False,
    alpha_weighted: bool = True,
    prepare: Preparation = _AS_IT_IS,
    options: Mapping[str, Any] | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> Texture:
    """Compress one picture, the six faces of a cube, or the layers of an array.

    Args:
        pictures: of one size once prepared; each `H W C` or `H W`, or whatever else `image.as_picture` takes;
            C = 1 (grey), 2 (grey + alpha), 3 (RGB) or 4 (RGBA), straight alpha. More than one is
            an array.
        format: "bc7" (RGBA); with the package quicktex also "bc1" (RGB), "bc3" (RGBA), "bc4" (red
            alone) and "bc5" (red and green), with astc-encoder-py "astc-4x4", "astc-5x5",
            "astc-6x6" and "astc-8x8" (RGBA, for .ktx2 alone). Of linear light, of any range:
            "bc6h" (RGB), "bc6h-signed", "rgba16f", "rgba32f"; there floats are linear, and 8 and 16 bits are
            decoded from sRGB unless srgb is False.
        effort: how long to search: ultrafast, fast, medium, high, best.
        mips: "none", or the filter of a full chain: "kaiser" (sharp), "box" (plain mean),
            "triangle", "mitchell", "lanczos". None: "kaiser", and for formats of light "box", which
            alone keeps their mean.
        srgb: the texels are sRGB-encoded, as colours are, rather than linear. None: they are,
            unless `normal`, or the format is one without such a form.
        cube: six pictures a layer, in the order +X, -X, +Y, -Y, +Z, -Z.
        normal, alpha_weighted: see `mips.mip_strips`.
        prepare: channels, size, normals of heights, edges, alpha: what is done to the pictures, and
            to the levels, before.
        options: more keyword arguments of `smalti.bc7.encode.encode_image`.
        on_step: called with (texels done, texels in all).

    Raises:
        ImageError: pictures of several sizes, too large, a cube that is not square, or transparent
            ones for a format without alpha.
        OptionError: an option that does not exist or does not fit, or a number of pictures that
            makes no cube.

    Examples:
        >>> import numpy as np
        >>> from smalti.textures import encode_texture
        >>> texture = encode_texture([np.zeros((8, 16, 3), np.uint8)])
        >>> texture.format, texture.srgb, [len(blocks) for blocks in texture.levels]
        ('bc7', True, [128, 32, 16, 16, 16])
    """
    images = _prepared(pictures, format, srgb, normal, alpha_weighted, prepare)
    normal = normal or bool(prepare.from_height)
    srgb = _checked_srgb(format, srgb, normal)
    if mips is None:
        mips = "box" if FORMATS[format].light else "kaiser"
    if mips not in MIPS:
        raise OptionError(f"unknown mips {mips!r}; known: {', '.join(MIPS)}")
    height, width, faces = _checked_shape(images, cube)
    # Colour under alpha 0 is seen where it is multiplied already, or where alpha is something else.
    kept = prepare.premultiply or not alpha_weighted or normal
    defaults = {"metric": "data"} if format == "bc7" and kept else {}
    encode = _encoder(format, effort, srgb, defaults | dict(options or {}))
    count = prepare.level_count(height, width) if mips != "none" else 1
    sizes, side = [level_size(height, width, level) for level in range(count)], FORMATS[format].side
    total = len(images) * sum(rows * columns for rows, columns in sizes)
    done = 0
    surfaces: list[list[bytes]] = [[] for _ in sizes]
    for number, image in enumerate(images, 1):
        _check_alpha(format, image, number)
        finish = Finish(image, prepare, srgb=srgb, normal=normal)
        parts: list[list[bytes]] = [[] for _ in sizes]
        pieces = _pieces(image, 0, side)
        if count > 1 and FORMATS[format].light:
            smaller = light.mip_levels(
                image, levels=count, filter=mips, alpha_weighted=alpha_weighted, edges=prepare.edges
            )
            pieces = chain(pieces, _whole(smaller, finish, side))
        elif count > 1:
            strips = mip_strips(
                image,
                filter=mips,
                srgb=srgb,
                normal=normal,
                alpha_weighted=alpha_weighted,
                edges=prepare.edges,
                levels=count,
            )
            whole = finish.of_whole_levels or STRIP % side
            pieces = chain(pieces, _gathered(strips, sizes, None if whole else _STRIP_TEXELS))
        for level, texels in pieces:
            parts[level].append(encode(finish(texels, level)))
            done += texels.shape[0] * texels.shape[1]
            if on_step:
                on_step(done, total)
        for surface, blocks in zip(surfaces, parts, strict=True):
            surface.append(b"".join(blocks))
    contents = tuple(b"".join(level) for level in surfaces)
    return Texture(
        format, srgb, height, width, contents, len(images) // faces, faces, prepare.premultiply
    )


def first_levels(
    pictures: Sequence[Any],
    *,
    format: str = "bc7",
    srgb: bool | None = None,
    normal: bool = False,
    alpha_weighted: bool = True,
    prepare: Preparation = _AS_IT_IS,
) -> list[np.ndarray]:
    """What `encode_texture` encodes as level 0 of each picture; all arguments are as there.

    uint8 `H W C`, or linear light in float32 for formats of light: to compare texels with.
    """
    images = _prepared(pictures, format, srgb, normal, alpha_weighted, prepare)
    normal = normal or bool(prepare.from_height)
    srgb = _checked_srgb(format, srgb, normal)
    return [Finish(image, prepare, srgb=srgb, normal=normal)(image, 0) for image in images]


def _prepared(
    pictures: Sequence[Any],
    format: str,
    srgb: bool | None,
    normal: bool,
    alpha_weighted: bool,
    prepare: Preparation,
) -> list[np.ndarray]:
    """What mip levels are made of: uint8 `H W C`, or linear light in float32."""
    encoded = srgb is not False  # 8-bit colours that become light
    srgb = _checked_srgb(format, srgb, normal or bool(prepare.from_height))
    of_light = FORMATS[format].light
    images = [
        as_light(picture, encoded=encoded) if of_light else as_picture(picture)
        for picture in pictures
    ]
    images = prepared(
        images, prepare, srgb=srgb, light=of_light, normal=normal, alpha_weighted=alpha_weighted
    )
    return images if of_light else [to_uint8(image) for image in images]


def _check_alpha(format: str, image: np.ndarray, number: int) -> None:
    """Refuse alpha where the format has none."""
    if FORMATS[format].light:
        light.check(format, image, number)
    elif (
        format == "bc1" and image.shape[2] in (2, 4) and (least := int(image[..., -1].min())) < 255
    ):
        raise ImageError(
            f"bc1 holds no alpha, and that of picture {number} goes down to {least} of "
            "255; use bc3 or bc7"
        )


def _whole(
    levels: Iterator[np.ndarray], finish: Finish, side: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Levels from 1 on, in pieces where that may be."""
    for level, texels in enumerate(levels, 1):
        if finish.of_whole_levels:
            yield level, texels
        else:
            yield from _pieces(texels, level, side)


def _pieces(texels: np.ndarray, level: int, side: int) -> Iterator[tuple[int, np.ndarray]]:
    """Whole rows of blocks of a level, from the top."""
    step = max(4, side)
    rows = max(step, _STRIP_TEXELS // texels.shape[1] // step * step)
    for top in range(0, texels.shape[0], rows):
        yield level, texels[top : top + rows]


def _gathered(
    strips: Iterator[tuple[int, int, np.ndarray]],
    sizes: Sequence[tuple[int, int]],
    enough: int | None,
) -> Iterator[tuple[int, np.ndarray]]:
    """The strips of the mip levels, those of `enough` texels together, or whole levels."""
    waiting: list[list[np.ndarray]] = [[] for _ in sizes]
    for level, first, texels in strips:
        waiting[level].append(texels)
        last = first + len(texels) == sizes[level][0]
        texels_waiting = sum(part.shape[0] * part.shape[1] for part in waiting[level])
        if last or (enough and texels_waiting >= enough):
            yield level, np.concatenate(waiting[level])
            waiting[level] = []


def decode_surface(texture: Texture, level: int = 0, layer: int = 0, face: int = 0) -> np.ndarray:
    """One surface as a GPU samples it: uint8 (h, w, 4), sRGB not decoded, alpha as it is stored.

    Of formats of light float32 (h, w, 4), linear. Of bc4 only R is stored, of bc5 R and G; the
    others are 0, and alpha 255. Raises OptionError where the texture has no such surface.

    Examples:
        >>> import numpy as np
        >>> from smalti.textures import decode_surface, encode_texture
        >>> texture = encode_texture([np.full((8, 16, 3), 50, np.uint8)])
        >>> decode_surface(texture, level=3)
        array([[[ 50,  50,  50, 255],
                [ 50,  50,  50, 255]]], dtype=uint8)
    """
    blocks = texture.surface(level, layer, face)
    if texture.format == "bc7":
        return decode_image(blocks, *texture.size(level))
    if FORMATS[texture.format].light:
        return light.decode(texture.format, blocks, *texture.size(level))
    if texture.format.startswith("astc"):
        return astc.decode(texture.format, blocks, *texture.size(level), srgb=texture.srgb)
    return bc1_to_bc5.decode(texture.format, blocks, *texture.size(level))


def straight(texture: Texture, texels: np.ndarray) -> np.ndarray:
    """Texels of `decode_surface` with straight alpha, as picture files have it."""
    return unpremultiplied(texels, srgb=texture.srgb) if texture.premultiplied else texels


def _checked_srgb(format: str, srgb: bool | None, normal: bool) -> bool:
    if format not in FORMATS:
        raise OptionError(f"unknown format {format!r}; known: {', '.join(FORMATS)}")
    if normal and FORMATS[format].light:
        raise OptionError(f"{format} holds light; a normal map takes bc5 or bc7")
    has_srgb = FORMATS[format].has_srgb
    if srgb is None:
        return has_srgb and not normal
    if srgb and not has_srgb:
        raise OptionError(f"{format} has no sRGB form, its texels are linear")
    if srgb and normal:
        raise OptionError("a normal map holds vectors, not colours: it is linear, not sRGB")
    return srgb


def _checked_shape(pictures: Sequence[np.ndarray], cube: bool) -> tuple[int, int, int]:
    """Height, width and faces."""
    faces = len(CUBE_FACES) if cube else 1
    if not pictures:
        raise OptionError("a texture is made of at least one picture, here is none")
    if len(pictures) % faces:
        raise OptionError(
            f"a cube map has 6 faces ({', '.join(CUBE_FACES)}), here are {len(pictures)} pictures"
        )
    if len(pictures) // faces > MAX_LAYERS:
        raise OptionError(f"{len(pictures) // faces} layers; an array has 1 to {MAX_LAYERS}")
    sizes = [picture.shape[:2] for picture in pictures]
    height, width = sizes[0]
    for number, size in enumerate(sizes, 1):
        if size != sizes[0]:
            raise ImageError(
                f"the pictures of a texture have one size; the first is {width} x {height}, "
                f"number {number} is {size[1]} x {size[0]}"
            )
    if max(height, width) > MAX_SIDE:
        raise ImageError(f"{width} x {height} texels; the sides of a texture are 1 to {MAX_SIDE}")
    if cube and height != width:
        raise ImageError(f"the faces of a cube map are square, these are {width} x {height}")
    return height, width, faces


def _rgba(image: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 4): grey becomes equal red, green and blue, what has no alpha is opaque."""
    channels = image.shape[2]
    rgba = np.empty((*image.shape[:2], 4), dtype=np.uint8)
    rgba[..., :3] = image[..., :3] if channels >= 3 else image[..., :1]
    rgba[..., 3] = image[..., -1] if channels in (2, 4) else 255
    return rgba


def _encoder(
    format: str, effort: str, srgb: bool, options: dict[str, Any]
) -> Callable[[np.ndarray], bytes]:
    """uint8 (H, W, C) to the blocks of the format."""
    known = []
    if format == "bc7":
        known = [name for name in inspect.signature(encode_image).parameters if name != "image"]
        known.remove("effort")
    if unknown := options.keys() - set(known):
        has = f"it has {', '.join(known)}" if known else "it has none but effort"
        raise OptionError(f"{format} has no option {min(unknown)!r}; {has}")
    if format == "bc7":
        return lambda image: encode_image(
            image if image.shape[2] >= 3 else _rgba(image), effort=effort, **options
        )
    if FORMATS[format].light:
        return lambda image: light.encode(format, image, effort=effort)
    if format.startswith("astc"):
        of_astc = astc.encoder(format, effort=effort, srgb=srgb)
        return lambda image: of_astc(_rgba(image))
    return lambda image: bc1_to_bc5.encode(format, _rgba(image), effort=effort)
