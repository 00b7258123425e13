"""What people hand over as a picture, and samples of one depth as another."""

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from smalti.errors import ImageError, OptionError
from smalti.image import as_picture, save, to_depth, to_float, to_uint8
from smalti.image.resize import resized

from image_files import HEIGHT, WIDTH, encoded, picture


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_picture_comes_back_as_it_is(channels, dtype):
    array = np.ascontiguousarray(to_depth(picture(channels), dtype))
    taken = as_picture(array)
    assert taken.dtype == dtype
    assert np.shares_memory(taken, array)
    if channels == 1:
        assert np.array_equal(as_picture(array[..., 0]), array)
    turned = as_picture(array[::-1, ::-1])
    assert turned.flags.c_contiguous
    assert np.array_equal(turned, array[::-1, ::-1])


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.longdouble])
def test_other_floats_become_float32(dtype):
    assert as_picture(np.full((2, 2, 3), 0.5, dtype)).dtype == np.float32


def test_the_other_byte_order():
    array = picture(3, np.uint16)
    assert np.array_equal(as_picture(array.astype(">u2")), array)
    assert as_picture(array.astype(">u2")).dtype == np.uint16


def test_files(tmp_path):
    path = tmp_path / "a.png"
    save(picture(3), path)
    with path.open("rb") as file:
        for given in (path, str(path), file, io.BytesIO(path.read_bytes()), path.read_bytes()):
            assert np.array_equal(as_picture(given), picture(3))
    save(picture(1), path)
    assert as_picture(path).shape == (HEIGHT, WIDTH, 1)
    with pytest.raises(ImageError, match="over the limit"):
        as_picture(path, max_pixels=10)
    with pytest.raises(ImageError, match=r"missing\.png: no such file"):
        as_picture("missing.png")


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "CMYK", "1", "I;16", "F"])
def test_pillow_images(mode):
    source = Image.fromarray(picture(3))
    if mode == "I;16":
        image = Image.fromarray(picture(1, np.uint16)[..., 0])
    elif mode == "F":
        image = Image.fromarray(to_float(picture(1))[..., 0])
    else:
        image = source.convert(mode)
    taken = as_picture(image)
    file = io.BytesIO()
    image.save(file, "TIFF")
    assert np.array_equal(taken, as_picture(file))
    assert taken.shape == (HEIGHT, WIDTH, {"LA": 2, "RGBA": 4}.get(mode, taken.shape[2]))


def test_a_pillow_image_that_cannot_be_decoded():
    image = Image.open(io.BytesIO(encoded("PNG")[:400]))
    with pytest.raises(ImageError, match="this Pillow image cannot be read"):
        as_picture(image)


def test_torch_tensors():
    torch = pytest.importorskip("torch")
    array = picture(3)
    tensor = torch.from_numpy(array.transpose(2, 0, 1).copy())
    assert np.array_equal(as_picture(tensor), array)
    floats = tensor.float() / 255
    assert np.array_equal(to_uint8(as_picture(floats)), array)
    assert np.array_equal(to_uint8(as_picture(floats.double().requires_grad_())), array)
    assert as_picture(floats.bfloat16()).dtype == np.float32
    assert as_picture(torch.nn.Parameter(floats[0])).shape == (HEIGHT, WIDTH, 1)
    for given, sentence in {
        torch.zeros(1, 3, 4, 5): "1 x 3 x 4 x 5 is a batch of 1: hand them over one by one",
        torch.zeros(7, 5, 3): "7 x 5 x 3 has its channels last: tensor.numpy",
        torch.zeros(5, 4, 6): "5 x 4 x 6 has 5 channels",
        torch.zeros(3): "this one's shape is 3",
        torch.zeros(3, 4, 5, device="meta"): "on meta; it holds no numbers",
        torch.zeros(3, 4, 5, dtype=torch.int64): "and this is int64; array.astype",
        torch.full((3, 2, 2), -1.0): r"lie in \[0, 1\], not -1 .. -1; \(x \+ 1\) / 2 brings",
        torch.zeros(3, 0, 2): "no pixels",
    }.items():
        with pytest.raises(ImageError, match=sentence):
            as_picture(given)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (None, "a NumPy array, a path, a Pillow image or a torch tensor, not NoneType"),
        ([[0, 1]], "a list of 1: hand its pictures over one by one"),
        (np.zeros((2, 3, 4, 5), np.uint8), "2 x 3 x 4 x 5 is a batch of 2: hand them over one by"),
        (
            np.zeros((3, 40, 50), np.uint8),
            r"3 x 40 x 50 has its channels first.*transpose\(1, 2, 0",
        ),
        (np.zeros((40, 50, 5), np.uint8), "40 x 50 x 5 has 5 channels"),
        (np.zeros(7, np.uint8), "this array's shape is 7"),
        (np.array(7, np.uint8), "shape is a single number"),
        (np.zeros((0, 4, 3), np.uint8), "0 x 4 x 3 has no pixels"),
        (np.zeros((4, 4), bool), r"and this is bool; array \* np.uint8\(255\) makes it one"),
        (np.zeros((4, 4), np.int64), r"and this is int64; array.astype\(np.uint8\) makes it one"),
        (np.zeros((4, 4), np.int16), "and this is int16"),
        (np.zeros((4, 4), complex), "and this is complex128$"),
        (
            np.full((2, 2), 1.5),
            r"lie in \[0, 1\], not 1.5 .. 1.5; divide by 255, or hand over uint8",
        ),
        (np.array([[-0.5, 2]]), r"lie in \[0, 1\], not -0.5 .. 2$"),
        (np.array([[0, 0.5, np.nan]]), "1 of the picture's 3 values are NaN"),
        (np.array([[0, np.inf]]), r"not 0 .. inf; .*tone_map"),
    ],
)
def test_what_is_no_picture(given, sentence):
    with pytest.raises(ImageError, match=sentence) as caught:
        as_picture(given)
    assert "\n" not in str(caught.value)


