"""The trained models as a researcher uses them."""

import pytest
import torch
from torch import nn

import smalti
from smalti import weights
from smalti.errors import ImageError, OptionError, WeightsError
from smalti.files import BUNDLED_PICTURES
from smalti.models.fsq import FsqAutoencoder, FsqConfig
from smalti.models.layers import fsq
from smalti.models.pictures import to_tensor
from smalti.models.rgba import RgbaAutoencoder, RgbaConfig

LEVELS = (8, 8, 8, 6, 5)


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_parameter_counts_are_the_published_ones():
    assert count(FsqAutoencoder()) == 1_063_304
    assert count(RgbaAutoencoder()) == 493_876


def test_fsq_index_is_a_bijection_over_all_15360_codes():
    index = torch.arange(15_360).view(1, 96, 160)
    digits = fsq.from_index(index, LEVELS)
    assert torch.equal(fsq.to_index(digits, LEVELS), index)
    assert len(torch.unique(digits.flatten(2), dim=2)[0].T) == 15_360
    for d, levels in enumerate(LEVELS):
        assert (int(digits[:, d].min()), int(digits[:, d].max())) == (0, levels - 1)
    with pytest.raises(ValueError, match=r"codebook 0 \.\. 15359"):
        fsq.from_index(torch.tensor([[15_360]]), LEVELS)


def test_fsq_reaches_every_level_and_none_beyond():
    z = torch.linspace(-9, 9, 2001).repeat(1, 5, 1)
    digits = fsq.to_digits(z, LEVELS)
    for d, levels in enumerate(LEVELS):
        assert digits[0, d].unique().tolist() == list(range(levels))
        assert (digits[0, d].diff() >= 0).all()


def test_fsq_decoder_sees_the_same_values_in_training_and_from_tokens():
    z = torch.randn(2, 5, 7, 9, generator=torch.Generator().manual_seed(0))
    digits = fsq.to_digits(z, LEVELS)
    assert torch.equal(fsq.quantize(z, LEVELS), fsq.dequantize(digits, LEVELS))


def test_fsq_gradient_passes_the_rounding():
    z = torch.zeros(1, 5, 1, 1, requires_grad=True)
    fsq.quantize(z, LEVELS).sum().backward()
    assert (z.grad > 0).all()


def test_fsq_quantises_in_float32_whatever_it_gets():
    z = torch.randn(1, 5, 8, 8, generator=torch.Generator().manual_seed(0)).bfloat16()
    assert fsq.quantize(z, LEVELS).dtype == torch.float32
    assert torch.equal(fsq.to_digits(z, LEVELS), fsq.to_digits(z.float(), LEVELS))


