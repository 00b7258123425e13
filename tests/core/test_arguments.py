"""Signatures as command lines."""

from pathlib import Path
from typing import Literal

import pytest

from smalti import registry
from smalti.about import list_models
from smalti.cli import arguments
from smalti.cli.commands import COMMANDS, load
from smalti.codec import settings_of
from smalti.eval.baselines import BASELINES

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
    force: bool = False,
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
        force: Replace.

    Examples:
        smalti test 100%
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
    got = call("a", "--out", "b", "c", "--count=3", "--share", "1e-3", "--kind", "b", "--force")
    assert got["inputs"] == (Path("a"), Path("c"))
    assert (got["out"], got["count"], got["share"]) == (Path("b"), 3, 1e-3)
    assert (got["kind"], got["force"]) == ("b", True)


def test_several_values_and_spellings():
    got = call("a", "-", "--many", "b", "c", "--pair", "d", "e", "--max_pixels", "5")
    assert (got["inputs"], got["many"]) == ((Path("a"), Path("-")), ("b", "c"))
    assert (got["pair"], got["max_pixels"]) == (("d", "e"), 5)
    assert call("--max-pixels=6", "--count", "-2")["count"] == -2
    assert call("./--odd")["inputs"] == (Path("./--odd"),)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--cuont", "3"], "no option --cuont; is --count meant? smalti test --help shows all"),
        (["--count", "three"], "--count: 'three' is not a whole number; smalti test --help"),
        (["--kind", "c"], "--kind: unknown kind 'c'; known: a, b; smalti test --help"),
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
    assert "At most (default: 9)." in out
    assert "--kind a|b" in out
    assert "-f, --force" in out
    assert out.startswith("usage: smalti test inputs ... [last] [options]\n")
    assert out.endswith("\nexamples:\n  smalti test 100%\n")


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
    printed = capsys.readouterr().out
    assert printed.startswith(f"usage: smalti {name}")
    assert f"\nexamples:\n  smalti {name}" in printed
    assert all(text.endswith(".") for text in texts.values())


@pytest.mark.parametrize("columns", ["80", "200"])
def test_help_is_80_columns_wide_at_most(monkeypatch, capsys, columns):
    monkeypatch.setenv("COLUMNS", columns)
    topics = [name.split() for name, _ in every_command(COMMANDS)]
    topics += [[], ["material"], *[[name] for name in (*registry.CODECS, "jpeg", "avif", "fsq-1m")]]
    for topic in topics:
        code, out, _ = run(monkeypatch, capsys, "help", *topic)
        assert code == 0
        too_long = [line for line in out.splitlines() if len(line) > 80 and "card:" not in line]
        assert not too_long, topic
        assert all(line == line.rstrip() for line in out.splitlines())
    out = run(monkeypatch, capsys, "list")[1]
    assert max(map(len, out.splitlines())) <= 80


def test_help_of_a_command_is_what_it_prints_itself(monkeypatch, capsys):
    for topic in (["encode"], ["material", "fit"], ["material"]):
        asked = run(monkeypatch, capsys, "help", *topic)
        assert asked == run(monkeypatch, capsys, *topic, "--help")
    assert run(monkeypatch, capsys, "help") == run(monkeypatch, capsys, "--help")


@pytest.mark.parametrize("name", [*registry.CODECS, *BASELINES])
def test_help_of_a_codec_has_every_setting(monkeypatch, capsys, name):
    code, out, _ = run(monkeypatch, capsys, "help", name)
    assert code == 0
    cls = BASELINES[name] if name in BASELINES else registry.codec_class(name)
    for each in settings_of(cls):
        if each.wire or name in registry.CODECS:
            assert f"\n  {each.name} " in out
    assert all(effort in out for effort in cls.efforts if name in registry.CODECS)
    assert cls.settings[0] in out
    assert run(monkeypatch, capsys, "list", name)[1] == out


def test_help_of_a_model_is_the_head_of_its_card(monkeypatch, capsys):
    shown = run(monkeypatch, capsys, "list")[1]
    for model in list_models():
        assert model.name in shown
        out = run(monkeypatch, capsys, "help", model.name)[1]
        for text in ("licence: MIT", f"card:    {model.card}", model.use):
            assert text in out
    code, _, err = run(monkeypatch, capsys, "help", "fsq-1")
    assert (code, err) == (1, "smalti: unknown topic 'fsq-1'; is fsq-1m meant?\n")


def test_overview_and_unknown_commands(monkeypatch, capsys):
    code, out, _ = run(monkeypatch, capsys, "--help")
    assert code == 0
    assert all(f"\n  {name} " in out for name in COMMANDS)
    assert run(monkeypatch, capsys, "material", "--help")[1].count("\n  ") >= 4
    code, _, err = run(monkeypatch, capsys, "encod", "a.png")
    assert (code, err.count("\n")) == (2, 1)
    assert err == "smalti: unknown command 'encod'; is encode meant? smalti --help shows all\n"


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
