"""Rate-distortion optimisation of BC7 blocks: sizes, promises about alpha, bookkeeping."""

import zlib

import numpy as np
import pytest
import texture2ddecoder
from PIL import Image

from smalti import native
from smalti.bc7 import rdo
from smalti.bc7.decode import decode_blocks, decode_image
from smalti.bc7.encode import encode_image
from smalti.bc7.layout import WEIGHTS
from smalti.bc7.mode6 import encode_mode6
from smalti.bc7.partitions import PARTITIONS
from smalti.bc7.reference.decode import decode_block
from smalti.bc7.reference.rdo import Block, Segment
from smalti.bc7.reference.rdo_fit import FREE, fit_1, fit_6, indices_1, indices_6
from smalti.errors import FormatError, ImageError, OptionError
from smalti.files import BUNDLED_PICTURES

from native_builds import on_every_build


@pytest.fixture(scope="module")
def cat():
    return rgba("cat")[:192, :256]


@pytest.fixture(scope="module")
def cat_blocks(cat):
    return encode_image(cat)


def rgba(name):
    with Image.open(BUNDLED_PICTURES / f"{name}.png") as picture:
        return np.asarray(picture.convert("RGBA"))


def with_alpha(image):
    """A hole, a soft edge around it, and opaque texels."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width]
    distance = np.hypot(y - height / 2, x - width / 2)
    image = image.copy()
    image[..., 3] = np.clip((distance - height / 5) * 16, 0, 255)
    return image


def deflated(blocks):
    return len(zlib.compress(blocks, 9))


def mse(blocks, image):
    decoded = decode_image(blocks, *image.shape[:2]).astype(int)
    return float(((decoded - image) ** 2).mean())


def mixed_blocks(count, seed=3):
    """Random blocks of all eight modes."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (count, 16), dtype=np.uint8)
    mode = rng.integers(0, 8, count)
    blocks[:, 0] = (blocks[:, 0] & ~((2 << mode) - 1)) | (1 << mode)
    return blocks


def test_lagrangian_0_changes_nothing(cat, cat_blocks):
    assert rdo.optimise(cat_blocks, cat, lagrangian=0) == cat_blocks


def test_higher_lagrangian_means_smaller_and_worse(cat, cat_blocks):
    ladder = [rdo.optimise(cat_blocks, cat, lagrangian=value) for value in (0, 1, 4, 16, 64)]
    sizes = [deflated(blocks) for blocks in ladder]
    errors = [mse(blocks, cat) for blocks in ladder]
    assert sizes == sorted(sizes, reverse=True)
    assert errors == sorted(errors)
    assert sizes[3] < 0.8 * sizes[0]
    assert 10 * np.log10(errors[3] / errors[0]) < 6.0


def test_a_wider_window_finds_more(cat, cat_blocks):
    narrow, wide = (
        deflated(rdo.optimise(cat_blocks, cat, lagrangian=4, window=window))
        for window in (16, 1024)
    )
    assert wide < narrow


@pytest.mark.parametrize("name", ["cat", "screen"])
def test_opaque_stays_opaque_and_another_decoder_agrees(name):
    image = rgba(name)[:128, :192]
    blocks = rdo.optimise(encode_image(image), image, lagrangian=8)
    bgra = texture2ddecoder.decode_bc7(blocks, 192, 128)
    theirs = np.frombuffer(bgra, np.uint8).reshape(128, 192, 4)[..., [2, 1, 0, 3]]
    assert np.array_equal(theirs, decode_image(blocks, 128, 192))
    assert (theirs[..., 3] == 255).all()


@pytest.mark.parametrize("lagrangian", [2, 30])
def test_alpha_of_0_and_255_is_kept(cat, lagrangian):
    image = with_alpha(cat)
    before = encode_image(image)
    blocks = rdo.optimise(before, image, lagrangian=lagrangian)
    assert blocks != before
    alpha, alpha_before = (decode_image(b, 192, 256)[..., 3] for b in (blocks, before))
    for value in (0, 255):
        promised = (image[..., 3] == value) & (alpha_before == value)
        assert promised.sum() > 1000
        assert (alpha[promised] == value).all()


def test_blocks_of_all_modes_are_read(cat):
    count = 64 * 64
    blocks = mixed_blocks(count)
    image = decode_blocks(blocks).reshape(64, 64, 4, 4, 4).transpose(0, 2, 1, 3, 4)
    image = np.ascontiguousarray(image.reshape(256, 256, 4))
    optimised = rdo.optimise(blocks.tobytes(), image, lagrangian=200)
    assert deflated(optimised) < deflated(blocks.tobytes())
    kept = (np.frombuffer(optimised, np.uint8).reshape(-1, 16) == blocks).all(axis=1)
    assert 0 < kept.sum() < count
    # The first block has nothing before it: it can only stay.
    assert kept[0]


CASES = {  # picture, which blocks of it, Lagrangian, window, weights
    "opaque": ("cat", "search", 4, 37, (1, 1, 1, 1)),
    "few colours": ("screen", "search", 4, 37, (4, 4, 4, 1)),
    "alpha": ("alpha", "search", 8, 64, (2, 0, 5, 200)),
    "mode 6": ("alpha", "pca", 30, 5, (1, 1, 1, 1)),
    "all modes": ("random", "mixed", 300, 37, (1, 1, 1, 1)),
}


