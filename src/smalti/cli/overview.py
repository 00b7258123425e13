"""`smalti --help`: every command with the first line of its docstring."""

import inspect
import textwrap

from smalti.cli.arguments import columns
from smalti.cli.commands import load


def overview(commands: dict[str, str], name: str, about: str) -> str:
    """The help of a group of commands.

    Args:
        commands: as in commands.py.
        name: what stands before a command's name.
        about: what the group is for; its first line is shown.
    """
    indent = max(map(len, commands)) + 4
    lines = [f"usage: {name} COMMAND ...", "", about.splitlines()[0], ""]
    for command, place in commands.items():
        first = inspect.cleandoc(load(place).__doc__ or "").partition("\n")[0]
        lines += textwrap.wrap(
            f"  {command:<{indent - 2}}{first}",
            columns(),
            subsequent_indent=" " * indent,
            break_on_hyphens=False,
        )
    lines += ["", f"{name} COMMAND --help shows what a command takes."]
    if name == "smalti":
        lines[-1] = "smalti help NAME: a command, a codec or a model; smalti list: all of these."
        lines.append("smalti --version: version, instruction set, threads, extras.")
    return "\n".join(lines) + "\n"
