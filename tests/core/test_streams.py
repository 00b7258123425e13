"""`-` and pipes: one picture in, one file out, and nothing else on standard output."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import smalti

from conftest import make_picture, run

PNG = b"\x89PNG"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    smalti.save(make_picture(3, 12, 16), "a.png")
    return tmp_path


def piped(data: bytes, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "smalti", *arguments]
    return subprocess.run(command, input=data, capture_output=True, check=False)


def test_encode_and_decode_from_standard_input_to_standard_output(folder):
    picture = Path("a.png").read_bytes()
    fast = ("--effort", "fast")
    for names in (("-", "-"), ("-",), ("a.png", "-"), ("/dev/stdin", "-")):
        done = piped(picture, "encode", *names, *fast)
        assert done.returncode == 0, done.stderr
        assert done.stdout == smalti.encode("a.png", "bc7", effort="fast")
    assert done.stderr.startswith(b"/dev/stdin -> standard output: ")
    back = piped(done.stdout, "decode", "-", "-", "--suffix", ".webp")
    assert back.stdout[:4] == b"RIFF"
    assert piped(done.stdout, "decode", "-").stdout[:4] == PNG
    assert piped(done.stdout, "info", "-").stdout.startswith(b"standard input: bc7, 16 x 12 RGB")
    texture = piped(picture, "encode", "-", "-", *fast, "--suffix", ".dds").stdout
    np.testing.assert_array_equal(smalti.decode(texture)[..., :3], smalti.decode(done.stdout))


def test_texture_and_unpack(folder):
    picture = Path("a.png").read_bytes()
    made = piped(picture, "texture", "-", "-", "--suffix", ".dds", "--effort", "fast")
    assert made.stdout.startswith(b"DDS ")
    assert piped(picture, "texture", "-", "a.dds", "--effort", "fast").returncode == 0
    assert Path("a.dds").read_bytes() == made.stdout
    assert piped(made.stdout, "unpack", "-", "levels").returncode == 0
    assert Path("levels/texture.level0.png").exists()


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="has no /dev/fd")
@pytest.mark.parametrize("command", ["encode", "texture"])
def test_a_pipe_as_a_shell_makes_it(folder, monkeypatch, capsys, command):
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as pipe:
        pipe.write(Path("a.png").read_bytes())
    name = f"/dev/fd/{reading}"
    arguments = (command, name, "b.ktx2", "--effort", "ultrafast")
    assert run(monkeypatch, capsys, *arguments)[0] == 0
    os.close(reading)
    assert run(monkeypatch, capsys, command, "a.png", "c.ktx2", *arguments[3:])[0] == 0
    assert Path("b.ktx2").read_bytes() == Path("c.ktx2").read_bytes()


def test_a_pipe_without_an_output_is_refused(folder):
    done = piped(Path("a.png").read_bytes(), "encode", "/dev/stdin")
    assert done.returncode == 1
    assert b"/dev/stdin has no place for an output beside it; name the output" in done.stderr


@pytest.mark.parametrize("content", [b"", b"no picture"])
def test_what_is_no_picture_is_one_sentence(folder, content):
    for arguments in (("encode", "-", "-"), ("texture", "-", "-"), ("info", "-"), ("decode", "-")):
        done = piped(content, *arguments)
        assert (done.returncode, done.stdout) == (1, b"")
        assert done.stderr.startswith(b"smalti: ")
        assert done.stderr.count(b"\n") == 1


def test_names_of_outputs_are_checked(folder, monkeypatch, capsys):
    for arguments, sentence in (
        (("encode", "-", "-", "--suffix", ".png"), "suffix '.png'; known"),
        (("texture", "-", "-", "--suffix", ".smt"), "suffix '.smt'; known"),
        (("encode", "a.png", "-", "b.smt"), "2 inputs and one output"),
    ):
        code, out, err = run(monkeypatch, capsys, *arguments)
        assert (code, out, err.count("\n")) == (1, "", 1)
        assert sentence in err
