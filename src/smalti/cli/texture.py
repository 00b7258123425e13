"""`smalti texture`: textures for engines."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smalti.cli import machine, measured, show, streams
from smalti.errors import OptionError
from smalti.files import HDR_FORMATS, MAX_PIXELS, PICTURE_SUFFIXES, TEXTURE_MAGICS

if TYPE_CHECKING:
    import numpy as np

    from smalti.textures import Texture


def texture(
    paths: tuple[Path, ...],
    /,
    *,
    format: str = "bc7",
    effort: str = "medium",
    mips: str | None = None,
    srgb: bool = False,
    linear: bool = False,
    normal: bool = False,
    cube: bool = False,
    array: bool = False,
    alpha_data: bool = False,
    swizzle: str = "",
    resize: str = "",
    flip: str = "none",
    colours: str = "",
    from_height: float = 0.0,
    invert_y: bool = False,
    rebuild_z: bool = False,
    premultiply: bool = False,
    coverage: float = 0.0,
    edges: str = "clamp",
    levels: int = 0,
    smallest: int = 1,
    zstd: int = 0,
    suffix: str = ".ktx2",
    threads: int | None = None,
    max_pixels: int = MAX_PIXELS,
    metrics: bool = False,
    quiet: bool = False,
    json: bool = False,
    force: bool = False,
) -> int:
    """Make a texture with mip levels for an engine, .ktx2 or .dds.

    Args:
        paths: One picture, the faces of a cube, the layers of an array or pictures to be packed;
            last the .ktx2 or .dds to write. - is standard input or output.
        format: bc7, with settings if wanted (`smalti help bc7`), bc1, bc3, bc4 (red alone) or bc5
            (red and green); in .ktx2 astc-4x4, astc-5x5, astc-6x6 or astc-8x8; of linear light of
            any range bc6h, bc6h-signed, rgba16f or rgba32f.
        effort: How long to search: ultrafast, fast, medium, high or best.
        mips: Filter of the mip levels: kaiser (sharp, the default), lanczos, mitchell, triangle, box
            (plain mean, the default for light), or none for no levels.
        srgb: The texels are colours, sRGB-encoded; the default but for --normal, bc4 and bc5. For
            formats of light 8 bits are decoded from it.
        linear: The texels are numbers, such as roughness, or linear colours.
        normal: The texels are unit vectors; mip levels get their length right. Linear.
        cube: Six square pictures a layer: +X -X +Y -Y +Z -Z.
        array: Every picture (with --cube, every six) is a layer.
        alpha_data: Alpha is not visibility: do not weigh colours with it in mip levels.
        swizzle: Channels of the texture, each r, g, b, a, 0 or 1 of the picture, as in rgb1; with
            + between pictures they are packed, as in r+r+r.
        resize: 512x256, 50%, fit1024 (no side longer), pow2 (the next power of two) or multiple4.
        flip: Turn round: x, y or xy.
        colours: What the pictures' numbers are: srgb, linear or display-p3; converted to what the
            texture holds (default: as they are).
        from_height: Make normals of heights: texels that white is higher than black.
        invert_y: Turn the green of normals, between OpenGL and Direct3D.
        rebuild_z: Find the blue of normals from red and green.
        premultiply: Multiply colours with alpha, and say so in the file.
        coverage: Of a cut-out, its alpha test, such as 0.5: as much of every level passes.
        edges: What a filter finds beyond an edge: clamp, wrap (the texture is tiled) or mirror.
        levels: At most so many (default: all).
        smallest: No level with a side below this.
        zstd: Compress a .ktx2 with Zstandard, 1 (quick) to 22 (small); 0: not.
        suffix: Of - as the output: .ktx2 or .dds.
        threads: How many (default: one a core, or SMALTI_NUM_THREADS).
        max_pixels: Refuse pictures of more texels than this.
        metrics: Measure SSIM and MS-SSIM too, not PSNR alone.
        quiet: Print nothing but errors, and measure nothing.
        json: Print an object.
        force: Replace a file that exists.

    Examples:
        smalti texture a.png a.ktx2 --zstd 18
        smalti texture normal.png normal.dds --normal --format bc5
        smalti texture px.png nx.png py.png ny.png pz.png nz.png sky.ktx2 --cube
        smalti texture sky.exr sky.ktx2 --format bc6h
        smalti texture ao.png rough.png metal.png orm.dds --linear --swizzle r+r+r
        smalti texture leaf.png leaf.ktx2 --coverage 0.5 --premultiply
    """
    *sources, target = _checked_paths(paths, force)
    suffix = _suffix(target, suffix)
    if srgb and (linear or normal):
        raise OptionError(f"either --srgb or --{'linear' if linear else 'normal'}, not both")
    if zstd and suffix == ".dds":
        raise OptionError(f"--zstd {zstd}: .dds files are not compressed, .ktx2 files are")

    from smalti import textures

    preparation = textures.Preparation(
        swizzle, resize, flip, colours, from_height, invert_y, rebuild_z, premultiply, edges,
        levels, smallest, coverage,
    )  # fmt: skip
    _check_count(len(sources), preparation.together, cube, array)
    machine.use_threads(threads)
    name, options = _options(format)
    pictures = []
    with show.progress() as bar:
        for number, source in enumerate(sources):
            bar(number, len(sources), f"reading {source.name}")
            if name in textures.FORMATS and textures.FORMATS[name].light:
                pictures.append(
                    streams.load_light(source, max_pixels=max_pixels, encoded=not linear)
                )
            else:
                pictures.append(streams.load(source, max_pixels=max_pixels))
        started = time.perf_counter()
        kind: dict[str, Any] = {
            "format": name,
            "srgb": True if srgb else False if linear else None,
            "normal": normal,
            "alpha_weighted": not alpha_data,
            "prepare": preparation,
        }
        made = textures.encode_texture(
            pictures,
            **kind,
            effort=options.pop("effort", effort),
            mips=mips,
            cube=cube,
            options=options,
            on_step=lambda done, total: bar(done, total, f"{target.name}, texels"),
        )
    data = textures.write_texture(made, suffix, zstd=zstd)
    seconds = time.perf_counter() - started
    streams.write(target, data)
    measure = measured.light if textures.FORMATS[made.format].light else measured.quality
    near, facts = measure(
        _stacked([_stored(each, made.format) for each in textures.first_levels(pictures, **kind)]),
        lambda: _stacked(_drawn(made)),
        metrics=metrics,
        quiet=quiet,
    )
    name = streams.output_name(target)
    show.Printer(quiet, json).tell(
        f"{name}: {made.summary}, {len(data):,} bytes{near}, {seconds:.2f} s",
        {
            "output": name,
            "format": made.format,
            "srgb": made.srgb,
            "premultiplied": made.premultiplied,
            "width": made.width,
            "height": made.height,
            "levels": len(made.levels),
            "layers": made.layers,
            "faces": made.faces,
            "bytes": len(data),
            **facts,
            "seconds": round(seconds, 4),
        },
        target,
    )
    return 0


def _check_count(count: int, together: int, cube: bool, array: bool) -> None:
    """Whether so many pictures are one texture."""
    if count > together * (6 if cube else 1) and not array:
        packed = f", {together} packed into each" if together > 1 else ""
        raise OptionError(
            f"{count} pictures for one {'cube map of 6' if cube else 'texture'}{packed}: "
            "add --array to make them layers"
            + ("" if cube or together > 1 else ", or --cube to make six of them faces")
        )


def _drawn(made: "Texture") -> "list[np.ndarray]":
    """The largest level of every layer and face, as what the format stores."""
    from smalti.textures import decode_surface

    return [
        _stored(decode_surface(made, 0, layer, face), made.format)
        for layer in range(made.layers)
        for face in range(made.faces)
    ]


def _stored(picture: "np.ndarray", format: str) -> "np.ndarray":
    """The channels of a picture that the format stores; of RG, with a blue of 0."""
    from smalti.textures import FORMATS

    stored = {"R": 1, "RG": 2, "RGB": 3, "RGBA": 4}[FORMATS[format].channels]
    if stored >= 3:
        return picture
    if stored == 1:
        return picture[..., :1]
    colour = picture[..., :3].copy() if picture.shape[2] >= 3 else picture[..., [0, 0, 0]]
    colour[..., 2] = 0
    return colour


def _stacked(pictures: "list[np.ndarray]") -> "np.ndarray":
    """Pictures below each other, as one to measure."""
    import numpy as np

    return pictures[0] if len(pictures) == 1 else np.concatenate(pictures)


def _checked_paths(paths: tuple[Path, ...], force: bool) -> tuple[Path, ...]:
    suffixes = " or ".join(TEXTURE_MAGICS)
    if len(paths) < 2:
        raise OptionError(f"name at least one picture, and last the {suffixes} file to write")
    *sources, target = paths
    if not streams.is_stream(target) and target.suffix.lower() not in TEXTURE_MAGICS:
        raise OptionError(f"the last name is the file to write, {suffixes}; here it is {target}")
    for source in sources:
        if not streams.is_there(source):
            raise OptionError(f"{source}: no such file")
        if source.suffix.lower() in TEXTURE_MAGICS:
            known = " ".join((*PICTURE_SUFFIXES, *HDR_FORMATS))
            raise OptionError(f"{source} is no picture; a texture is made of {known}")
    streams.check_output(target, force=force)
    return paths


def _suffix(target: Path, suffix: str) -> str:
    """Of the file to write: its own, or the one asked for where it goes to standard output."""
    if not streams.is_stream(target):
        return target.suffix.lower()
    if suffix not in TEXTURE_MAGICS:
        raise OptionError(f"suffix {suffix!r}; known: {', '.join(TEXTURE_MAGICS)}")
    return suffix


def _options(format: str) -> tuple[str, dict]:
    """Format and encoder options of "name" or "name:field=value,field=value"."""
    from smalti import settings

    name, given = settings.split(format)
    if not given:
        return name, {}
    if name != "bc7":
        raise OptionError(f"format {format!r}; only bc7 has settings")

    from smalti.api import resolve

    return name, resolve(format)[1]
