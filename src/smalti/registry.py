"""Every codec: name -> (wire number, where it lives). The one line a new codec adds.

Wire numbers are written down here and never reused; a changed meaning of the bytes is a new
number (docs/FORMAT.md).
"""

from importlib import import_module
from typing import TYPE_CHECKING

from smalti.errors import FormatError, OptionError, unknown
from smalti.files import TEXTURE_MAGICS

if TYPE_CHECKING:
    from smalti.codec import Codec

CODECS: dict[str, tuple[int, str]] = {
    "bc7": (1, "smalti.codecs.bc7:Bc7"),
    "latent-texture": (2, "smalti.codecs.latent_texture:LatentTexture"),
    "rgba-ae": (3, "smalti.codecs.rgba_ae:RgbaAe"),
    "fsq": (4, "smalti.codecs.fsq:Fsq"),
    "patch-ae": (5, "smalti.codecs.patch_ae:PatchAe"),
    "fitted": (6, "smalti.codecs.fitted:Fitted"),
    "neural-texture": (7, "smalti.codecs.neural_texture:NeuralTextureCodec"),
    "hash-texture": (8, "smalti.codecs.hash_texture:HashTexture"),
    "resampler": (9, "smalti.codecs.resampler:ResamplerCodec"),
}

# Suffix of files in another format -> (their first bytes, the codec that reads and writes them).
FOREIGN: dict[str, tuple[bytes, str]] = {
    suffix: (magic, "bc7") for suffix, magic in TEXTURE_MAGICS.items()
}


def codec_class(name: str) -> "type[Codec]":
    """The class of a codec; imported on first use.

    Raises:
        OptionError: no codec has that name.
    """
    if name not in CODECS:
        raise OptionError(unknown("codec", name, CODECS, listing="smalti list shows all"))
    module, _, attribute = CODECS[name][1].partition(":")
    found: type[Codec] = getattr(import_module(module), attribute)
    return found


def wire_number(name: str) -> int:
    return CODECS[name][0]


def codec_class_of_number(number: int) -> "type[Codec]":
    """The class that decodes files with this wire number.

    Raises:
        FormatError: this release knows no such codec.
    """
    for name, (known, _) in CODECS.items():
        if known == number:
            return codec_class(name)
    numbers = ", ".join(str(known) for known, _ in CODECS.values())
    raise FormatError(f"codec number {number}; this release knows {numbers}")


def is_foreign(data: bytes) -> bool:
    """Whether a file of another format that we read begins with these bytes."""
    return data.startswith(tuple(magic for magic, _ in FOREIGN.values()))


def codec_class_of_foreign(data: bytes) -> "type[Codec] | None":
    """The class that reads a file of another format, told by its first bytes."""
    for magic, name in FOREIGN.values():
        if data.startswith(magic):
            return codec_class(name)
    return None
