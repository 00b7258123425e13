"""Neural textures of whole materials: fit, draw, export."""

import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from smalti import geometry
from smalti.cli import machine, measured, show, streams
from smalti.errors import FormatError, OptionError
from smalti.files import (
    MAX_PIXELS,
    PICTURE_SUFFIXES,
    SMT,
    WRITTEN_SUFFIXES,
    check_new,
    write_atomically,
)

if TYPE_CHECKING:
    import numpy as np

    from smalti.material import Material

COMMANDS = {  # of `smalti material`
    "fit": "smalti.cli.material:fit",
    "decode": "smalti.cli.material:decode",
    "info": "smalti.cli.material:info",
    "export": "smalti.cli.material:export",
}


def fit(
    sources: tuple[Path, ...],
    /,
    *,
    bpp: float = 5.0,
    effort: str = "medium",
    weights: str = "",
    repeat: bool = False,
    rounds: int | None = None,
    seed: int = 0,
    threads: int | None = None,
    max_pixels: int = MAX_PIXELS,
    quiet: bool = False,
    json: bool = False,
    force: bool = False,
) -> int:
    """Fit the maps of a material, together.

    The names of the pictures say what they are: albedo, normal, roughness, metallic, ao, height,
    or anything that ends in _albedo and so on. Interrupt it whenever you like: the best so far is
    written. A second interruption writes nothing.

    Args:
        sources: A folder of maps, or the maps themselves; last the .smt file to write, or - for
            standard output.
        bpp: Bits a texel in memory at most: all maps, all mip levels and the network.
        effort: How long to fit: ultrafast, fast, medium, high or best.
        weights: Of the maps' errors, as in albedo=1,normal=2 (default: 1 each).
        repeat: The maps are tiled: nothing ends at their edges.
        rounds: How often every texel is looked at (default: by effort).
        seed: Of the first weights and the order of the blocks.
        threads: How many (default: one a core, or SMALTI_NUM_THREADS).
        max_pixels: Refuse maps of more texels than this.
        quiet: Print nothing but errors, and measure nothing.
        json: Print an object.
        force: Replace a file that exists.

    Examples:
        smalti material fit rock rock.smt --bpp 5
        smalti material fit albedo.png normal.png rock.smt --weights normal=2
    """
    pictures, target = _pictures(sources)
    streams.check_output(target, force=force)
    machine.use_threads(threads)

    from smalti.image import load
    from smalti.interrupts import StopSignals
    from smalti.material import fit_material, write_material

    maps = {name: load(path, max_pixels=max_pixels) for name, path in pictures.items()}
    started = time.perf_counter()
    with show.progress() as bar, StopSignals() as signals:
        fitted = fit_material(
            maps,
            bpp=bpp,
            effort=effort,
            weights=_weights(weights),
            repeat=repeat,
            rounds=rounds,
            seed=seed,
            on_step=lambda done, total, psnr: bar(done, total, f"{target.name}, {psnr:.2f} dB"),
            stopped=lambda: signals.arrived,
        )
        stopped = signals.arrived
    data = write_material(fitted)
    streams.write(target, data)
    seconds = time.perf_counter() - started
    _tell(fitted, maps, len(data), seconds, target, show.Printer(quiet, json))
    if stopped:
        show.error("interrupted: this is the best so far")
        return 130
    return 0


def _tell(
    fitted: "Material",
    maps: "dict[str, np.ndarray]",
    count: int,
    seconds: float,
    target: Path,
    printer: show.Printer,
) -> None:
    """What was written, and below it how near each map is to its picture."""
    near = {
        name: measured.quality(x, partial(fitted.mip, name), metrics=False, quiet=printer.quiet)
        for name, x in maps.items()
    }
    layout, name = fitted.texture.layout, streams.output_name(target)
    size, facts = measured.size(count, (layout.height, layout.width))
    told = f"{len(maps)} maps, {layout.channels} channels, {layout.bpp:.2f} bpp in memory"
    lines = [
        f"{name}: {told}, {size} on disk, {seconds:.1f} s",
        *[f"  {each:<12}{text.removeprefix(',')}" for each, (text, _) in near.items()],
    ]
    psnr = {each: found.get("psnr") for each, (_, found) in near.items()}
    facts |= {"memory_bpp": round(layout.bpp, 4), "psnr": psnr, "seconds": round(seconds, 3)}
    printer.tell("\n".join(lines), {"output": name, **facts}, target)


