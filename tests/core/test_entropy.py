"""Planes and varints: round trips, the twin, damage, tables and bytes that must not change."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smalti import native
from smalti.entropy import decode_planes, encode_planes, reference
from smalti.entropy.tables import LIMIT, tables
from smalti.entropy.varint import read_varint, unzigzag, write_varint, zigzag
from smalti.errors import FormatError, OptionError

from native_builds import on_every_build

GOLDEN = "51c48d9fb1ad778bece9d8ce651f1c603fee6e46989d279a194166c5a505d4bf"
TABLES = "0e275216f5ef513d7760c9873a352fd9553dae74dc9ba3e00c82bed052b7c381"


def texture(c: int, h: int, w: int, levels: int) -> np.ndarray:
    """Smooth waves, noise and flat parts, from integers alone, different in each plane."""
    y, x = np.mgrid[:h, :w].astype(np.int64)
    planes = []
    for k in range(c):
        hill = (x * (5 + k) + y * 3) % 64 - 32
        noise = (x * 7919 + y * 104729 + k * 1299709) * 2654435761 % (1 << 32) >> 28
        value = (hill * hill + 32 * noise) * levels // 1600
        planes.append(np.where((x + 2 * y) // 40 % 2 == 0, value, levels // 3))
    return np.clip(np.stack(planes), 0, levels - 1)


def round_trip(values: np.ndarray, levels) -> bytes:
    data = encode_planes(values, levels)
    decoded = decode_planes(data, values.shape, levels)
    assert decoded.dtype == np.int32
    np.testing.assert_array_equal(decoded, values)
    return data


@pytest.mark.parametrize("levels", [1, 2, 3, 5, 8, 40, 255, 256, 257, 8192, 8193, 65535, 65536])
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 50), (2, 50, 1), (4, 13, 17)])
def test_round_trip(shape, levels):
    round_trip(texture(*shape, levels), [levels] * shape[0])


def test_planes_of_different_levels():
    levels = (8, 1, 65536, 2, 5, 256)
    values = np.concatenate([texture(1, 20, 30, n) for n in levels])
    round_trip(values, levels)


@pytest.mark.parametrize("shape", [(0, 5, 5), (2, 0, 5), (2, 5, 0)])
def test_nothing_is_no_bytes(shape):
    assert round_trip(np.zeros(shape, np.int32), [256] * shape[0]) == b""


def test_one_level_costs_nothing():
    assert round_trip(np.zeros((2, 9, 9), np.uint8), [1, 1]) == b""
    with pytest.raises(FormatError, match="1 bytes of data for planes that need none"):
        decode_planes(b"\0", (2, 9, 9), [1, 1])


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int64, np.uint64])
def test_every_integer_type_gives_the_same_bytes(dtype):
    values = texture(2, 8, 9, 100)
    assert encode_planes(values.astype(dtype), [100, 100]) == encode_planes(values, [100, 100])


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_small_array(data):
    c, h, w = (data.draw(st.integers(1, n)) for n in (4, 6, 6))
    levels = data.draw(st.lists(st.integers(1, 65536), min_size=c, max_size=c))
    values = [[data.draw(st.integers(0, n - 1)) for _ in range(h * w)] for n in levels]
    round_trip(np.array(values).reshape(c, h, w), levels)


def test_extremes_of_wide_and_narrow_planes():
    checks = np.indices((2, 40, 40)).sum(0) % 2
    round_trip(checks * 65535, [65536, 65536])
    round_trip(checks, [2, 2])
    round_trip(np.random.default_rng(0).integers(0, 65536, (3, 30, 30)), [65536] * 3)


def test_plain_python_twin_gives_the_same_bytes():
    cases = [
        (texture(4, 9, 11, 40), [40, 40, 40, 40]),
        (texture(1, 6, 90, 256), [256]),
        (texture(2, 4, 5, 65536), [65536, 65536]),
        (np.concatenate([texture(1, 7, 9, n) for n in (5, 1, 300, 2)]), [5, 1, 300, 2]),
        (np.full((1, 5, 64), 7), [8]),
    ]
    for values, levels in cases:
        data = reference.encode(values, levels)
        assert encode_planes(values, levels) == data
        np.testing.assert_array_equal(reference.decode(data, values.shape, levels), values)
        np.testing.assert_array_equal(decode_planes(data, values.shape, levels), values)


def test_every_build_gives_the_same_bytes():
    """Also with the largest tables, whose slots' numbers have the most bits."""
    for shape, levels in (((3, 20, 33), 100), ((2, 160, 256), 256), ((1, 9, 31), 60000)):
        values = texture(*shape, levels)

        def coded(values=values, levels=[levels] * shape[0]):
            data = encode_planes(values, levels)
            return np.frombuffer(data, np.uint8), decode_planes(data, values.shape, levels)

        np.testing.assert_array_equal(on_every_build(coded)[1], values)


