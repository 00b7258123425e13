import math

import numpy as np
import pytest

from smalti.codec import Size, with_settings
from smalti.errors import FormatError, ImageError, OptionError
from smalti.eval.baselines import BASELINES
from smalti.eval.metrics import psnr
from smalti.settings import fields, split

WITH_ALPHA = [name for name, cls in BASELINES.items() if 4 in cls.channels]


def picture(channels: int, height: int, width: int) -> np.ndarray:
    """Waves, H W C uint8; alpha, where there is any, falls from left to right."""
    y, x = np.mgrid[:height, :width]
    planes = [0.5 + 0.4 * np.sin(x / (3 + c) + y / (5 - c) + c) for c in range(channels)]
    if channels in (2, 4):
        planes[-1] = np.tile(np.linspace(1, 0, width), (height, 1))
    return np.rint(np.stack(planes, 2) * 255).astype(np.uint8)


def size_of(x: np.ndarray) -> Size:
    return Size(x.shape[2], *x.shape[:2])


def round_trip(text: str, x: np.ndarray) -> tuple[bytes, np.ndarray]:
    name, _, settings = text.partition(":")
    codec, options = with_settings(BASELINES[name], fields(settings))
    sections = codec.encode(x, codec.Options(**options))
    assert len(sections) == 1
    return sections[0], codec.decode(sections, size_of(x))


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (40, 33)])
@pytest.mark.parametrize("name", BASELINES)
def test_every_size_and_channel_count_comes_back(name, size):
    for channels in BASELINES[name].channels:
        x = picture(channels, *size)
        _, x_hat = round_trip(name, x)
        assert x_hat.shape == x.shape
        assert x_hat.dtype == np.uint8
        assert psnr(x, x_hat) > 20


@pytest.mark.parametrize("text", ["png", "jxl:quality=100"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_lossless_ones_are_exact(text, channels):
    x = picture(channels, 24, 31)
    assert psnr(x, round_trip(text, x)[1]) == math.inf


@pytest.mark.parametrize("name", [name for name in BASELINES if name != "png"])
def test_quality_orders_bytes_and_psnr(name):
    noise = np.random.default_rng(0).normal(0, 0.05 * 255, (64, 64, 3))
    x = (picture(3, 64, 64) + noise).clip(0, 255).astype(np.uint8)
    low, high = (round_trip(f"{name}:quality={q}", x) for q in (10, 90))
    assert len(low[0]) < len(high[0])
    assert psnr(x, low[1]) + 3 < psnr(x, high[1])


@pytest.mark.parametrize("name", ["jpeg", "avif"])
def test_full_chroma_is_better_on_coloured_edges(name):
    x = np.zeros((32, 32, 3), np.uint8)
    x[:, ::2, 0] = 255
    x[:, 1::2, 2] = 255
    half, full = (round_trip(f"{name}:quality=90,subsampling={s}", x) for s in ("4:2:0", "4:4:4"))
    assert psnr(x, half[1]) + 5 < psnr(x, full[1])


@pytest.mark.parametrize("name", WITH_ALPHA)
@pytest.mark.parametrize("channels", [2, 4])
def test_alpha_is_kept(name, channels):
    x = picture(channels, 32, 48)
    _, x_hat = round_trip(name, x)
    assert np.abs(x_hat[..., -1].astype(int) - x[..., -1]).max() < 26


def test_jpeg_takes_no_alpha():
    assert BASELINES["jpeg"].channels == (1, 3)
    with pytest.raises(ImageError, match="JPEG cannot hold 8 x 8 texels in RGBA"):
        round_trip("jpeg", picture(4, 8, 8))


@pytest.mark.parametrize("name", BASELINES)
def test_other_bytes_are_no_file(name):
    codec, size = BASELINES[name](), Size(3, 16, 16)
    data = codec.encode(picture(*size), codec.Options())[0]
    for wrong in (b"", data[: len(data) // 2], b"\0" * 50):
        with pytest.raises(FormatError, match=codec.title):
            codec.decode([wrong], size)
    with pytest.raises(FormatError, match="16 x 16 texels; expected 16 x 17"):
        codec.decode([data], size._replace(height=17))
    with pytest.raises(FormatError, match="2 sections"):
        codec.decode([data, data], size)


@pytest.mark.parametrize("name", BASELINES)
def test_usual_settings_exist(name):
    cls = BASELINES[name]
    for text in cls.settings:
        assert text.partition(":")[0] == cls.name == name
        with_settings(cls, split(text)[1])


@pytest.mark.parametrize(
    "text",
    [
        "jpeg:quality=0",
        "webp:quality=101",
        "avif:speed=11",
        "avif:tune=eye",
        "jxl:effort=0",
        "jpeg:subsampling=420",
    ],
)
def test_settings_out_of_range_are_refused(text):
    name, _, settings = text.partition(":")
    with pytest.raises(OptionError, match=f"^{name}: "):
        with_settings(BASELINES[name], fields(settings))
