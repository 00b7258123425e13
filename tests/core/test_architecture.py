"""Who may import whom, what importing costs, and the places a codec has."""

import ast
import graphlib
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import smalti
from smalti import registry

from conftest import GOLDEN, ROOT

PACKAGE = Path(smalti.__file__).parent
OF_MODELS = ("torch", "safetensors", "jaxtyping", "huggingface_hub", "accelerate", "transformers")

# Room -> the rooms of ours that it may import (docs/ARCHITECTURE.md). A module belongs to the
# innermost of them.
LEAVES = {"errors", "extras", "files", "geometry", "image", "settings", "tables"}
MAY_IMPORT = {
    "errors": set(),
    "files": {"errors"},
    "settings": {"errors"},
    "geometry": {"errors"},
    "tables": {"errors", "files"},
    "extras": {"errors"},
    "interrupts": set(),
    "native": {"errors"},
    "image": {"errors", "extras", "files"},
    "entropy": {"errors", "native"},
    "bc7": {"errors", "native"},
    "bc6": {"errors", "native", "bc7"},
    "bc6.reference": {"bc6", "bc7"},
    "bc7.gpu": {"errors", "extras", "bc7"},
    "bc7.reference": {"bc7"},
    "textures": {*LEAVES, "native", "bc6", "bc7"},
    "fits": {"native"},
    "fits.tables": {"native", "fits"},
    "fits.picture": {"errors", "files", "image", "native", "entropy", "fits"},
    "fits.picture.gpu": {"errors", "fits.picture"},
    "fits.material": {"fits", "errors", "native", "image", "entropy", "bc7", "textures"},
    "container": {"errors", "entropy"},
    "weights": {"errors", "extras", "files", "container"},
    "codec": {"errors", "entropy", "settings", "weights"},
    "registry": {"errors", "codec", "files"},
    "smt": {"errors", "codec", "container", "registry", "weights"},
    "channels": {"errors", "codec", "entropy", "image"},
    "models": {*LEAVES, "weights"},
    "diffusion": {"errors", "extras", "models"},
    "codecs": {
        *LEAVES,
        *("codec", "entropy", "bc7", "bc7.gpu", "textures", "models", "weights"),
        *("fits.tables", "fits.picture", "fits.picture.gpu", "fits.material"),
    },
    "material": {*LEAVES, "codec", "codecs", "fits.material", "smt"},
    "about": {"codec", "errors", "extras", "files", "registry", "smt"},
    "api": {
        *LEAVES,
        *("about", "channels", "codec", "container", "eval.metrics", "models", "registry"),
        *("smt", "weights"),
    },
    "eval.metrics": {"errors"},
    "train": {*LEAVES, "diffusion", "eval.metrics", "interrupts", "models", "native"},
    "tokens": {*LEAVES, "models", "weights"},
    "artist": {*LEAVES, "interrupts", "models", "tokens", "train", "weights"},
    "export": {*LEAVES, "models", "weights"},
    "eval": {
        *LEAVES,
        *("api", "codec", "container", "eval.metrics", "native", "registry", "weights"),
    },
    "eval.profile": {"api", "errors", "models"},
    "explain": {
        *LEAVES,
        *("bc7", "bc7.reference", "fits.tables", "diffusion", "models", "train"),
    },
    "cli": {
        *LEAVES,
        *("about", "api", "artist", "codec", "container", "diffusion", "explain", "export"),
        *("eval", "eval.metrics", "eval.profile"),
        *("fits.picture", "fits.material", "interrupts", "material", "models", "native"),
        *("registry", "smt", "textures", "tokens", "train", "weights"),
    },
    "__init__": {"api", "errors"},
    "__main__": {"cli"},
}

# The rooms that need torch, pip install 'smalti[models]'; every other one is the core.
ON_TORCH = {"models", "diffusion", "train", "tokens", "artist", "export", "fits.picture.gpu"}
ON_TORCH_TOO = (  # they show and measure trained models
    "smalti.eval.profile",
    "smalti.explain.size_study",
)


