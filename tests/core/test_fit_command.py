"""`smalti fit`: what it writes, how it stops and goes on, and watching it."""

import os
import signal
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import smalti
from smalti.cli import fit as command
from smalti.cli import live as watching
from smalti.cli.fit_state import ABOUT
from smalti.codecs.fitted import Fitted, FittedOptions
from smalti.fits.picture import watch
from smalti.fits.picture.fit import Fit
from smalti.image import as_picture

from conftest import make_picture, run

SMALL = ("--codec", "fitted:hidden=8", "--threads", "1")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    smalti.save(make_picture(3, 40, 48), "a.png")
    return tmp_path


def signal_at(monkeypatch, *steps: int) -> None:
    """Ctrl-C in the middle of these steps of the fits to come, counted from their beginning."""
    real = Fit.step

    def step(self):
        if self.done + 1 in steps:
            os.kill(os.getpid(), signal.SIGINT)
        return real(self)

    monkeypatch.setattr(Fit, "step", step)


def session(steps: int = 12, channels: int = 3):
    options = FittedOptions(steps=steps, threads=1)
    image = as_picture(make_picture(channels, 40, 48))
    return Fitted(hidden=8).session(image, options)


@pytest.mark.parametrize("extra", [(), ("--texture",), ("--target-psnr", "25")])
def test_a_file_as_encode_writes_it(folder, monkeypatch, capsys, extra):
    arguments = ("a.png", "b.smt", *SMALL, "--steps", "12", "--seed", "3", *extra)
    code, out, _ = run(monkeypatch, capsys, "fit", *arguments)
    data = Path("b.smt").read_bytes()
    assert code == 0
    assert f"a.png -> b.smt: {len(data):,} bytes, {8 * len(data) / 1920:.3f} bpp" in out
    assert sorted(path.name for path in Path().iterdir()) == ["a.png", "b.smt"]
    settings = "hidden=8,steps=12,threads=1"
    settings += {"": "", "--texture": ",texture=true"}.get(
        "".join(extra[:1]), ",target_psnr=25"
    )  # fmt: skip
    image = smalti.load("a.png")
    assert data == smalti.encode(image, f"fitted:{settings}", seed=3)


def test_interrupted_once_it_writes_and_goes_on(folder, monkeypatch, capsys):
    arguments = ("a.png", "b.smt", *SMALL, "--steps", "80")
    run(monkeypatch, capsys, "fit", *arguments)
    whole = Path("b.smt").read_bytes()
    Path("b.smt").unlink()
    with monkeypatch.context() as patch:
        signal_at(patch, 9)
        patch.setattr(command, "SECONDS_BETWEEN_FRAMES", 0)
        code, out, err = run(monkeypatch, capsys, "fit", *arguments)
    assert code == 130
    assert "a.png -> b.smt" in out
    assert "the same command goes on from it: smalti fit a.png b.smt" in out
    assert "finishing with what has been reached" in err
    hurried = Path("b.smt").read_bytes()
    assert hurried != whole
    assert smalti.decode(hurried).shape == (40, 48, 3)
    assert Path("b.smt.fit").exists()
    code, out, _ = run(monkeypatch, capsys, "fit", *arguments)
    assert code == 0
    assert "resumed at step 9 of 80" in out
    assert Path("b.smt").read_bytes() == whole  # as if nothing had happened
    assert not Path("b.smt.fit").exists()


def test_interrupted_twice_it_stops_at_once(folder, monkeypatch, capsys):
    signal_at(monkeypatch, 9, 12)
    monkeypatch.setattr(command, "SECONDS_BETWEEN_FRAMES", 0)
    code, _, err = run(monkeypatch, capsys, "fit", "a.png", *SMALL, "--steps", "80")
    assert code == 130
    assert "smalti: interrupted, no half-written file is left; a.smt.fit is kept" in err
    assert "Traceback" not in err
    assert sorted(path.name for path in Path().iterdir()) == ["a.png", "a.smt.fit"]


