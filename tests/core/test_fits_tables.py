"""Textures of tables: levels, the kernels against their twin on every build, Adam, rounding."""

import math

import numpy as np
import pytest

from smalti.fits._adam import Adam
from smalti.fits.tables import kernels, reference
from smalti.fits.tables.fit import Recipe, fit_texture, visible
from smalti.fits.tables.hash_texture import PRESETS, HashTextureConfig
from smalti.fits.tables.latent_texture import LatentTextureConfig
from smalti.fits.tables.levels import Level
from smalti.fits.tables.model import ACTIVATIONS, OMEGA, SIREN, Shape, TextureModel
from smalti.fits.tables.quantize import feature_ranges, from_levels, to_levels

from conftest import make_picture
from native_builds import on_every_build

TINY = {"height": 37, "width": 29, "levels": 5, "base": 4, "finest": 40, "log2_entries": 6}
TEXTURES = [
    ("hash", {}),
    ("hash", {"channels": 4, "hidden": 20, "depth": 3}),
    ("latent", {"depth": 1, "hi_channels": 5}),
    ("latent", {"channels": 4, "hi_channels": 0, "lo_channels": 37}),
    *(("latent", {"activation": k, "hidden": 24}) for k in range(1, len(ACTIVATIONS))),
]


def model_of(kind, **fields):
    """A small model whose values are far from those of a first step."""
    config = (
        HashTextureConfig(**TINY, **fields)
        if kind == "hash"
        else LatentTextureConfig(height=37, width=29, **fields)
    )
    random = np.random.default_rng(0)
    model = config.noise(random)
    for table in model.tables:
        table[:] = random.normal(0, 0.3, table.shape)
    return model


def texels_of(model, count):
    """Some texels, and the picture that a fit of the model would see."""
    random = np.random.default_rng(2)
    rows = random.integers(0, 37, count).astype(np.int32)
    columns = random.integers(0, 29, count).astype(np.int32)
    picture = make_picture(model.shape.widths[-1], 37, 29).astype(np.float32) / 255
    return rows, columns, np.ascontiguousarray(visible(picture))


@pytest.mark.parametrize(
    ("preset", "expected"), [("tiny", 12_317), ("default", 101_399), ("large", 322_145)]
)
def test_presets_have_the_published_number_of_parameters(preset, expected):
    assert HashTextureConfig(**PRESETS[preset]).shape.value_count == expected


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (LatentTextureConfig(), 103_875),
        (LatentTextureConfig(lo_channels=32, hi_channels=0), 137_539),
    ],
)
def test_latent_textures_have_the_published_number_of_parameters(config, expected):
    assert config.shape.value_count == expected


def test_levels_are_those_of_the_paper():
    levels = HashTextureConfig().shape.levels
    assert [level.rows for level in levels] == [
        *(16, 20, 25, 32, 40, 51, 64, 81, 102, 128, 161, 203, 256, 323, 406, 512)
    ]
    assert [level.hashed for level in levels] == [0] * 7 + [4096] * 9


def test_tables_stay_in_proportion_to_the_picture():
    for height, width in ((1, 1), (5, 7), (24, 40), (512, 512)):
        config = HashTextureConfig(height=height, width=width, log2_entries=20)
        values = sum(level.values for level in config.shape.levels)
        assert values <= max(4 * height * width, 2 * config.levels)


def test_a_texel_is_the_readable_formula():
    model = model_of("hash")
    row, column = 17, 23
    found = reference.features(
        model.shape, model.values, np.array([row]), np.array([column]), (37, 29)
    )
    hashed = 0
    for number, (level, table) in enumerate(zip(model.shape.levels, model.tables, strict=True)):
        y, x = row / 36 * (level.rows - 1), column / 28 * (level.columns - 1)
        total = np.zeros(2)
        for j in (math.floor(y), math.floor(y) + 1):
            for i in (math.floor(x), math.floor(x) + 1):
                entry = i * level.rows + j
                if level.hashed:
                    entry = ((i * 2654435761) ^ (j * 805459861)) % 64
                    hashed += 1
                total += (1 - abs(y - j)) * (1 - abs(x - i)) * table[entry]
        np.testing.assert_allclose(found[0, 2 * number : 2 * number + 2], total, atol=1e-5)
    assert hashed == 4 * 3