def test_more_bytes_than_room_was_made_for():
    """Noise, and bits that surprise where stretches of zeros have taught certainty."""
    values = np.zeros((1, 64, 64), int)
    values[:, 60:] = np.random.default_rng(4).integers(0, 65536, (4, 64))
    round_trip(values, [65536])
    wide = np.random.default_rng(5).integers(0, 65536, (1, 3, 800))
    assert len(round_trip(wide, [65536])) > 2 * wide.size + 16


def test_golden_bytes():
    """Files written by an earlier release must stay readable: this digest never changes."""
    digest = hashlib.sha256()
    for shape, levels in [
        ((4, 23, 31), 40),
        ((1, 50, 70), 256),
        ((5, 16, 16), 8),
        ((2, 9, 9), 5000),
    ]:
        digest.update(round_trip(texture(*shape, levels), [levels] * shape[0]))
    assert digest.hexdigest() == GOLDEN


def test_tables_are_these():
    """docs/ENTROPY.md gives the formulas; a checksum shows that this machine follows them."""
    made = tables()
    assert made.squash[LIMIT] == 32768
    assert made.squash[0] == 1
    assert made.squash[-1] == 65535
    exact = 65536 / (1 + np.exp(-np.arange(-LIMIT, LIMIT + 1) / 256))
    np.testing.assert_allclose(made.squash, exact, atol=1.1)
    np.testing.assert_array_equal(made.stretch[1:], -made.stretch[:0:-1])
    digest = hashlib.sha256()
    for table in made:
        digest.update(table.astype("<i8").tobytes())
    assert digest.hexdigest() == TABLES


def test_every_truncation_is_an_error():
    values = texture(2, 20, 22, 40)
    data = encode_planes(values, [40, 40])
    for n in range(len(data)):
        with pytest.raises(FormatError):
            decode_planes(data[:n], values.shape, [40, 40])


@pytest.mark.parametrize("tail", [b"\0", b"\xff", b"\0\0\0\0\0", b"smalti"])
def test_bytes_left_over_are_an_error(tail):
    values = texture(2, 20, 22, 40)
    with pytest.raises(FormatError):
        decode_planes(encode_planes(values, [40, 40]) + tail, values.shape, [40, 40])


