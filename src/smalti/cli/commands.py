"""Every command: its name, and the function that it is. A module stands for a group of commands.

A function's signature is the command line, its docstring the help (arguments.py). It is imported
when it is asked for, and imports what it needs when it runs: no command waits for another's
libraries.
"""

from importlib import import_module
from typing import Any

COMMANDS: dict[str, str] = {
    "help": "smalti.cli.help:help_",
    "encode": "smalti.cli.encode:encode",
    "fit": "smalti.cli.fit:fit",
    "decode": "smalti.cli.decode:decode",
    "info": "smalti.cli.info:info",
    "texture": "smalti.cli.texture:texture",
    "validate": "smalti.cli.validate:validate",
    "unpack": "smalti.cli.unpack:unpack",
    "material": "smalti.cli.material",
    "list": "smalti.cli.list:list_",
    "metrics": "smalti.cli.metrics:metrics",
    "diff": "smalti.cli.diff:diff",
    "view": "smalti.cli.view:view",
    "bench": "smalti.cli.bench:bench",
    "compare": "smalti.cli.compare:compare",
    "train": "smalti.cli.train:train",
    "explain": "smalti.cli.explain:explain",
    "profile": "smalti.cli.profile:profile",
    "export": "smalti.cli.export:export",
    "tokens": "smalti.cli.tokens:tokens",
    "untokens": "smalti.cli.tokens:untokens",
    "draw": "smalti.cli.draw:draw",
    "name": "smalti.cli.draw:name",
    "sample": "smalti.cli.sample:sample",
}


def load(place: str) -> Any:
    """What "module:function" or "module" names: a function, or a module with further COMMANDS."""
    module, _, function = place.partition(":")
    found = import_module(module)
    return getattr(found, function) if function else found
