"""BC7: the decoder against two independent ones and its readable twin, sizes and errors."""

import numpy as np
import pytest

from smalti import native
from smalti.bc7.decode import decode_blocks, decode_image, decode_window
from smalti.bc7.encode import encode_image
from smalti.bc7.layout import MODES, WEIGHTS, block_grid
from smalti.bc7.partitions import ANCHORS, PARTITIONS
from smalti.bc7.reference.decode import decode_block
from smalti.errors import FormatError, ImageError, OptionError

from bc7_pictures import by_pillow, by_texture2ddecoder, made_alpha, made_picture
from native_builds import on_every_build


def header_fields(block: bytes) -> tuple[int, int, int, int]:
    """Mode, partition, rotation and index selection of a block."""
    value = int.from_bytes(block, "little")
    number = (value & -value).bit_length() - 1
    value >>= number + 1
    fields = [number]
    for width in MODES[number][1:4]:
        fields.append(value & ((1 << width) - 1))
        value >>= width
    return tuple(fields)


def every_header(copies: int) -> tuple[np.ndarray, set]:
    """Random blocks with each mode, partition, rotation and index selection, `copies` of each."""
    rng = np.random.default_rng(7)
    wanted, blocks = set(), []
    for number, mode in enumerate(MODES):
        for partition in range(1 << mode.partition):
            for rotation in range(1 << mode.rotation):
                for selection in range(1 << mode.index_selection):
                    wanted.add((number, partition, rotation, selection))
                    field = partition  # a mode has a partition or a rotation, never both
                    field |= rotation | selection << mode.rotation
                    width = mode.partition + mode.rotation + mode.index_selection
                    head = (field << 1 | 1) << number
                    width += number + 1
                    for _ in range(copies):
                        body = int.from_bytes(rng.bytes(16), "little") >> width << width
                        blocks.append((body | head).to_bytes(16, "little"))
    return np.frombuffer(b"".join(blocks), dtype=np.uint8).reshape(-1, 16), wanted


def test_every_mode_has_128_bits():
    for number, mode in enumerate(MODES):
        ends = 2 * mode.subsets
        bits = number + 1 + mode.partition + mode.rotation + mode.index_selection
        bits += ends * (3 * mode.colour + mode.alpha + mode.endpoint_pbit)
        bits += mode.subsets * mode.subset_pbit
        bits += 16 * mode.index - mode.subsets
        bits += 16 * mode.second_index - (mode.second_index > 0)
        assert bits == 128, f"mode {number}"


def test_weights_are_rounded_fractions_of_64_and_symmetric():
    for bits, weights in WEIGHTS.items():
        last = 2**bits - 1
        assert list(weights) == [(128 * i + last) // (2 * last) for i in range(2**bits)]
        assert [64 - weight for weight in reversed(weights)] == list(weights)


def test_anchors_lie_in_their_subsets():
    for subsets in (1, 2, 3):
        for partition in range(64):
            for subset in range(subsets):
                anchor = ANCHORS[subsets - 1, partition, subset]
                assert PARTITIONS[subsets - 1, partition, anchor] == subset
            assert set(PARTITIONS[subsets - 1, partition]) == set(range(subsets))


def test_decoder_agrees_with_two_independent_ones_on_every_header():
    blocks, wanted = every_header(copies=16)
    assert {header_fields(block.tobytes()) for block in blocks} == wanted
    assert len(wanted) == 16 + 3 * 64 + 8 + 4 + 1 + 64
    height, width = 4 * 16, len(blocks) // 16 * 4
    decoded = decode_image(blocks, height, width)
    data = blocks.tobytes()
    np.testing.assert_array_equal(decoded, by_texture2ddecoder(data, height, width))
    np.testing.assert_array_equal(decoded, by_pillow(data, height, width))


def test_decoder_equals_its_readable_twin():
    blocks, _ = every_header(copies=1)
    twin = np.stack([decode_block(block.tobytes()) for block in blocks])
    np.testing.assert_array_equal(on_every_build(lambda: (decode_blocks(blocks),))[0], twin)


def test_three_channels_are_the_first_of_four():
    blocks, _ = every_header(copies=1)
    height, width = 4 * 5, 4 * (len(blocks) // 5)
    whole = decode_image(blocks, height, width)
    three = on_every_build(lambda: (decode_image(blocks, height, width, channels=3),))[0]
    np.testing.assert_array_equal(three, whole[..., :3])
    for top, left, rows, columns in [(0, 0, 20, 1), (3, 5, 9, 2), (5, 2, 1, 101)]:
        window = decode_window(blocks, height, width, top, left, rows, columns, channels=3)
        np.testing.assert_array_equal(window, three[top : top + rows, left : left + columns])


def test_reserved_mode_is_transparent_black():
    blocks = np.random.default_rng(0).integers(0, 256, (1, 16), dtype=np.uint8)
    blocks[0, 0] = 0
    assert not decode_blocks(blocks).any()
    assert not decode_block(blocks.tobytes()).any()
    assert not by_texture2ddecoder(blocks.tobytes(), 4, 4).any()
    # Pillow differs from the specification here: it shows opaque black.
    assert (by_pillow(blocks.tobytes(), 4, 4) == (0, 0, 0, 255)).all()


@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 7), (4, 4), (33, 18), (3, 130)])
def test_odd_sizes(height, width):
    image = made_alpha(height, width)
    blocks = encode_image(image, effort="fast")
    rows, columns = block_grid(height, width)
    assert len(blocks) == 16 * rows * columns
    decoded = decode_image(blocks, height, width)
    assert decoded.shape == (height, width, 4)
    np.testing.assert_array_equal(decoded, by_texture2ddecoder(blocks, height, width))
    # Repeated edges: the same as encoding the picture padded by hand.
    padding = ((0, 4 * rows - height), (0, 4 * columns - width), (0, 0))
    assert blocks == encode_image(np.pad(image, padding, mode="edge"), effort="fast")


