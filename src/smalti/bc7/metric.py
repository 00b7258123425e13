"""What the encoder makes least: a quadratic form of a texel's error in R, G, B, and alpha's square.

    d^T M d + m_A d_A^2,   M = T^T T,   T = diag(sqrt(weights)) Y

Y is the identity, or for "perceptual" the rows of luma and colour differences.
"""

import numpy as np

from smalti.errors import OptionError

# The kernel's parameters: d^T M d of a texel's error d, and the matrix into the space where that is a
# plain squared distance.
M_RR, M_GG, M_BB, M_AA, M_RG, M_RB, M_GB = range(7)
TO_SPACE = 7  # 3 x 3, row-major
ALPHA_TO_SPACE = 16
BY_ALPHA = 17  # 1: colour errors count by alpha squared; 2: all alike, under alpha 0 too
METRIC = 18

METRICS = ("rgba", "perceptual", "premultiplied", "normal", "data")

# ITU-R BT.709 luma, and the differences of R and B from it
_LUMA = (0.2126, 0.7152, 0.0722)
_LUMA_WEIGHTS = (2.0, 0.5, 0.25)  # of Y, R - Y, B - Y: BC7E's 128 : 64 : 16, halved for the range
_STEP = 1 / 16  # of M's entries, so that sums over a block are exact


def metric(name: str = "rgba", weights: tuple[float, ...] = (1, 1, 1, 1)) -> np.ndarray:
    """The parameters of the search, float32 [METRIC].

    name: "rgba", square error of each channel; "perceptual", of luma and colour differences;
    "premultiplied", as rgba with colour weighted by the texel's alpha squared; "normal", as rgba
    with the third channel at a quarter, since a shader that normalises (or drops it) hardly sees
    it; "data", as rgba with colour under alpha 0 counted too: where alpha is no visibility, or colours
    are multiplied with it already. weights: of R, G, B, A (of luma, R - Y, B - Y, A), multiplied in; the largest counts as 1.

    Raises OptionError for an unknown name and for weights that are negative or all zero.
    """
    if name not in METRICS:
        raise OptionError(f"unknown metric {name!r}; known: {', '.join(METRICS)}")
    given = np.asarray(weights, dtype=np.float64)
    if given.shape != (4,) or not (given >= 0).all() or not given[:3].any():
        raise OptionError(
            f"weights {tuple(weights)}; they are four numbers of R, G, B, A, none negative and "
            "one of the colours' above 0"
        )
    given = given / given.max()
    axes = np.eye(3)
    if name == "perceptual":
        luma = np.array(_LUMA)
        axes = np.array([luma, [1, 0, 0] - luma, [0, 0, 1] - luma])
        given[:3] *= _LUMA_WEIGHTS
    if name == "normal":
        given[2] *= 0.25
    to_space = np.sqrt(given[:3])[:, None] * axes
    form = np.round(to_space.T @ to_space / _STEP) * _STEP
    form[np.diag_indices(3)] = np.maximum(form[np.diag_indices(3)], _STEP)
    result = np.zeros(METRIC, dtype=np.float32)
    result[[M_RR, M_GG, M_BB]] = np.diag(form)
    result[[M_RG, M_RB, M_GB]] = form[0, 1], form[0, 2], form[1, 2]
    result[M_AA] = max(round(given[3] / _STEP) * _STEP, _STEP)
    result[TO_SPACE : TO_SPACE + 9] = to_space.ravel()
    result[ALPHA_TO_SPACE] = np.sqrt(result[M_AA])
    result[BY_ALPHA] = {"premultiplied": 1, "data": 2}.get(name, 0)
    return result
