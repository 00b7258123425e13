"""DDS files: the 4-byte magic, two headers, the blocks.

    "DDS " | DDS_HEADER, 124 bytes | DDS_HEADER_DXT10, 20 bytes | blocks

The blocks go layer by layer, in a layer face by face, in a face from the largest mip level to the
smallest. Microsoft, Programming Guide for DDS, and the references of both headers. All numbers are
little-endian and of 32 bits. Files of before Direct3D 10 have a FourCC in place of the second
header; they are read, never written.
"""

import struct
from typing import NamedTuple

from smalti.errors import FormatError, OptionError
from smalti.files import TEXTURE_MAGICS
from smalti.textures.texture import (
    FORMATS,
    Texture,
    check_shape,
    level_size,
    surface_bytes,
)

DDS_MAGIC = TEXTURE_MAGICS[".dds"]

_HEADER = struct.Struct("<7I 44x 2I 4s 5I 5I")  # size .. mip maps, reserved, pixel format, caps
_HEADER_DX10 = struct.Struct("<5I")
_HEADER_BYTES = 124
_PIXEL_FORMAT_BYTES = 32
_LEGACY_OFFSET = len(DDS_MAGIC) + _HEADER.size
_DX10_OFFSET = _LEGACY_OFFSET + _HEADER_DX10.size

# Caps, height, width, pixel format: what every texture has.
_FLAGS_ALWAYS = 0x1 | 0x2 | 0x4 | 0x1000
_FLAG_PITCH, _FLAG_LINEAR_SIZE = 0x8, 0x80000  # bytes of a row of texels, or of all blocks
_FLAG_MIP_MAPS = 0x20000
_PIXEL_FORMAT_FOURCC = 0x4
_CAPS_TEXTURE = 0x1000
_CAPS_COMPLEX = 0x8  # more than one surface
_CAPS_MIP_MAPS = 0x400000
_CAPS2_CUBE = 0x200
_CAPS2_ALL_FACES = 0xFC00
_CAPS2_VOLUME = 0x200000
_DIMENSION_TEXTURE_2D = 3
_MISC_CUBE = 0x4
_MISC2_ALPHA_MODE, _MISC2_PREMULTIPLIED = 0x7, 2

_OF_DXGI = {
    number: (name, srgb)
    for name, known in FORMATS.items()
    for number, srgb in ((known.dxgi, False), (known.dxgi_srgb, True))
    if number
}
# Typeless formats say nothing of the encoding: sRGB where there is such a form, as for most pictures.
_OF_DXGI |= {
    number: (name, bool(FORMATS[name].dxgi_srgb))
    for number, name in (
        *((70, "bc1"), (76, "bc3"), (79, "bc4"), (82, "bc5"), (94, "bc6h"), (97, "bc7")),
        *((1, "rgba32f"), (9, "rgba16f")),
    )
}
_OF_FOURCC = {
    b"DXT1": "bc1",
    b"DXT4": "bc3",  # with premultiplied alpha
    b"DXT5": "bc3",
    b"ATI1": "bc4",
    b"BC4U": "bc4",
    b"ATI2": "bc5",
    b"BC5U": "bc5",
    struct.pack("<I", 113): "rgba16f",  # numbers of Direct3D 9
    struct.pack("<I", 116): "rgba32f",
}

# What other files are likely to hold, to name it.
_OTHER_DXGI = {
    28: "R8G8B8A8_UNORM",
    29: "R8G8B8A8_UNORM_SRGB",
    74: "BC2_UNORM",
    75: "BC2_UNORM_SRGB",
    81: "BC4_SNORM",
    84: "BC5_SNORM",
    87: "B8G8R8A8_UNORM",
    91: "B8G8R8A8_UNORM_SRGB",
}
_OTHER_FOURCC = {
    b"DXT2": "BC2, premultiplied alpha",
    b"DXT3": "BC2",
    b"BC4S": "BC4_SNORM",
    b"BC5S": "BC5_SNORM",
}
_KNOWN = ", ".join(name for name, known in FORMATS.items() if known.dxgi)


class _Head(NamedTuple):
    """What the headers say, checked; the blocks begin at `offset`."""

    format: str
    srgb: bool
    height: int
    width: int
    levels: int
    layers: int
    faces: int
    premultiplied: bool
    offset: int


def write_dds(texture: Texture) -> bytes:
    """Return the bytes of a DDS file with a DX10 header.

    Raises OptionError for a format that Direct3D does not have.
    """
    known = FORMATS[texture.format]
    if not known.dxgi:
        raise OptionError(f"Direct3D has no {texture.format}; write a .ktx2 file")
    flags, caps, caps2 = _FLAGS_ALWAYS, _CAPS_TEXTURE, 0
    if known.side == 1:
        flags, size = flags | _FLAG_PITCH, texture.width * known.block_bytes
    else:
        flags, size = flags | _FLAG_LINEAR_SIZE, texture.surface_bytes(0)
    if len(texture.levels) > 1:
        flags |= _FLAG_MIP_MAPS
        caps |= _CAPS_MIP_MAPS
    if len(texture.levels) * texture.layers * texture.faces > 1:
        caps |= _CAPS_COMPLEX
    if texture.faces == 6:
        caps2 |= _CAPS2_CUBE | _CAPS2_ALL_FACES
    header = _HEADER.pack(
        *(_HEADER_BYTES, flags, texture.height, texture.width, size),
        *(1, len(texture.levels)),
        *(_PIXEL_FORMAT_BYTES, _PIXEL_FORMAT_FOURCC, b"DX10", 0, 0, 0, 0, 0),
        *(caps, caps2, 0, 0, 0),
    )
    header_dx10 = _HEADER_DX10.pack(
        known.dxgi_srgb if texture.srgb else known.dxgi,
        _DIMENSION_TEXTURE_2D,
        _MISC_CUBE if texture.faces == 6 else 0,
        texture.layers,  # of whole cubes where it is one
        _MISC2_PREMULTIPLIED if texture.premultiplied else 0,  # 0: not said, read as straight
    )
    surfaces = [
        texture.surface(level, layer, face)
        for layer in range(texture.layers)
        for face in range(texture.faces)
        for level in range(len(texture.levels))
    ]
    return b"".join([DDS_MAGIC, header, header_dx10, *surfaces])


