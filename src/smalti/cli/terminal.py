"""What reaches a terminal: no control characters out of file names, and letters that it has."""

import sys
from typing import TextIO


def make_forgiving() -> None:
    """A letter that the terminal, or a redirected file's encoding, has not becomes \\u1234."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def printable(text: str, stream: TextIO) -> str:
    """The text, with control characters and letters that `stream` has not as \\x1b, \\u1234.

    Line feeds stay: what the command prints has several lines.
    """
    shown = "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)
    coding = stream.encoding or "utf-8"
    return shown.encode(coding, "backslashreplace").decode(coding)
