"""What every codec of the registry must do, and none by name."""

import dataclasses
import struct
import zlib
from typing import get_type_hints

import numpy as np
import pytest
from PIL import Image

import smalti
from smalti import container, registry, weights
from smalti.api import resolve
from smalti.codec import Resizes, Samples, TrainedCodec, pack_config
from smalti.errors import FormatError, OptionError, SmaltiError, WeightsError
from smalti.image import to_uint8

from conftest import GOLDEN, codecs, make_picture

EFFORT = "ultrafast"


def quick(name):
    """The codec at its least effort; an optimisation takes ten steps."""
    has_steps = "steps" in registry.codec_class(name).Options.__dataclass_fields__
    return f"{name}:steps=10" if has_steps else name


@pytest.fixture(scope="module", params=codecs())
def name(request):
    return request.param


@pytest.fixture(scope="module")
def small(name):
    """One small RGBA file of each codec."""
    return smalti.encode(make_picture(4, 24, 40), quick(name), effort=EFFORT)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 7), (33, 50)])
def test_round_trip(name, channels, height, width):
    x = make_picture(channels, height, width)
    data = smalti.encode(x, quick(name), effort=EFFORT)
    x_hat = smalti.decode(data)
    assert x_hat.shape == x.shape
    assert x_hat.dtype == np.uint8
    floats = smalti.decode(data, dtype=np.float32)
    assert floats.dtype == np.float32
    assert 0 <= floats.min() <= floats.max() <= 1
    assert np.array_equal(to_uint8(floats), x_hat)


def test_a_large_picture(name):
    x = make_picture(3, 200, 301)
    x_hat = smalti.decode(smalti.encode(x, name, effort=EFFORT))
    assert x_hat.shape == x.shape
    assert np.square(x_hat / 255 - x / 255).mean() < 0.02  # it is this picture


def test_opaque_alpha_stays_opaque(name):
    x = make_picture(4, 24, 40)
    x[..., 3] = 255
    alpha = smalti.decode(smalti.encode(x, name, effort=EFFORT))[..., 3]
    lossy = not registry.codec_class(name).exact
    assert 255 - alpha.min() <= (96 if lossy else 0)  # a few texels beside hard edges
    assert 255 - alpha.mean() <= (8 if lossy else 0)


def test_the_file_says_what_it_holds(name, small):
    held = smalti.info(small)
    assert held.codec == name
    assert held.size == (4, 24, 40)
    assert held.total == len(small)
    assert held.bpp == 8 * len(small) / (24 * 40)
    assert sum(held.sections) < len(small)


def test_config_in_the_file_is_the_config_used(name):
    for spec in registry.codec_class(name).settings:
        codec, _ = resolve(spec)
        data = smalti.encode(make_picture(4, 16, 16), codec, effort=EFFORT)
        held = smalti.info(data).config
        wire = [f for f in codec.__dataclass_fields__ if f != "weights"]
        assert [getattr(held, f) for f in wire] == [getattr(codec, f) for f in wire]


def test_config_fields_have_a_default_and_a_type_of_the_format(name):
    cls = registry.codec_class(name)
    types = get_type_hints(cls)
    for field in dataclasses.fields(cls):
        if field.metadata.get("wire", True):
            assert field.default is not dataclasses.MISSING, field.name
            assert types[field.name] in (bool, int, float, tuple[int, ...]), field.name


def test_encoding_twice_gives_the_same_bytes(name, small):
    assert smalti.encode(make_picture(4, 24, 40), quick(name), effort=EFFORT) == small


def test_every_truncation_and_every_flipped_bit_is_a_format_error(small):
    for end in range(len(small)):
        with pytest.raises(FormatError):
            smalti.decode(small[:end])
    for bit in range(8 * len(small)):
        damaged = bytearray(small)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FormatError):
            smalti.decode(bytes(damaged))


def test_a_forged_file_decodes_or_is_refused(small):
    """Damage with a right checksum: never another exception, never another shape."""
    random = np.random.default_rng(0)
    for _ in range(60):
        body = bytearray(small[:-4])
        for _ in range(random.integers(1, 4)):
            body[random.integers(8, len(body))] = random.integers(256)
        if random.random() < 0.3:
            cut = random.integers(8, len(body))
            body = body[: int(cut)]
        struct.pack_into("<I", body, 4, len(body) + 4)
        forged = bytes(body) + struct.pack("<I", zlib.crc32(bytes(body)))
        try:
            x_hat = smalti.decode(forged, dtype=np.float32, max_pixels=2**16)
        except SmaltiError:
            continue
        assert x_hat.ndim == 2 or x_hat.shape[2] in (2, 3, 4)
        assert np.isfinite(x_hat).all()