def read_dds(data: bytes) -> Texture:
    """Read a DDS file of BC1, BC3, BC4, BC5, BC6H or BC7 blocks, or of floats.

    A typeless format counts as sRGB where it has such a form, a FourCC as linear. Bytes after the last
    surface are ignored. Raises FormatError for bytes that are no DDS file, hold another format
    (named in the message), a volume or part of a cube, have an impossible shape, or are truncated.
    """
    head = _read_head(data)
    lengths = [
        surface_bytes(head.format, *level_size(head.height, head.width, level))
        for level in range(head.levels)
    ]
    surfaces = head.layers * head.faces
    expected = surfaces * sum(lengths)
    if len(data) - head.offset < expected:
        raise FormatError(
            f"the DDS file is truncated: {len(data) - head.offset} of {expected} bytes of its "
            f"{surfaces} x {head.levels} surfaces, {head.width} x {head.height} and smaller"
        )
    parts: list[list[bytes]] = [[] for _ in lengths]
    offset = head.offset
    for _ in range(surfaces):
        for level, length in enumerate(lengths):
            parts[level].append(data[offset : offset + length])
            offset += length
    levels = tuple(b"".join(part) for part in parts)
    shape = head.height, head.width, levels, head.layers, head.faces
    return Texture(head.format, head.srgb, *shape, head.premultiplied)


def _read_head(data: bytes) -> _Head:
    if data[: len(DDS_MAGIC)] != DDS_MAGIC:
        raise FormatError(f"these {len(data)} bytes are no DDS file: it begins with 'DDS '")
    if len(data) < _LEGACY_OFFSET:
        raise FormatError(
            f"the DDS file is truncated: {len(data)} bytes, its header alone takes {_LEGACY_OFFSET}"
        )
    fields = _HEADER.unpack_from(data, len(DDS_MAGIC))
    size, _, height, width, _, _, mip_maps = fields[:7]
    pixel_format_size, pixel_format_flags, fourcc = fields[7:10]
    caps2 = fields[16]
    if size != _HEADER_BYTES or pixel_format_size != _PIXEL_FORMAT_BYTES:
        raise FormatError(
            f"the DDS header is damaged: sizes {size} and {pixel_format_size}, "
            f"not {_HEADER_BYTES} and {_PIXEL_FORMAT_BYTES}"
        )
    if not pixel_format_flags & _PIXEL_FORMAT_FOURCC:
        raise FormatError(f"the DDS file holds uncompressed texels; known: {_KNOWN}")
    if fourcc == b"DX10":
        format, srgb, layers, cube, premultiplied = _read_dx10(data)
        offset = _DX10_OFFSET
    else:
        format, srgb, layers, cube = _of_fourcc(fourcc), False, 1, bool(caps2 & _CAPS2_CUBE)
        premultiplied = fourcc == b"DXT4"
        offset = _LEGACY_OFFSET
        if caps2 & _CAPS2_VOLUME:
            raise FormatError("the DDS file holds a volume, only 2-D textures are read")
        if cube and caps2 & _CAPS2_ALL_FACES != _CAPS2_ALL_FACES:
            faces = (caps2 & _CAPS2_ALL_FACES).bit_count()
            raise FormatError(f"the DDS file holds {faces} of a cube's 6 faces")
    faces = 6 if cube else 1
    # some leave out the flag that there are mip levels; 0 of them is how some write 1
    levels = max(mip_maps, 1)
    check_shape(height, width, layers, faces, levels)
    return _Head(format, srgb, height, width, levels, layers, faces, premultiplied, offset)


def _read_dx10(data: bytes) -> tuple[str, bool, int, bool, bool]:
    """Format, srgb, layers, whether a cube, whether premultiplied, of the second header."""
    if len(data) < _DX10_OFFSET:
        raise FormatError(
            f"the DDS file is truncated: {len(data)} bytes, its headers alone take {_DX10_OFFSET}"
        )
    dxgi, dimension, misc, layers, misc2 = _HEADER_DX10.unpack_from(data, _LEGACY_OFFSET)
    if dxgi not in _OF_DXGI:
        name = _OTHER_DXGI.get(dxgi, "another format")
        raise FormatError(f"the DDS file holds {name} (DXGI format {dxgi}); known: {_KNOWN}")
    # Some writers leave dimension and layers 0 in a plain texture.
    if dimension not in (0, _DIMENSION_TEXTURE_2D):
        raise FormatError(f"the DDS file's resource dimension is {dimension}, only 3 (2-D) is read")
    premultiplied = misc2 & _MISC2_ALPHA_MODE == _MISC2_PREMULTIPLIED
    return *_OF_DXGI[dxgi], max(layers, 1), bool(misc & _MISC_CUBE), premultiplied


def _of_fourcc(fourcc: bytes) -> str:
    if fourcc not in _OF_FOURCC:
        name = _OTHER_FOURCC.get(fourcc, "another format")
        code = fourcc.decode("latin-1")
        raise FormatError(f"the DDS file holds {name} (FourCC {code!r}); known: {_KNOWN}")
    return _OF_FOURCC[fourcc]
