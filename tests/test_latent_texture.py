"""Latent texture: grids, network, fit, and the three sections of its files."""

import math
import struct

import numpy as np
import pytest
import torch

from smalti.codec import Size, Window
from smalti.codecs.latent_texture import LatentTexture
from smalti.errors import FormatError, OptionError
from smalti.fit import Adam, Group, Recipe, fit_texture
from smalti.models.latent_texture import LatentTextureConfig, LatentTextureModel
from smalti.ops.levels import as_table, round_tables
from smalti.ops.quantize import channel_ranges, from_levels, straight_through, to_levels
from smalti.texture_codec import TextureOptions

from conftest import make_picture

SMALL = LatentTexture(lo_channels=6, hidden=16, bits=6)  # 0.3 ms a step on small pictures


def options(steps=3, **others):
    return TextureOptions(steps=steps, **others)


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


def test_a_grid_is_read_as_grid_sample_reads_it():
    config = LatentTextureConfig(height=31, width=40, lo_channels=5, hi_channels=0, lo_scale=6)
    model = LatentTextureModel(config, generator=torch.Generator().manual_seed(0))
    (level,), (table,) = model.levels, model.tables
    y, x = (torch.arange(31) + 0.5) / 31, (torch.arange(40) + 0.5) / 40
    where = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], -1) * 2 - 1
    grid = table.view(level.rows, level.columns, -1).permute(2, 0, 1)
    expected = torch.nn.functional.grid_sample(
        grid[None], where[None], align_corners=True, padding_mode="border"
    )
    rows, columns = torch.cartesian_prod(torch.arange(31), torch.arange(40)).unbind(1)
    got = model._blend(level, table, rows, 31, columns, 40)
    torch.testing.assert_close(got.T.view(1, 5, 31, 40), expected, atol=1e-6, rtol=0)


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


def test_tables_are_rounded_as_the_file_holds_them():
    model = LatentTextureModel(LatentTextureConfig(height=40, width=24))
    values = model.flat_parameters()
    ends = np.cumsum([level.values for level in model.levels])
    seen = values.copy()
    round_tables(values, as_table(model.levels), ends, 15, seen)
    for level, table, part in zip(
        model.levels, model.tables, np.split(seen, ends)[:-1], strict=True
    ):
        expected = straight_through(table.detach()[None], 16)[0]
        got = torch.from_numpy(part).view(level.entries, level.features)
        torch.testing.assert_close(got, expected, atol=1e-7, rtol=0)
    assert np.array_equal(seen[ends[-1] :], values[ends[-1] :])


def test_fit_counts_its_steps_and_reaches_what_it_shows():
    image = make_picture(3, 24, 20)
    model = LatentTextureModel(
        LatentTextureConfig(height=24, width=20), generator=torch.Generator().manual_seed(0)
    )
    seen = []
    fit_texture(
        model,
        image,
        Recipe(0.1, 5e-4, 1e-2, (0.8, 0.95)),
        steps=60,
        levels=None,
        generator=torch.Generator().manual_seed(0),
        on_step=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(i, 60) for i in range(1, 61)]
    assert psnr(image, model.render(torch.arange(24), torch.arange(20))) > 27


def test_two_threads_fit_the_same_but_for_last_bits():
    image = make_picture(3, 48, 48)
    one, two = (SMALL.encode(image, options(5, threads=n)) for n in (1, 2))
    pictures = [SMALL.decode(sections, Size(3, 48, 48)) for sections in (one, two)]
    torch.testing.assert_close(*pictures, atol=2e-3, rtol=0)


def test_the_published_recipe_is_there_and_no_other():
    image = make_picture(3, 16, 16)
    sections = SMALL.encode(image, options(3, recipe="published"))
    assert SMALL.decode(sections, Size(3, 16, 16)).shape == (3, 16, 16)
    with pytest.raises(OptionError, match="known: fast, published"):
        SMALL.encode(image, options(3, recipe="slow"))


@pytest.mark.parametrize("activation", [1, 2, 3])
def test_other_activations(activation):
    codec = LatentTexture(lo_channels=4, hidden=8, activation=activation)
    image = make_picture(3, 24, 24)
    x_hat = codec.decode(codec.encode(image, options(60)), Size(3, 24, 24))
    assert psnr(image, x_hat) > 12


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
    from smalti import fit

    image = make_picture(3, 32, 32)
    losses = []
    inner = fit.gradient
    monkeypatch.setattr(fit, "gradient", lambda *a: losses.append(inner(*a)))
    sections = SMALL.encode(image, options(60))
    error = (SMALL.decode(sections, Size(3, 32, 32)) - image).square().mean()
    torch.testing.assert_close(error.item(), losses[-1], rtol=0.01, atol=0)


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
    monkeypatch.setattr("smalti.models.texture.BLOCK", 16)
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
        {"activation": 4},
        {"lo_scale": 1},  # 16 values a texel
    ],
)
def test_configs_that_cannot_be(fields):
    with pytest.raises(OptionError):
        LatentTexture(**fields)


def test_a_fit_takes_a_step():
    with pytest.raises(OptionError, match="at least 1"):
        LatentTexture().encode(make_picture(3, 4, 4), options(0))
    with pytest.raises(OptionError, match="0 threads"):
        LatentTexture().encode(make_picture(3, 4, 4), options(1, threads=0))