def test_a_grid_is_read_as_grid_sample_reads_it():
    torch = pytest.importorskip("torch")
    config = LatentTextureConfig(height=31, width=40, lo_channels=5, hi_channels=0, lo_scale=6)
    model = config.noise(np.random.default_rng(0))
    (level,), (table,) = model.shape.levels, model.tables
    y, x = (torch.arange(31) + 0.5) / 31, (torch.arange(40) + 0.5) / 40
    where = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], -1) * 2 - 1
    grid = torch.from_numpy(table.reshape(level.rows, level.columns, -1)).permute(2, 0, 1)
    expected = torch.nn.functional.grid_sample(
        grid[None], where[None], align_corners=True, padding_mode="border"
    )
    rows, columns = (a.ravel() for a in np.mgrid[:31, :40])
    got = reference.features(model.shape, model.values, rows, columns, (31, 40))
    np.testing.assert_allclose(got.T.reshape(5, 31, 40), expected[0].numpy(), atol=1e-6)


@pytest.mark.parametrize(("kind", "fields"), TEXTURES)
def test_kernels_have_their_twins_gradients(kind, fields):
    model = model_of(kind, **fields)
    shape, values = model.shape, model.values
    rows, columns, target = texels_of(model, 2 * kernels.TILE + 11)  # the last tile is short

    def run(threads=1):
        out = np.zeros_like(values)
        loss = kernels.Gradient(shape, target, threads=threads)(values, rows, columns, out)
        return np.array([loss]), out

    loss, got = on_every_build(run)
    assert [a.tobytes() for a in run(threads=3)] == [loss.tobytes(), got.tobytes()]
    wide = values.astype(np.float64)
    expected_loss, expected = reference.gradient(shape, wide, rows, columns, target)
    assert math.isclose(loss[0], expected_loss, rel_tol=1e-5)
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(got, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("kind", "fields"), TEXTURES)
def test_the_twins_gradient_is_the_slope(kind, fields):
    model = model_of(kind, **fields)
    values = model.values.astype(np.float64)
    rows, columns, target = texels_of(model, 60)
    _, slope = reference.gradient(model.shape, values, rows, columns, target)
    random = np.random.default_rng(3)
    network = np.arange(len(values)) >= model.shape.network
    for part in (network, ~network):
        way = random.normal(0, 1, values.shape) * part
        ends = [
            reference.gradient(model.shape, values + step * way, rows, columns, target)[0]
            for step in (-1e-7, 1e-7)
        ]
        assert (ends[1] - ends[0]) / 2e-7 == pytest.approx(slope @ way, rel=1e-5)


@pytest.mark.parametrize(("kind", "fields"), TEXTURES)
def test_a_drawing_is_its_twins(kind, fields, monkeypatch):
    monkeypatch.setattr("smalti.fits.tables.model.BLOCK", 70)  # and blocks do not show
    model = model_of(kind, **fields)
    rows, columns = np.arange(111), np.arange(3, 87)
    (got,) = on_every_build(lambda: (model.render(rows, columns, size=(111, 87)),))
    lattice = (a.ravel() for a in np.meshgrid(rows, columns, indexing="ij"))
    expected = reference.texels(
        model.shape, model.values.astype(np.float64), *lattice, size=(111, 87)
    )
    np.testing.assert_allclose(got, expected.reshape(111, 84, -1), atol=1e-4)


