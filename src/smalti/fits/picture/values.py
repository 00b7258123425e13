"""Grid values in training: noise in the place of rounding, and their step (`native/fits/values.cpp`)."""

import numpy as np

from smalti import native
from smalti.fits._adam import Adam

MIX_1, MIX_2 = np.uint32(0x7FEB352D), np.uint32(0x846CA68B)  # of the hash that makes the noise

_soften = native.kernel(
    "fits_soften", values="in f32", seen="out f32", slope="out f32", count="i64",
    temperature="f32", amplitude="f32", key="u32", threads="i32",
)  # fmt: skip

# Short memories: gradients change their size within a few dozen steps.
ADAM = Adam(0.9, 0.9, 1e-12)


def soften(
    values: np.ndarray,
    temperature: float,
    amplitude: float,
    key: int,
    seen: np.ndarray,
    slope: np.ndarray,
    threads: int,
) -> None:
    """seen = soft(soft(value) + noise), slope = its derivative by the value; flat float32 arrays.

    Soft rounding: with r = y - floor(y) - 1/2, soft(y) = floor(y) + 1/2 + tanh(r / T) / (2 tanh(1 /
    2T)): the identity for large T, rounding for small (Agustsson and Theis 2020, arXiv 2006.09952;
    twice, with the noise between, as in Kim et al. 2023, arXiv 2312.02753).

    Args:
        temperature: T, above 0.
        amplitude: width of the uniform noise.
        key: of the noise, 32 bits.
    """
    _soften(
        values=values, seen=seen, slope=slope, count=values.size, temperature=temperature,
        amplitude=amplitude, key=key, threads=threads,
    )  # fmt: skip
