"""Settings as people write them, and the values that they mean.

"rgba-ae:step=0.125,effort=high" ─split→ "rgba-ae", {"step": "0.125", "effort": "high"}
"0.125" of a float ─value→ 0.125
"""

import dataclasses
import re
import typing
from typing import Any

from smalti.errors import OptionError

SWITCHES = {"true": True, "false": False, "1": True, "0": False}
EXPECTED = {bool: "true or false", int: "a whole number", float: "a number"}


def split(text: str) -> tuple[str, dict[str, str]]:
    """Name and fields of "name" or "name:field=value,field=value"."""
    name, _, rest = text.partition(":")
    return name, fields(rest)


def fields(text: str) -> dict[str, str]:
    """Field -> what was written, of "field=value,field=value"; "" where there is no sign."""
    parts = (part.partition("=") for part in text.split(",") if part)
    return {name: value for name, _, value in parts}


def value(field: str, text: str, kind: Any) -> Any:
    """What was written for a field, as its declared type: str, int, float, bool, a tuple of one of
    these (4x4, or 8,5,5), and `| None`.

    Raises:
        OptionError: the text is none of this type.
    """
    if type(None) in (choices := typing.get_args(kind)):
        kind = next(choice for choice in choices if choice is not type(None))
    try:
        if kind is bool:
            return SWITCHES[text.lower()]
        if typing.get_origin(kind) is tuple:
            return tuple(typing.get_args(kind)[0](part) for part in re.split("[x,]", text))
        return kind(text)
    except (KeyError, ValueError):
        expected = EXPECTED.get(kind, "whole numbers with x or commas between them")
        raise OptionError(f"{field}={text}; it must be {expected}") from None


def types_of(cls: type) -> dict[str, Any]:
    """Field -> declared type of a dataclass."""
    hints = typing.get_type_hints(cls)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}
