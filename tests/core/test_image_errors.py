"""What is refused, and how: paths, sizes, truncated and damaged files; threads and handles."""

import gc
import io
import os
import struct
import threading
import warnings
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from smalti.errors import ImageError, SmaltiError
from smalti.image import MAX_PIXELS, load

from image_files import HEIGHT, WIDTH, encoded, levels, picture, png, read, tiff


def test_paths(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encoded("PNG"))
    assert np.array_equal(load(path), load(str(path)))
    with path.open("rb") as file:
        file.seek(5)
        assert np.array_equal(load(file), load(path))
        assert not file.closed
    with pytest.raises(ImageError, match=r"missing\.png: no such file"):
        load(tmp_path / "missing.png")
    with pytest.raises(ImageError, match="is a folder"):
        load(tmp_path)
    (tmp_path / "empty.png").touch()
    with pytest.raises(ImageError, match=r"^empty\.png is empty \(0 bytes\)$"):
        load(tmp_path / "empty.png")
    (tmp_path / "notes.png").write_text("no picture at all")
    with pytest.raises(
        ImageError, match=r"notes\.png \(17 bytes, starting with 6e 6f .*readable|read"
    ):
        load(tmp_path / "notes.png")


def test_a_pipe_can_be_read():
    reader, writer = os.pipe()
    with os.fdopen(writer, "wb") as file:
        file.write(encoded("JPEG"))
    with os.fdopen(reader, "rb") as file:
        assert load(file).shape == (HEIGHT, WIDTH, 3)


def test_size_is_checked_in_the_header():
    assert MAX_PIXELS == 8192 * 8192
    data = bytearray(png(np.zeros((1, 1, 3), np.uint8), 2, 8))
    data[16:24] = struct.pack(">II", 20000, 20000)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    with pytest.raises(ImageError) as caught:
        read(bytes(data))
    assert str(caught.value) == (
        "the file is 20000 x 20000 = 400 MPix, over the limit of 67 MPix;"
        " raise it with max_pixels= / --max-pixels"
    )
    data[16:24] = struct.pack(">II", 0, 4)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    with pytest.raises(ImageError):
        read(bytes(data))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "AVIF", "TIFF", "BMP", "GIF", "JXL"])
def test_every_format_obeys_max_pixels(kind):
    data = encoded(kind)
    with pytest.raises(ImageError, match=f"is {WIDTH} x {HEIGHT} = 0.00196 MPix, over the limit"):
        read(data, max_pixels=WIDTH * HEIGHT - 1)
    assert read(data, max_pixels=WIDTH * HEIGHT).shape[:2] == (HEIGHT, WIDTH)


@pytest.mark.parametrize("container", [False, True])
@pytest.mark.parametrize(
    ("width", "height"),
    [(1, 1), (8, 8), (256, 8), (7, 300), (600, 600), (120, 100), (160, 90), (96, 64), (2, 9000)],
)
def test_jpeg_xl_size_is_read_before_decoding(width, height, container):
    image = np.full((height, width), 99, np.uint8)
    data = imagecodecs.jpegxl_encode(image, lossless=True, effort=1, usecontainer=container)
    header = data[: data.index(b"\xff\n") + 14]  # too little to decode anything
    with pytest.raises(ImageError, match=f" is {width} x {height} = "):
        read(header, max_pixels=width * height - 1)
    assert (levels(data) == 99).all()


def test_pillows_own_limit_does_not_interfere(monkeypatch):
    for limit in (WIDTH * HEIGHT - 1, 10):  # Pillow warns above it, and refuses above twice of it
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        for kind in ("PNG", "TIFF", "WEBP", "GIF"):
            assert read(encoded(kind)).shape == (HEIGHT, WIDTH, 3)
        assert limit == Image.MAX_IMAGE_PIXELS


