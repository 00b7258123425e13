"""Group normalisation and SiLU in one pass over memory, forwards and backwards, on a CPU.

    x̂ = (x - mean) rstd of a sample's group;  v = γ x̂ + β;  y = v σ(v)

torch computes the two one after the other, each activation once through memory for either and
with slow paths for bfloat16 in channels-last order. `native/train/norm.cpp` reads a sample for its
sums and once more for its values; `norm_reference` is the readable twin.

Arrays are `N P C`: samples, texels, channels; activations are float32, or bfloat16 as its bits,
uint16.
"""

import numpy as np

from smalti import native

_SIZES = {
    "samples": "i64", "texels": "i64", "channels": "i64", "groups": "i64",
}  # fmt: skip


def _forward(items: str):
    return native.kernel(
        "norm_forward", x=f"in {items}", gamma="in f32", beta="in f32", y=f"out {items}",
        mean="out f32", rstd="out f32", **_SIZES, epsilon="f32", item_size="i32", threads="i32",
    )  # fmt: skip


def _backward(items: str):
    return native.kernel(
        "norm_backward", dy=f"in {items}", x=f"in {items}", gamma="in f32", beta="in f32",
        mean="in f32", rstd="in f32", dx=f"out {items}", d_gamma="out f32", d_beta="out f32",
        **_SIZES, item_size="i32", threads="i32",
    )  # fmt: skip


_FORWARD = {2: _forward("u16"), 4: _forward("f32")}
_BACKWARD = {2: _backward("u16"), 4: _backward("f32")}


def forward(
    x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, groups: int, epsilon: float,
    y: np.ndarray, mean: np.ndarray, rstd: np.ndarray, *, threads: int
) -> None:  # fmt: skip
    """y `N P C`, and the statistics `N G` that the way back needs."""
    samples, texels, channels = x.shape
    _FORWARD[x.itemsize](
        x=x, gamma=gamma, beta=beta, y=y, mean=mean, rstd=rstd, samples=samples, texels=texels,
        channels=channels, groups=groups, epsilon=epsilon, item_size=x.itemsize, threads=threads,
    )  # fmt: skip


def backward(
    dy: np.ndarray, x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, mean: np.ndarray,
    rstd: np.ndarray, dx: np.ndarray, d_gamma: np.ndarray, d_beta: np.ndarray, *, threads: int
) -> None:  # fmt: skip
    """dx `N P C`, and the parameters' gradients `N C` of each sample."""
    samples, texels, channels = x.shape
    _BACKWARD[x.itemsize](
        dy=dy, x=x, gamma=gamma, beta=beta, mean=mean, rstd=rstd, dx=dx, d_gamma=d_gamma,
        d_beta=d_beta, samples=samples, texels=texels, channels=channels, groups=mean.shape[1],
        item_size=x.itemsize, threads=threads,
    )  # fmt: skip
