"""The Triton kernels of fitting against those of the CPU: run by test_fit_triton.py.

By hand, with TRITON_INTERPRET=0 on a GPU: pytest -p no:xdist -o addopts= tests/triton_kernels.py
"""

import os

import numpy as np
import pytest
import torch

from smalti.fits.picture import context, reference, upsample, values
from smalti.fits.picture.fit import Fit
from smalti.fits.picture.gpu import colour as gpu_colour
from smalti.fits.picture.gpu import context as gpu_context
from smalti.fits.picture.gpu import double as gpu_double
from smalti.fits.picture.gpu.fit import GpuFit, soften
from smalti.fits.picture.layout import Layout
from smalti.fits.picture.network import Network

from conftest import make_tensor

DEVICE = "cpu" if os.environ.get("TRITON_INTERPRET") == "1" else "cuda"
RANDOM = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def few_programs(monkeypatch):
    """Large blocks, as the interpreter takes a program at a time; and few, each with several."""
    for module in (gpu_colour, gpu_context):
        monkeypatch.setattr(module, "BLOCK", 256)
        monkeypatch.setattr(module, "PROGRAMS", 2)
    monkeypatch.setattr(gpu_double, "PROGRAMS", 1)


def drawn(*shape: int) -> np.ndarray:
    return RANDOM.normal(0, 1, shape).astype(np.float32)


def there(*arrays: np.ndarray) -> list[torch.Tensor]:
    return [torch.from_numpy(a.copy()).to(DEVICE) for a in arrays]


def near(tensor: torch.Tensor, array: np.ndarray, within: float = 2e-5) -> None:
    """Equal but for rounding: relative to the largest number."""
    found = tensor.cpu().numpy().reshape(array.shape)
    assert np.abs(found - array).max() <= within * max(np.abs(array).max(), 1e-6)


@pytest.mark.parametrize(
    ("h", "w", "rows", "columns"), [(7, 9, 13, 18), (1, 2, 2, 3), (1, 1, 1, 1)]
)
def test_double(h, w, rows, columns):
    source, taps, d_target = drawn(2, h, w), drawn(4), drawn(2, rows, columns)
    target, d_source, d_taps = (
        np.zeros_like(d_target),
        np.zeros_like(source),
        np.zeros(4, np.float32),
    )
    upsample.double(source, taps, target, 1)
    upsample.double_back(source, taps, d_target, columns, d_source, d_taps, 1)
    source, taps, d_target, made = there(source, taps, d_target, np.zeros_like(target))
    gpu_double.double(source, taps, made)
    near(made, target)
    found, found_taps = gpu_double.double_back(source, taps, d_target)
    near(found, d_source)
    near(found_taps, d_taps)


@pytest.mark.parametrize(("grids", "hidden", "channels"), [(8, 48, 3), (11, 16, 4), (3, 5, 1)])
def test_colour(grids, hidden, channels):
    texels = 900
    network = Network.of(grids, channels, hidden, 1).synthesis
    for array in network:
        array[...] = drawn(*array.shape)
    features, d_picture = drawn(grids, texels), drawn(channels, texels)
    d_features, d_network = reference.colour_back(features, network, d_picture)
    x, d_out, d_x = there(features, d_picture, np.zeros_like(features))
    weights = tuple(there(*network))
    made = torch.zeros_like(d_out)
    gpu_colour.colour(x, weights, made)
    near(made, reference.colour(features, network))
    for found, expected in zip(
        gpu_colour.colour_back(x, weights, d_out, d_x), d_network, strict=True
    ):
        near(found, expected)
    near(d_x, d_features)