FILES = {
    "png": lambda: encoded("PNG"),
    "png 16": lambda: png(picture(3, np.uint16), 2, 16),
    "png palette": lambda: png(
        picture(1) % 4, 3, 8, (b"PLTE", bytes(range(12))), (b"tRNS", b"\1\2")
    ),
    "jpeg": lambda: encoded("JPEG"),
    "jpeg progressive": lambda: encoded("JPEG", progressive=True),
    "jpeg cmyk": lambda: encoded("JPEG", "CMYK"),
    "webp": lambda: encoded("WEBP"),
    "webp lossless": lambda: encoded("WEBP", "RGBA", lossless=True),
    "avif": lambda: encoded("AVIF", "RGBA"),
    "tiff": lambda: encoded("TIFF"),
    "tiff lzw": lambda: encoded("TIFF", compression="tiff_lzw"),
    "tiff 16": lambda: tiff(picture(3, np.uint16), photometric="rgb", compression="zlib"),
    "tiff grey + alpha 16": lambda: tiff(
        picture(2, np.uint16), photometric="minisblack", extrasamples=["unassalpha"]
    ),
    "tiff float": lambda: tiff(picture(3).astype(np.float32) / 255, photometric="rgb"),
    "bmp": lambda: encoded("BMP"),
    "gif": lambda: encoded("GIF"),
    "jxl": lambda: encoded("JXL"),
}


def read_or_refuse(data: bytes) -> np.ndarray | None:
    try:
        return read(data, max_pixels=10**6)
    except ImageError as error:
        message = str(error)
    assert message.startswith("the file ")
    assert "\n" not in message
    return None


@pytest.mark.parametrize("kind", FILES)
def test_truncated_files_are_refused(kind):
    data = FILES[kind]()
    whole = read(data)
    lengths = {*range(40), *range(0, len(data), max(1, len(data) // 40))}
    lengths |= set(range(len(data) - 24, len(data)))
    refused = 0
    for length in sorted(lengths):
        part = read_or_refuse(data[:length])
        refused += part is None
        # Formats with a trailer (PNG's IEND, BMP's padding) may lose it, but never a pixel.
        assert part is None or np.array_equal(part, whole), length
    assert refused >= len(lengths) - 24


@pytest.mark.parametrize("kind", FILES)
def test_damaged_files_give_a_picture_or_an_error(kind):
    data = FILES[kind]()
    random = np.random.default_rng(zlib.crc32(kind.encode()))
    refused = 0
    for case in range(40):
        damaged = bytearray(data)
        reach = len(data) if case % 2 else min(len(data), 200)  # headers twice as often
        for position in random.integers(0, reach, random.integers(1, 6)):
            damaged[position] = random.integers(0, 256)
        refused += read_or_refuse(bytes(damaged)) is None
    assert refused > 0 or kind == "tiff grey + alpha 16"


def test_no_handle_stays_open(tmp_path):
    folder = Path("/proc/self/fd")
    if not folder.is_dir():
        pytest.skip("counts open files in /proc")
    before = len(list(folder.iterdir()))
    for kind, make in FILES.items():
        data = make()
        for length in (len(data), len(data) // 2, 20):
            path = tmp_path / f"{kind}{length}"
            path.write_bytes(data[:length])
            try:
                load(path)
            except ImageError:
                assert length < len(data)
    gc.collect()
    assert len(list(folder.iterdir())) == before


def test_threads_read_at_once():
    data = {kind: make() for kind, make in FILES.items()}
    expected = {kind: read(bytes_) for kind, bytes_ in data.items()}
    wrong = []

    def work():
        for kind, bytes_ in data.items():
            if not np.array_equal(read(bytes_), expected[kind]):
                wrong.append(kind)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_decoder_warnings_do_not_escape():
    tag = (b"tEXt", b"Comment\0x")
    apng = png(picture(3), 2, 8, (b"acTL", struct.pack(">II", 0, 0)), tag)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with Image.open(io.BytesIO(apng)) as image:
            image.load()
        assert caught, "Pillow warns of this file"
        caught.clear()
        assert np.array_equal(levels(apng), picture(3))
        assert caught == []


def test_errors_are_of_one_family():
    assert issubclass(ImageError, SmaltiError)
