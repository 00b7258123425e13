"""The BC6H encoder: the same bytes as its readable twin, quality beside floors, edges and errors."""

import re

import numpy as np
import pytest

from smalti import native
from smalti.bc6.decode import decode_image
from smalti.bc6.encode import encode_image
from smalti.bc6.layout import MODES, to_steps
from smalti.bc6.reference.encode import encode_blocks
from smalti.bc6.search import ALONG, EFFORTS
from smalti.errors import ImageError, OptionError

from conftest import ROOT
from native_builds import on_every_build

PER_STOP = 1024  # steps of float16 that double a number


def made_blocks(signed: bool) -> np.ndarray:
    """uint16 (N, 16, 3): flat, smooth, sharp, dark, bright, grey and random blocks."""
    rng = np.random.default_rng(5)
    t = np.arange(16)
    v, u = t // 4 / 4, t % 4 / 4
    blocks = []
    for scale in (1e-6, 1e-3, 0.1, 1, 30, 4000, 60000):
        hue = rng.random(3) + 0.1
        blocks += [
            np.ones((16, 1)) * hue * scale,
            (1 + v + u)[:, None] * hue * scale / 4,
            np.exp2(8 * u - 8 * v)[:, None] * hue * scale / 256,
            np.where(u + v > 0.8, 1, 0.01)[:, None] * hue * scale,
            rng.random((16, 3)) * scale,
            rng.random((16, 1)) * np.ones(3) * scale,
            np.where((t == 5)[:, None], 60000, hue * scale),
            rng.normal(1, 0.02, (16, 3)) * hue * scale,
        ]
    if signed:
        blocks = [block * np.sign(rng.normal(1, 1, (16, 3))) for block in blocks] + blocks
    light = np.stack(blocks).clip(-65504, 65504).astype(np.float16).view(np.uint16)
    noise = rng.integers(0, 65536, (20, 16, 3)).astype(np.uint16)  # with infinity and NaN
    return np.concatenate([light, noise])


def encoded(blocks: np.ndarray, effort: str, signed: bool) -> np.ndarray:
    """By the kernel, as a picture one block wide; NaN as the kernel itself has it."""
    from smalti.bc6 import encode

    halves = np.ascontiguousarray(blocks.reshape(-1, 4, 3))
    data = np.empty((len(blocks), 16), np.uint8)
    encode._encode(
        halves=halves, blocks=data, height=len(halves), width=4, channels=3,
        effort=list(EFFORTS).index(effort), is_signed=signed,
    )  # fmt: skip
    return data


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("effort", EFFORTS)
def test_kernel_and_readable_twin_write_the_same_bytes(effort, signed):
    blocks = made_blocks(signed)
    (data,) = on_every_build(lambda: (encoded(blocks, effort, signed),))
    twin = np.frombuffer(encode_blocks(blocks, effort=effort, signed=signed), np.uint8)
    np.testing.assert_array_equal(data, twin.reshape(-1, 16))


def test_the_numbers_of_the_search_are_those_of_the_kernel():
    text = (ROOT / "native" / "bc6" / "encode_lanes.h").read_text()
    table = re.search(r"EFFORTS\[\] = \{(.*?)\};", text, re.S)[1]
    rows = [
        [float(number.strip("f ")) for number in row.split(",")]
        for row in re.findall(r"\{(.*?)\}", table)
    ]
    assert rows == [list(map(float, effort)) for effort in EFFORTS.values()]
    assert f"ALONG = float(1.0 / {1 / ALONG:.0f})" in text


def made_light(height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    v, u = np.mgrid[0:height, 0:width].astype(np.float32) / 32
    light = np.exp2(2 * np.sin(3 * u + v) - 2 * np.cos(5 * v))[..., None]
    light = light * (1 + 0.3 * np.sin(np.stack([7 * u, 4 * v, 6 * (u - v)], axis=2)))
    return (light * np.exp(0.05 * rng.standard_normal((height, width, 3)))).astype(np.float32)


def error(light: np.ndarray, blocks: bytes, signed: bool = False) -> float:
    """Root of the mean square error, in stops."""
    height, width = light.shape[:2]
    decoded = decode_image(blocks, height, width, signed=signed)
    halves = light.astype(np.float16)
    away = to_steps(decoded.view(np.uint16), signed) - to_steps(halves.view(np.uint16), signed)
    return float(np.sqrt(np.mean(np.square(away / PER_STOP))))


def test_more_effort_is_less_error():
    light = made_light(64, 64)
    errors = [error(light, encode_image(light, effort=effort)) for effort in EFFORTS]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] < 0.0745
    assert errors[2] < 0.0614
    assert errors[4] < 0.0602
    assert error(light, encode_image(light, signed=True), signed=True) < 0.0616


