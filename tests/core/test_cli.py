"""The command as a user meets it: outputs, one-sentence errors, exit codes, no half files."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import smalti
from smalti import material
from smalti.cli import paths
from smalti.errors import OptionError
from smalti.files import PICTURE_SUFFIXES

from conftest import NEEDS_TORCH, make_picture, run


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    smalti.save(make_picture(3, 20, 30), "a.png")
    return tmp_path


def test_encode_info_decode(folder, monkeypatch, capsys):
    code, out, _ = run(monkeypatch, capsys, "encode", "a.png", "a.smt", "--effort", "fast")
    size = Path("a.smt").stat().st_size
    assert code == 0
    assert f"a.png -> a.smt: {size} bytes, {8 * size / 600:.3f} bpp" in out
    code, out, _ = run(monkeypatch, capsys, "info", "a.smt")
    assert code == 0
    assert f"bc7, 30 x 20 RGB, {size} bytes" in out
    assert "\n  blocks " in out
    code, out, _ = run(monkeypatch, capsys, "decode", "a.smt", "b.png")
    assert code == 0
    assert "30 x 20, RGB" in out
    assert np.abs(smalti.load("b.png").astype(int) - smalti.load("a.png")).mean() < 5


def test_dds(folder, monkeypatch, capsys):
    assert run(monkeypatch, capsys, "encode", "a.png", "a.dds")[0] == 0
    assert run(monkeypatch, capsys, "decode", "a.dds", "b.png", "--window", "8x4+2+3")[0] == 0
    assert smalti.load("b.png").shape == (4, 8, 4)
    code, _, err = run(monkeypatch, capsys, "encode", "a.png", "b.dds", "--codec", "hash-texture")
    assert (code, err) == (1, "smalti: a.png: hash-texture writes .smt files, no .dds\n")
    assert not Path("b.dds").exists()


def test_many_files_and_folders(folder, monkeypatch, capsys):
    Path("in/deep").mkdir(parents=True)
    for name in ("in/b.png", "in/deep/c.webp"):
        smalti.save(make_picture(4, 8, 8), name)
    Path("in/broken.png").write_bytes(b"no picture")
    code, out, err = run(monkeypatch, capsys, "encode", "a.png", "in", "--out", "out")
    assert code == 1
    assert out.count("->") == 3
    assert err.count("\n") == 1
    assert "broken.png" in err
    written = sorted(str(path) for path in Path("out").rglob("*.*"))
    assert written == ["out/a.smt", "out/b.smt", "out/deep/c.smt"]
    assert run(monkeypatch, capsys, "decode", "out", "--out", "back")[0] == 0
    assert len(list(Path("back").rglob("*.png"))) == 3


def test_an_original_is_never_replaced_by_accident(folder, monkeypatch, capsys):
    before = Path("a.png").read_bytes()
    run(monkeypatch, capsys, "encode", "a.png")
    code, out, _ = run(monkeypatch, capsys, "decode", "a.smt")
    assert (code, "a.smt -> a.decoded.png" in out) == (0, True)
    assert Path("a.png").read_bytes() == before
    code, _, err = run(monkeypatch, capsys, "decode", "a.smt", "a.png")
    assert (code, err) == (1, "smalti: a.png exists; --force replaces it\n")
    assert Path("a.png").read_bytes() == before
    assert run(monkeypatch, capsys, "decode", "a.smt", "a.png", "--force")[0] == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("encode", "a.png", "old.smt"),
        ("encode", "a.png", "old.dds"),
        ("encode", "old.png"),
        ("decode", "made.smt", "old.png"),
        ("decode", "made.smt"),
        ("fit", "a.png", "old.smt", "--steps", "1"),
        ("fit", "old.png", "--steps", "1"),
        ("texture", "a.png", "old.ktx2"),
        ("unpack", "made.dds", "folder", "--suffix", ".png"),
        ("material", "fit", "albedo.png", "old.smt", "--rounds", "1", "--bpp", "99"),
        ("material", "decode", "material.smt", "folder"),
        ("material", "export", "material.smt", "folder", "--shader", "wgsl"),
        ("material", "export", "material.smt", "folder", "--bc", "dds"),
        ("explain", "bc7", "a.png", "--out", "folder"),
        pytest.param(("tokens", "a.png", "--out", "old.json"), marks=NEEDS_TORCH),
        pytest.param(("untokens", "made.json", "old.png"), marks=NEEDS_TORCH),
        pytest.param(("draw", "a seven", "old.png"), marks=NEEDS_TORCH),
        pytest.param(("sample", "old.png"), marks=NEEDS_TORCH),
        pytest.param(("export", "rgba-boxes", "folder"), marks=NEEDS_TORCH),
    ],
    ids=" ".join,
)
def test_what_exists_is_replaced_only_with_force(folder, monkeypatch, capsys, arguments):
    """One rule for every command that writes, one sentence, and nothing is begun before it."""
    x = smalti.load("a.png")
    for name in ("made.smt", "made.dds"):
        Path(name).write_bytes(smalti.encode(x, "bc7:effort=ultrafast", suffix=Path(name).suffix))
    fitted = material.fit_material({"albedo": x}, bpp=99, rounds=1)
    Path("material.smt").write_bytes(material.write_material(fitted))
    Path("made.json").write_text("[1]")
    smalti.save(x, "old.png")
    smalti.save(x, "albedo.png")
    Path("folder").mkdir()
    old = ["old.smt", "old.dds", "old.ktx2", "old.json", "made.decoded.png"]
    inside = ["made.png", "albedo.png", "grids.bin", "albedo.dds", "rgba-boxes-encoder.onnx"]
    for name in [*old, *(f"folder/{name}" for name in inside)]:
        Path(name).write_bytes(b"old")
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    code, out, err = run(monkeypatch, capsys, *arguments)
    assert (code, out) == (1, "")
    assert err.endswith(" exists; --force replaces it\n")
    assert err.count("\n") == 1
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "arguments",
    [
        ("encode", "a.png", "old.smt"),
        ("fit", "a.png", "old.smt", "--steps", "1"),
        ("texture", "a.png", "old.ktx2", "--effort", "ultrafast"),
        ("material", "fit", "albedo.png", "old.smt", "--rounds", "1", "--bpp", "99"),
    ],
    ids=" ".join,
)
def test_with_force_it_is_replaced(folder, monkeypatch, capsys, arguments):
    Path("albedo.png").write_bytes(Path("a.png").read_bytes())
    for name in ("old.smt", "old.ktx2"):
        Path(name).write_bytes(b"old")
    assert run(monkeypatch, capsys, *arguments, "--force")[0] == 0
    written = next(word for word in arguments if word.startswith("old"))
    assert Path(written).read_bytes() != b"old"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["encode", "none.png"], "none.png"),
        (["encode"], "name at least one file"),
        (["encode", "a.png", "--codec", "bc6"], "unknown codec 'bc6'; is bc7 meant?"),
        (["encode", "a.png", "--codec", "rgba-ae:step=x"], "rgba-ae: step=x; it must be a number"),
        (["encode", "a.png", "--codec", "rgba-ae:step=0"], "step 0; it must lie in"),
        (["encode", "a.png", "--effort", "lazy"], "unknown effort of bc7 'lazy'"),
        (["encode", "a.png", "--max-pixels", "100"], "limit"),
        (["encode", "a.png", "--device", "toaster"], "toaster"),
        (["encode", "empty", "--out", "x"], "no .png"),
        (["decode", "a.png"], "no .smt file"),
        (["decode", "text.smt"], "no .smt file"),
        (["decode", "void.smt"], "truncated: 0 bytes"),
        (["decode", "none.smt"], "none.smt"),
        (["info", "a.png"], "no .smt file"),
        (["compare", "none.png"], "none.png"),
        (["compare", "a.png", "--codecs", "gif"], "gif"),
        pytest.param(["train", "x"], "unknown recipe", marks=NEEDS_TORCH),
    ],
)
def test_a_users_mistake_is_one_sentence_and_exit_code_1(
    folder, monkeypatch, capsys, arguments, sentence
):
    Path("text.smt").write_text("hello, this is text")
    Path("void.smt").write_bytes(b"")
    Path("empty").mkdir()
    code, _, err = run(monkeypatch, capsys, *arguments, *_out(arguments))
    assert code == 1
    assert err.startswith("smalti: ")
    assert err.count("\n") == 1
    assert sentence in err
    assert not [path for path in Path().rglob("*.smt") if path.name not in ("text.smt", "void.smt")]


def _out(arguments: list[str]) -> list[str]:
    return ["--out", "out"] if arguments[0] == "decode" and "--out" not in arguments else []


def test_wrong_usage_is_exit_code_2(monkeypatch, capsys):
    assert run(monkeypatch, capsys, "encode", "--no-such-option")[0] == 2


def test_a_name_that_the_terminal_cannot_write_is_escaped(folder):
    name = "b\udcff.png"  # a byte that is no UTF-8
    try:
        Path("a.png").rename(name)
    except (OSError, UnicodeEncodeError):
        pytest.skip("this file system has no such names")
    command = [sys.executable, "-m", "smalti", "encode", name, "b.smt", "--effort", "ultrafast"]
    strict = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    done = subprocess.run(command, capture_output=True, check=False, env=strict)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"b\\udcff.png -> b.smt" in done.stdout


def test_plan_refuses_what_would_lose_a_file(folder):
    smalti.save(make_picture(3, 8, 8), "a.webp")
    named = {"read": PICTURE_SUFFIXES, "written": (".smt",), "suffix": ".smt", "force": False}
    with pytest.raises(OptionError, match="would both be written to"):
        paths.plan([Path("a.png"), Path("a.webp")], None, **named)
    with pytest.raises(OptionError, match=r"b\.gif is not there to read; outputs end in \.smt"):
        paths.plan([Path("a.png"), Path("b.gif")], None, **named)
    with pytest.raises(OptionError, match="2 inputs and one output"):
        paths.plan([Path("a.png"), Path("a.webp"), Path("b.smt")], None, **named)
    Path("a.smt").touch()
    with pytest.raises(OptionError, match="over its own input"):
        paths.plan([Path("a.smt"), Path("a.smt")], None, **named)


def test_list_names_every_codec(monkeypatch, capsys):
    code, out, _ = run(monkeypatch, capsys, "list")
    assert code == 0
    for codec in smalti.list_codecs():
        assert codec.name in out
    assert "jpeg" in out


def test_interrupt_leaves_no_half_file(folder, monkeypatch, capsys):
    steps = []

    def step(*_, **_named):
        steps.append(1)
        if len(steps) == 3:
            raise KeyboardInterrupt  # what Python makes of Ctrl-C

    monkeypatch.setattr("smalti.fits._adam.Adam.step", step)
    code, out, err = run(
        monkeypatch, capsys, "encode", "a.png", "a.smt", "--codec", "latent-texture"
    )
    assert (code, out) == (130, "")
    assert err == "smalti: interrupted, no half-written file is left\n"
    assert [path.name for path in folder.iterdir()] == ["a.png"]
