"""Linear light of any range: EXR and Radiance files, the tone mapper, textures of light."""

import io
import struct
import sys

import numpy as np
import pytest
from PIL import Image

from smalti import image
from smalti.errors import FormatError, ImageError, MissingExtraError, OptionError
from smalti.eval.light import log_rmse, multi_exposure_psnr
from smalti.image.transfer import linear_to_srgb
from smalti.textures import (
    FORMATS,
    decode_surface,
    encode_texture,
    read_texture,
    write_texture,
)
from smalti.textures.dds import write_dds

from bc6_blocks import by_bcdec

OF_LIGHT = [name for name, known in FORMATS.items() if known.light]


def made_light(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    """A gradient over eight stops with a sun and some noise: float32."""
    rng = np.random.default_rng(seed)
    v, u = np.mgrid[0:height, 0:width].astype(np.float32) / max(height, width)
    light = np.exp2(6 * u - 4 * v)[..., None] * np.array([1, 0.7, 0.4], np.float32)
    light = light * (1 + 0.05 * rng.standard_normal((height, width, 1), np.float32))
    light[height // 2, width // 2] = (30000, 28000, 20000)
    alpha = rng.random((height, width, 1), np.float32)
    return {
        1: light[..., :1],
        2: np.concatenate([light[..., :1], alpha], axis=2),
        3: light,
        4: np.concatenate([light, alpha], axis=2),
    }[channels]


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_exr_holds_what_was_written(kind, channels):
    pytest.importorskip("OpenEXR")
    light = made_light(9, 7, channels).astype(kind)
    read = image.load(image.to_bytes(light, ".exr")).reshape(light.shape)
    assert read.dtype == np.float32
    # Its colours are multiplied with alpha on the way.
    tolerance = 0 if channels in (1, 3) else 2e-3 if kind == np.float16 else 1e-6
    np.testing.assert_allclose(read, light.astype(np.float32), rtol=tolerance)


def test_exr_as_its_own_library_reads_it():
    openexr = pytest.importorskip("OpenEXR")
    light = made_light(5, 6, 4)
    file = openexr.File(io.BytesIO(image.to_bytes(light, ".exr")), separate_channels=True)
    found = file.channels()
    assert sorted(found) == ["A", "B", "G", "R"]
    np.testing.assert_array_equal(found["R"].pixels, light[..., 0] * light[..., 3])
    np.testing.assert_array_equal(found["A"].pixels, light[..., 3])


def test_channels_of_exr_files():
    openexr = pytest.importorskip("OpenEXR")
    plane = made_light(4, 6)[..., 0].copy()

    def made(*names: str) -> bytes:
        header = {"compression": openexr.PIZ_COMPRESSION, "type": openexr.scanlineimage}
        buffer = io.BytesIO()
        openexr.File(header, dict.fromkeys(names, plane)).write(buffer)
        return buffer.getvalue()

    assert image.load(made("R", "G", "B", "Z")).shape == (4, 6, 3)
    for name in ("Y", "Z"):
        np.testing.assert_array_equal(image.load(made(name)), plane)
    for names in (("Y", "RY", "BY"), ("diffuse.R", "diffuse.G", "diffuse.B"), ("R", "G")):
        with pytest.raises(ImageError, match=f"has the channels {', '.join(sorted(names))}; read"):
            image.load(made(*names))


def test_radiance_holds_eight_bits_and_an_exponent(tmp_path):
    imagecodecs = pytest.importorskip("imagecodecs")
    light = made_light(9, 11)
    path = tmp_path / "a.hdr"
    image.save(light, path)
    read = image.load(path)
    assert (np.abs(read - light) <= light.max(axis=2, keepdims=True) / 128).all()
    np.testing.assert_array_equal(imagecodecs.rgbe_decode(path.read_bytes()), read)
    grey = image.load(image.to_bytes(light[..., 0], ".hdr"))
    assert grey.shape == (9, 11, 3)
    assert (np.ptp(grey, axis=2) == 0).all()
    with pytest.raises(ImageError, match=r"has no alpha, and this picture's goes down to .*exr"):
        image.to_bytes(made_light(3, 3, 4), ".hdr")


def test_eight_bits_become_light_and_back():
    pytest.importorskip("OpenEXR")
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    light = image.load(image.to_bytes(levels, ".exr"))
    back = np.rint(255 * linear_to_srgb(light)).astype(np.uint8)
    np.testing.assert_array_equal(back, levels)


def test_damaged_and_large_files_are_refused_in_a_sentence():
    pytest.importorskip("OpenEXR")
    pytest.importorskip("imagecodecs")
    light = made_light(20, 30)
    for suffix in (".exr", ".hdr"):
        data = image.to_bytes(light, suffix)
        for length in (12, 40, len(data) // 2):
            with pytest.raises(ImageError, match=r"truncated|damaged"):
                image.load(data[:length])
        with pytest.raises(ImageError, match="over the limit"):
            image.load(data, max_pixels=500)
    turned = image.to_bytes(light, ".hdr").replace(b"-Y 20 +X 30", b"+Y 20 +X 30")
    with pytest.raises(ImageError, match=r"is turned \(\+Y 20 \+X 30\)"):
        image.load(turned)


@pytest.mark.parametrize(
    ("package", "start", "suffix"),
    [("OpenEXR", b"\x76\x2f\x31\x01", ".exr"), ("imagecodecs", b"#?RADIANCE\n", ".hdr")],
)
def test_without_its_package_a_sentence_names_the_extra(monkeypatch, package, start, suffix):
    monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    sentence = rf"{suffix} needs {package}, .*: pip install 'smalti\[hdr\]'"
    with pytest.raises(MissingExtraError, match="reading " + sentence):
        image.load(start + bytes(40))
    with pytest.raises(MissingExtraError, match="writing " + sentence):
        image.to_bytes(made_light(2, 2), suffix)


def test_what_takes_pictures_refuses_light_with_the_way_out():
    pytest.importorskip("OpenEXR")
    with pytest.raises(ImageError, match=r"not 0 \.\. 300; smalti\.image\.tone_map"):
        image.as_picture(np.array([[0.0, 300.0]]))
    with pytest.raises(ImageError, match=r"linear light .*--format bc6h .*tone_map"):
        image.as_picture(image.to_bytes(made_light(4, 4) / 1e6, ".exr"))


def test_as_light_decodes_whole_numbers_and_leaves_floats():
    levels = np.array([[[0, 128, 255, 128]]], np.uint8)
    np.testing.assert_allclose(image.as_light(levels)[0, 0], [0, 0.21586, 1, 128 / 255], atol=1e-5)
    np.testing.assert_allclose(image.as_light(levels, encoded=False)[0, 0, 1], 128 / 255)
    assert (
        image.as_light(levels.astype(np.uint16) * 257).tobytes() == image.as_light(levels).tobytes()
    )
    light = made_light(3, 4)
    np.testing.assert_array_equal(image.as_light(light), light)
    assert image.as_light(light[..., 0]).shape == (3, 4, 1)
    light[1, 1] = np.nan
    with pytest.raises(ImageError, match="3 of the picture's 36 values are NaN"):
        image.as_light(light)


def test_tone_mapper_keeps_colours_and_presses_highlights():
    """Values by the reference of the Khronos PBR Neutral tone mapper, computed by hand."""
    light = np.array([[[0.0, 0, 0], [0.2, 0.4, 0.1], [0.06, 0.05, 0.04], [4, 2, 1]]], np.float32)
    mapped = image.tone_map(light)
    peak = 1 - 0.24**2 / (3.96 + 0.24 - 0.76)
    grey = 1 - 1 / (0.15 * (3.96 - peak) + 1)
    wanted = [
        [0, 0, 0],
        [0.16, 0.36, 0.06],
        [0.03, 0.02, 0.01],
        [c * peak / 3.96 * (1 - grey) + peak * grey for c in (3.96, 1.96, 0.96)],
    ]
    np.testing.assert_allclose(mapped[0], linear_to_srgb(np.array(wanted)), atol=1e-5)
    np.testing.assert_allclose(image.tone_map(light / 8, exposure=3), mapped, atol=1e-6)
    extremes = np.array([[[np.inf, 0, 0, 0.5], [-1, 1e30, 65504, 2]]], np.float32)
    mapped = image.tone_map(extremes)
    assert np.isfinite(mapped).all()
    assert mapped.min() >= 0
    assert mapped.max() <= 1
    assert mapped[0, :, 3].tolist() == [0.5, 1]


@pytest.mark.parametrize("format", OF_LIGHT)
def test_textures_of_light_round_trip_by_both_files(format):
    light = made_light(45, 70)
    texture = encode_texture([light], format=format, effort="fast")
    assert (texture.srgb, len(texture.levels)) == (False, 7)
    assert read_texture(write_texture(texture, ".ktx2", zstd=3)) == texture
    assert read_texture(write_texture(texture, ".dds")) == texture
    texels = decode_surface(texture)
    assert texels.dtype == np.float32
    assert (texels[..., 3] == 1).all()
    floors = {"bc6h": 0.07, "bc6h-signed": 0.07, "rgba16f": 1e-3, "rgba32f": 0}
    assert log_rmse(light, texels[..., :3]) <= floors[format]


@pytest.mark.parametrize("signed", [False, True])
def test_a_block_level_decodes_by_another_decoder(signed):
    pytest.importorskip("imagecodecs")
    light = made_light(32, 40)
    texture = encode_texture([light], format="bc6h-signed" if signed else "bc6h", mips="none")
    other = by_bcdec(texture.surface(), 32, 40, signed=signed)
    np.testing.assert_array_equal(decode_surface(texture)[..., :3], other.astype(np.float32))


def test_pillow_opens_bc6h_dds():
    light = made_light(32, 40) / 64
    data = write_dds(encode_texture([light], format="bc6h", mips="none"))
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.size == (40, 32)
        levels = 255 * decode_surface(read_texture(data))[..., :3].clip(0, 1)
        assert np.abs(np.asarray(picture.convert("RGB")) - levels).max() < 1.2


def test_floats_lie_in_dds_as_direct3d_has_them():
    light = made_light(3, 5, 4)
    data = write_dds(encode_texture([light], format="rgba32f", mips="none"))
    flags, _, _, pitch = struct.unpack_from("<4I", data, 8)
    assert flags & 0x80008 == 0x8  # a pitch, no linear size
    assert pitch == 5 * 16
    assert struct.unpack_from("<I", data, 128) == (2,)  # R32G32B32A32_FLOAT
    np.testing.assert_array_equal(np.frombuffer(data[148:], "<f4").reshape(3, 5, 4), light)
    legacy = data[:84] + struct.pack("<I", 116) + data[88:128] + data[148:]
    assert read_texture(legacy).format == "rgba32f"


def test_measures_of_light_are_those_of_the_papers():
    x = np.array([[[1.0, 2, 4], [0, 1, 1]]])
    x_hat = np.array([[[2.0, 1, 4], [2**-14, 1, 1]]])
    assert log_rmse(x, x_hat) == pytest.approx(np.sqrt((1 + 1 + 0) / 2))
    grey, brighter = np.full((2, 2, 3), 0.25), np.full((2, 2, 3), 0.5)
    exposed = [
        [min(1, value * 2.0**stop) ** (1 / 2.2) for stop in range(-10, 11)] for value in (0.25, 0.5)
    ]
    wanted = -10 * np.log10(np.mean(np.subtract(*exposed) ** 2))
    assert multi_exposure_psnr(grey, brighter) == pytest.approx(wanted)
    assert multi_exposure_psnr(grey, grey) == np.inf


def test_cube_maps_of_light_keep_their_faces_apart():
    faces = [made_light(8, 8, seed=seed) * (seed + 1) for seed in range(6)]
    texture = encode_texture(faces, format="bc6h", cube=True)
    read = read_texture(write_texture(texture, ".ktx2"))
    for face, light in enumerate(faces):
        alone = encode_texture([light], format="bc6h")
        for level in range(4):
            assert read.surface(level, 0, face) == alone.surface(level)


@pytest.mark.parametrize("mips", ["box", "kaiser"])
def test_mip_levels_of_light_keep_its_mean_and_do_not_ring(mips):
    light = np.full((16, 16, 3), 0.5, np.float32)
    light[4, 4] = 40000
    texture = encode_texture([light], format="rgba32f", mips=mips)
    second = decode_surface(texture, 1)[..., :3]
    assert second.min() >= np.float32(0.499)
    assert second[2, 2, 0] > 2000
    if mips == "box":
        np.testing.assert_allclose(second.mean(), light.mean(), rtol=1e-5)
        np.testing.assert_allclose(decode_surface(texture, 4)[0, 0, 0], light.mean(), rtol=1e-5)


def test_infinite_light_is_the_most_that_there_is_and_spoils_no_level():
    light = np.full((8, 8, 3), 0.5, np.float32)
    light[2, 2] = np.inf
    texture = encode_texture([light], format="rgba16f")
    assert decode_surface(texture)[2, 2, 0] == 65504
    levels = [decode_surface(texture, level) for level in range(4)]
    assert all(np.isfinite(level).all() for level in levels)
    assert np.isfinite(decode_surface(encode_texture([light], format="bc6h"), 3)).all()


def test_levels_of_light_are_plain_means_unless_asked_otherwise():
    light = made_light(16, 16)
    plain = encode_texture([light], format="rgba32f")
    assert plain == encode_texture([light], format="rgba32f", mips="box")
    assert plain != encode_texture([light], format="rgba32f", mips="kaiser")
    picture = (255 * image.tone_map(light)).astype(np.uint8)
    assert encode_texture([picture]) == encode_texture([picture], mips="kaiser")


def test_colours_under_alpha_0_do_not_bleed_into_mip_levels():
    light = np.zeros((8, 8, 4), np.float32)
    light[:, ::2] = (2, 2, 2, 1)
    light[:, 1::2] = (9000, 0, 0, 0)
    second = decode_surface(encode_texture([light], format="rgba32f", mips="box"), 1)
    np.testing.assert_allclose(second[..., :3], 2, rtol=0.1)
    np.testing.assert_allclose(second[..., 3], 0.5)
    plain = encode_texture([light], format="rgba32f", mips="box", alpha_weighted=False)
    np.testing.assert_allclose(decode_surface(plain, 1)[0, 0], [4501, 1, 1, 0.5])


def test_pictures_of_8_bits_become_light_unless_they_are_linear():
    levels = np.full((4, 4, 3), 128, np.uint8)
    decoded = decode_surface(encode_texture([levels], format="rgba32f"))[0, 0, 0]
    linear = decode_surface(encode_texture([levels], format="rgba32f", srgb=False))[0, 0, 0]
    np.testing.assert_allclose([decoded, linear], [0.21586, 128 / 255], atol=1e-5)


def test_what_formats_of_light_cannot_hold_is_refused():
    with pytest.raises(ImageError, match=r"bc6h holds no alpha, and that of picture 1 .* rgba16f"):
        encode_texture([made_light(4, 4, 4)], format="bc6h")
    with pytest.raises(OptionError, match="bc6h has no sRGB form"):
        encode_texture([made_light(4, 4)], format="bc6h", srgb=True)
    with pytest.raises(OptionError, match="bc6h holds light; a normal map takes bc5 or bc7"):
        encode_texture([made_light(4, 4)], format="bc6h", normal=True)
    with pytest.raises(OptionError, match="bc6h has no option 'rdo'"):
        encode_texture([made_light(4, 4)], format="bc6h", options={"rdo": 1})
    with pytest.raises(OptionError, match="unknown effort 'slow'"):
        encode_texture([made_light(4, 4)], format="bc6h", effort="slow")
    with pytest.raises(FormatError, match="rgba16f surfaces of 4 x 4 texels, takes 128 bytes"):
        type(
            read_texture(
                write_texture(
                    encode_texture([made_light(4, 4)], format="rgba16f", mips="none"), ".dds"
                )
            )
        )("rgba16f", False, 4, 4, (bytes(64),))