def test_clipping_is_asked_for():
    assert as_picture(np.array([[-0.5, 0.5, 2]]), clip=True).ravel().tolist() == [0, 0.5, 1]


def test_neither_torch_nor_pillow_is_imported_to_recognise_an_array():
    code = (
        "import sys, numpy; from smalti.image import as_picture;"
        "as_picture(numpy.zeros((2, 2, 3), numpy.uint8));"
        "print(*{'torch', 'PIL', 'tifffile', 'imagecodecs'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


# ------------------------------------------------------------------------------------------- depths


def test_every_level_survives_every_depth():
    levels = np.arange(256, dtype=np.uint8)[None]
    assert np.array_equal(to_uint8(to_float(levels)), levels)
    assert np.array_equal(to_uint8(to_depth(levels, np.uint16)), levels)
    deep = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    assert np.array_equal(to_depth(to_float(deep), np.uint16), deep)
    assert np.array_equal(to_uint8(deep), to_uint8(to_float(deep)))
    assert to_float(levels)[0, 4] == np.float32(4) / np.float32(255)


def test_floats_are_clipped_and_rounded_half_to_even():
    floats = np.array([[-1, 0.4 / 255, 0.6 / 255, 0.5, 254.6 / 255, 1, 7]], np.float32)
    assert to_uint8(floats).tolist() == [[0, 0, 1, 128, 255, 255, 255]]
    assert to_uint8(floats.astype(np.float64)).tolist() == to_uint8(floats).tolist()


def test_what_has_no_depth():
    with pytest.raises(OptionError, match="dtype int64; a picture is uint8, uint16 or float32"):
        to_depth(picture(3), np.int64)
    with pytest.raises(ImageError, match="and this is int32"):
        to_uint8(np.zeros((2, 2), np.int32))
    with pytest.raises(ImageError, match="2 of the picture's 4 values are NaN"):
        to_uint8(np.array([[0, np.nan], [np.nan, 1]]))


def test_resizing_is_that_of_torch():
    torch = pytest.importorskip("torch")
    floats = to_float(picture(3))
    planes = torch.from_numpy(floats.transpose(2, 0, 1).copy())[None]
    for filter in ("bilinear", "bicubic"):
        for size in ((11, 90), (80, 20), (HEIGHT, WIDTH)):
            expected = torch.nn.functional.interpolate(planes, size, mode=filter, antialias=True)
            expected = expected[0].clamp(0, 1).permute(1, 2, 0).numpy()
            assert np.abs(resized(floats, *size, filter) - expected).max() < 1e-5


def test_a_folder_is_no_picture():
    with pytest.raises(ImageError, match="is a folder; name a picture inside it"):
        as_picture(Path(os.curdir))