def decode(
    file: Path,
    folder: Path,
    /,
    *,
    map: str | None = None,
    mip: int = 0,
    window: str | None = None,
    size: str | None = None,
    suffix: str = ".png",
    max_pixels: int = MAX_PIXELS,
    force: bool = False,
) -> int:
    """Draw the maps of a material.

    Args:
        file: The .smt file; - is standard input.
        folder: For the pictures, one a map; made if it is not there.
        map: Only this map.
        mip: Mip level, 0 the largest.
        window: Only these texels of the level, WIDTHxHEIGHT+LEFT+TOP.
        size: Draw at WIDTHxHEIGHT, from the mip level next above.
        suffix: Format of the pictures: .png, .webp, .avif, .tif, .bmp or .jpg.
        max_pixels: Refuse files, and sizes, of more texels than this.
        force: Replace pictures that exist.

    Examples:
        smalti material decode rock.smt maps
        smalti material decode rock.smt maps --map normal --mip 2
        smalti material decode rock.smt texel --window 1x1+128+0
    """
    if suffix not in WRITTEN_SUFFIXES:
        raise OptionError(f"suffix {suffix!r}; known: {', '.join(WRITTEN_SUFFIXES)}")
    if size and (window or mip):
        raise OptionError("either --size, or --mip and --window, not both")
    box = geometry.window(window) if window else None
    drawn = geometry.size(size) if size else None
    if drawn and (min(drawn) < 1 or drawn[0] * drawn[1] > max_pixels):
        raise OptionError(f"size {size}; it takes 1 .. {max_pixels:,} texels")

    from smalti.fits.material.maps import channel_slices
    from smalti.image import save

    held, _ = _open(file, max_pixels)
    slices = channel_slices(held.maps)
    if map is not None and map not in slices:
        raise OptionError(f"no map {map!r} in {file}; its maps are {', '.join(slices)}")
    chosen = [map] if map is not None else list(slices)
    targets = {name: folder / f"{name}{suffix}" for name in chosen}
    for target in targets.values():
        check_new(target, force=force)
    texture = held.texture
    if drawn:
        texels = texture.at_size(*drawn)
    else:
        texels = texture.window(*box, mip=mip) if box else texture.mip(mip)
    folder.mkdir(parents=True, exist_ok=True)
    for name, target in targets.items():
        save(texels[..., slices[name]], target)
        show.note(f"{target}: {texels.shape[1]} x {texels.shape[0]}")
    return 0


def info(file: Path, /, *, max_pixels: int = MAX_PIXELS) -> int:
    """What a material holds, and what it takes in memory and on disk.

    Args:
        file: The .smt file; - is standard input.
        max_pixels: Refuse files of more texels than this.

    Examples:
        smalti material info rock.smt
    """
    held, size = _open(file, max_pixels)
    layout = held.texture.layout
    texels = layout.height * layout.width
    show.note(
        f"{streams.input_name(file)}: {layout.width} x {layout.height}, {layout.mip_count} mip levels"
    )
    for each in held.maps:
        show.note(f"  {each.name:<12} {each.kind}, {geometry.CHANNELS[each.channels]}")
    for name, grid in (("fine", layout.fine), ("coarse", layout.coarse)):
        show.note(
            f"  {name + ' grid':<12} 1/{grid.scale}, {grid.channels} channels of {grid.bits} bits"
        )
    widths = " - ".join(str(n) for n in (layout.layers[0][1], *(o for o, _ in layout.layers)))
    show.note(f"  network      {widths}, {layout.multiply_adds:,} multiply-adds a texel")
    show.note(
        f"  in memory    {layout.memory_bits // 8:>12,} bytes  {layout.bpp:.3f} bpp of level 0, "
        f"{layout.bpp_chain:.3f} of all levels' texels"
    )
    show.note(f"  on disk      {size:>12,} bytes  {8 * size / texels:.3f} bpp of level 0")
    return 0


