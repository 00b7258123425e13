"""The patch-ae codec: its dial, its steps, any size, windows."""

from pathlib import Path

import numpy as np
import pytest

import smalti
from smalti.codec import Size, Window
from smalti.codecs.patch_ae import PatchAe
from smalti.entropy.varint import read_varint, unzigzag
from smalti.errors import OptionError, WeightsError
from smalti.eval.metrics import psnr
from smalti.models.patch.model import PatchAutoencoder, PatchConfig
from smalti.models.pictures import to_picture, to_tensor

from conftest import GOLDEN, make_picture

TINY = f"weights={GOLDEN / 'patch-ae.safetensors'}"


@pytest.fixture(scope="module")
def photograph():
    from smalti.files import BUNDLED_PICTURES

    return smalti.load(BUNDLED_PICTURES / "plant.png")[:128, :192, :3]


def test_the_dial_trades_bytes_for_quality(photograph):
    sizes, qualities = [], []
    for step in (16, 8, 4, 2, 1):
        data = smalti.encode(photograph, f"patch-ae:step={step}")
        sizes.append(len(data))
        qualities.append(psnr(photograph, smalti.decode(data)))
    assert sizes == sorted(sizes)
    assert qualities == sorted(qualities)
    assert sizes[-1] > 2 * sizes[0]


def test_a_step_is_what_rounding_does_to_the_picture(photograph):
    """The rounding of 16 channels, each by up to half a step, changes the picture by about the
    root of 16 / 12 steps; it is measured against the picture without rounding."""
    model = smalti.load_model("patch-f8c16").requires_grad_(False)
    exact = to_picture(model(to_tensor(photograph)))
    x_hat = smalti.decode(smalti.encode(photograph, "patch-ae:step=1"), dtype=np.float32)
    change = 255 * np.sqrt(np.square(x_hat - exact).mean())
    assert change == pytest.approx((16 / 12) ** 0.5, rel=0.35)


def test_channels_have_steps_of_their_own(tmp_path):
    """The same autoencoder, one channel of its latent 4 times as large: a step 4 times as large."""
    model = PatchAutoencoder.from_pretrained(GOLDEN / "patch-ae.safetensors").requires_grad_(False)
    before = step_exponents(model, tmp_path / "before.safetensors")
    out = model.encoder[0].out.model[2]
    out.weight[1] *= 4
    out.bias[1] *= 4
    model.decoder[0].conv_in.model[0].weight[:, 1] /= 4
    after = step_exponents(model, tmp_path / "after.safetensors")
    assert after[1] - before[1] == pytest.approx(16, abs=2)  # of 1/8 powers of two
    assert after[0] - before[0] == pytest.approx(0, abs=2)


def step_exponents(model: PatchAutoencoder, file: Path) -> list[int]:
    model.save_pretrained(file)
    codec = PatchAe(weights=str(file))
    data, offset, found = codec.encode(make_picture(3, 80, 96), codec.Options())[0], 0, []
    for _ in range(model.config.latent_channels):
        numbers = []
        for _ in range(3):
            number, offset = read_varint(data, offset)
            numbers.append(number)
        found.append(unzigzag(numbers[0]))
    return found


@pytest.mark.parametrize(("top", "left", "height", "width"), [(0, 0, 9, 9), (37, 50, 20, 61)])
def test_a_window_draws_only_its_cells(top, left, height, width):
    x = make_picture(3, 150, 170)
    codec = PatchAe(weights=str(GOLDEN / "patch-ae.safetensors"))
    sections = codec.encode(x, codec.Options())
    size = Size(3, 150, 170)
    whole = codec.decode(sections, size)
    part = codec.decode_window(sections, size, Window(top, left, height, width))
    expected = whole[top : top + height, left : left + width]
    assert part.shape == expected.shape
    assert np.abs(part - expected).max() < 1e-5


def test_a_picture_larger_than_a_tile():
    x = make_picture(3, 530, 1070)
    data = smalti.encode(x, f"patch-ae:{TINY}")
    assert smalti.decode(data, weights=GOLDEN / "patch-ae.safetensors").shape == x.shape


def test_a_flat_picture_is_a_few_bytes():
    data = smalti.encode(np.full((64, 64, 3), 0.5, np.float32), "patch-ae")
    assert len(data) < 160
    assert np.abs(smalti.decode(data, dtype=np.float32) - 0.5).max() < 0.05


def test_wrong_steps_and_weights_of_no_pictures_are_refused(tmp_path):
    with pytest.raises(OptionError, match=r"step 0; it must lie in 0\.01 \.\. 1000"):
        smalti.encode(make_picture(3, 8, 8), "patch-ae:step=0")
    second_stage = PatchConfig(channels=4, latent_channels=4, width=16, features=8, blocks=1)
    PatchAutoencoder(second_stage).save_pretrained(tmp_path / "second.safetensors")
    with pytest.raises(WeightsError, match="weights for 4 channels"):
        smalti.encode(make_picture(3, 8, 8), f"patch-ae:weights={tmp_path / 'second.safetensors'}")
