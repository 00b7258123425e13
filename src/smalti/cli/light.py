"""Linear light in files: .exr, .hdr, and textures whose format holds it."""

from typing import TYPE_CHECKING

from smalti.errors import FormatError, OptionError

if TYPE_CHECKING:
    import numpy as np

    from smalti.textures import Texture


def read_light(
    data: bytes, *, window: tuple[int, int, int, int] | None, max_pixels: int
) -> "np.ndarray | None":
    """float32 (H, W, C) of level 0 of the first surface, or a window of it; None: no such file.

    Raises:
        FormatError, ImageError: a damaged file, or one of more texels than `max_pixels`.
        OptionError: a window that leaves the picture.
    """
    from smalti import registry

    if registry.is_foreign(data):
        light = _of_texture(data, max_pixels)
    else:
        from smalti.image import as_light, is_hdr

        light = as_light(data, max_pixels=max_pixels) if is_hdr(data) else None
    if light is None or window is None:
        return light
    top, left, height, width = window
    if top + height > light.shape[0] or left + width > light.shape[1]:
        raise OptionError(
            f"window {width}x{height}+{left}+{top} leaves the picture of {light.shape[1]} x "
            f"{light.shape[0]}"
        )
    return light[top : top + height, left : left + width]


def _of_texture(data: bytes, max_pixels: int) -> "np.ndarray | None":
    from smalti.textures import FORMATS, read_texture

    held: Texture = read_texture(data)
    if not FORMATS[held.format].light:
        return None
    texels = held.height * held.width
    if texels > max_pixels:
        raise FormatError(
            f"{held.width} x {held.height} = {texels:,} texels, over the limit of {max_pixels:,}; "
            "raise it with --max-pixels"
        )
    from smalti.textures import decode_surface, straight  # with encoders: for those who need them

    return straight(held, decode_surface(held))[..., : len(FORMATS[held.format].channels)]
