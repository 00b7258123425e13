"""Latent texture: the codec, and the three sections of its files."""

import math
import struct

import numpy as np
import pytest

from smalti.codec import Size, Window
from smalti.codecs._tables import TextureOptions
from smalti.codecs.latent_texture import LatentTexture
from smalti.errors import FormatError, OptionError
from smalti.fits.tables.fit import Recipe, visible

from conftest import make_picture

SMALL = LatentTexture(lo_channels=6, hidden=16, bits=6)  # 0.3 ms a step on small pictures


def options(steps=3, **others):
    return TextureOptions(steps=steps, **others)


def psnr(x, x_hat):
    """Of a uint8 picture, or floats, and the floats that stand for it."""
    levels = x if x.dtype == np.uint8 else x * 255
    return 10 * math.log10(255**2 / np.square(levels - np.rint(x_hat * 255)).mean())


def test_any_number_of_threads_makes_the_same_file():
    image = make_picture(3, 48, 48)
    one, two = (SMALL.encode(image, options(5, threads=n)) for n in (1, 2))
    assert one == two


def test_the_published_recipe_is_there_and_no_other():
    image = make_picture(3, 16, 16)
    sections = SMALL.encode(image, options(3, recipe="published"))
    assert SMALL.decode(sections, Size(3, 16, 16)).shape == (16, 16, 3)
    with pytest.raises(OptionError, match="known: fast, published"):
        SMALL.encode(image, options(3, recipe="slow"))


@pytest.mark.parametrize("activation", [1, 2, 3])
def test_other_activations(activation):
    codec = LatentTexture(lo_channels=4, hidden=8, activation=activation)
    image = make_picture(3, 24, 24)
    x_hat = codec.decode(codec.encode(image, options(60)), Size(3, 24, 24))
    assert psnr(image, x_hat) > 12


@pytest.mark.parametrize("size", [(3, 1, 1), (3, 5, 7), (4, 33, 17), (3, 1, 50), (3, 64, 40)])
def test_round_trip_at_any_size(size):
    image = make_picture(*size)
    sections = SMALL.encode(image, options())
    x_hat = SMALL.decode(sections, Size(*size))
    assert x_hat.shape == (*size[1:], size[0])
    assert x_hat.dtype == np.float32
    assert 0 <= x_hat.min() <= x_hat.max() <= 1


def test_one_scale_without_a_fine_grid():
    codec = LatentTexture(lo_channels=4, hi_channels=0, hidden=8, depth=1)
    sections = codec.encode(make_picture(3, 20, 24), options())
    assert sections[2] == b""
    assert codec.decode(sections, Size(3, 20, 24)).shape == (20, 24, 3)


@pytest.mark.parametrize(("channels", "floor"), [(3, 33.5), (4, 33.0)])
def test_the_decoded_picture_is_close(channels, floor):
    image = make_picture(channels, 32, 32)
    sections = LatentTexture().encode(image, options(200))
    x_hat = LatentTexture().decode(sections, Size(image.shape[2], *image.shape[:2]))
    if channels == 4:  # what is visible is what is fitted
        image, x_hat = visible(image / 255), visible(x_hat)
    assert psnr(image, x_hat) >= floor


def test_eight_bits_cost_next_to_nothing():
    image = make_picture(3, 32, 32)
    rough, eight, sixteen = (
        psnr(
            image,
            codec.decode(codec.encode(image, options(150)), Size(image.shape[2], *image.shape[:2])),
        )
        for codec in (LatentTexture(hidden=32, bits=bits) for bits in (3, 8, 16))
    )
    assert eight > sixteen - 0.3
    assert rough < sixteen - 1


def test_the_file_holds_what_the_fit_saw(monkeypatch):
    """The last step's loss, on rounded grids and a float32 network, is the decoded file's error."""
    from smalti.fits.tables import kernels

    image = make_picture(3, 32, 32)
    losses = []
    inner = kernels.Gradient.__call__
    monkeypatch.setattr(
        kernels.Gradient, "__call__", lambda *a: losses.append(loss := inner(*a)) or loss
    )
    sections = SMALL.encode(image, options(60))
    error = np.square(SMALL.decode(sections, Size(3, 32, 32)) - image / 255).mean()
    assert error == pytest.approx(losses[-1], rel=0.01)


def test_a_file_that_no_decoder_takes_is_not_written(monkeypatch):
    wild = {"fast": (Recipe(1e5, 5e-4, 1e-2, (0.8, 0.95)), {})}
    monkeypatch.setattr(LatentTexture, "recipes", wild)
    with pytest.raises(FormatError, match="range"):
        SMALL.encode(make_picture(3, 8, 8), options(3))


def test_more_steps_are_better():
    image = make_picture(3, 32, 32)
    few, many = (
        psnr(image, SMALL.decode(SMALL.encode(image, options(n)), Size(3, 32, 32)))
        for n in (20, 150)
    )
    assert many > few + 2


