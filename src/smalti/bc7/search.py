"""The numbers of the BC7 encoder's search, as its readable twin and the shaders read them.

native/bc7/encode*.h has the same numbers; tests/test_bc7_encoder.py compares what comes out.
"""

import functools
from typing import NamedTuple

import numpy as np


class Effort(NamedTuple):
    """How hard a block is searched."""

    trials: int  # of modes with two subsets, at most
    three: int  # of modes with three
    apart: int  # of modes 4 and 5, at most, in an opaque block
    quantisers: int  # that a trial begins to choose from
    starts: int  # of those that it begins with
    fits: int  # least-squares fits of a trial, at most
    passes: int  # descents of a trial's codes, at most
    together: int  # sets of colours that these move, of TOGETHER
    near: float  # how much worse than the best a trial may be for that; 0: the best, in the end
    enough: float  # square error of a block at which its search ends
    hope: float  # a trial is made where this share of its expected error is below the best


EFFORTS = {
    "ultrafast": Effort(0, 0, 0, 4, 1, 2, 0, 0, 0.0, 0.0, 1.0),
    "fast": Effort(4, 0, 2, 4, 1, 2, 0, 0, 0.0, 20.0, 0.8),
    "medium": Effort(4, 2, 4, 4, 1, 2, 1, 4, 0.0, 10.0, 0.85),
    "high": Effort(16, 16, 6, 8, 2, 3, 2, 7, 1.1, 2.0, 0.6),
    "best": Effort(32, 32, 10, 8, 3, 4, 4, 7, 1.1, 0.0, 0.45),
}

# What to expect of a mode: a share of what is off its lines, a share of what is along them, and
# a constant for the rounding of endpoints. Fitted to the errors that trials reach on photographs.
EXPECT = np.array(
    [
        [1.2, 1 / 150, 25.0],
        [1.2, 1 / 150, 20.0],
        [1.6, 1 / 80, 70.0],
        [1.2, 1 / 30, 10.0],
        [1.2, 1 / 30, 60.0],
        [1.2, 1 / 30, 10.0],
        [1.2, 1 / 300, 10.0],
        [1.5, 1 / 30, 40.0],
    ],
    dtype=np.float32,
)
SECOND_SHARE = np.array([1 / 30, 1 / 150], dtype=np.float32)  # of a lone channel's, 4 and 8 steps
# A block with less square error than SMOOTH has ends so near each other that some pair of codes
# rounds well: less to expect of rounding, in modes 4 and 5.
SMOOTH = np.float32(24)
SMOOTH_ROUNDING = {4: np.float32(10), 5: np.float32(2)}
CLOSER = np.float32(1 / 20)  # these modes are tried down to this share of what is enough
MOST = np.float32(131070)  # to expect of a trial

# By mode: a code's bits with its p-bit, the kind of p-bits, the greatest index of the colours,
# subsets. Mode 6 of an opaque block has both p-bits set: alpha is 127 * 2 + 1.
NO_PBIT, SHARED_PBIT, OWN_PBITS, SET_PBITS = range(4)  # SET_PBITS: own ones, both 1
BITS = np.array([5, 7, 5, 8, 5, 7, 8, 6])
KINDS = np.array(
    [OWN_PBITS, SHARED_PBIT, NO_PBIT, OWN_PBITS, NO_PBIT, NO_PBIT, OWN_PBITS, OWN_PBITS]
)
TOPS = np.array([7, 7, 3, 3, 3, 3, 15, 3], dtype=np.float32)
SUBSET_COUNTS = np.array([3, 2, 3, 2, 1, 1, 1, 2])

# Mode, rotation and index selection of the ways to give a channel of an opaque block indices of
# its own.
WAYS = ((5, 0, 0), *((m, r, s) for r in (1, 2, 3) for m, s in ((5, 0), (4, 0), (4, 1))))

# What the quantisers that a trial begins with leave out at the two ends, in steps of an index.
MARGINS = np.array(
    [[0, 0], [0.35, 0.35], [0, 0.5], [0.5, 0], [0.7, 0.7], [0.2, 0.9], [0.9, 0.2], [-0.2, -0.2]],
    dtype=np.float32,
).T.copy()

FREE = -1.0  # alpha of an endpoint that is not prescribed
HELD = 65536.0  # weight of alpha 0 and 255, so that no gain in colour pays for them
AGAIN = 1.1  # how much worse than the best a block may be for a further fit
FAR = 1.5  # how much worse, for it to be tried from other indices
DIRECTIONS = np.array(  # in which `descend` moves the codes of an endpoint, or of both
    [[1, 0], [-1, 0], [0, 1], [0, -1], [1, 1], [-1, -1], [1, -1], [-1, 1]], dtype=np.float32
)
ALL_COLOURS = (0, 1, 2)
TOGETHER = (ALL_COLOURS, (0,), (1,), (2,), (0, 1), (0, 2), (1, 2))  # colours that it moves at once


@functools.cache
def solid_codes() -> np.ndarray:
    """[value, endpoint]: 7-bit codes of mode 5 between which index 1 is exactly that value."""
    code = np.arange(128)
    wide = 2 * code + (code >> 6)
    value = (43 * wide[:, None] + 21 * wide[None, :] + 32) >> 6
    table = np.empty((256, 2), dtype=np.float32)
    for v in range(256):
        first, second = np.nonzero(value == v)
        nearest = np.argmin(np.abs(first - second))
        table[v] = first[nearest], second[nearest]
    return table