@pytest.mark.parametrize("size", [(70, 45), (1, 1)])
def test_context(size):
    layout = Layout(*size, (5, 4, 3, 2, 2, 1, 0), 32)
    channels = 3
    network = Network.of(7, channels, 8, 5)
    network.initialise(RANDOM)
    for array in network.context:
        array += 0.3 * drawn(*array.shape)
    fit = Fit(
        make_tensor(channels, *size).numpy(), layout, network, lmbda=0.01, steps=10, threads=1
    )
    seen = 3 * drawn(layout.count)
    bits = fit._rate(seen, 0.7)
    values, gradient = there(seen, np.zeros_like(seen))
    costs = gpu_context.Costs(layout, torch.device(DEVICE))
    found, d_network = costs.add(values, gradient, 0.7, tuple(there(*network.context)))
    assert float(found) == pytest.approx(bits, rel=1e-5)
    near(gradient, fit._gradient)
    for mine, expected in zip(d_network, fit._d_network.context, strict=True):
        near(mine, expected, 5e-5)


def test_costs_near_and_far_from_the_mean():
    """One number a way through `cost`: central or not, widths at and beyond their limits."""
    assert context.LOWEST < 0 < context.HIGHEST
    layout = Layout(8, 9, (0,), 32)
    for log_inverse in (-7.0, -5.9, 0.0, 3.9, 5.0):
        network = Network.of(1, 1, 1, 0)
        network.context[5][:] = 0.3, log_inverse
        image = np.zeros((1, 8, 9), np.float32)
        fit = Fit(image, layout, network, lmbda=0.01, steps=10, threads=1)
        for array in network.context[:5]:
            array[:] = 0
        network.context[5][:] = 0.3, log_inverse
        seen = np.linspace(-9, 9, 72).astype(np.float32)
        bits = fit._rate(seen, 1.0)
        values, gradient = there(seen, np.zeros_like(seen))
        costs = gpu_context.Costs(layout, torch.device(DEVICE))
        found, d_network = costs.add(values, gradient, 1.0, tuple(there(*network.context)))
        assert float(found) == pytest.approx(bits, rel=1e-5)
        near(gradient, fit._gradient, 2e-4)  # at width e^6, 1 - e^-u has lost some bits
        near(d_network[5], fit._d_network.context[5], 2e-4)


def test_soft_rounding():
    own = 3 * drawn(1000)
    seen, slope = np.zeros_like(own), np.zeros_like(own)
    for temperature, noise, key in ((0.7, 0.8, 12345), (0.05, 0.6, 0xFEDCBA98)):
        values.soften(own, temperature, noise, key, seen, slope, 1)
        found, found_slope = soften(*there(own), temperature, noise, key)
        near(found, seen)
        near(found_slope, slope, 1e-4)


@pytest.mark.parametrize("channels", [3, 4])
def test_steps_are_those_of_the_fit_on_the_cpu(channels):
    image = make_tensor(channels, 12, 19).numpy()
    weight = np.ones((1, 1, 1), np.float32)
    if channels == 4:
        weight = np.repeat(image[3:] ** 2, 4, axis=0)
    fits = []
    for make, options in ((Fit, {}), (GpuFit, {"device": DEVICE})):
        layout = Layout(12, 19, (1, 1, 0), 32)
        network = Network.of(3, channels, 8, 1)
        fit = make(
            image, layout, network,
            lmbda=1e-4, steps=10, weight=weight, seed=3, threads=1, **options,
        )  # fmt: skip
        fits.append(fit)
    for step in range(10):
        here, away = (fit.step() for fit in fits)
        assert (away.step, away.steps) == (here.step, here.steps)
        assert away.mse == pytest.approx(here.mse, rel=1e-3)
        assert away.bits == pytest.approx(here.bits, rel=1e-3)
        if step == 4:  # a fit goes on elsewhere, too
            state = {key: array.copy() for key, array in fits[1].state.items()}
            fits[1].step()
            fits[1].state = state
    for mine, expected in zip(fits[1].network.arrays, fits[0].network.arrays, strict=True):
        assert np.abs(mine - expected).max(initial=0) < 0.02
    assert fits[0].whole_from < 10  # values were whole at the end
    whole = fits[1].values
    assert np.array_equal(whole, np.rint(whole))
    assert (whole == fits[0].values).mean() > 0.99
    assert fits[1].distortion(whole, fits[1].network) == pytest.approx(
        fits[0].distortion(fits[0].values, fits[0].network), rel=0.01
    )
