"""The BC7 encoder on a GPU: as near to the picture as the CPU's, at every effort it has.

Skipped without the packages of the extra `gpu`, or without an adapter; a software one will do.
"""

import shutil
import subprocess
import sys

import numpy as np
import pytest
import texture2ddecoder
from PIL import Image

from smalti.api import encode
from smalti.bc7 import gpu
from smalti.bc7.encode import encode_image
from smalti.bc7.gpu import slang, wgsl
from smalti.bc7.gpu.encode import MAX_WIDTH
from smalti.bc7.layout import block_grid
from smalti.bc7.mode6 import encode_mode6
from smalti.errors import ImageError, MissingExtraError, OptionError
from smalti.files import BUNDLED_PICTURES

from conftest import make_picture

NAMES = ("astronaut", "bark", "cat", "plant", "screen")


@pytest.fixture(scope="module")
def adapter():
    wgpu = pytest.importorskip("wgpu", reason="wgpu is not installed: pip install 'smalti[gpu]'")
    adapters = wgpu.gpu.enumerate_adapters_sync()
    if not any(a.info["backend_type"] in wgsl.APIS for a in adapters):
        pytest.skip(f"no {', '.join(wgsl.APIS)} adapter is here")


@pytest.fixture(scope="module")
def compiler():
    pytest.importorskip("slangpy", reason="slangpy is not installed: pip install 'smalti[gpu]'")
    if not (shutil.which("g++") or shutil.which("clang++")):
        pytest.skip("Slang's target cpu needs g++ or clang++")


@pytest.fixture(scope="module")
def slang_adapter():
    pytest.importorskip("slangpy", reason="slangpy is not installed: pip install 'smalti[gpu]'")
    try:
        slang.open_gpu("")
    except OptionError as reason:
        pytest.skip(str(reason))


def crop(name: str, side: int = 96) -> np.ndarray:
    """The middle of a bundled picture."""
    file = BUNDLED_PICTURES / f"{name}.png"
    with file.open("rb") as stream, Image.open(stream) as picture:
        image = np.array(picture.convert("RGBA"))
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    return image[top : top + side, left : left + side]


def made(height: int, width: int) -> np.ndarray:
    """Transparent, soft and opaque parts."""
    return make_picture(4, height, width)


