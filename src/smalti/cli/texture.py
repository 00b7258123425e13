"""`smalti texture`: textures for engines."""

from pathlib import Path

from smalti import settings
from smalti.cli import machine, show, streams
from smalti.errors import OptionError
from smalti.files import MAX_PIXELS, PICTURE_SUFFIXES, TEXTURE_MAGICS


def texture(
    paths: tuple[Path, ...],
    /,
    *,
    format: str = "bc7",
    effort: str = "medium",
    mips: str = "kaiser",
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
    force: bool = False,
) -> int:
    """Make a texture with mip levels for an engine, .ktx2 or .dds.

    Args:
        paths: One picture, the faces of a cube or the layers of an array; last the .ktx2 or .dds
            to write. - is standard input or output.
        format: bc7, with settings if wanted (`smalti help bc7`), bc1, bc3, bc4 (red alone) or bc5
            (red and green).
        effort: How long to search: ultrafast, fast, medium, high or best.
        mips: Filter of the mip levels: kaiser (sharp), box (plain mean), or none for no levels.
        srgb: The texels are colours, sRGB-encoded; the default but for --normal, bc4 and bc5.
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
        force: Replace a file that exists.

    Examples:
        smalti texture a.png a.ktx2 --zstd 18
        smalti texture normal.png normal.dds --normal --format bc5
        smalti texture px.png nx.png py.png ny.png pz.png nz.png sky.ktx2 --cube
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
            pictures.append(to_uint8(streams.load(source, max_pixels=max_pixels)))
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
    streams.write(target, data)
    name = streams.output_name(target)
    show.note(f"{name}: {show.texture_summary(made)}, {len(data):,} bytes", target)
    return 0


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
            known = " ".join(PICTURE_SUFFIXES)
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
