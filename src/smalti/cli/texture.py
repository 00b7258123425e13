"""`smalti texture`: textures for engines."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from smalti import settings
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
    repeat: bool = False,
    alpha_data: bool = False,
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
        paths: One picture, the faces of a cube or the layers of an array; last the .ktx2 or .dds
            to write. - is standard input or output.
        format: bc7, with settings if wanted (`smalti help bc7`), bc1, bc3, bc4 (red alone) or bc5
            (red and green); of linear light of any range bc6h, bc6h-signed, rgba16f or rgba32f.
        effort: How long to search: ultrafast, fast, medium, high or best.
        mips: Filter of the mip levels: kaiser (sharp, the default), box (plain mean, the default
            for light), or none for no levels.
        srgb: The texels are colours, sRGB-encoded; the default but for --normal, bc4 and bc5. For
            formats of light 8 bits are decoded from it.
        linear: The texels are numbers, such as roughness, or linear colours.
        normal: The texels are unit vectors; mip levels get their length right. Linear.
        cube: Six square pictures a layer: +X -X +Y -Y +Z -Z.
        array: Every picture (with --cube, every six) is a layer.
        repeat: The texture is tiled: filter across its edges.
        alpha_data: Alpha is not visibility: do not weigh colours with it in mip levels.
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
    """
    *sources, target = _checked_paths(paths, force)
    suffix = _suffix(target, suffix)
    if len(sources) > (6 if cube else 1) and not array:
        raise OptionError(
            f"{len(sources)} pictures for one {'cube map of 6' if cube else 'texture'}: "
            "add --array to make them layers"
            + ("" if cube else ", or --cube to make six of them faces")
        )
    if srgb and (linear or normal):
        raise OptionError(f"either --srgb or --{'linear' if linear else 'normal'}, not both")
    if zstd and suffix == ".dds":
        raise OptionError(f"--zstd {zstd}: .dds files are not compressed, .ktx2 files are")

    from smalti import textures
    from smalti.image import to_uint8

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
                pictures.append(to_uint8(streams.load(source, max_pixels=max_pixels)))
        started = time.perf_counter()
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
    data = textures.write_texture(made, suffix, zstd=zstd)
    seconds = time.perf_counter() - started
    streams.write(target, data)
    measure = measured.light if textures.FORMATS[made.format].light else measured.quality
    near, facts = measure(
        _stacked([_stored(picture, made.format) for picture in pictures]),
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
    name, given = settings.split(format)
    if not given:
        return name, {}
    if name != "bc7":
        raise OptionError(f"format {format!r}; only bc7 has settings")

    from smalti.api import resolve

    return name, resolve(format)[1]
