import base64
import io
import json
import math
import re
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import smalti
from smalti.cli import growing
from smalti.errors import OptionError, WeightsError
from smalti.eval import report, run
from smalti.eval.results import Results, Row
from smalti.eval.verdicts import duels, verdicts

from conftest import run as command

CONTENDERS = (
    "bc7:effort=ultrafast",
    "jpeg:quality=20",
    "jpeg:quality=80",
    "webp:quality=50",
    "png",
)


def save(path: Path, channels: int, seed: int = 0) -> Path:
    """A PNG of noise that was blurred: smooth, but no codec's best case."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (9, 11, channels), np.uint8)
    large = [Image.fromarray(small[:, :, c]).resize((52, 45), 3) for c in range(channels)]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.merge({3: "RGB", 4: "RGBA"}[channels], large).save(path)
    return path


@pytest.fixture(scope="module")
def compared(tmp_path_factory) -> Results:
    """An opaque and a transparent picture."""
    folder = tmp_path_factory.mktemp("compared")
    pictures = [save(folder / "opaque.png", 3), save(folder / "clear.png", 4)]
    return run.compare(pictures, CONTENDERS, folder / "out")


def test_rows_are_of_the_files_on_disk(compared):
    done = [row for row in compared.rows if not row.error]
    assert len(done) == 8
    for row in done:
        path = compared.folder / row.file
        assert row.bytes == path.stat().st_size
        assert row.bpp == 8 * row.bytes / (52 * 45)
        original = np.asarray(Image.open(compared.sources[row.picture]))
        assert psnr_by_hand(original, decoded_by_hand(path)) == pytest.approx(row.psnr, abs=1e-9)


def decoded_by_hand(path: Path) -> np.ndarray:
    if path.suffix == ".smt":
        return smalti.decode(path.read_bytes())
    return np.asarray(Image.open(path))


def psnr_by_hand(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x.astype(float), y.astype(float)
    if x.shape[2] == 4:
        for picture in (x, y):
            picture[..., :3] *= picture[..., 3:] / 255
    mse = np.mean((x - y) ** 2)
    return 10 * math.log10(255**2 / mse) if mse else math.inf


def test_what_a_codec_cannot_do_is_a_row_with_its_reason(compared):
    assert [(row.picture, row.contender) for row in compared.failures] == [
        ("clear", "jpeg:quality=20"),
        ("clear", "jpeg:quality=80"),
    ]
    for row in compared.failures:
        assert re.fullmatch(
            r"JPEG has no alpha, and this picture's goes down to \d+ of 255", row.error
        )
        assert math.isnan(row.psnr)


def test_an_unreadable_picture_fails_alone(tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    good = save(tmp_path / "good.png", 3)
    results = run.compare([broken, good], ["png", "jpeg"], tmp_path / "out")
    assert [(row.picture, bool(row.error)) for row in results.rows] == [
        ("broken", True),
        ("broken", True),
        ("good", False),
        ("good", False),
    ]
    assert "broken.png" in results.rows[0].error
    page = report.write_report(results, tmp_path / "out").read_text()
    assert [picture["name"] for picture in embedded(page)["pictures"]] == ["good"]


def test_opaque_alpha_goes_through_a_codec_without_alpha(tmp_path):
    path = save(tmp_path / "a.png", 3)
    opaque = tmp_path / "b.png"
    Image.open(path).convert("RGBA").save(opaque)
    rows = run.compare([path, opaque], ["jpeg"], tmp_path / "out").rows
    assert rows[0].error == rows[1].error == ""
    assert rows[0].psnr == rows[1].psnr


def test_means_are_over_the_pictures_done(compared):
    means = {mean.contender: mean for mean in compared.means()}
    webp = [row for row in compared.rows if row.contender == "webp:quality=50"]
    assert means["webp:quality=50"].psnr == pytest.approx((webp[0].psnr + webp[1].psnr) / 2)
    assert means["webp:quality=50"].bpp == 8 * (webp[0].bytes + webp[1].bytes) / (2 * 52 * 45)
    assert (means["jpeg:quality=20"].pictures, means["jpeg:quality=20"].failed) == (1, 1)
    assert (means["png"].psnr, means["png"].exact) == (math.inf, 2)
    assert math.isnan(means["png"].ms_ssim)  # the pictures are too small for it


def test_a_second_run_measures_nothing_again(compared):
    log = compared.folder / "results.jsonl"
    before = log.read_text().splitlines()
    again = run.compare(list(compared.sources.values()), CONTENDERS, compared.folder)
    after = log.read_text().splitlines()
    assert repr(again.rows) == repr(compared.rows)  # NaN is not equal to itself, its repr is
    assert after[: len(before)] == before
    retried = [json.loads(line) for line in after[len(before) :]]
    assert all(line.get("error") or "smalti" in line for line in retried)


def test_an_interrupted_run_goes_on(tmp_path):
    picture, out = save(tmp_path / "a.png", 3), tmp_path / "out"

    def interrupt(done: int, total: int, text: str) -> None:
        if done == 2:
            raise KeyboardInterrupt

    contenders = ["jpeg", "png", "webp"]
    with pytest.raises(KeyboardInterrupt):
        run.compare([picture], contenders, out, on_progress=interrupt)
    log = out / "results.jsonl"
    log.write_text(log.read_text() + '{"picture": "a", "conte')  # killed while writing
    times = {path.name: path.stat().st_mtime_ns for path in (out / "files").iterdir()}
    assert len(times) == 2
    results = run.compare([picture], contenders, out)
    assert [row.contender for row in results.rows] == contenders
    assert len(results.conditions) == 2
    for name, modified in times.items():
        assert (out / "files" / name).stat().st_mtime_ns == modified
    lines = [line for line in log.read_text().splitlines() if '"contender"' in line]
    assert len(lines) == 3


@pytest.mark.parametrize("change", ["other picture", "other file", "no file"])
def test_what_no_longer_holds_is_measured_anew(tmp_path, change):
    picture, out = save(tmp_path / "a.png", 3), tmp_path / "out"
    (row,) = run.compare([picture], ["jpeg"], out).rows
    path = out / row.file
    if change == "other picture":
        save(picture, 3, seed=9)
    elif change == "other file":
        path.write_bytes(bytes(row.bytes))
    else:
        path.unlink()
    (again,) = run.compare([picture], ["jpeg"], out).rows
    original = np.asarray(Image.open(picture))
    assert again.psnr == pytest.approx(psnr_by_hand(original, decoded_by_hand(path)))
    assert (again.sha256 == row.sha256) == (change != "other picture")


def test_pictures_of_one_name_keep_apart(tmp_path):
    paths = [save(tmp_path / folder / "a.png", 3, seed) for seed, folder in enumerate("xyz")]
    results = run.compare([*paths, paths[0]], ["png"], tmp_path / "out")
    assert list(results.sources) == ["a", "a.png", "z_a.png"]
    assert len({row.file for row in results.rows}) == 3


def test_unknown_contenders_are_refused_before_anything_runs(tmp_path):
    picture = save(tmp_path / "a.png", 3)
    with pytest.raises(OptionError, match=r"unknown codec 'gif'; smalti list shows all"):
        run.compare([picture], ["png", "gif"], tmp_path / "out")
    with pytest.raises(OptionError, match="unknown setting of jpeg 'speed'"):
        run.compare([picture], ["jpeg:speed=1"], tmp_path / "out")
    with pytest.raises(OptionError, match="0 pictures and 1 contenders"):
        run.compare([], ["png"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_every_default_contender_resolves():
    quick, _ = run.default_contenders()
    usual, left_out = run.default_contenders(all=True)
    assert not left_out or not find_spec("torch")
    assert {"bc7:effort=fast", "png"} < set(quick)
    assert len(quick) < 0.7 * len(usual)
    for text in (*quick, *usual):
        assert run.resolve(text).text == text


BLANK = Row("a", "", "", "", "", "", "", 100, 80, 3, 0.008, encode_seconds=1, decode_seconds=1)


def made_up(codec: str, bpp: float, psnr: float, picture: str = "a") -> Row:
    return replace(
        BLANK,
        picture=picture,
        codec=codec,
        contender=f"{codec}:quality={bpp}",
        label=f"{codec} {bpp:g}",
        series=codec,
        bytes=round(bpp * 1000),
        psnr=psnr,
    )


def verdict(*rows: Row) -> str:
    (found,) = verdicts(Results(Path(), {}, rows, ()))
    return found.sentence


def test_a_classical_curve_is_read_at_our_size():
    curve = made_up("jpeg", 1, 30), made_up("jpeg", 4, 40)
    (lost,) = duels(Results(Path(), {}, (made_up("fsq", 2, 33), *curve), ()))
    assert (lost.rival, lost.ahead, lost.cheaper) == ("JPEG", 0, False)
    assert lost.gap == pytest.approx(2)  # half-way in log bpp: 35 dB
    assert verdict(made_up("fsq", 2, 33), *curve) == "fsq: JPEG has 2.0 dB more at the same size."
    won = verdict(made_up("fsq", 2, 38), *curve)
    assert won == "fsq: 3.0 dB more than JPEG at the same size."
    assert verdict(made_up("fsq", 2, 35), *curve) == "fsq: as good as JPEG at the same size."


def test_all_settings_of_a_codec_are_one_sentence():
    curve = made_up("jpeg", 1, 30), made_up("jpeg", 4, 40)
    ours = made_up("fsq", 2, 33), made_up("fsq", 4, 39)
    assert verdict(*ours, *curve) == "fsq: JPEG has 1.0 to 2.0 dB more at the same size."
    ours = made_up("fsq", 2, 33), made_up("fsq", 4, 41)
    mixed = "fsq: from 2.0 dB less to 1.0 dB more than JPEG at the same size."
    assert verdict(*ours, *curve) == mixed


def test_beyond_a_curve_its_nearest_cheaper_setting_counts():
    curve = made_up("jpeg", 1, 30), made_up("jpeg", 4, 40)
    assert verdict(made_up("fsq", 8, 39), *curve) == "fsq: JPEG has 1.0 dB more in no more bits."
    smaller = verdict(made_up("fsq", 0.5, 20), made_up("jpeg", 1, 30))
    assert smaller == "fsq: 20.0 dB in 0.50 bpp, smaller than any classical file here."
    larger = verdict(made_up("fsq", 8, 50), *curve)
    better = "better than any classical file here that is no larger."
    assert larger == f"fsq: 50.0 dB in 8.00 bpp, {better}"


def test_lossless_is_better_than_any_psnr():
    rivals = made_up("webp", 4, 50), made_up("png", 6, math.inf)
    (found,) = duels(Results(Path(), {}, (made_up("fsq", 8, 46), *rivals), ()))
    assert (found.rival, found.gap) == ("PNG", math.inf)
    sentence = verdict(made_up("fsq", 8, 46), *rivals)
    assert sentence == "fsq: PNG has every texel exactly in no more bits."


def test_verdicts_are_on_the_same_pictures():
    rows = (
        made_up("fsq", 2, 33),
        made_up("fsq", 2, 43, "b"),
        made_up("jpeg", 2, 50),  # could not do picture b
        made_up("webp", 2, 34),
        made_up("webp", 2, 40, "b"),
    )
    (found,) = duels(Results(Path(), {}, rows, ()))
    assert (found.rival, found.ahead, found.pictures) == ("WebP", 1, 2)
    assert found.gap == pytest.approx(-1)  # 37 dB against 38


def test_gpu_formats_are_compared_with_each_other():
    rows = (
        made_up("bc7", 8, 46),
        made_up("latent-texture", 3, 33),
        made_up("neural-texture", 4, 31),
        made_up("jpeg", 2, 50),
    )
    more = "latent-texture has more, 33.0 dB in 3.00"
    assert [each.sentence for each in verdicts(Results(Path(), {}, rows, ()))] == [
        "bc7: 46.0 dB in 8.00 bpp, the best quality of the GPU formats here.",
        "latent-texture: 33.0 dB in 3.00 bpp, the smallest of the GPU formats here.",
        f"neural-texture: 31.0 dB in 4.00 bpp; among GPU formats {more}.",
    ]
    assert not verdicts(Results(Path(), {}, (rows[0], rows[-1]), ()))  # nothing to compare with


def embedded(page: str) -> dict:
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    return json.loads(text)


def test_the_report_is_one_file_with_everything_in_it(compared):
    path = report.write_report(compared, compared.folder)
    page = path.read_text()
    assert path.name == "report.html"
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:|//|file:)|url\(|@import""", page)
    assert "/*" + "DATA*/" not in page
    data = embedded(page)
    assert data["names"] == ["opaque", "clear"]
    by_key = {(row["picture"], row["contender"]): row for row in data["rows"]}
    done = [row for row in compared.rows if not row.error]
    assert len(by_key) == len(done)
    for row in done:
        shown = by_key[row.picture, row.contender]
        assert (shown["bytes"], shown["bpp"]) == (row.bytes, row.bpp)
        assert float(shown["psnr"]) == row.psnr
        assert shown["ssim"] == row.ssim
    assert len(data["failures"]) == 1
    assert data["failures"][0]["who"] == "JPEG (2 settings)"
    assert data["failures"][0]["pictures"] == ["clear"]
    assert [group["label"] for group in data["groups"]] == [
        "All 2 pictures",
        "1 picture that every codec took",
    ]


