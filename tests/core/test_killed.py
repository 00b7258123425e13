"""A command that is killed leaves the old file or the new one, never half of one."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import smalti
from smalti import textures

from conftest import make_picture

KILLS = 2  # of each command; more by `python tests/core/test_killed.py 50`
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="has no SIGKILL")


def commands(folder: Path) -> dict[str, tuple[list[str], Path]]:
    """Name -> the words of a command that writes, and the file that it writes."""
    smalti.save(make_picture(3, 256, 256), folder / "a.png")
    (folder / "a.smt").write_bytes(smalti.encode(make_picture(3, 256, 256), "bc7"))
    made = {
        "encode": ["encode", "a.png", "encode.smt"],
        "fit": ["encode", "a.png", "fit.smt", "--codec", "latent-texture:steps=20"],
        "decode": ["decode", "a.smt", "decode.png"],
        "texture": ["texture", "a.png", "texture.ktx2"],
        "dds": ["texture", "a.png", "dds.dds"],
    }
    return {
        name: ([*words, "--force"], folder / next(w for w in words if w.startswith(f"{name}.")))
        for name, words in made.items()
    }


def whole(file: Path) -> bool:
    data = file.read_bytes()
    if file.suffix == ".smt":
        return smalti.decode(data).shape == (256, 256, 3)
    if file.suffix == ".png":
        return smalti.load(data).shape == (256, 256, 3)
    return textures.read_texture(data).height == 256


def killed(words: list[str], folder: Path, after: float, number: int) -> bool:
    """Whether the command was still running when the signal came."""
    process = subprocess.Popen(
        [sys.executable, "-m", "smalti", *words],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # what started the tests may have it ignored, as nohup does with SIGHUP
        preexec_fn=lambda: (
            signal.signal(number, signal.SIG_DFL) if number != signal.SIGKILL else None
        ),
    )
    time.sleep(after)
    process.send_signal(number)
    return process.wait(60) != 0


@pytest.mark.parametrize("name", ["encode", "fit", "decode", "texture", "dds"])
def test_killed_at_any_moment_the_old_file_or_the_new_one_is_there(name, tmp_path):
    words, file = commands(tmp_path)[name]
    count_kills(words, file, KILLS, seed=0)


def count_kills(words: list[str], file: Path, count: int, seed: int) -> int:
    """Kill a command so many times; how many of the signals met it running.

    Raises:
        AssertionError: the file is half-written.
    """
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "smalti", *words], cwd=file.parent, check=True,
                   stdout=subprocess.DEVNULL)  # fmt: skip
    took = time.perf_counter() - start
    moments, met = random.Random(seed), 0
    for _ in range(count):
        met += killed(words, file.parent, moments.uniform(0.5, 1.05) * took, signal.SIGKILL)
        assert whole(file)
    return met


@pytest.mark.parametrize("number", ["SIGTERM", "SIGHUP"])
def test_asked_to_end_nothing_temporary_is_left(number, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros(1))  # something of the user's
    words, file = commands(tmp_path)["fit"]
    before = sorted(tmp_path.iterdir())
    words = [word.replace("steps=20", "steps=100000") for word in words]
    assert killed(words, tmp_path, 2.5, getattr(signal, number))
    assert sorted(tmp_path.iterdir()) == before
    assert not file.exists()


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        for name, (words, file) in commands(Path(place)).items():
            met = count_kills(words, file, int(sys.argv[1]), seed=1)
            sys.stdout.write(
                f"{name}: {sys.argv[1]} kills, {met} while running, none half-written\n"
            )