def test_windows_equal_crops():
    image = made_picture(37, 50)
    blocks = encode_image(image, effort="ultrafast")
    whole = decode_image(blocks, 37, 50)
    for top, left, height, width in [(0, 0, 37, 50), (36, 49, 1, 1), (3, 5, 9, 2), (8, 12, 4, 0)]:
        window = decode_window(blocks, 37, 50, top, left, height, width)
        np.testing.assert_array_equal(window, whole[top : top + height, left : left + width])


def test_any_bytes_decode_to_some_picture():
    rng = np.random.default_rng(9)
    for _ in range(20):
        height, width = map(int, rng.integers(1, 70, 2))
        rows, columns = block_grid(height, width)
        blocks = rng.integers(0, 256, 16 * rows * columns, dtype=np.uint8)
        (whole,) = on_every_build(lambda b=blocks, h=height, w=width: (decode_image(b, h, w),))
        top, left = int(rng.integers(height)), int(rng.integers(width))
        size = int(rng.integers(height - top + 1)), int(rng.integers(width - left + 1))
        window = decode_window(blocks, height, width, top, left, *size)
        np.testing.assert_array_equal(window, whole[top : top + size[0], left : left + size[1]])


def test_blocks_may_start_anywhere_in_memory():
    blocks = encode_image(made_picture(9, 9), effort="ultrafast")
    shifted = memoryview(b"123" + blocks)[3:]
    np.testing.assert_array_equal(decode_image(shifted, 9, 9), decode_image(blocks, 9, 9))


def test_threads_change_nothing(monkeypatch):
    image = made_alpha(264, 248)
    monkeypatch.setattr(native, "_threads", 1)
    blocks = encode_image(image, effort="ultrafast")
    many = np.random.default_rng(2).integers(0, 256, 16 * 250 * 210, dtype=np.uint8)
    decoded = decode_image(many, 998, 838)
    monkeypatch.setattr(native, "_threads", 3)
    assert encode_image(image, effort="ultrafast") == blocks
    np.testing.assert_array_equal(decode_image(many, 998, 838), decoded)


def test_wrong_sizes_are_format_errors():
    with pytest.raises(FormatError, match=r"5 x 7 picture take 64 bytes, here are 63"):
        decode_image(bytes(63), 7, 5)
    with pytest.raises(FormatError, match=r"\(2, 15\)"):
        decode_blocks(np.zeros((2, 15), dtype=np.uint8))
    with pytest.raises(OptionError, match="leaves the picture"):
        decode_window(bytes(16), 4, 4, 2, 0, 3, 4)
    with pytest.raises(OptionError, match="not to 2"):
        decode_image(bytes(16), 4, 4, channels=2)
    with pytest.raises(OptionError, match="0 x 4"):
        decode_image(b"", 4, 0)


def test_blocks_of_another_type_and_no_texels_are_refused():
    with pytest.raises(FormatError, match="BC7 blocks are uint8, these are int16"):
        decode_image(np.zeros((1, 16), np.int16), 4, 4)
    with pytest.raises(OptionError, match="a picture of 0 x 4 texels has no blocks"):
        decode_image(b"", 4, 0)
    with pytest.raises(OptionError, match=r"rdo=-1; a Lagrange multiplier is 0 \(none\) or more"):
        encode_image(made_picture(4, 4), rdo=-1)


def test_wrong_pictures_and_efforts():
    with pytest.raises(ImageError, match="float32"):
        encode_image(np.zeros((4, 4, 4), dtype=np.float32))
    with pytest.raises(ImageError, match=r"\(4, 4, 2\)"):
        encode_image(np.zeros((4, 4, 2), dtype=np.uint8))
    with pytest.raises(OptionError, match="'slow'; known: ultrafast, fast"):
        encode_image(np.zeros((4, 4, 4), dtype=np.uint8), effort="slow")
