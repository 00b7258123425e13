"""Lossless coding of integers: `encode_planes`, `decode_planes` for arrays, `varint` for single ones.

Tables and models are integers throughout, so every machine decodes the same symbols.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smalti.entropy.planes import decode_planes, encode_planes

__all__ = ["decode_planes", "encode_planes"]


def __getattr__(name: str) -> object:
    # NumPy loads with the first plane, not with the first varint
    if name in __all__:
        from smalti.entropy import planes

        return getattr(planes, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
