"""README's and the docs' promises: its code runs, its commands are the two, its links lead somewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import smalti

from conftest import ROOT, make_picture

README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


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
def test_shell_lines_run(line, tmp_path):
    if line.startswith("pip install") or "--data" in line:
        pytest.skip("set-up and training are not for a test")
    command = line.partition("#")[0].strip()
    (tmp_path / "pictures").mkdir()
    for name in ("a.png", "pictures/b.png"):
        smalti.save(make_picture(4, 40, 60), tmp_path / name)
    for suffix in (".smt", ".dds", ".ktx2"):
        (tmp_path / f"a{suffix}").write_bytes(
            smalti.encode(smalti.load(tmp_path / "a.png"), suffix=suffix)
        )
    bin_folder = Path(sys.executable).parent
    done = subprocess.run(
        command.replace("smalti ", f"{bin_folder}/smalti ", 1),
        shell=True,
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},  # tiny tensors
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