def decoded(blocks: bytes, image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    rows, columns = block_grid(height, width)
    assert len(blocks) == 16 * rows * columns
    bgra = texture2ddecoder.decode_bc7(blocks, width, height)
    return np.frombuffer(bgra, dtype=np.uint8).reshape(height, width, 4)[..., [2, 1, 0, 3]]


def psnr(blocks: bytes, image: np.ndarray) -> float:
    """Of R, G, B and A, 100 dB at most; colour under alpha 0 counts nothing."""
    miss = image.astype(float) - decoded(blocks, image)
    miss[image[..., 3] == 0, :3] = 0
    return 10 * np.log10(255**2 / max(np.mean(miss**2), 255**2 / 1e10))


@pytest.mark.parametrize("effort", wgsl.NAMES)
@pytest.mark.parametrize("name", NAMES)
def test_is_as_near_as_the_cpu(adapter, name, effort):
    image = crop(name)  # "plant" has real alpha
    ours = gpu.encode_image(image, effort=effort)
    # Text of two colours is full of ties, which rounding decides: a few blocks near 50 dB differ.
    allowed = 0.02  # near ties that rounding decides, docs/GPU.md
    assert psnr(ours, image) > psnr(encode_image(image, effort=effort), image) - allowed
    check_alpha(ours, image)


@pytest.mark.parametrize("effort", wgsl.NAMES)
def test_real_alpha_is_as_near_as_the_cpu(adapter, effort):
    image = made(96, 128)
    ours = gpu.encode_image(image, effort=effort)
    assert psnr(ours, image) > psnr(encode_image(image, effort=effort), image) - 0.01
    assert {0, 255} < set(image[..., 3].flat)
    check_alpha(ours, image)


def check_alpha(blocks: bytes, image: np.ndarray) -> None:
    """Hidden texels stay hidden, opaque ones opaque."""
    alpha = decoded(blocks, image)[..., 3]
    for exact in (0, 255):
        assert (alpha[image[..., 3] == exact] == exact).all()


def test_more_effort_is_nearer(adapter):
    for name in NAMES:
        image = crop(name)
        ladder = [psnr(gpu.encode_image(image, effort=effort), image) for effort in wgsl.NAMES]
        assert ladder[0] < ladder[1] < ladder[2], name


def test_every_mode_is_found(adapter):
    blocks = b"".join(
        gpu.encode_image(image, effort="medium")
        for image in (made(96, 128), *(crop(name) for name in NAMES))
    )
    first = np.frombuffer(blocks, dtype=np.uint8)[::16].astype(int)
    assert set(first & -first) == {1 << mode for mode in range(8)}


@pytest.mark.parametrize("effort", wgsl.NAMES)
@pytest.mark.parametrize("size", [(1, 1), (5, 7), (3, 130), (65, 2)])
def test_sizes_that_are_no_multiple_of_4(adapter, size, effort):
    image = made(*size)
    ours, cpu = (e(image, effort=effort) for e in (gpu.encode_image, encode_image))
    assert psnr(ours, image) > psnr(cpu, image) - 0.1  # a few blocks: one near tie shows


def test_flat_blocks_are_as_near_as_the_cpu(adapter):
    levels = np.arange(256, dtype=np.uint8)
    image = np.repeat(np.repeat(levels[None, :, None], 4, axis=0), 4, axis=1)
    image = np.concatenate([image, 255 - image, image // 2, np.full_like(image, 255)], axis=2)
    cpu = decoded(encode_image(image, effort="fast"), image)
    np.testing.assert_array_equal(decoded(gpu.encode_image(image), image), cpu)


def test_strips_join_without_a_seam(adapter, monkeypatch):
    image = made(50, 60)
    whole = gpu.encode_image(image)
    monkeypatch.setattr(gpu.encode, "STRIP_TEXELS", 60 * 12)  # three block rows
    assert len(list(gpu.encode._strips(image))) == 5
    assert gpu.encode_image(image) == whole


def test_codec_encodes_on_the_gpu(adapter):
    picture = make_picture(3, 40, 24)
    on_gpu = encode(picture, "bc7", effort="ultrafast", device="gpu")
    assert len(on_gpu) == len(encode(picture, "bc7", effort="ultrafast"))
    with pytest.raises(OptionError, match="no GPU here is called 'abacus'; there are"):
        encode(picture, "bc7", effort="fast", device="gpu:abacus")


@pytest.mark.parametrize("engine", slang.ENGINES)
def test_slang_on_the_processor_is_as_near_as_the_encoder(compiler, engine):
    check_engine(engine, "gpu:cpu", crop("plant", 32))


@pytest.mark.parametrize("engine", slang.ENGINES)
@pytest.mark.parametrize("name", NAMES)
def test_slang_on_the_gpu_is_as_near_as_the_encoder(slang_adapter, name, engine):
    check_engine(engine, "gpu", crop(name))


def check_engine(engine: str, device: str, opaque: np.ndarray) -> None:
    for image in (opaque, made(30, 42)):
        ours = gpu.encode_image(image, effort=engine, device=device)
        assert abs(psnr(ours, image) - psnr(encode_mode6(image, engine), image)) < 0.01
        alpha = decoded(ours, image)[..., 3]
        assert (alpha[image[..., 3] == 0] == 0).all()
        assert (image[..., 3] < 255).any() or (alpha == 255).all()


def test_what_it_does_not_take():
    image = made(4, 4)
    with pytest.raises(OptionError, match="'best' runs on the CPU only; a GPU has ultrafast, fast"):
        gpu.encode_image(image, effort="best")
    with pytest.raises(OptionError, match="device 'cuda' is no GPU"):
        gpu.encode_image(image, device="cuda")
    with pytest.raises(ImageError, match=r"this is uint8 of shape \(4, 4, 3\)"):
        gpu.encode_image(image[..., :3])
    with pytest.raises(ImageError, match="4,194,305 texels wide; the GPU encoder takes 4,194,304"):
        gpu.encode_image(np.zeros((1, MAX_WIDTH + 1, 4), dtype=np.uint8))


@pytest.mark.parametrize(
    ("effort", "package", "backend"), [("fast", "wgpu", wgsl), ("pca", "slangpy", slang)]
)
def test_a_missing_package_is_named(monkeypatch, effort, package, backend):
    monkeypatch.setitem(sys.modules, package, None)
    backend.open_gpu.cache_clear()
    with pytest.raises(MissingExtraError, match=rf"needs {package}.* pip install 'smalti\[gpu\]'"):
        gpu.encode_image(made(4, 4), effort=effort)


def test_importing_does_not_import_the_packages():
    code = "import sys, smalti.bc7.gpu; print(*{'wgpu', 'slangpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
