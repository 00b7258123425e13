"""Terminals that lack letters, and file names that would command them."""

import os
import subprocess
import sys

import pytest

import smalti

from conftest import make_picture


def command(*words, encoding="utf-8", cwd=None):
    return subprocess.run(
        [sys.executable, "-m", "smalti", *map(str, words)],
        cwd=cwd,
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        check=False,
    )


@pytest.mark.parametrize("encoding", ["cp1252", "cp932", "ascii"])
def test_help_is_shown_in_any_encoding(encoding):
    done = command("--help", encoding=encoding)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_batch_goes_on_at_a_name_that_the_terminal_cannot_show(tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a", "b_日本", "c"):
        smalti.save(make_picture(3, 8, 8), tmp_path / "in" / f"{name}.png")
    done = command("encode", "in", "--out", "out", encoding="cp1252", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert rb"b_\u65e5\u672c.png" in done.stdout
    assert len(list((tmp_path / "out").iterdir())) == 3


@pytest.mark.skipif(sys.platform == "win32", reason="has no such names")
def test_control_characters_of_names_do_not_reach_the_terminal(tmp_path):
    smalti.save(make_picture(3, 8, 8), tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "\x1b[31mred\x07.png")
    (tmp_path / "\x1b]0;title\x07.png").write_bytes(b"no picture")
    done = command("encode", ".", "--out", "out", cwd=tmp_path)
    assert done.returncode == 1
    assert b"\x1b" not in done.stdout + done.stderr
    assert rb"\x1b[31mred\x07.png" in done.stdout
    assert rb"\x1b]0;title\x07.png" in done.stderr
