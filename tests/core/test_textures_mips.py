"""Mip levels: against a filter written out slowly, and what each option promises."""

import tracemalloc

import numpy as np
import pytest
from PIL import Image
from scipy.interpolate import BSpline

from smalti.errors import ImageError, OptionError
from smalti.image.transfer import linear_to_srgb, srgb_to_linear
from smalti.textures import mip_chain, reference
from smalti.textures.mips import _TRUSTED, EDGES, FILTERS, RINGING, mip_strips, space_of, taps
from smalti.textures.texture import level_size

from conftest import make_picture
from native_builds import on_every_build

LEVELS = np.arange(256)


def rgba(height: int, width: int, *, opaque: bool = False, seed: int = 0) -> np.ndarray:
    image = make_picture(4, height, width, seed)
    if opaque:
        image[..., 3] = 255
    return image


def covered(before: int, after: int) -> np.ndarray:
    """(after, before): how much of each texel an output texel covers, of 1 in all."""
    weights = np.zeros((after, before))
    for i in range(after):
        low, high = i * before / after, (i + 1) * before / after
        for j in range(before):
            weights[i, j] = max(0, min(high, j + 1) - max(low, j)) * after / before
    return weights


def keys(x: float) -> float:
    """Catmull and Rom's cubic, Keys' with a = -1/2."""
    x = abs(x)
    if x < 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0


B_SPLINE = BSpline.basis_element([-2, -1, 0, 1, 2], extrapolate=False)
# Radius, and the weight at a distance. Mitchell's cubic is a third B-spline, the rest Catmull-Rom.
KERNELS = {
    "triangle": (1, lambda x: 1 - abs(x)),
    "kaiser": (3, lambda x: np.sinc(x) * np.i0(4 * np.sqrt(1 - (x / 3) ** 2))),
    "mitchell": (2, lambda x: B_SPLINE(x) / 3 + 2 / 3 * keys(x)),
    "lanczos": (3, lambda x: np.sinc(x) * np.sinc(x / 3)),
}


def inside(j: int, size: int, edges: str) -> int:
    if edges == "wrap":
        return j % size
    while edges == "mirror" and not 0 <= j < size:
        j = -1 - j if j < 0 else 2 * size - 1 - j
    return min(max(j, 0), size - 1)


def weights_of(filter: str, before: int, after: int, edges: str) -> np.ndarray:
    """(after, before): how much of each texel an output texel is."""
    if filter == "box":
        return covered(before, after)
    radius, kernel = KERNELS[filter]
    weights = np.zeros((after, before))
    ratio = before / after
    for i in range(after):
        centre = (i + 0.5) * ratio
        for j in range(-10 * before, 11 * before):
            x = (j + 0.5 - centre) / ratio
            if abs(x) < radius:
                weights[i, inside(j, before, edges)] += kernel(x)
    return weights / weights.sum(axis=1, keepdims=True)


def to_linear(levels: np.ndarray) -> np.ndarray:
    c = levels / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def to_srgb(light: np.ndarray) -> np.ndarray:
    light = light.clip(0, 1)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