def test_a_state_of_something_else_is_told(folder, monkeypatch, capsys):
    arguments = ("a.png", "b.smt", *SMALL, "--steps", "80")
    with monkeypatch.context() as patch:
        signal_at(patch, 5)
        patch.setattr(command, "SECONDS_BETWEEN_FRAMES", 0)
        run(monkeypatch, capsys, "fit", *arguments)
    state = Path("b.smt.fit").read_bytes()
    smalti.save(make_picture(3, 40, 48, seed=1), "c.png")
    for changed, sentence in (
        (("c.png", *arguments[1:]), "b.smt.fit is of a fit of another picture"),
        ((*arguments, "--seed", "7"), "b.smt.fit is of a fit with seed=0 and not 7"),
        ((*arguments[:-1], "90"), "b.smt.fit is of a fit with steps=80 and not 90"),
        ((*arguments, "--texture"), "texture=False and not True"),
    ):
        code, _, err = run(monkeypatch, capsys, "fit", *changed)
        assert code == 1
        assert err.startswith("smalti: ")
        assert err.count("\n") == 1
        assert sentence in err
        assert Path("b.smt.fit").read_bytes() == state
    damaged = bytearray(state)
    damaged[len(damaged) // 2] ^= 1
    for content in (bytes(damaged), state[:1000], b"", b"no state"):
        Path("b.smt.fit").write_bytes(content)
        code, _, err = run(monkeypatch, capsys, "fit", *arguments)
        assert (code, err) == (1, "smalti: b.smt.fit is damaged; remove it to begin anew\n")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "name at least one file"),
        (["none.png"], "none.png"),
        (["a.png", "a.png"], "2 pictures; a fit is of one"),
        (["a.png", "--codec", "bc7"], "bc7 is not fitted step by step"),
        (
            ["a.png", "--codec", "fitted:step=3"],
            "unknown setting of fitted 'step'; is steps meant?",
        ),
        (["a.png", "--effort", "lazy"], "unknown effort of fitted 'lazy'"),
        (["a.png", "--steps", "0"], "steps 0; it must be 1 or more"),
        (["a.png", "--target-bpp", "0"], "--target-bpp 0; it must be above 0"),
        (["a.png", "--target-bpp", "1", "--target-psnr", "30"], "not both"),
        (["a.png", "--max-pixels", "100"], "limit"),
        (["old.png"], "old.smt exists; --force"),
    ],
)
def test_a_users_mistake_is_one_sentence(folder, monkeypatch, capsys, arguments, sentence):
    smalti.save(make_picture(3, 8, 8), "old.png")
    Path("old.smt").write_bytes(b"old")
    code, _, err = run(monkeypatch, capsys, "fit", *arguments)
    assert code == 1
    assert err.startswith("smalti: ")
    assert err.count("\n") == 1
    assert sentence in err
    assert [path.name for path in Path().glob("*.smt*")] == ["old.smt"]
    assert Path("old.smt").read_bytes() == b"old"


def test_a_state_that_is_saved_on_the_way_is_removed_at_the_end(folder, monkeypatch, capsys):
    seen = []
    monkeypatch.setattr("smalti.cli.fit_state.SECONDS_BETWEEN", 0)
    monkeypatch.setattr("smalti.cli.fit_state.SHARE", 1e9)
    monkeypatch.setattr(command, "SECONDS_BETWEEN_FRAMES", 0)
    real = Fit.step

    def step(self):
        path = Path("a.smt.fit")
        seen.append(path.exists() and ABOUT in zipfile.ZipFile(path).namelist())
        return real(self)

    monkeypatch.setattr(Fit, "step", step)
    assert run(monkeypatch, capsys, "fit", "a.png", *SMALL, "--steps", "6")[0] == 0
    assert seen == [False, False, True, True, True, True]  # the first step gives no frame
    assert sorted(path.name for path in Path().iterdir()) == ["a.png", "a.smt"]


@pytest.mark.parametrize("channels", [1, 4])
def test_frames(channels):
    fitting = session(channels=channels)
    frames = list(watch.watch(fitting, 0.0, before=100.0))
    assert frames[-1].step == frames[-1].seen == frames[-1].steps == 12
    last = frames[-1]
    assert last.seconds > 100
    assert last.seconds_left == 0
    assert np.array_equal(last.picture, fitting.picture())
    size = sum(map(len, fitting.sections()))
    assert abs(last.size - size) < 500  # so small a network is stored more coarsely than usual
    assert last.ratio == pytest.approx(3 * 40 * 48 / last.size)
    assert "step 12 of 12" in watch.line(last)
    shown = watch.panels(last)
    assert next(iter(shown)) == "original"
    assert "error, 8 times amplified" in shown
    assert len(shown) == 3 + watch.GRIDS
    assert all(p.dtype == np.uint8 and p.shape[2] == 3 for p in shown.values())
    original, picture, error = (p.astype(int) for p in list(shown.values())[:3])
    if channels == 1:
        inside = (error > 0) & (error < 255)
        expected = 127.5 + watch.ERROR_GAIN * (picture - original)
        assert np.abs(error - expected)[inside].max() <= 1 + watch.ERROR_GAIN


