"""How far decoded light is from the original, as papers on HDR textures measure it.

x, x_hat  H W C float, linear light of any range, R, G, B or grey
"""

import math

import numpy as np

LEAST = 2.0**-14  # the least normal float16; what is darker counts as this
STOPS = range(-10, 11)  # exposures of `multi_exposure_psnr`: those of astcenc -compare
GAMMA = 2.2


def log_rmse(x: np.ndarray, x_hat: np.ndarray) -> float:
    """Root of the mean over texels of the squared log2 ratios, summed over R, G and B: in stops.

    Xu, Pattanaik and Hughes, "High-Dynamic-Range Still-Image Encoding in JPEG 2000", 2005, as
    Munkberg et al. use it (see below). Every exposure counts alike, and so does every channel.
    """
    squares = np.square(np.log2(_positive(x)) - np.log2(_positive(x_hat)))
    return math.sqrt(float(squares.sum(axis=2).mean()))


def multi_exposure_psnr(x: np.ndarray, x_hat: np.ndarray) -> float:
    """mPSNR in dB: the PSNR of all of `STOPS` together, each exposed, gamma 2.2, clipped to 0 .. 255.

    Munkberg, Clarberg, Hasselgren and Akenine-Möller, "High Dynamic Range Texture Compression for
    Graphics Hardware", 2006, section 6; without rounding to 8 bits, as astcenc computes it.
    Exposures at which all is black or white add no error, so only pictures of one range compare.
    """
    total = 0.0
    for stop in STOPS:
        total += float(np.square(_exposed(x, stop) - _exposed(x_hat, stop)).mean())
    mse = total / len(STOPS)
    return 10 * math.log10(255**2 / mse) if mse else math.inf


def _positive(light: np.ndarray) -> np.ndarray:
    return np.maximum(light.astype(np.float64), LEAST)


def _exposed(light: np.ndarray, stop: int) -> np.ndarray:
    return 255 * (np.maximum(light.astype(np.float64), 0) * 2.0**stop).clip(0, 1) ** (1 / GAMMA)
