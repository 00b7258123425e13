"""`smalti validate`, `smalti diff`, `smalti info --json`."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import texture2ddecoder
from PIL import Image

import smalti
from smalti.cli import main
from smalti.cli.diff import heat_map
from smalti.textures import (
    Preparation,
    decode_surface,
    encode_texture,
    read_texture,
    validate_texture,
    write_texture,
)

from conftest import make_picture


@pytest.fixture
def smalti_(tmp_path, monkeypatch, capsys):
    """Runs a command in an empty folder: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["smalti", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        printed = capsys.readouterr()
        return stop.value.code, printed.out, printed.err

    return run


def unit_vectors(side: int = 32) -> np.ndarray:
    y, x = np.mgrid[:side, :side] / side
    vectors = np.stack([np.sin(6 * x) / 3, np.cos(5 * y) / 3, np.ones_like(x)], -1)
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.rint(127.5 * vectors + 127.5).astype(np.uint8)


TEXTURES = {
    "colours": lambda: encode_texture([make_picture(4, 24, 40)]),
    "premultiplied": lambda: encode_texture(
        [make_picture(4, 16, 16)], prepare=Preparation(premultiply=True)
    ),
    "normals": lambda: encode_texture([unit_vectors()], normal=True),
    "cubes": lambda: encode_texture([make_picture(3, 8, 8, n) for n in range(12)], cube=True),
    "light": lambda: encode_texture([make_picture(3, 8, 12)], format="rgba16f"),
}


@pytest.mark.parametrize("suffix", [".dds", ".ktx2"])
@pytest.mark.parametrize("name", TEXTURES)
def test_nothing_is_wrong_with_ours(name, suffix):
    assert validate_texture(write_texture(TEXTURES[name](), suffix)) == []


def test_zstd_is_valid_too():
    assert validate_texture(write_texture(TEXTURES["colours"](), ".ktx2", zstd=3)) == []


def patched(data: bytes, at: int, value: int, size: int = 4) -> bytes:
    return data[:at] + value.to_bytes(size, "little") + data[at + size :]


@pytest.mark.parametrize(
    ("change", "kind", "text"),
    [
        (lambda d: d[:-1], "error", "truncated"),
        (lambda d: d + b"\0", "error", "1 bytes follow the last level"),
        (lambda d: patched(d, 16, 4), "error", "typeSize is 4; for bc7 it is 1"),
        (lambda d: patched(d, 48, 84), "error", "it follows the level index"),
        (lambda d: patched(d, d[48] + 14, 1, 1), "error", "transfer function is 1; for bc7 sRGB"),
        (lambda d: patched(d, d[48] + 12, 130, 1), "error", "colour model is 130"),
        (lambda d: patched(d, d[48] + 13, 10, 1), "warning", "primaries are 10"),
        (lambda d: d.replace(b"KTXwriter", b"ATXwriter"), "error", "not in the order"),
        (lambda d: d.replace(b"KTXwriter", b"LTXwriter"), "warning", "no KTXwriter"),
        (lambda d: patched(d, 80, int.from_bytes(d[80:88], "little") - 4, 8), "error", "multiple"),
    ],
)
def test_damaged_ktx2(change, kind, text):
    data = write_texture(TEXTURES["colours"](), ".ktx2")
    found = validate_texture(change(data))
    assert [each.kind for each in found if text in each.text] == [kind], found


@pytest.mark.parametrize(
    ("change", "kind", "text"),
    [
        (lambda d: d[:-1], "error", "truncated"),
        (lambda d: d + b"\0", "warning", "1 bytes follow the last surface"),
        (lambda d: patched(d, 8, 0x21007), "warning", ""),
        (lambda d: patched(d, 20, 5), "warning", "linear size is 5"),
        (lambda d: patched(d, 108, 0), "warning", "lack that it is a texture"),
        (lambda d: patched(d, 24, 7), "warning", "depth of 7"),
        (lambda d: patched(d, 140, 0), "warning", "array size is 0"),
        (lambda d: patched(d, 144, 6), "warning", "alpha mode is 6"),
    ],
)
def test_damaged_dds(change, kind, text):
    data = write_texture(TEXTURES["colours"](), ".dds")
    found = validate_texture(change(data))
    if text:
        assert [each.kind for each in found if text in each.text] == [kind], found
    else:
        assert found == []  # without the flag that says that a size is there


def test_flags_that_texels_contradict():
    picture = make_picture(4, 16, 16)
    picture[..., 3] //= 4
    straight = write_texture(encode_texture([picture]), ".dds")
    (found,) = validate_texture(patched(straight, 144, 2))
    assert "said to be premultiplied" in found.text
    (found,) = validate_texture(write_texture(encode_texture([unit_vectors()]), ".ktx2"))
    assert "a normal map is linear" in found.text


def test_an_odd_size_is_a_warning_in_dds():
    (found,) = validate_texture(write_texture(encode_texture([make_picture(3, 5, 7)]), ".dds"))
    assert found == ("warning", "7 x 5: Direct3D 11 wants multiples of 4")


def test_the_command_validates_folders(smalti_):
    data = write_texture(TEXTURES["colours"](), ".ktx2")
    Path("a.ktx2").write_bytes(data)
    assert smalti_("validate", "a.ktx2") == (0, "a.ktx2: nothing wrong\n", "")
    Path("b.ktx2").write_bytes(data[:-5])
    code, out, _ = smalti_("validate", ".", "--quiet", "--json")
    assert code == 1
    (line,) = out.splitlines()
    assert json.loads(line)["findings"][0]["kind"] == "error"


def test_diff_tells_levels_and_fails_below_a_psnr(smalti_):
    picture = make_picture(4, 16, 24)
    smalti.save(picture, "a.png")
    for effort in ("ultrafast", "best"):
        texture = encode_texture([picture], effort=effort)
        Path(f"{effort}.ktx2").write_bytes(write_texture(texture, ".ktx2"))
    code, out, _ = smalti_("diff", "ultrafast.ktx2", "best.ktx2")
    assert (code, len(out.splitlines())) == (0, 5)
    code, out, _ = smalti_("diff", "a.png", "best.ktx2", "--json", "--heat", "heat.png")
    facts = json.loads(out)
    decoded = decode_surface(texture)
    error = np.mean((decoded[..., 0].astype(float) - picture[..., 0]) ** 2)
    assert facts["channels"]["red"] == pytest.approx(10 * np.log10(255**2 / error), abs=0.01)
    errors = np.abs(decoded.astype(int) - picture).max(axis=-1)
    np.testing.assert_array_equal(smalti.load("heat.png"), heat_map(errors))
    assert heat_map(np.array([[0, 11, 32, 200]]))[0, ::3].tolist() == [[0, 0, 0], [255, 255, 255]]
    assert smalti_("diff", "a.png", "best.ktx2", "--heat", "heat.png")[0] == 1  # it is there
    low = f"{facts['psnr'] + 1:.0f}"
    code, out, _ = smalti_("diff", "a.png", "best.ktx2", "--min-psnr", low)
    assert code == 1
    assert f"below {low} dB" in out
    assert smalti_("diff", "a.png", "a.png", "--min-psnr", "99")[0] == 0


def test_info_as_json(smalti_):
    Path("a.dds").write_bytes(write_texture(TEXTURES["premultiplied"](), ".dds"))
    smalti.save(make_picture(3, 8, 8), "a.png")
    assert smalti_("encode", "a.png", "a.smt", "--quiet")[0] == 0
    code, out, _ = smalti_("info", "a.dds", "a.smt", "--json")
    assert code == 0
    texture, file = map(json.loads, out.splitlines())
    assert (texture["format"], texture["srgb"], texture["premultiplied"]) == ("bc7", True, True)
    assert texture["levels"][1] == {"width": 8, "height": 8, "bytes": 64}
    assert (file["codec"], file["width"], file["bytes"]) == (
        "bc7",
        8,
        Path("a.smt").stat().st_size,
    )


COMMANDS = [
    ["a.png", "--format", "bc7:rdo=4"],
    ["a.png", "--swizzle", "rgb1"],
    ["a.png", "b.png", "a.png", "--swizzle", "r+r+r", "--linear"],
    ["a.png", "--premultiply"],
    ["b.png", "--from-height", "8"],
    ["a.png", "--normal", "--invert-y", "--rebuild-z"],
    ["a.png", "--coverage", "0.5"],
    ["a.png", "--resize", "pow2"],
    ["a.png", "--resize", "multiple4"],
    ["a.png", "--flip", "y"],
    ["a.png", "--mips", "lanczos", "--edges", "mirror"],
    ["a.png", "--levels", "3", "--smallest", "2"],
    ["a.png", "--colours", "display-p3"],
]


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda arguments: " ".join(arguments))
@pytest.mark.parametrize("suffix", [".dds", ".ktx2"])
def test_every_option_writes_a_valid_file_that_others_read(smalti_, arguments, suffix):
    smalti.save(make_picture(4, 24, 20), "a.png")
    smalti.save(make_picture(1, 24, 20), "b.png")
    name = f"out{suffix}"
    code, out, _ = smalti_("texture", *arguments, name, "--effort", "fast")
    assert code == 0, out
    assert "\n" not in out.strip()
    code, out, _ = smalti_("validate", name)
    assert (code, out) == (0, f"{name}: nothing wrong\n")
    texture = read_texture(Path(name).read_bytes())
    for level in range(len(texture.levels)):  # by an independent decoder of BC7
        height, width = texture.size(level)
        size = -(-width // 4) * 4, -(-height // 4) * 4
        bgra = texture2ddecoder.decode_bc7(texture.surface(level), *size)
        others = np.frombuffer(bgra, np.uint8).reshape(size[1], size[0], 4)[:height, :width]
        np.testing.assert_array_equal(others[..., [2, 1, 0, 3]], decode_surface(texture, level))
    if suffix == ".dds":
        with Image.open(name) as opened:
            assert opened.size == (texture.width, texture.height)
            np.testing.assert_array_equal(opened.convert("RGBA"), decode_surface(texture))


def test_view_draws_a_surface_a_channel_an_error(smalti_, monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    cube = TEXTURES["cubes"]()
    Path("sky.dds").write_bytes(write_texture(cube, ".dds"))
    assert smalti_("view", "sky.dds", "--level", "1", "--layer", "1", "--face", "ny")[0] == 0
    np.testing.assert_array_equal(smalti.load("sky.view.png"), decode_surface(cube, 1, 1, 3))
    code, _, err = smalti_("view", "sky.dds")
    assert (code, "sky.view.png exists" in err) == (1, True)
    smalti.save(make_picture(4, 8, 8), "a.png")
    assert smalti_("view", "a.png", "--channel", "a", "--out", "alpha.png")[0] == 0
    np.testing.assert_array_equal(smalti.load("alpha.png"), make_picture(4, 8, 8)[..., 3])
    assert smalti_("view", "a.png", "--against", "a.png", "--out", "none.png")[0] == 0
    assert not smalti.load("none.png")[..., :3].any()
    assert "the texture's go from 0 to 3" in smalti_("view", "sky.dds", "--level", "9")[2]
    assert "a.png is no texture" in smalti_("view", "a.png", "--level", "1")[2]
    assert "unknown face 'up'" in smalti_("view", "sky.dds", "--face", "up")[2]
    light = TEXTURES["light"]()
    Path("l.ktx2").write_bytes(write_texture(light, ".ktx2"))
    for stops in ("-3", "0"):
        assert smalti_("view", "l.ktx2", "--exposure", stops, "--out", f"l{stops}.png")[0] == 0
    assert smalti.load("l-3.png")[..., :3].mean() < smalti.load("l0.png")[..., :3].mean() - 20


def test_view_opens_a_window_where_there_is_a_screen(smalti_, monkeypatch):
    opened = []
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(Image.Image, "show", lambda picture: opened.append(picture))
    smalti.save(make_picture(3, 8, 12), "a.png")
    assert smalti_("view", "a.png") == (0, "", "")
    assert [picture.size for picture in opened] == [(12, 8)]
