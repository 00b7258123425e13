"""`smalti diff`: where two pictures or textures differ, and whether that is too much."""

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smalti.cli import measured, show, streams
from smalti.errors import OptionError
from smalti.files import TEXTURE_MAGICS, check_new

if TYPE_CHECKING:
    import numpy as np

WORST = 32  # of 255: an error that is white in the heat map


def diff(
    original: Path,
    picture: Path,
    /,
    *,
    heat: Path | None = None,
    min_psnr: float = 0.0,
    level: int | None = None,
    exposure: float = 0.0,
    json: bool = False,
    force: bool = False,
) -> int:
    """Where two pictures or textures differ, and whether that is too much.

    Two textures are compared level by level, all layers and faces together; otherwise level 0 of
    the first surface. Light is compared as it is drawn, tone-mapped to 8 bits. The exit code is 1
    where a PSNR is below --min-psnr.

    Args:
        original: A picture, or a .smt, .dds or .ktx2 file; - is standard input.
        picture: The same.
        heat: A picture to write of the largest error of each texel of the first level compared:
            black is none, then red, yellow, white from 32 of 255 on.
        min_psnr: In dB: what is below fails (default: nothing does).
        level: Compare this mip level alone (default: all).
        exposure: Of light, in stops.
        json: Print an object a level.
        force: Replace a heat map that exists.

    Examples:
        smalti diff a.png a.ktx2 --heat errors.png
        smalti diff before.dds after.dds --min-psnr 40
    """
    if heat is not None:
        check_new(heat, force=force)
    failures, drawn = 0, False
    for number, x, y in _pairs(original, picture, level, exposure):
        found, errors = compared(x, y)
        if heat is not None and not drawn:
            streams.save(heat_map(errors), heat, heat.suffix)
            drawn = True
        failed = found.psnr < min_psnr
        failures += failed
        channels = {
            name: None if math.isinf(psnr) else round(psnr, 3)
            for name, psnr in found.channels.items()
        }
        apart = ", ".join(f"{name} {measured.decibels(p)}" for name, p in found.channels.items())
        line = f"level {number}: {measured.decibels(found.psnr)} ({apart})"
        line += f", at most {found.largest} of 255"
        if "alpha" in found.channels:
            line += f"; {100 * found.opaque_lost:.2f} % no longer opaque"
            line += f", {100 * found.clear_lost:.2f} % no longer clear"
        line += f"; below {min_psnr:g} dB" if failed else ""
        facts = dataclasses.asdict(found) | {"channels": channels}
        show.Printer(json=json).tell(line, {"level": number, **facts, "passed": not failed})
    return 1 if failures else 0


def heat_map(errors: "np.ndarray") -> "np.ndarray":
    """uint8 (H, W, 3) of errors (H, W) in 255ths: black, red, yellow, white."""
    import numpy as np

    steps = 3 * (errors / WORST).clip(0, 1)[..., None] - np.arange(3)
    return np.rint(255 * steps.clip(0, 1)).astype(np.uint8)


def compared(x: "np.ndarray", y: "np.ndarray") -> tuple[Any, "np.ndarray"]:
    """The metrics, and the largest error of each texel."""
    import numpy as np

    from smalti.eval.metrics import matched, metrics

    x, y = matched(x, y)
    return metrics(x, y), np.abs(x.astype(np.int16) - y).max(axis=-1)


def _pairs(
    original: Path, picture: Path, level: int | None, exposure: float
) -> Iterator[tuple[int, "np.ndarray", "np.ndarray"]]:
    """Level, and what both show of it."""
    one, two = (_levels(path, exposure) for path in (original, picture))
    count = min(len(one), len(two))
    if level is not None and not 0 <= level < count:
        raise OptionError(f"level {level}; both have the levels from 0 to {count - 1}")
    for number in range(count) if level is None else (level,):
        yield number, one[number](), two[number]()


def _levels(path: Path, exposure: float) -> list[Any]:
    """Of each mip level a function that draws it; a picture has one."""
    data = streams.read(path) if streams.is_pipe(path) else path.read_bytes()
    if not data.startswith(tuple(TEXTURE_MAGICS.values())):
        from smalti.api import shown

        return [lambda: shown(data)]
    from smalti.textures import read_texture

    texture = read_texture(data)
    return [lambda n=n: _drawn(texture, n, exposure) for n in range(len(texture.levels))]


def _drawn(texture: Any, level: int, exposure: float) -> "np.ndarray":
    """All layers and faces of a level, below each other: uint8 `H W C`."""
    import numpy as np

    places = [(layer, face) for layer in range(texture.layers) for face in range(texture.faces)]
    return np.concatenate([drawn(texture, level, *place, exposure) for place in places])


def drawn(texture: Any, level: int, layer: int, face: int, exposure: float) -> "np.ndarray":
    """One surface as a picture: uint8 `H W C`, straight alpha, light tone-mapped."""
    from smalti.image import to_uint8, tone_map
    from smalti.textures import FORMATS, decode_surface, straight

    known = FORMATS[texture.format]
    channels = {"R": 1, "RG": 3, "RGB": 3, "RGBA": 4}[known.channels]
    texels = straight(texture, decode_surface(texture, level, layer, face))[..., :channels]
    return to_uint8(tone_map(texels, exposure=exposure)) if known.light else texels
