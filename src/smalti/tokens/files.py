"""Files of ids: .json says all about them, .npy and plain text hold nothing but the numbers."""

import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from smalti.errors import FormatError, OptionError
from smalti.files import unicode_of

VERSION = 1
WRITTEN = (".json", ".npy", ".txt")


@dataclass(frozen=True)
class TokenFile:
    """One picture's ids, from <img_start> to <img_end>.

    Fields that a file does not tell are None.
    """

    ids: list[int]
    text_size: int | None = None  # the id of code 0
    levels: tuple[int, ...] | None = None  # of the FSQ tokenizer
    weights: str | None = None
    sha256: str | None = None  # of the weights file
    rows: int | None = None  # of codes
    columns: int | None = None
    height: int | None = None  # of the picture, in texels
    width: int | None = None


def to_bytes(tokens: TokenFile, suffix: str) -> bytes:
    """The bytes of a file of ids.

    Raises:
        OptionError: no such kind of file.
    """
    if suffix == ".json":
        return (json.dumps({"smalti_tokens": VERSION, **asdict(tokens)}) + "\n").encode()
    if suffix == ".npy":
        buffer = io.BytesIO()
        np.save(buffer, np.array(tokens.ids, np.int32))
        return buffer.getvalue()
    if suffix == ".txt":
        return (" ".join(str(number) for number in tokens.ids) + "\n").encode()
    raise OptionError(f"{suffix!r} is no file of ids; known: {', '.join(WRITTEN)}")


def read(path: Path) -> TokenFile:
    """Read what `to_bytes` wrote, a bare JSON list, or whole numbers in a text.

    Raises:
        FormatError: the file holds no whole numbers, or is of another version.
        OptionError: no such kind of file.
    """
    if path.suffix not in WRITTEN:
        raise OptionError(f"{path} is no file of ids; known: {', '.join(WRITTEN)}")
    data = path.read_bytes()
    try:
        if path.suffix == ".npy":
            return TokenFile(_whole(_from_npy(data)))
        if path.suffix == ".txt":
            return TokenFile(_whole([int(word) for word in unicode_of(data).split()]))
        content = json.loads(unicode_of(data))
        if isinstance(content, list):
            return TokenFile(_whole(content))
        return _from_json(content)
    except (ValueError, TypeError, KeyError, AttributeError, EOFError, RecursionError) as cause:
        reason = str(cause).partition("\n")[0]
        raise FormatError(f"{path} is no file of ids: {reason}") from cause


def _from_npy(data: bytes) -> list[Any]:
    try:
        return np.load(io.BytesIO(data), allow_pickle=False).ravel().tolist()
    except Exception as cause:  # of a damaged header numpy says nearly anything
        raise ValueError(str(cause)) from cause


def _from_json(content: dict[str, Any]) -> TokenFile:
    if content.get("smalti_tokens") != VERSION:
        raise ValueError(f"version {content.get('smalti_tokens')}; this release reads {VERSION}")
    numbers: dict[str, Any] = {
        name: None if (value := content.get(name)) is None else _whole([value])[0]
        for name in ("text_size", "rows", "columns", "height", "width")
    }
    if any(value is not None and value < 0 for value in numbers.values()):
        raise ValueError("a negative size")
    names: dict[str, Any] = {name: content.get(name) for name in ("weights", "sha256")}
    if not all(value is None or isinstance(value, str) for value in names.values()):
        raise ValueError("weights or sha256 is no text")
    levels = content.get("levels")
    levels = None if levels is None else tuple(_whole(levels))
    return TokenFile(_whole(content["ids"]), levels=levels, **numbers, **names)


def _whole(numbers: list[Any]) -> list[int]:
    if not isinstance(numbers, list) or not all(type(number) is int for number in numbers):
        raise ValueError("not a list of whole numbers")
    if any(abs(number) >= 2**63 for number in numbers):
        raise ValueError("a number beyond 64 bits")
    return numbers
