"""Why a picture is refused: its size, or what another library says."""

from typing import IO

from smalti.errors import ImageError

_LONGEST = 400  # characters of what another library says


_SCAN = b"\xff\xda"  # marker "start of scan"; in coded data 0xff is followed by zero
_MAX_SCANS = 1000  # a progressive picture has 10, the most that its bits can be split into some 300


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Raises ImageError, a predicate without the file's name, for too many pixels or none."""
    if width < 1 or height < 1:
        raise ImageError(f"is {width} x {height}: it has no pixels")
    if width * height > max_pixels:
        raise ImageError(
            f"is {width} x {height} = {_mega(width * height)}, over the limit of"
            f" {_mega(max_pixels)}; raise it with max_pixels= / --max-pixels"
        )


def check_scans(file: IO[bytes]) -> None:
    """Raises ImageError for a JPEG of more scans than encoders write: each takes a whole pass.

    The file stays where it was.
    """
    place = file.tell()
    file.seek(0)
    scans, before = 0, b""
    while part := file.read(1 << 20):
        scans += (before + part).count(_SCAN)
        before = part[-1:]
    file.seek(place)
    if scans > _MAX_SCANS:
        raise ImageError(f"is a JPEG of {scans:,} scans; the limit is {_MAX_SCANS:,}")


def _mega(pixels: int) -> str:
    return f"{pixels / 1e6:.0f} MPix" if pixels >= 10e6 else f"{pixels / 1e6:.3g} MPix"


def reason(error: Exception) -> str:
    """The first line of another library's error, and of a long one the beginning."""
    lines = str(error).strip().splitlines()
    line = lines[0] if lines else type(error).__name__
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} ..."
