"""The `pca` and `nelder-mead` encoders: real blocks, their readable twin, what they promise."""

import numpy as np
import pytest
import texture2ddecoder
from PIL import Image

from smalti import native
from smalti.bc7.decode import decode_image
from smalti.bc7.mode6 import ENGINES, GOOD_ENOUGH, ITERATIONS, encode_mode6
from smalti.bc7.reference.mode6 import Mode6Block, encode_block, trace_block
from smalti.errors import ImageError, OptionError
from smalti.eval.metrics import psnr
from smalti.files import BUNDLED_PICTURES

from native_builds import on_every_build

FLOORS = (41.3, 41.65)  # dB, of pca and of nelder-mead


@pytest.fixture(scope="module")
def photograph() -> np.ndarray:
    """A crop of 61 x 45 texels, RGBA: a face and cloth."""
    with Image.open(BUNDLED_PICTURES / "astronaut.png") as picture:
        return np.asarray(picture.convert("RGBA"))[100:145, 60:121]


def noise(height: int, width: int, *, alphas=None) -> np.ndarray:
    rng = np.random.default_rng(5)
    image = rng.integers(0, 256, (height, width, 4), dtype=np.uint8)
    if alphas is not None:
        image[..., 3] = rng.choice(alphas, (height, width))
    return image


def blocks_of(image: np.ndarray) -> list[np.ndarray]:
    """The 16 texels of each block in row-major order, edges repeated."""
    height, width = image.shape[:2]
    image = np.pad(image, ((0, -height % 4), (0, -width % 4), (0, 0)), mode="edge")
    rows, columns = image.shape[0] // 4, image.shape[1] // 4
    return list(image.reshape(rows, 4, columns, 4, 4).transpose(0, 2, 1, 3, 4).reshape(-1, 16, 4))


def errors_of(image: np.ndarray, blocks: bytes) -> np.ndarray:
    """Squared error of each block, colour under alpha 0 not counted."""
    decoded = np.array(blocks_of(decode_image(blocks, *image.shape[:2])), dtype=np.int64)
    texels = np.array(blocks_of(image), dtype=np.int64)
    squares = (decoded - texels) ** 2
    squares[..., :3] *= (texels[..., 3:] > 0).astype(np.int64)
    return squares.sum(axis=(1, 2))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "alphas", [None, [0, 255], [0, 90], [255], [17, 200]], ids=lambda a: f"alpha {a}"
)
def test_same_bits_as_the_readable_twin_on_noise(engine, alphas):
    image = noise(14, 22, alphas=alphas)
    expected = b"".join(encode_block(texels, engine) for texels in blocks_of(image))
    (blocks,) = on_every_build(lambda: (np.frombuffer(encode_mode6(image, engine), np.uint8),))
    assert blocks.tobytes() == expected


@pytest.mark.parametrize("engine", ENGINES)
def test_same_bits_as_the_readable_twin_on_a_photograph(engine, photograph):
    expected = b"".join(encode_block(texels, engine) for texels in blocks_of(photograph))
    assert encode_mode6(photograph, engine) == expected


@pytest.mark.parametrize("engine", ENGINES)
def test_threads_change_nothing(engine, photograph, monkeypatch):
    image = np.tile(photograph, (2, 3, 1))
    results = []
    for threads in (1, 3):
        monkeypatch.setattr(native, "_threads", threads)
        results.append(encode_mode6(image, engine))
    assert results[0] == results[1]


@pytest.mark.parametrize("engine", ENGINES)
def test_another_decoder_reads_the_same_picture(engine, photograph):
    image = photograph.copy()
    image[..., 3] = np.arange(61) * 4
    blocks = encode_mode6(image, engine)
    assert len(blocks) == 16 * 12 * 16
    bgra = texture2ddecoder.decode_bc7(blocks, 61, 45)
    rgba = np.frombuffer(bgra, dtype=np.uint8).reshape(45, 61, 4)[..., [2, 1, 0, 3]]
    np.testing.assert_array_equal(rgba, decode_image(blocks, 45, 61))


def test_nelder_mead_helps_and_is_never_worse(photograph):
    guessed, searched = (errors_of(photograph, encode_mode6(photograph, e)) for e in ENGINES)
    assert (searched <= guessed).all()
    assert (searched[guessed <= GOOD_ENOUGH] == guessed[guessed <= GOOD_ENOUGH]).all()
    assert (searched < guessed)[guessed > GOOD_ENOUGH].mean() > 0.8
    assert searched.sum() < 0.95 * guessed.sum()


def test_quality_floors(photograph):
    found = [psnr(photograph, decode_image(encode_mode6(photograph, e), 45, 61)) for e in ENGINES]
    assert found[0] >= FLOORS[0], found
    assert found[1] >= FLOORS[1], found


def test_a_line_that_falls_in_one_channel_keeps_its_direction():
    steps = np.arange(16) * 17
    texels = np.stack([steps, 255 - steps, np.full(16, 128), np.full(16, 255)], axis=1)
    point = Mode6Block(texels).principal_ends().reshape(2, 4)
    assert sorted(map(tuple, np.round(point))) == [(0, 255, 128, 255), (255, 0, 128, 255)]
    image = texels.reshape(4, 4, 4).astype(np.uint8)
    decoded = decode_image(encode_mode6(image, "pca"), 4, 4)
    assert np.abs(decoded.astype(int) - image).max() <= 4


@pytest.mark.parametrize("engine", ENGINES)
def test_exact_alpha(engine, photograph):
    decoded = decode_image(encode_mode6(photograph, engine), 45, 61)
    assert (decoded[..., 3] == 255).all()
    image = noise(32, 32, alphas=[0, 3, 120, 255])
    image[:8, :8, 3] = 0
    image[8:16, :8, 3] = 255
    decoded = decode_image(encode_mode6(image, engine), 32, 32)
    assert (decoded[image[..., 3] == 0][:, 3] == 0).all()
    assert (decoded[8:16, :8, 3] == 255).all()


def test_trace_tells_each_step():
    texels = noise(4, 4, alphas=[255]).reshape(16, 4)
    trace = trace_block(texels)
    assert 1 < len(trace.steps) <= ITERATIONS + 1
    best = [step.errors[0] for step in trace.steps]
    assert best == sorted(best, reverse=True)
    assert best[-1] == trace.error < trace.first_error
    assert all((np.diff(step.errors) >= 0).all() for step in trace.steps)
    assert {len(step.simplex) for step in trace.steps} == {7}  # 6 variables: alpha is prescribed
    assert {step.operation for step in trace.steps} <= {
        "start", "reflection", "expansion", "contraction", "shrink"
    }  # fmt: skip
    assert not trace_block(texels, "pca").steps


def test_solid_and_odd_sizes():
    image = np.full((1, 5, 4), (10, 201, 255, 255), dtype=np.uint8)
    decoded = decode_image(encode_mode6(image, "nelder-mead"), 1, 5)
    assert np.abs(decoded.astype(int) - image).max() <= 1


def test_refusals():
    with pytest.raises(OptionError, match="unknown engine 'simplex'; known: pca, nelder-mead"):
        encode_mode6(np.zeros((4, 4, 4), dtype=np.uint8), "simplex")
    for wrong in (np.zeros((4, 4, 3), dtype=np.uint8), np.zeros((4, 4, 4)), np.zeros((0, 4, 4))):
        with pytest.raises(ImageError, match="takes uint8 of shape"):
            encode_mode6(wrong, "pca")
