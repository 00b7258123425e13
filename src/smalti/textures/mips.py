"""Mip levels: each half the one before, filtered in linear light.

    level ──to linear, times alpha──▶ filter down, across ──over alpha, to sRGB──▶ next level

A chain goes from floats to floats: only what is handed out is rounded to 8 bits. All levels are made
side by side, a strip of rows at a time, and of each no more rows of floats are kept than the next one
still needs. (A wrapped texture needs its last rows first, so its levels from 1 on are kept whole.)

Sides that are odd: texel i of d covers s / d texels of the s before, not 2, so each has weights of
its own (Guthe and Heckbert, Non-Power-of-Two Mipmap Creation, 2005).

The kernels are native/image/mips.cpp, their readable twins `textures.reference`.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from smalti import native
from smalti.errors import ImageError, OptionError, unknown
from smalti.image.transfer import linear_to_srgb, srgb_to_linear
from smalti.textures.texture import level_count, level_size

FILTERS = ("box", "triangle", "kaiser", "mitchell", "lanczos")
RINGING = ("kaiser", "mitchell", "lanczos")  # with negative weights
EDGES = ("clamp", "wrap", "mirror")  # as the kernels number them

_KAISER_ALPHA = 4.0

STRIP = 64  # output rows made at a time; whole rows of blocks
# Colour under alpha 0 weighs this little: nothing beside any visible texel (alpha from 1 / 255), but
# it decides where nothing is visible, for the GPU's own filter reaches into it.
_INVISIBLE = 2.0**-16
_TRUSTED = 0.5  # alpha from which a ringing filter's own colour counts alone

_to_planes = native.kernel(
    "image_planes", texels="in u8", rows="in i32", values="in f32", planes="out f32",
    count="i64", width="i64", channels="i32", invisible="f32", threads="i32",
)  # fmt: skip
_shrink = native.kernel(
    "image_shrink", source="in f32", result="out f32", row_indices="in i32", row_weights="in f32",
    column_starts="in i32", column_weights="in f32", source_rows="i64", source_width="i64",
    ring="i64", width="i64", first="i64", rows="i64", planes="i32", row_taps="i32",
    column_taps="i32", edges="i32", threads="i32",
)  # fmt: skip
_to_texels = native.kernel(
    "image_texels", planes="in f32", box="in f32?", levels="in u8", texels="out u8", first="i64",
    rows="i64", width="i64", ring="i64", channels="i32", invisible="f32", trusted="f32",
    normal="i32", threads="i32",
)  # fmt: skip


class Taps(NamedTuple):
    """Weights of one axis: output i is the sum of `weights[i]` times inputs from `starts[i]` on."""

    starts: np.ndarray  # int32 (outputs,); may leave the input, see `edges`
    weights: np.ndarray  # float32 (outputs, taps)


class Space(NamedTuple):
    """How 8-bit texels become planes that may be averaged, and back."""

    values: np.ndarray  # float32 (256,): what each level of a colour stands for
    levels: np.ndarray  # uint8 (65536,): the level of each of so many steps of a colour
    invisible: float  # colours are multiplied with alpha plus this; 0: they are not
    normal: bool  # vectors, of length 1


def mip_chain(
    image: np.ndarray,
    *,
    filter: str = "kaiser",
    srgb: bool = True,
    normal: bool = False,
    alpha_weighted: bool = True,
    edges: str = "clamp",
    levels: int = 0,
) -> Iterator[np.ndarray]:
    """The mip levels of a picture, from itself down to 1 x 1, one by one.

    image: uint8 (H, W, C), C 1 to 4, straight alpha. Each level is uint8 (h, w, C) of half the sides
    before, rounded down, at least 1. The rest is as in `mip_strips`.

    Examples:
        >>> import numpy as np
        >>> from smalti.textures import mip_chain
        >>> stripes = np.tile(np.uint8([[[0], [255]]]), (4, 2, 1))
        >>> [int(level[0, 0, 0]) for level in mip_chain(stripes, filter="box")]  # half the light
        [0, 188, 188]
    """
    strips = mip_strips(
        image, filter=filter, srgb=srgb, normal=normal, alpha_weighted=alpha_weighted, edges=edges,
        levels=levels,
    )  # fmt: skip
    return _levels(image, strips, _count(image, levels))


def _levels(
    image: np.ndarray, strips: Iterator[tuple[int, int, np.ndarray]], count: int
) -> Iterator[np.ndarray]:
    height, width, channels = image.shape
    yield image
    sizes = [level_size(height, width, n) for n in range(1, count)]
    levels = [np.empty((*size, channels), np.uint8) for size in sizes]
    for level, first, texels in strips:
        levels[level - 1][first : first + len(texels)] = texels
    yield from levels


def _count(image: np.ndarray, levels: int) -> int:
    most = level_count(*image.shape[:2])
    return min(levels or most, most)


def mip_strips(
    image: np.ndarray,
    *,
    filter: str = "kaiser",
    srgb: bool = True,
    normal: bool = False,
    alpha_weighted: bool = True,
    edges: str = "clamp",
    levels: int = 0,
) -> Iterator[tuple[int, int, np.ndarray]]:
    """Strips of the mip levels from 1 on as they are made: level, first row, uint8 (rows, w, C).

    Each level comes from top to bottom, all but its last strip `STRIP` rows high.

    filter: one of `FILTERS`; "box" is the mean of what a texel covers. srgb: R, G, B are
    sRGB-encoded and are averaged as linear light. normal: R, G, B are a vector from -1 to 1, and
    the mean of them gets length 1 again; neither sRGB nor alpha-weighted. alpha_weighted: each
    texel's colour counts as much as it is visible; False where alpha is something else. edges: beyond
    one the filter goes on with the texel there ("clamp"), at the opposite side, as a tiled texture
    needs it ("wrap"), or back ("mirror"). levels: at most so many, with the picture; 0: all.

    Raises ImageError for another shape or type, OptionError for an unknown filter or kind of edges.
    """
    if filter not in FILTERS:
        raise OptionError(unknown("filter", filter, FILTERS))
    if edges not in EDGES:
        raise OptionError(unknown("edges", edges, EDGES))
    if image.dtype != np.uint8 or image.ndim != 3 or not 1 <= image.shape[2] <= 4 or not image.size:
        raise ImageError(
            "mip levels are made of uint8 of shape (height, width, 1 to 4), "
            f"this is {image.dtype} of shape {image.shape}"
        )
    channels = image.shape[2]
    if normal and channels < 3:
        raise ImageError(f"a normal map has 3 channels or 4, this has {channels}")
    weighted = alpha_weighted and not normal and channels in (2, 4)
    two = weighted and filter in RINGING and image[..., -1].min() < 255
    filters = [filter, "box"] if two else [filter]
    space = space_of(srgb and not normal, normal, weighted)
    return _strips(np.ascontiguousarray(image), filters, space, edges, _count(image, levels))


def _strips(
    image: np.ndarray, filters: list[str], space: Space, edges: str, count: int
) -> Iterator[tuple[int, int, np.ndarray]]:
    """The levels by the first filter; a second one stands by, see `Space`."""
    height, width, channels = image.shape
    sizes = [level_size(height, width, n) for n in range(count)]
    stages = [_Stage(before, size, channels, filters, edges) for before, size in pairwise(sizes)]
    for next_stage, stage in zip(stages[1:], stages[:-1], strict=True):
        stage.keep_for(next_stage)
    while stages and not stages[0].finished:
        first, rows = stages[0].shrink_texels(image, space)
        yield 1, first, stages[0].texels(first, rows, space)
        for number in range(1, len(stages)):
            while stages[number].can_go_on(stages[number - 1].done):
                first, rows = stages[number].shrink_planes(stages[number - 1])
                yield number + 1, first, stages[number].texels(first, rows, space)


class _Stage:
    """One level in the making: its latest rows of floats, by each filter."""

    def __init__(
        self,
        before: tuple[int, int],
        size: tuple[int, int],
        channels: int,
        filters: list[str],
        edges: str,
    ) -> None:
        self.before, self.size, self.channels, self.edges = before, size, channels, edges
        self.down = [taps(f, before[0], size[0]) for f in filters]
        self.across = [taps(f, before[1], size[1]) for f in filters]
        self.done = 0  # rows
        self.keep = min(STRIP, size[0])  # rows
        self.planes: list[np.ndarray] = []

    @property
    def finished(self) -> bool:
        return self.done == self.size[0]

    def keep_for(self, smaller: "_Stage") -> None:
        """Keep as many rows as the level after this one reads at a time, and those being made."""
        rows = STRIP * -(-(smaller.reach() + STRIP) // STRIP)
        self.keep = self.size[0] if self.edges == "wrap" else min(rows, self.size[0])

    def reach(self) -> int:
        """Rows of the level before that a strip is made of, at most."""
        return max(
            int(t.starts[min(first + STRIP, len(t.starts)) - 1] - t.starts[first])
            + t.weights.shape[1]
            for t in self.down
            for first in range(0, len(t.starts), STRIP)
        )

    def can_go_on(self, rows_before: int) -> bool:
        """Whether so many rows of the level before are enough for the next strip."""
        if self.finished:
            return False
        last = min(self.done + STRIP, self.size[0]) - 1
        needed = max(int(t.starts[last]) + t.weights.shape[1] for t in self.down)
        whole = self.before[0]
        return rows_before == whole or (self.edges != "wrap" and needed <= rows_before)

    def shrink_texels(self, image: np.ndarray, space: Space) -> tuple[int, int]:
        """Make the next strip of the picture itself; its first row, and how many."""
        first, rows = self._next()
        for number, down in enumerate(self.down):
            strip = slice(first, first + rows)
            low = int(down.starts[strip][0])
            count = int(down.starts[strip][-1]) + down.weights.shape[1] - low
            positions = np.arange(low, low + count)
            needed = inside(positions, self.before[0], self.edges).astype(np.int32)
            planes = np.empty((self.channels, count, self.before[1]), np.float32)
            _to_planes(
                texels=image, rows=needed, values=space.values, planes=planes, count=count,
                width=self.before[1], channels=self.channels, invisible=space.invisible,
            )  # fmt: skip
            indices = down.starts[strip, None] - low + np.arange(down.weights.shape[1])
            self._shrink(number, first, rows, planes, indices)
        return first, rows

    def shrink_planes(self, larger: "_Stage") -> tuple[int, int]:
        """Make the next strip of the level before; its first row, and how many."""
        first, rows = self._next()
        for number, down in enumerate(self.down):
            positions = down.starts[first : first + rows, None] + np.arange(down.weights.shape[1])
            indices = inside(positions, self.before[0], self.edges) % larger.keep
            self._shrink(number, first, rows, larger.planes[number], indices)
        return first, rows

    def texels(self, first: int, rows: int, space: Space) -> np.ndarray:
        """uint8 (rows, width, C) of the strip just made."""
        texels = np.empty((rows, self.size[1], self.channels), np.uint8)
        _to_texels(
            planes=self.planes[0], box=self.planes[1] if len(self.planes) > 1 else None,
            levels=space.levels, texels=texels, first=first, rows=rows, width=self.size[1],
            ring=self.keep, channels=self.channels, invisible=space.invisible, trusted=_TRUSTED,
            normal=space.normal,
        )  # fmt: skip
        return texels

    def _next(self) -> tuple[int, int]:
        if not self.planes:
            shape = (self.channels, self.keep, self.size[1])
            self.planes = [np.empty(shape, np.float32) for _ in self.down]
        first = self.done
        self.done = min(first + STRIP, self.size[0])
        return first, self.done - first

    def _shrink(
        self, number: int, first: int, rows: int, source: np.ndarray, indices: np.ndarray
    ) -> None:
        down, across = self.down[number], self.across[number]
        _shrink(
            source=source,
            result=self.planes[number],
            row_indices=np.ascontiguousarray(indices, np.int32),
            row_weights=down.weights[first : first + rows],
            column_starts=across.starts,
            column_weights=np.ascontiguousarray(across.weights.T),
            source_rows=source.shape[1],
            source_width=source.shape[2],
            ring=self.keep,
            width=self.size[1],
            first=first,
            rows=rows,
            planes=self.channels,
            row_taps=down.weights.shape[1],
            column_taps=across.weights.shape[1],
            edges=EDGES.index(self.edges),
        )


def shrink_planes(planes: np.ndarray, down: Taps, across: Taps, edges: str) -> np.ndarray:
    """float32 (C, H, W) to (C, h, w), by the weights of both axes: a whole level at once."""
    height, width = len(down.starts), len(across.starts)
    result = np.empty((len(planes), height, width), np.float32)
    positions = down.starts[:, None] + np.arange(down.weights.shape[1])
    _shrink(
        source=planes, result=result, row_weights=down.weights, column_starts=across.starts,
        row_indices=inside(positions, planes.shape[1], edges).astype(np.int32),
        column_weights=np.ascontiguousarray(across.weights.T), source_rows=planes.shape[1],
        source_width=planes.shape[2], ring=height, width=width, first=0, rows=height,
        planes=len(planes), row_taps=down.weights.shape[1], column_taps=across.weights.shape[1],
        edges=EDGES.index(edges),
    )  # fmt: skip
    return result


def taps(filter: str, before: int, after: int) -> Taps:
    """The weights of an axis of `before` texels for one of `after`."""
    ratio = before / after
    if filter == "box":
        # Exact: in units of 1 / after of an input texel.
        edges = np.arange(after + 1) * before
        starts = edges[:-1] // after
        inputs = starts[:, None] + np.arange(-(-before // after) + 1)
        overlap = np.minimum((inputs + 1) * after, edges[1:, None])
        overlap = overlap - np.maximum(inputs * after, edges[:-1, None])
        return Taps(starts.astype(np.int32), (overlap.clip(0) / before).astype(np.float32))
    radius, kernel = _KERNELS[filter]
    scale = max(ratio, 1.0)  # a larger picture is drawn with the filter as wide as texels are now
    reach = radius * scale
    centres = (np.arange(after) + 0.5) * ratio - 0.5  # in input texels, the first at 0
    starts = np.ceil(centres - reach).astype(np.int64)
    inputs = starts[:, None] + np.arange(int(2 * reach) + 1)
    x = (inputs - centres[:, None]) / scale
    weights = kernel(x) * (np.abs(x) < radius)
    weights /= weights.sum(axis=1, keepdims=True)
    return Taps(starts.astype(np.int32), weights.astype(np.float32))


def _triangle(x: np.ndarray) -> np.ndarray:
    return 1 - np.abs(x)


def _kaiser(x: np.ndarray) -> np.ndarray:
    """A sinc of 3 lobes under a Kaiser window of alpha 4."""
    within = np.sqrt((1 - (x / 3) ** 2).clip(0))
    return np.sinc(x) * np.i0(_KAISER_ALPHA * within)


def _mitchell(x: np.ndarray) -> np.ndarray:
    """Mitchell and Netravali, Reconstruction Filters in Computer Graphics, 1988: B = C = 1/3."""
    x = np.abs(x)
    inner = (7 * x**3 - 12 * x**2 + 16 / 3) / 6
    outer = (-7 / 3 * x**3 + 12 * x**2 - 20 * x + 32 / 3) / 6
    return np.where(x < 1, inner, outer)


def _lanczos(x: np.ndarray) -> np.ndarray:
    """A sinc of 3 lobes under the middle lobe of a wider one."""
    return np.sinc(x) * np.sinc(x / 3)


# Filter -> radius in texels of the smaller picture, and its weight at a distance in them.
_KERNELS = {
    "triangle": (1.0, _triangle),
    "kaiser": (3.0, _kaiser),
    "mitchell": (2.0, _mitchell),
    "lanczos": (3.0, _lanczos),
}


def inside(positions: np.ndarray, size: int, edges: str) -> np.ndarray:
    """Which texels of an axis of `size` stand for positions that may lie outside."""
    if edges == "clamp":
        return positions.clip(0, size - 1)
    if edges == "wrap":
        return positions % size
    back = positions % (2 * size)  # mirror: the texel at the edge comes twice, as on a GPU
    return np.minimum(back, 2 * size - 1 - back)


def space_of(srgb: bool, normal: bool, weighted: bool) -> Space:
    """The space that a picture's colours are averaged in."""
    levels = np.arange(256) / 255
    values = 2 * levels - 1 if normal else srgb_to_linear(levels) if srgb else levels
    # The way back: 8 bits of each of 65536 steps, of which sRGB's narrowest level has 20.
    steps = np.arange(65536) / 65535
    back = np.rint(255 * (linear_to_srgb(steps) if srgb else steps)).astype(np.uint8)
    return Space(values.astype(np.float32), back, _INVISIBLE if weighted else 0.0, normal)
