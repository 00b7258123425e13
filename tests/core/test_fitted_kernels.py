"""Kernels of fitted pictures against their readable twins, and the same bits from every build.

Gradients are held against differences of the twins in float64: along a random direction in each
array, and in single numbers of it.
"""

import numpy as np
import pytest

from smalti.fits.picture import context, reference, rounding, synthesis, upsample, values
from smalti.fits.picture.canvas import Canvas
from smalti.fits.picture.fit import Fit
from smalti.fits.picture.layout import Layout
from smalti.fits.picture.network import Network

from conftest import make_picture
from native_builds import on_every_build

LEVELS = (5, 4, 3, 2, 1, 1, 0)
WIDE_AS_DOUBLE = 1e-8  # step of the differences: kinks of ReLU are hardly ever within it


def image_of(channels: int, height: int, width: int) -> np.ndarray:
    picture = make_picture(channels, height, width).reshape(height, width, channels)
    return np.ascontiguousarray((picture / 255).transpose(2, 0, 1), np.float32)


def fit_of(
    height=70, width=45, channels=3, levels=LEVELS, hidden=10, tile=32, seed=0, **options
) -> tuple[Fit, np.ndarray]:
    """A fit, and values for it, with every parameter a little off where it starts."""
    layout = Layout(height, width, levels, tile)
    network = Network.of(len(levels), channels, hidden, max(levels))
    image = image_of(channels, height, width)
    fit = Fit(image, layout, network, steps=6, lmbda=1e-3, threads=1, **options)
    random = np.random.default_rng(seed)
    for array in network.arrays:
        array += random.normal(0, 0.05, array.shape)
    return fit, random.normal(0, 1.5, layout.count).astype(np.float32)


def doubles(fit: Fit, seen: np.ndarray) -> list[np.ndarray]:
    """Values and parameters in float64."""
    return [seen.astype(np.float64), *(a.astype(np.float64) for a in fit.network.arrays)]


def grouped(arrays: list[np.ndarray]) -> reference.Groups:
    return [tuple(arrays[:5]), tuple(arrays[5:6]), tuple(arrays[6:])]


def check_gradients(function, arrays: list[np.ndarray], gradients: list[np.ndarray]) -> None:
    """`function(arrays)` in float64 against the gradients that a kernel gave."""
    random = np.random.default_rng(3)
    for array, gradient in zip(arrays, gradients, strict=True):
        if not array.size:
            continue
        directions = [random.normal(0, 1, array.shape)]
        for place in random.choice(array.size, min(array.size, 6), replace=False):
            directions.append(np.zeros(array.shape))
            directions[-1].reshape(-1)[place] = 1
        scale = float(np.abs(gradient).max())
        for direction in directions:
            kept = array.copy()
            found = []
            for sign in (1, -1):
                array[...] = kept + sign * WIDE_AS_DOUBLE * direction
                found.append(function(arrays))
            array[...] = kept
            expected = (found[0] - found[1]) / (2 * WIDE_AS_DOUBLE)
            got = float((gradient.astype(np.float64) * direction).sum())
            size = float(scale * max(np.sqrt((direction**2).sum()), 1))
            assert got == pytest.approx(expected, rel=2e-3, abs=2e-4 * size)


@pytest.mark.parametrize("temperature", [0.08, 0.3, 1000])
def test_soft_rounding_noise_and_slope(temperature):
    y = np.random.default_rng(0).normal(0, 2, 5003).astype(np.float32)
    seen, slope = np.empty_like(y), np.empty_like(y)
    values.soften(y, temperature, 0.5, 0xFEDCBA98, seen, slope, 1)
    wide = y.astype(np.float64)
    expected = reference.softened(wide, temperature, 0.5, 0xFEDCBA98)
    # where a value lies at an edge of soft rounding, float32 may fall on the other side
    clear = np.abs(seen - expected) < 1e-3
    assert clear.mean() > 0.998
    step = 1e-6
    ahead, behind = (
        reference.softened(wide + s, temperature, 0.5, 0xFEDCBA98) for s in (step, -step)
    )
    derivative = (ahead - behind) / (2 * step)
    off = np.abs(slope - derivative) > 2e-3 * np.abs(derivative).max()
    assert off.mean() < 0.01


