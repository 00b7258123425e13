"""A function as a command: its signature is the command line, its docstring the help.

    def encode(inputs: tuple[Path, ...], /, *, codec: str = "bc7", force: bool = False) -> int:
        \"""Compress pictures, one or many at once.

        Args:
            inputs: Pictures and folders.
            codec: A codec of `smalti list`.
            force: Replace files that exist.

        Examples:
            smalti encode a.png b.smt
        \"""

    smalti encode a.png --codec bc7 --force b.png

Parameters before the stroke are arguments, those after the star options. A `tuple` takes several
values, a `bool` is a flag. What a parameter may be is its annotation: str, int, float, Path,
Literal, tuples of these, and `| None` for what need not be given. The help adds the default of an
option to its text, once, unless the text says "default" itself.
"""

import argparse
import inspect
import sys
import textwrap
import types
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn

from smalti.errors import nearest, unknown

Command = Callable[..., int]

PLACEHOLDERS = {int: "N", float: "X", Path: "PATH", str: "TEXT"}  # of a value, in the help
EXPECTED = {int: "a whole number", float: "a number"}
LETTERS = {"force": "-f", "jobs": "-j", "quality": "-q", "runs": "-n"}  # of options, everywhere
WIDEST = 80  # columns of help, with the margin
SECTIONS = ("Args", "Examples")  # of a docstring


def run(command: Command, arguments: Sequence[str], name: str) -> int:
    """Call a command with what was typed after its name; its exit code.

    Raises:
        SystemExit: with 0 after --help, with 2 where the arguments are none of this command.
    """
    signature = inspect.signature(command)
    parser = _parser(command, name)
    given = vars(parser.parse_intermixed_args([_with_hyphens(word) for word in arguments]))
    positional = [given.pop(p.name) for p in signature.parameters.values() if _is_positional(p)]
    return command(*positional, **given)


def help_text(command: Command, name: str) -> str:
    """What `--help` prints."""
    return _parser(command, name).format_help()


def description(command: Command) -> str:
    """The help before the arguments: the docstring up to its first section."""
    text = inspect.cleandoc(command.__doc__ or "")
    for section in SECTIONS:
        text = text.partition(f"\n{section}:\n")[0]
    return text.strip()


def columns() -> int:
    """Width of help: that of the terminal, within reason."""
    import shutil

    return min(shutil.get_terminal_size().columns - 2, WIDEST)


def _parser(command: Command, name: str) -> "_Parser":
    signature = inspect.signature(command)
    parser = _Parser(
        prog=name,
        usage=_usage(name, signature),
        description=description(command),
        epilog=_examples(command),
        **_LAYOUT,
    )
    texts = _texts(command)
    for parameter in signature.parameters.values():
        _add(parser, parameter, texts[parameter.name])
    return parser


class _Parser(argparse.ArgumentParser):
    """argparse with one sentence for a mistake."""

    def error(self, message: str) -> NoReturn:
        unrecognized = message.removeprefix("unrecognized arguments: ")
        if unrecognized != message:
            word = unrecognized.split()[0]
            options = [text for action in self._actions for text in action.option_strings]
            meant = nearest(word.partition("=")[0], options)
            message = f"no option {word}" + (f"; is {meant} meant?" if meant else "")
        message = message.removeprefix("argument ").removesuffix("?")
        mark = "?" if "meant" in message else ";"
        sys.stderr.write(f"{self.prog}: {message}{mark} {self.prog} --help shows all\n")
        sys.exit(2)


_UNBROKEN: dict[str, Any] = {"break_on_hyphens": False, "break_long_words": False}


def _is_code(paragraph: str) -> bool:
    """Whether its lines stand as they are: examples, and what is indented."""
    return paragraph.startswith(("examples:", "  "))


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """The description keeps its paragraphs; both columns fit the terminal."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=24, width=columns())

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(text, width, **_UNBROKEN)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = text.split("\n\n")
        filled = (p if _is_code(p) else textwrap.fill(p, width, **_UNBROKEN) for p in paragraphs)
        return textwrap.indent("\n\n".join(filled), indent)


_LAYOUT: dict[str, Any] = {"formatter_class": _Formatter, "allow_abbrev": False}


def _usage(name: str, signature: inspect.Signature) -> str:
    """ "smalti encode [INPUTS ...] [options]": every argument, and that there are options."""
    words = [name]
    for parameter in filter(_is_positional, signature.parameters.values()):
        text = parameter.name
        if _kind(parameter.annotation)[1] is not None:
            text += " ..."
        words.append(text if parameter.default is parameter.empty else f"[{text}]")
    return " ".join([*words, "[options]"]).replace("%", "%%")


def _examples(command: Command) -> str:
    """The last of the help, its lines as they stand in the docstring's "Examples:"."""
    section = inspect.cleandoc(command.__doc__ or "").partition("\nExamples:\n")[2]
    lines = textwrap.indent(textwrap.dedent(section), "  ")
    return f"examples:\n{lines}".rstrip() if section else ""


def _is_positional(parameter: inspect.Parameter) -> bool:
    return parameter.kind is parameter.POSITIONAL_ONLY


def _add(parser: argparse.ArgumentParser, parameter: inspect.Parameter, text: str) -> None:
    required = parameter.default is parameter.empty
    default = None if required else parameter.default
    name = parameter.name
    names = [name]
    how: dict[str, Any] = {"default": default}
    kind, count = _kind(parameter.annotation)
    if _is_positional(parameter):
        how["nargs"] = count or (None if required else "?")
    else:
        letters = [letter for option, letter in LETTERS.items() if option == name]
        names = [*letters, f"--{name.replace('_', '-')}"]
        how["nargs"], how["required"] = count, required
        if default not in (None, False, (), "") and "default" not in text:
            text = f"{text.removesuffix('.')} (default: {_as_typed(default)})."
    if kind is bool:
        del how["nargs"], how["required"]
        how["action"] = "store_true"
    elif typing.get_origin(kind) is Literal:
        how["type"] = _one_of(parameter.name, typing.get_args(kind))
        how["metavar"] = "|".join(typing.get_args(kind))
    else:
        how["type"] = _converter(kind)
        if not _is_positional(parameter):
            how["metavar"] = PLACEHOLDERS[kind]
    if count is not None:
        how["action"] = _Tuple
    parser.add_argument(*names, help=text.replace("%", "%%"), **how)


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


def _converter(kind: type) -> Callable[[str], Any]:
    """A word as a value; what is none is said in a few words."""

    def convert(word: str) -> Any:
        try:
            return kind(word)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{word!r} is not {EXPECTED[kind]}") from None

    return convert


def _one_of(name: str, choices: tuple[str, ...]) -> Callable[[str], str]:
    def convert(word: str) -> str:
        if word not in choices:
            raise argparse.ArgumentTypeError(unknown(name, word, choices))
        return word

    return convert


def _as_typed(default: Any) -> str:
    if isinstance(default, int):
        return f"{default:,}"
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
    section = section.partition("\nExamples:\n")[0]
    found: dict[str, str] = {}
    for line in textwrap.dedent(section).splitlines():
        if line and not line.startswith(" "):
            name, _, text = line.partition(": ")
            found[name] = text
        elif line:
            found[name] += f" {line.strip()}"
    return found
