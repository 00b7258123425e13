"""Mip levels: each half the one before, filtered in linear light.

    level ──to linear, times alpha──▶ filter down ──▶ filter across ──over alpha, to sRGB──▶ next level

A chain goes from floats to floats: only what is handed out is rounded to 8 bits. Texels become
floats a few rows at a time, so that beside the picture itself no array is larger than a level's
floats, which begin at a quarter of the texels.

Sides that are odd: texel i of d covers s / d texels of the s before, not 2, so each has weights of
its own (Guthe and Heckbert, Non-Power-of-Two Mipmap Creation, 2005).
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from smalti.errors import ImageError, OptionError
from smalti.image.transfer import linear_to_srgb, srgb_to_linear
from smalti.textures.texture import level_count, level_size

FILTERS = ("box", "kaiser")

# A sinc of 3 lobes under a Kaiser window of alpha 4, in texels of the smaller level.
_KAISER_RADIUS = 3.0
_KAISER_ALPHA = 4.0

_STRIP = 32  # output rows (and columns) of one matrix product
# Colour under alpha 0 weighs this little: nothing beside any visible texel (alpha from 1 / 255), but
# it decides where nothing is visible, for the GPU's own filter reaches into it.
_INVISIBLE = 2.0**-16
_TRUSTED = 0.5  # alpha from which the Kaiser filter's own colour counts alone

Planes = np.ndarray  # float32 (4, H, W): what is filtered


class _Taps(NamedTuple):
    """Weights of one axis: output i is the sum of `weights[i]` times inputs from `starts[i]` on."""

    starts: np.ndarray  # int64 (outputs,); may leave the input, see `_edges`
    weights: np.ndarray  # float64 (outputs, taps)


class _Space(NamedTuple):
    """8-bit texels (..., 4) to planes that may be averaged, and back."""

    to_planes: Callable[[np.ndarray], Planes]
    to_texels: Callable[..., np.ndarray]  # of planes, and perhaps of the same by the box filter


def mip_chain(
    image: np.ndarray,
    *,
    filter: str = "kaiser",
    srgb: bool = True,
    normal: bool = False,
    alpha_weighted: bool = True,
    repeat: bool = False,
) -> Iterator[np.ndarray]:
    """The mip levels of a picture, from itself down to 1 x 1, one by one.

    image: uint8 (H, W, 4), straight alpha. Each level is uint8 (h, w, 4) of half the sides before,
    rounded down, at least 1.

    filter: "box", the mean of what a texel covers, or "kaiser", sharper. srgb: R, G, B are
    sRGB-encoded and are averaged as linear light. normal: R, G, B are a vector from -1 to 1, and
    the mean of them gets length 1 again; neither sRGB nor alpha-weighted. alpha_weighted: each
    texel's colour counts as much as it is visible; False where alpha is something else. repeat: the
    texture is tiled: the filter goes on at the opposite side, not with the texel at the edge.

    Raises ImageError for another shape or type, OptionError for an unknown filter.
    """
    if filter not in FILTERS:
        raise OptionError(f"unknown filter {filter!r}; known: {', '.join(FILTERS)}")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 4 or not image.size:
        raise ImageError(
            "mip levels are made of uint8 of shape (height, width, 4), "
            f"this is {image.dtype} of shape {image.shape}"
        )
    weighted = alpha_weighted and not normal
    two = weighted and filter == "kaiser" and image[..., 3].min() < 255
    filters = ["kaiser", "box"] if two else [filter]
    return _levels(image, filters, _space(srgb and not normal, normal, weighted), repeat)


def _levels(
    image: np.ndarray, filters: list[str], space: _Space, repeat: bool
) -> Iterator[np.ndarray]:
    """The levels by the first filter; a second one stands by for `_Space.to_texels`."""
    yield image
    height, width, _ = image.shape
    planes: list[Planes] = []  # of the level before, by each filter; level 0's are made in strips
    for level in range(1, level_count(height, width)):
        before, after = (level_size(height, width, n) for n in (level - 1, level))
        smaller = [np.empty((4, *after), dtype=np.float32) for _ in filters]
        texels = np.empty((*after, 4), dtype=np.uint8)
        taps = [(_taps(f, before[0], after[0]), _taps(f, before[1], after[1])) for f in filters]
        for first in range(0, after[0], _STRIP):
            rows = slice(first, min(first + _STRIP, after[0]))
            for number, (down, across) in enumerate(taps):
                low, matrix = _matrix(down, rows)
                inputs = _edges(low, matrix.shape[1], before[0], repeat)
                source = planes[number][:, inputs] if planes else space.to_planes(image[inputs])
                smaller[number][:, rows] = _filter_across(matrix @ source, across, repeat)
            texels[rows] = space.to_texels(*(each[:, rows] for each in smaller))
        planes = smaller
        yield texels


def _filter_across(strip: Planes, taps: _Taps, repeat: bool) -> Planes:
    """(4, rows, W) to (4, rows, outputs)."""
    width, outputs = strip.shape[2], len(taps.starts)
    first = int(taps.starts[0])
    count = int(taps.starts[-1]) + taps.weights.shape[1] - first
    padded = strip[:, :, _edges(first, count, width, repeat)]
    result = np.empty((*strip.shape[:2], outputs), dtype=np.float32)
    for begin in range(0, outputs, _STRIP):
        columns = slice(begin, min(begin + _STRIP, outputs))
        low, matrix = _matrix(taps, columns)
        np.matmul(
            padded[:, :, low - first : low - first + matrix.shape[1]],
            matrix.T,
            out=result[:, :, columns],
        )
    return result


def _taps(filter: str, before: int, after: int) -> _Taps:
    ratio = before / after
    if filter == "box":
        # Exact: in units of 1 / after of an input texel.
        edges = np.arange(after + 1) * before
        starts = edges[:-1] // after
        inputs = starts[:, None] + np.arange(-(-before // after) + 1)
        overlap = np.minimum((inputs + 1) * after, edges[1:, None])
        overlap = overlap - np.maximum(inputs * after, edges[:-1, None])
        return _Taps(starts, overlap.clip(0) / before)
    reach = _KAISER_RADIUS * ratio
    centres = (np.arange(after) + 0.5) * ratio - 0.5  # in input texels, the first at 0
    starts = np.ceil(centres - reach).astype(np.int64)
    inputs = starts[:, None] + np.arange(int(2 * reach) + 1)
    x = (inputs - centres[:, None]) / ratio
    inside = np.sqrt((1 - (x / _KAISER_RADIUS) ** 2).clip(0))
    weights = np.sinc(x) * np.i0(_KAISER_ALPHA * inside) * (np.abs(x) < _KAISER_RADIUS)
    return _Taps(starts, weights / weights.sum(axis=1, keepdims=True))


def _matrix(taps: _Taps, outputs: slice) -> tuple[int, np.ndarray]:
    """The first input of some outputs, and float32 (outputs, inputs) of weights from there on."""
    starts = taps.starts[outputs]
    low, width = int(starts[0]), taps.weights.shape[1]
    matrix = np.zeros((len(starts), int(starts[-1]) - low + width), dtype=np.float32)
    columns = (starts - low)[:, None] + np.arange(width)
    np.put_along_axis(matrix, columns, taps.weights[outputs].astype(np.float32), axis=1)
    return low, matrix


def _edges(first: int, count: int, size: int, repeat: bool) -> np.ndarray:
    """Which texels stand for positions `first` to `first + count` of an axis of `size`."""
    positions = np.arange(first, first + count)
    return positions % size if repeat else positions.clip(0, size - 1)


def _space(srgb: bool, normal: bool, weighted: bool) -> _Space:
    levels = np.arange(256) / 255
    colour = (2 * levels - 1 if normal else srgb_to_linear(levels) if srgb else levels).astype("f4")
    alpha = levels.astype("f4")
    # The way back: 8 bits of each of 65536 steps, of which sRGB's narrowest level has 20.
    steps = np.arange(65536) / 65535
    back = np.rint(255 * (linear_to_srgb(steps) if srgb else steps)).astype("u1")

    def to_planes(texels: np.ndarray) -> Planes:
        planes = np.empty((4, *texels.shape[:2]), dtype=np.float32)
        for c in range(3):
            np.take(colour, texels[..., c], out=planes[c])
        np.take(alpha, texels[..., 3], out=planes[3])
        if weighted:
            planes[:3] *= planes[3] + np.float32(_INVISIBLE)
        return planes

    def to_texels(planes: Planes, box: Planes | None = None) -> np.ndarray:
        colours = _over_alpha(planes) if weighted else planes[:3]
        if box is not None:
            # Negative weights leave colour and alpha that do not belong together where there is
            # little alpha, or less than none: the box filter's colour takes over.
            trust = (planes[3] / _TRUSTED).clip(0, 1)
            colours = trust * colours.clip(0, 1) + (1 - trust) * _over_alpha(box)
        if normal:
            length = np.sqrt((colours**2).sum(axis=0))
            flat = length < 1e-6  # opposite directions: which one is left is chance
            colours = colours / np.where(flat, 1, length)
            colours[:, flat] = [[0], [0], [1]]
            colours = colours * 0.5 + 0.5
        texels = np.empty((*planes.shape[1:], 4), dtype=np.uint8)
        for c in range(3):
            texels[..., c] = back[_scaled(colours[c], 65535)]
        texels[..., 3] = _scaled(planes[3], 255)
        return texels

    return _Space(to_planes, to_texels)


def _over_alpha(planes: Planes) -> np.ndarray:
    return planes[:3] / np.maximum(planes[3] + np.float32(_INVISIBLE), _INVISIBLE)


def _scaled(plane: np.ndarray, top: int) -> np.ndarray:
    return np.rint(plane.clip(0, 1) * np.float32(top)).astype(np.uint16)
