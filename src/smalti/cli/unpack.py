"""`smalti unpack`: a picture of everything that is in a texture."""

from pathlib import Path
from typing import TYPE_CHECKING

from smalti.cli import show, streams
from smalti.errors import FormatError, OptionError
from smalti.files import WRITTEN_SUFFIXES, check_new

if TYPE_CHECKING:
    from smalti.textures import Texture

FACE_NAMES = ("px", "nx", "py", "ny", "pz", "nz")  # +X -X +Y -Y +Z -Z, as files are usually named


def unpack(
    texture: Path,
    folder: Path,
    /,
    *,
    suffix: str = ".png",
    max_bytes: int = 2**30,
    force: bool = False,
) -> int:
    """Draw every mip level, layer and face of a texture.

    Names tell them apart, as in NAME.layer2.px.level1.png; what there is one of is left out. Of
    bc4 a grey picture is drawn, of bc5 red and green.

    Args:
        texture: A .ktx2 or .dds file of bc1, bc3, bc4, bc5 or bc7; - is standard input.
        folder: For the pictures; made if it is not there.
        suffix: Format of the pictures: .png, .webp, .avif, .tif, .bmp or .jpg.
        max_bytes: Refuse compressed levels that take more bytes than this.
        force: Replace pictures that exist.

    Examples:
        smalti unpack a.ktx2 levels
    """
    if suffix not in WRITTEN_SUFFIXES:
        raise OptionError(f"suffix {suffix!r}; known: {', '.join(WRITTEN_SUFFIXES)}")
    if not streams.is_there(texture):
        raise OptionError(f"{texture}: no such file")

    from smalti.image import save
    from smalti.textures import FORMATS, decode_surface, read_texture

    name = streams.input_name(texture)
    stem = "texture" if streams.is_pipe(texture) else texture.stem
    try:
        held = read_texture(streams.read(texture), max_bytes=max_bytes)
    except FormatError as cause:
        raise FormatError(f"{name}: {cause}") from cause
    jobs = [
        (folder / f"{stem}{_place(held, *surface)}{suffix}", surface) for surface in _surfaces(held)
    ]
    for target, _ in jobs:
        check_new(target, force=force)
    folder.mkdir(parents=True, exist_ok=True)
    channels = {"R": 1, "RG": 3, "RGBA": 4}[FORMATS[held.format].channels]
    with show.progress() as bar:
        for number, (target, surface) in enumerate(jobs):
            bar(number, len(jobs), target.name)
            texels = decode_surface(held, *surface)
            opaque = channels == 4 and texels[..., 3].min() == 255
            save(texels[..., : 3 if opaque else channels], target)
    show.note(f"{name}: {show.texture_summary(held)}; {len(jobs)} pictures in {folder}")
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
