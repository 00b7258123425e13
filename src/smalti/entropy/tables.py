"""Integer tables of the plane coder, made with exact integer arithmetic.

Python's integers have no rounding and no overflow, so every machine makes the same tables; no
floating-point function is involved. docs/ENTROPY.md gives the formulas, the tests the checksums;
native/entropy/tables.cpp makes the same while it is compiled.
"""

from functools import cache
from typing import NamedTuple

import numpy as np

LIMIT = 2847  # squash(±LIMIT / 256) is 1 or 65535, the ends of a 16-bit probability


class Tables(NamedTuple):
    squash: np.ndarray  # int64 (2 LIMIT + 1,): logistic function, steps of 1/256, as 16 bits
    stretch: np.ndarray  # int16 (65536,): the inverse of squash
    cdf: np.ndarray  # int64 (2050,): logistic function on [-16, 16], steps of 1/64, as 30 bits
    rate: np.ndarray  # int64 (256,): 65536 / (n + 2), how far observation n moves an estimate


@cache
def tables() -> Tables:
    """The four tables, made on first use (a few milliseconds)."""
    squash = np.clip(logistic(step=256, reach=LIMIT, bits=16), 1, 65535)
    upper = np.searchsorted(squash, np.arange(32768, 65536)) - LIMIT
    stretch = np.concatenate([[-upper[-1]], -upper[:0:-1], upper])
    cdf = logistic(step=64, reach=1024, bits=30)
    rate = 65536 // (np.arange(256, dtype=np.int64) + 2)
    return Tables(squash, stretch.astype(np.int16), np.append(cdf, cdf[-1]), rate)


def logistic(*, step: int, reach: int, bits: int) -> np.ndarray:
    """2**bits / (1 + exp(-k / step)) for k = -reach..reach, rounded down for k >= 0.

    Negative k mirror the positive ones, so that entry[-k] + entry[k] = 2**bits.
    """
    one = 1 << 64
    # exp(-1/step) in 64 bits: the Taylor series, each term rounded down, until it vanishes
    ratio, term, n = 0, one, 0
    while term:
        ratio += term if n % 2 == 0 else -term
        n += 1
        term //= step * n
    upper, power = [], one
    for _ in range(reach + 1):
        upper.append((one << bits) // (one + power))
        power = power * ratio >> 64
    half = np.array(upper, np.int64)
    return np.concatenate([(1 << bits) - half[:0:-1], half])
