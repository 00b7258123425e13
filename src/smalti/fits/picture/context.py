"""The context model in training: what a grid value costs, given those that are decoded before it.

For every node of every grid a small network looks at the 12 nearest values before it in reading
order, and at five of the next coarser grid, and says where a Laplace distribution lies and how
wide it is. The cost of the value is -log2 of that distribution's mass in value ± 1/2. Nothing
outside the node's own tile is seen (it counts as 0), so that tiles decode independently.

    12 + 5 values ─dense, ReLU→ 16 ─dense, ReLU→ 16 ─dense→ mean, log of the inverse width

The kernel is `native/fits/context.cpp`, its readable twin `reference.bits`.
"""

from dataclasses import dataclass

import numpy as np

from smalti import native
from smalti.fits.picture.layout import Layout

# (row, column) of the 12 values before a node, nearest first
NEAR = np.array(
    [(0, -1), (-1, 0), (-1, -1), (-1, 1), (0, -2), (-2, 0), (-1, -2), (-1, 2), (-2, -1), (-2, 1),
     (0, -3), (-3, 0)],
    np.int64,
)  # fmt: skip
COARSE = np.array([(0, 0), (0, -1), (0, 1), (-1, 0), (1, 0)], np.int64)
REACH = 3  # how far NEAR goes, up, left and right
INPUTS = len(NEAR) + len(COARSE)
LANES = 16  # in which the kernels add up, on every machine

LOWEST, HIGHEST = np.float32(-6), np.float32(4)  # of the log of the inverse width
BITS = np.float32(1 / np.log(2))

_rate = native.kernel(
    "fits_rate", values="in f32", gradient="out f32?", count="i64", pieces="in i64",
    first_piece="in i64", streams="i64", network="in f32", d_network="out f32?",
    lanes="out f32?", bits="out f64", mean="out f32?", log_inverse="out f32?",
    scale="f32", threads="i32",
)  # fmt: skip
_change = native.kernel(
    "fits_change", values="in f32", mean="in f32", log_inverse="in f32", change="in f32",
    bits="out f32", count="i64", pieces="in i64", first_piece="in i64", streams="i64",
    network="in f32", threads="i32",
)  # fmt: skip


def bits(values: np.ndarray, layout: Layout, network: np.ndarray, threads: int) -> float:
    """What flat values cost.

    Args:
        values: of all grids, float32.
        network: w1, b1, w2, b2, w3, b3, flat.
    """
    pieces, first_piece = layout.table
    found = np.empty(len(first_piece) - 1)
    _rate(
        values=values, count=values.size, pieces=pieces, first_piece=first_piece,
        streams=found.size, network=network, bits=found, threads=threads,
    )  # fmt: skip
    return float(found.sum())


def bits_back(
    values: np.ndarray,
    layout: Layout,
    network: np.ndarray,
    scale: float,
    gradient: np.ndarray,
    d_network: np.ndarray,
    threads: int,
) -> float:
    """What flat values cost; `scale` times the gradients of that are added to the gradients."""
    pieces, first_piece = layout.table
    found = np.empty(len(first_piece) - 1)
    _rate(
        values=values, gradient=gradient, count=values.size, pieces=pieces,
        first_piece=first_piece, streams=found.size, network=network, d_network=d_network,
        lanes=np.empty(found.size * network.size * LANES + LANES, np.float32), bits=found, scale=scale,
        threads=threads,
    )  # fmt: skip
    return float(found.sum())


@dataclass(frozen=True)
class Expected:
    """What the context model expects of each value: Laplace distributions."""

    mean: np.ndarray  # flat, of all grids
    log_inverse: np.ndarray  # logarithm of the inverse width, not yet clipped

    @classmethod
    def of(
        cls, values: np.ndarray, layout: Layout, network: np.ndarray, threads: int
    ) -> "Expected":
        """Of flat values; the network w1, b1, w2, b2, w3, b3, flat."""
        pieces, first_piece = layout.table
        found = cls(np.empty_like(values), np.empty_like(values))
        _rate(
            values=values, count=values.size, pieces=pieces, first_piece=first_piece,
            streams=len(first_piece) - 1, network=network, bits=np.empty(len(first_piece) - 1),
            mean=found.mean, log_inverse=found.log_inverse, threads=threads,
        )  # fmt: skip
        return found

    def part(self, part: slice) -> "Expected":
        """Of some of the values."""
        return Expected(self.mean[part], self.log_inverse[part])

    def bits(self, values: np.ndarray) -> np.ndarray:
        """What each value would cost, were the values before it as they are."""
        u = np.exp(np.clip(self.log_inverse, LOWEST, HIGHEST))
        d = np.abs(values - self.mean)
        # the mass of d - 1/2 .. d + 1/2 under u / 2 exp(-u |t|), without what cancels
        near, far = np.exp(-np.abs(d - 0.5) * u), np.exp(-(d + 0.5) * u)
        mass = np.where(d < 0.5, 1 - (near + far) / 2, (1 - np.exp(-u)) / 2)
        return BITS * (np.where(d < 0.5, 0, (d - 0.5) * u) - np.log(mass))

    def bits_more(
        self,
        values: np.ndarray,
        change: np.ndarray,
        layout: Layout,
        network: np.ndarray,
        threads: int,
    ) -> np.ndarray:
        """How many bits more all values cost if one changes, for each as if no other changed.

        Args:
            values, change: flat, float32; a change of 0 asks for nothing, and gets 0.
        """
        pieces, first_piece = layout.table
        more = np.zeros_like(values)
        _change(
            values=values, mean=self.mean, log_inverse=self.log_inverse, change=change, bits=more,
            count=values.size, pieces=pieces, first_piece=first_piece,
            streams=len(first_piece) - 1, network=network, threads=threads,
        )  # fmt: skip
        return more
