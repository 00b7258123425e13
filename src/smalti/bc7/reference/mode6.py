"""Readable twin of mode6.py, one block at a time: the same bits, and every step on the way to them.

`trace_block` also keeps what Nelder-Mead did, which the figures of `smalti explain bc7` show.
"""

from dataclasses import dataclass, field
from itertools import product

import numpy as np

from smalti.bc7.layout import BLOCK_BYTES, WEIGHTS
from smalti.bc7.mode6 import (
    CONTRACTION,
    EXPANSION,
    FIRST_STEP,
    FREE,
    GOOD_ENOUGH,
    ITERATIONS,
    REFLECTION,
    SHRINK,
)

_WEIGHTS_6 = np.array(WEIGHTS[4])[:, None]


@dataclass
class Step:
    """One iteration: what was done, and the vertices and errors after it, best first."""

    operation: str  # start, reflection, expansion, contraction or shrink
    simplex: np.ndarray  # float64 (V, 8): R, G, B, A of both ends, 0 .. 255, unrounded
    errors: np.ndarray  # (V,), squared, in levels of 255, of the real block


@dataclass
class Trace:
    """How a block was found. `point` and `ends` are (8,): R, G, B, A of both ends, 0 .. 255."""

    block: "Mode6Block"
    first: np.ndarray  # the first guess, unrounded
    first_error: int
    point: np.ndarray  # the best one, unrounded
    error: int
    ends: np.ndarray  # int64: `point` rounded to 7 bits and a p-bit
    steps: list[Step] = field(default_factory=list)  # none where the first guess is good enough


def encode_block(texels: np.ndarray, engine: str) -> bytes:
    """Encode uint8 (16, 4) as a mode 6 block, as `mode6.encode_mode6` does."""
    if not texels[:, 3].any():
        return (1 << 6).to_bytes(BLOCK_BYTES, "little")
    trace = trace_block(texels, engine)
    return pack(trace.ends, trace.block.choose(trace.ends)[1])


def trace_block(
    texels: np.ndarray, engine: str = "nelder-mead", *, good_enough: float = GOOD_ENOUGH
) -> Trace:
    """Search uint8 (16, 4), with at least one texel of alpha above 0, and tell how.

    good_enough: squared error, in levels of 255, above which `nelder-mead` searches at all.
    """
    block = Mode6Block(texels)
    point = block.principal_ends()
    error, ends = block.round_and_choose(point)
    trace = Trace(block, point, error, point, error, ends)
    if engine == "nelder-mead" and error > good_enough:
        trace.steps = list(block.nelder_mead(point, error))
        trace.point = trace.steps[-1].simplex[0]
        trace.error, trace.ends = block.round_and_choose(trace.point)
    return trace