@cache
def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def of_path(path: Path) -> tuple[str, ...]:
    """("codecs", "fsq") of src/smalti/codecs/fsq.py; ("codecs",) of its __init__.py."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts


def room(parts: tuple[str, ...]) -> str:
    prefixes = [".".join(parts[:n]) for n in range(len(parts), 0, -1)]
    return next(prefix for prefix in prefixes if prefix in MAY_IMPORT)


@cache
def imports(path: Path, *, of_types: bool = True) -> set[tuple[str, ...]]:
    """("smalti", "codecs", "fsq", "Fsq") of `from smalti.codecs.fsq import Fsq`, wherever it stands.

    of_types: those under TYPE_CHECKING as well.
    """
    found, nodes = set(), [ast.parse(path.read_text())]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            nodes += node.orelse + (node.body if of_types else [])
            continue
        nodes += ast.iter_child_nodes(node)
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative imports hide who imports whom"
            found |= {(*node.module.split("."), alias.name) for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {tuple(alias.name.split(".")) for alias in node.names}
    return found


@cache
def imports_of_ours(path: Path, *, of_types: bool = True) -> set[tuple[str, ...]]:
    """("codecs", "fsq") for `from smalti.codecs.fsq import ...`, wherever in the file it stands."""
    known = {of_path(module) for module in modules()}
    ours = [name[1:] for name in imports(path, of_types=of_types) if name[0] == "smalti"]
    return {name if name in known else name[:-1] or ("__init__",) for name in ours}


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down_only(path):
    own = room(of_path(path))
    used = {room(parts) for parts in imports_of_ours(path)} - {own}
    used -= {"__init__"}  # the package: it loads the public functions by name
    assert used <= MAY_IMPORT[own], f"{own} imports {used - MAY_IMPORT[own]}"


def test_no_module_imports_itself_through_others():
    """Imports in functions count, those for types alone do not."""
    above = {of_path(path): imports_of_ours(path, of_types=False) for path in modules()}
    try:
        graphlib.TopologicalSorter(above).prepare()
    except graphlib.CycleError as error:
        circle = " <- ".join(".".join(parts) for parts in error.args[1])
        pytest.fail(f"a circle of imports: {circle}")


# What docs/ARCHITECTURE.md may say that a room knows nothing of -> whether an import breaks it.
SMT = ("about", "api", "container", "material", "smt")
UNKNOWN = {
    "torch": lambda room, name: name[0] in OF_MODELS,
    "pictures": lambda room, name: name[:2] == ("smalti", "image"),
    "codecs": lambda room, name: name[:2] == ("smalti", "codecs"),
    ".smt files": lambda room, name: name[0] == "smalti" and name[1:2] and name[1] in SMT,
    "each other": lambda room, name: (
        name[:2] == ("smalti", room[0]) and not name[2].startswith("_") and name[2] != room[1]
    ),
}


def rooms_of_the_document() -> list[tuple[list[str], str]]:
    """Of each row of the table: its rooms, and what they know nothing of."""
    text = (ROOT / "docs" / "ARCHITECTURE.md").read_text()
    lines = re.findall(r"^\| (`.*`.*?) \| .* \| (.*) \|$", text, re.M)
    return [
        ([r.strip("/").replace("/", ".") for r in re.findall("`(.*?)`", cell)], claim)
        for cell, claim in lines
    ]


def test_the_document_lists_every_room_in_the_order_of_arrows():
    row = {name: i for i, (rooms, _) in enumerate(rooms_of_the_document()) for name in rooms}
    assert {name for name in row if "." not in name} == {
        name for name in MAY_IMPORT if "." not in name and not name.startswith("__")
    }

    def place(parts: tuple[str, ...]) -> int:
        prefixes = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
        return next((row[prefix] for prefix in prefixes if prefix in row), -1)

    for path in modules():
        own = of_path(path)
        if own[0] not in ("__init__", "__main__"):
            below = [name for name in imports_of_ours(path) if place(name) > place(own)]
            assert not below, f"{own} imports {below}, further down in docs/ARCHITECTURE.md"


def test_rooms_know_nothing_of_what_the_document_says():
    checked = 0
    for rooms, claim in rooms_of_the_document():
        for item in claim.split(", "):
            what, _, exception = re.fullmatch(r"(.*?)( \(but `(.*)`\))?", item).groups()
            for path in modules():
                own = of_path(path)
                name = ".".join(own)
                if not any((name + ".").startswith(room + ".") for room in rooms):
                    continue
                if exception and (name + ".").startswith(
                    exception.strip("/").replace("/", ".") + "."
                ):
                    continue
                broken = [found for found in imports(path) if UNKNOWN[what](own, found)]
                assert not broken, f"{name} imports {broken}; docs/ARCHITECTURE.md: no {what}"
                checked += 1
    assert checked > 200


def test_nobody_imports_the_command_line():
    for path in modules():
        if of_path(path)[0] not in ("cli", "__main__"):
            assert not [parts for parts in imports_of_ours(path) if parts[0] == "cli"], path


def test_codecs_do_not_import_each_other():
    for path in (PACKAGE / "codecs").glob("*.py"):
        used = [parts for parts in imports_of_ours(path) if parts[0] == "codecs"]
        assert all(parts[-1].startswith("_") for parts in used), path


def test_every_codec_has_one_file_one_line_and_one_golden_file():
    homes = [home.partition(":")[0].rpartition(".")[2] for _, home in registry.CODECS.values()]
    files = [path.stem for path in (PACKAGE / "codecs").glob("[!_]*.py")]
    assert sorted(homes) == sorted(files)
    assert {path.stem for path in GOLDEN.glob("*.smt")} == set(registry.CODECS)
    numbers = [number for number, _ in registry.CODECS.values()]
    assert len(set(numbers)) == len(numbers)
    text = (ROOT / "docs" / "FORMAT.md").read_text()
    for name, (number, _) in registry.CODECS.items():
        assert f"### {number}: `{name}`" in text, f"FORMAT.md has no paragraph on {name}"


@pytest.mark.parametrize("statement", ["import smalti", "import smalti.cli.commands"])
def test_importing_does_not_import_torch_or_numba(statement):
    code = f"import sys; {statement}; print(*{{'torch', 'numba', 'numpy'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_core_needs_neither_torch_nor_a_compiler():
    """Every module of the core is imported where these cannot be."""
    core = [
        ".".join(("smalti", *path.relative_to(PACKAGE).with_suffix("").parts))
        for path in modules()
        if room(of_path(path)) not in ON_TORCH and path.stem not in ("__init__", "__main__")
    ]
    core = [name for name in core if name not in ON_TORCH_TOO]
    forbidden = (*OF_MODELS, "numba", "llvmlite", "triton", "pillow_jxl")
    code = f"""
