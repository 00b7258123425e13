"""Group normalisation and SiLU: the kernels against their twin, and the twin's slope."""

import numpy as np
import pytest

from smalti.train import norm_kernels, norm_reference

from native_builds import on_every_build

GROUPS, EPSILON = 3, 1e-5


def numbers(channels: int, texels: int = 150) -> dict[str, np.ndarray]:
    random = np.random.default_rng(channels)
    x = random.normal(1, 2, (2, texels, channels))
    gamma, beta = random.normal(1, 0.3, channels), random.normal(0, 1, channels)
    return {"x": x, "gamma": gamma, "beta": beta, "dy": random.normal(0, 1, x.shape)}


def bfloat16(x: np.ndarray) -> np.ndarray:
    """Its bits, rounded to nearest, halves to even."""
    bits = x.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def floats(x: np.ndarray) -> np.ndarray:
    return (x.astype(np.uint32) << 16).view(np.float32) if x.dtype == np.uint16 else x


def run_kernels(x, dy, gamma, beta, threads=1):
    """y, mean, rstd, dx and the parameters' gradients."""
    statistics = np.empty((2, len(x), GROUPS), np.float32)
    of_parameters = np.empty((2, len(x), x.shape[2]), np.float32)
    y, dx = np.empty_like(x), np.empty_like(x)
    norm_kernels.forward(x, gamma, beta, GROUPS, EPSILON, y, *statistics, threads=threads)
    norm_kernels.backward(dy, x, gamma, beta, *statistics, dx, *of_parameters, threads=threads)
    return y, *statistics, dx, *of_parameters


@pytest.mark.parametrize("channels", [3, 24, 66])
@pytest.mark.parametrize("items", [np.float32, np.uint16])
def test_kernels_are_their_twin_on_every_build(channels, items):
    given = numbers(channels)
    gamma, beta = (given[name].astype(np.float32) for name in ("gamma", "beta"))
    as_items = bfloat16 if items is np.uint16 else lambda x: x.astype(np.float32)
    x, dy = as_items(given["x"]), as_items(given["dy"])
    got = on_every_build(lambda: run_kernels(x, dy, gamma, beta))
    two = run_kernels(x, dy, gamma, beta, threads=2)
    assert [a.tobytes() for a in got] == [a.tobytes() for a in two]
    wide = [floats(a).astype(np.float64) for a in (x, gamma, beta)]
    y, mean, rstd = norm_reference.forward(*wide, GROUPS, EPSILON)
    expected = y, mean, rstd, *norm_reference.backward(floats(dy), *wide, mean, rstd)
    for number, (ours, twins) in enumerate(zip(got, expected, strict=True)):
        rough = items is np.uint16 and number in (0, 3)  # 8 bits of mantissa
        np.testing.assert_allclose(floats(ours), twins, rtol=4e-3 if rough else 1e-5, atol=2e-5)


def test_the_twins_gradient_is_the_slope():
    given = numbers(6, texels=5)
    x, gamma, beta, dy = (given[name] for name in ("x", "gamma", "beta", "dy"))

    def loss(x, gamma, beta):
        return (norm_reference.forward(x, gamma, beta, GROUPS, EPSILON)[0] * dy).sum()

    _, mean, rstd = norm_reference.forward(x, gamma, beta, GROUPS, EPSILON)
    dx, d_gamma, d_beta = norm_reference.backward(dy, x, gamma, beta, mean, rstd)
    random = np.random.default_rng(0)
    step = 1e-5
    for which, slope in enumerate((dx, d_gamma.sum(0), d_beta.sum(0))):
        way = random.normal(0, 1, slope.shape)
        ends = []
        for sign in (-1, 1):
            moved = [x, gamma, beta]
            moved[which] = moved[which] + sign * step * way
            ends.append(loss(*moved))
        assert (ends[1] - ends[0]) / (2 * step) == pytest.approx((slope * way).sum(), rel=1e-7)
