"""`smalti texture` and `smalti unpack`: textures for engines, and what is in one."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from smalti.cli import show
from smalti.errors import FormatError, OptionError
from smalti.files import MAX_PIXELS, PICTURE_SUFFIXES, WRITTEN_SUFFIXES, write_atomically

if TYPE_CHECKING:
    from smalti.textures import Texture

Paths = tyro.conf.Positional[tuple[Path, ...]]
Flag = Annotated[bool, tyro.conf.FlagCreatePairsOff]

TEXTURE_SUFFIXES = (".dds", ".ktx2")
FACE_NAMES = ("px", "nx", "py", "ny", "pz", "nz")  # +X -X +Y -Y +Z -Z, as files are usually named


def texture(
    paths: Paths,
    /,
    *,
    format: str = "bc7",
    effort: str = "medium",
    mips: str = "kaiser",
    srgb: Flag = False,
    linear: Flag = False,
    normal: Flag = False,
    cube: Flag = False,
    array: Flag = False,
    repeat: Flag = False,
    alpha_data: Flag = False,
    zstd: int = 0,
    max_pixels: int = MAX_PIXELS,
) -> int:
    """Make a texture with mip levels: `smalti texture a.png a.ktx2`, or .dds.

    Args:
        paths: One picture, the faces of a cube or the layers of an array; last the .ktx2 or .dds.
        format: bc7, with settings if wanted (bc7:FIELD=VALUE); bc1, bc3, bc4 (red) and bc5 (red, green).
        effort: How long to search: ultrafast, fast, medium, high, best.
        mips: Filter of the mip levels: kaiser (sharp), box (plain mean), or none for no levels.
        srgb: The texels are colours, sRGB-encoded: the default but for --normal, bc4 and bc5.
        linear: The texels are numbers, such as roughness, or linear colours.
        normal: The texels are unit vectors; mip levels get their length right. Linear.
        cube: Six square pictures a layer: +X -X +Y -Y +Z -Z.
        array: Every picture (with --cube, every six) is a layer.
        repeat: The texture is tiled: filter across its edges.
        alpha_data: Alpha is not visibility: do not weigh colours with it in mip levels.
        zstd: Compress a .ktx2 with Zstandard, 1 (quick) to 22 (small); 0: not.
        max_pixels: Refuse pictures of more texels than this.
    """
    *sources, target = _checked_paths(paths)
    if len(sources) > (6 if cube else 1) and not array:
        raise OptionError(
            f"{len(sources)} pictures for one {'cube map of 6' if cube else 'texture'}: "
            "add --array to make them layers"
            + ("" if cube else ", or --cube to make six of them faces")
        )
    if srgb and (linear or normal):
        raise OptionError(f"either --srgb or --{'linear' if linear else 'normal'}, not both")
    if zstd and target.suffix.lower() == ".dds":
        raise OptionError(f"--zstd {zstd}: .dds files are not compressed, .ktx2 files are")

    from smalti import textures
    from smalti.image import load, to_uint8

    name, options = _options(format)
    pictures = []
    with show.progress() as bar:
        for number, source in enumerate(sources):
            bar(number, len(sources), f"reading {source.name}")
            pictures.append(to_uint8(load(source, max_pixels=max_pixels)))
        made = textures.encode_texture(
            pictures,
            format=name,
            effort=options.pop("effort", effort),
            mips=mips,
            srgb=True if srgb else False if linear else None,
            cube=cube,
            normal=normal,
            alpha_weighted=not alpha_data,
            repeat=repeat,
            options=options,
            on_step=lambda done, total: bar(done, total, f"{target.name}, texels"),
        )
    data = textures.write_texture(made, target.suffix.lower(), zstd=zstd)
    write_atomically(target, data)
    show.note(f"{target}: {summary(made)}, {len(data):,} bytes")
    return 0


def unpack(
    texture: tyro.conf.Positional[Path],
    folder: tyro.conf.Positional[Path],
    /,
    *,
    suffix: str = ".png",
    max_bytes: int = 2**30,
    overwrite: bool = False,
) -> int:
    """Draw every mip level, layer and face of a texture: `smalti unpack a.ktx2 folder`.

    Names tell them apart: NAME.layer2.px.level1.png; what there is one of is left out. Of bc4 a
    grey picture is drawn, of bc5 red and green.

    Args:
        texture: A .ktx2 or .dds file of bc1, bc3, bc4, bc5 or bc7.
        folder: For the pictures; made if it is not there.
        suffix: Format of the pictures: .png .webp .avif .tif .bmp .jpg
        max_bytes: Refuse compressed levels that take more bytes than this.
        overwrite: Replace pictures that exist.
    """
    if suffix not in WRITTEN_SUFFIXES:
        raise OptionError(f"suffix {suffix!r}; known: {', '.join(WRITTEN_SUFFIXES)}")
    if not texture.is_file():
        raise OptionError(f"{texture}: no such file")

    from smalti.image import from_uint8, save
    from smalti.textures import FORMATS, decode_surface, read_texture

    try:
        held = read_texture(texture.read_bytes(), max_bytes=max_bytes)
    except FormatError as cause:
        raise FormatError(f"{texture}: {cause}") from cause
    jobs = [
        (folder / f"{texture.stem}{_place(held, *surface)}{suffix}", surface)
        for surface in _surfaces(held)
    ]
    for target, _ in jobs:
        if target.exists() and not overwrite:
            raise OptionError(f"{target} exists; add --overwrite to replace it")
    folder.mkdir(parents=True, exist_ok=True)
    channels = {"R": 1, "RG": 3, "RGBA": 4}[FORMATS[held.format].channels]
    with show.progress() as bar:
        for number, (target, surface) in enumerate(jobs):
            bar(number, len(jobs), target.name)
            texels = decode_surface(held, *surface)
            opaque = channels == 4 and texels[..., 3].min() == 255
            save(from_uint8(texels[..., : 3 if opaque else channels]), target)
    show.note(f"{texture}: {summary(held)}; {len(jobs)} pictures in {folder}")
    return 0


def show_info(path: Path, data: bytes) -> None:
    """What a texture file holds, level by level, for `smalti info`."""
    from smalti.textures import read_texture

    held = read_texture(data)
    surfaces = held.layers * held.faces
    show.note(f"{path}: {summary(held)}, {len(data):,} bytes")
    for level, blocks in enumerate(held.levels):
        height, width = held.size(level)
        each = f", {surfaces} surfaces" if surfaces > 1 else ""
        show.note(f"  level {level:<6} {len(blocks):>12,} bytes  {width} x {height}{each}")
    show.note(f"  in memory    {held.total_bytes:>12,} bytes")


def summary(held: "Texture") -> str:
    """For instance "bc7 sRGB, 512 x 512, 10 levels, cube map, 2 layers"."""
    parts = [f"{held.format} {'sRGB' if held.srgb else 'linear'}", f"{held.width} x {held.height}"]
    parts.append(f"{len(held.levels)} level{'s' * (len(held.levels) > 1)}")
    parts += ["cube map"] * (held.faces == 6)
    parts += [f"{held.layers} layers"] * (held.layers > 1)
    return ", ".join(parts)


def _checked_paths(paths: tuple[Path, ...]) -> tuple[Path, ...]:
    suffixes = " or ".join(TEXTURE_SUFFIXES)
    if len(paths) < 2:
        raise OptionError(f"name at least one picture, and last the {suffixes} file to write")
    *sources, target = paths
    if target.suffix.lower() not in TEXTURE_SUFFIXES:
        raise OptionError(f"the last name is the file to write, {suffixes}; here it is {target}")
    for source in sources:
        if not source.is_file():
            raise OptionError(f"{source}: no such file")
        if source.suffix.lower() in TEXTURE_SUFFIXES:
            known = " ".join(PICTURE_SUFFIXES)
            raise OptionError(f"{source} is no picture; a texture is made of {known}")
    return paths


def _options(format: str) -> tuple[str, dict]:
    """Format and encoder options of "name" or "name:field=value,field=value"."""
    name, _, settings = format.partition(":")
    if not settings:
        return name, {}
    if name != "bc7":
        raise OptionError(f"format {format!r}; only bc7 has settings")

    from smalti.api import resolve

    return name, resolve(format)[1]


def _surfaces(held: "Texture") -> list[tuple[int, int, int]]:
    """(level, layer, face) of every surface."""
    return [
        (level, layer, face)
        for layer in range(held.layers)
        for face in range(held.faces)
        for level in range(len(held.levels))
    ]


def _place(held: "Texture", level: int, layer: int, face: int) -> str:
    return (
        (f".layer{layer}" if held.layers > 1 else "")
        + (f".{FACE_NAMES[face]}" if held.faces == 6 else "")
        + (f".level{level}" if len(held.levels) > 1 else "")
    )