import importlib, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {forbidden}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Refuse())
for name in {core}:
    try:
        importlib.import_module(name)
    except ImportError as error:
        print(name, error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""


def test_nothing_names_a_compiler_or_a_plugin_under_another_licence():
    for path in (*modules(), ROOT / "pyproject.toml"):
        text = path.read_text()
        for package in ("numba", "llvmlite", "pillow_jxl", "pillow-jxl"):
            assert package not in text, path


def test_decoding_imports_no_encoder(tmp_path):
    """Of a small bc7 file, .smt or .dds: NumPy and what decodes it."""
    picture = np.zeros((8, 8, 3), np.uint8)
    for suffix in (".smt", ".dds"):
        file = tmp_path / f"a{suffix}"
        file.write_bytes(smalti.encode(picture, effort="ultrafast", suffix=suffix))
        code = (
            f"import sys, smalti, pathlib; smalti.decode(pathlib.Path({str(file)!r}).read_bytes());"
            "print(*sys.modules)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        loaded = set(done.stdout.split())
        outside = {"torch", "PIL", "tifffile", "imagecodecs", "zstandard", "matplotlib", "scipy"}
        ours = {
            "smalti.bc7.encode",
            "smalti.bc7.rdo",
            "smalti.bc7.gpu",
            "smalti.models",
            "smalti.weights",
        }
        assert not loaded & (outside | ours)
