"""The resampler: a field, so that tiles, windows and nested grids are parts of the whole."""

import pytest
import torch

from smalti import models
from smalti.errors import ImageError, OptionError
from smalti.models.resampler import LATENTS, Resampler, ResamplerConfig, shown_extent

DIGITS = ResamplerConfig(latent_channels=5, width=32, heads=2, atoms=6, texel_width=8, places=4)
PHOTOS = ResamplerConfig(
    channels=3, latent_channels=6, width=32, heads=2, atoms=6, texel_width=8, places=0, frame=16
)


@pytest.fixture(params=[DIGITS, PHOTOS], ids=["digits", "photos"])
def model(request):
    torch.manual_seed(0)
    return Resampler(request.param).eval().requires_grad_(False)


def picture(model, height=35, width=52):
    return torch.rand(2, model.channels, height, width) * 2 - 1


def test_the_grid_follows_the_frame_or_the_texels(model):
    expected = (4, 4) if model.config.places else (9, 13)
    assert model.grid(35, 52) == expected
    assert model.encode(picture(model)).shape == (2, model.config.latent_channels, *expected)
    assert model.encode(picture(model), (3, 7)).shape[2:] == (3, 7)
    assert model(picture(model)).shape == (2, model.channels, 35, 52)


@pytest.mark.parametrize("size", [(35, 52), (10, 10), (40, 17), (1, 1), (1, 30)])
def test_tiles_and_windows_are_parts_of_the_whole(model, size):
    z = model.encode(picture(model))
    whole = model.decode(z, size)
    assert whole.shape[2:] == size
    assert (model.decode(z, size, tile=7) - whole).abs().max() < 1e-5
    top, left = size[0] // 3, size[1] // 2
    height, width = size[0] - top, size[1] - left
    part = model.decode(z, size, window=(top, left, height, width))
    assert (part - whole[:, :, top:, left:]).abs().max() < 1e-5


def test_latents_in_tiles_are_the_latents(model):
    x = picture(model)
    assert (model.encode(x, tile=3) - model.encode(x, tile=100)).abs().max() < 1e-4


def test_nested_grids_meet_in_the_same_texels(model):
    z = model.encode(picture(model))
    coarse, fine = (model.decode(z, (n, n), footprint=0.02) for n in (11, 33))
    assert (fine[:, :, 1::3, 1::3] - coarse).abs().max() < 1e-5
    assert (model.decode(z, (33, 33))[:, :, 1::3, 1::3] - coarse).abs().max() > 1e-5


def test_a_texel_of_a_photograph_depends_on_the_latents_around_it_alone():
    torch.manual_seed(0)
    model = Resampler(PHOTOS).eval().requires_grad_(False)
    z = model.encode(picture(model, 16, 40))
    z.requires_grad_(True)
    model.decode(z, (16, 40), window=(8, 4, 1, 1)).sum().backward()
    reached = z.grad.abs().sum((0, 1, 2)) > 0
    assert reached[1]
    assert not reached[-1]


def test_a_small_drawing_of_many_latents_is_made_in_small_tiles(model, monkeypatch):
    z = torch.randn(1, model.config.latent_channels, 60, 90)
    tiles, decode_at = [], model.decode_at
    monkeypatch.setattr(
        model, "decode_at", lambda t, *rest: tiles.append(t.shape) or decode_at(t, *rest)
    )
    x = model.decode(z, (4, 6))
    assert x.shape[2:] == (4, 6)
    assert max(h for _, h, *_ in tiles) < 2 * LATENTS + 20
    monkeypatch.setattr("smalti.models.resampler.LATENTS", 1000)
    assert (model.decode(z, (4, 6)) - x).abs().max() < 1e-5


@pytest.mark.parametrize("grid", [(1, 1), (2, 2), (1, 4)])
def test_few_latents_leave_no_holes(grid):
    """Every texel is drawn by some latent, also beyond the edge."""
    torch.manual_seed(0)
    model = Resampler(DIGITS).eval().requires_grad_(False)
    z = torch.randn(1, 5, *grid)
    moved = model.decode(z + 1, (20, 30), fit="contain") - model.decode(z, (20, 30), fit="contain")
    assert (moved.abs() > 1e-6).all()
    radii = model.radii((1.0, 1.0), grid)
    for count, radius in zip(grid, radii, strict=True):
        gap = (0.5 + 0.5 / 32) - (0.5 - 0.5 / count)
        assert radius > max(gap, 0.5 / count if count > 1 else 0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_number_formats(model, dtype):
    x = picture(model)
    other = Resampler(model.config).eval().requires_grad_(False)
    other.load_state_dict(model.state_dict())
    other.to(dtype)
    x_hat = other(x.to(dtype))
    assert x_hat.dtype == dtype
    assert (x_hat.float() - model(x)).abs().mean() < (0.2 if dtype == torch.bfloat16 else 1e-4)


def test_grids_are_exact_for_any_frame():
    config = ResamplerConfig(places=0, frame=56, cells=7)
    assert Resampler(config).grid(232, 8) == (29, 1)


def test_latents_anywhere_are_read_from_one_field(model):
    """Points of a grid of 12 x 12 latents are those of 4 x 4 in its middle thirds."""
    x = picture(model, 16, 16)
    few, many = model.encode(x, (4, 4)), model.encode(x, (12, 12))
    assert (many[:, :, 1::3, 1::3] - few).abs().max() < 1e-5


@pytest.mark.parametrize(
    ("fit", "expected"),
    [("stretch", (1.0, 1.0)), ("contain", (1.0, 1.5)), ("cover", (2 / 3, 1.0))],
)
def test_fits(fit, expected):
    assert shown_extent((18, 27), (1.0, 1.0), fit) == pytest.approx(expected)


def test_contained_the_frame_keeps_its_shape_and_goes_on_beyond():
    torch.manual_seed(0)
    model = Resampler(DIGITS).eval().requires_grad_(False)
    z = model.encode(picture(model, 32, 32))
    square = model.decode(z, (20, 20))
    wide = model.decode(z, (20, 30), fit="contain")
    assert (wide[..., 5:25] - square).abs().max() < 1e-5
    assert (wide[..., 0] - wide[..., 3]).abs().max() < 1e-5  # the edge goes on
    cut = model.decode(z, (20, 30), fit="cover")
    tall = model.decode(z, (30, 30))
    assert (cut - tall[:, :, 5:25]).abs().max() < 1e-5


def test_mistakes_are_sentences():
    model = Resampler(DIGITS)
    with pytest.raises(OptionError, match="no fit 'crop'; known: stretch, contain, cover"):
        model.decode(torch.zeros(1, 5, 4, 4), (8, 8), fit="crop")
    with pytest.raises(OptionError, match="height and width are at least 1"):
        model.decode(torch.zeros(1, 5, 4, 4), (0, 4))
    with pytest.raises(ImageError, match="B C H W"):
        model.encode(torch.zeros(3, 8, 8))
    with pytest.raises(OptionError, match="width=33"):
        ResamplerConfig(width=33)


def test_weights_round_trip(tmp_path):
    torch.manual_seed(0)
    model = Resampler(PHOTOS).eval()
    model.save_pretrained(tmp_path / "r.safetensors", dtype=torch.float32)
    again = models.load(tmp_path / "r.safetensors")
    x = picture(model)
    assert isinstance(again, Resampler)
    assert torch.equal(again(x), model(x))
