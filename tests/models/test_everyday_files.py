"""Files as people have them: tables out of Excel, folders with hidden names and links."""

import os

import pytest

import smalti
from smalti import tables
from smalti.errors import OptionError
from smalti.tokens.shards import sources_of

from conftest import make_picture, run


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a", "ü"):
        smalti.save(make_picture(3, 8, 8), tmp_path / "in" / f"{name}.png")
    return tmp_path / "in"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_captions_out_of_excel(folder, tmp_path, encoding, separator):
    lines = ["file,caption", "a.png,ein Käse", "ü.png,"]
    table = tmp_path / "captions.csv"
    table.write_bytes("\r\n".join(lines).replace(",", separator).encode(encoding))
    assert [s.caption for s in sources_of(folder, str(table))] == ["ein Käse", ""]


def test_a_long_caption_is_read_and_a_broken_table_is_one_sentence(tmp_path):
    table = tmp_path / "a.csv"
    table.write_text("file,caption\na\\b.png," + "x" * 200_000 + "\n")
    (row,) = tables.read(table, ("file", "caption"))
    assert row["file"] == "a/b.png"
    assert len(row["caption"]) == 200_000
    table.write_text("name\nb\n")
    with pytest.raises(OptionError, match="no columns file and caption"):
        tables.read(table, ("file", "caption"))


def test_captions_beside_a_picture_in_any_encoding(folder):
    (folder / "a.txt").write_bytes("ein Käse".encode("cp1252"))
    (folder / "ü.txt").write_bytes("ein Käse".encode("utf-16"))
    assert [s.caption for s in sources_of(folder)] == ["ein Käse", "ein Käse"]


def test_hidden_names_are_no_pictures(folder, monkeypatch, capsys, tmp_path):
    (folder / "._a.png").write_bytes(b"macOS")
    (folder / ".ipynb_checkpoints").mkdir()
    smalti.save(make_picture(3, 8, 8), folder / ".ipynb_checkpoints" / "a-checkpoint.png")
    assert [s.name for s in sources_of(folder, "folders")] == ["a.png", "ü.png"]
    code, _, error = run(monkeypatch, capsys, "encode", folder, "--out", tmp_path / "out")
    assert (code, error) == (0, "")
    assert sorted(p.name for p in (tmp_path / "out").rglob("*.smt")) == ["a.smt", "ü.smt"]


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_links_are_followed_and_those_that_lead_nowhere_are_told(
    folder, monkeypatch, capsys, tmp_path
):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    smalti.save(make_picture(3, 8, 8), elsewhere / "b.png")
    (folder / "linked").symlink_to(elsewhere, target_is_directory=True)
    (folder / "round").symlink_to(folder, target_is_directory=True)
    code, _, error = run(monkeypatch, capsys, "encode", folder, "--out", tmp_path / "out")
    assert (code, error) == (0, "")
    assert (tmp_path / "out" / "linked" / "b.smt").is_file()
    (folder / "gone.png").symlink_to(tmp_path / "nothing.png")
    code, _, error = run(
        monkeypatch, capsys, "encode", folder, "--out", tmp_path / "out", "--force"
    )
    assert code == 1
    assert "gone.png: no such file" in error


def test_a_folder_that_cannot_be_looked_into_is_told(folder, monkeypatch, capsys, tmp_path):
    def refused(path, *_):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("os.scandir", refused)
    code, _, error = run(monkeypatch, capsys, "encode", folder, "--out", tmp_path / "out")
    assert code == 1
    assert "Permission denied" in error
