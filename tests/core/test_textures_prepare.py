"""Pictures on their way to a texture: every step against somebody else's, or written out slowly."""

import io

import numpy as np
import pytest
from PIL import Image, ImageChops, ImageCms
from scipy import ndimage

from smalti.errors import ImageError, OptionError
from smalti.image.transfer import linear_to_srgb, srgb_to_linear
from smalti.textures import (
    Preparation,
    decode_surface,
    encode_texture,
    first_levels,
    mip_chain,
    read_texture,
    straight,
    write_texture,
)
from smalti.textures.mips import EDGES
from smalti.textures.prepare import channels, colours, coverage, normals, sizes

from conftest import make_picture

LEVELS = np.arange(256, dtype=np.uint8)
SCIPY_EDGES = {"clamp": "nearest", "wrap": "wrap", "mirror": "reflect"}


def of_depth(picture: np.ndarray, dtype: type) -> np.ndarray:
    if dtype is np.uint8:
        return picture
    return picture * np.uint16(257) if dtype is np.uint16 else picture.astype(np.float32) / 255


def leaves(side: int = 128) -> np.ndarray:
    """A cut-out: thin stripes and dots, opaque or not at all."""
    y, x = np.mgrid[:side, :side]
    seen = (np.sin(x / 2.1) + np.sin(y / 3.3 + x / 9) > 0.6) | ((x // 8 + y // 8) % 5 == 0)
    return np.dstack([*[np.full((side, side), v) for v in (40, 120, 30)], 255 * seen]).astype(
        np.uint8
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_swizzle_is_pillows_merge_of_splits(dtype):
    picture = make_picture(4, 9, 7)
    bands = dict(zip("rgba", Image.fromarray(picture).split(), strict=True))
    bands |= {"0": bands["a"].point(lambda _: 0), "1": bands["a"].point(lambda _: 255)}
    for pattern in ("rgb1", "bgra", "gggr", "1g0r", "a0ra", "rrr"):
        merged = np.asarray(Image.merge("RGBA"[: len(pattern)], [bands[c] for c in pattern]))
        made = channels.swizzled([of_depth(picture, dtype)], pattern)
        assert made.dtype == dtype
        np.testing.assert_array_equal(made, of_depth(merged, dtype))


def test_packing_takes_channels_of_several():
    ao, roughness, colour = make_picture(1, 8, 8), make_picture(1, 8, 8, 1), make_picture(4, 8, 8)
    three = [picture.reshape(8, 8, -1) for picture in (ao, roughness, colour)]
    packed = channels.swizzled(three, "r+g+ba")
    np.testing.assert_array_equal(packed, np.dstack([ao, roughness, colour[..., 2:]]))
    assert (
        channels.swizzled(three[:1], "ra").tolist()
        == np.dstack([ao, np.full_like(ao, 255), 0 * ao]).tolist()
    )  # two letters are red and green
    with pytest.raises(ImageError, match="the first is 8 x 8, number 2 is 4 x 8"):
        channels.swizzled([three[0], three[1][:, :4]], "r+r")
    texture = encode_texture(three[:2] * 3, prepare=Preparation("r+r"), srgb=False, mips="none")
    assert texture.layers == 3
    with pytest.raises(OptionError, match=r"r\+r makes one of 2 pictures, here are 3"):
        encode_texture(three, prepare=Preparation("r+r"))


@pytest.mark.parametrize("bad", ["rgbx", "rgbaa", "r++g", "+", "r+"])
def test_a_bad_swizzle_is_refused(bad):
    with pytest.raises(OptionError, match="it is 1 to 4 of r, g, b, a, 0 and 1"):
        Preparation(bad)


def test_flips_are_pillows():
    picture = make_picture(3, 5, 8)
    image = Image.fromarray(picture)
    for axes, turn in (
        ("x", Image.Transpose.FLIP_LEFT_RIGHT),
        ("y", Image.Transpose.FLIP_TOP_BOTTOM),
        ("xy", Image.Transpose.ROTATE_180),
    ):
        np.testing.assert_array_equal(channels.flipped(picture, axes), image.transpose(turn))


def test_premultiplied_numbers_are_pillows():
    """Pillow multiplies as numbers: linear texels; where it divides by 255 it rounds as we do."""
    picture = np.stack(np.broadcast_arrays(*np.ix_(LEVELS, LEVELS)), -1)[..., [0, 0, 0, 1]]
    picture = np.ascontiguousarray(picture)
    pillow = np.asarray(Image.fromarray(picture).convert("RGBa").copy().tobytes("raw", "RGBa"))
    pillow = np.frombuffer(bytes(pillow), np.uint8).reshape(picture.shape)
    made = channels.premultiplied(picture, srgb=False)
    assert np.abs(made.astype(int) - pillow).max() <= 1
    exact = np.rint(picture[..., 0].astype(float) * picture[..., 3] / 255)
    np.testing.assert_array_equal(made[..., 0], exact)


def test_premultiplied_colours_are_light_times_alpha():
    picture = make_picture(4, 32, 32)
    made = channels.premultiplied(picture, srgb=True)
    light = srgb_to_linear(picture[..., :3] / 255) * (picture[..., 3:] / 255)
    assert np.abs(made[..., :3] - 255 * linear_to_srgb(light)).max() < 0.51
    back = channels.unpremultiplied(made, srgb=True).astype(int)
    seen = picture[..., 3] > 60
    assert np.abs(back[seen] - picture[seen])[..., :3].max() <= 3
    grey = np.dstack([picture[..., 0], picture[..., 3]])
    np.testing.assert_array_equal(channels.premultiplied(grey, srgb=True)[..., 0], made[..., 0])
    floats = of_depth(picture, np.float32) * 8  # light is not clipped
    made = channels.premultiplied(floats, srgb=False)
    np.testing.assert_allclose(made[..., 0], floats[..., 0] * floats[..., 3], rtol=1e-6)


@pytest.mark.parametrize("suffix", [".dds", ".ktx2"])
@pytest.mark.parametrize("format", ["bc7", "rgba16f"])
def test_the_file_says_that_alpha_is_premultiplied(suffix, format):
    picture = make_picture(4, 20, 12)
    texture = encode_texture([picture], format=format, prepare=Preparation(premultiply=True))
    held = read_texture(write_texture(texture, suffix))
    assert held == texture
    assert held.premultiplied
    plain = encode_texture([picture], format=format)
    assert not read_texture(write_texture(plain, suffix)).premultiplied
    if format == "bc7":
        seen = picture[..., 3] > 128
        back = straight(held, decode_surface(held))
        assert np.abs(back[seen].astype(int) - decode_surface(plain)[seen]).mean() < 8


def test_pillow_and_the_header_agree_on_premultiplied_dds():
    texture = encode_texture([make_picture(4, 8, 8)], prepare=Preparation(premultiply=True))
    data = write_texture(texture, ".dds")
    # DDS_HEADER_DXT10.miscFlags2, the last of its five numbers: DDS_ALPHA_MODE_PREMULTIPLIED is 2.
    assert int.from_bytes(data[144:148], "little") == 2
    # The flags of the basic data format descriptor: KHR_DF_FLAG_ALPHA_PREMULTIPLIED is 1.
    data = write_texture(texture, ".ktx2")
    descriptor = int.from_bytes(data[48:52], "little")
    assert data[descriptor + 15] == 1


def test_dxt4_is_read_as_premultiplied():
    pytest.importorskip("quicktex")
    texture = encode_texture([make_picture(4, 8, 8)], format="bc3", mips="none", srgb=False)
    data = write_texture(texture, ".dds")
    legacy = data[:84] + b"DXT4" + data[88:128] + data[148:]
    held = read_texture(legacy)
    assert (held.format, held.premultiplied, held.levels) == ("bc3", True, texture.levels)


@pytest.mark.parametrize("edges", EDGES)
def test_normals_of_heights_are_scipys_slopes(edges):
    heights = ndimage.gaussian_filter(make_picture(1, 40, 56).astype(float), 2) / 255
    made = normals.of_height(heights[..., None].astype(np.float32), 6.0, edges)
    scharr = np.outer([3, 10, 3], [-1, 0, 1]) / 32
    mode = SCIPY_EDGES[edges]
    along_x = 6 * ndimage.correlate(heights, scharr, mode=mode)
    down = 6 * ndimage.correlate(heights, scharr.T, mode=mode)
    vectors = np.stack([-along_x, down, np.ones_like(down)], -1)
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    np.testing.assert_allclose(made, vectors / 2 + 0.5, atol=1e-5)


def test_a_slope_leans_the_right_way():
    """Green is up: where the picture gets whiter to its top, normals point down, out of the slope."""
    rising = np.tile(np.linspace(1, 0, 16, dtype=np.float32)[:, None, None], (1, 16, 1))
    x, y, z = normals.of_height(rising, 15.0, "clamp")[8, 8] * 2 - 1
    np.testing.assert_allclose([x, y, z], np.array([0, -1, 1]) / np.sqrt(2), atol=1e-5)
    texture = encode_texture(
        [(255 * rising).astype(np.uint8)], prepare=Preparation(from_height=15.0), mips="none"
    )
    assert not texture.srgb
    np.testing.assert_allclose(decode_surface(texture)[8, 8], [128, 37, 218, 255], atol=3)


def test_green_turns_and_blue_comes_back():
    y, x = np.mgrid[-1:1:33j, -1:1:33j] * 0.68
    vectors = np.stack([x, y, np.sqrt(1 - x * x - y * y)], -1)
    picture = np.rint(127.5 * vectors + 127.5).astype(np.uint8)
    turned = normals.with_inverted_y(picture)
    np.testing.assert_array_equal(
        turned[..., 1], ImageChops.invert(Image.fromarray(picture[..., 1]))
    )
    np.testing.assert_array_equal(turned[..., ::2], picture[..., ::2])
    flat = picture.copy()
    flat[..., 2] = 0
    rebuilt = normals.with_rebuilt_z(flat)
    assert np.abs(rebuilt.astype(int) - picture).max() <= 2
    for step in (normals.with_inverted_y, normals.with_rebuilt_z):
        with pytest.raises(ImageError, match="of 3 channels or 4; this picture has 2"):
            step(picture[..., :2])


def test_display_p3_is_converted_as_littlecms_does():
    imagecodecs = pytest.importorskip("imagecodecs")
    levels = np.linspace(0, 255, 9).round().astype(np.uint8)
    cube = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(27, 27, 3)
    p3 = imagecodecs.cms_profile(
        "rgb",
        whitepoint=[0.3127, 0.3290, 1.0],
        primaries=[0.680, 0.320, 1.0, 0.265, 0.690, 1.0, 0.150, 0.060, 1.0],
        transferfunction=srgb_to_linear(np.arange(4096) / 4095).astype(np.float32),
    )
    wanted = np.asarray(
        ImageCms.profileToProfile(
            Image.fromarray(cube),
            ImageCms.ImageCmsProfile(io.BytesIO(p3)),
            ImageCms.createProfile("sRGB"),
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
        )
    )
    made = colours.converted(cube, "display-p3", "srgb")
    inside = (made > 8).all(axis=-1) & (made < 250).all(
        axis=-1
    )  # of the gamut: the rest is clipped
    assert inside.sum() > 200
    assert np.abs(made.astype(int) - wanted)[inside].max() <= 2
    # CSS Color 4's own example: color(display-p3 0 1 0) in linear sRGB.
    green = np.float32([[[0, 1, 0]]])
    np.testing.assert_allclose(
        colours.converted(green, "display-p3", "linear")[0, 0],
        [-0.224940, 1.042057, -0.078636],
        atol=2e-5,
    )


def test_light_becomes_srgb_and_back():
    ramp = np.dstack([LEVELS, LEVELS, LEVELS, LEVELS[::-1]])
    encoded = colours.converted(ramp, "linear", "srgb")
    assert np.abs(encoded[..., 0] - 255 * linear_to_srgb(LEVELS / 255)).max() < 0.51
    np.testing.assert_array_equal(encoded[..., 3], ramp[..., 3])
    sixteen = of_depth(ramp, np.uint16)
    back = colours.converted(colours.converted(sixteen, "srgb", "linear"), "linear", "srgb")
    assert np.abs(back.astype(int) - sixteen).max() <= 9
    texture = encode_texture(
        [np.full((4, 4, 3), 55, np.uint8)], prepare=Preparation(colours="linear"), mips="none"
    )
    assert texture.srgb
    assert np.abs(decode_surface(texture)[0, 0, :3].astype(int) - 128).max() <= 1


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("", (100, 300)),
        ("512x256", (256, 512)),
        ("50%", (50, 150)),
        ("fit150", (50, 150)),
        ("fit4096", (100, 300)),
        ("pow2", (128, 512)),
        ("multiple4", (100, 300)),
    ],
)
def test_target_sizes(text, size):
    assert sizes.target(text, 100, 300) == size
    assert sizes.target("multiple4", 101, 303) == (104, 304)


@pytest.mark.parametrize("bad", ["big", "0x4", "20000x4", "fit0", "-4x4", "4x"])
def test_bad_sizes_are_refused(bad):
    with pytest.raises(OptionError, match=r"resize "):
        Preparation(resize=bad)


def resize(picture: np.ndarray, text: str, **options: object) -> np.ndarray:
    given = {"edges": "clamp", "srgb": False, "normal": False, "alpha_weighted": True}
    return sizes.resized(picture, text, **(given | options))


@pytest.mark.parametrize("text", ["40x30", "96x64", "200x50", "7x100"])
def test_resizing_is_mitchells_filter(text):
    """Twice the B-spline's and Catmull-Rom's parts: the latter is Pillow's bicubic filter."""
    picture = make_picture(1, 64, 80)[..., None].astype(np.float32) / 255
    made = resize(picture, text)
    width, height = map(int, text.split("x"))
    assert made.shape == (height, width, 1)
    kinds = Image.Resampling
    softer, sharper = (
        np.asarray(Image.fromarray(picture[..., 0]).resize((width, height), kind))
        for kind in (kinds.BILINEAR, kinds.LANCZOS)
    )
    # Mitchell's lies between a soft filter and a sharp one, and near both.
    assert np.abs(made[..., 0] - (softer + sharper) / 2).mean() < 0.02
    level = resize(np.full_like(picture, 0.4), text)
    np.testing.assert_allclose(level, 0.4, atol=1e-6)


def test_resizing_averages_light_and_keeps_alphas_colours():
    stripes = np.tile(np.uint8([[[0], [255]]]), (8, 32, 1))
    middle = resize(stripes, "8x4", srgb=True)[:, 2:-2]
    assert np.abs(middle.astype(int) - 188).max() <= 1
    picture = np.zeros((32, 32, 4), np.uint8)
    picture[..., 1] = 255  # bright green, and nothing of it to be seen
    picture[:, :16] = (200, 40, 90, 255)
    for text in ("16x16", "50x50"):
        made = resize(picture, text, srgb=True)
        assert np.abs(made[made[..., 3] > 64][:, :3].astype(int) - (200, 40, 90)).max() <= 3
    vectors = resize(make_picture(3, 16, 16), "24x20", normal=True) / 127.5 - 1
    assert np.abs(np.linalg.norm(vectors, axis=-1) - 1).max() < 0.012
    tile = make_picture(3, 16, 24)
    one, two = (
        resize(t, "48x32", edges="wrap") for t in (tile, np.roll(tile, (3, 5), axis=(0, 1)))
    )
    np.testing.assert_array_equal(np.roll(one, (6, 10), axis=(0, 1)), two)


def test_cut_outs_keep_their_coverage():
    picture = leaves()
    wanted = coverage.covered(picture[..., 3] / np.float32(255), 0.5, "clamp")
    plain = list(mip_chain(picture))
    texture = encode_texture([picture], prepare=Preparation(coverage=0.5), format="bc7")
    missed, was = [], []
    for level in range(1, 6):
        alpha = decode_surface(texture, level)[..., 3] / np.float32(255)
        missed.append(abs(slow_coverage(alpha) - wanted))
        was.append(abs(slow_coverage(plain[level][..., 3] / np.float32(255)) - wanted))
    assert max(missed[:4]) < 0.02  # the last has 16 texels, and the encoder's error
    assert missed[4] < 0.08
    assert np.mean(was) > 3 * np.mean(missed)


def slow_coverage(alpha: np.ndarray) -> float:
    """As a GPU's linear filter sees it: SciPy's, looked up at 8 x 8 places in each texel."""
    height, width = alpha.shape
    steps = (np.arange(8) + 0.5) / 8 - 0.5
    rows = (np.arange(height)[:, None] + steps).ravel()
    columns = (np.arange(width)[:, None] + steps).ravel()
    looked_up = ndimage.map_coordinates(
        alpha, np.meshgrid(rows, columns, indexing="ij"), order=1, mode="nearest"
    )
    return float((looked_up >= 0.5).mean())


def test_coverage_then_premultiplied():
    """Alpha is scaled first: colours are multiplied with the alpha that is stored."""
    texture = encode_texture([leaves(32)], prepare=Preparation(coverage=0.5, premultiply=True))
    for level in range(len(texture.levels)):
        texels = decode_surface(texture, level)
        light = srgb_to_linear(texels[..., :3] / 255)
        most = srgb_to_linear(np.array([40, 120, 30]) / 255) * (texels[..., 3:] / 255)
        assert np.abs(linear_to_srgb(light) - linear_to_srgb(most)).max() < 0.16


def test_limits_on_levels():
    picture = make_picture(3, 64, 256)
    for preparation, count in (
        (Preparation(), 9),
        (Preparation(levels=3), 3),
        (Preparation(smallest=4), 5),
        (Preparation(smallest=4, levels=2), 2),
        (Preparation(smallest=512), 1),
    ):
        assert (
            len(encode_texture([picture], effort="ultrafast", prepare=preparation).levels) == count
        )


def test_a_normal_maps_swizzle_comes_after_its_levels():
    y, x = np.mgrid[:64, :64]
    vectors = np.stack([np.sin(x / 12), np.cos(y / 15), np.full(x.shape, 0.7)], -1)
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    picture = np.rint(127.5 * vectors + 127.5).astype(np.uint8)
    made = encode_texture([picture], normal=True, prepare=Preparation("1g0r"))
    plain = list(mip_chain(picture, normal=True))
    for level in range(3):
        texels = decode_surface(made, level).astype(int)
        wanted = plain[level][..., :2].astype(int)
        assert np.abs(texels[..., [3, 1]] - wanted).mean() < 3
        assert (texels[..., 0] > 250).all()


def test_nothing_asked_for_changes_nothing():
    picture = make_picture(4, 12, 20)
    (first,) = first_levels([picture])
    np.testing.assert_array_equal(first, picture)
    assert encode_texture([picture]) == encode_texture(
        [picture], prepare=Preparation(edges="clamp")
    )
