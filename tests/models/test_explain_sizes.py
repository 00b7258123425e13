"""The figures of `smalti explain sizes`: what is drawn for them, and files that look like something."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib.text import Text
from PIL import Image

from smalti.errors import OptionError
from smalti.explain import drawing, size_study, sizes
from smalti.models.diffuser import Diffuser, DiffuserConfig
from smalti.models.resampler import Resampler, ResamplerConfig

from conftest import run


class Stand:
    """Latents are the picture at four texels a cell; drawn digits are bright bars."""

    def encode(self, x, size):
        cells = torch.nn.functional.interpolate(x, (4 * size[0], 4 * size[1]), mode="area")
        return torch.nn.functional.pixel_unshuffle(cells, 4)

    def decode(self, z, size, *, fit="stretch", window=None):
        if window is not None:
            top, left, height, width = window
            return self.decode(z, size)[:, :, top : top + height, left : left + width]
        x = torch.nn.functional.pixel_shuffle(z, 4)
        if fit == "contain":
            side = min(size)
            small = self.decode(z, (side, side))
            left, top = size[1] - side, size[0] - side
            return torch.nn.functional.pad(
                small, (left // 2, left - left // 2, top // 2, top - top // 2), value=-1.0
            )
        return torch.nn.functional.interpolate(x, size, mode="nearest")


def bars(diffuser, labels, grid, *, seed, on_step=None):
    if on_step:
        on_step(1, 1)
    x = torch.full((len(labels), 1, 32, 32), -1.0)
    for n, label in enumerate(labels.tolist()):
        x[n, :, 4:28, 2 + 2 * label : 8 + 2 * label] = 1
    return Stand().encode(x, grid)


def loss(diffuser, z, labels, t, *, seed):
    return 2 - t


@pytest.fixture
def models(monkeypatch):
    made = size_study.Models(Stand(), SimpleNamespace(), bars, loss)
    monkeypatch.setattr(size_study, "load", lambda resampler, diffuser: made)
    return made


def test_what_is_drawn(models):
    told = []
    shown = size_study.study(models, large=(7, 20, 96), on_step=lambda *step: told.append(step))
    assert [d.grid for d in shown.drawn] == [(4, 4), (8, 8), (4, 10), (10, 4)]
    assert told[-3:] == [
        (1, 1, "20x20 latents"),
        (0, 96, "96x96 from 20x20 latents"),
        (64, 96, "96x96 from 20x20 latents"),
    ]
    for drawn in shown.drawn:
        assert drawn.latents.shape == (10, *drawn.grid, 16)
        assert {fit for _, fit in drawn.pictures} == {"stretch", "contain"}
        for (size, _), pictures in drawn.pictures.items():
            assert pictures.shape == (10, *size)
            assert pictures.dtype == np.uint8
    assert shown.large.picture.shape == (96, 96)
    assert shown.large.latents.shape == (20, 20, 16)
    whole, kept = (shown.drawn[0].pictures[(18, 32), fit][3] for fit in ("stretch", "contain"))
    assert kept[:, :7].max() == 0
    assert (whole > 128).sum() > 1.5 * (kept > 128).sum()


def test_losses_of_what_is_known():
    """A diffuser that finds nothing is wrong by the whole velocity, ε - z."""
    config = SimpleNamespace(cells=4)

    class Still:
        def __init__(self):
            self.config = config

        def conditions(self, labels):
            return []

        def __call__(self, x, t, conditions):
            return torch.zeros_like(x)

    z = torch.zeros(400, 16, 4, 4)
    for t in (0.1, 0.9):
        found = size_study.velocity_loss(Still(), z, torch.zeros(400).long(), t, seed=1)
        assert found == pytest.approx(1, abs=0.02)  # noise of variance 1
        assert size_study.velocity_loss(Still(), z + 1, None, t, seed=1) == pytest.approx(
            2, abs=0.03
        )


def test_losses_at_every_time(models):
    digits = size_study.Digits(np.zeros((6, 28, 28), np.uint8), np.arange(6))
    shown = size_study.study(models, large=None)
    size_study.add_losses(shown, models, digits, count=6)
    assert shown.loss_pictures == 6
    assert list(shown.losses) == list(size_study.GRIDS)
    for times, values in shown.losses.values():
        np.testing.assert_allclose(values, 2 - times)


def test_figures_say_what_they_show(models):
    digits = size_study.Digits(np.full((10, 28, 28), 99, np.uint8), np.arange(10))
    shown = size_study.study(models, large=(7, 20, 96))
    size_study.add_real(shown, models.resampler, digits)
    size_study.add_losses(shown, models, digits, count=10)
    figures = dict(sizes.figures(shown))
    assert set(figures) == {
        *(f"digits-{grid}" for grid in ("4x4", "8x8", "4x10", "10x4")),
        *("latents", "large", "reconstructions", "loss"),
    }
    texts = {
        name: " ".join(text.get_text() for text in figure.findobj(Text))
        for name, figure in figures.items()
    }
    assert "27x18, contain" in texts["digits-4x10"]
    assert "each channel" in texts["latents"]
    assert "20 x 20 cells" in texts["large"]
    assert "18x32 original" in texts["reconstructions"]
    assert "10 test pictures" in texts["loss"].replace("\n", " ")


def test_command(models, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(drawing, "DOTS_PER_INCH", 40)
    out = tmp_path / "figures"
    arguments = ("explain", "sizes", "--out", out, "--large", "0")
    code, printed, _ = run(monkeypatch, capsys, *arguments)
    assert code == 0
    found = {path.stem for path in out.iterdir()}
    assert found == {"digits-4x4", "digits-8x8", "digits-4x10", "digits-10x4", "latents"}
    assert "no large.png: no large grid was wanted" in printed
    with Image.open(out / "digits-8x8.png") as image:
        assert len(set(map(bytes, np.asarray(image.convert("RGB")).reshape(-1, 3)))) > 20
    code, _, err = run(monkeypatch, capsys, *arguments)
    assert code == 1
    assert f"{out / 'digits-10x4.png'} exists; --force" in err


def test_loss_alone(models, monkeypatch, capsys, tmp_path):
    digits = size_study.Digits(np.zeros((3, 28, 28), np.uint8), np.arange(3))
    monkeypatch.setattr(size_study, "read_digits", lambda folder: digits)
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, capsys, "explain", "loss", "--data", "MNIST")[0] == 0
    assert [path.name for path in (tmp_path / "smalti-explain/loss").iterdir()] == ["loss.png"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("bc7",), "name the picture: smalti explain bc7 a.png"),
        (("loss",), "name their folder with --data"),
        (("sizes", "out"), "sizes needs no picture; --out out is the folder for figures"),
        (("sizes", "--large", "-1"), "a latent of -1 cells a side; 0 is for none"),
        (
            ("sizes", "--data", "nowhere"),
            "no t10k-images-idx3-ubyte or t10k-images-idx3-ubyte.gz in nowhere",
        ),
    ],
)
def test_refusals_are_one_sentence(models, monkeypatch, capsys, tmp_path, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    code, _, err = run(monkeypatch, capsys, "explain", *arguments)
    assert code == 1
    assert sentence in err
    assert err.count("\n") == 1


def test_other_weights(tmp_path):
    with pytest.raises(OptionError, match="fsq-1m is a FsqAutoencoder, not a Resampler"):
        size_study.load("fsq-1m", "fsq-1m")
    kinds = {"width": 8, "heads": 1, "places": 1}
    resampler = Resampler(ResamplerConfig(atoms=2, texel_width=4, latent_channels=3, **kinds))
    resampler.save_pretrained(tmp_path / "a.safetensors")
    Diffuser(DiffuserConfig(blocks=1, film=8, **kinds)).save_pretrained(tmp_path / "b.safetensors")
    with pytest.raises(OptionError, match=r"draws latents of 16 channels, .*a\.safetensors has 3"):
        size_study.load(str(tmp_path / "a.safetensors"), str(tmp_path / "b.safetensors"))


def test_true_models_draw(tmp_path):
    """Untrained, but of the true classes: what they are called with is what they take."""
    kinds = {"width": 8, "heads": 1, "places": 1}
    torch.manual_seed(0)
    resampler = Resampler(ResamplerConfig(atoms=2, texel_width=4, **kinds))
    resampler.save_pretrained(tmp_path / "a.safetensors")
    Diffuser(DiffuserConfig(blocks=1, film=8, **kinds)).save_pretrained(tmp_path / "b.safetensors")
    models = size_study.load(str(tmp_path / "a.safetensors"), str(tmp_path / "b.safetensors"))
    shown = size_study.study(models, large=(3, 12, 64))
    assert shown.large.picture.shape == (64, 64)
    digits = size_study.Digits(np.zeros((3, 28, 28), np.uint8), np.arange(3))
    size_study.add_losses(shown, models, digits, count=3)
    for _, values in shown.losses.values():
        assert np.isfinite(values).all()