def test_frames_come_by_the_clock_and_pauses_do_not_count():
    now = 0.0

    def clock():
        return now

    frames, fitting = [], session(steps=30)
    real = fitting.fit.step

    def step():
        nonlocal now
        now += 1.0
        return real()

    fitting.fit.step = step
    for frame in watch.watch(fitting, 4.0, clock=clock):
        frames.append(frame)
        now += 1000.0  # somebody thinks
    assert [frame.step for frame in frames] == [4, 8, 12, 16, 20, 24, 28, 30]
    assert [frame.seconds for frame in frames] == [frame.step for frame in frames]
    assert [frame.seconds_left for frame in frames] == [30 - frame.step for frame in frames]


class FakeView:
    """Keys at given frames; what was said and shown. At a pause, Space comes after three looks."""

    def __init__(self, keys: dict[int, list[str]]) -> None:
        self.keys, self.shown, self.said, self.looks, self.closed = keys, [], [], 0, False

    def show(self, frame):
        self.shown.append(frame.step)

    def say(self, text):
        self.said.append(text)

    def pressed(self):
        self.looks += 1
        if self.said and self.said[-1].startswith("paused"):
            return [" "] if self.looks % 4 == 3 else []
        return self.keys.pop(self.shown[-1], [])

    def close(self):
        self.closed = True


def test_keys(folder, monkeypatch, capsys):
    view = FakeView({3: [" "], 5: ["s", "x"], 8: ["q"]})
    monkeypatch.setattr(watching, "view_of", lambda title, live: view)
    monkeypatch.setattr(command, "SECONDS_BETWEEN_FRAMES", 0)
    monkeypatch.setattr(watch, "MEASURING", 1e9)
    code, out, _ = run(monkeypatch, capsys, "fit", "a.png", *SMALL, "--steps", "400", "--live")
    assert code == 0
    assert view.shown == [2, 3, 4, 5, 6, 7, 8]
    assert view.said[:2] == ["paused; Space goes on", "going on"]
    assert view.said[2].startswith("saved a.step5.reconstruction.png, a.step5.error.png, a.step5.g")
    assert view.closed
    assert "a.smt.fit is kept" in out
    assert smalti.load("a.step5.reconstruction.png").shape == (40, 48, 3)
    assert smalti.decode(Path("a.smt").read_bytes()).shape == (40, 48, 3)


def test_without_a_display_the_terminal_shows_the_numbers(folder, monkeypatch, capsys):
    def no_window(title):
        raise RuntimeError("no display name and no $DISPLAY environment variable")

    monkeypatch.setattr(watching, "Window", no_window)
    code, out, err = run(monkeypatch, capsys, "fit", "a.png", *SMALL, "--steps", "8", "--live")
    assert code == 0
    assert "no window here (no display name" in err
    assert "step 8 of 8" in err
    assert "a.png -> a.smt" in out


def test_the_keys_of_a_terminal(monkeypatch):
    pty = pytest.importorskip("pty")
    termios = pytest.importorskip("termios")
    outside, inside = pty.openpty()
    with os.fdopen(inside, closefd=True) as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        before = termios.tcgetattr(terminal)
        keys = watching.Keys()
        assert keys.any
        assert keys.pressed() == []
        os.write(outside, b"S q")
        assert keys.pressed() == ["s", " ", "q"]
        keys.close()
        assert termios.tcgetattr(terminal) == before
    os.close(outside)


def test_the_window():
    pytest.importorskip("tkinter")
    try:
        window = watching.Window("a test")
    except (ImportError, RuntimeError) as cause:
        pytest.skip(str(cause))
    try:
        *_, frame = watch.watch(session(steps=3), 0.0)
        window.show(frame)
        window.show(frame)
        assert window._status["text"] == watch.line(frame)
        assert [panel["text"] for panel in window._panels] == list(watch.panels(frame))
        window._root.focus_force()
        for key in ("space", "S"):
            window._root.event_generate("<Key>", keysym=key)
        assert window.pressed() == [" ", "s"]
        assert window.pressed() == []
    finally:
        window.close()
