"""How far a decoded picture is from the original: PSNR, SSIM and MS-SSIM on 8-bit pictures.

    x  H W C uint8, the user's picture;  y  H W C uint8, decoded from the file

C is 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA. What is compared are planes in 0 .. 255:

- Where both pictures have alpha 255 everywhere, or none: the colour planes.
- Otherwise: the colour planes premultiplied with alpha, c * a / 255, and the alpha plane with the
  same weight as each of them. Colour under alpha 0 is invisible and does not count; what differs
  over every background counts through alpha.

Each metric of a picture is computed on these planes, in the sRGB encoding as stored. Results of
several pictures are averaged by the caller: the mean of the pictures' PSNRs, not of their errors.
"""

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from smalti.errors import ImageError

PEAK = 255.0
SSIM_TAPS = 11
SSIM_SIGMA = 1.5  # texels
SSIM_C1 = (0.01 * PEAK) ** 2
SSIM_C2 = (0.03 * PEAK) ** 2
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # finest scale first
MS_SSIM_SIDE = SSIM_TAPS * 2 ** (len(MS_SSIM_WEIGHTS) - 1)  # 176 texels
STRIP_BYTES = 2**18  # of the planes filtered at a time: they stay in the second-level cache
CHANNELS = {
    1: ("grey",),
    2: ("grey", "alpha"),
    3: ("red", "green", "blue"),
    4: ("red", "green", "blue", "alpha"),
}


@dataclass(frozen=True)
class Quality:
    """All of them, of one picture."""

    psnr: float  # dB
    ssim: float
    ms_ssim: float


@dataclass(frozen=True)
class Metrics(Quality):
    """What `smalti.metrics` finds of two pictures."""

    channels: dict[str, float]  # PSNR of each by name, as stored: nothing premultiplied
    largest: int  # error of any sample, of 255
    opaque_lost: float  # share of the texels of alpha 255 that have another
    clear_lost: float  # share of those of alpha 0


def metrics(x: np.ndarray, y: np.ndarray, *, threads: int = 1) -> Metrics:
    """Everything about two pictures; of alpha, what became of its ends.

    Args:
        x, y: H W C uint8 of one shape; x is the original.
        threads: planes at a time.

    Raises:
        ImageError: not two such pictures.
    """
    whole = quality(x, y, threads=threads)
    names = CHANNELS[x.shape[2]]
    apart = {name: _psnr_of(_strip_mse(x[..., [c]], y[..., [c]])) for c, name in enumerate(names)}
    lost = [0.0, 0.0]
    if "alpha" in apart:
        for which, end in enumerate((255, 0)):
            there = x[..., -1] == end
            count = int(np.count_nonzero(there))
            lost[which] = int(np.count_nonzero(there & (y[..., -1] != end))) / max(1, count)
    largest = int((np.maximum(x, y) - np.minimum(x, y)).max())
    return Metrics(whole.psnr, whole.ssim, whole.ms_ssim, apart, largest, *lost)


