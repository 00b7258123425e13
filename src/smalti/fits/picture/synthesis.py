"""From grids to the features of texels to their colours, forwards and backwards.

A texel's features are the values of all grids there, one each: those of coarser grids, doubled down
to level 1, are doubled once more on the way. A texel is

    features ─┬─dense, ReLU→ hidden ─dense─┐
              └──────────dense─────────────┴─ colour - 1/2

Multiply-adds a texel, of G grids, K hidden units and C channels: (G + C) K + G C, and 6 for each
grid that is doubled. The kernels are `native/fits/render.cpp` and `distortion.cpp`, the readable twins
`reference.picture` and `reference.colour`.
"""

from dataclasses import dataclass

import numpy as np

from smalti import native
from smalti.fits.picture.context import LANES

FEATURE = np.float32(0.2)  # of a grid's value 1
BAND = 32  # rows whose sums are added up together: what the bits depend on, and not the threads

_inputs = {
    "coarse": "in f32?", "fine": "in f32?", "inner": "i32", "own": "i32", "feature": "f32",
    "hidden": "i32", "channels": "i32", "taps": "in f32", "network": "in f32", "height": "i64",
    "width": "i64",
}  # fmt: skip
_draw = native.kernel(
    "fits_render", **_inputs, bytes="out u8?", floats="out f32?", threads="i32"
)  # fmt: skip
_distortion = native.kernel(
    "fits_distortion", **_inputs, target="in f32", weight="in f32?", d_doubled="out f32?",
    stride="i64", d_fine="out f32?", d_network="out f32", band="i64", lanes="out f32",
    errors="out f64", threads="i32",
)  # fmt: skip


@dataclass(frozen=True)
class Features:
    """Where the features of a picture's texels come from."""

    coarse: np.ndarray | None  # `n ceil(H/2) ceil(W/2)`: of all grids but those of level 0
    fine: np.ndarray  # `m H W`, values of the grids of level 0
    taps: np.ndarray  # of the last doubling

    def arguments(self, network: np.ndarray, hidden: int, channels: int) -> dict:
        own, height, width = self.fine.shape
        inner = 0 if self.coarse is None else len(self.coarse)
        return {
            "coarse": self.coarse, "fine": self.fine, "inner": inner, "own": own,
            "feature": FEATURE, "hidden": hidden, "channels": channels, "taps": self.taps,
            "network": network, "height": height, "width": width,
        }  # fmt: skip


def render(
    features: Features, network: np.ndarray, hidden: int, picture: np.ndarray, threads: int
) -> None:
    """The picture `H W C`: uint8, or float32 in [0, 1].

    Args:
        network: w1 `K G`, b1, w2 `C K`, b2, skip `C G`, flat.
    """
    target = {"bytes" if picture.dtype == np.uint8 else "floats": picture}
    _draw(**features.arguments(network, hidden, picture.shape[2]), **target, threads=threads)


def distortion(
    features: Features,
    network: np.ndarray,
    hidden: int,
    target: np.ndarray,
    weight: np.ndarray | None,
    d_doubled: np.ndarray | None,
    d_fine: np.ndarray,
    d_network: np.ndarray,
    threads: int,
) -> float:
    """The sum of squared errors of the picture, and its gradients.

    What lies beyond the range on the right side of an end of it is no error: decoding clamps it.

    Args:
        target: `C H W` in [0, 1].
        weight: of each squared error, `C H W`; None: 1.
        d_doubled: `n H S`, S at least W and a multiple of 16: receives the derivatives by the
            doubled features.
        d_fine: `m H W`, to which those by the values are added.
        d_network: to which those by the network are added.
    """
    channels, height, _ = target.shape
    errors = np.empty(-(-height // BAND))
    _distortion(
        **features.arguments(network, hidden, channels), target=target, weight=weight,
        d_doubled=d_doubled, stride=0 if d_doubled is None else d_doubled.shape[2], d_fine=d_fine,
        d_network=d_network, band=BAND,
        lanes=np.empty(errors.size * network.size * LANES + LANES, np.float32), errors=errors,
        threads=threads,
    )  # fmt: skip
    return float(errors.sum())
