"""docs/codecs: a page for each codec, whose commands run and print what the page shows."""

import re
import shlex

import numpy as np
import pytest

import smalti
from smalti import registry
from smalti.files import BUNDLED_PICTURES

from conftest import ROOT, codecs, run

PAGES = ROOT / "docs" / "codecs"
PARTS = ("Use", "How it works", "Settings", "Limits", "API")
SMALL = 64  # texels along each side: fits are slow


def pattern(text: str) -> list[str]:
    """The lines with every number as #, and no line twice: other sizes print as many kinds of them."""
    masked = (re.sub(r"[0-9][0-9,.]*|\b[0-9a-f]{16}\b", "#", line) for line in text.splitlines())
    return list(dict.fromkeys(" ".join(line.split()) for line in masked))


def test_each_codec_has_a_page_in_the_list():
    listed = re.findall(r"\]\((.*)\.md\)", (PAGES / "index.md").read_text())
    assert {name for name in listed if "/" not in name} == set(registry.CODECS)
    assert {page.stem for page in PAGES.glob("[!i]*.md")} == set(registry.CODECS)


@pytest.mark.parametrize("name", registry.CODECS)
def test_a_page_has_its_parts_and_a_small_picture(name):
    text = (PAGES / f"{name}.md").read_text()
    assert tuple(re.findall("^## (.*)$", text, re.M)) == PARTS
    assert "<!-- settings -->" in text
    assert f"({name}.webp)" in text
    assert (PAGES / f"{name}.webp").stat().st_size < 60_000


@pytest.mark.parametrize("name", codecs())
def test_commands_print_what_the_page_shows(name, tmp_path, monkeypatch, capsys):
    text = (PAGES / f"{name}.md").read_text()
    commands, shown = re.search(r"```sh\n(.*?)```\n\n```text\n(.*?)```", text, re.DOTALL).groups()
    monkeypatch.chdir(tmp_path)
    for path in BUNDLED_PICTURES.glob("*.png"):
        part = smalti.load(path)[64 : 64 + SMALL, 64 : 64 + SMALL]
        smalti.save(np.ascontiguousarray(part), path.name)
    for line in commands.splitlines():
        command = line.partition("#")[0].replace("64x64+84+72", "16x16+8+4")
        code, printed, error = run(monkeypatch, capsys, *shlex.split(command)[1:])
        assert not code, error
    expected = pattern(shown)
    assert pattern(printed)[: len(expected)] == expected
