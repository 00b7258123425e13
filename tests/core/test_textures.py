"""Pictures to textures: levels, faces and layers, decoded by other people's decoders too."""

import sys

import numpy as np
import pytest
import texture2ddecoder
from PIL import Image

from smalti.bc7.decode import decode_image
from smalti.bc7.encode import encode_image
from smalti.errors import FormatError, ImageError, MissingExtraError, OptionError
from smalti.textures import (
    FORMATS,
    Texture,
    decode_surface,
    encode_texture,
    mip_chain,
    read_texture,
    validate_texture,
    write_texture,
)
from smalti.textures import encode as encode_module

from conftest import make_picture
from texture_files import random_texture

INDEPENDENT = {
    "bc1": texture2ddecoder.decode_bc1,
    "bc3": texture2ddecoder.decode_bc3,
    "bc4": texture2ddecoder.decode_bc4,
    "bc5": texture2ddecoder.decode_bc5,
    "bc7": texture2ddecoder.decode_bc7,
}
# Least mean PSNR of the channels that a format holds, over the levels of the picture below.
FLOORS = {"bc1": 31.8, "bc3": 31.8, "bc4": 42.6, "bc5": 43.0, "bc7": 34.4}


def opaque(height: int, width: int, seed: int = 0) -> np.ndarray:
    return make_picture(3, height, width, seed)


