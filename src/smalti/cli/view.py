"""`smalti view`: any picture or texture, in a window or as a PNG."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from smalti.cli import show, streams
from smalti.cli.unpack import FACE_NAMES
from smalti.errors import ImageError, OptionError, unknown
from smalti.files import TEXTURE_MAGICS, check_new

if TYPE_CHECKING:
    import numpy as np

CHANNELS = ("r", "g", "b", "a")


def view(
    file: Path,
    /,
    *,
    level: int = 0,
    layer: int = 0,
    face: str = "px",
    channel: str = "",
    exposure: float = 0.0,
    against: Path | None = None,
    out: Path | None = None,
    force: bool = False,
) -> int:
    """Show a picture, or one surface of a texture.

    In the viewer of the system; where there is no screen, or --out is given, as a picture file.
    Light is tone-mapped, premultiplied alpha becomes straight.

    Args:
        file: A picture, or a .smt, .dds or .ktx2 file; - is standard input.
        level: Mip level of a texture, 0 is the largest.
        layer: Of an array.
        face: Of a cube map: px, nx, py, ny, pz or nz.
        channel: One alone, as grey: r, g, b or a (default: all).
        exposure: Of light, in stops.
        against: Show the error against this picture or file: black is none, white 32 of 255.
        out: Picture to write instead.
        force: Replace a file that exists.

    Examples:
        smalti view a.ktx2 --level 3
        smalti view sky.dds --face nz --exposure -2 --out sky.png
        smalti view a.ktx2 --against a.png --out errors.png
    """
    if face not in FACE_NAMES:
        raise OptionError(unknown("face", face, FACE_NAMES))
    if channel and channel not in CHANNELS:
        raise OptionError(unknown("channel", channel, CHANNELS))
    place = (level, layer, FACE_NAMES.index(face))
    texels = _surface(file, place, exposure)
    if against is not None:
        from smalti.cli.diff import compared, heat_map

        texels = heat_map(compared(_surface(against, place, exposure), texels)[1])
    if channel:
        texels = _channel(texels, channel)
    if out is None and not has_screen():
        stem = "picture" if streams.is_pipe(file) else file.stem
        out = Path(f"{stem}.view.png")
    if out is None:
        _open(texels)
    else:
        check_new(out, force=force)
        streams.save(texels, out, out.suffix)
        height, width = texels.shape[:2]
        show.note(f"{streams.output_name(out)}: {width} x {height}", out)
    return 0


def has_screen() -> bool:
    """Whether a window can be opened."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _surface(path: Path, place: tuple[int, int, int], exposure: float) -> "np.ndarray":
    """uint8 `H W C`."""
    data = streams.read(path) if streams.is_pipe(path) else path.read_bytes()
    if data.startswith(tuple(TEXTURE_MAGICS.values())):
        from smalti.cli.diff import drawn
        from smalti.textures import read_texture

        return drawn(read_texture(data), *place, exposure)
    if place[:2] != (0, 0):
        raise OptionError(f"{streams.input_name(path)} is no texture: it has level 0 and layer 0")
    from smalti.api import shown
    from smalti.image import as_light, is_hdr, to_uint8, tone_map

    return to_uint8(tone_map(as_light(data), exposure=exposure)) if is_hdr(data) else shown(data)


def _channel(texels: "np.ndarray", channel: str) -> "np.ndarray":
    count = texels.shape[2]
    if channel == "a":
        if count not in (2, 4):
            raise ImageError("there is no alpha")
        return texels[..., -1:]
    return texels[..., [CHANNELS.index(channel) if count >= 3 else 0]]


def _open(texels: "np.ndarray") -> None:
    from PIL import Image

    grey = texels.shape[2] == 1
    Image.fromarray(texels[..., 0] if grey else texels).show()
