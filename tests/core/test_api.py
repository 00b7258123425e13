"""What happens around every codec: limits, devices, settings, other channel counts."""

import dataclasses
import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import smalti
from smalti import container, material
from smalti.codecs.latent_texture import LatentTexture
from smalti.errors import FormatError, ImageError, OptionError
from smalti.image import to_depth
from smalti.textures import encode_texture, read_texture

from conftest import NEEDS_TORCH, make_picture


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (None, "a path, a Pillow image or a torch tensor, not NoneType"),
        ("a.png", "a.png: no such file"),
        (np.zeros((4, 4, 3, 3), np.uint8), "a batch of 4: hand them over one by one, in a loop"),
        ([np.zeros((4, 4, 3), np.uint8)] * 2, "a list of 2: hand its pictures over one by one"),
        (np.zeros((9, 9, 5), np.uint8), "1 to 4 channels"),
        (np.full((4, 4, 3), 1.5), r"lie in \[0, 1\], not 1.5"),
        (np.full((4, 4, 3), np.nan), "NaN"),
        (np.zeros((1, 2**20 + 1), np.uint8), "at most 1048576"),
    ],
)
def test_what_is_no_picture(image, sentence):
    with pytest.raises(ImageError, match=sentence):
        smalti.encode(image)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ("a.smt", r"a\.smt: no such file"),
        (None, "a file is its bytes, a path or a binary file object, not NoneType"),
        (io.StringIO("smt"), "a path or a binary file object, not StringIO"),
        (bytearray(b"smt"), "truncated: 3 bytes"),
    ],
)
def test_what_is_no_file(data, sentence):
    for take in (smalti.decode, smalti.info, material.open_material):
        with pytest.raises(FormatError, match=sentence):
            take(data)


def test_a_file_is_bytes_a_path_or_a_file_object(tmp_path):
    data = smalti.encode(make_picture(3, 8, 12), "bc7:effort=ultrafast")
    path = tmp_path / "a.smt"
    path.write_bytes(data)
    expected = smalti.decode(data)
    with path.open("rb") as file:
        for source in (bytearray(data), memoryview(data), path, str(path), file):
            np.testing.assert_array_equal(smalti.decode(source), expected)
    assert smalti.info(path) == smalti.info(data)
    assert smalti.metrics(expected, memoryview(data)).psnr == np.inf
    texture = smalti.encode(make_picture(3, 8, 8), suffix=".dds")
    path.with_suffix(".dds").write_bytes(texture)
    assert read_texture(path.with_suffix(".dds")) == read_texture(bytearray(texture))
    smalti.save(expected, path.with_suffix(".png"))
    png = path.with_suffix(".png").read_bytes()
    for source in (png, bytearray(png), memoryview(png), io.BytesIO(png)):
        np.testing.assert_array_equal(smalti.load(source), expected)


def test_windows_and_sizes_as_the_command_writes_them():
    data = smalti.encode(make_picture(3, 20, 30), "bc7:effort=ultrafast")
    np.testing.assert_array_equal(
        smalti.decode(data, window="8x4+2+3"), smalti.decode(data, window=(3, 2, 4, 8))
    )
    drawn = smalti.encode(make_picture(3, 20, 30), "neural-texture:steps=1")
    assert smalti.decode(drawn, size="15x10").shape == (10, 15, 3)
    for window in ("8x4", (1, 2, 3), (0, 0, 1.5, 2)):
        with pytest.raises(OptionError, match="window "):
            smalti.decode(data, window=window)


@NEEDS_TORCH
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pictures_come_out_as_other_libraries_have_them(tmp_path, channels):
    import torch

    x = make_picture(channels, 8, 12)
    smalti.save(x, tmp_path / "a.png")
    data = smalti.encode(x, "bc7:effort=ultrafast")
    for take, source in ((smalti.load, tmp_path / "a.png"), (smalti.decode, data)):
        expected = take(source)
        shown = take(source, output="pil")
        assert isinstance(shown, Image.Image)
        np.testing.assert_array_equal(np.asarray(shown), expected)
        tensor = take(source, output="torch")
        assert isinstance(tensor, torch.Tensor)
        assert tensor.shape == (channels, 8, 12)
        np.testing.assert_array_equal(smalti.metrics(expected, tensor).largest, 0)
        with pytest.raises(OptionError, match="unknown output 'pill'; is pil meant"):
            take(source, output="pill")


def test_what_is_shown_of_a_texture_and_a_material():
    x = make_picture(3, 64, 64)
    texture = encode_texture([x], effort="ultrafast")
    assert repr(texture) == "Texture(bc7 sRGB, 64 x 64, 7 levels, 5,488 bytes)"
    shown = smalti.load(texture._repr_png_())
    assert shown.shape == (64, 64, 4)
    maps = {"albedo": x, "normal": x[..., :2], "ao": x[..., 0]}
    held = material.fit_material(maps, bpp=30, rounds=1)
    assert repr(held).startswith("Material(albedo RGB, normal grey + alpha, ao grey; 64 x 64, ")
    assert smalti.load(held._repr_png_()).shape == (64, 192, 3)


def test_an_argument_wins_over_the_string():
    x = make_picture(3, 16, 16)
    settings = "latent-texture:steps=2,seed=1,effort=best"
    assert smalti.encode(x, settings, seed=2) == smalti.encode(x, "latent-texture:steps=2,seed=2")
    assert smalti.encode(x, settings) != smalti.encode(x, settings, seed=2)


def test_an_unwanted_file_format_is_refused_before_the_work():
    with pytest.raises(OptionError, match=r"latent-texture writes \.smt files, no \.dds"):
        smalti.encode(make_picture(3, 16, 16), "latent-texture:steps=1000000", suffix=".dds")


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


@pytest.mark.parametrize(
    "codec", ["bc7", *(pytest.param(name, marks=NEEDS_TORCH) for name in ("rgba-ae", "fsq"))]
)
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
    for given in (path, str(path), Image.open(path), x / 255, x.astype(np.uint16) * 257):
        assert smalti.encode(given) == data


@pytest.mark.parametrize("codec", ["bc7", pytest.param("fsq", marks=NEEDS_TORCH)])
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


@NEEDS_TORCH
@pytest.mark.parametrize("device", ["toaster", "meta"])
def test_a_device_that_is_none(device):
    with pytest.raises(OptionError, match=device):
        smalti.encode(make_picture(3, 8, 8), f"latent-texture:device={device}")
    data = smalti.encode(make_picture(3, 8, 8))
    with pytest.raises(OptionError, match=f"device '{device}' cannot be used here, use cpu"):
        smalti.decode(data, device=device)


def test_without_torch_everything_but_trained_codecs_works():
    """In a process of its own, in which importing torch fails as where it is not installed."""
    code = """
import sys
sys.modules.update(dict.fromkeys(("torch", "safetensors", "jaxtyping", "huggingface_hub")))
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
    trained = [codec.name for codec in smalti.list_codecs() if codec.extra]
    assert done.stdout.split() == [name for name in trained for _ in range(3)]