class Mode6Block:
    """16 texels, and the alphas that the two ends must have."""

    def __init__(self, texels: np.ndarray) -> None:
        self.x = texels.astype(np.int64)
        visible = self.x[:, 3] > 0
        count = visible.sum()
        self.x[~visible, :3] = (self.x[visible, :3].sum(axis=0) + count // 2) // count
        self.importance = np.ones((16, 4), dtype=np.int64)
        self.importance[~visible, :3] = 0
        least, greatest = int(self.x[:, 3].min()), int(self.x[:, 3].max())
        self.fixed = (least if least in (0, 255) else FREE, 255 if greatest == 255 else FREE)

    def principal_ends(self) -> np.ndarray:
        """The extremes of the texels on a line through their mean."""
        mean = self.x.sum(axis=0) / 16
        centred = self.x - mean
        sums = [centred[centred[:, channel] > 0].sum(axis=0) for channel in range(4)]
        direction = max(sums, key=lambda total: total @ total)
        square = direction @ direction
        if square == 0:
            return np.tile(mean, 2)
        if direction[3] < 0:
            direction = -direction
        products = centred @ direction
        along = direction / square
        ends = [mean + extreme * along for extreme in (products.min(), products.max())]
        return np.clip(np.concatenate(ends), 0, 255)

    def round_and_choose(self, point: np.ndarray) -> tuple[int, np.ndarray]:
        """The squared error and the two ends, with the best of the p-bits that are possible."""
        found = []
        for parity_1, parity_0 in product((0, 1), repeat=2):
            parities = (parity_0, parity_1)
            if any(f not in (FREE, 255 * p) for f, p in zip(self.fixed, parities, strict=True)):
                continue
            ends = np.empty(8, dtype=np.int64)
            for end, (parity, fixed) in enumerate(zip(parities, self.fixed, strict=True)):
                values = point[4 * end : 4 * end + 4]
                steps = np.clip(np.floor((values - parity) * 0.5 + 0.5), 0, 127)
                ends[4 * end : 4 * end + 4] = 2 * steps + parity
                if fixed != FREE:
                    ends[4 * end + 3] = fixed
            found.append((self.choose(ends)[0], ends))
        return min(found, key=lambda pair: pair[0])

    def choose(self, ends: np.ndarray) -> tuple[int, np.ndarray]:
        """The squared error, and the nearest of the 16 entries for each texel."""
        palette = ((64 - _WEIGHTS_6) * ends[:4] + _WEIGHTS_6 * ends[4:] + 32) >> 6
        squares = (self.x[:, None] - palette) ** 2 * self.importance[:, None]
        errors = squares.sum(axis=2)
        return int(errors.min(axis=1).sum()), errors.argmin(axis=1)

    def nelder_mead(self, start: np.ndarray, error: int):
        """Yield a `Step` for the first simplex and for each iteration."""

        def objective(point):
            return self.round_and_choose(point)[0]

        def move(origin, source, factor):
            return np.clip(origin + factor * (source - origin), 0, 255)

        vertices = [(error, start)]
        for variable in range(8):
            if variable % 4 == 3 and self.fixed[variable // 4] != FREE:
                continue
            vertex = start.copy()
            up = start[variable] + FIRST_STEP <= 255
            vertex[variable] += FIRST_STEP if up else -FIRST_STEP
            vertices.append((objective(vertex), vertex))
        vertices.sort(key=lambda vertex: vertex[0])
        yield _step("start", vertices)

        for _ in range(ITERATIONS):
            worst_error, worst = vertices[-1]
            if vertices[0][0] == worst_error:
                return
            centroid = sum(point for _, point in vertices[:-1]) / (len(vertices) - 1)
            operation = "reflection"
            new = move(centroid, worst, -REFLECTION)
            new_error = objective(new)
            if new_error < vertices[0][0]:
                further = move(centroid, new, EXPANSION)
                further_error = objective(further)
                if further_error < new_error:
                    operation, new, new_error = "expansion", further, further_error
            if new_error >= vertices[-2][0]:
                operation = "contraction"
                new = move(centroid, worst, CONTRACTION)
                new_error = objective(new)
                if new_error >= worst_error:
                    operation = "shrink"
            if operation == "shrink":
                best = vertices[0][1]
                moved = [move(best, point, SHRINK) for _, point in vertices[1:]]
                vertices[1:] = [(objective(point), point) for point in moved]
            else:
                vertices[-1] = new_error, new
            vertices.sort(key=lambda vertex: vertex[0])
            yield _step(operation, vertices)


def pack(ends: np.ndarray, indices: np.ndarray) -> bytes:
    """The 16 bytes of a mode 6 block; ends int64 (8,), indices (16,) of 0 .. 15."""
    ends = ends.reshape(2, 4)
    if indices[0] >= 8:  # the anchor's index has no top bit
        ends, indices = ends[::-1], 15 - indices
    fields = [(1 << 6, 7)]
    fields += [(int(ends[i, channel]) >> 1, 7) for channel in range(4) for i in (0, 1)]
    fields += [(int(ends[i, 0]) & 1, 1) for i in (0, 1)]
    fields += [(int(index), 4 if texel else 3) for texel, index in enumerate(indices)]
    value = shift = 0
    for number, width in fields:
        value |= number << shift
        shift += width
    return value.to_bytes(BLOCK_BYTES, "little")


def _step(operation: str, vertices: list[tuple[int, np.ndarray]]) -> Step:
    return Step(
        operation,
        np.array([point for _, point in vertices]),
        np.array([error for error, _ in vertices]),
    )
