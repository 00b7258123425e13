"""What happens around every codec: limits, devices, settings, weights, other channel counts."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import smalti
from smalti import container, registry
from smalti.codec import TrainedCodec
from smalti.codecs.latent_texture import LatentTexture
from smalti.codecs.rgba_ae import RgbaAe
from smalti.entropy import encode_planes
from smalti.entropy.varint import write_varint, zigzag
from smalti.errors import FormatError, ImageError, OptionError, WeightsError
from smalti.image import to_depth
from smalti.models.rgba import RgbaAutoencoder, RgbaConfig

from conftest import make_picture, make_tensor


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (None, "a path, a Pillow image or a torch tensor, not NoneType"),
        ("a.png", "a.png: no such file"),
        (np.zeros((4, 4, 3, 3), np.uint8), "a batch of 4"),
        (np.zeros((9, 9, 5), np.uint8), "1 to 4 channels"),
        (np.full((4, 4, 3), 1.5), r"lie in \[0, 1\], not 1.5"),
        (np.full((4, 4, 3), np.nan), "NaN"),
        (np.zeros((1, 2**20 + 1), np.uint8), "at most 1048576"),
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
    wide = np.zeros((17, limit // 16, 3), np.uint8)
    with pytest.raises(ImageError, match="holds the whole picture in memory and takes at most"):
        smalti.encode(wide, "fsq")
    held = container.read(smalti.encode(wide[:2, :2], "fsq"))
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
            assert smalti.encode(x, "latent-texture:steps=3") == expected


def test_weights_of_ones_own_by_name(tmp_path):
    file = tmp_path / "mine.safetensors"
    RgbaAutoencoder(RgbaConfig(width=8)).save_pretrained(file)
    data = smalti.encode(make_picture(4, 20, 20), RgbaAe(weights=str(file)))
    held = smalti.info(data)  # needs no weights
    assert held.weights == held.config.weights
    with pytest.raises(WeightsError, match="--weights"):
        smalti.decode(data)
    assert smalti.decode(data, weights=file).shape == (20, 20, 4)


def test_the_widest_range_of_latents_and_one_level_more():
    held = container.read(smalti.encode(make_picture(4, 16, 16), "rgba-ae"))
    for count in (65_536, 65_537):
        ranges = (write_varint(zigzag(-(2**15))) + write_varint(count)) * 4
        planes = encode_planes(np.full((4, 1, 1), 2**15), [65_536] * 4)
        data = container.write(dataclasses.replace(held, sections=(ranges + planes,)))
        if count == 65_536:
            assert smalti.decode(data).shape == (16, 16, 4)
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
    x_hat = smalti.decode(container.write(forged), dtype=np.float32)
    assert np.isfinite(x_hat).all()


@pytest.mark.parametrize("codec", ["bc7", "rgba-ae", "fsq"])
def test_grey_stays_grey_and_alpha_stays_where_it_was(codec):
    x = make_picture(2, 20, 30)
    x_hat = smalti.decode(smalti.encode(x, codec))
    assert x_hat.shape == x.shape
    assert np.abs(x_hat[..., 1].astype(int) - x[..., 1]).mean() < 25
    if codec == "fsq":
        assert np.array_equal(x_hat[..., 1], x[..., 1])  # a lossless plane of its own


def test_whatever_holds_the_picture_the_file_is_the_same(tmp_path):
    x = make_picture(3, 20, 30)
    path = tmp_path / "a.png"
    smalti.save(x, path)
    data = smalti.encode(x)
    planes = make_tensor(3, 20, 30)
    for given in (path, str(path), Image.open(path), x / 255, x.astype(np.uint16) * 257, planes):
        assert smalti.encode(given) == data


@pytest.mark.parametrize("codec", ["bc7", "fsq"])
def test_a_decoded_picture_has_the_depth_that_is_asked_for(codec):
    data = smalti.encode(make_picture(4, 20, 30), codec)
    floats = smalti.decode(data, dtype=np.float32)
    for dtype in (np.uint8, np.uint16):
        x_hat = smalti.decode(data, dtype=dtype)
        assert x_hat.dtype == dtype
        assert np.array_equal(x_hat, to_depth(floats, dtype))
    with pytest.raises(OptionError, match="dtype float64"):
        smalti.decode(data, dtype=np.float64)


def test_grey_has_two_axes():
    data = smalti.encode(make_picture(1, 20, 30))
    assert smalti.decode(data).shape == (20, 30)
    assert smalti.decode(data, window=(2, 3, 4, 5)).shape == (4, 5)


@pytest.mark.parametrize("device", ["toaster", "meta"])
def test_a_device_that_is_none(device):
    data = smalti.encode(make_picture(3, 8, 8))
    with pytest.raises(OptionError, match=f"device '{device}' cannot be used here, use cpu"):
        smalti.decode(data, device=device)


def test_without_torch_everything_but_trained_codecs_works():
    """In a process of its own, in which importing torch fails as where it is not installed."""
    code = """
import sys
class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "safetensors", "jaxtyping", "huggingface_hub"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, NoTorch())
import numpy as np
import smalti
for codec in smalti.list_codecs():
    if codec.extra:
        assert not codec.installed
        for what in (
            lambda: smalti.encode(np.zeros((8, 8, 3), np.uint8), codec.name),
            lambda: smalti.load_model("fsq-1m"),
            lambda: smalti.encode(np.zeros((8, 8, 3), np.uint8), "bc7", device="cuda"),
        ):
            try:
                what()
            except smalti.SmaltiError as error:
                assert str(error).endswith("torch, which is not installed: pip install 'smalti[models]'")
                print(codec.name)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    trained = [n for n in registry.CODECS if issubclass(registry.codec_class(n), TrainedCodec)]
    assert done.stdout.split() == [name for name in trained for _ in range(3)]
