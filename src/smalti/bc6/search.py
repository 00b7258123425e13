"""The numbers of the BC6H encoder's search: native/bc6/encode_lanes.h has the same."""

from typing import NamedTuple


class Effort(NamedTuple):
    """How hard a block is searched."""

    trials: int  # partitions tried, at most
    fits: int  # of the ends to their indices, a trial
    passes: int  # over the codes of the best trial, each moved up and down
    hope: float  # a partition is tried where this share of its expected error is below the best
    enough: float  # square error of a block at which its search ends, in units of 16 bits


EFFORTS = {
    "ultrafast": Effort(0, 2, 0, 1.0, 0.0),
    "fast": Effort(2, 2, 0, 1.0, 2e4),
    "medium": Effort(6, 2, 0, 0.8, 5e3),
    "high": Effort(16, 3, 1, 0.6, 1e3),
    "best": Effort(32, 4, 6, 0.4, 0.0),
}

# Of the variance along a line, what an index leaves: by trial, the ranking that leaves least error.
ALONG = 1.0 / 300
