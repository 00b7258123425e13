"""`smalti texture`, `smalti unpack`, and texture files in the other commands."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

import smalti
from smalti.cli import main
from smalti.textures import decode_surface, encode_texture, read_texture

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


def test_light_in_a_texture_and_out_of_it(smalti_):
    pytest.importorskip("OpenEXR")
    from smalti.image import tone_map

    light = np.exp2(np.linspace(-6, 9, 20 * 32 * 3, dtype=np.float32)).reshape(20, 32, 3)
    smalti.save(light, "sky.exr")
    code, said, _ = smalti_("texture", "sky.exr", "sky.ktx2", "--format", "bc6h", "--metrics")
    assert code == 0
    assert re.search(r", log2 RMSE 0\.\d{4}, mPSNR \d\d\.\d\d dB, ", said)
    held = read_texture(Path("sky.ktx2").read_bytes())
    assert held == encode_texture([light], format="bc6h")
    assert "bc6h linear, 32 x 20, 6 levels" in smalti_("info", "sky.ktx2")[1]
    texels = decode_surface(held)[..., :3]
    assert smalti_("decode", "sky.ktx2", "b.exr")[0] == 0
    np.testing.assert_array_equal(smalti.load("b.exr"), texels)
    assert smalti_("decode", "sky.ktx2", "c.png", "--exposure=-3", "--window", "8x4+2+1")[0] == 0
    wanted = np.rint(255 * tone_map(texels[1:5, 2:10], exposure=-3))
    np.testing.assert_array_equal(smalti.load("c.png"), wanted)
    assert smalti_("decode", "sky.exr", "d.png", "--exposure=-3")[0] == 0
    np.testing.assert_array_equal(smalti.load("d.png"), np.rint(255 * tone_map(light, exposure=-3)))
    assert smalti_("unpack", "sky.ktx2", "out")[0] == 0
    np.testing.assert_array_equal(
        smalti.load("out/sky.level0.png"), np.rint(255 * tone_map(texels))
    )
    assert smalti_("unpack", "sky.ktx2", "out", "--suffix", ".exr")[0] == 0
    np.testing.assert_array_equal(
        smalti.load("out/sky.level2.exr"), decode_surface(held, 2)[..., :3]
    )
    for command, said in (
        (["encode", "sky.exr", "sky.smt"], "sky.exr holds linear light of any range"),
        (["texture", "sky.exr", "a.ktx2"], "sky.exr holds linear light of any range"),
        (["decode", "sky.ktx2", "d.exr", "--exposure", "2"], "--exposure 2 is for 8 bits"),
        (["decode", "sky.ktx2", "e.png", "--size", "8x8"], "what holds light has one size"),
        (["decode", "sky.ktx2", "e.png", "--window", "8x8+30+0"], "leaves the picture of 32 x 20"),
        (["decode", "sky.ktx2", "e.png", "--max-pixels", "600"], "over the limit of 600"),
        (["texture", "sky.exr", "a.ktx2", "--format", "bc6h:effort=best"], "only bc7 has settings"),
    ):
        code, _, error = smalti_(*command)
        assert (code, said in error) == (1, True), error


def save_faces(count: int = 6, side: int = 16) -> list[str]:
    names = [f"face{number}.png" for number in range(count)]
    for number, name in enumerate(names):
        smalti.save(make_picture(3, side, side, number), name)
    return names


@pytest.mark.parametrize("suffix", [".dds", ".ktx2"])
def test_texture_info_unpack_decode(smalti_, suffix):
    smalti.save(make_picture(4, 20, 32), "a.png")
    name = f"a{suffix}"
    code, out, _ = smalti_("texture", "a.png", name, "--mips", "box", "--effort", "fast")
    assert code == 0
    told = f"{name}: bc7 sRGB, 32 x 20, 6 levels, {Path(name).stat().st_size:,} bytes, "
    assert out.startswith(told)
    code, out, _ = smalti_("info", name)
    assert code == 0
    assert "level 0               640 bytes  32 x 20\n" in out
    assert "level 5                16 bytes  1 x 1\n" in out
    assert smalti_("unpack", name, "out")[0] == 0
    held = read_texture(Path(name).read_bytes())
    assert held == encode_texture([smalti.load("a.png")], mips="box", effort="fast")
    for level in range(6):
        drawn = smalti.load(f"out/a.level{level}.png")
        texels = decode_surface(held, level)
        np.testing.assert_array_equal(drawn, texels[..., : drawn.shape[2]])
    assert smalti_("decode", name, "b.png")[0] == 0
    assert smalti.load("b.png").shape == (20, 32, 4)
    np.testing.assert_array_equal(smalti.load("b.png"), smalti.load("out/a.level0.png"))


def test_encode_writes_ktx2(smalti_):
    smalti.save(make_picture(3, 20, 30), "a.png")
    assert smalti_("encode", "a.png", "a.ktx2", "--effort", "fast")[0] == 0
    assert smalti_("encode", "a.png", "a.smt", "--effort", "fast")[0] == 0
    texture = read_texture(Path("a.ktx2").read_bytes())
    assert (texture.srgb, len(texture.levels)) == (True, 1)
    one, two = (smalti.decode(Path(name).read_bytes()) for name in ("a.ktx2", "a.smt"))
    np.testing.assert_array_equal(one[..., :3], two)


def test_a_cube_and_an_array_of_cubes(smalti_):
    faces = save_faces()
    options = ("--cube", "--effort", "ultrafast", "--zstd", "9", "--linear")
    code, out, _ = smalti_("texture", *faces, "sky.ktx2", *options)
    assert (code, "bc7 linear, 16 x 16, 5 levels, cube map" in out) == (0, True)
    assert smalti_("unpack", "sky.ktx2", "out", "--suffix", ".webp")[0] == 0
    assert len(list(Path("out").iterdir())) == 30
    assert Path("out/sky.pz.level4.webp").exists()
    code, out, _ = smalti_("texture", *faces, *faces, "skies.dds", *options[:3], "--array")
    assert (code, "cube map, 2 layers" in out) == (0, True)
    assert "12 surfaces" in smalti_("info", "skies.dds")[1]


def test_normal_maps_are_linear_and_bc5_takes_two_channels(smalti_):
    pytest.importorskip("quicktex")
    smalti.save(make_picture(3, 16, 16), "n.png")
    assert "bc7 linear" in smalti_("texture", "n.png", "n.dds", "--normal", "--edges", "wrap")[1]
    assert "bc5 linear" in smalti_("texture", "n.png", "n.ktx2", "--normal", "--format", "bc5")[1]
    assert smalti_("unpack", "n.ktx2", "out")[0] == 0
    code, _, err = smalti_("decode", "n.ktx2", "b.png")
    assert (code, err.count("\n")) == (1, 1)
    assert "holds bc5, not bc7; smalti unpack draws it" in err


def test_settings_of_the_encoder(smalti_):
    save_faces(1)
    assert smalti_("texture", "face0.png", "a.dds", "--format", "bc7:effort=ultrafast")[0] == 0
    assert smalti_("texture", "face0.png", "b.dds", "--effort", "ultrafast")[0] == 0
    assert Path("a.dds").read_bytes() == Path("b.dds").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["texture"], "name at least one picture"),
        (["texture", "face0.png"], "and last the .dds or .ktx2 file"),
        (["texture", "face0.png", "a.png"], "the last name is the file to write"),
        (["texture", "none.png", "a.dds"], "none.png: no such file"),
        (["texture", "old.dds", "a.dds"], "old.dds is no picture"),
        (["texture", "face0.png", "face1.png", "a.dds"], "2 pictures for one texture: add --array"),
        (["texture", *["face0.png"] * 7, "a.dds", "--cube"], "7 pictures for one cube map of 6"),
        (["texture", *["face0.png"] * 5, "a.dds", "--cube"], "here are 5 pictures"),
        (["texture", "face0.png", "wide.png", "a.dds", "--array"], "number 2 is 24 x 16"),
        (["texture", *["wide.png"] * 6, "a.dds", "--cube"], "square, these are 24 x 16"),
        (["texture", "face0.png", "a.dds", "--zstd", "3"], ".dds files are not compressed"),
        (["texture", "face0.png", "a.ktx2", "--zstd", "30"], "zstd 30; it goes from 1"),
        (["texture", "face0.png", "a.dds", "--srgb", "--linear"], "either --srgb or --linear"),
        (["texture", "face0.png", "a.dds", "--srgb", "--normal"], "either --srgb or --normal"),
        (["texture", "face0.png", "a.dds", "--mips", "all"], "unknown mips 'all'"),
        (["texture", "face0.png", "a.dds", "--format", "bc6"], "unknown format 'bc6'"),
        (
            ["texture", "face0.png", "a.dds", "--format", "bc7:fast=1"],
            "unknown setting of bc7 'fast'",
        ),
        (["texture", "face0.png", "a.dds", "--max-pixels", "99"], "limit"),
        (["texture", "face0.png", "no/a.dds"], "no does not exist"),
        (["unpack", "none.dds", "out"], "none.dds: no such file"),
        (["unpack", "face0.png", "out"], "no .dds or .ktx2 file"),
        (["unpack", "old.dds", "out", "--suffix", ".gif"], "suffix '.gif'; known"),
        (["unpack", "old.dds", "."], "old.png exists; --force"),
        (["info", "cut.dds"], "truncated"),
    ],
)
def test_a_users_mistake_is_one_sentence_and_no_file(smalti_, arguments, sentence):
    save_faces(2)
    smalti.save(make_picture(3, 16, 24), "wide.png")
    smalti.save(make_picture(3, 8, 8), "old.png")
    smalti_("texture", "face0.png", "old.dds", "--mips", "none", "--effort", "ultrafast")
    Path("cut.dds").write_bytes(Path("old.dds").read_bytes()[:-1])
    before = sorted(Path().rglob("*"))
    code, _, err = smalti_(*arguments)
    assert (code, err.count("\n")) == (1, 1), err
    assert err.startswith("smalti: ")
    assert sentence in err
    assert sorted(Path().rglob("*")) == before
