"""ICC profiles and CMYK -> sRGB, relative colorimetric with black point compensation."""

import io
import itertools

import numpy as np
from PIL import Image, ImageCms

_BLACK_POINT = ImageCms.Flags.BLACKPOINTCOMPENSATION
_BROKEN_PROFILE = (ImageCms.PyCMSError, OSError, TypeError, ValueError)


def to_srgb(array: np.ndarray, profile: bytes) -> np.ndarray:
    """The colours of H W C through an ICC profile of grey or RGB; alpha stays.

    The array itself where the profile is sRGB, broken, of another kind, or the samples are floats.
    """
    if array.dtype.kind == "f":
        return array
    channels = 1 if array.shape[-1] < 3 else 3
    # For grey all 256 levels are converted, once and without the optimiser's 33-point table.
    flags = _BLACK_POINT | (ImageCms.Flags.NOOPTIMIZE if channels == 1 else 0)
    try:
        source, space = _profile(profile)
        if space != "RGB" and (space, channels) != ("GRAY", 1):
            return array
        transform = ImageCms.buildTransform(
            source,
            ImageCms.createProfile("sRGB"),
            "L" if space == "GRAY" else "RGB",
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags,
        )
    except _BROKEN_PROFILE:
        return array

    def convert(colours: np.ndarray) -> np.ndarray:
        picture = Image.fromarray(np.ascontiguousarray(colours))
        return np.asarray(ImageCms.applyTransform(picture, transform))

    levels = np.linspace(0, 255, 256 if channels == 1 else 17).round().astype(np.uint8)
    probe = np.array([list(itertools.product(levels, repeat=channels))], dtype=np.uint8)
    if space == "RGB":
        converted = convert(np.broadcast_to(probe, (*probe.shape[:2], 3)))
    else:
        converted = convert(probe[..., 0])
    if np.abs(converted.astype(int) - probe).max() <= 1:
        return array
    if array.dtype == np.uint16:
        array = ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)
    # Grey stays neutral, so that one of R, G, B has it all.
    colours = converted[0, array[..., :1], 1] if channels == 1 else convert(array[..., :3])
    return np.concatenate([colours, array[..., channels:]], axis=-1)


def cmyk_to_rgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """By the embedded profile; without a usable one R = (1 - C)(1 - K)."""
    try:
        source, space = _profile(profile or b"")
        if space == "CMYK":
            converted = ImageCms.profileToProfile(
                picture,
                source,
                ImageCms.createProfile("sRGB"),
                ImageCms.Intent.RELATIVE_COLORIMETRIC,
                "RGB",
                flags=_BLACK_POINT,
            )
            assert converted is not None  # None is for pictures that are changed in place
            return converted
    except _BROKEN_PROFILE:
        pass
    return picture.convert("RGB")


def _profile(profile: bytes) -> tuple[ImageCms.ImageCmsProfile, str]:
    """A parsed ICC profile and its colour space: RGB, GRAY, CMYK, ..."""
    parsed = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    return parsed, parsed.profile.xcolor_space.strip()
