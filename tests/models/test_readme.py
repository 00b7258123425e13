"""README's and the docs' promises: its code runs, its commands are the two, its links lead somewhere."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import smalti

from conftest import ROOT, make_picture, run

README = (ROOT / "README.md").read_text()
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_there_are_exactly_two_set_up_commands():
    commands = [line for line in README.splitlines() if line.startswith("pip install")]
    assert commands[:2] == [
        "pip install '.[models,jxl]' && smalti compare",
        "pip install '.[test]' && pytest",
    ]
    assert not any("&&" in command for command in commands[2:])


@pytest.mark.parametrize("code", blocks("python"))
def test_python_blocks_run(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    smalti.save(make_picture(3, 40, 60), "a.png")
    exec(compile(code, "README.md", "exec"), {})


@pytest.mark.parametrize("line", [line for block in blocks("sh") for line in block.splitlines()])
def test_shell_lines_run(line, tmp_path, monkeypatch, capsys):
    if line.startswith("pip install") or "--data" in line:
        pytest.skip("set-up and training are not for a test")
    monkeypatch.chdir(tmp_path)
    Path("pictures").mkdir()
    for name in ("a.png", "pictures/b.png"):
        smalti.save(make_picture(4, 40, 60), name)
    for suffix in (".smt", ".dds", ".ktx2"):
        Path(f"a{suffix}").write_bytes(smalti.encode("a.png", suffix=suffix))
    command = line.partition("#")[0].strip()
    if "<" in command:
        shell = command.replace("smalti ", f"{Path(sys.executable).parent}/smalti ", 1)
        done = subprocess.run(shell, shell=True, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    else:  # in this process, which has imported torch already
        words = shlex.split(command)[1:]
        if words[0] == "encode":
            Path(words[2]).unlink(missing_ok=True)  # made above for commands that read it
        code, _, error = run(monkeypatch, capsys, *words)
        assert not code, error


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
