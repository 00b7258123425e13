"""Swizzle, packing, flip and premultiplied alpha of pictures `H W C`."""

from collections.abc import Sequence

import numpy as np

from smalti.errors import ImageError, OptionError
from smalti.image.transfer import linear_to_srgb, srgb_to_linear

_LETTERS = "rgba01"


def parsed(swizzle: str) -> list[str]:
    """The letters of each picture: ["r", "r", "r"] of "r+r+r".

    Raises:
        OptionError: other letters, more than 4, or a picture without any.
    """
    parts = swizzle.lower().split("+")
    letters = "".join(parts)
    if swizzle and (set(letters) - set(_LETTERS) or len(letters) > 4 or "" in parts):
        raise OptionError(
            f"swizzle {swizzle!r}; it is 1 to 4 of r, g, b, a, 0 and 1, with + between pictures: "
            "rgb1, r+r+r"
        )
    return parts


def swizzled(pictures: Sequence[np.ndarray], swizzle: str) -> np.ndarray:
    """One picture of channels of several: "rgb1" of one, "r+r+r" of three.

    Grey is equal red, green and blue, and what has no alpha is opaque. One letter makes grey, two
    red and green (blue is 0), three RGB, four RGBA.

    Raises:
        OptionError: see `parsed`.
        ImageError: the pictures differ in size or type.
    """
    shape, dtype = pictures[0].shape[:2], pictures[0].dtype
    for number, picture in enumerate(pictures, 1):
        if picture.shape[:2] != shape:
            raise ImageError(
                f"pictures packed into one have one size; the first is {shape[1]} x {shape[0]}, "
                f"number {number} is {picture.shape[1]} x {picture.shape[0]}"
            )
        if picture.dtype != dtype:
            raise ImageError(
                f"pictures packed into one have one type; the first is {dtype}, number {number} is "
                f"{picture.dtype}"
            )
    planes = [
        _plane(picture, letter)
        for picture, letters in zip(pictures, parsed(swizzle), strict=True)
        for letter in letters
    ]
    if len(planes) == 2:
        planes.append(np.zeros_like(planes[0]))
    return np.stack(planes, axis=-1)


def _plane(picture: np.ndarray, letter: str) -> np.ndarray:
    channels = picture.shape[2]
    if letter in "01" or (letter == "a" and channels in (1, 3)):
        value = 0 if letter == "0" else top_of(picture)
        return np.full(picture.shape[:2], value, picture.dtype)
    if letter == "a":
        return picture[..., -1]
    return picture[..., "rgb".index(letter) if channels >= 3 else 0]


def flipped(picture: np.ndarray, axes: str) -> np.ndarray:
    """Turned round: "x" left and right, "y" above and below, "xy" both, "none"."""
    if "y" in axes:
        picture = picture[::-1]
    if "x" in axes:
        picture = picture[:, ::-1]
    return np.ascontiguousarray(picture)


def premultiplied(picture: np.ndarray, *, srgb: bool) -> np.ndarray:
    """Colours times alpha, in linear light where they are sRGB-encoded; without alpha, itself.

    The GPU decodes on sampling, so it is light that must be multiplied: Porter and Duff, Compositing
    Digital Images, 1984, in the space that is blended in.
    """
    return _scaled(picture, srgb, lambda light, alpha: light * alpha)


def unpremultiplied(picture: np.ndarray, *, srgb: bool) -> np.ndarray:
    """Straight alpha again; black where nothing is visible."""

    def over(light: np.ndarray, alpha: np.ndarray) -> np.ndarray:
        return np.divide(light, alpha, out=np.zeros_like(light), where=alpha > 0)

    return _scaled(picture, srgb, over)


def _scaled(picture: np.ndarray, srgb: bool, by: object) -> np.ndarray:
    if picture.shape[2] not in (2, 4):
        return picture
    assert callable(by)
    alpha = unit(picture[..., -1:])
    light = unit(picture[..., :-1])
    light = by(srgb_to_linear(light) if srgb else light, alpha)
    values = linear_to_srgb(light.clip(0)) if srgb else light
    return np.concatenate([like(values, picture), picture[..., -1:]], axis=-1)


def top_of(picture: np.ndarray) -> int:
    """The sample that means 1."""
    return int(np.iinfo(picture.dtype).max) if picture.dtype.kind == "u" else 1


def unit(samples: np.ndarray) -> np.ndarray:
    """float32; 0 to 1 of whole numbers, floats as they are."""
    if samples.dtype.kind == "f":
        return samples.astype(np.float32)
    return samples.astype(np.float32) / np.float32(top_of(samples))


def like(values: np.ndarray, picture: np.ndarray) -> np.ndarray:
    """Floats in a picture's type: rounded and clipped where that is whole numbers."""
    if picture.dtype.kind == "f":
        return values.astype(picture.dtype)
    top = top_of(picture)
    return np.rint(values * top).clip(0, top).astype(picture.dtype)