def test_the_report_shows_the_pixels_of_the_files(compared):
    data = embedded(report.write_report(compared, compared.folder).read_text())
    for picture in data["pictures"]:
        original = np.asarray(Image.open(compared.sources[picture["name"]]))
        assert psnr_by_hand(original, pixels(picture["original"])) == math.inf
        for contender, uri in picture["decoded"].items():
            if not uri:  # equal to the original
                assert contender == "png"
                continue
            (row,) = (
                row
                for row in compared.rows
                if (row.picture, row.contender) == (picture["name"], contender)
            )
            assert psnr_by_hand(original, pixels(uri)) == pytest.approx(row.psnr, abs=1e-9)


def pixels(uri: str) -> np.ndarray:
    head, _, code = uri.partition(",")
    assert head in ("data:image/webp;base64", "data:image/jpeg;base64")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(code))))


def test_a_page_too_large_shows_crops_of_the_most_detailed_place(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    levels = rng.integers(0, 4, (400, 600, 3), np.uint8)
    levels[208:328, 304:424] = rng.integers(0, 256, (120, 120, 3))
    Image.fromarray(levels).save(tmp_path / "a.png")
    results = run.compare([tmp_path / "a.png"], ["bc7:effort=ultrafast"], tmp_path / "out")
    monkeypatch.setattr(report, "PAGE_BYTES", 300_000)
    path = report.write_report(results, tmp_path / "out")
    assert path.stat().st_size < 300_000
    (picture,) = embedded(path.read_text())["pictures"]
    crop = picture["crop"]
    bottom, right = crop["top"] + crop["height"], crop["left"] + crop["width"]
    assert crop["top"] <= 208 < 328 <= bottom
    assert crop["left"] <= 304 < 424 <= right
    assert 128 <= crop["height"] < 400
    assert np.array_equal(
        pixels(picture["original"]), levels[crop["top"] : bottom, crop["left"] : right]
    )
    assert pixels(picture["decoded"]["bc7:effort=ultrafast"]).shape == (
        crop["height"],
        crop["width"],
        3,
    )
    whole = report.write_report(results, tmp_path / "full", full=True)
    assert embedded(whole.read_text())["pictures"][0]["crop"]["height"] == 400


def test_a_page_that_is_still_too_large_shows_some_of_the_pictures(compared, monkeypatch, tmp_path):
    monkeypatch.setattr(report, "PAGE_BYTES", 1)
    data = embedded(report.write_report(compared, tmp_path / "new").read_text())
    assert len(data["pictures"]) == 1
    assert {row["picture"] for row in data["rows"]} == {"opaque", "clear"}


def test_names_cannot_break_the_page(tmp_path):
    picture = save(tmp_path / "<script>alert(1)<!--.png", 3)
    results = run.compare([picture], ["png"], tmp_path / "out")
    page = report.write_report(results, tmp_path / "out").read_text()
    assert "<script>alert" not in page
    assert embedded(page)["names"] == ["<script>alert(1)<!--"]


def test_the_page_opens_on_a_pair_that_shows_a_difference():
    rows = (
        made_up("jpeg", 2, 30),
        made_up("fsq", 2, 31),  # hardly another picture
        made_up("jpeg", 2, 30, "b"),
        made_up("fsq", 2.4, 36, "b"),
        made_up("png", 2.5, math.inf, "b"),
        made_up("bc7", 2, 20, "b"),  # a GPU format
    )
    found = report.opening(Results(Path(), {}, rows, ()), ["a", "b"])
    assert found == {"picture": 1, "left": "jpeg:quality=2", "right": "fsq:quality=2.4"}
    alone = report.opening(Results(Path(), {}, rows[:2], ()), ["a"])
    assert alone == {"picture": 0, "left": "original", "right": "jpeg:quality=2"}


def test_fourteen_colours_differ_in_light_and_dark():
    css = (Path(report.__file__).parent / "page" / "page.css").read_text()
    light, dark = css.split("prefers-color-scheme: dark")
    for theme in (light, dark):
        found = re.findall(r"--(?:ours|classical)-\d: #(\w{6})", theme)
        assert len(set(found)) == 14
        colours = np.array([oklab(text) for text in found])
        apart = np.linalg.norm(colours[:, None] - colours[None], axis=2) + 9 * np.eye(14)
        assert apart.min() > 0.12  # six times what is just noticeable


def oklab(text: str) -> np.ndarray:
    """Björn Ottosson 2020, of an sRGB colour in six digits."""
    levels = np.array([int(text[i : i + 2], 16) for i in (0, 2, 4)]) / 255
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    cones = [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
    lab = [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
    return np.array(lab) @ np.cbrt(np.array(cones) @ linear)


def test_settings_that_nothing_can_do_are_refused_before_anything_runs(tmp_path):
    picture = save(tmp_path / "a.png", 3)
    with pytest.raises(OptionError, match="unknown effort of bc7 'slow'"):
        run.compare([picture], ["bc7:effort=slow"], tmp_path / "out")
    with pytest.raises(OptionError, match="no metric 'lpips'; known: psnr, ssim, ms-ssim"):
        run.compare([picture], ["png"], tmp_path / "out", measured=["lpips"])
    with pytest.raises(WeightsError, match="no weights 'mine'"):
        run.compare([picture], ["fsq:weights=mine"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_only_chosen_metrics_are_measured_and_others_later(tmp_path):
    picture, out = save(tmp_path / "a.png", 3), tmp_path / "out"
    (row,) = run.compare([picture], ["jpeg"], out, measured=["psnr"]).rows
    assert row.psnr > 20
    assert math.isnan(row.ssim)
    (row,) = run.compare([picture], ["jpeg"], out).rows
    assert row.ssim > 0.5


def test_the_command_says_what_failed_and_exits_with_1(tmp_path, monkeypatch, capsys):
    opaque, clear = save(tmp_path / "opaque.png", 3), save(tmp_path / "clear.png", 4)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    out = ["--out", str(tmp_path / "out")]
    code, _, error = command(monkeypatch, capsys, "compare", opaque, "--codecs", "png", *out)
    assert (code, error) == (0, "")
    words = ("compare", opaque, clear, "--codecs", "png", "jpeg", *out)
    code, _, error = command(monkeypatch, capsys, *words)
    assert code == 1
    assert "JPEG failed on clear: JPEG has no alpha" in error
    code, table, error = command(
        monkeypatch, capsys, "compare", broken, opaque, "--codecs", "png", *out
    )
    assert code == 1
    assert "every codec failed on broken: " in error
    assert "png " in table  # the rest was done


def test_a_fault_of_one_codec_does_not_end_the_run(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise ZeroDivisionError("division by zero")

    picture = save(tmp_path / "a.png", 3)
    monkeypatch.setattr("smalti.codecs.bc7.Bc7.encode", fail)
    results = run.compare([picture], ["bc7", "png"], tmp_path / "out")
    assert [row.error for row in results.rows] == ["ZeroDivisionError: division by zero", ""]
    assert results.unfinished() == [("bc7", ["a"], "ZeroDivisionError: division by zero")]


def test_the_table_of_a_narrow_terminal_breaks_no_name():
    console = pytest.importorskip("rich.console").Console(width=80, record=True, file=io.StringIO())
    table = growing._table("codec", tuple(growing.COLUMNS))
    names = ["hash-texture:preset=tiny,effort=ultrafast", "jpeg:quality=90,subsampling=4:2:0"]
    for name in names:
        table.add_row(growing._breakable(name), *["0.123"] * len(growing.COLUMNS))
    console.print(table)
    words = console.export_text().split()
    for word in ("hash-texture:", "preset=tiny,", "effort=ultrafast", "jpeg:", "subsampling=4:2:0"):
        assert word in words
