"""What can go wrong, as the user meets it.

    SmaltiError              every error raised on purpose; the message is one sentence
    ├── FormatError          these bytes are no valid .smt or .dds file
    ├── ImageError           this picture cannot be read, or cannot be used as asked
    ├── WeightsError         the trained weights that a file or an option names are not here
    ├── OptionError          an option has a value that does not exist or does not fit
    └── MissingExtraError    an optional package is not installed

A message says what was found, in numbers, and the way out; the command line prints it as it is.
"""

from collections.abc import Iterable


class SmaltiError(Exception):
    """Base of every error that smalti raises on purpose."""


class FormatError(SmaltiError):
    """The bytes are no valid file: truncated, damaged, of another version, or not ours."""


class ImageError(SmaltiError):
    """A picture that cannot be read, is larger than the limit, or does not fit the request."""


class WeightsError(SmaltiError):
    """Trained weights that a file or an option asks for and that cannot be found or used."""


class OptionError(SmaltiError, ValueError):
    """An option with a value that does not exist or is out of range."""


class MissingExtraError(SmaltiError, ImportError):
    """A package that only part of smalti needs is not installed; says how to install it."""


def unknown(what: str, word: str, known: Iterable[str], *, listing: str = "") -> str:
    """The sentence for a name that there is not: the nearest one, or all.

    Args:
        what: it is a name of: "codec".
        listing: how to see all, where they are many: "smalti list shows all".
    """
    names = list(known)
    sentence = f"unknown {what} {word!r}"
    if close := nearest(word, names):
        return f"{sentence}; is {close} meant?" + (f" {listing}" if listing else "")
    return f"{sentence}; {listing or 'known: ' + ', '.join(names)}"


def nearest(word: str, known: Iterable[str]) -> str:
    """The known name that is most like a word, or "" where none is much like it."""
    import difflib  # only who errs pays for it

    return next(iter(difflib.get_close_matches(word, list(known), n=1)), "")
