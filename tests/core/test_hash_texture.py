"""Hash texture: its files, and the figures."""

import math

import numpy as np
import pytest

from smalti.cli import main
from smalti.codec import Size, Window, with_settings
from smalti.codecs._tables import TextureOptions
from smalti.codecs.hash_texture import HashTexture
from smalti.errors import FormatError, OptionError
from smalti.explain import textures
from smalti.explain.fits import WatchedFit

from conftest import make_picture

SMALL = HashTexture(levels=5, base=4, finest=40, log2_entries=8, hidden=16)


def psnr(x, x_hat):
    """Of a uint8 picture and the floats that stand for it."""
    return 10 * math.log10(255**2 / np.square(x - np.rint(x_hat * 255)).mean())


def options(steps=3, **others):
    return TextureOptions(steps=steps, **others)


@pytest.mark.parametrize("size", [(3, 1, 1), (3, 5, 7), (4, 33, 17), (3, 1, 50)])
def test_round_trip_at_any_size(size):
    x_hat = SMALL.decode(SMALL.encode(make_picture(*size), options()), Size(*size))
    assert x_hat.shape == (*size[1:], size[0])
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
        expected = whole[top : top + height, left : left + width]
        np.testing.assert_allclose(part, expected, atol=2e-6)
    # corners on corners: every second row and column of twice the lattice is the picture's own
    doubled = SMALL.decode_at(sections, size, 119, 87)
    np.testing.assert_allclose(doubled[::2, ::2], whole, atol=2e-5)


def test_presets_stand_for_their_numbers():
    codec, _ = with_settings(HashTexture, {"preset": "tiny", "hidden": "48"})
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
