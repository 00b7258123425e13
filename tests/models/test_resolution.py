"""The evaluation across sizes: its measures on what is known, and the command on stand-ins."""

import gzip
import json
import math
import resource
import struct
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from smalti import diffusion
from smalti.errors import OptionError, WeightsError
from smalti.explain import size_study
from smalti.image import save
from smalti.models.resampler import Resampler, ResamplerConfig

from conftest import ROOT, make_picture, make_tensor

sys.path.insert(0, str(ROOT / "benchmarks"))

import judge as judges
import resolution
import resolution_measures as measures
import resolution_photos
import resolution_table


def digits(count: int, seed: int = 0) -> judges.Digits:
    """Strokes at the angle of their label, `count 28 28`."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 10
    y, x = np.mgrid[:28, :28] - 13.5
    angle = (labels * np.pi / 10 + random.normal(0, 0.03, count))[:, None, None]
    across = np.abs(x * np.sin(angle) - y * np.cos(angle))
    along = np.abs(x * np.cos(angle) + y * np.sin(angle) - 2)
    ink = np.clip(2.5 - across, 0, 1) * np.clip(9 - along, 0, 1)
    return judges.Digits((255 * ink).astype(np.uint8), labels.astype(np.int64))


class Stand(nn.Module):
    """A resampler without learning: texels of a small picture as channels, then a resize."""

    def __init__(self, side: int = 4) -> None:
        super().__init__()
        self.side = side
        self.register_buffer("weight", torch.ones(1))

    def encode(self, x: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        size = size or (x.shape[2] // 8, x.shape[3] // 8)
        small = measures.resize(x, (size[0] * self.side, size[1] * self.side))
        return F.pixel_unshuffle(small, self.side)

    def decode(
        self,
        z: Tensor,
        size: tuple[int, int],
        *,
        fit: str = "stretch",
        footprint: float | None = None,
    ) -> Tensor:
        if fit == "contain":
            return measures.contained(lambda square: self.decode(z, square), size)
        x = F.pixel_shuffle(z, self.side)
        if footprint is None:
            return measures.resize(x, size)
        return F.interpolate(x, size, mode="bilinear")  # the field itself, at points


@pytest.fixture(autouse=True)
def small_judge(monkeypatch):
    monkeypatch.setattr(judges, "WIDTHS", (4, 6, 8, 8, 16))


def drawn(diffuser: Stand, labels: Tensor, grid: tuple[int, int], *, seed: int, **_: object):
    random = torch.Generator().manual_seed(seed)
    real = digits(len(labels), seed).pictures
    z = diffuser.encode(resolution_input(judges.resized(real, 32, 32)), grid)
    return z + 0.05 * torch.randn(z.shape, generator=random)


def resolution_input(pictures: np.ndarray) -> Tensor:
    return torch.from_numpy(pictures)[:, None].float() / 127.5 - 1


def test_resize_is_pillows():
    picture = make_tensor(1, 28, 28)[0].numpy()
    for size in ((10, 10), (48, 24), (64, 37)):
        image = Image.fromarray(picture, mode=None).resize(size[::-1], Image.Resampling.BICUBIC)
        mine = measures.resize(torch.from_numpy(picture)[None, None], size)[0, 0]
        np.testing.assert_allclose(mine.numpy(), np.asarray(image), atol=1e-5)


def test_unshuffle_is_exact_at_its_own_size():
    x = torch.randn(2, 1, 32, 32)
    model = measures.Unshuffled()
    assert model.encode(x).shape == (2, 64, 4, 4)
    assert torch.equal(model.decode(model.encode(x), (32, 32)), x)
    assert torch.equal(model.decode(model.encode(x), (50, 20)), measures.resize(x, (50, 20)))


def test_inertia_of_a_bar():
    """n texels in a row have a second moment of (n² - 1) / 12."""
    x = torch.full((2, 1, 30, 40), -1.0)
    x[0, :, 10:13, 20:29] = 1  # 3 high, 9 wide
    x[1, :, 3:12, 1:4] = 1
    assert measures.inertia_ratios(x).tolist() == pytest.approx([80 / 8, 8 / 80])
    faint = torch.where(x < 0, -0.95, x)  # what is next to black does not count
    assert measures.inertia_ratios(faint).tolist() == pytest.approx([10, 0.1])
    assert measures.inertia_ratios(torch.full((1, 1, 8, 8), -1.0)).isnan().all()


def test_drift_of_stretched_digits():
    """Resized digits keep to the rule of a², and one that is squeezed instead does not."""
    real = digits(40).pictures
    upright = measures.inertia_ratios(resolution_input(judges.resized(real, 48, 48)))
    wide = measures.inertia_ratios(resolution_input(judges.resized(real, 24, 48)))
    kept = measures.inertia_ratios(resolution_input(judges.contained(real, 24, 48)))
    assert measures.drift(wide, upright, 2.0)["mean"] < 0.03
    assert measures.drift(kept, upright)["mean"] < 0.03
    assert measures.drift(wide, upright)["mean"] > 2.5
    assert measures.drift(torch.tensor([1.1, math.nan]), torch.ones(2)) == {
        "mean": pytest.approx(0.1),
        "median": pytest.approx(0.1),
        "pictures": 1,
    }


def test_frechet_distance():
    random = torch.Generator().manual_seed(0)
    f = torch.randn(500, 16, generator=random)
    assert measures.frechet(f, f) == pytest.approx(0, abs=1e-8)
    assert measures.frechet(f, f + 2) == pytest.approx(16 * 4, rel=1e-9)
    # Of Gaussians with commuting covariances it is the sum of (s - t)².
    assert measures.frechet(f, 3 * (f - f.mean(0))) == pytest.approx(
        float(f.mean(0).square().sum() + 4 * f.double().var(0).sum()), rel=1e-5
    )


def test_nested_grids():
    def field(size: tuple[int, int]) -> Tensor:
        y, x = ((torch.arange(n, dtype=torch.float64) + 0.5) / n for n in size)
        return torch.sin(7 * y)[None, None, :, None] * torch.cos(5 * x)

    assert measures.nested(field, 32) > 250  # rounding of float64
    corners = measures.nested(lambda size: field((size[0] + 1, size[1] + 1))[..., :-1, :-1], 32)
    assert corners < 50
    x = torch.zeros(1, 1, 32, 32)
    assert measures.decibels(x, x) == math.inf
    assert measures.decibels(x, x + 2) == pytest.approx(0)


def test_contained_pictures():
    pictures = digits(3).pictures
    whole = judges.contained(pictures, 18, 32)
    np.testing.assert_array_equal(whole[:, :, 7:25], judges.resized(pictures, 18, 18))
    assert whole[:, :, :7].max() == whole[:, :, 25:].max() == 0
    x = resolution_input(judges.resized(pictures, 18, 18))
    again = measures.contained(lambda size: measures.resize(x, size), (18, 32))
    np.testing.assert_array_equal(measures.as_uint8(again)[..., 0], whole)


def test_the_judge_learns_stops_and_goes_on(tmp_path):
    """Strokes of ten angles, at sizes that it is not told; half, and then the rest."""

    def stop(done: int, total: int) -> None:
        if done == judges.CHECKPOINT + 2:
            raise KeyboardInterrupt

    path, part = tmp_path / "judge.pt", tmp_path / "judge.pt.part"
    torch.manual_seed(0)
    steps = 8
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judges, "CHECKPOINT", 4)
        patch.setattr(judges, "BATCH", 20)
        whole, halted = judges.Judge(), judges.Judge()
        halted.load_state_dict(whole.state_dict())
        judges.train(whole, digits(60), tmp_path / "whole.pt", steps=steps)
        with pytest.raises(KeyboardInterrupt):
            judges.train(halted, digits(60), path, stop, steps=steps)
        assert part.is_file()
        assert not path.exists()
        judges.train(judges.Judge(), digits(60), path, steps=steps)
    assert not part.exists()
    halves, at_once = (torch.load(p, weights_only=True) for p in (path, tmp_path / "whole.pt"))
    for key, value in at_once.items():
        torch.testing.assert_close(halves[key], value)
    judge = judges.judge_of(path, None)
    for size in ((10, 10), (64, 20), (9, 128)):
        assert judges.features(judge, torch.rand(2, *size)).shape == (2, 16)


def test_refusals_of_the_judge(tmp_path):
    with pytest.raises(OptionError, match="is no judge yet"):
        judges.judge_of(tmp_path / "no.pt", None)
    torch.save({"a": torch.ones(1)}, tmp_path / "other.pt")
    with pytest.raises(OptionError, match="holds no judge of this kind; delete it"):
        judges.judge_of(tmp_path / "other.pt", None)
    with pytest.raises(OptionError, match="no train-images-idx3-ubyte or"):
        judges.read_digits(tmp_path, "train")


@pytest.fixture
def mnist(tmp_path):
    folder = tmp_path / "mnist"
    folder.mkdir()
    for part, made in (("train", digits(60)), ("t10k", digits(48, 1))):
        for kind, array in (("images-idx3", made.pictures), ("labels-idx1", made.labels)):
            head = struct.pack(f">I{array.ndim}I", 0x800 + array.ndim, *array.shape)
            data = gzip.compress(head + array.astype(np.uint8).tobytes())
            (folder / f"{part}-{kind}-ubyte.gz").write_bytes(data)
    torch.manual_seed(0)
    torch.save(judges.Judge().state_dict(), tmp_path / "judge.pt")
    return folder


@pytest.fixture
def command(tmp_path, mnist, monkeypatch, capsys):
    """Lines of the command with stand-ins for the weights that `models` names."""

    def run(*arguments: str, models: tuple[str, ...] = ("r2ir-mnist", "r2id-mnist")) -> list[dict]:
        def load(name: str) -> Stand:
            if name not in models:
                raise WeightsError(f"no weights {name}")
            return Stand()

        monkeypatch.setattr(resolution.smalti, "load_model", load)
        monkeypatch.setattr(diffusion, "sample", drawn)
        monkeypatch.setattr(size_study, "velocity_loss", lambda *_, seed: 0.5)
        given = [str(mnist), "--judge", str(tmp_path / "judge.pt"), "--out", str(tmp_path / "out")]
        monkeypatch.setattr(sys, "argv", ["resolution.py", *given, *arguments])
        resolution.main()
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return run


SMALL = ("--samples", "40", "--only", "consistency", "steps", "drift")


def test_command(command, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("resolution_study.SQUARES", ((10, 10), (16, 16), (20, 20), (32, 32)))
    monkeypatch.setattr("resolution_sections.GRIDS", ((4, 4), (8, 8), (4, 10)))
    everything = [name for name in resolution.SECTIONS if name != "cost"]
    lines = command("--samples", "40", "--only", *everything)
    assert lines[1] == {
        "what": "missing",
        "model": "r2ir-mnist-64",
        "why": "no weights r2ir-mnist-64",
    }
    assert {line["what"] for line in lines[2:]} == {"settings", *everything}
    at = {(line["what"], line.get("size"), line.get("fit")): line for line in lines[2:]}
    # The stand-in is a 16 x 16 picture, resized: worse than what is exact at 32 x 32.
    assert at["truth", "32x32", "stretch"]["unshuffle"] == "inf"
    assert at["truth", "20x20", "stretch"]["psnr"] < at["truth", "20x20", "stretch"]["unshuffle"]
    (found,) = [line for line in lines if "float32" in line]
    assert found["float32"] > 90
    assert found["bfloat16"] > 90  # as the stand-in has nothing to round
    assert at["drift", "24x48", "contain"]["resized_mean"] < 0.05
    stored = tmp_path / "stored.jsonl"
    stored.write_text("".join(json.dumps(line) + "\n" for line in lines))
    monkeypatch.setattr(sys, "argv", ["resolution.py", "--summary", str(stored)])
    resolution.main()
    text = capsys.readouterr().out
    for title in ("Goals", "Against the truth", "Drawn from 4 x 4", "Grids", "Steps", "Drift"):
        assert f"### {title}" in text
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert not [line for line in table if "None" in line or "nan" in line]


def test_it_goes_on_where_it_was(command, tmp_path, monkeypatch):
    def broken(*_: object, **__: object) -> Tensor:
        raise AssertionError("it was drawn already")

    first = command(*SMALL)
    monkeypatch.setitem(globals(), "drawn", broken)
    assert command(*SMALL)[1:] == first[1:]
    with pytest.raises(AssertionError, match="drawn already"):
        command(*SMALL[2:], "--samples", "44")


def test_without_a_diffuser(command):
    lines = command("--samples", "40", "--only", "steps", "consistency", models=("r2ir-mnist",))
    assert {"what": "steps", "missing": "no diffuser"} in lines
    assert any("float32" in line for line in lines)


def test_photographs(tmp_path):
    for number in range(2):
        save(make_picture(3, 100, 150, seed=number), tmp_path / f"{number}.png")
    rows = list(resolution_photos.photos(Stand(8), tmp_path, rounded=False))
    assert [row["scale"] for row in rows] == [1.0, 2.0, 1.5, 0.5, "downscale"]
    assert {row["pictures"] for row in rows} == {2}
    # Lossless at its own size, and beyond it exactly the resize of what was encoded.
    assert rows[0]["psnr"] == math.inf
    for row in rows[1:4]:
        assert row["psnr"] == row["resized"]
        assert row["psnr"] > 15
    assert rows[1]["unshuffle"] == rows[1]["psnr"]
    coarse = next(resolution_photos.photos(Stand(8), tmp_path))  # of -1, 0 and 1 alone
    assert coarse["psnr"] < 20
    with pytest.raises(OptionError, match="no picture of 48 x 48 texels or more"):
        next(resolution_photos.photos(Stand(8), tmp_path / "empty"))


def test_refusals(tmp_path, monkeypatch, capsys):
    (tmp_path / "bad.jsonl").write_text("{")
    with pytest.raises(OptionError, match="cannot be read as stored results"):
        resolution_table.tables(tmp_path / "bad.jsonl")
    (tmp_path / "other.jsonl").write_text('{"smalti": "0.1.0"}\n')
    with pytest.raises(OptionError, match=r"holds no line of resolution\.py"):
        resolution_table.tables(tmp_path / "other.jsonl")
    monkeypatch.setattr(sys, "argv", ["resolution.py", str(tmp_path), "--judge", "j.pt"])
    with pytest.raises(SystemExit):
        resolution.main()
    assert "--out FOLDER" in capsys.readouterr().err


def test_cost_is_of_the_process_alone(tmp_path):
    """A child does not count what its parent holds, and the picture is part of its peak."""
    held = torch.ones(100 * 2**20)  # 400 MB
    path = tmp_path / "tiny.safetensors"
    config = ResamplerConfig(width=8, heads=1, places=1, atoms=2, texel_width=4)
    Resampler(config).save_pretrained(path)
    command = [sys.executable, str(ROOT / "benchmarks" / "resolution_cost.py"), str(path), "512"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    row = json.loads(done.stdout)
    assert row["size"] == "512x512"
    assert row["picture_mb"] == pytest.approx(1.0, abs=0.1)
    assert row["before_mb"] <= row["peak_mb"] < row["before_mb"] + 200
    assert row["before_mb"] < megabytes_of_this_process() - 150
    del held


def megabytes_of_this_process() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