def test_a_window_is_that_part_of_the_whole():
    size = Size(3, 60, 44)
    sections = SMALL.encode(make_picture(*size), options(20))
    whole = SMALL.decode(sections, size)
    for window in (Window(0, 0, 60, 44), Window(11, 7, 20, 30), Window(59, 43, 1, 1)):
        part = SMALL.decode_window(sections, size, window)
        top, left, height, width = window
        expected = whole[top : top + height, left : left + width]
        np.testing.assert_allclose(part, expected, atol=2e-6)


def test_any_size_agrees_with_its_own():
    size = Size(3, 40, 56)
    sections = SMALL.encode(make_picture(*size), options(50))
    whole = SMALL.decode(sections, size)
    assert np.array_equal(SMALL.decode_at(sections, size, 40, 56), whole)
    # texel centres: the odd multiple's middle texels lie on the picture's own
    tripled = SMALL.decode_at(sections, size, 120, 168)
    np.testing.assert_allclose(tripled[1::3, 1::3], whole, atol=2e-5)
    assert SMALL.decode_at(sections, size, 7, 300).shape == (7, 300, 3)


def test_chunks_do_not_show(monkeypatch):
    size = Size(3, 33, 50)
    sections = SMALL.encode(make_picture(*size), options(20))
    whole = SMALL.decode(sections, size)
    monkeypatch.setattr("smalti.fits.tables.model.BLOCK", 16)
    np.testing.assert_allclose(SMALL.decode(sections, size), whole, atol=2e-6)


def test_same_seed_same_bytes_and_the_global_generator_rests():
    image = make_picture(3, 40, 40)
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    first = SMALL.encode(image, options(10))
    assert SMALL.encode(image, options(10)) == first
    assert SMALL.encode(image, options(10, seed=1)) != first
    SMALL.decode(first, Size(3, 40, 40))
    assert np.array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_ctrl_c_stops_the_fit():
    calls = []

    def interrupt(done, total):
        calls.append(done)
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        SMALL.encode(make_picture(3, 8, 8), options(5, on_step=interrupt))
    assert calls == [1, 2]


@pytest.fixture(scope="module")
def held():
    size = Size(3, 24, 20)
    return size, SMALL.encode(make_picture(*size), options(5))


def test_every_truncation_is_a_format_error(held):
    size, sections = held
    for i, section in enumerate(sections):
        for length in range(0, len(section), 7):
            cut = [*sections[:i], section[:length], *sections[i + 1 :]]
            with pytest.raises(FormatError):
                SMALL.decode(cut, size)
        for tail in (b"\0", b"\0" * 5):
            with pytest.raises(FormatError):
                SMALL.decode([*sections[:i], section + tail, *sections[i + 1 :]], size)
    for wrong in ([], sections[:2], [*sections, b""]):
        with pytest.raises(FormatError, match="has 3"):
            SMALL.decode(wrong, size)


def test_damage_is_a_format_error_or_a_picture(held):
    size, sections = held
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(150):
        damaged = [bytearray(section) for section in sections]
        section = damaged[random.integers(3)]
        section[random.integers(len(section))] ^= 1 << random.integers(8)
        try:
            x_hat = SMALL.decode([bytes(section) for section in damaged], size)
        except FormatError:
            refused += 1
        else:
            assert np.isfinite(x_hat).all()
            assert 0 <= x_hat.min() <= x_hat.max() <= 1
    assert refused > 40


@pytest.mark.parametrize("value", [math.nan, math.inf, -1e30])
def test_ranges_and_weights_must_be_finite(held, value):
    size, sections = held
    network, lo, hi = sections
    with pytest.raises(FormatError, match="range"):
        SMALL.decode([network, struct.pack("<f", value) + lo[4:], hi], size)
    with np.errstate(over="ignore"):
        half = np.array(value, "<f2").tobytes()
    with pytest.raises(FormatError, match="finite"):
        SMALL.decode([half + network[2:], lo, hi], size)


def test_an_empty_range_is_refused(held):
    size, (network, lo, hi) = held
    above = struct.pack("<f", 100.0)  # lowest of the first channel, over its highest
    with pytest.raises(FormatError, match="range"):
        SMALL.decode([network, above + lo[4:], hi], size)


@pytest.mark.parametrize(
    "fields",
    [
        {"lo_channels": 0},
        {"hi_channels": -1},
        {"lo_scale": 0},
        {"hi_scale": 65},
        {"hidden": 257},
        {"depth": 0},
        {"bits": 17},
        {"activation": 4},
        {"lo_scale": 1},  # 16 values a texel
    ],
)
def test_configs_that_cannot_be(fields):
    with pytest.raises(OptionError):
        LatentTexture(**fields)


def test_a_fit_takes_a_step():
    with pytest.raises(OptionError, match="steps 0; it must be 1 or more"):
        options(0)
    with pytest.raises(OptionError, match="threads 0; it must be 1 or more"):
        options(1, threads=0)
