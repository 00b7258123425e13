"""Sizes and windows as one writes them: 640x480, 64x64+128+0; or as numbers, rows first."""

import operator
import re

from smalti.errors import OptionError

CHANNELS = {1: "grey", 2: "grey + alpha", 3: "RGB", 4: "RGBA"}  # of a picture, in words


def size(given: str | tuple[int, int]) -> tuple[int, int]:
    """(height, width) of "WIDTHxHEIGHT", or of themselves."""
    if not isinstance(given, str):
        return _numbers("size", given, 2)
    if not (match := re.fullmatch(r"(\d+)x(\d+)", given)):
        raise OptionError(f"size {given!r}; write WIDTHxHEIGHT, for instance 640x480")
    return int(match[2]), int(match[1])


def window(given: str | tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """(top, left, height, width) of "WIDTHxHEIGHT+LEFT+TOP", or of themselves."""
    if not isinstance(given, str):
        return _numbers("window", given, 4)
    if not (match := re.fullmatch(r"(\d+)x(\d+)\+(\d+)\+(\d+)", given)):
        raise OptionError(
            f"window {given!r}; write WIDTHxHEIGHT+LEFT+TOP, for instance 64x64+128+0"
        )
    return int(match[4]), int(match[3]), int(match[2]), int(match[1])


def _numbers(what: str, given: tuple[int, ...], count: int) -> tuple:
    names = "(top, left, height, width)" if count == 4 else "(height, width)"
    try:
        numbers = tuple(map(operator.index, given))
    except TypeError:
        numbers = ()
    if len(numbers) != count:
        raise OptionError(f"{what} {given!r}; it is {names}, whole numbers, or a text")
    return numbers
