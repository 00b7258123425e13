"""Latent texture: grids, sine network, fit, and the three sections of its files."""

import math
import struct

import numpy as np
import pytest
import torch

from smalti.codec import Size, Window
from smalti.codecs.latent_texture import LatentTexture, LatentTextureOptions
from smalti.errors import FormatError, OptionError
from smalti.fit import Adam, Group, fit
from smalti.models.latent_texture import LatentTextureConfig, LatentTextureModel
from smalti.ops.quantize import channel_ranges, from_levels, straight_through, to_levels
from smalti.ops.sample import bilinear, taps
from smalti.ops.sine import sine

from conftest import make_picture

SMALL = LatentTexture(lo_channels=6, hidden=16, bits=6)  # 0.3 ms a step on small pictures


def options(steps=3, **others):
    return LatentTextureOptions(steps=steps, **others)


def psnr(x, x_hat):
    error = (x * 255).round() - (x_hat * 255).round()
    return 10 * math.log10(255**2 / error.square().mean().item())


def numbers_of(model):
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (LatentTextureConfig(), 103_875),
        (LatentTextureConfig(lo_channels=32, hi_channels=0), 137_539),
    ],
)
def test_models_have_the_published_number_of_parameters(config, expected):
    assert numbers_of(LatentTextureModel(config)) == expected


def test_bilinear_is_the_readable_formula():
    height, width, h, w = 21, 13, 5, 4
    grid = torch.randn(h, w, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    got = bilinear(
        grid.float(), taps(torch.arange(height), height, h), taps(torch.arange(width), width, w)
    )
    for i, j in ((0, 0), (20, 12), (7, 5), (13, 11)):
        y, x = (i + 0.5) / height * (h - 1), (j + 0.5) / width * (w - 1)
        a, b = int(y), int(x)
        v, u = y - a, x - b
        top = (1 - u) * grid[a, b] + u * grid[a, b + 1]
        bottom = (1 - u) * grid[a + 1, b] + u * grid[a + 1, b + 1]
        torch.testing.assert_close(
            got[i, j].double(), (1 - v) * top + v * bottom, atol=1e-6, rtol=0
        )


def test_bilinear_equals_grid_sample():
    grid = torch.randn(6, 9, 2, generator=torch.Generator().manual_seed(0))
    y, x = (torch.arange(31) + 0.5) / 31, (torch.arange(40) + 0.5) / 40
    where = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], -1) * 2 - 1
    expected = torch.nn.functional.grid_sample(
        grid.permute(2, 0, 1)[None], where[None], align_corners=True, padding_mode="border"
    )
    got = bilinear(grid, taps(torch.arange(31), 31, 6), taps(torch.arange(40), 40, 9))
    torch.testing.assert_close(got.permute(2, 0, 1)[None], expected, atol=2e-6, rtol=0)


def test_sine_equals_torch_in_value_and_gradient():
    z = torch.cat([torch.linspace(-40, 40, 9001), torch.linspace(-9999, 9999, 4001)])
    z.requires_grad_()
    sine(z).sum().backward()
    torch.testing.assert_close(sine(z), z.double().sin().float(), atol=3e-6, rtol=0)
    torch.testing.assert_close(z.grad, z.detach().double().cos().float(), atol=3e-6, rtol=0)
    transposed = torch.randn(5, 7, generator=torch.Generator().manual_seed(0)).T
    torch.testing.assert_close(sine(transposed), transposed.sin(), atol=3e-6, rtol=0)


def test_quantisation_is_within_half_a_step_and_passes_the_gradient():
    grid = torch.randn(8, 9, 3, generator=torch.Generator().manual_seed(0))
    grid[..., 2] = 0.7  # a constant channel has no step
    low, high = channel_ranges(grid)
    indices = to_levels(grid, low, high, 16)
    assert indices[..., :2].amin() == 0
    assert indices[..., :2].amax() == 15
    error = (from_levels(indices, low, high, 16) - grid).abs().amax((0, 1))
    assert (error <= (high - low) / 30 + 1e-6).all()
    grid.requires_grad_()
    seen = straight_through(grid, 16)
    torch.testing.assert_close(seen, from_levels(indices, low, high, 16), atol=1e-6, rtol=0)
    seen.sum().backward()
    assert (grid.grad == 1).all()


def test_fit_finds_a_minimum_and_counts_its_steps():
    x = torch.zeros(3, requires_grad=True)
    seen = []
    fit(
        lambda progress: (x - 2).square().sum(),
        [Group([x], 0.1)],
        steps=100,
        betas=(0.8, 0.95),
        on_step=lambda done, total: seen.append((done, total)),
    )
    torch.testing.assert_close(x.detach(), torch.full((3,), 2.0), atol=0.02, rtol=0)
    assert seen == [(i, 100) for i in range(1, 101)]


