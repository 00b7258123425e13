"""Why a picture is refused: its size, or what another library says."""

from smalti.errors import ImageError


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Raises ImageError, a predicate without the file's name, for too many pixels or none."""
    if width < 1 or height < 1:
        raise ImageError(f"is {width} x {height}: it has no pixels")
    if width * height > max_pixels:
        raise ImageError(
            f"is {width} x {height} = {_mega(width * height)}, over the limit of"
            f" {_mega(max_pixels)}; raise it with max_pixels= / --max-pixels"
        )


def _mega(pixels: int) -> str:
    return f"{pixels / 1e6:.0f} MPix" if pixels >= 10e6 else f"{pixels / 1e6:.3g} MPix"


def reason(error: Exception) -> str:
    """The first line of another library's error."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
