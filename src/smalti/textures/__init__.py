"""Textures: mip levels, cube maps and arrays of GPU blocks, and the files that engines load.

    pictures ──prepare──▶ ──mip_chain──▶ levels ──encode──▶ Texture ──write──▶ .dds, .ktx2

texture     what a texture is, and the formats of its blocks
prepare/    swizzle, packing, size, normals, alpha: what pictures and levels go through before
mips        a picture to its mip levels, in linear light
encode      pictures to a Texture, and a surface of it back to texels
bc1_to_bc5, astc  the formats whose codecs are other packages'
dds, ktx2   the two file formats
validate    what is wrong with such a file
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from smalti.errors import FormatError, OptionError
from smalti.files import TEXTURE_MAGICS, content
from smalti.textures.dds import read_dds, write_dds
from smalti.textures.ktx2 import MAX_BYTES, read_ktx2, write_ktx2
from smalti.textures.texture import CUBE_FACES, FORMATS, Texture

if TYPE_CHECKING:
    from smalti.textures.encode import MIPS, decode_surface, encode_texture, first_levels, straight
    from smalti.textures.mips import mip_chain
    from smalti.textures.prepare import Preparation
    from smalti.textures.validate import Finding, validate_texture

__all__ = [
    "CUBE_FACES",
    "FORMATS",
    "MAX_BYTES",
    "MIPS",
    "SUFFIXES",
    "Finding",
    "Preparation",
    "Texture",
    "decode_surface",
    "encode_texture",
    "first_levels",
    "mip_chain",
    "read_texture",
    "straight",
    "validate_texture",
    "write_texture",
]

SUFFIXES = tuple(TEXTURE_MAGICS)
_ON_USE = {
    "MIPS": "encode",
    "Preparation": "prepare",
    "first_levels": "encode",
    "straight": "encode",
    "Finding": "validate",
    "validate_texture": "validate",
    "decode_surface": "encode",
    "encode_texture": "encode",
    "mip_chain": "mips",
}


def __getattr__(name: str) -> object:
    """What encodes and draws is imported on use: to read a file takes neither."""
    if name in _ON_USE:
        return getattr(import_module(f"smalti.textures.{_ON_USE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def read_texture(data: Any, *, max_bytes: int = MAX_BYTES) -> Texture:
    """Read a DDS or KTX 2.0 file of BC1, BC3, BC4, BC5 or BC7 blocks.

    data: its bytes, a path or a binary file object. max_bytes: refuse compressed levels that take
    more than this. Raises FormatError for all else.
    """
    data = content(data)
    if data.startswith(TEXTURE_MAGICS[".dds"]):
        return read_dds(data)
    if data.startswith(TEXTURE_MAGICS[".ktx2"]):
        return read_ktx2(data, max_bytes=max_bytes)
    raise FormatError(f"these {len(data)} bytes are no .dds or .ktx2 file")


def write_texture(texture: Texture, suffix: str, *, zstd: int = 0) -> bytes:
    """The bytes of a ".dds" or ".ktx2" file.

    zstd: compress each level of a .ktx2 file, 1 (quick) to 22 (small); 0: not. Raises OptionError
    for another suffix or number, or for a compressed .dds.

    Examples:
        >>> import numpy as np
        >>> from smalti.textures import encode_texture, read_texture, write_texture
        >>> texture = encode_texture([np.zeros((8, 16, 3), np.uint8)])
        >>> data = write_texture(texture, ".ktx2", zstd=18)
        >>> read_texture(data) == texture
        True
    """
    if suffix == ".ktx2":
        return write_ktx2(texture, zstd=zstd)
    if suffix != ".dds":
        raise OptionError(f"a texture is written as {' or '.join(SUFFIXES)}, not {suffix!r}")
    if zstd:
        raise OptionError(f"zstd {zstd}: .dds files are not compressed, .ktx2 files are")
    return write_dds(texture)
