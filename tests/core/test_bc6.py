"""BC6H: the decoder against independent ones and its readable twin, sizes and errors."""

import numpy as np
import pytest
from PIL import Image

from smalti import native
from smalti.bc6.decode import decode_image, decode_window
from smalti.bc6.layout import MODES, index_bits, mode_bits, runs, to_steps
from smalti.bc6.reference.decode import decode_block
from smalti.errors import FormatError, OptionError

from bc6_blocks import RESERVED, by_bcdec, every_mode
from native_builds import on_every_build


def bits(texels: np.ndarray) -> np.ndarray:
    """float16 as uint16: -0 is not 0."""
    return np.ascontiguousarray(texels).view(np.uint16)


def test_every_mode_has_128_bits_and_each_bit_of_an_endpoint_once():
    for mode in MODES:
        stored = [
            (run.channel, run.end, run.first + bit)
            for run in runs(mode)
            for bit in range(run.count)
        ]
        assert sorted(stored) == [
            (channel, end, bit)
            for channel in range(3)
            for end in range(2 * mode.subsets)
            for bit in range(mode.others[channel] if end else mode.bits)
        ]
        partition = 5 * (mode.subsets == 2)
        indices = 16 * index_bits(mode) - mode.subsets
        assert mode_bits(mode) + len(stored) + partition + indices == 128


@pytest.mark.parametrize("signed", [False, True])
def test_decoder_agrees_with_an_independent_one_on_every_mode_and_partition(signed):
    pytest.importorskip("imagecodecs")
    blocks = every_mode(copies=8)
    height = 4 * len(blocks)
    decoded = decode_image(blocks, height, 4, signed=signed)
    wanted = by_bcdec(blocks.tobytes(), height, 4, signed=signed)
    np.testing.assert_array_equal(decoded, wanted)  # 0 where ours, as the specification, says -0


def test_unsigned_texels_agree_with_pillow():
    """Which shows 8 bits, of the values as they are."""
    blocks = every_mode(copies=4)[: -len(RESERVED)]
    height = 4 * len(blocks)
    decoded = decode_image(blocks, height, 4).astype(np.float32)
    picture = Image.frombytes("RGB", (4, height), blocks.tobytes(), "bcn", (6, "BC6H"))
    levels = 255 * decoded.clip(0, 1)
    assert np.abs(np.asarray(picture) - levels).max() < 1.2  # it rounds on the way
    assert np.asarray(picture).std() > 50


@pytest.mark.parametrize("signed", [False, True])
def test_decoder_equals_its_readable_twin(signed):
    blocks = every_mode(copies=2)
    twin = np.stack([decode_block(block.tobytes(), signed=signed) for block in blocks])
    height = 4 * len(blocks)
    (decoded,) = on_every_build(lambda: (decode_image(blocks, height, 4, signed=signed),))
    np.testing.assert_array_equal(bits(decoded).reshape(-1, 16, 3), bits(twin))


def test_reserved_modes_are_black():
    blocks = every_mode(copies=1)[-len(RESERVED) :]
    assert [block[0] & 31 for block in blocks] == list(RESERVED)
    for signed in (False, True):
        assert not bits(decode_image(blocks, 4 * len(blocks), 4, signed=signed)).any()
        assert not bits(decode_block(blocks[0].tobytes(), signed=signed)).any()


def test_windows_are_crops_and_a_fourth_channel_is_one():
    blocks = every_mode(copies=1)[:35]
    whole = decode_image(blocks, 18, 25)
    four = decode_image(blocks, 18, 25, channels=4)
    np.testing.assert_array_equal(bits(four[..., :3]), bits(whole))
    assert (four[..., 3] == 1).all()
    for top, left, height, width in [(0, 0, 18, 25), (17, 24, 1, 1), (3, 5, 9, 2), (8, 12, 4, 0)]:
        (window,) = on_every_build(
            lambda box=(top, left, height, width): (decode_window(blocks, 18, 25, *box),)
        )
        np.testing.assert_array_equal(
            bits(window), bits(whole[top : top + height, left : left + width])
        )


def test_no_texel_is_infinite_or_nan():
    blocks = np.random.default_rng(3).integers(0, 256, (5000, 16), dtype=np.uint8)
    for signed in (False, True):
        assert np.isfinite(decode_image(blocks, 20000, 4, signed=signed)).all()


def test_threads_change_nothing(monkeypatch):
    blocks = np.random.default_rng(2).integers(0, 256, 16 * 250 * 210, dtype=np.uint8)
    monkeypatch.setattr(native, "_threads", 1)
    one = decode_image(blocks, 998, 838)
    monkeypatch.setattr(native, "_threads", 3)
    np.testing.assert_array_equal(bits(decode_image(blocks, 998, 838)), bits(one))


def test_what_the_format_does_not_hold_becomes_the_nearest_that_it_does():
    halves = np.array([1, -1, 65504, np.inf, -np.inf, np.nan, -0.0, 6e-8], np.float16).view(
        np.uint16
    )
    most = 0x7BFF
    assert to_steps(halves, False).tolist() == [0x3C00, 0, most, most, 0, 0, 0, 1]
    assert to_steps(halves, True).tolist() == [0x3C00, -0x3C00, most, most, -most, 0, 0, 1]


def test_wrong_sizes_are_errors_that_say_so():
    with pytest.raises(FormatError, match=r"5 x 7 picture take 64 bytes, here are 63"):
        decode_image(bytes(63), 7, 5)
    with pytest.raises(FormatError, match="float32"):
        decode_image(np.zeros(16, np.float32), 4, 4)
    with pytest.raises(OptionError, match="leaves the picture"):
        decode_window(bytes(16), 4, 4, 2, 0, 3, 4)
    with pytest.raises(OptionError, match="not to 2"):
        decode_image(bytes(16), 4, 4, channels=2)
    with pytest.raises(OptionError, match="0 x 4"):
        decode_image(b"", 4, 0)