def test_noise_is_uniform_and_of_its_key():
    y = np.zeros(20000, np.float32)
    seen, again, slope = np.empty_like(y), np.empty_like(y), np.empty_like(y)
    values.soften(y, 1000, 1, 5, seen, slope, 1)  # so hot that soft rounding changes nothing
    assert abs(seen.mean()) < 0.01
    assert seen.var() == pytest.approx(1 / 12, rel=0.03)
    values.soften(y, 1000, 1, 6, again, slope, 1)
    assert abs(np.corrcoef(seen, again)[0, 1]) < 0.03


def test_adam_by_its_formulas():
    random = np.random.default_rng(0)
    count, start = 1003, [random.normal(0, 1, 1003) for _ in range(4)]
    start[3] = np.square(start[3])

    def stepped():
        x, g, m, v = (a.astype(np.float32) for a in start)
        values.ADAM.step(x, g, m, v, rate=0.1, step=3, threads=1)
        return x, g, m, v

    x, g, m, v = on_every_build(stepped)
    mean = values.ADAM.beta_1 * start[2] + (1 - values.ADAM.beta_1) * start[1]
    spread = values.ADAM.beta_2 * start[3] + (1 - values.ADAM.beta_2) * start[1] ** 2
    unbias = 1 / (1 - 0.9**3)
    np.testing.assert_allclose(m, mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(v, spread, rtol=1e-5, atol=1e-6)
    step = 0.1 * mean * unbias / np.sqrt(spread * unbias)
    np.testing.assert_allclose(x, start[0] - step, rtol=1e-4, atol=1e-5)
    assert not g.any()
    assert x.size == count


@pytest.mark.parametrize(
    ("shape", "new"),
    [((7, 9), (13, 18)), ((1, 1), (1, 1)), ((1, 1), (2, 2)), ((1, 2), (2, 3)), ((5, 150), (10, 299)),
     ((3, 64), (6, 128)), ((4, 129), (7, 257)), ((2, 300), (4, 600))],
)  # fmt: skip
def test_doubling_and_its_gradients(shape, new):
    random = np.random.default_rng(0)
    source = random.normal(0, 1, (2, *shape)).astype(np.float32)
    d_target = np.zeros((2, new[0], new[1] + 5), np.float32)
    d_target[:, :, : new[1]] = random.normal(0, 1, (2, *new))
    taps = random.normal(0, 1, 4).astype(np.float32)

    def both():
        target, d_source = np.empty((2, *new), np.float32), np.empty_like(source)
        d_taps = np.ones(4, np.float32)
        upsample.double(source, taps, target, 1)
        upsample.double_back(source, taps, d_target, new[1], d_source, d_taps, 2)
        return target, d_source, d_taps

    target, d_source, d_taps = on_every_build(both)
    arrays = [source.astype(np.float64), taps.astype(np.float64)]

    def twin(arrays):
        return reference.doubled(*arrays)[:, : new[0], : new[1]]

    np.testing.assert_allclose(target, twin(arrays), atol=1e-5)
    check_gradients(
        lambda a: float((twin(a) * d_target[:, :, : new[1]]).sum()), arrays, [d_source, d_taps - 1]
    )


@pytest.mark.parametrize(
    "size", [{}, {"height": 1, "width": 1}, {"height": 10, "width": 300, "tile": 160}]
)
def test_rate_and_its_gradients(size):
    fit, seen = fit_of(**size)
    part = fit.network.parts[2]

    def run():
        gradient, d_network = np.zeros_like(seen), np.zeros_like(part)
        found = context.bits_back(seen, fit.layout, part, 0.7, gradient, d_network, 2)
        return np.array(found), gradient, d_network

    found, gradient, d_network = on_every_build(run)
    assert context.bits(seen, fit.layout, part, 1) == found
    arrays = doubles(fit, seen)
    expected = reference.bits(arrays[0], fit.layout, grouped(arrays[1:]))
    assert float(found) == pytest.approx(expected, rel=1e-5)
    shaped = fit.network.zeros_like()
    shaped.parts[2][:] = d_network
    own = [arrays[0], *arrays[7:]]
    check_gradients(
        lambda a: 0.7 * reference.bits(a[0], fit.layout, grouped([*arrays[1:7], *a[1:]])),
        own, [gradient, *shaped.context],
    )  # fmt: skip


@pytest.mark.parametrize("log_inverse", [-7, -5.9, 0, 3.9, 5])
def test_costs_near_and_far_from_the_mean(log_inverse):
    """Values every way through the cost: central or not, widths at and beyond their limits."""
    layout = Layout(8, 9, (0,), 32)
    network = Network.of(1, 1, 1, 0)
    network.context[5][:] = 0.3, log_inverse
    seen = np.linspace(-9, 9, 72).astype(np.float32)
    gradient, d_network = np.zeros_like(seen), np.zeros_like(network.parts[2])
    found = context.bits_back(seen, layout, network.parts[2], 1, gradient, d_network, 1)
    wide, logs = seen.astype(np.float64) - np.float32(0.3), np.full(72, float(log_inverse))
    assert found * np.log(2) == pytest.approx(reference.nats(wide, logs).sum(), rel=1e-5)
    step = 1e-6
    slopes = reference.nats(wide + step, logs) - reference.nats(wide - step, logs)
    slopes /= 2 * step * np.log(2)
    # at width e^6, 1 - e^-u has lost some bits
    np.testing.assert_allclose(gradient, slopes, atol=2e-4 * np.abs(slopes).max())
    by_log = reference.nats(wide, logs + step) - reference.nats(wide, logs - step)
    expected = by_log.sum() / (2 * step * np.log(2))
    assert d_network[-1] == pytest.approx(expected, rel=1e-3, abs=1e-3)
    assert d_network[-2] == pytest.approx(-gradient.sum(), rel=1e-4, abs=1e-4)


SHAPES = [
    {},
    {"height": 1, "width": 1, "channels": 1, "hidden": 1},
    {"height": 9, "width": 150, "channels": 4, "levels": (2, 1, 1), "hidden": 48},  # no level 0
    {"height": 5, "width": 130, "channels": 2, "levels": (0, 0), "hidden": 5},  # nothing doubled
    {"height": 3, "width": 17, "levels": (3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0),
     "hidden": 128},
]  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_pictures_are_their_twins(shape):
    fit, seen = fit_of(**shape)
    floats = on_every_build(lambda: (fit.canvas.render(seen, fit.network),))[0]
    arrays = doubles(fit, seen)
    expected = reference.picture(arrays[0], fit.layout, grouped(arrays[1:])).transpose(1, 2, 0)
    np.testing.assert_allclose(floats, expected.clip(0, 1), atol=1e-5)
    levels = on_every_build(lambda: (fit.canvas.render(seen, fit.network, np.uint8),))[0]
    assert np.array_equal(levels, np.rint(floats * np.float32(255)))
    threads = Canvas(fit.layout, fit.network, 3).render(seen, fit.network)
    assert np.array_equal(threads, floats)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("weighted", [False, True])
def test_distortion_and_its_gradients(shape, weighted):
    fit, seen = fit_of(**shape)
    random = np.random.default_rng(5)
    fit.image[:] = 0.5 + 10 * (random.random(fit.image.shape) - 0.5)  # nothing is clamped to it
    weight = None
    if weighted:
        fit._weight = weight = random.random(fit.image.shape).astype(np.float32)

    def run():
        fit._gradient[:] = 0
        for part in fit._d_network.parts:
            part[:] = 0
        error = fit._distortion(seen)
        return np.array(error), fit._gradient.copy(), *(p.copy() for p in fit._d_network.parts)

    error = on_every_build(run)[0]
    arrays = doubles(fit, seen)
    target, each = fit.image.astype(np.float64), 1 if weight is None else weight

    def loss(arrays, clamp=False):
        drawn = reference.picture(arrays[0], fit.layout, grouped(arrays[1:]))
        return float((each * np.square((drawn.clip(0, 1) if clamp else drawn) - target)).sum())

    assert float(error) == pytest.approx(loss(arrays, clamp=True), rel=1e-4)
    network = fit._d_network
    check_gradients(
        lambda a: loss([*a, *arrays[7:]]), arrays[:7],
        [fit._gradient, *network.synthesis, *network.taps],
    )  # fmt: skip


def test_colours_and_their_gradients_by_the_twin():
    """The twin's own gradients, which other devices' kernels are held against."""
    random = np.random.default_rng(0)
    network = Network.of(5, 3, 7, 1)
    weights = [random.normal(0, 1, a.shape) for a in network.synthesis]
    x, d_out = random.normal(0, 1, (5, 30)), random.normal(0, 1, (3, 30))
    d_x, d_network = reference.colour_back(x, tuple(weights), d_out)
    check_gradients(
        lambda a: float((reference.colour(a[0], tuple(a[1:])) * d_out).sum()),
        [x, *weights], [d_x, *d_network],
    )  # fmt: skip


def test_a_colour_on_the_right_side_of_an_end_is_no_error():
    fit, seen = fit_of(height=4, width=4, channels=1, levels=(0,), hidden=1)
    seen[:] = 0
    w1, b1, w2, b2, skip = fit.network.synthesis
    for array in (w1, b1, w2, skip):
        array[:] = 0
    fit.image[:] = 1
    b2[:] = 0.7  # colour 1.2
    assert fit._distortion(seen) == 0
    assert not fit._d_network.synthesis[3].any()
    fit.image[:] = 0.9
    assert fit._distortion(seen) == pytest.approx(16 * 0.1**2, rel=1e-4)
    assert fit._d_network.synthesis[3][0] == pytest.approx(16 * 2 * 0.3, rel=1e-4)


def test_bands_do_not_change_what_is_added_up():
    """A picture of several bands: the gradient of the network is the sum over all of them."""
    fit, seen = fit_of(height=3 * synthesis.BAND + 1, width=20)
    error = fit._distortion(seen)
    arrays = doubles(fit, seen)
    drawn = reference.picture(arrays[0], fit.layout, grouped(arrays[1:])).clip(0, 1)
    assert error == pytest.approx(float(np.square(drawn - fit.image).sum()), rel=1e-4)


def test_what_bits_change_with_a_value():
    fit, seen = fit_of(40, 70, levels=(6, 5, 4, 3, 2, 1, 1, 0))  # tiles beside the common stream
    whole, network = np.rint(seen), fit.network.parts[2]
    change = np.random.default_rng(2).integers(-2, 3, whole.size).astype(np.float32)

    def more():
        expected = context.Expected.of(whole, fit.layout, network, 1)
        return expected.mean, expected.bits_more(whole, change, fit.layout, network, 1)

    found = on_every_build(more)[1]
    bits = context.Expected.of(whole, fit.layout, network, 1).bits(whole)
    assert bits.sum() == pytest.approx(fit.rate(whole, fit.network), rel=1e-5)
    assert (found[change == 0] == 0).all()
    before = reference.bits(whole.astype(np.float64), fit.layout, fit.network.groups)
    for grid in range(len(fit.layout.levels)):
        for place in range(fit.layout.offsets[grid], fit.layout.offsets[grid + 1], 97):
            moved = whole.astype(np.float64)
            moved[place] += change[place]
            after = reference.bits(moved, fit.layout, fit.network.groups)
            assert found[place] == pytest.approx(after - before, abs=1e-4)
    expected = context.Expected.of(whole, fit.layout, network, 3)
    assert (expected.bits_more(whole, change, fit.layout, network, 3) == found).all()


@pytest.mark.parametrize("levels", [LEVELS, (4, 3, 2, 2, 1, 1), (0,)])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_optimised_rounding_gains(levels, channels):
    fit, seen = fit_of(70, 45, channels, levels)
    for _ in range(3):
        fit.step()
    fit.values = seen

    def loss():
        bits = fit.rate(np.rint(fit.values), fit.network)
        return fit.distortion(np.rint(fit.values), fit.network) + fit.lmbda * bits / (70 * 45)

    before, nearest = loss(), np.rint(seen)
    rounding.improve(fit, 2)
    assert loss() < before
    assert np.abs(fit.values - nearest).max() <= 2  # a round changes a value by one
    kept = [level not in rounding.REACH for level in levels]
    for grid, same in enumerate(kept):
        part = slice(fit.layout.offsets[grid], fit.layout.offsets[grid + 1])
        assert not same or (fit.values[part] == nearest[part]).all()
    assert not any(array.any() for array in (fit._gradient, *fit._d_network.arrays))