def export(
    file: Path,
    folder: Path,
    /,
    *,
    shader: Literal["glsl", "wgsl", "slang"] | None = None,
    bc: Literal["dds", "ktx2"] | None = None,
    effort: str = "medium",
    max_pixels: int = MAX_PIXELS,
    force: bool = False,
) -> int:
    """Write a material for an engine.

    --shader: grids.bin and weights.bin, to upload as they are, decode.wgsl (or .glsl, .slang) that
    reads them, and material.json with sizes and offsets. --bc: the maps as BC7, normals as BC5,
    with all mip levels, for engines that shall not decode.

    Args:
        file: The .smt file; - is standard input.
        folder: Made if it is not there.
        shader: Language of the decoder.
        bc: Write block-compressed textures of this kind.
        effort: Of the search for blocks: ultrafast, fast, medium, high or best.
        max_pixels: Refuse files of more texels than this.
        force: Replace files that exist.

    Examples:
        smalti material export rock.smt engine --shader wgsl
        smalti material export rock.smt engine --bc ktx2
    """
    if (shader is None) == (bc is None):
        raise OptionError("name either --shader glsl|wgsl|slang or --bc dds|ktx2")
    held, _ = _open(file, max_pixels)
    if shader:
        from smalti.fits.material.shaders import export_shader

        files = export_shader(held.texture, held.maps, shader)
    else:
        from smalti.fits.material.blocks import export_blocks

        with show.progress() as bar:
            files = export_blocks(
                held.texture,
                held.maps,
                f".{bc}",
                effort=effort,
                on_step=lambda done, total, name: bar(done, total, f"{name}, texels"),
            )
    for name in files:
        check_new(folder / name, force=force)
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        write_atomically(folder / name, data)
        show.note(f"{folder / name}: {len(data):,} bytes")
    return 0


def _pictures(sources: tuple[Path, ...]) -> tuple[dict[str, Path], Path]:
    """Name -> picture of every map, and the file to write."""
    *named, target = sources or (Path(),)
    if not named or not (streams.is_stream(target) or target.suffix.lower() == SMT):
        raise OptionError("name a folder of maps, or the maps, and last the .smt file to write")
    found: list[Path] = []
    for source in named:
        if source.is_dir():
            inside = sorted(p for p in source.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES)
            if not inside:
                raise OptionError(f"no picture in the folder {source}")
            found += inside
        elif source.is_file():
            found.append(source)
        else:
            raise OptionError(f"{source}: no such file or folder")
    maps: dict[str, Path] = {}
    for path in found:
        if path.stem in maps:
            raise OptionError(f"{maps[path.stem]} and {path} are both the map {path.stem!r}")
        maps[path.stem] = path
    first = [name for name in maps if name.lower().endswith(("albedo", "color", "diffuse"))]
    return {name: maps[name] for name in sorted(maps, key=lambda n: n not in first)}, target


def _weights(text: str) -> dict[str, float]:
    """Map -> weight of "normal=2,ao=0.5"."""
    from smalti import settings

    return {name: settings.value(name, n, float) for name, n in settings.fields(text).items()}


def _open(file: Path, max_pixels: int) -> tuple["Material", int]:
    """A material, and the bytes of its file."""
    if not streams.is_there(file):
        raise OptionError(f"{file}: no such file")
    from smalti.material import open_material

    try:
        data = streams.read(file)
        return open_material(data, max_pixels=max_pixels), len(data)
    except FormatError as cause:
        raise FormatError(f"{streams.input_name(file)}: {cause}") from cause
