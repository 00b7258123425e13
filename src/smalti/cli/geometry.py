"""Sizes and windows as one writes them: 640x480, 64x64+128+0."""

import re

from smalti.errors import OptionError


def size(text: str) -> tuple[int, int]:
    """(height, width) of "WIDTHxHEIGHT"."""
    if not (match := re.fullmatch(r"(\d+)x(\d+)", text)):
        raise OptionError(f"size {text!r}; write WIDTHxHEIGHT, for instance 640x480")
    return int(match[2]), int(match[1])


def window(text: str) -> tuple[int, int, int, int]:
    """(top, left, height, width) of "WIDTHxHEIGHT+LEFT+TOP"."""
    if not (match := re.fullmatch(r"(\d+)x(\d+)\+(\d+)\+(\d+)", text)):
        raise OptionError(f"window {text!r}; write WIDTHxHEIGHT+LEFT+TOP, for instance 64x64+128+0")
    return int(match[4]), int(match[3]), int(match[2]), int(match[1])
