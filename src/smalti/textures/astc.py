"""ASTC, the blocks of phones and tablets: by ARM's encoder, an optional package."""

from collections.abc import Callable
from typing import Any

import numpy as np

from smalti import extras
from smalti.errors import OptionError
from smalti.textures.texture import FORMATS

# The encoder's own presets: fastest, fast, medium, thorough, exhaustive.
_QUALITY = {"ultrafast": 0, "fast": 10, "medium": 60, "high": 98, "best": 100}


def encoder(format: str, *, effort: str, srgb: bool) -> Callable[[np.ndarray], bytes]:
    """From uint8 (H, W, 4), straight alpha, to blocks; edge texels are repeated.

    Raises:
        OptionError: an unknown effort.
        MissingExtraError: astc-encoder-py is not installed.
    """
    if effort not in _QUALITY:
        raise OptionError(f"unknown effort {effort!r}; known: {', '.join(_QUALITY)}")
    astc = _library(format)
    context, swizzle = _context(astc, format, srgb, _QUALITY[effort])

    def encode(image: np.ndarray) -> bytes:
        height, width, _ = image.shape
        texels = np.ascontiguousarray(image).tobytes()
        return context.compress(astc.ASTCImage(astc.ASTCType.U8, width, height, 1, texels), swizzle)

    return encode


def decode(format: str, blocks: bytes, height: int, width: int, *, srgb: bool) -> np.ndarray:
    """uint8 (H, W, 4), straight alpha.

    Raises:
        MissingExtraError: astc-encoder-py is not installed.
    """
    astc = _library(format)
    context, swizzle = _context(astc, format, srgb, _QUALITY["fast"])
    drawn = context.decompress(blocks, astc.ASTCImage(astc.ASTCType.U8, width, height), swizzle)
    return np.frombuffer(drawn.data, np.uint8).reshape(height, width, 4)


def _library(format: str) -> Any:
    return extras.need("astc_encoder", extra="textures", what=f"the format {format}")


def _context(astc: Any, format: str, srgb: bool, quality: int) -> tuple[Any, Any]:
    side = FORMATS[format].side
    profile = astc.ASTCProfile.LDR_SRGB if srgb else astc.ASTCProfile.LDR
    config = astc.ASTCConfig(profile, side, side, quality=quality)
    # Not by ASTCSwizzle.from_str("rgba"): 0.1.12 writes capitals into the string that it is given,
    # which is every "rgba" of the process.
    return astc.ASTCContext(config), astc.ASTCSwizzle()