@pytest.mark.parametrize("size", [(2, 2), (6, 10), (96, 96)])
def test_fsq_model_any_even_size(size):
    model = FsqAutoencoder(FsqConfig(width=8, blocks=1))
    x = torch.rand(2, 3, *size) * 2 - 1
    tokens = model.encode(x)
    assert tokens.shape == (2, size[0] // 2, size[1] // 2)
    assert torch.allclose(model.decode(tokens), model(x), atol=1e-5)


def test_rgba_model_loads_the_originals_state_dict():
    """The original is a plain Sequential; its keys are written out here independently."""
    plan = {0: (4, 32), 2: (32, 64), 4: (64, 128), 6: (128, 256)}
    state = {}
    for i, (n_in, n_out) in plan.items():
        state[f"encoder.{i}.weight"] = torch.randn(n_out, n_in, 3, 3) * 0.1
        state[f"encoder.{i}.bias"] = torch.randn(n_out) * 0.1
    state["encoder.8.weight"], state["encoder.8.bias"] = torch.randn(4, 256, 1, 1), torch.randn(4)
    for i, (n_in, n_out) in {0: (4, 256), 3: (64, 128), 6: (32, 64), 9: (16, 16)}.items():
        state[f"decoder.{i}.weight"] = torch.randn(n_out, n_in, 3, 3) * 0.1
        state[f"decoder.{i}.bias"] = torch.randn(n_out) * 0.1
    model = RgbaAutoencoder()
    model.load_state_dict(state)

    x = y = torch.rand(1, 4, 32, 48)
    for i in (0, 2, 4, 6):
        y = nn.functional.conv2d(
            y, state[f"encoder.{i}.weight"], state[f"encoder.{i}.bias"], stride=2, padding=1
        )
        y = torch.where(y > 0, y, 0.2 * y)
    y = nn.functional.conv2d(y, state["encoder.8.weight"], state["encoder.8.bias"])
    assert torch.allclose(model.encode_unit(x), y, atol=1e-5)
    assert torch.allclose(model.encode(2 * x - 1), y, atol=1e-4)
    for i in (0, 3, 6, 9):
        y = nn.functional.conv2d(
            y, state[f"decoder.{i}.weight"], state[f"decoder.{i}.bias"], padding=1
        )
        y = nn.functional.pixel_shuffle(y, 2)
        y = torch.where(y > 0, y, 0.2 * y) if i < 9 else torch.sigmoid(y)
    assert torch.allclose(model.decode_unit(model.encode_unit(x)), y, atol=1e-5)
    assert torch.allclose(model(2 * x - 1), 2 * y - 1, atol=1e-4)


@pytest.mark.parametrize("name", ["fsq-1m", "rgba-boxes", "patch-f8c16", "r2ir-photos"])
def test_every_model_takes_pictures_in_one_range_and_refuses_others(name):
    """The bundled ones on a picture: right in [-1, 1], clearly worse in [0, 1], refused beyond."""
    model = smalti.load_model(name)
    assert not any(parameter.requires_grad for parameter in model.parameters())
    x = to_tensor(smalti.load(BUNDLED_PICTURES / "cat.png")[:96, :96, :3])
    if model.channels == 4:
        x = torch.cat([x, torch.ones_like(x[:, :1])], 1)
    sizes = ((96, 96),) if name.startswith("r2ir") else ()

    def error(pictures: torch.Tensor) -> float:
        return float((model.decode(model.encode(pictures), *sizes) - pictures).square().mean())

    assert error(x) < 0.06
    for wrong in (x * 127.5 + 127.5, (x * 127.5 + 127.5).to(torch.uint8)):
        with pytest.raises(ImageError, match=r"models take pictures in \[-1, 1\]; this one is"):
            model.encode(wrong)


def test_tokens_in_one_row_are_decoded_with_their_size():
    model = FsqAutoencoder(FsqConfig(width=8, blocks=1)).eval()
    tokens = torch.arange(12)
    expected = model.decode(tokens.view(1, 3, 4))
    for flat in (tokens, tokens.view(1, 12)):
        assert torch.equal(model.decode(flat, size=(3, 4)), expected)
    with pytest.raises(OptionError, match=r"12 tokens in one row; say how many rows and columns"):
        model.decode(tokens)
    with pytest.raises(OptionError, match=r"tokens of shape \(12,\) are not 3 x 5 in one row"):
        model.decode(tokens, size=(3, 5))


def test_save_and_load(tmp_path):
    model = RgbaAutoencoder(RgbaConfig(latent_channels=2, width=8)).eval()
    model.save_pretrained(tmp_path / "mine.safetensors", dtype=torch.float32)
    loaded = smalti.load_model(str(tmp_path / "mine.safetensors"))
    x = torch.rand(1, 4, 16, 16)
    assert loaded.config == model.config
    assert torch.equal(loaded(x), model(x))
    with pytest.raises(WeightsError, match="holds weights of RgbaAutoencoder"):
        FsqAutoencoder.from_pretrained(tmp_path / "mine.safetensors")


def test_missing_or_damaged_weights_are_one_sentence(tmp_path):
    with pytest.raises(WeightsError, match="bundled sets"):
        smalti.load_model("no-such")
    (tmp_path / "bad.safetensors").write_bytes(b"not a safetensors file")
    with pytest.raises(WeightsError, match=r"bad\.safetensors is no readable"):
        smalti.load_model(str(tmp_path / "bad.safetensors"))


@pytest.mark.parametrize("name", weights.bundled())
def test_bundled_weights_have_a_card_and_are_small(name):
    path = weights.bundled()[name]
    assert path.stat().st_size < 30e6
    assert path.with_suffix(".md").read_text().count("\n") > 10
    assert {p.dtype for p in weights.read(path)[1].values()} == {torch.float16}


def test_a_file_finds_its_weights_in_a_folder_of_the_users(tmp_path, monkeypatch, picture):
    model = RgbaAutoencoder(RgbaConfig(latent_channels=2, width=8))
    (tmp_path / "sets").mkdir()
    file = tmp_path / "sets" / "mine.safetensors"
    model.save_pretrained(file)
    data = smalti.encode(picture(4, 20, 20), f"rgba-ae:weights={file}")
    with pytest.raises(WeightsError, match="SMALTI_WEIGHTS"):
        smalti.decode(data)
    monkeypatch.setenv("SMALTI_WEIGHTS", str(tmp_path / "sets"))
    assert smalti.decode(data).shape == (20, 20, 4)