def matched(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two pictures with the channels of both: grey becomes colour, what has no alpha opaque.

    Alpha that is 255 everywhere in both is left out.
    """
    colour = max(x.shape[2], y.shape[2]) >= 3
    alpha = not (_is_opaque(x) and _is_opaque(y))
    return _with(x, colour, alpha), _with(y, colour, alpha)


def _with(picture: np.ndarray, colour: bool, alpha: bool) -> np.ndarray:
    channels = picture.shape[2]
    levels = picture[..., :-1] if channels in (2, 4) else picture
    if colour and levels.shape[2] == 1:
        levels = np.repeat(levels, 3, axis=2)
    if not alpha:
        return np.ascontiguousarray(levels)
    opaque = np.full_like(picture[..., :1], 255)
    return np.concatenate([levels, picture[..., -1:] if channels in (2, 4) else opaque], 2)


def quality(x: np.ndarray, y: np.ndarray, *, threads: int = 1) -> Quality:
    """`psnr`, `ssim` and `ms_ssim` of two pictures, at less than half of what they take one by one.

    Args:
        x, y: H W C uint8 of one shape.
        threads: planes at a time.

    Raises:
        ImageError: not two such pictures.

    Examples:
        >>> import numpy as np
        >>> from smalti.eval.metrics import quality
        >>> x = np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8)
        >>> quality(x, x)  # too small for five scales
        Quality(psnr=inf, ssim=1.0, ms_ssim=nan)
    """
    with ThreadPoolExecutor(threads) as pool:
        measured = list(pool.map(lambda pair: _quality_of_planes(*pair), _planes(x, y)))
    mse, ssims, ms_ssims = (float(np.mean(values)) for values in zip(*measured, strict=True))
    return Quality(_psnr_of(mse), ssims, ms_ssims)


def psnr(x: np.ndarray, y: np.ndarray) -> float:
    """Peak signal-to-noise ratio, 10 log10(255² / MSE), in dB; `math.inf` for equal pictures.

    Args:
        x, y: H W C uint8 of one shape.

    Raises:
        ImageError: not two such pictures.

    Examples:
        >>> import numpy as np
        >>> from smalti.eval.metrics import psnr
        >>> x = np.full((4, 4, 3), 100, np.uint8)
        >>> round(psnr(x, x + 1), 2)
        48.13
    """
    pairs = _planes(x, y)  # refuses what are no pictures
    if _is_opaque(x) and _is_opaque(y):
        colour = slice(None, -1 if x.shape[2] in (2, 4) else None)
        return _psnr_of(_strip_mse(x[..., colour], y[..., colour]))
    return _psnr_of(float(np.mean([_mse(a, b) for a, b in pairs])))


def ssim(x: np.ndarray, y: np.ndarray) -> float:
    """Structural similarity, at most 1: mean over the picture, then over the planes.

    Wang et al., "Image quality assessment: from error visibility to structural similarity", IEEE
    Transactions on Image Processing 13(4), 2004, equation 13: Gaussian window of 11 x 11 texels
    with sigma 1.5, K1 = 0.01, K2 = 0.03, population covariance, only windows within the picture.

    Args:
        x, y: H W C uint8 of one shape.

    Returns:
        NaN if a side is under 11 texels.

    Raises:
        ImageError: not two such pictures.
    """
    return float(np.mean([_ssim_of_plane(a, b) for a, b in _planes(x, y)]))


def ms_ssim(x: np.ndarray, y: np.ndarray) -> float:
    """Multi-scale structural similarity, 0 .. 1: five scales, then the mean over the planes.

    Wang, Simoncelli and Bovik, "Multiscale structural similarity for image quality assessment",
    Asilomar 2003, equation 7: the contrast-structure term of each scale, and at the coarsest the
    luminance term too, each averaged over the picture, raised to its weight and multiplied. From
    scale to scale 2 x 2 texels are averaged; an odd last row or column is dropped. A negative mean
    counts as 0, since it has no real power.

    Args:
        x, y: H W C uint8 of one shape.

    Returns:
        NaN if a side is under 176 texels: its coarsest scale would be smaller than the window.

    Raises:
        ImageError: not two such pictures.
    """
    return float(np.mean([_ms_ssim_of_plane(a, b) for a, b in _planes(x, y)]))


def _planes(x: np.ndarray, y: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of H W float64 planes in 0 .. 255, as the module's docstring defines them."""
    if x.shape != y.shape or x.ndim != 3 or not 1 <= x.shape[2] <= 4:
        raise ImageError(f"pictures to compare are H W C of one shape, not {x.shape} and {y.shape}")
    if x.dtype != np.uint8 or y.dtype != np.uint8:
        raise ImageError(f"pictures to compare are uint8, not {x.dtype} and {y.dtype}")
    if x.size == 0:
        raise ImageError(f"pictures of {x.shape[1]} x {x.shape[0]} have no texel to compare")
    return _plane_pairs(x, y)


