"""Hash texture: levels, hash, the kernels against torch, the files, and the figures."""

import math

import numpy as np
import pytest
import torch

from smalti.cli import main
from smalti.codec import Size, Window, with_settings
from smalti.codecs.hash_texture import HashTexture
from smalti.errors import FormatError, OptionError
from smalti.explain import textures
from smalti.explain.fits import WatchedFit
from smalti.fit import visible
from smalti.jit import njit
from smalti.models.hash_texture import PRESETS, HashTextureConfig, HashTextureModel
from smalti.models.latent_texture import LatentTextureConfig, LatentTextureModel
from smalti.ops import tiles
from smalti.ops.activations import ACTIVATIONS, OMEGA, activate
from smalti.ops.sine import sin_cos
from smalti.texture_codec import TextureOptions

from conftest import make_picture, make_tensor

SMALL = HashTexture(levels=5, base=4, finest=40, log2_entries=8, hidden=16)
TINY = {"height": 37, "width": 29, "levels": 5, "base": 4, "finest": 40, "log2_entries": 6}


def psnr(x, x_hat):
    error = (x * 255).round() - (x_hat * 255).round()
    return 10 * math.log10(255**2 / error.square().mean().item())


def model_of(kind, **fields):
    """A small model whose values are far from those of a first step."""
    config, cls = (
        (HashTextureConfig(**TINY, **fields), HashTextureModel)
        if kind == "hash"
        else (LatentTextureConfig(height=37, width=29, **fields), LatentTextureModel)
    )
    model = cls(config, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for table in model.tables:
            table.normal_(std=0.3, generator=torch.Generator().manual_seed(1))
    return model


@pytest.mark.parametrize(
    ("preset", "expected"), [("tiny", 12_317), ("default", 101_399), ("large", 322_145)]
)
def test_presets_have_the_published_number_of_parameters(preset, expected):
    model = HashTextureModel(HashTextureConfig(**PRESETS[preset]))
    assert sum(p.numel() for p in model.parameters()) == expected


def test_levels_are_those_of_the_paper():
    model = HashTextureModel()
    assert [level.rows for level in model.levels] == [
        *(16, 20, 25, 32, 40, 51, 64, 81, 102, 128, 161, 203, 256, 323, 406, 512)
    ]
    assert [level.hashed for level in model.levels] == [0] * 7 + [4096] * 9


def test_tables_stay_in_proportion_to_the_picture():
    for height, width in ((1, 1), (5, 7), (24, 40), (512, 512)):
        config = HashTextureConfig(height=height, width=width, log2_entries=20)
        values = sum(level.values for level in HashTextureModel(config).levels)
        assert values <= max(4 * height * width, 2 * config.levels)


def test_a_texel_is_the_readable_formula():
    model = model_of("hash")
    row, column = 17, 23
    rows, columns = torch.tensor([row]), torch.tensor([column])
    hashed = 0
    for level, table in zip(model.levels, model.tables, strict=True):
        y, x = row / 36 * (level.rows - 1), column / 28 * (level.columns - 1)
        total = torch.zeros(2, dtype=torch.float64)
        for j in (math.floor(y), math.floor(y) + 1):
            for i in (math.floor(x), math.floor(x) + 1):
                entry = i * level.rows + j
                if level.hashed:
                    entry = ((i * 2654435761) ^ (j * 805459861)) % 64
                    hashed += 1
                total += (1 - abs(y - j)) * (1 - abs(x - i)) * table[entry].double()
        got = model._blend(level, table, rows, 37, columns, 29)[0]
        torch.testing.assert_close(got.double(), total, atol=1e-5, rtol=0)
    assert hashed == 4 * 3


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("hash", {}),
        ("hash", {"channels": 4, "hidden": 20, "depth": 3}),
        ("latent", {"depth": 1}),
        ("latent", {"channels": 4, "hi_channels": 0}),
        *(("latent", {"activation": k, "hidden": 24}) for k in range(1, len(ACTIVATIONS))),
    ],
)
@pytest.mark.parametrize("threads", [1, 2])
def test_kernels_have_torchs_gradients(kind, fields, threads):
    model = model_of(kind, **fields)
    random = torch.Generator().manual_seed(2)
    count = 2 * tiles.TILE + 11  # the last tile is short
    rows = torch.randint(0, 37, (count,), generator=random)
    columns = torch.randint(0, 29, (count,), generator=random)
    target = visible(make_tensor(model.head.out_features, 37, 29).permute(1, 2, 0)).contiguous()
    loss = (visible(model(rows, columns)) - target[rows, columns]).square().mean()
    loss.backward()
    expected = torch.cat([p.grad.reshape(-1) for p in model.parameters()])
    values = model.flat_parameters()
    axes = (model.axis(np.arange(37), vertical=True), model.axis(np.arange(29), vertical=False))
    out = np.zeros((threads, values.size), np.float32)
    got = tiles.gradient(
        values, model.layout(), axes, rows.numpy(), columns.numpy(), target.numpy(), out
    )
    assert math.isclose(got, loss.item(), rel_tol=1e-5)
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(torch.from_numpy(out.sum(0)), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", ["hash", "latent"])
@pytest.mark.parametrize("threads", [1, 3])
def test_a_drawing_is_the_readable_form(kind, threads, monkeypatch):
    monkeypatch.setattr("smalti.models.texture.BLOCK", 70)  # and blocks do not show
    model = model_of(kind)
    rows, columns = torch.arange(111), torch.arange(3, 87)
    with torch.no_grad():
        expected = model(*torch.cartesian_prod(rows, columns).unbind(1), size=(111, 87))
    got = model.render(rows, columns, size=(111, 87), threads=threads)
    torch.testing.assert_close(got, expected.T.view(3, 111, 84), atol=1e-4, rtol=0)


def test_sine_and_cosine_have_the_stated_error():
    @njit()
    def table(z, sine, cosine):
        for i in range(z.size):
            sine[i], cosine[i] = sin_cos(z[i])

    z = np.concatenate([np.linspace(-40, 40, 9001), np.linspace(-9999, 9999, 40001)])
    z = z.astype(np.float32)
    sine, cosine = np.empty_like(z), np.empty_like(z)
    table(z, sine, cosine)
    assert np.abs(sine - np.sin(z.astype(np.float64))).max() < 3e-6
    assert np.abs(cosine - np.cos(z.astype(np.float64))).max() < 3e-6


@pytest.mark.parametrize("kind", range(len(ACTIVATIONS)))
def test_activations_have_torchs_values_and_slopes(kind):
    z = torch.linspace(-9, 9, 4 * 640).view(4, 640)
    exact = z.double().requires_grad_()
    name = ACTIVATIONS[kind]
    wave = torch.sin(OMEGA * exact)
    value = wave if name == "siren" else getattr(torch.nn.functional, name)(exact)
    value.sum().backward()
    a, slope = np.empty((4, 640), np.float32), z.numpy().copy()
    activate(kind, slope, a)
    loose = 3e-5 if name == "siren" else 1e-6  # 30 z is rounded to a float32 first
    np.testing.assert_allclose(a, value.detach().numpy(), atol=loose, rtol=1e-6)
    np.testing.assert_allclose(slope, exact.grad.numpy(), atol=OMEGA * loose, rtol=1e-6)


def options(steps=3, **others):
    return TextureOptions(steps=steps, **others)


@pytest.mark.parametrize("size", [(3, 1, 1), (3, 5, 7), (4, 33, 17), (3, 1, 50)])
def test_round_trip_at_any_size(size):
    x_hat = SMALL.decode(SMALL.encode(make_picture(*size), options()), Size(*size))
    assert x_hat.shape == size
    assert 0 <= x_hat.min() <= x_hat.max() <= 1


@pytest.mark.parametrize(("recipe", "floor"), [("fast", 34.0), ("published", 34.0)])
def test_the_decoded_picture_is_close(recipe, floor):
    image = make_picture(3, 64, 64)
    sections = HashTexture(finest=64).encode(image, options(200, recipe=recipe))
    assert psnr(image, HashTexture(finest=64).decode(sections, Size(3, 64, 64))) >= floor


def test_windows_and_sizes():
    size = Size(3, 60, 44)
    sections = SMALL.encode(make_picture(*size), options(20))
    whole = SMALL.decode(sections, size)
    for window in (Window(0, 0, 60, 44), Window(11, 7, 20, 30), Window(59, 43, 1, 1)):
        top, left, height, width = window
        part = SMALL.decode_window(sections, size, window)
        expected = whole[:, top : top + height, left : left + width]
        torch.testing.assert_close(part, expected, atol=2e-6, rtol=0)
    # corners on corners: every second row and column of twice the lattice is the picture's own
    doubled = SMALL.decode_at(sections, size, 119, 87)
    torch.testing.assert_close(doubled[:, ::2, ::2], whole, atol=2e-5, rtol=0)


def test_presets_stand_for_their_numbers():
    codec, _ = with_settings(HashTexture, "preset=tiny,hidden=48")
    assert codec == HashTexture(levels=8, base=8, finest=256, log2_entries=10, hidden=48, depth=1)
    with pytest.raises(OptionError, match="known: tiny, default, large"):
        HashTexture(preset="huge")


@pytest.mark.parametrize(
    "fields",
    [{"levels": 0}, {"base": 20, "finest": 16}, {"log2_entries": 21}, {"depth": 9}, {"bits": 0}],
)
def test_configs_that_cannot_be(fields):
    with pytest.raises(OptionError):
        HashTexture(**fields)


def test_every_truncation_is_a_format_error():
    size = Size(3, 24, 20)
    sections = SMALL.encode(make_picture(*size), options())
    for i, section in enumerate(sections):
        for length in range(0, len(section), 11):
            with pytest.raises(FormatError):
                SMALL.decode([*sections[:i], section[:length], *sections[i + 1 :]], size)
    with pytest.raises(FormatError, match="has 6"):
        SMALL.decode(sections[:-1], size)


def test_figures_of_a_picture(tmp_path, monkeypatch, capsys):
    import smalti

    smalti.save(make_picture(4, 40, 60), tmp_path / "a.png")
    monkeypatch.chdir(tmp_path)
    arguments = ["explain", "textures", "a.png", "--steps", "3", "--out", "figures"]
    monkeypatch.setattr("sys.argv", ["smalti", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 0
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    assert names == {"quality.png", "curves.png", "latent.png", "activations.png"}
    assert "figures/latent.png" in capsys.readouterr().out.replace("\\", "/")


def test_the_quality_figure_shows_what_was_seen():
    original = np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8)
    fits = [
        WatchedFit(name, 7, {1: 9.0, 4: 21.5}, {1: original, 4: original}) for name in ("a", "b")
    ]
    figure = textures.quality(original, tuple(fits), "p.png")
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == [
        *("original", "a, 1 steps: 9.00 dB", "a, 4 steps: 21.50 dB"),
        *("original", "b, 1 steps: 9.00 dB", "b, 4 steps: 21.50 dB"),
    ]