def drawn_activation(kind, z):
    """The kernel's f(z), to within 1e-6: a texture whose one table holds z, seen through a sigmoid."""
    scale = 1.0 if kind == SIREN else 0.1
    level = Level(1, len(z), 1, len(z), 1)
    shape = Shape((1, len(z)), (level,), True, (1, 1, 1), kind)
    model = TextureModel(shape, np.concatenate([z, [1, 0, scale, 0]]).astype(np.float32))
    y = model.render()[0, :, 0].astype(np.float64)
    return np.log(y / (1 - y)) / scale


@pytest.mark.parametrize("end", [1, 333])
def test_sines_have_the_stated_error(end):
    z = np.linspace(-end, end, 20001).astype(np.float32)
    turned = (np.float32(OMEGA) * z).astype(np.float64)
    assert np.abs(drawn_activation(SIREN, z) - np.sin(turned)).max() < 4e-6


@pytest.mark.parametrize("kind", range(1, len(ACTIVATIONS)))
def test_activations_have_their_twins_values(kind):
    z = np.linspace(-9, 9, 4000).astype(np.float32)
    expected, _ = reference.activate(ACTIVATIONS[kind], z.astype(np.float64))
    assert np.abs(drawn_activation(kind, z) - expected).max() < 8e-6


def test_tables_are_rounded_as_the_file_holds_them():
    model = LatentTextureConfig(height=40, width=24, hi_channels=3).noise(np.random.default_rng(0))
    model.tables[0][:, 2] = 0.7  # a constant feature has no step

    def run():
        seen = model.values.copy()
        kernels.round_tables(model.shape, model.values, 16, seen)
        return (seen,)

    (seen,) = on_every_build(run)
    for table, got in zip(model.tables, model.shape.tables(seen), strict=True):
        low, high = feature_ranges(table)
        held = from_levels(to_levels(table, low, high, 16), low, high, 16)
        np.testing.assert_array_equal(got, held)
        np.testing.assert_allclose(got, reference.rounded(table.astype(np.float64), 16), atol=1e-7)
    assert np.array_equal(seen[model.shape.network :], model.network)


def test_quantisation_is_within_half_a_step():
    table = np.random.default_rng(0).normal(0, 1, (72, 3)).astype(np.float32)
    table[:, 2] = 0.7
    low, high = feature_ranges(table)
    indices = to_levels(table, low, high, 16)
    assert (indices[:, :2].min(), indices[:, :2].max()) == (0, 15)
    error = np.abs(from_levels(indices, low, high, 16) - table).max(0)
    assert (error <= (high - low) / 30 + 1e-6).all()


def test_adam_is_torch_adam():
    torch = pytest.importorskip("torch")
    ours, gradient = np.arange(1, 7, dtype=np.float32), np.zeros(6, np.float32)
    theirs = torch.arange(1.0, 7.0).requires_grad_()
    adam, (mean, spread) = Adam(0.8, 0.95, 1e-8), np.zeros((2, 6), np.float32)
    expected = torch.optim.Adam([theirs], lr=0.1, betas=(0.8, 0.95))
    for step in range(1, 6):
        gradient += np.cos(ours) * ours + np.sin(ours)
        adam.step(ours, gradient, mean, spread, rate=0.1, step=step)
        assert not gradient.any()
        (theirs.sin() * theirs).sum().backward()
        expected.step()
        expected.zero_grad()
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-5)


def test_fit_counts_its_steps_and_reaches_what_it_shows():
    image = make_picture(3, 24, 20)
    random = np.random.default_rng(0)
    model = LatentTextureConfig(height=24, width=20).noise(random)
    seen = []
    fit_texture(
        model,
        image.astype(np.float32) / 255,
        Recipe(0.1, 5e-4, 1e-2, (0.8, 0.95)),
        steps=60,
        levels=None,
        random=random,
        on_step=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(i, 60) for i in range(1, 61)]
    error = np.square(np.rint(255 * model.render()) - image).mean()
    assert 10 * math.log10(255**2 / error) > 27
