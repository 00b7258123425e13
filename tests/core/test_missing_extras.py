"""Without an optional package a command is one sentence that names the install command."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import smalti

from conftest import NEEDS_TORCH

# Runs commands in one process in which some packages cannot be found.
SCRIPT = """
import contextlib, io, json, sys

blocked, commands = json.loads(sys.argv[1])

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
from smalti.cli import main

said = []
for command in commands:
    sys.argv = ["smalti", *command]
    with contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            main()
        except SystemExit as stop:
            said.append([stop.code, err.getvalue()])
print(json.dumps(said))
"""


TORCH = {
    "tokens a.png": ("torch", "models"),
    "untokens a.json a.png": ("torch", "models"),
    "draw seven a.png": ("torch", "models"),
    "name a.png": ("torch", "models"),
    "sample a.png": ("torch", "models"),
    "profile fsq-1m": ("torch", "models"),
    "explain sizes": ("torch", "models"),
    "train rgba-boxes": ("torch", "train"),
    "export rgba-boxes out": ("torch", "onnx"),
}
BESIDE_TORCH = {  # as somebody has it who installed torch alone
    "sample a.png": ("jaxtyping", "models"),
    "tokens a.png": ("jaxtyping", "models"),
}
OTHERS = {
    "train rgba-boxes --steps 1": ("accelerate", "train"),
    "draw seven a.png": ("transformers", "tokens"),
    "export rgba-boxes out": ("onnx", "onnx"),
}
FIGURES = {
    "explain bc7 a.png": ("matplotlib", "explain"),
    "explain textures a.png": ("matplotlib", "explain"),
}


@pytest.mark.parametrize(
    "missing",
    [TORCH, FIGURES, *(pytest.param(m, marks=NEEDS_TORCH) for m in (BESIDE_TORCH, OTHERS))],
)
def test_one_sentence(missing, tmp_path):
    packages = sorted({package for package, _ in missing.values()})
    given = json.dumps([packages, [command.split() for command in missing]])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, given],
        env=os.environ | {"PYTHONPATH": str(Path(smalti.__file__).parents[1])},
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    for (command, (package, extra)), (code, error) in zip(missing.items(), said, strict=True):
        assert code == 1, command
        assert error.count("\n") == 1, error
        install = f"pip install 'smalti[{extra}]'"
        assert f"needs {package}, which is not installed: {install}" in error, command
    assert not any(tmp_path.rglob("*.*")), "something was written all the same"