@pytest.mark.parametrize("case", CASES)
def test_same_bytes_as_the_readable_twin_on_every_build(case, cat):
    name, source, lagrangian, window, weights = CASES[case]
    if name == "random":
        blocks = np.concatenate([mixed_blocks(100)] * 2)
        image = decode_blocks(blocks).reshape(8, 25, 4, 4, 4).swapaxes(1, 2).reshape(32, 100, 4)
        image = image[:30, :98]
    else:
        whole = with_alpha(cat) if name == "alpha" else rgba(name)
        image = np.ascontiguousarray(whole[40:78, 30:95])
    if source == "mixed":
        blocks = blocks.tobytes()
    else:
        blocks = encode_image(image) if source == "search" else encode_mode6(image, "pca")
    twin = Segment(blocks, image, lagrangian, window, weights).optimise()
    assert twin != blocks

    def optimise():
        options = {"lagrangian": lagrangian, "window": window, "weights": weights}
        return (np.frombuffer(rdo.optimise(blocks, image, **options), np.uint8),)

    assert on_every_build(optimise)[0].tobytes() == twin


def test_error_of_a_block_is_that_of_its_texels(cat):
    image = with_alpha(cat)
    weights = np.array([1, 2, 3, 4], dtype=np.float32)
    for row, column in [(0, 0), (20, 32), (32, 32), (40, 20)]:
        block = Block(image, row, column, weights)
        decoded = decode_block(mixed_blocks(1, seed=row)[0].tobytes())
        texels = image[4 * row : 4 * row + 4, 4 * column : 4 * column + 4].reshape(16, 4)
        squares = (decoded.astype(int) - texels) ** 2 * [1, 2, 3, 4]
        squares[texels[:, 3] == 0, :3] = 0
        assert block.squared_error(decoded) == squares.sum()


def test_fitted_endpoints_are_near_least_squares():
    """Rounding aside, no endpoints are better.

    It moves an endpoint by 1 level at most in mode 6 and by 2 in mode 1, where p-bits are given,
    and a texel by another half.
    """
    rng = np.random.default_rng(0)
    counts = np.ones((16, 4), dtype=bool)
    for code in mixed_blocks(400):
        texels = rng.integers(40, 200, 4) + rng.integers(-20, 20, (16, 4))
        low, high = map(int, code.view(np.uint64))
        if code[0] & 127 == 64:
            words = (fit_6(high, texels, counts, (FREE, FREE)), high)
            weights = np.array(WEIGHTS[4])[indices_6(high)]
            subsets, channels, slack = np.zeros(16, int), 4, 1.5**2
        elif code[0] & 3 == 2:
            texels[:, 3] = 255
            words = fit_1(low, high, texels, counts)
            partition = low >> 2 & 63
            weights = np.array(WEIGHTS[3])[indices_1(high, partition)]
            subsets, channels, slack = PARTITIONS[1, partition], 3, 2.5**2
        else:
            continue
        decoded = decode_block(np.array(words, dtype=np.uint64).tobytes()).astype(int)
        error = ((decoded - texels) ** 2).sum()
        assert error <= least_squares(texels, weights, subsets, channels) + 16 * channels * slack


def least_squares(texels, weights, subsets, channels):
    total = 0.0
    for subset in range(subsets.max() + 1):
        member = subsets == subset
        basis = np.stack([64 - weights[member], weights[member]], axis=1) / 64
        for channel in range(channels):
            x = texels[member, channel].astype(float)
            solved = np.linalg.lstsq(basis, x, rcond=None)[0]
            total += ((x - basis @ solved) ** 2).sum()
    return total


def test_the_number_of_threads_changes_nothing(monkeypatch):
    monkeypatch.setattr(rdo, "SEGMENT", 1 << 12)
    image = np.tile(rgba("bark")[:256, :256], (2, 2, 1))
    blocks = encode_image(image, effort="ultrafast")
    results = []
    for threads in (1, 3):
        monkeypatch.setattr(native, "_threads", threads)
        results.append(rdo.optimise(blocks, image, lagrangian=4, window=64))
    assert results[0] == results[1]


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (4, 64)])
def test_odd_sizes(cat, size):
    image = np.ascontiguousarray(cat[: size[0], : size[1]])
    blocks = encode_image(image)
    assert len(rdo.optimise(blocks, image, lagrangian=4)) == len(blocks)


def test_bad_input_is_refused(cat, cat_blocks):
    with pytest.raises(FormatError, match="take 49152 bytes, here are 49136"):
        rdo.optimise(cat_blocks[16:], cat, lagrangian=1)
    with pytest.raises(ImageError, match="uint8 of shape"):
        rdo.optimise(cat_blocks, cat[..., :3], lagrangian=1)
    for option in (
        {"lagrangian": -1.0},
        {"lagrangian": float("nan")},
        {"lagrangian": 1, "window": 0},
        {"lagrangian": 1, "window": 4096},
        {"lagrangian": 1, "weights": (1, 1, 1)},
        {"lagrangian": 1, "weights": (1, 1, 0.5, 1)},
    ):
        with pytest.raises(OptionError):
            rdo.optimise(cat_blocks, cat, **option)
