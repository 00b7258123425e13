"""`smalti unpack`: a picture of everything that is in a texture."""

from pathlib import Path
from typing import TYPE_CHECKING

from smalti.cli import show, streams
from smalti.errors import FormatError, OptionError
from smalti.files import HDR_FORMATS, WRITTEN_SUFFIXES, check_new

if TYPE_CHECKING:
    from smalti.textures import Texture

FACE_NAMES = ("px", "nx", "py", "ny", "pz", "nz")  # +X -X +Y -Y +Z -Z, as files are usually named


def unpack(
    file: Path,
    folder: Path | None = None,
    /,
    *,
    arrays: Path | None = None,
    weights: Path | None = None,
    suffix: str = ".png",
    exposure: float = 0.0,
    max_bytes: int = 2**30,
    force: bool = False,
) -> int:
    """What is in a file: mip levels as pictures, latents as arrays.

    Of a texture every mip level, layer and face is drawn. Names tell them apart, as in
    NAME.layer2.px.level1.png; what there is one of is left out. Of bc4 a grey picture is drawn, of
    bc5 red and green; premultiplied alpha becomes straight; bc6h and floats are tone-mapped to 8 bits,
    or kept as they are in .exr.

    Args:
        file: A .ktx2 or .dds file of bc1, bc3, bc4, bc5, bc6h, bc7 or floats; - is standard input.
            With --arrays, any .smt or .dds file.
        folder: For the pictures; made if it is not there.
        arrays: Write latents, tokens, tables or blocks to this .npz file of NumPy's instead.
        weights: Of --arrays: the .safetensors file that the file was made with, if it is not a
            bundled one.
        suffix: Format of the pictures: .png, .webp, .avif, .tif, .bmp or .jpg; of light also
            .exr and .hdr.
        exposure: Of light, in stops, where 8 bits are written.
        max_bytes: Refuse compressed levels that take more bytes than this.
        force: Replace pictures that exist.

    Examples:
        smalti unpack a.ktx2 levels
        smalti unpack sky.ktx2 faces --suffix .exr
        smalti unpack a.smt --arrays latents.npz
    """
    if not streams.is_there(file):
        raise OptionError(f"{file}: no such file")
    if arrays is not None:
        return _arrays(file, arrays, weights, force=force)
    if folder is None:
        raise OptionError("name the folder for the pictures, or --arrays latents.npz")
    known = (*WRITTEN_SUFFIXES, *HDR_FORMATS)
    if suffix not in known:
        raise OptionError(f"suffix {suffix!r}; known: {', '.join(known)}")

    from smalti.textures import FORMATS, decode_surface, read_texture, straight

    name = streams.input_name(file)
    stem = "texture" if streams.is_pipe(file) else file.stem
    try:
        held = read_texture(streams.read(file), max_bytes=max_bytes)
    except FormatError as cause:
        raise FormatError(f"{name}: {cause}") from cause
    jobs = [
        (folder / f"{stem}{_place(held, *surface)}{suffix}", surface) for surface in _surfaces(held)
    ]
    for target, _ in jobs:
        check_new(target, force=force)
    folder.mkdir(parents=True, exist_ok=True)
    known_format = FORMATS[held.format]
    channels = {"R": 1, "RG": 3, "RGB": 3, "RGBA": 4}[known_format.channels]
    top = 1 if known_format.light else 255
    with show.progress() as bar:
        for number, (target, surface) in enumerate(jobs):
            bar(number, len(jobs), target.name)
            texels = straight(held, decode_surface(held, *surface))
            opaque = channels == 4 and texels[..., 3].min() == top
            texels = texels[..., : 3 if opaque else channels]
            if known_format.light:
                streams.save_light(texels, target, suffix, exposure)
            else:
                streams.save(texels, target, suffix)
    show.note(f"{name}: {held.summary}; {len(jobs)} pictures in {folder}")
    return 0


def _arrays(file: Path, target: Path, weights: Path | None, *, force: bool) -> int:
    """What a file holds as arrays, in a file of NumPy's."""
    if not streams.is_pipe(target) and target.suffix != ".npz":
        raise OptionError(f"{target} is no file of arrays; its name ends in .npz")
    streams.check_output(target, force=force)
    import io

    import numpy as np

    from smalti import api

    found = api.arrays(streams.read(file), weights=weights)
    written = io.BytesIO()
    np.savez_compressed(written, allow_pickle=False, **found)
    streams.write(target, written.getvalue())
    names = f"{streams.input_name(file)} -> {streams.output_name(target)}"
    show.note(f"{names}: {len(written.getvalue()):,} bytes", target)
    for name, array in found.items():
        shape = " x ".join(map(str, array.shape))
        show.note(f"  {name:<16} {array.dtype}, {shape}", target)
    return 0


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