SIZES = [(8, 8), (64, 32), (7, 5), (1, 9), (13, 1), (37, 70), (3, 3), (1, 1)]


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("filter", FILTERS)
def test_sides_are_halved_and_rounded_down(filter, height, width):
    levels = list(mip_chain(rgba(height, width), filter=filter))
    assert len(levels) == int(np.floor(np.log2(max(height, width)))) + 1
    for level, texels in enumerate(levels):
        sides = (max(1, height // 2**level), max(1, width // 2**level))
        assert (texels.dtype, texels.shape) == (np.uint8, (*sides, 4))
    np.testing.assert_array_equal(levels[0], rgba(height, width))


@pytest.mark.parametrize("edges", EDGES)
@pytest.mark.parametrize(("height", "width"), SIZES[:-1])
@pytest.mark.parametrize("filter", FILTERS)
def test_an_opaque_srgb_level_is_the_filtered_light(filter, height, width, edges):
    image = rgba(height, width, opaque=True)
    sides = max(1, height // 2), max(1, width // 2)
    down = weights_of(filter, height, sides[0], edges)
    across = weights_of(filter, width, sides[1], edges)
    light = np.einsum("ij,jkc,lk->ilc", down, to_linear(image[..., :3]), across)
    levels = list(mip_chain(image, filter=filter, edges=edges))
    assert np.abs(levels[1][..., :3] - to_srgb(light)).max() < 0.55
    assert all((level[..., 3] == 255).all() for level in levels)


@pytest.mark.parametrize(
    ("filter", "kind"),
    [
        ("box", Image.Resampling.BOX),
        ("triangle", Image.Resampling.BILINEAR),
        ("lanczos", Image.Resampling.LANCZOS),
    ],
)
def test_pillow_filters_alike_inside(filter, kind):
    image = make_picture(1, 96, 128)
    level = list(mip_chain(image[..., None], filter=filter, srgb=False))[1][..., 0]
    pillow = Image.fromarray(image.astype(np.float32)).resize((64, 48), kind)
    inner = (slice(4, -4), slice(4, -4))  # at the edges Pillow leaves out what lies beyond
    assert np.abs(level.astype(float) - np.asarray(pillow).clip(0, 255))[inner].max() < 0.51


def test_fewer_levels_are_the_first_ones():
    image = rgba(40, 24)
    for one, two in zip(mip_chain(image, levels=3), list(mip_chain(image))[:3], strict=True):
        np.testing.assert_array_equal(one, two)


def test_levels_come_from_unrounded_ones():
    image = rgba(64, 64, opaque=True)
    light = to_linear(image[..., :3]).mean(axis=(0, 1))
    *_, last = mip_chain(image, filter="box")
    assert np.abs(last[0, 0, :3] - to_srgb(light)).max() < 0.55


@pytest.mark.parametrize("filter", FILTERS)
@pytest.mark.parametrize("srgb", [True, False])
def test_an_even_picture_stays_as_it_is(filter, srgb):
    for value in LEVELS:
        image = np.full((5, 6, 4), value, dtype=np.uint8)
        for level in mip_chain(image, filter=filter, srgb=srgb):
            assert (level == value).all(), value


def test_linear_texels_are_averaged_as_they_are():
    image = np.zeros((2, 2, 4), dtype=np.uint8)
    image[0] = 255
    for srgb, mean in ((True, 188), (False, 128)):
        *_, last = mip_chain(image, filter="box", srgb=srgb, alpha_weighted=False)
        assert last[0, 0].tolist() == [mean, mean, mean, 128]


@pytest.mark.parametrize("filter", FILTERS)
def test_invisible_colour_does_not_leak(filter):
    image = np.zeros((32, 32, 4), dtype=np.uint8)
    image[..., 1] = 255  # bright green, and nothing of it to be seen
    image[:, :11] = (200, 40, 90, 255)
    for level in mip_chain(image, filter=filter):
        seen = level[level[..., 3] >= 64].astype(int)
        assert len(seen)
        assert np.abs(seen[:, :3] - (200, 40, 90)).max() <= 3
    *_, last = mip_chain(image, filter=filter, alpha_weighted=False)
    assert last[0, 0, 1] > 200


@pytest.mark.parametrize("filter", FILTERS)
def test_colour_under_alpha_0_is_the_mean_of_its_neighbours(filter):
    image = np.full((16, 16, 4), (180, 60, 20, 0), dtype=np.uint8)
    for level in mip_chain(image, filter=filter):
        np.testing.assert_array_equal(level, np.broadcast_to((180, 60, 20, 0), level.shape))


def test_the_kaiser_filter_makes_no_strange_colours_where_alpha_is_small():
    """A cut-out edge makes its alpha swing around 0; colour over alpha must not swing with it."""
    image = np.full((64, 64, 4), (90, 90, 90, 0), dtype=np.uint8)
    image[20:41, 13:50] = (120, 110, 100, 255)
    image[20:41:2, 13:50, :3] //= 2
    for level in mip_chain(image):
        assert level[..., :3].max() <= 150
        assert level[..., :3].min() >= 30


@pytest.mark.parametrize("filter", FILTERS)
def test_normals_stay_unit_vectors(filter):
    y, x = np.mgrid[:33, :47]
    vector = np.stack([np.sin(x / 3), np.cos(y / 4), np.full(x.shape, 0.7)], axis=-1)
    vector /= np.linalg.norm(vector, axis=-1, keepdims=True)
    alpha = np.full((*x.shape, 1), 40)  # a height, say: no weight
    image = np.concatenate([np.rint(127.5 * vector + 127.5), alpha], axis=-1).astype(np.uint8)
    for level in mip_chain(image, filter=filter, normal=True):
        length = np.linalg.norm(level[..., :3] / 127.5 - 1, axis=-1)
        assert np.abs(length - 1).max() < 0.012
        assert (level[..., 3] == 40).all()
    down, across = covered(33, 16), covered(47, 23)
    mean = np.einsum("ij,jkc,lk->ilc", down, image[..., :3] / 127.5 - 1, across)
    mean /= np.linalg.norm(mean, axis=-1, keepdims=True)
    level = list(mip_chain(image, filter="box", normal=True))[1]
    assert np.abs(level[..., :3] - (127.5 * mean + 127.5)).max() < 0.52


def test_opposite_normals_give_the_one_straight_up():
    image = np.zeros((2, 2, 4), dtype=np.uint8)
    image[0, :, :3] = 255
    *_, last = mip_chain(image, filter="box", normal=True)
    assert last[0, 0, :3].tolist() == [128, 128, 255]


def test_a_tiled_texture_may_be_moved():
    image = rgba(32, 48, opaque=True)
    moved = np.roll(image, (8, 16), axis=(0, 1))
    for level, (one, two) in enumerate(
        zip(mip_chain(image, edges="wrap"), mip_chain(moved, edges="wrap"), strict=True)
    ):
        if level <= 3:  # so far the way is a whole number of texels
            np.testing.assert_array_equal(np.roll(one, (8 >> level, 16 >> level), axis=(0, 1)), two)


def test_transfer_functions_are_each_others_inverse():
    light = srgb_to_linear(LEVELS / 255)
    np.testing.assert_allclose(linear_to_srgb(light), LEVELS / 255, atol=1e-7)
    assert light[[0, 255]].tolist() == [0, 1]
    assert abs(light[128] - 0.2158605) < 1e-6


def test_memory_is_a_few_rows():
    image = np.random.default_rng(0).integers(0, 256, (4096, 2048, 3), dtype=np.uint8)
    tracemalloc.start()
    for _ in mip_strips(image):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.5 * image.nbytes  # as floats, level 1 alone would be 1


@pytest.mark.parametrize(("height", "width"), [(301, 130), (200, 37), (3, 70), (129, 3), (2, 1)])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("filter", FILTERS)
@pytest.mark.parametrize("edges", EDGES)
def test_kernels_are_their_twins_bit_for_bit(height, width, channels, filter, edges):
    image = make_picture(channels, height, width).reshape(height, width, channels)
    for normal in {False, channels > 2}:
        space = space_of(not normal, normal, channels in (2, 4) and not normal)
        filters = [filter, "box"] if space.invisible and filter in RINGING else [filter]
        planes = [reference.to_planes(image, space)] * len(filters)
        wanted = []
        while max(size := planes[0].shape[1:]) > 1:
            after = level_size(*size, 1)
            axes = [[taps(f, *sizes) for sizes in zip(size, after, strict=True)] for f in filters]
            planes = [
                reference.shrink(p, *each, edges) for p, each in zip(planes, axes, strict=True)
            ]
            wanted.append(reference.to_texels(planes[0], space, _TRUSTED, *planes[1:]))
        made = on_every_build(
            lambda normal=normal: tuple(
                mip_chain(image, filter=filter, normal=normal, srgb=not normal, edges=edges)
            )
        )
        assert len(made) == 1 + len(wanted)
        for level, expected in zip(made[1:], wanted, strict=True):
            assert np.array_equal(level, expected)


def test_channels_are_filtered_alike():
    image = rgba(50, 41)
    for channels in (1, 2, 3):
        kept = [0, 3] if channels == 2 else [*range(channels)]
        part = np.ascontiguousarray(image[..., kept])
        whole = image.copy()
        if channels != 2:
            whole[..., 3] = 255
        levels = zip(mip_chain(part), mip_chain(whole), strict=True)
        difference = [np.abs(a.astype(int) - b[..., kept]).max() for a, b in levels]
        assert max(difference) <= 1


def test_bad_arguments():
    image = rgba(4, 4)
    with pytest.raises(OptionError, match="unknown filter 'sinc'"):
        mip_chain(image, filter="sinc")
    with pytest.raises(OptionError, match="unknown edges 'repeat'"):
        mip_chain(image, edges="repeat")
    with pytest.raises(ImageError, match=r"uint8 of shape \(4, 4\)"):
        mip_chain(image[..., 0])
    with pytest.raises(ImageError, match=r"a normal map has 3 channels or 4, this has 1"):
        mip_chain(image[..., :1], normal=True)
    with pytest.raises(ImageError, match="float32"):
        mip_chain(image.astype(np.float32))
