"""What starting costs: which modules a command imports, and no more."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import smalti

from conftest import make_picture

PROBE = """
import json, sys
from smalti.cli import main
try:
    main()
finally:
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""
HEAVY = {"torch", "numba", "rich", "tyro", "scipy", "matplotlib", "imagecodecs", "tifffile"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("start")
    smalti.save(make_picture(3, 8, 8), folder / "a.png")
    for suffix in (".smt", ".dds", ".ktx2"):
        data = smalti.encode(folder / "a.png", "bc7:effort=ultrafast", suffix=suffix)
        (folder / f"a{suffix}").write_bytes(data)
    return folder


def imported(folder: Path, *arguments: str) -> set[str]:
    """The modules that a command leaves behind."""
    command = [sys.executable, "-c", PROBE, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize(
    "arguments", [["--help"], ["material", "--help"], ["train", "--help"], ["info", "a.smt"]]
)
def test_help_and_info_import_no_numpy(folder, arguments):
    found = imported(folder, *arguments)
    assert not found & {*HEAVY, "numpy", "PIL", "smalti.api", "smalti.native"}


@pytest.mark.parametrize("name", ["a.dds", "a.ktx2"])
def test_info_of_a_texture_imports_no_codec(folder, name):
    found = imported(folder, "info", name)
    assert not found & {*HEAVY, "PIL", "smalti.codecs", "smalti.textures.encode"}


@pytest.mark.parametrize("name", ["a.smt", "a.dds"])
def test_decode_imports_no_encoder(folder, name):
    found = imported(folder, "decode", name, "b.png", "--force")
    ours = {module for module in found if module.startswith("smalti.")}
    assert not found & {*HEAVY, "smalti.bc7.encode", "smalti.bc7.rdo", "smalti.entropy.planes"}
    assert {module for module in ours if module.startswith("smalti.bc7.")} == {
        "smalti.bc7.decode",
        "smalti.bc7.layout",
    }
    assert {module for module in ours if module.startswith("smalti.codecs.")} == {
        "smalti.codecs.bc7"
    }


def test_encode_and_texture_import_no_other_codec(folder):
    for arguments in (["encode", "a.png", "c.smt"], ["texture", "a.png", "c.ktx2"]):
        found = imported(folder, *arguments)
        assert not found & HEAVY
        others = {
            m
            for m in found
            if m.startswith(("smalti.fits.picture", "smalti.fits.material", "smalti.eval"))
        }
        assert others <= {"smalti.eval", "smalti.eval.metrics"}