def test_damage_is_an_error_or_gives_values_in_range():
    values, levels = texture(3, 14, 15, 37), [37, 64, 41]
    data = encode_planes(values, levels)
    refused = 0
    flips = range(0, len(data) * 8, 5)
    for i in flips:
        damaged = bytearray(data)
        damaged[i // 8] ^= 1 << i % 8
        try:
            decoded = decode_planes(bytes(damaged), values.shape, levels)
        except FormatError:
            refused += 1
        else:
            assert (decoded >= 0).all()
            assert (decoded.max((1, 2)) < levels).all()
    assert refused >= len(flips) - 1  # 16 check bits


def test_the_twin_refuses_what_the_kernel_refuses():
    """Cuts, bytes left over, and damage of the end: of the same kinds, whoever decodes."""
    values = texture(1, 4, 6, 9)
    data = encode_planes(values, [9])
    for damaged in (data[:-1], data[: len(data) // 2], data + b"\x55", data[:-1] + b"\xff", b""):
        for decode in (decode_planes, reference.decode):
            with pytest.raises(FormatError):
                decode(damaged, values.shape, [9])


def test_noise_in_the_place_of_data_is_refused_by_every_build():
    """And none reads or writes beyond what is its own; the first bytes are no encoder's either."""
    random = np.random.default_rng(6)
    for data in (b"", b"\xff" * 300, b"\0" * 300, *(random.bytes(n) for n in (1, 3, 40, 900))):
        for levels in ([256, 3], [65536, 65536]):
            for build in native.builds():
                with native.using(build), pytest.raises(FormatError, match=f"{len(data)} bytes"):
                    decode_planes(data, (2, 30, 40), levels)


def test_random_bytes_end_soon_even_for_a_huge_shape():
    noise = np.random.default_rng(1).bytes(100)
    with pytest.raises(FormatError):
        decode_planes(noise, (1, 8192, 8192), [256])


def test_flat_planes_are_tiny():
    flat = np.full((1, 1024, 1024), 255, np.uint8)
    assert len(round_trip(flat, [256])) <= 12
    y, x = np.mgrid[:512, :512]
    disc = ((x - 256) ** 2 + (y - 256) ** 2 < 200**2).astype(np.uint8) * 255
    assert len(round_trip(disc[None], [256])) < 400


def test_small_arrays_learn_fast():
    """8100 values of an autoregressive process cost hardly more than its innovations hold."""
    sigma = 2.5
    values = np.random.default_rng(2).normal(scale=sigma, size=(4, 45, 45))
    for y in range(1, 45):
        for x in range(1, 45):
            values[:, y, x] += 0.55 * values[:, y, x - 1] + 0.4 * values[:, y - 1, x]
    values = np.clip(np.rint(values + 30), 0, 59).astype(np.int32)
    entropy = values.size / 8 * np.log2(sigma * np.sqrt(2 * np.pi * np.e))
    assert len(round_trip(values, [60] * 4)) < 1.05 * entropy


def test_noise_costs_hardly_more_than_it_holds():
    values = np.random.default_rng(3).integers(0, 256, (2, 128, 128))
    assert len(round_trip(values, [256, 256])) < 1.015 * values.size


@pytest.mark.parametrize(
    ("values", "levels"),
    [
        (np.zeros((2, 2), int), [4]),
        (np.zeros((1, 2, 2)), [4]),
        (np.zeros((1, 2, 2), int), [4, 4]),
        (np.zeros((1, 2, 2), int), [0]),
        (np.zeros((1, 2, 2), int), [65537]),
        (np.full((1, 2, 2), 4), [4]),
        (np.full((1, 2, 2), -1), [4]),
    ],
)
def test_what_does_not_fit_is_refused(values, levels):
    with pytest.raises(OptionError):
        encode_planes(values, levels)


@given(st.integers(0, 2**64 - 1))
def test_varint(n):
    data = write_varint(n)
    assert len(data) == max(1, -(-n.bit_length() // 7))
    assert read_varint(b"?" + data + b"!", 1) == (n, 1 + len(data))
    for cut in range(len(data)):
        with pytest.raises(FormatError):
            read_varint(data[:cut])


@pytest.mark.parametrize(
    "data",
    [b"\x80\x00", b"\xff\x80\x00", b"\x80" * 10, b"\xff" * 9 + b"\x02", b"\x80" * 10 + b"\x01"],
)
def test_varints_that_are_not_canonical(data):
    with pytest.raises(FormatError):
        read_varint(data)


@pytest.mark.parametrize("n", [-1, 2**64])
def test_varint_has_64_bits(n):
    with pytest.raises(ValueError, match=r"2\^64"):
        write_varint(n)


@given(st.integers(-(2**63), 2**63 - 1))
def test_zigzag(n):
    assert unzigzag(zigzag(n)) == n
    assert 0 <= zigzag(n) <= 2 * abs(n)
