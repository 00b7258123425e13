import math

import numpy as np
import pytest
from scipy.ndimage import correlate1d
from skimage.metrics import structural_similarity

from smalti.errors import ImageError
from smalti.eval.metrics import MS_SSIM_WEIGHTS, ms_ssim, psnr, ssim


def picture(height: int, width: int, channels: int, seed: int = 0) -> np.ndarray:
    """Waves of several lengths: smooth areas and detail."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width][..., None]
    fx, fy, phase = rng.uniform(0.02, 0.6, (3, 6, channels))
    waves = sum(np.sin(x * fx[i] + y * fy[i] + 6 * phase[i]) for i in range(6))
    return np.clip(128 + 30 * waves, 0, 255).astype(np.uint8)


def noisy(x: np.ndarray, sigma: float, seed: int = 1) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, sigma, x.shape)
    return np.clip(x + noise, 0, 255).round().astype(np.uint8)


def test_psnr_of_a_difference_of_one_everywhere_is_48_13_db():
    x = np.full((7, 5, 3), 100, np.uint8)
    assert psnr(x, x + 1) == pytest.approx(20 * math.log10(255))
    assert psnr(x, x + 1) == pytest.approx(48.1308, abs=1e-4)


def test_equal_pictures_have_infinite_psnr_and_ssim_one():
    x = picture(180, 177, 3)
    assert psnr(x, x) == math.inf
    assert ssim(x, x) == pytest.approx(1, abs=1e-12)
    assert ms_ssim(x, x) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("shape", [(11, 11, 3), (53, 67, 3), (64, 40, 1), (700, 30, 3)])
@pytest.mark.parametrize("sigma", [2.0, 40.0])
def test_ssim_is_that_of_scikit_image(shape, sigma):
    x = picture(*shape)
    y = noisy(x, sigma)
    expected = structural_similarity(
        x,
        y,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=255,
        channel_axis=2,
    )
    assert ssim(x, y) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("shape", [(176, 176, 1), (201, 187, 3)])
def test_ms_ssim_is_that_of_the_definition(shape):
    x = picture(*shape)
    y = noisy(x, 25)
    planes = [(x[:, :, c].astype(float), y[:, :, c].astype(float)) for c in range(shape[2])]
    assert ms_ssim(x, y) == pytest.approx(np.mean([plain_ms_ssim(*p) for p in planes]), abs=1e-9)


def plain_ms_ssim(x: np.ndarray, y: np.ndarray) -> float:
    taps = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    taps /= taps.sum()

    def blur(plane: np.ndarray) -> np.ndarray:
        return correlate1d(correlate1d(plane, taps, 0), taps, 1)[5:-5, 5:-5]

    product = 1.0
    for scale, weight in enumerate(MS_SSIM_WEIGHTS):
        mu_x, mu_y = blur(x), blur(y)
        var_x, var_y = blur(x**2) - mu_x**2, blur(y**2) - mu_y**2
        covariance = blur(x * y) - mu_x * mu_y
        term = (2 * covariance + 7.65**2) / (var_x + var_y + 7.65**2)
        if scale == 4:
            term = term * (2 * mu_x * mu_y + 2.55**2) / (mu_x**2 + mu_y**2 + 2.55**2)
        product *= term.mean() ** weight
        h, w = x.shape[0] // 2, x.shape[1] // 2
        x = x[: 2 * h, : 2 * w].reshape(h, 2, w, 2).mean((1, 3))
        y = y[: 2 * h, : 2 * w].reshape(h, 2, w, 2).mean((1, 3))
    return product


def test_pictures_smaller_than_the_window_have_no_ssim():
    x = picture(175, 300, 3)
    assert math.isnan(ssim(x[:10], x[:10]))
    assert math.isnan(ms_ssim(x, x))
    assert not math.isnan(ssim(x[:11], x[:11]))


def test_opaque_pictures_are_compared_without_alpha():
    x, y = picture(20, 20, 3), picture(20, 20, 3, seed=5)
    opaque = np.full((20, 20, 1), 255, np.uint8)
    with_alpha = np.concatenate([x, opaque], 2), np.concatenate([y, opaque], 2)
    assert psnr(*with_alpha) == psnr(x, y)
    assert ssim(*with_alpha) == ssim(x, y)


def test_colour_under_alpha_zero_does_not_count():
    x = picture(20, 20, 4)
    x[:10, :, 3], x[10:, :, 3] = 0, 255
    y = x.copy()
    y[:10, :, :3] = 255 - y[:10, :, :3]
    assert psnr(x, y) == math.inf
    assert ssim(x, y) == pytest.approx(1)


def test_alpha_and_premultiplied_colour_count_alike():
    x = np.full((8, 8, 4), 200, np.uint8)
    y = x.copy()
    y[..., 3] = 190
    colour_error = 200 * 10 / 255  # of each of three planes; 10 in the alpha plane
    mse = (3 * colour_error**2 + 10**2) / 4
    assert psnr(x, y) == pytest.approx(10 * math.log10(255**2 / mse))


@pytest.mark.parametrize("metric", [psnr, ssim, ms_ssim])
def test_what_cannot_be_compared_is_refused(metric):
    x = picture(20, 20, 3)
    with pytest.raises(ImageError, match="one shape"):
        metric(x, x[:, :10])
    with pytest.raises(ImageError, match="uint8"):
        metric(x, x.astype(np.float32))
    with pytest.raises(ImageError, match="no texel"):
        metric(x[:0], x[:0])
