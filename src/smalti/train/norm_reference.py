"""The readable twin of `norm_kernels`: group normalisation and SiLU of float64 arrays `N P C`."""

import numpy as np


def forward(
    x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, groups: int, epsilon: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """y, and the mean and 1 / deviation `N G` of each sample's groups."""
    grouped = _grouped(x, groups)
    mean = grouped.mean((1, 3))
    rstd = 1 / np.sqrt(grouped.var((1, 3)) + epsilon)
    v = gamma * _unit(x, mean, rstd) + beta
    return v * _sigmoid(v), mean, rstd


def backward(
    dy: np.ndarray, x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, mean: np.ndarray,
    rstd: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """dx, and the gradients `N C` of gamma and beta of each sample.

    With dv = dy · d(v σ(v))/dv: dβ = Σ dv, dγ = Σ dv x̂, and, over the M values of a group,
    dx = rstd (γ dv - (Σ γ dv + x̂ Σ γ dv x̂) / M)
    """
    groups = mean.shape[1]
    unit = _unit(x, mean, rstd)
    v = gamma * unit + beta
    s = _sigmoid(v)
    dv = dy * s * (1 + v * (1 - s))
    first = _grouped(gamma * dv, groups).mean((1, 3))
    second = _grouped(gamma * dv * unit, groups).mean((1, 3))
    of_channel = [np.repeat(a, x.shape[2] // groups, 1)[:, None] for a in (first, second, rstd)]
    dx = of_channel[2] * (gamma * dv - of_channel[0] - unit * of_channel[1])
    return dx, (dv * unit).sum(1), dv.sum(1)


def _grouped(x: np.ndarray, groups: int) -> np.ndarray:
    """`N P C` -> `N P G C/G`"""
    return x.reshape(*x.shape[:2], groups, -1)


def _unit(x: np.ndarray, mean: np.ndarray, rstd: np.ndarray) -> np.ndarray:
    """x̂"""
    groups = mean.shape[1]
    return ((_grouped(x, groups) - mean[:, None, :, None]) * rstd[:, None, :, None]).reshape(
        x.shape
    )


def _sigmoid(v: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-v))
