"""`-` for standard input and output, and inputs that are pipes: /dev/stdin, <(cat a.png).

A pipe can be read once, from its start to its end, and has no folder to write beside.
"""

import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from smalti.errors import OptionError
from smalti.files import HDR_FORMATS, MAX_PIXELS, check_new, write_atomically

if TYPE_CHECKING:
    import numpy as np

STREAM = Path("-")
DEVICES = Path("/dev")  # /dev/stdin is a pipe to us even where a file was redirected into it


def is_stream(path: Path) -> bool:
    """Whether a name stands for standard input or output."""
    return path == STREAM


def is_pipe(path: Path) -> bool:
    """Whether a name is that of standard input or of another pipe, which has no place of its own."""
    if is_stream(path) or DEVICES in path.parents:
        return True
    return path.exists() and not path.is_dir() and not _is_plain(path)


def is_there(path: Path) -> bool:
    """Whether a name can be read: a file or a pipe."""
    return is_pipe(path) or path.is_file()


def input_name(path: Path) -> str:
    return "standard input" if is_stream(path) else str(path)


def output_name(path: Path) -> str:
    return "standard output" if is_stream(path) else str(path)


def read(path: Path) -> bytes:
    """The content of a file or pipe, to its end."""
    if not is_stream(path):
        return path.read_bytes()
    if sys.stdin is None:
        raise OptionError("standard input is closed; name a file, or pipe one in")
    if sys.stdin.isatty():
        raise OptionError("standard input is a terminal; pipe a file in: cat a.png | smalti ... -")
    return sys.stdin.buffer.read()


def load(path: Path, *, max_pixels: int = MAX_PIXELS) -> "np.ndarray":
    """The picture in a file or pipe, `H W C`."""
    from smalti import image

    return image.as_picture(read(path) if is_pipe(path) else path, max_pixels=max_pixels)


def load_light(path: Path, *, max_pixels: int, encoded: bool) -> "np.ndarray":
    """The linear light of a file or pipe: float32 `H W C`; see `image.as_light`."""
    from smalti import image

    source = read(path) if is_pipe(path) else path
    return image.as_light(source, encoded=encoded, max_pixels=max_pixels)


def check_output(target: Path, *, force: bool) -> None:
    """Refuse to replace a file, or to write to somebody's terminal, before anything is made.

    Raises:
        OptionError: `target` exists and `force` is not given, or it is standard output, and that
            is a terminal.
    """
    if is_stream(target) and sys.stdout.isatty():
        raise OptionError("standard output is a terminal; redirect it, or name a file")
    if not is_pipe(target):
        check_new(target, force=force)


def write(target: Path, data: bytes) -> None:
    """Write a file whole or not at all, or the bytes to standard output."""
    if is_stream(target):
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    elif is_pipe(target):
        target.write_bytes(data)
    else:
        write_atomically(target, data)


def save(picture: "np.ndarray", target: Path, suffix: str) -> None:
    """Write a picture; the suffix says how where it goes to standard output."""
    from smalti import image

    if is_pipe(target):
        write(target, image.to_bytes(picture, suffix))
    else:
        image.save(picture, target)


def save_light(light: "np.ndarray", target: Path, suffix: str, exposure: float) -> None:
    """Write linear light of any range: as it is to .exr and .hdr, tone-mapped to other pictures."""
    from smalti import image

    written = suffix if is_pipe(target) else target.suffix.lower()
    if written not in HDR_FORMATS:
        light = image.tone_map(light, exposure=exposure)
    elif exposure:
        raise OptionError(
            f"--exposure {exposure:g} is for 8 bits; {written} holds all of the light"
        )
    save(light, target, suffix)


def _is_plain(path: Path) -> bool:
    return stat.S_ISREG(path.stat().st_mode)