def _plane_pairs(x: np.ndarray, y: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    channels = x.shape[2]
    if channels in (1, 3):
        for c in range(channels):
            yield x[:, :, c].astype(np.float64), y[:, :, c].astype(np.float64)
        return
    alphas = x[:, :, -1].astype(np.float64), y[:, :, -1].astype(np.float64)
    if _is_opaque(x) and _is_opaque(y):
        yield from _plane_pairs(x[:, :, :-1], y[:, :, :-1])
        return
    for c in range(channels - 1):
        yield x[:, :, c] * alphas[0] / PEAK, y[:, :, c] * alphas[1] / PEAK
    yield alphas


def _is_opaque(x: np.ndarray) -> bool:
    return x.shape[2] in (1, 3) or bool(x[..., -1].min() == PEAK)


def _strip_mse(x: np.ndarray, y: np.ndarray) -> float:
    """Mean squared error of all samples, exact, with memory for a strip of rows alone."""
    rows = max(1, STRIP_BYTES // (8 * x.shape[1] * x.shape[2]))
    total = 0.0  # whole numbers below 2^53
    for top in range(0, len(x), rows):
        strips = x[top : top + rows], y[top : top + rows]
        error = np.subtract(*strips, dtype=np.float64).ravel()
        total += float(np.dot(error, error))
    return total / x.size


def _quality_of_planes(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """Mean squared error, SSIM and MS-SSIM, whose finest scale is SSIM's."""
    if min(x.shape) < SSIM_TAPS:
        return _mse(x, y), math.nan, math.nan
    finest = _ssim_and_contrast(x, y)
    return _mse(x, y), finest[0], _ms_ssim_of_plane(x, y, finest)


def _mse(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.square(x - y).mean())


def _psnr_of(mse: float) -> float:
    return 10 * math.log10(PEAK**2 / mse) if mse else math.inf


def _ssim_of_plane(x: np.ndarray, y: np.ndarray) -> float:
    return math.nan if min(x.shape) < SSIM_TAPS else _ssim_and_contrast(x, y)[0]


def _ms_ssim_of_plane(
    x: np.ndarray, y: np.ndarray, finest: tuple[float, float] | None = None
) -> float:
    """MS-SSIM of planes H W; `finest` are SSIM and contrast at their own scale, if known."""
    if min(x.shape) < MS_SSIM_SIDE:
        return math.nan
    product: float = 1.0
    similarity, contrast = finest or _ssim_and_contrast(x, y)
    for weight in MS_SSIM_WEIGHTS[:-1]:
        product *= math.pow(max(contrast, 0.0), weight)
        x, y = _halve(x), _halve(y)
        similarity, contrast = _ssim_and_contrast(x, y)
    return product * math.pow(max(similarity, 0.0), MS_SSIM_WEIGHTS[-1])


def _halve(plane: np.ndarray) -> np.ndarray:
    height, width = plane.shape
    even = plane[: height // 2 * 2, : width // 2 * 2]
    halved: np.ndarray = (even[::2, ::2] + even[::2, 1::2] + even[1::2, ::2] + even[1::2, 1::2]) / 4
    return halved


def _ssim_and_contrast(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Means over all windows of SSIM and of its contrast-structure factor; planes H W."""
    height, width = x.shape
    rows, columns = height - SSIM_TAPS + 1, width - SSIM_TAPS + 1  # of windows
    strip = min(max(STRIP_BYTES // (4 * 8 * width), 1), rows)
    # Buffers for every strip: fresh memory costs more than the arithmetic.
    planes = np.empty((4, strip + SSIM_TAPS - 1, width))
    down, blurred = np.empty((4, strip, width)), np.empty((4, strip, columns))
    pairs = np.empty((4, strip, width))
    ssim_sum = contrast_sum = 0.0
    for top in range(0, rows, strip):
        count = min(strip, rows - top)
        a, b, squares, product = held = planes[:, : count + SSIM_TAPS - 1]
        a[:], b[:] = x[top : top + len(a)], y[top : top + len(b)]
        np.multiply(b, b, out=product)
        np.multiply(a, a, out=squares)
        squares += product
        np.multiply(a, b, out=product)
        _blur(held, down[:, :count], pairs[:, :count], axis=1)
        _blur(down[:, :count], blurred[:, :count], pairs[:, :count, :columns], axis=2)
        mean_a, mean_b, squares, product = blurred[:, :count]
        means_product = mean_a * mean_b
        mean_a *= mean_a
        mean_b *= mean_b
        mean_a += mean_b  # mean_a² + mean_b²
        # The variances of x and y enter SSIM only as their sum: four blurs do, instead of five.
        product -= means_product
        squares -= mean_a
        contrast = (2 * product + SSIM_C2) / (squares + SSIM_C2)
        contrast_sum += float(contrast.sum())
        contrast *= 2 * means_product + SSIM_C1
        contrast /= mean_a + SSIM_C1
        ssim_sum += float(contrast.sum())
    return ssim_sum / (rows * columns), contrast_sum / (rows * columns)


def _blur(planes: np.ndarray, blurred: np.ndarray, pair: np.ndarray, *, axis: int) -> None:
    """Gaussian window along one axis, where it lies within: n + 10 -> n.

    Args:
        blurred: for the result.
        pair: for what is on the way, shaped alike.
    """
    count, middle = blurred.shape[axis], SSIM_TAPS // 2
    shifted = [
        planes[:, k : k + count] if axis == 1 else planes[:, :, k : k + count]
        for k in range(SSIM_TAPS)
    ]
    offsets = np.arange(SSIM_TAPS) - middle
    taps = np.exp(-0.5 * (offsets / SSIM_SIGMA) ** 2)
    taps /= taps.sum()
    np.multiply(shifted[middle], taps[middle], out=blurred)
    for k in range(middle):  # the window is symmetric: one multiplication for two taps
        np.add(shifted[k], shifted[-1 - k], out=pair)
        pair *= taps[k]
        blurred += pair
