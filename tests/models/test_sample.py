"""`smalti sample`, and the resampler as a codec of digits."""

import numpy as np
import pytest
import torch
from PIL import Image

import smalti
from smalti import models
from smalti.diffusion import sample
from smalti.errors import OptionError
from smalti.models.diffuser import Diffuser, DiffuserConfig
from smalti.models.pictures import to_pictures
from smalti.models.resampler import Resampler, ResamplerConfig

from conftest import make_picture, run

TINY = {"latent_channels": 3, "width": 16, "heads": 2}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A diffuser and its resampler, both of random weights."""
    folder = tmp_path_factory.mktemp("tiny")
    torch.manual_seed(0)
    image_tokenizer, diffuser = (
        folder / "image_tokenizer.safetensors",
        folder / "diffuser.safetensors",
    )
    Resampler(ResamplerConfig(**TINY, atoms=4, texel_width=8)).save_pretrained(image_tokenizer)
    config = DiffuserConfig(**TINY, blocks=1, film=16, autoencoder=str(image_tokenizer))
    model = Diffuser(config)
    for parameter in model.parameters():  # those that begin as zero hide what the label does
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(diffuser)
    return diffuser


def sampled(monkeypatch, capsys, tiny, out, *settings):
    code, printed, errors = run(
        monkeypatch, capsys, "sample", out, "--model", tiny, "--steps", "2", *settings
    )
    return code, printed + errors


def pixels(path):
    with Image.open(path) as opened:
        return np.asarray(opened)


def test_a_sheet_of_pictures_of_any_size(monkeypatch, capsys, tiny, tmp_path):
    out = tmp_path / "out.png"
    settings = ("--label", "3", "--latent", "8x8", "--size", "64x40", "--count", "16")
    code, said = sampled(monkeypatch, capsys, tiny, out, *settings, "--seed", "1")
    assert code == 0, said
    assert "16 of 64x40 texels, from 8 x 8 latents" in said
    assert pixels(out).shape == (4 * 40, 4 * 64)
    code, said = sampled(monkeypatch, capsys, tiny, out)
    assert code == 1
    assert "exists; --force" in said


def test_labels_take_turns_and_pictures_follow_from_their_number(
    monkeypatch, capsys, tiny, tmp_path
):
    for name, labels in (("a.png", ("3",)), ("b.png", ("3", "any"))):
        settings = ("--label", *labels, "--count", "4")
        assert sampled(monkeypatch, capsys, tiny, tmp_path / name, *settings)[0] == 0
    a, b = (pixels(tmp_path / name) for name in ("a.png", "b.png"))
    assert np.array_equal(a[:32, :32], b[:32, :32])  # 3 and 3
    assert not np.array_equal(a[:32, 32:], b[:32, 32:])  # 3 and any
    assert np.array_equal(a[32:, :32], b[32:, :32])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("--label", "11"), "label '11'; it is one of 0 .. 9, or any"),
        (("--label", "cat"), "label 'cat'"),
        (("--size", "64"), "write WIDTHxHEIGHT"),
        (("--size", "0x4"), "each side is at least 1 texel"),
        (("--size", "99999x99999"), "at most 67,108,864 texels"),
        (("--latent", "0x4"), "rows and columns are at least 1"),
        (("--latent", "999x999"), "998,001 latents; at most 65,536"),
        (("--count", "0"), "count 0; it lies in 1 .. 1024"),
        (("--fit", "crop"), "no fit 'crop'"),
        (("--sampler", "euler"), "no sampler 'euler'"),
        (("--steps", "0"), "0 steps; at least 1"),
        (("--seed", "-1"), "seed -1; it is at least 0"),
        (("--guidance", "-2"), "guidance -2"),
        (("--noise", "pink"), "no noise 'pink'"),
        (("--label",), "no label; name digits, or any"),
        (("--device", "nowhere"), "device 'nowhere' cannot be used here"),
        (("--model", "fsq-1m"), "holds weights of FsqAutoencoder, not of Diffuser"),
        (("--model", "nowhere"), "no weights 'nowhere'"),
    ],
)
def test_mistakes_are_sentences(monkeypatch, capsys, tiny, tmp_path, settings, message):
    out = tmp_path / "out.png"
    code, said = sampled(monkeypatch, capsys, tiny, out, *settings)
    assert code == 1
    assert message in said.replace("\n", " ")
    assert "Traceback" not in said
    assert not out.exists()


def test_a_resampler_of_digits_is_a_codec_too(tiny):
    image_tokenizer = tiny.with_name("image_tokenizer.safetensors")
    x = make_picture(1, 40, 33)
    data = smalti.encode(x, f"resampler:step=0.25,weights={image_tokenizer}")
    assert len(data) < 300  # 4 x 4 latents, whatever the picture's size
    whole = smalti.decode(data, weights=image_tokenizer, dtype=np.float32)
    assert whole.shape == (40, 33)
    assert smalti.decode(data, weights=image_tokenizer, size=(9, 70)).shape == (9, 70)
    part = smalti.decode(data, weights=image_tokenizer, window=(5, 6, 7, 8), dtype=np.float32)
    assert np.abs(part - whole[5:12, 6:14]).max() < 1e-5


def test_what_is_for_other_models_says_so(monkeypatch, capsys, tiny, tmp_path):
    """Commands for autoencoders of cells refuse a field and a diffuser in one sentence."""
    image_tokenizer = tiny.with_name("image_tokenizer.safetensors")
    for arguments, message in (
        (
            ("export", image_tokenizer, tmp_path / "onnx"),
            "export to ONNX takes models of FsqAutoencoder",
        ),
        (("profile", tiny, "--size", "8"), "is a Diffuser, which neither encodes nor decodes"),
        (("tokens", tmp_path / "a.png", "--weights", image_tokenizer), "not of FsqAutoencoder"),
    ):
        smalti.save(make_picture(3, 8, 8), tmp_path / "a.png")
        code, printed, errors = run(monkeypatch, capsys, *arguments)
        assert code == 1
        assert message in (printed + errors).replace("\n", " ")
    from smalti.export.diffusers import AutoencoderSmalti

    with pytest.raises(OptionError, match=r"the adapter for diffusers takes .* not of Resampler"):
        AutoencoderSmalti.from_pretrained(image_tokenizer)


def test_a_resampler_is_profiled_at_any_size(monkeypatch, capsys, tiny):
    image_tokenizer = tiny.with_name("image_tokenizer.safetensors")
    code, printed, _ = run(
        monkeypatch, capsys, "profile", image_tokenizer, "--size", "9", "--runs", "1"
    )
    assert code == 0
    assert "decode" in printed


@pytest.mark.parametrize(("grid", "size"), [((4, 4), (32, 32)), ((8, 8), (20, 36))])
def test_bundled_digits_are_those_asked_for(grid, size):
    """The language model that names digits knows nothing of these models."""
    from smalti.artist.canvas import seen
    from smalti.artist.language_model import ImageLanguageModel

    labels = torch.arange(10).repeat(2)
    diffuser = models.load_shared(Diffuser, "r2id-mnist")
    resampler = models.load_shared(Resampler, diffuser.config.autoencoder)
    z = sample(diffuser, labels, grid, seed=5)
    x = to_pictures(resampler.decode(z, size, fit="contain"))
    shown = np.stack([seen(digit, 1, 32) for digit in x])
    named = ImageLanguageModel.from_pretrained("digits-lm").classify(shown).argmax(1)
    assert (named == labels.numpy()).mean() >= 0.8
