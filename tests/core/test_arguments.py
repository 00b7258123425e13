"""Signatures as command lines."""

from pathlib import Path
from typing import Literal

import pytest

from smalti.cli import arguments
from smalti.cli.commands import COMMANDS, load

from conftest import run


def command(
    inputs: tuple[Path, ...],
    last: str | None = None,
    /,
    *,
    out: Path | None = None,
    count: int = 1,
    share: float = 0.5,
    max_pixels: int = 9,
    kind: Literal["a", "b"] = "a",
    pair: tuple[str, str] = ("x", "y"),
    many: tuple[str, ...] = (),
    overwrite: bool = False,
) -> int:
    """Do something: 100 % of it.

    Slowly.

    Args:
        inputs: Files.
        last: One more.
        out: Where to,
            in two lines.
        count: How many.
        share: Of all.
        max_pixels: At most.
        kind: Which.
        pair: Two.
        many: Any.
        overwrite: Replace.
    """
    called.append(locals())
    return 7


called: list[dict] = []


def call(*words: str) -> dict:
    assert arguments.run(command, words, "smalti test") == 7
    return called.pop()


def test_defaults_and_types():
    got = call()
    assert got["inputs"] == ()
    assert (got["count"], got["share"], got["pair"], got["many"]) == (1, 0.5, ("x", "y"), ())
    got = call("a", "--out", "b", "c", "--count=3", "--share", "1e-3", "--kind", "b", "--overwrite")
    assert got["inputs"] == (Path("a"), Path("c"))
    assert (got["out"], got["count"], got["share"]) == (Path("b"), 3, 1e-3)
    assert (got["kind"], got["overwrite"]) == ("b", True)


def test_several_values_and_spellings():
    got = call("a", "-", "--many", "b", "c", "--pair", "d", "e", "--max_pixels", "5")
    assert (got["inputs"], got["many"]) == ((Path("a"), Path("-")), ("b", "c"))
    assert (got["pair"], got["max_pixels"]) == (("d", "e"), 5)
    assert call("--max-pixels=6", "--count", "-2")["count"] == -2
    assert call("./--odd")["inputs"] == (Path("./--odd"),)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--cuont", "3"], "it takes no --cuont (is --count meant?)"),
        (["--count", "three"], "argument --count: invalid int value: 'three'"),
        (["--kind", "c"], "invalid choice: 'c'"),
        (["--pair", "one"], "--pair"),
        (["--out"], "--out"),
    ],
)
def test_mistakes_are_one_sentence_and_exit_code_2(capsys, words, sentence):
    with pytest.raises(SystemExit) as stop:
        call(*words)
    err = capsys.readouterr().err
    assert stop.value.code == 2
    assert err.startswith("smalti test: ")
    assert err.count("\n") == 1
    assert sentence in err


def test_help_has_every_parameter_and_its_default(capsys):
    with pytest.raises(SystemExit) as stop:
        call("--help")
    out = capsys.readouterr().out
    assert stop.value.code == 0
    assert "Do something: 100 % of it." in out
    assert "Where to, in two lines." in out
    assert "At most. (default: 9)" in out
    assert "{a,b}" in out


def every_command(commands: dict[str, str], before: str = ""):
    for name, place in commands.items():
        if ":" in place:
            yield f"{before}{name}", load(place)
        else:
            yield from every_command(load(place).COMMANDS, f"{name} ")


@pytest.mark.parametrize(("name", "function"), list(every_command(COMMANDS)))
def test_every_command_explains_every_parameter(name, function, capsys):
    texts = arguments._texts(function)
    parameters = {key for key in function.__annotations__ if key != "return"}
    assert set(texts) == parameters
    with pytest.raises(SystemExit) as stop:
        arguments.run(function, ["--help"], f"smalti {name}")
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: smalti {name}")


def test_overview_and_unknown_commands(monkeypatch, capsys):
    code, out, _ = run(monkeypatch, capsys, "--help")
    assert code == 0
    assert all(f"\n  {name} " in out for name in COMMANDS)
    assert run(monkeypatch, capsys, "material", "--help")[1].count("\n  ") >= 4
    code, _, err = run(monkeypatch, capsys, "encod", "a.png")
    assert (code, err.count("\n")) == (2, 1)
    assert "no command 'encod'; is encode meant?" in err


def test_version_says_what_runs_here(monkeypatch, capsys):
    code, out, _ = run(monkeypatch, capsys, "--version")
    assert code == 0
    assert out.startswith("smalti ")
    for word in ("kernels", "threads", "python", "extras"):
        assert word in out


@pytest.mark.parametrize("count", [0, -1])
def test_threads_are_one_or_more(monkeypatch, capsys, tmp_path, count):
    code, _, err = run(monkeypatch, capsys, "decode", "-", "a.png", "--threads", count)
    assert (code, err) == (1, f"smalti: threads={count}; it is a number of 1 or more\n")
