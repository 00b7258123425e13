"""What commands tell of what they wrote: quality beside bytes, for people and for programs."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

import smalti
from smalti import material, registry
from smalti.codec import TrainedCodec
from smalti.errors import ImageError, OptionError
from smalti.eval import metrics

from conftest import NEEDS_TORCH, make_picture, run


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    smalti.save(make_picture(3, 40, 48), "a.png")
    return tmp_path


def told(monkeypatch, capsys, *arguments: str) -> dict:
    code, out, _ = run(monkeypatch, capsys, *arguments, "--json")
    assert (code, out.count("\n")) == (0, 1)
    return json.loads(out)


@pytest.mark.parametrize("name", ["a.smt", "a.dds"])
def test_encode_tells_the_quality_of_the_file(folder, monkeypatch, capsys, name):
    _, out, _ = run(monkeypatch, capsys, "encode", "a.png", name, "--effort", "fast")
    found = smalti.metrics("a.png", name)
    assert f" bpp, {found.psnr:.2f} dB, " in out
    _, out, _ = run(
        monkeypatch, capsys, "encode", "a.png", name, "--effort", "fast", "--metrics", "--force"
    )
    assert f" dB, SSIM {found.ssim:.4f}, MS-SSIM -, " in out
    facts = told(monkeypatch, capsys, "encode", "a.png", name, "--effort", "fast", "--force")
    assert facts["psnr"] == pytest.approx(found.psnr, abs=1e-3)
    assert facts["bytes"] == Path(name).stat().st_size
    assert facts["bpp"] == pytest.approx(8 * facts["bytes"] / (40 * 48), abs=1e-4)
    assert (facts["input"], facts["output"], facts["codec"]) == ("a.png", name, "bc7")
    assert facts["seconds"] > 0


def test_lossless_is_said_and_null(folder, monkeypatch, capsys):
    smalti.save(np.full((8, 8, 3), 255, np.uint8), "white.png")
    _, out, _ = run(monkeypatch, capsys, "encode", "white.png")
    assert ", lossless, " in out
    assert told(monkeypatch, capsys, "encode", "white.png", "--force")["psnr"] is None


def test_quiet_prints_nothing_and_measures_nothing(folder, monkeypatch, capsys):
    monkeypatch.setattr(metrics, "psnr", lambda *_: pytest.fail("measured"))
    for arguments in (
        ("encode", "a.png", "b.smt"),
        ("decode", "b.smt"),
        ("texture", "a.png", "b.ktx2"),
    ):
        assert run(monkeypatch, capsys, *arguments, "--quiet") == (0, "", "")
    assert run(monkeypatch, capsys, "fit", "a.png", "--steps", "1", "--quiet")[:2] == (0, "")


def test_textures_tell_the_quality_of_their_largest_level(folder, monkeypatch, capsys):
    pytest.importorskip("quicktex")
    x = smalti.load("a.png")
    smalti.save(255 - x, "b.png")
    for arguments, channels in ((("--format", "bc5"), 2), (("--array",), 3)):
        sources = ["a.png", "b.png"] if channels == 3 else ["a.png"]
        facts = told(monkeypatch, capsys, "texture", *sources, "t.ktx2", "--force", *arguments)
        run(monkeypatch, capsys, "unpack", "t.ktx2", "levels", "--force")
        names = [path for path in sorted(Path("levels").iterdir()) if "level0" in path.name]
        errors = [
            np.square(smalti.load(source)[..., :channels].astype(float) - drawn[..., :channels])
            for source, drawn in zip(sources, map(smalti.load, names), strict=True)
        ]
        mse = np.mean(errors) * channels / 3
        assert facts["psnr"] == pytest.approx(10 * math.log10(255**2 / mse), abs=1e-3)
        for path in names:
            path.unlink()


def test_a_fit_tells_too(folder, monkeypatch, capsys):
    facts = told(monkeypatch, capsys, "fit", "a.png", "a.smt", "--steps", "3")
    assert facts["psnr"] == pytest.approx(smalti.metrics("a.png", "a.smt").psnr, abs=1e-3)


def test_a_material_tells_of_each_map(folder, monkeypatch, capsys):
    smalti.save(make_picture(3, 64, 64), "albedo.png")
    smalti.save(make_picture(1, 64, 64), "ao.png")
    arguments = ("material", "fit", "albedo.png", "ao.png", "m.smt", "--bpp", "30", "--rounds", "2")
    facts = told(monkeypatch, capsys, *arguments)
    held = material.open_material(Path("m.smt").read_bytes())
    for name in ("albedo", "ao"):
        assert facts["psnr"][name] == pytest.approx(
            smalti.metrics(f"{name}.png", held.mip(name)).psnr, abs=1e-3
        )
    _, out, _ = run(monkeypatch, capsys, *arguments, "--force")
    assert f"\n  ao           {facts['psnr']['ao']:.2f} dB\n" in out


@NEEDS_TORCH
def test_tokens_tell_the_quality_of_the_codes(folder, monkeypatch, capsys):
    facts = told(monkeypatch, capsys, "tokens", "a.png", "--out", "a.json")
    run(monkeypatch, capsys, "untokens", "a.json", "b.png")
    assert facts["psnr"] == pytest.approx(smalti.metrics("a.png", "b.png").psnr, abs=0.02)


def test_several_files_at_once_are_the_same_and_in_order(folder, monkeypatch, capsys):
    Path("in").mkdir()
    for n in range(5):
        smalti.save(make_picture(3, 24 + n, 24), f"in/{n}.png")
    Path("in/3.png").write_bytes(b"no picture")
    one = run(monkeypatch, capsys, "encode", "in", "--out", "one")
    many = run(monkeypatch, capsys, "encode", "in", "--out", "many", "--jobs", "3")
    assert (one[0], many[0]) == (1, 1)
    assert many[2] == one[2]
    assert [line.split()[0] for line in many[1].splitlines()] == [
        f"in/{n}.png" for n in (0, 1, 2, 4)
    ]
    for n in (0, 1, 2, 4):
        assert Path(f"one/{n}.smt").read_bytes() == Path(f"many/{n}.smt").read_bytes()
    assert run(monkeypatch, capsys, "encode", "in", "--out", "x", "-j", "0")[2].startswith(
        "smalti: --jobs 0; it must be 1 or more"
    )
    code, _, err = run(monkeypatch, capsys, "decode", "many", "--out", "back", "-j", "2")
    assert (code, err) == (0, "")
    assert len(list(Path("back").iterdir())) == 4


def test_an_interruption_stops_all_that_run_at_once(folder, monkeypatch, capsys):
    for n in range(4):
        smalti.save(make_picture(3, 16, 16), f"{n}.png")
    steps = []

    def step(*_, **_named):
        steps.append(1)
        if len(steps) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("smalti.fits._adam.Adam.step", step)
    code, out, err = run(
        monkeypatch, capsys, "encode", "0.png", "1.png", "2.png", "3.png",
        "--codec", "latent-texture", "-j", "2",
    )  # fmt: skip
    assert code == 130
    assert err == "smalti: interrupted, no half-written file is left\n"
    assert len(list(folder.glob("*.smt"))) == out.count("\n") <= 1
    assert not list(folder.glob(".*"))


def test_metrics_of_two_pictures(folder, monkeypatch, capsys):
    x = smalti.load("a.png")
    y = x.copy()
    y[..., 0] = np.where(x[..., 0] < 250, x[..., 0] + 5, x[..., 0] - 5)
    found = smalti.metrics(x, y)
    assert found.channels["red"] == pytest.approx(20 * math.log10(255 / 5))
    assert found.channels["green"] == math.inf
    assert found.psnr == pytest.approx(found.channels["red"] + 10 * math.log10(3))
    assert found.largest == 5
    smalti.save(y, "b.png")
    code, out, _ = run(monkeypatch, capsys, "metrics", "a.png", "b.png")
    assert code == 0
    assert f"\n    red          {found.channels['red']:.2f} dB\n" in out
    assert "\n    green        lossless\n" in out
    assert "\n  largest error  5 of 255\n" in out
    assert told(monkeypatch, capsys, "metrics", "a.png", "b.png")["channels"]["green"] is None
    code, _, err = run(monkeypatch, capsys, "metrics", "a.png", "none.png")
    assert (code, err) == (1, "smalti: none.png: no such file\n")


def test_metrics_of_what_became_of_alpha():
    x = make_picture(4, 20, 20)
    x[..., 3] = 255
    x[:10, :, 3] = 0
    y = x.copy()
    y[:2, :, 3], y[10:11, :, 3] = 7, 250
    found = smalti.metrics(x, y)
    assert (found.opaque_lost, found.clear_lost) == (0.1, 0.2)
    assert found.largest == 7


def test_metrics_of_pictures_with_other_channels():
    grey = make_picture(1, 12, 12)
    colour = np.dstack([grey, grey, grey])
    opaque = np.dstack([colour, np.full_like(grey, 255)])
    assert smalti.metrics(grey, colour).psnr == math.inf
    assert smalti.metrics(opaque, grey).psnr == math.inf
    assert list(smalti.metrics(opaque, grey).channels) == ["red", "green", "blue"]
    with pytest.raises(ImageError, match="of one shape"):
        smalti.metrics(colour, colour[:-1])


def test_bench_times_every_codec_by_threads(folder, monkeypatch, capsys):
    arguments = (
        "bench",
        "a.png",
        "--codec",
        "bc7:effort=fast",
        "png",
        "--threads",
        "1",
        "2",
        "-n",
        "2",
    )
    code, out, _ = run(monkeypatch, capsys, *arguments)
    assert code == 0
    lines = out.splitlines()
    assert lines[0].startswith("a.png, 48 x 40 RGB, ")
    assert [line.split()[:2] for line in lines[2:]] == [
        ["bc7:effort=fast", "1"], ["bc7:effort=fast", "2"], ["png", "1"], ["png", "2"]
    ]  # fmt: skip
    assert max(map(len, lines)) <= 80
    assert lines[-1].endswith("lossless")
    code, out, _ = run(monkeypatch, capsys, *arguments, "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["runs"] for row in rows] == [2] * 4
    assert all(row["encode_mpix_s"] > 0 and row["decode_mpix_s"] > 0 for row in rows)


DIALS = [name for name in registry.CODECS if name != "fsq"]


@pytest.mark.parametrize("name", DIALS)
def test_quality_turns_each_codecs_own_dial(name, monkeypatch):
    cls = registry.codec_class(name)
    worst, best = (cls.of_quality(quality) for quality in (0, 100))
    assert worst != best
    for quality in (-1, 101):
        with pytest.raises(OptionError, match=r"it must lie in 0 \.\. 100"):
            cls.of_quality(quality)
    if issubclass(cls, TrainedCodec):
        pytest.importorskip("torch")
    x = make_picture(3, 64, 64)
    short = {} if not hasattr(cls.Options, "steps") else {"steps": 200}
    files = [smalti.encode(x, name, quality=q, effort=None, options=short) for q in (0, 100)]
    assert len(files[0]) <= len(files[1])
    if name != "bc7":
        assert len(files[0]) < len(files[1])
    psnrs = [smalti.metrics(x, data).psnr for data in files]
    assert psnrs[0] < psnrs[1]


def test_what_is_set_otherwise_wins_over_quality():
    x = make_picture(3, 16, 16)
    plain = smalti.encode(x, "bc7", effort="ultrafast")
    assert smalti.encode(x, "bc7", quality=100, effort="ultrafast") == plain
    assert smalti.encode(x, "bc7:effort=ultrafast", quality=100) == plain
    codec, options = smalti.api.resolve("fitted:hidden=8,lmbda=1e-3", 100)
    assert (codec.hidden, options) == (8, {"lmbda": 1e-3})
    with pytest.raises(OptionError, match="fsq has one quality; smalti help fsq"):
        smalti.api.resolve("fsq", 50)


def test_quality_of_a_codec_object():
    codec, options = smalti.api.resolve("neural-texture", 0)
    x = make_picture(3, 16, 16)
    chosen = {"steps": 1, **options}
    made = smalti.encode(x, type(codec)(), quality=0, options=chosen)
    assert smalti.info(made).config == codec
