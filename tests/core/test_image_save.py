"""Pictures to files: every format written, whole files or none."""

import os
from pathlib import Path

import numpy as np
import pytest

from smalti import files
from smalti.errors import ImageError, OptionError
from smalti.files import WRITTEN_SUFFIXES, write_atomically
from smalti.image import load, save

from image_files import HEIGHT, WIDTH, levels, picture

# ------------------------------------------------------------------------------------------ saving


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".TIFF", ".bmp"])
@pytest.mark.parametrize("bits", [8, 16])
def test_lossless_round_trip(tmp_path, channels, suffix, bits):
    path = tmp_path / f"a{suffix}"
    array = picture(channels, np.uint8 if bits == 8 else np.uint16)
    image = (array / (2**bits - 1)).astype(np.float32)
    if suffix == ".bmp" and (bits == 16 or channels in (2, 4)):
        with pytest.raises(
            ImageError, match=r"BMP holds 8 bits|BMP has no alpha.*down to 0 of 255"
        ):
            save(image, path, bits=bits)
        assert not path.exists()
        return
    save(image, path, bits=bits)
    assert np.array_equal(levels(path.read_bytes(), 2**bits - 1), array)


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".webp", ".avif"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_lossy_round_trip(tmp_path, channels, suffix):
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    smooth = np.stack([x, y, x + y, 255 - x], -1)[..., 4 - channels :].astype(np.uint8)
    path = tmp_path / f"a{suffix}"
    if suffix in (".jpg", ".jpeg") and channels in (2, 4):
        with pytest.raises(ImageError, match="JPEG has no alpha"):
            save(smooth, path)
        smooth[..., -1] = 255
        save(smooth, path)
        smooth = smooth[..., :-1]
    else:
        save(smooth, path)
    loaded = load(path).reshape(HEIGHT, WIDTH, -1).astype(int)
    if channels < 3 and loaded.shape[-1] > 2:  # stored as RGB
        assert np.abs(loaded[..., 0] - loaded[..., 1]).max() <= 2
        loaded = np.concatenate([loaded[..., :1], loaded[..., 3:]], -1)
    assert np.abs(loaded - smooth).mean() < 3
    coarse = tmp_path / f"b{suffix}"
    save(smooth, coarse, quality=5)
    assert coarse.stat().st_size < path.stat().st_size


def test_webp_at_quality_100_keeps_even_hidden_colours(tmp_path):
    array = picture(4)
    array[8:24, 8:24, 3] = 0
    save(array, tmp_path / "a.webp", quality=100)
    assert np.array_equal(load(tmp_path / "a.webp"), array)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_the_depth_of_whole_levels_is_kept(tmp_path, suffix, dtype, channels):
    array = picture(channels, dtype)
    array = array[..., 0] if channels == 1 else array
    save(array, tmp_path / f"a{suffix}")
    loaded = load(tmp_path / f"a{suffix}")
    assert loaded.dtype == dtype
    assert np.array_equal(loaded, array)


def test_16_bits_become_8_where_the_format_has_no_more(tmp_path):
    array = picture(3, np.uint16)
    save(array, tmp_path / "a.bmp")
    assert np.array_equal(load(tmp_path / "a.bmp"), (array.astype(int) + 128) // 257)


def test_floats_are_clipped(tmp_path):
    save(np.array([[-1.0, 0.4 / 255, 0.6 / 255, 7]]), tmp_path / "a.png")
    assert load(tmp_path / "a.png").tolist() == [[0, 0, 1, 255]]
    assert np.array_equal(load(tmp_path / "a.png"), load((tmp_path / "a.png").read_bytes()))


def test_what_is_no_picture_is_not_written(tmp_path):
    with pytest.raises(ImageError, match="40 x 40 x 5 has 5 channels"):
        save(np.zeros((40, 40, 5), np.uint8), tmp_path / "a.png")
    with pytest.raises(ImageError, match="1 of the picture's 2 values are NaN"):
        save(np.array([[0, np.nan]]), tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


def test_save_refuses(tmp_path):
    image = np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(ImageError, match=r"'\.xyz'; known: \.png \.jpg"):
        save(image, tmp_path / "a.xyz")
    with pytest.raises(ImageError, match=r"unknown suffix ''"):
        save(image, tmp_path / "a")
    with pytest.raises(ImageError, match=r"the folder .*missing does not exist"):
        save(image, tmp_path / "missing" / "a.png")
    with pytest.raises(ImageError, match="JPEG holds 8 bits"):
        save(image, tmp_path / "a.jpg", bits=16)
    with pytest.raises(OptionError, match="bits = 12"):
        save(image, tmp_path / "a.png", bits=12)
    with pytest.raises(OptionError, match="quality = 0"):
        save(image, tmp_path / "a.jpg", quality=0)
    with pytest.raises(ImageError, match="WEBP cannot hold 20000 x 1 pixels"):
        save(np.zeros((1, 20000, 3), np.uint8), tmp_path / "a.webp")
    assert list(tmp_path.iterdir()) == []


def test_the_suffixes_that_are_written(tmp_path):
    with pytest.raises(ImageError) as caught:
        save(np.zeros((4, 4, 3), np.uint8), tmp_path / "a.xyz")
    assert str(caught.value).endswith(f"known: {' '.join(WRITTEN_SUFFIXES)}")


# ---------------------------------------------------------------------------------- atomic writing


def test_write_atomically_replaces_and_keeps_permissions(tmp_path):
    path = tmp_path / "a.bin"
    write_atomically(path, b"one")
    path.chmod(0o640)
    write_atomically(str(path), b"two")
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o640
    link = tmp_path / "link"
    link.symlink_to(path)
    write_atomically(link, b"three")
    assert link.is_symlink()
    assert path.read_bytes() == b"three"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.bin", "link"]


@pytest.mark.parametrize("step", ["fsync", "replace", "interrupt"])
def test_a_failing_write_keeps_the_old_file(tmp_path, monkeypatch, step):
    def fail(*args):
        raise KeyboardInterrupt if step == "interrupt" else OSError(28, "No space left on device")

    path = tmp_path / "a.png"
    save(np.zeros((4, 4, 3), np.uint8), path)
    old = path.read_bytes()
    if step == "replace":
        monkeypatch.setattr(Path, "replace", fail)
    else:
        monkeypatch.setattr(files.os, "fsync", fail)
    expected = KeyboardInterrupt if step == "interrupt" else ImageError
    with pytest.raises(expected) as caught:
        save(np.full((4, 4, 3), 255, np.uint8), path)
    if step != "interrupt":
        assert str(caught.value) == f"cannot write {path}: No space left on device"
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


def test_a_disk_that_refuses_halfway_keeps_the_old_file(tmp_path):
    resource = pytest.importorskip("resource")  # POSIX only
    path = tmp_path / "a.bin"
    write_atomically(path, b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match=r"cannot write .*: File too large"):
            write_atomically(path, bytes(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_write_atomically_refuses_what_is_no_file(tmp_path):
    with pytest.raises(OSError, match="no regular file"):
        write_atomically(tmp_path, b"")
    with pytest.raises(OSError, match="no regular file"):
        write_atomically(os.devnull, b"")
    with pytest.raises(OSError, match=r"folder .* does not exist"):
        write_atomically(tmp_path / "x" / "y", b"")
