"""Strangers' pictures: bounded by more than their width and height, and refused in one sentence."""

import io
import struct
import zipfile

import numpy as np
import pytest
from PIL import Image

import smalti
from smalti.errors import ImageError

from conftest import codecs, make_picture


def tiff(width: int, height: int, samples: int) -> bytes:
    """The header of an uncompressed TIFF of so many samples a pixel, without its strips."""
    bits = struct.pack(f"<{samples}H", *[8] * samples)
    entries = [
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, samples, 8), (259, 3, 1, 1),
        (262, 3, 1, 1), (273, 4, 1, 8), (277, 3, 1, samples), (278, 4, 1, height),
        (279, 4, 1, width * height * samples), (338, 3, 1, 0),
    ]  # fmt: skip
    directory = struct.pack("<H", len(entries))
    place = 8 + 2 + 12 * len(entries) + 4
    for tag, kind, count, value in entries:
        directory += struct.pack("<HHII", tag, kind, count, place if count > 2 else value)
    return b"II*\0" + struct.pack("<I", 8) + directory + bytes(4) + bits + bytes(64)


def test_samples_a_pixel_are_limited_as_width_and_height_are():
    with pytest.raises(ImageError, match="1500 samples a pixel"):
        smalti.load(tiff(1000, 1000, 1500))


def test_a_damaged_tiff_is_one_short_sentence():
    whole = io.BytesIO()
    Image.fromarray(make_picture(3, 20, 30)).save(whole, "TIFF")
    random, lengths = np.random.default_rng(0), []
    for _ in range(150):
        data = bytearray(whole.getvalue())
        for _ in range(6):
            data[random.integers(4, 12 if random.random() < 0.3 else len(data))] = random.integers(
                256
            )
        data[-200:-4] = random.integers(0, 256, 196, np.uint8).tobytes()
        lengths.append(len(refusal(bytes(data))))
    lengths.append(len(refusal(tiff(10, 10, 16).replace(b"\x08\0" * 16, b"\x07\0" * 16))))
    assert max(lengths) < 500
    assert sum(n > 0 for n in lengths) > 20


def refusal(data: bytes) -> str:
    """The sentence with which a picture is refused; empty for one that is read."""
    try:
        smalti.load(data)
    except ImageError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("inside", [b"no array", b""])
def test_what_a_zip_calls_an_array_and_is_none(inside, tmp_path):
    pytest.importorskip("torch")
    from smalti.train import sources

    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        file.writestr("images.npy", inside)
    with pytest.raises(ImageError, match="images"):
        sources.Pictures([tmp_path / "a.npz"])


def progressive(scans: int) -> bytes:
    """A progressive JPEG with its last scan repeated."""
    whole = io.BytesIO()
    Image.fromarray(make_picture(3, 16, 16)).save(whole, "JPEG", progressive=True)
    data = whole.getvalue()
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * scans + data[-2:]


def test_a_jpeg_of_very_many_scans_is_refused_before_it_is_decoded():
    assert smalti.load(progressive(3)).shape == (16, 16, 3)
    with pytest.raises(ImageError, match=r"JPEG of 2\d,\d\d\d scans; the limit is 1,000"):
        smalti.load(progressive(20_000))


@pytest.mark.parametrize("name", codecs())
def test_numpys_error_state_changes_nothing(name):
    """A caller with `np.seterr(all="raise")` gets the same file."""
    steps = ":steps=10" if name in ("latent-texture", "hash-texture", "fitted") else ""
    x = make_picture(4, 24, 24)
    data = smalti.encode(x, name + steps, effort="ultrafast")
    picture = smalti.decode(data)
    with np.errstate(all="raise"):
        assert smalti.encode(x, name + steps, effort="ultrafast") == data
        assert np.array_equal(smalti.decode(data), picture)