@pytest.mark.parametrize("signed", [False, True])
def test_flat_blocks_are_exact(signed):
    steps = np.arange(0, 0x7C00, 7).astype(np.uint16)
    flat = np.repeat(steps.view(np.float16), 48).reshape(-1, 4, 3)
    if signed:
        flat = np.where(np.arange(len(flat))[:, None, None] // 4 % 2, -flat, flat)
    for effort in ("ultrafast", "medium"):
        blocks = encode_image(flat, effort=effort, signed=signed)
        np.testing.assert_array_equal(decode_image(blocks, *flat.shape[:2], signed=signed), flat)


def test_every_mode_that_pays_is_written():
    rng = np.random.default_rng(3)
    size = 2.0 ** np.linspace(-11, 3.8, 256)[:, None, None]  # of what varies, in stops
    sharp = rng.integers(0, 2, (256, 256, 1)).repeat(2, axis=0)[
        :256
    ]  # two colours, each with noise
    hue = rng.random((64, 64, 3)).repeat(4, axis=0).repeat(4, axis=1)
    light = np.exp2(size * (sharp * hue + 0.2 * rng.random((256, 256, 3)) * hue)).astype(np.float32)
    first = np.frombuffer(encode_image(light, effort="high"), np.uint8).reshape(-1, 16)[:, 0]
    numbers = np.where(first & 2, first & 31, first & 3)
    assert {mode.number for mode in MODES} - set(numbers.tolist()) == set()


@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 7), (33, 18), (3, 130)])
def test_odd_sizes_repeat_the_edge(height, width):
    light = made_light(height, width)
    padded = np.pad(light, [(0, -height % 4), (0, -width % 4), (0, 0)], mode="edge")
    assert encode_image(light, effort="fast") == encode_image(padded, effort="fast")


@pytest.mark.parametrize("signed", [False, True])
def test_floats_are_rounded_to_float16_first(signed):
    rng = np.random.default_rng(4)
    light = np.exp2(rng.uniform(-30, 18, (64, 64, 3))).astype(np.float32)
    light *= np.sign(rng.normal(1, 1, light.shape)).astype(np.float32)
    light[:4] = (np.arange(4 * 64 * 3).reshape(4, 64, 3) + 0.5) * 2.0**-24  # between two steps
    light[4] = 65519, 65520, np.inf
    light[5] = -np.inf, -0.0, 2.0**-14
    with np.errstate(over="ignore"):
        halves = light.astype(np.float16)
    blocks = encode_image(halves, effort="fast", signed=signed)
    floats = on_every_build(
        lambda: (np.frombuffer(encode_image(light, effort="fast", signed=signed), np.uint8),)
    )
    assert floats[0].tobytes() == blocks
    assert encode_image(light.astype(np.float64), effort="fast", signed=signed) == blocks


def test_alpha_is_not_looked_at_and_threads_change_nothing(monkeypatch):
    light = made_light(130, 120)
    four = np.concatenate(
        [light, np.random.default_rng(0).random((130, 120, 1), np.float32)], axis=2
    )
    monkeypatch.setattr(native, "_threads", 1)
    one = encode_image(light, effort="fast")
    monkeypatch.setattr(native, "_threads", 3)
    assert encode_image(four, effort="fast") == one


def test_what_is_no_light_is_refused():
    with pytest.raises(OptionError, match="'slow'; known: ultrafast, fast"):
        encode_image(np.zeros((4, 4, 3), np.float32), effort="slow")
    with pytest.raises(ImageError, match="uint8"):
        encode_image(np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(ImageError, match=r"\(4, 4, 2\)"):
        encode_image(np.zeros((4, 4, 2), np.float32))
    with pytest.raises(ImageError, match="48 of the picture's 48 values are NaN"):
        encode_image(np.full((4, 4, 3), np.nan, np.float32))
