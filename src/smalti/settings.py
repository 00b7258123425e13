"""Settings as people write them, the values that they mean, and what they are for.

"rgba-ae:step=0.125,effort=high" ─split→ "rgba-ae", {"step": "0.125", "effort": "high"}
"0.125" of a float ─value→ 0.125
a dataclass whose fields are `setting(...)` ─described→ what `smalti help` prints of them
"""

import dataclasses
import re
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from smalti.errors import OptionError, unknown

SWITCHES = {"true": True, "false": False, "1": True, "0": False}
EXPECTED = {bool: "true or false", int: "a whole number", float: "a number"}


@dataclass(frozen=True)
class About:
    """What a field is for, and which values it takes; beside the field, by `setting`."""

    text: str  # a sentence
    least: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()  # names; where the field is a number, of 0, 1, ...
    default: str = ""  # as help says it, where the value itself does not


@dataclass(frozen=True)
class Setting:
    """A field as help and documentation show it."""

    name: str
    default: str  # as one writes it, or in words
    about: str  # a sentence
    values: str  # "0.01 .. 1000", "fast, published", "true, false"; "" where the sentence says it
    wire: bool  # it travels in the file


def setting(
    default: Any,
    text: str,
    *,
    least: float | None = None,
    most: float | None = None,
    choices: tuple[str, ...] = (),
    shown: str = "",
    wire: bool = True,
) -> Any:
    """A field of a codec, or of its options: default, meaning and limits in one place.

    Args:
        default: of the field.
        text: what it is for, a sentence without the default and the limits.
        least, most: numbers that it may be.
        choices: names that it may be; of an int field, the names of 0, 1, ...
        shown: the default in words, where the value says nothing: "by effort" for None.
        wire: it travels in the file.
    """
    about = About(text, least, most, choices, shown)
    return dataclasses.field(default=default, metadata={"about": about, "wire": wire})


def check(held: Any, whose: str = "") -> None:
    """Hold the fields of a dataclass against their limits; names of numbers become the numbers.

    Args:
        whose: what the sentence of an error begins with: "fitted: ".

    Raises:
        OptionError: a field outside.
    """
    for name, about in _abouts(type(held)).items():
        found = getattr(held, name)
        if isinstance(found, str) and about.choices:
            if isinstance(_default_of(held, name), int):
                object.__setattr__(held, name, _index(name, found, about.choices, whose))
            elif found not in (*about.choices, _default_of(held, name)):
                raise OptionError(whose + unknown(name, found, about.choices))
        elif about.choices and not isinstance(found, str):
            if not 0 <= found < len(about.choices):
                raise OptionError(f"{whose}{name} {found}; it is one of {', '.join(about.choices)}")
        elif found is not None and not (
            (about.least is None or found >= about.least)
            and (about.most is None or found <= about.most)
        ):
            verb = "be" if about.most is None else "lie in"
            raise OptionError(f"{whose}{name} {_written(found)}; it must {verb} {_limits(about)}")


def described(cls: type) -> list[Setting]:
    """Every field of a dataclass that has a meaning beside it."""
    types, found = types_of(cls), []
    for field in dataclasses.fields(cls):
        if (about := _abouts(cls).get(field.name)) is None:
            continue
        values = ", ".join(about.choices) or _limits(about)
        if types[field.name] is bool:
            values = "true, false"
        default = about.default or written(cls, field.name, field.default)
        wire = field.metadata.get("wire", True)
        found.append(Setting(field.name, default, about.text, values, wire))
    return found


def written(cls: type, name: str, found: Any) -> str:
    """A field's value as one writes it: 4x4, true, gelu."""
    about = _abouts(cls).get(name)
    if about and about.choices and isinstance(found, int):
        return about.choices[found]
    return _written(found)


def changed(held: Any) -> dict[str, str]:
    """Field -> value, as one writes it, of those that are not at their defaults."""
    return {
        field.name: written(type(held), field.name, getattr(held, field.name))
        for field in dataclasses.fields(held)
        if getattr(held, field.name) != field.default
    }


def split(text: str) -> tuple[str, dict[str, str]]:
    """Name and fields of "name" or "name:field=value,field=value".

    Examples:
        >>> from smalti.settings import split
        >>> split("rgba-ae:step=0.125,effort=high")
        ('rgba-ae', {'step': '0.125', 'effort': 'high'})
    """
    name, _, rest = text.partition(":")
    return name, fields(rest)


def fields(text: str) -> dict[str, str]:
    """Field -> what was written, of "field=value,field=value"; "" where there is no sign."""
    parts = (part.partition("=") for part in text.split(",") if part)
    return {name: value for name, _, value in parts}


def value_of(cls: type, name: str, text: str, *, whose: str = "") -> Any:
    """What was written for a field of a dataclass.

    Args:
        whose: what the sentence of an error begins with.

    Raises:
        OptionError: the text is no value of this field.
    """
    about = _abouts(cls).get(name)
    kind = types_of(cls)[name]
    if about and about.choices and kind is int:
        return _index(name, text, about.choices, whose)
    return value(f"{whose}{name}", text, kind)


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


def _abouts(cls: type) -> Mapping[str, About]:
    return {
        field.name: field.metadata["about"]
        for field in dataclasses.fields(cls)
        if "about" in field.metadata
    }


def _default_of(held: Any, name: str) -> Any:
    return next(field.default for field in dataclasses.fields(held) if field.name == name)


def _index(name: str, text: str, choices: tuple[str, ...], whose: str) -> int:
    """The number of a name, which may be written as the number too."""
    if text.isdecimal() and int(text) < len(choices):
        return int(text)
    if text not in choices:
        raise OptionError(whose + unknown(name, text, choices))
    return choices.index(text)


def _limits(about: About) -> str:
    if about.least is None and about.most is None:
        return ""
    if about.most is None:
        return f"{about.least:g} or more"
    return f"{about.least:g} .. {about.most:g}"


def _written(found: Any) -> str:
    if isinstance(found, bool):
        return str(found).lower()
    if isinstance(found, tuple):
        return "x".join(map(_written, found))
    return f"{found:g}" if isinstance(found, float) else "" if found is None else str(found)
