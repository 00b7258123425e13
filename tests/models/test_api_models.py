"""What happens around the codecs of trained models: sides, weights, limits, what torch is set to."""

import dataclasses

import numpy as np
import pytest
import torch

import smalti
from smalti import container, registry
from smalti.codecs.rgba_ae import RgbaAe
from smalti.entropy import encode_planes
from smalti.entropy.varint import write_varint, zigzag
from smalti.errors import FormatError, ImageError, WeightsError
from smalti.models.rgba import RgbaAutoencoder, RgbaConfig

from conftest import make_picture, make_tensor


def test_a_tensor_is_the_picture_that_it_holds():
    x = make_picture(3, 20, 30)
    assert smalti.encode(make_tensor(3, 20, 30)) == smalti.encode(x)


def test_models_refuse_sides_that_they_would_cut():
    model = smalti.load_model("fsq-1m")
    with pytest.raises(ImageError, match=r"multiples of 2, not \(1, 3, 33, 31\)"):
        model.encode(torch.zeros(1, 3, 33, 31))
    with pytest.raises(ImageError, match="takes B C H W"):
        model.encode(torch.zeros(3, 32, 32))


def test_a_codec_that_holds_the_whole_picture_has_a_limit_of_its_own():
    limit = registry.codec_class("fsq").max_texels
    wide = np.zeros((17, limit // 16, 3), np.uint8)
    with pytest.raises(ImageError, match="holds the whole picture in memory when it encodes"):
        smalti.encode(wide, "fsq")
    held = container.read(smalti.encode(wide[:2, :2], "fsq"))
    side = 4098
    tiny = encode_planes(np.zeros((5, side // 2, side // 2), np.int64), (8, 8, 8, 6, 5))
    bomb = dataclasses.replace(held, height=side, width=side, sections=(tiny,))
    with pytest.raises(FormatError, match="takes at most 16,777,216"):
        smalti.decode(container.write(bomb))


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
