"""What happens around every codec: limits, devices, settings, weights, other channel counts."""

import dataclasses

import numpy as np
import pytest
import torch

import smalti
from smalti import container, registry
from smalti.codecs.latent_texture import LatentTexture
from smalti.codecs.rgba_ae import RgbaAe
from smalti.entropy import encode_planes
from smalti.entropy.varint import write_varint, zigzag
from smalti.errors import FormatError, ImageError, OptionError, WeightsError
from smalti.models.rgba import RgbaAutoencoder, RgbaConfig

from conftest import make_picture


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (np.zeros((3, 4, 4), np.float32), "a tensor, not ndarray; see smalti.load"),
        ("a.png", "a tensor, not str; see smalti.load"),
        (torch.zeros(3, 4, 4, dtype=torch.uint8), "torch.uint8"),
        (torch.zeros(4, 4, 3, 3), "C H W"),
        (torch.zeros(5, 4, 4), "1 to 4 channels"),
        (torch.zeros(3, 0, 4), "C H W"),
        (torch.full((3, 4, 4), 1.5), r"lie in \[0, 1\], not 1.5"),
        (torch.full((3, 4, 4), torch.nan), "nan"),
        (torch.zeros(1, 1, 2**20 + 1), "at most 1048576"),
    ],
)
def test_what_is_no_picture(image, sentence):
    with pytest.raises(ImageError, match=sentence):
        smalti.encode(image)


@pytest.mark.parametrize("data", ["a.smt", None, bytearray(b"smt")])
def test_what_is_no_file(data):
    with pytest.raises(smalti.SmaltiError, match="content is bytes, not"):
        smalti.decode(data)


def test_models_refuse_sides_that_they_would_cut():
    model = smalti.load_model("fsq-1m")
    with pytest.raises(ImageError, match=r"multiples of 2, not \(1, 3, 33, 31\)"):
        model.encode(torch.zeros(1, 3, 33, 31))
    with pytest.raises(ImageError, match="takes B C H W"):
        model.encode(torch.zeros(3, 32, 32))


def test_a_codec_that_holds_the_whole_picture_has_a_limit_of_its_own():
    limit = registry.codec_class("fsq").max_texels
    wide = torch.zeros(1).expand(3, 17, limit // 16)
    with pytest.raises(ImageError, match="holds the whole picture in memory and takes at most"):
        smalti.encode(wide, "fsq")
    held = container.read(smalti.encode(wide[:, :2, :2], "fsq"))
    side = 4098
    tiny = encode_planes(np.zeros((5, side // 2, side // 2), np.int64), (8, 8, 8, 6, 5))
    bomb = dataclasses.replace(held, height=side, width=side, sections=(tiny,))
    with pytest.raises(FormatError, match="takes at most 16,777,216"):
        smalti.decode(container.write(bomb))


def test_an_argument_wins_over_the_string():
    x = make_picture(3, 16, 16)
    settings = "latent-texture:steps=2,seed=1,effort=best"
    assert smalti.encode(x, settings, seed=2) == smalti.encode(x, "latent-texture:steps=2,seed=2")
    assert smalti.encode(x, settings) != smalti.encode(x, settings, seed=2)
    with pytest.raises(OptionError, match="toaster"):
        smalti.encode(x, "latent-texture:device=toaster")


def test_an_unwanted_file_format_is_refused_before_the_work():
    with pytest.raises(OptionError, match=r"latent-texture writes \.smt files, no \.dds"):
        smalti.encode(make_picture(3, 16, 16), "latent-texture:steps=1000000", suffix=".dds")


def test_fitting_works_whatever_gradients_the_caller_switched_off():
    x = make_picture(4, 1, 1)
    expected = smalti.encode(x, "latent-texture:steps=3")
    for context in (torch.no_grad(), torch.inference_mode()):
        with context:
            assert smalti.encode(x.clone(), "latent-texture:steps=3") == expected


def test_weights_of_ones_own_by_name(tmp_path):
    file = tmp_path / "mine.safetensors"
    RgbaAutoencoder(RgbaConfig(width=8)).save_pretrained(file)
    data = smalti.encode(make_picture(4, 20, 20), RgbaAe(weights=str(file)))
    held = smalti.info(data)  # needs no weights
    assert held.weights == held.config.weights
    with pytest.raises(WeightsError, match="--weights"):
        smalti.decode(data)
    assert smalti.decode(data, weights=file).shape == (4, 20, 20)


def test_the_widest_range_of_latents_and_one_level_more():
    held = container.read(smalti.encode(make_picture(4, 16, 16), "rgba-ae"))
    for count in (65_536, 65_537):
        ranges = (write_varint(zigzag(-(2**15))) + write_varint(count)) * 4
        planes = encode_planes(np.full((4, 1, 1), 2**15), [65_536] * 4)
        data = container.write(dataclasses.replace(held, sections=(ranges + planes,)))
        if count == 65_536:
            assert smalti.decode(data).shape == (4, 16, 16)
        else:
            with pytest.raises(FormatError, match=r"-32768 \.\. 32768; they lie in"):
                smalti.decode(data)


def test_a_forged_network_draws_finite_texels():
    """Weights and grids at the ends of what a file may hold: no NaN behind them."""
    x = make_picture(3, 16, 16)
    codec = LatentTexture(lo_channels=2, hi_channels=1, hidden=8)
    network, lo, hi = codec.encode(x, codec.Options(steps=1))
    network = np.full(len(network) // 2, 60_000, "<f2").tobytes()
    lo = np.array([-65536, -65536, 65536, 65536], "<f4").tobytes() + lo[16:]
    data = smalti.encode(x, codec)
    forged = dataclasses.replace(container.read(data), sections=(network, lo, hi))
    x_hat = smalti.decode(container.write(forged))
    assert x_hat.isfinite().all()


@pytest.mark.parametrize("codec", ["bc7", "rgba-ae", "fsq"])
def test_grey_stays_grey_and_alpha_stays_where_it_was(codec):
    x = make_picture(2, 20, 30)
    x_hat = smalti.decode(smalti.encode(x, codec))
    assert x_hat.shape == x.shape
    assert (x_hat[1] - x[1]).abs().mean() < 0.1
    if codec == "fsq":
        assert torch.equal(x_hat[1], x[1])  # a lossless plane of its own