@pytest.mark.parametrize("set_", weights.bundled())
def test_weights_of_another_codec_are_one_sentence(name, small, set_):
    file = weights.bundled()[set_]
    forged = dataclasses.replace(
        container.read(small), weights=weights.sha256(file)[: container.HASH_BYTES]
    )
    data, cls = container.write(forged), registry.codec_class(name)
    if not issubclass(cls, TrainedCodec):
        with pytest.raises(FormatError, match=f"^a {name} file with a weights hash$"):
            smalti.decode(data)
        return
    other, own = (weights.read(path)[0]["model"] for path in (file, cls().weights_file()))
    if other != own:
        sentence = rf"^{set_}\.safetensors holds weights of {other}, not of {own}$"
        with pytest.raises(WeightsError, match=sentence):
            smalti.decode(data)
        return
    if weights.read(file)[0]["config"] == weights.read(cls().weights_file())[0]["config"]:
        assert smalti.decode(data).shape == (24, 40, 4)
    else:  # its own architecture, with latents of another shape
        with pytest.raises(FormatError, match="coded values are damaged"):
            smalti.decode(data)


def test_a_small_file_cannot_ask_for_a_large_picture(small):
    held = container.read(small)
    huge = container.Container(
        held.codec, 3, 2**20, 2**20, held.config, held.sections, held.weights
    )
    for asked in ({}, {"window": (0, 0, 1, 1)}):
        with pytest.raises(FormatError, match=r"1048576 x 1048576 .*limit of 67,108,864"):
            smalti.decode(container.write(huge), **asked)
    with pytest.raises(SmaltiError):
        smalti.decode(container.write(huge), size=(8, 8))


def test_numbers_of_either_type_make_the_same_file(name):
    """step=1 and step=1.0 are one config; bits=6.0 is none."""
    cls = registry.codec_class(name)
    for key, kind in get_type_hints(cls).items():
        if kind is float and key in cls.__dataclass_fields__:
            whole, real = (smalti.encode(make_picture(4, 8, 8), cls(**{key: n})) for n in (1, 1.0))
            assert whole == real
            assert getattr(smalti.info(whole).config, key) == 1.0
        if kind is int and key in cls.__dataclass_fields__:
            default = cls.__dataclass_fields__[key].default
            with pytest.raises(OptionError, match="no whole number"):
                pack_config(cls(**{key: default + 0.5}))


def test_a_window_is_that_part_of_the_whole(small):
    whole = smalti.decode(small, dtype=np.float32)
    part = smalti.decode(small, dtype=np.float32, window=(3, 6, 10, 21))
    assert np.abs(part - whole[3:13, 6:27]).max() < 1e-5
    with pytest.raises(OptionError, match="24 rows and 40 columns"):
        smalti.decode(small, window=(20, 0, 5, 5))


def test_any_size_or_a_reason_why_not(name, small):
    if issubclass(registry.codec_class(name), Resizes):
        assert smalti.decode(small, size=(11, 90)).shape == (11, 90, 4)
        drawn = smalti.decode(small, size=(24, 40), dtype=np.float32)
        assert np.abs(drawn - smalti.decode(small, dtype=np.float32)).max() < 1e-5
    else:
        with pytest.raises(OptionError, match="one size"):
            smalti.decode(small, size=(11, 90))


def test_listed_as_it_is(name):
    listed = next(codec for codec in smalti.list_codecs() if codec.name == name)
    cls = registry.codec_class(name)
    assert listed.random_access == issubclass(cls, Samples)
    assert listed.summary
    assert cls.settings


def test_unknown_settings_are_refused_by_name(name):
    with pytest.raises(OptionError, match=f"unknown setting of {name} 'colour'"):
        smalti.encode(make_picture(3, 8, 8), f"{name}:colour=1")
    with pytest.raises(OptionError, match=f"unknown effort of {name} 'lazy'"):
        smalti.encode(make_picture(3, 8, 8), name, effort="lazy")


def test_golden_file_decodes_to_its_pixels(name, request, monkeypatch):
    """A file of an old release, and the picture it is: for ever.

    A trained codec's golden file is made with tiny weights of its own, which stay beside it.
    """
    monkeypatch.setenv("SMALTI_WEIGHTS", str(GOLDEN))
    file, drawn = GOLDEN / f"{name}.smt", GOLDEN / f"{name}.png"
    if request.config.getoption("--update-golden") and not file.exists():
        trained = issubclass(registry.codec_class(name), TrainedCodec)
        spec = f"{name}:weights={GOLDEN / name}.safetensors" if trained else quick(name)
        file.write_bytes(smalti.encode(make_picture(4, 21, 38), spec, effort=EFFORT))
        smalti.save(smalti.decode(file.read_bytes()), drawn)
    assert file.exists(), "no golden file; pytest --update-golden writes the missing ones"
    expected = np.asarray(Image.open(drawn)).astype(int)
    decoded = smalti.decode(file.read_bytes()).astype(int)
    allowed = 0 if registry.codec_class(name).exact else 1  # of 255, FORMAT.md
    assert np.abs(decoded - expected).max() <= allowed
