"""Compact image representations, from GPU texture blocks to language-model tokens.

    x = smalti.load("a.png")                  # H W C, 8 or 16 bits as the file has, straight alpha
    data = smalti.encode(x, "bc7")            # the bytes of a .smt file
    x_hat = smalti.decode(data)
    smalti.save(x_hat, "b.png")

Importing smalti is cheap: each function below is loaded on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from smalti.errors import SmaltiError

__version__ = "0.1.0"

__all__ = [
    "SmaltiError",
    "decode",
    "encode",
    "info",
    "list_codecs",
    "load",
    "load_model",
    "metrics",
    "save",
]

if TYPE_CHECKING:
    from smalti.api import decode, encode, info, list_codecs, load, load_model, metrics, save


def __getattr__(name: str) -> object:
    """PEP 562: the public API without importing torch until it is used."""
    if name in __all__:  # never SmaltiError, which is there
        return getattr(import_module("smalti.api"), name)
    raise AttributeError(f"module 'smalti' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