def by_texture2ddecoder(texture: Texture, level: int, layer: int, face: int) -> np.ndarray:
    height, width = texture.size(level)
    blocks = texture.surface(level, layer, face)
    padded = INDEPENDENT[texture.format](blocks, -(-width // 4) * 4, -(-height // 4) * 4)
    bgra = np.frombuffer(padded, dtype=np.uint8).reshape(-(-height // 4) * 4, -1, 4)
    return bgra[:height, :width, [2, 1, 0, 3]]


@pytest.mark.parametrize("format", INDEPENDENT)
def test_every_level_is_the_mip_level(format):
    if format != "bc7":
        pytest.importorskip("quicktex")
    image = opaque(45, 70)
    texture = encode_texture([image], format=format, effort="fast")
    assert read_texture(write_texture(texture, ".ktx2", zstd=3)) == texture
    assert read_texture(write_texture(texture, ".dds")) == texture
    srgb = format in ("bc1", "bc3", "bc7")
    assert texture.srgb == srgb
    wanted = list(mip_chain(np.dstack([image, np.full((45, 70), 255, np.uint8)]), srgb=srgb))
    assert len(texture.levels) == len(wanted) == 7
    channels = len(FORMATS[format].channels)
    psnr = []
    for level, texels in enumerate(wanted):
        decoded = decode_surface(texture, level)
        np.testing.assert_allclose(
            decoded[..., :channels],
            by_texture2ddecoder(texture, level, 0, 0)[..., :channels],
            atol=0 if format == "bc7" else 1,  # BC1 to BC5 leave rounding to the decoder
        )
        assert (decoded[..., 3] == 255).all()
        assert (decoded[..., channels:3] == 0).all()
        error = np.mean((decoded[..., :channels] - texels[..., :channels].astype(float)) ** 2)
        psnr.append(10 * np.log10(255**2 / max(error, 0.1)))
    assert np.mean(psnr) > FLOORS[format]


def test_cubes_and_arrays_keep_their_pictures_apart():
    pictures = [opaque(12, 12, seed) // 2 + 10 * seed for seed in range(12)]
    texture = encode_texture([p.astype(np.uint8) for p in pictures], cube=True, effort="ultrafast")
    assert (texture.layers, texture.faces, len(texture.levels)) == (2, 6, 4)
    for number in range(12):
        alone = encode_texture([pictures[number].astype(np.uint8)], effort="ultrafast")
        for level in range(4):
            assert texture.surface(level, number // 6, number % 6) == alone.surface(level)
    array = encode_texture([p.astype(np.uint8) for p in pictures], effort="ultrafast", mips="none")
    assert (array.layers, array.faces, len(array.levels)) == (12, 1, 1)


def test_pictures_of_every_kind_and_number_of_channels():
    for channels in (1, 2, 3, 4):
        array = make_picture(channels, 9, 10)
        kinds = array, array / 255, array.astype(np.uint16) * 257, Image.fromarray(array)
        one, *others = (encode_texture([p], effort="fast", mips="none") for p in kinds)
        assert others == [one] * 3
        texels = decode_surface(one)
        if channels in (1, 3):
            assert (texels[..., 3] == 255).all()
        else:
            assert texels[..., 3].min() == 0


def test_pieces_are_as_good_as_the_whole(monkeypatch):
    image = np.dstack([opaque(30, 40), np.full((30, 40), 255, np.uint8)])
    whole = encode_image(image, effort="fast")
    monkeypatch.setattr(encode_module, "_STRIP_TEXELS", 500)
    steps = []
    texture = encode_texture(
        [image], effort="fast", mips="none", on_step=lambda *step: steps.append(step)
    )
    assert texture.levels == (whole,)
    np.testing.assert_array_equal(decode_surface(texture), decode_image(whole, 30, 40))
    assert steps == [(480, 1200), (960, 1200), (1200, 1200)]


def test_progress_counts_every_texel_of_every_level():
    steps = []
    encode_texture([opaque(8, 6)] * 2, effort="ultrafast", on_step=lambda *step: steps.append(step))
    total = 2 * (48 + 12 + 2 + 1)
    assert steps[-1] == (total, total)
    assert steps == sorted(steps)


def test_options_reach_the_encoder(monkeypatch):
    seen = {}

    def encode(image, *, effort="medium", metric="rgb"):
        seen.update(effort=effort, metric=metric)
        return encode_image(image, effort=effort)

    monkeypatch.setattr(encode_module, "encode_image", encode)
    encode_texture([opaque(4, 4)], effort="fast", options={"metric": "luma"})
    assert seen == {"effort": "fast", "metric": "luma"}
    with pytest.raises(OptionError, match="bc7 has no option 'speed'; it has metric"):
        encode_texture([opaque(4, 4)], options={"speed": 3})
    with pytest.raises(OptionError, match="bc4 has no option 'metric'"):
        encode_texture([opaque(4, 4)], format="bc4", options={"metric": "luma"})


@pytest.mark.parametrize(
    ("pictures", "options", "sentence"),
    [
        ([], {}, "at least one picture"),
        ([(8, 8)] * 5, {"cube": True}, r"6 faces \(\+X, -X, .*\), here are 5 pictures"),
        ([(8, 8), (8, 8), (8, 9)], {}, "the first is 8 x 8, number 3 is 9 x 8"),
        ([(8, 9)] * 6, {"cube": True}, "square, these are 9 x 8"),
        ([(1, 16385)], {}, "16385 x 1 texels; the sides of a texture are 1 to 16384"),
        ([(4, 4)], {"format": "bc2"}, "unknown format 'bc2'; known: bc1"),
        ([(4, 4)], {"mips": "cubic"}, "unknown mips 'cubic'; known: none, box, triangle"),
        ([(4, 4)], {"effort": "lazy"}, "unknown effort 'lazy'"),
        ([(4, 4)], {"srgb": True, "normal": True}, "a normal map holds vectors"),
        ([(4, 4)], {"srgb": True, "format": "bc5"}, "bc5 has no sRGB form"),
    ],
)
def test_bad_arguments(pictures, options, sentence):
    with pytest.raises((ImageError, OptionError), match=sentence):
        encode_texture([np.zeros((*size, 3), dtype=np.uint8) for size in pictures], **options)


def test_bad_pictures():
    with pytest.raises(ImageError, match="int64"):
        encode_texture([np.zeros((4, 4, 3), dtype=np.int64)])
    with pytest.raises(ImageError, match="this array's shape is 4"):
        encode_texture([np.zeros(4, dtype=np.uint8)])
    with pytest.raises(
        ImageError, match=r"bc1 holds no alpha, and that of picture 1 goes down to 0"
    ):
        encode_texture([make_picture(4, 8, 8)], format="bc1")


def test_without_quicktex_there_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "quicktex", None)
    with pytest.raises(MissingExtraError, match=r"bc5 needs quicktex, .* 'smalti\[textures\]'"):
        encode_texture([opaque(4, 4)], format="bc5")


def test_a_texture_checks_itself():
    texture = random_texture(8, 8, 2, 3, 1)
    with pytest.raises(OptionError, match="layer 3; the texture's go from 0 to 2"):
        texture.surface(0, 3)
    with pytest.raises(OptionError, match="face -1"):
        decode_surface(texture, 0, 0, -1)
    with pytest.raises(FormatError, match="level 1, 3 x 1 bc7 surfaces of 4 x 4 texels, takes 48"):
        Texture("bc7", True, 8, 8, (bytes(192), bytes(64)), 3)
    with pytest.raises(FormatError, match="bc4 has no sRGB form"):
        Texture("bc4", True, 4, 4, (bytes(8),))
    with pytest.raises(FormatError, match="unknown format 'bc6'"):
        Texture("bc6", False, 4, 4, (bytes(16),))
    assert texture.total_bytes == 3 * (64 + 16)


@pytest.mark.parametrize("side", [4, 5, 6, 8])
@pytest.mark.parametrize("srgb", [True, False])
def test_astc_is_what_another_decoder_reads(side, srgb):
    pytest.importorskip("astc_encoder")
    format = f"astc-{side}x{side}"
    image = opaque(45, 70)
    texture = encode_texture([image] * 2, format=format, srgb=srgb, effort="fast")
    assert read_texture(write_texture(texture, ".ktx2", zstd=3)) == texture
    assert validate_texture(write_texture(texture, ".ktx2")) == []
    wanted = list(mip_chain(image, srgb=srgb))
    assert len(texture.levels) == len(wanted)
    psnr = []
    for level, texels in enumerate(wanted):
        height, width = texture.size(level)
        assert len(texture.surface(level)) == 16 * -(-height // side) * -(-width // side)
        decoded = decode_surface(texture, level, layer=1)
        blocks = texture.surface(level, layer=1)
        bgra = texture2ddecoder.decode_astc(blocks, width, height, side, side)
        other = np.frombuffer(bgra, np.uint8).reshape(height, width, 4)[..., [2, 1, 0, 3]]
        np.testing.assert_allclose(decoded.astype(int), other, atol=1)  # they round apart
        error = np.mean((decoded[..., :3].astype(float) - texels) ** 2)
        psnr.append(10 * np.log10(255**2 / max(error, 0.1)))
    assert np.mean(psnr) > {4: 33, 5: 29, 6: 26, 8: 22}[side]
    with pytest.raises(OptionError, match=f"Direct3D has no {format}; write a .ktx2 file"):
        write_texture(texture, ".dds")


def test_astc_strips_are_whole_rows_of_blocks(monkeypatch):
    pytest.importorskip("astc_encoder")
    image = make_picture(3, 61, 48)
    whole = encode_texture([image], format="astc-6x6", effort="ultrafast")
    monkeypatch.setattr(encode_module, "_STRIP_TEXELS", 48 * 13)
    assert encode_texture([image], format="astc-6x6", effort="ultrafast") == whole


def test_astc_without_its_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "astc_encoder", None)
    with pytest.raises(
        MissingExtraError, match=r"the format astc-4x4 needs astc_encoder.*smalti\[textures"
    ):
        encode_texture([make_picture(3, 4, 4)], format="astc-4x4")