def test_adam_is_torch_adam():
    ours, theirs = (torch.arange(1.0, 7.0).requires_grad_() for _ in range(2))
    adam = Adam([Group([ours], 0.1)], (0.8, 0.95))
    reference = torch.optim.Adam([theirs], lr=0.1, betas=(0.8, 0.95))
    for _ in range(5):
        for x in (ours, theirs):
            (x.sin() * x).sum().backward()
        adam.step(1.0)
        reference.step()
        reference.zero_grad()
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("size", [(3, 1, 1), (3, 5, 7), (4, 33, 17), (3, 1, 50), (3, 64, 40)])
def test_round_trip_at_any_size(size):
    image = make_picture(*size)
    sections = SMALL.encode(image, options())
    x_hat = SMALL.decode(sections, Size(*size))
    assert x_hat.shape == size
    assert x_hat.dtype == torch.float32
    assert 0 <= x_hat.min() <= x_hat.max() <= 1


def test_one_scale_without_a_fine_grid():
    codec = LatentTexture(lo_channels=4, hi_channels=0, hidden=8, depth=1)
    sections = codec.encode(make_picture(3, 20, 24), options())
    assert sections[2] == b""
    assert codec.decode(sections, Size(3, 20, 24)).shape == (3, 20, 24)


@pytest.mark.parametrize(("channels", "floor"), [(3, 33.5), (4, 33.0)])
def test_the_decoded_picture_is_close(channels, floor):
    image = make_picture(channels, 32, 32)
    sections = LatentTexture().encode(image, options(200))
    x_hat = LatentTexture().decode(sections, Size(*image.shape))
    if channels == 4:  # what is visible is what is fitted
        image, x_hat = (torch.cat([x[:3] * x[3:], x[3:]]) for x in (image, x_hat))
    assert psnr(image, x_hat) >= floor


def test_eight_bits_cost_next_to_nothing():
    image = make_picture(3, 32, 32)
    rough, eight, sixteen = (
        psnr(image, codec.decode(codec.encode(image, options(150)), Size(*image.shape)))
        for codec in (LatentTexture(hidden=32, bits=bits) for bits in (3, 8, 16))
    )
    assert eight > sixteen - 0.3
    assert rough < sixteen - 1


def test_the_file_holds_what_the_fit_saw(monkeypatch):
    """The last step's loss, on rounded grids and a float32 network, is the decoded file's error."""
    image = make_picture(3, 32, 32)
    losses = []

    def watched(prediction, target):
        losses.append((prediction - target).square().mean())
        return losses[-1]

    monkeypatch.setattr("smalti.codecs.latent_texture.F.mse_loss", watched)
    sections = SMALL.encode(image, options(60))
    error = (SMALL.decode(sections, Size(3, 32, 32)) - image).square().mean()
    torch.testing.assert_close(error, losses[-1].detach(), rtol=0.01, atol=0)


def test_a_file_that_no_decoder_takes_is_not_written(monkeypatch):
    monkeypatch.setattr("smalti.codecs.latent_texture.GRID_RATE", 1e5)
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
        expected = whole[:, top : top + height, left : left + width]
        torch.testing.assert_close(part, expected, atol=2e-6, rtol=0)


def test_any_size_agrees_with_its_own():
    size = Size(3, 40, 56)
    sections = SMALL.encode(make_picture(*size), options(50))
    whole = SMALL.decode(sections, size)
    assert torch.equal(SMALL.decode_at(sections, size, 40, 56), whole)
    # texel centres: the odd multiple's middle texels lie on the picture's own
    tripled = SMALL.decode_at(sections, size, 120, 168)
    torch.testing.assert_close(tripled[:, 1::3, 1::3], whole, atol=2e-5, rtol=0)
    assert SMALL.decode_at(sections, size, 7, 300).shape == (3, 7, 300)


def test_chunks_do_not_show(monkeypatch):
    size = Size(3, 33, 50)
    sections = SMALL.encode(make_picture(*size), options(20))
    whole = SMALL.decode(sections, size)
    monkeypatch.setattr("smalti.models.latent_texture.CHUNK", 16 * 37)
    torch.testing.assert_close(SMALL.decode(sections, size), whole, atol=2e-6, rtol=0)


def test_same_seed_same_bytes_and_the_global_generator_rests():
    image = make_picture(3, 40, 40)
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first = SMALL.encode(image, options(10))
    assert SMALL.encode(image, options(10)) == first
    assert SMALL.encode(image, options(10, seed=1)) != first
    SMALL.decode(first, Size(3, 40, 40))
    assert torch.equal(torch.get_rng_state(), state)


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
            assert x_hat.isfinite().all()
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
        {"lo_scale": 1},  # 16 values a texel
    ],
)
def test_configs_that_cannot_be(fields):
    with pytest.raises(OptionError):
        LatentTexture(**fields)


def test_a_fit_takes_a_step():
    with pytest.raises(OptionError, match="at least 1"):
        LatentTexture().encode(make_picture(3, 4, 4), options(0))
