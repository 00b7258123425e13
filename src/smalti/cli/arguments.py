"""A function as a command: its signature is the command line, its docstring the help.

    def encode(inputs: tuple[Path, ...], /, *, codec: str = "bc7", overwrite: bool = False) -> int:
        \"""Compress pictures: `smalti encode a.png a.smt`, or many at once.

        Args:
            inputs: Pictures and folders.
            codec: A codec of `smalti list`.
            overwrite: Replace files that exist.
        \"""

    smalti encode a.png --codec bc7 --overwrite b.png

Parameters before the stroke are arguments, those after the star options. A `tuple` takes several
values, a `bool` is a flag. What a parameter may be is its annotation: str, int, float, Path,
Literal, tuples of these, and `| None` for what need not be given.
"""

import argparse
import difflib
import inspect
import sys
import textwrap
import types
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn

Command = Callable[..., int]

PLACEHOLDERS = {int: "N", float: "X", Path: "PATH", str: "TEXT"}  # of a value, in the help
WIDEST = 100  # columns of help


def run(command: Command, arguments: Sequence[str], name: str) -> int:
    """Call a command with what was typed after its name; its exit code.

    Raises:
        SystemExit: with 0 after --help, with 2 where the arguments are none of this command.
    """
    parser = _Parser(prog=name, description=description(command), **_LAYOUT)
    signature = inspect.signature(command)
    texts = _texts(command)
    for parameter in signature.parameters.values():
        _add(parser, parameter, texts[parameter.name])
    given = vars(parser.parse_intermixed_args([_with_hyphens(word) for word in arguments]))
    positional = [given.pop(p.name) for p in signature.parameters.values() if _is_positional(p)]
    return command(*positional, **given)


def description(command: Command) -> str:
    """The help before the arguments: the docstring up to "Args:"."""
    return inspect.cleandoc(command.__doc__ or "").partition("\nArgs:\n")[0].strip()


def columns() -> int:
    """Width of help: that of the terminal, within reason."""
    import shutil

    return min(shutil.get_terminal_size().columns - 2, WIDEST)


class _Parser(argparse.ArgumentParser):
    """argparse with one sentence for a mistake."""

    def error(self, message: str) -> NoReturn:
        unknown = message.removeprefix("unrecognized arguments: ")
        if unknown != message:
            word = unknown.split()[0]
            options = [text for action in self._actions for text in action.option_strings]
            close = difflib.get_close_matches(word.partition("=")[0], options, n=1)
            meant = f" (is {close[0]} meant?)" if close else ""
            message = f"it takes no {word}{meant}"
        sys.stderr.write(f"{self.prog}: {message}; {self.prog} --help shows what it takes\n")
        sys.exit(2)


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """The description keeps its paragraphs; both columns fit the terminal."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=24, width=columns())

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(text, width, break_on_hyphens=False)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = text.split("\n\n")
        filled = (textwrap.fill(p, width, break_on_hyphens=False) for p in paragraphs)
        return textwrap.indent("\n\n".join(filled), indent)


_LAYOUT = {"formatter_class": _Formatter, "allow_abbrev": False}


def _is_positional(parameter: inspect.Parameter) -> bool:
    return parameter.kind is parameter.POSITIONAL_ONLY


def _add(parser: argparse.ArgumentParser, parameter: inspect.Parameter, text: str) -> None:
    required = parameter.default is parameter.empty
    default = None if required else parameter.default
    name = parameter.name
    how: dict[str, Any] = {"default": default}
    kind, count = _kind(parameter.annotation)
    if _is_positional(parameter):
        how["nargs"] = count or (None if required else "?")
    else:
        name = f"--{name.replace('_', '-')}"
        how["nargs"], how["required"] = count, required
        if default not in (None, False, ()) and "(default" not in text:
            text += f" (default: {_as_typed(default)})"
    if kind is bool:
        del how["nargs"], how["required"]
        how["action"] = "store_true"
    elif typing.get_origin(kind) is Literal:
        how["choices"] = typing.get_args(kind)
    else:
        how["type"] = kind
        if not _is_positional(parameter):
            how["metavar"] = PLACEHOLDERS[kind]
    if count is not None:
        how["action"] = _Tuple
    parser.add_argument(name, help=text.replace("%", "%%"), **how)


class _Tuple(argparse.Action):
    """Several values as a tuple; none of an argument are its default, none of an option none."""

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        default = () if option_string else self.default or ()
        setattr(namespace, self.dest, tuple(values) or default)


def _kind(annotation: Any) -> tuple[Any, str | int | None]:
    """What one value is, and how many there are: None for one, "*" for any number."""
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):  # of Literal the latter
        (annotation,) = (each for each in typing.get_args(annotation) if each is not types.NoneType)
    if typing.get_origin(annotation) is tuple:
        each = typing.get_args(annotation)
        return each[0], "*" if each[-1] is Ellipsis else len(each)
    return annotation, None


def _as_typed(default: Any) -> str:
    return " ".join(map(str, default)) if isinstance(default, tuple) else str(default)


def _with_hyphens(word: str) -> str:
    """--max_pixels=9 is --max-pixels=9."""
    if not word.startswith("--"):
        return word
    name, equals, value = word.partition("=")
    return name.replace("_", "-") + equals + value


def _texts(command: Command) -> dict[str, str]:
    """Parameter -> its lines of the docstring's "Args:", joined."""
    section = inspect.cleandoc(command.__doc__ or "").partition("\nArgs:\n")[2]
    found: dict[str, str] = {}
    for line in textwrap.dedent(section).splitlines():
        if line and not line.startswith(" "):
            name, _, text = line.partition(": ")
            found[name] = text
        elif line:
            found[name] += f" {line.strip()}"
    return found
