"""DDS files of one BC7 texture: the 4-byte magic, two headers, the blocks.

    "DDS " | DDS_HEADER, 124 bytes | DDS_HEADER_DXT10, 20 bytes | blocks

Microsoft, Programming Guide for DDS, and the references of both headers. All numbers are
little-endian and of 32 bits.
"""

import struct
from typing import NamedTuple

from smalti.bc7.layout import BLOCK_BYTES, block_grid
from smalti.errors import FormatError, OptionError

MAX_SIDE = 16384  # texels; Direct3D 11's limit for a 2-D texture

_MAGIC = b"DDS "
_HEADER = struct.Struct("<7I 44x 2I 4s 5I 5I")  # size .. mip maps, reserved, pixel format, caps
_HEADER_DX10 = struct.Struct("<5I")
_HEADER_BYTES = 124
_PIXEL_FORMAT_BYTES = 32
_DATA_OFFSET = len(_MAGIC) + _HEADER.size + _HEADER_DX10.size

_FLAG_CAPS = 0x1
_FLAG_HEIGHT = 0x2
_FLAG_WIDTH = 0x4
_FLAG_PIXEL_FORMAT = 0x1000
_FLAG_LINEAR_SIZE = 0x80000
_PIXEL_FORMAT_FOURCC = 0x4
_CAPS_TEXTURE = 0x1000
_DIMENSION_TEXTURE_2D = 3

_BC7_TYPELESS = 97
_BC7_UNORM = 98
_BC7_UNORM_SRGB = 99

# What other files are likely to hold, to name it: DXGI_FORMAT numbers and FourCC codes.
_DXGI_NAMES = {
    2: "R32G32B32A32_FLOAT",
    10: "R16G16B16A16_FLOAT",
    28: "R8G8B8A8_UNORM",
    29: "R8G8B8A8_UNORM_SRGB",
    71: "BC1_UNORM",
    72: "BC1_UNORM_SRGB",
    74: "BC2_UNORM",
    75: "BC2_UNORM_SRGB",
    77: "BC3_UNORM",
    78: "BC3_UNORM_SRGB",
    80: "BC4_UNORM",
    81: "BC4_SNORM",
    83: "BC5_UNORM",
    84: "BC5_SNORM",
    87: "B8G8R8A8_UNORM",
    91: "B8G8R8A8_UNORM_SRGB",
    95: "BC6H_UF16",
    96: "BC6H_SF16",
}
_FOURCC_NAMES = {
    b"DXT1": "BC1",
    b"DXT2": "BC2",
    b"DXT3": "BC2",
    b"DXT4": "BC3",
    b"DXT5": "BC3",
    b"ATI1": "BC4",
    b"BC4U": "BC4",
    b"BC4S": "BC4",
    b"ATI2": "BC5",
    b"BC5U": "BC5",
    b"BC5S": "BC5",
}


class DdsTexture(NamedTuple):
    """The first surface's largest level; height and width in texels, blocks in row-major order."""

    height: int
    width: int
    srgb: bool
    blocks: bytes


def write_dds(blocks: bytes, height: int, width: int, *, srgb: bool = True) -> bytes:
    """Return a DDS file of one 2-D BC7 texture without mip maps.

    srgb: whether the texels are sRGB-encoded (BC7_UNORM_SRGB) or linear (BC7_UNORM). Raises
    FormatError where the number of bytes does not fit, OptionError for sides out of 1..16384.
    """
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise OptionError(
            f"a DDS texture has sides of 1 to {MAX_SIDE}, this has {width} x {height}"
        )
    expected = _level_bytes(height, width)
    if len(blocks) != expected:
        raise FormatError(
            f"BC7 blocks of a {width} x {height} picture take {expected} bytes, "
            f"here are {len(blocks)}"
        )
    flags = _FLAG_CAPS | _FLAG_HEIGHT | _FLAG_WIDTH | _FLAG_PIXEL_FORMAT | _FLAG_LINEAR_SIZE
    header = _HEADER.pack(
        *(_HEADER_BYTES, flags, height, width, expected, 1, 1),
        *(_PIXEL_FORMAT_BYTES, _PIXEL_FORMAT_FOURCC, b"DX10", 0, 0, 0, 0, 0),
        *(_CAPS_TEXTURE, 0, 0, 0, 0),
    )
    dxgi_format = _BC7_UNORM_SRGB if srgb else _BC7_UNORM
    header_dx10 = _HEADER_DX10.pack(dxgi_format, _DIMENSION_TEXTURE_2D, 0, 1, 0)
    return _MAGIC + header + header_dx10 + bytes(blocks)


def read_dds(data: bytes) -> DdsTexture:
    """Read a BC7 DDS file; of mip maps, cube maps and arrays the first surface's level 0.

    A typeless BC7 format counts as sRGB. Raises FormatError for bytes that are no DDS file, hold
    another format (named in the message), a volume, or an impossible size, or are truncated.
    """
    if data[: len(_MAGIC)] != _MAGIC:
        raise FormatError(f"these {len(data)} bytes are no DDS file: it begins with 'DDS '")
    if len(data) < len(_MAGIC) + _HEADER.size:
        raise FormatError(
            f"the DDS file is truncated: {len(data)} bytes, "
            f"its header alone takes {len(_MAGIC) + _HEADER.size}"
        )
    fields = _HEADER.unpack_from(data, len(_MAGIC))
    size, _, height, width = fields[:4]
    pixel_format_size, pixel_format_flags, fourcc = fields[7:10]
    if size != _HEADER_BYTES or pixel_format_size != _PIXEL_FORMAT_BYTES:
        raise FormatError(
            f"the DDS header is damaged: sizes {size} and {pixel_format_size}, "
            f"not {_HEADER_BYTES} and {_PIXEL_FORMAT_BYTES}"
        )
    if not pixel_format_flags & _PIXEL_FORMAT_FOURCC:
        raise FormatError("the DDS file holds uncompressed texels, not BC7")
    if fourcc != b"DX10":
        name = _FOURCC_NAMES.get(fourcc, "format")
        raise FormatError(f"the DDS file holds {name} ({fourcc.decode('latin-1')!r}), not BC7")
    if len(data) < _DATA_OFFSET:
        raise FormatError(
            f"the DDS file is truncated: {len(data)} bytes, its headers alone take {_DATA_OFFSET}"
        )
    dxgi_format, dimension, _, _, _ = _HEADER_DX10.unpack_from(data, _DATA_OFFSET - 20)
    if dxgi_format not in (_BC7_TYPELESS, _BC7_UNORM, _BC7_UNORM_SRGB):
        name = _DXGI_NAMES.get(dxgi_format, "another format")
        raise FormatError(f"the DDS file holds {name} (DXGI format {dxgi_format}), not BC7")
    if dimension != _DIMENSION_TEXTURE_2D:
        raise FormatError(f"the DDS file's resource dimension is {dimension}, only 3 (2-D) is read")
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise FormatError(f"the DDS texture is {width} x {height}; sides are 1 to {MAX_SIDE}")

    expected = _level_bytes(height, width)
    blocks = data[_DATA_OFFSET : _DATA_OFFSET + expected]
    if len(blocks) != expected:
        raise FormatError(
            f"the DDS file is truncated: {len(blocks)} of {expected} bytes "
            f"of its {width} x {height} texels are here"
        )
    return DdsTexture(height, width, dxgi_format != _BC7_UNORM, bytes(blocks))


def _level_bytes(height: int, width: int) -> int:
    rows, columns = block_grid(height, width)
    return rows * columns * BLOCK_BYTES
