"""Grid values in training: noise in the place of rounding, and Adam (`native/fits/values.cpp`)."""

import numpy as np

from smalti import native

MIX_1, MIX_2 = np.uint32(0x7FEB352D), np.uint32(0x846CA68B)  # of the hash that makes the noise

_soften = native.kernel(
    "fits_soften", values="in f32", seen="out f32", slope="out f32", count="i64",
    temperature="f32", amplitude="f32", key="u32", threads="i32",
)  # fmt: skip
_adam = native.kernel(
    "fits_adam", values="out f32", gradient="out f32", mean="out f32", spread="out f32",
    count="i64", rate="f32", beta_1="f32", beta_2="f32", unbias_1="f32", unbias_2="f32",
    tiny="f32", threads="i32",
)  # fmt: skip

BETA_1, BETA_2 = 0.9, 0.9  # short memories: gradients change their size within a few dozen steps
TINY = 1e-12


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


def adam(
    values: np.ndarray,
    gradient: np.ndarray,
    mean: np.ndarray,
    spread: np.ndarray,
    rate: float,
    step: int,
    threads: int,
) -> None:
    """One step of Adam (Kingma and Ba 2015, algorithm 1); sets the gradient to 0.

    Args:
        mean, spread: running means of the gradient and of its square.
        step: counts from 1.
    """
    _adam(
        values=values, gradient=gradient, mean=mean, spread=spread, count=values.size, rate=rate,
        beta_1=BETA_1, beta_2=BETA_2, unbias_1=1 / (1 - BETA_1**step),
        unbias_2=1 / (1 - BETA_2**step), tiny=TINY, threads=threads,
    )  # fmt: skip
