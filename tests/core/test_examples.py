"""The examples in docstrings, run; those of modules that need torch where it is."""

import doctest
import importlib
from importlib.util import find_spec
from pathlib import Path

import pytest

import smalti

PACKAGE = Path(smalti.__file__).parent
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def examples() -> list:
    """Every docstring with an example, as a test parameter."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text()
        if ">>> " not in text or (not find_spec("torch") and "import torch" in text):
            continue
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        module = importlib.import_module(".".join(("smalti", *parts)).removesuffix(".__init__"))
        tests = doctest.DocTestFinder(exclude_empty=True).find(module, globs={})
        found += [
            pytest.param(test, id=test.name.removeprefix("smalti."))
            for test in tests
            if test.examples
        ]
    return found


@pytest.mark.parametrize("example", examples())
def test_examples_say_what_happens(example, tmp_path, monkeypatch):
    if not find_spec("torch") and any("load_model" in part.source for part in example.examples):
        pytest.skip("needs torch, the extra models")
    monkeypatch.chdir(tmp_path)
    example.globs = {}
    told: list[str] = []
    failed = doctest.DocTestRunner(optionflags=FLAGS).run(example, out=told.append).failed
    assert not failed, "".join(told)


@pytest.mark.parametrize("name", [name for name in smalti.__all__ if name[0].islower()])
def test_every_public_function_has_an_example(name):
    assert ">>> " in getattr(smalti, name).__doc__
