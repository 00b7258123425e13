"""What is wrong with a .dds or .ktx2 file: against the specifications, and against its own texels.

    bytes ──read──▶ Texture, or the one error ──structure──▶ findings ──texels──▶ findings

The sections named are those of the KTX File Format Specification 2.0, and the pages of Microsoft's
Programming Guide for DDS.
"""

import struct
from typing import NamedTuple

import numpy as np

from smalti.errors import FormatError, MissingExtraError
from smalti.files import TEXTURE_MAGICS
from smalti.image.transfer import srgb_to_linear
from smalti.textures.dds import read_dds
from smalti.textures.encode import decode_surface
from smalti.textures.ktx2 import MAX_BYTES, expected_descriptor, read_ktx2
from smalti.textures.texture import FORMATS, Texture

_LEVEL = struct.Struct("<3Q")
_LEVELS_AT = 80


class Finding(NamedTuple):
    """One thing that is wrong, or looks so."""

    kind: str  # "error": a reader may refuse the file; "warning": it is read, or just looks odd
    text: str  # a sentence


def validate_texture(data: bytes, *, max_bytes: int = MAX_BYTES) -> list[Finding]:
    """What is wrong with the file; nothing: an empty list.

    Args:
        max_bytes: refuse compressed levels that take more than this.

    Examples:
        >>> import numpy as np
        >>> from smalti.textures import encode_texture, validate_texture, write_texture
        >>> data = write_texture(encode_texture([np.zeros((8, 8, 3), np.uint8)]), ".ktx2")
        >>> validate_texture(data)
        []
        >>> validate_texture(data[:-1])[0].kind
        'error'
    """
    ktx = data.startswith(TEXTURE_MAGICS[".ktx2"])
    try:
        texture = read_ktx2(data, max_bytes=max_bytes) if ktx else read_dds(data)
    except FormatError as error:
        return [Finding("error", str(error))]
    return [*(_of_ktx2 if ktx else _of_dds)(data, texture), *_of_texels(texture)]


def _of_ktx2(data: bytes, texture: Texture) -> list[Finding]:
    """Sections 3.2 to 3.12: the header, level index, descriptor, key/value data, padding."""
    known = FORMATS[texture.format]
    found: list[Finding] = []

    def wrong(text: str) -> None:
        found.append(Finding("error", text))

    fields = struct.unpack_from("<9I 4I 2Q", data, 12)
    type_size, faces, levels, scheme = fields[1], fields[6], fields[7], fields[8]
    dfd, dfd_length, pairs, pairs_length, globals_, globals_length = fields[9:]
    size = known.block_bytes // len(known.channels) if known.side == 1 else 1
    if type_size != size:
        wrong(f"typeSize is {type_size}; for {texture.format} it is {size}")
    if faces not in (1, 6):
        wrong(f"faceCount is {faces}; it is 1 or 6")
    if globals_length and scheme != 1:
        wrong(f"{globals_length} bytes of supercompression data, which scheme {scheme} has not")
    index = [_LEVEL.unpack_from(data, _LEVELS_AT + 24 * level) for level in range(levels)]
    end = _LEVELS_AT + 24 * levels
    if dfd != end:
        wrong(f"the data format descriptor is at byte {dfd}; it follows the level index, at {end}")
    wanted = expected_descriptor(texture)
    if dfd_length != len(wanted) or data[dfd : dfd + dfd_length] != wanted:
        found += _of_descriptor(data[dfd : dfd + dfd_length], wanted, texture)
    if pairs_length:
        if pairs != dfd + dfd_length:
            wrong(
                f"key/value data is at byte {pairs}; it follows the descriptor, at {dfd + dfd_length}"
            )
        found += _of_pairs(data[pairs : pairs + pairs_length])
    alignment = 1 if scheme else max(known.block_bytes, 4)
    at = max(dfd + dfd_length, pairs + pairs_length, globals_ + globals_length)
    for level in reversed(range(levels)):  # the smallest comes first
        offset, length, _ = index[level]
        padded = -(-at // alignment) * alignment
        if offset % alignment:
            wrong(f"level {level} is at byte {offset}, which is no multiple of {alignment}")
        elif offset != padded:
            wrong(
                f"level {level} is at byte {offset}; after what lies before it, it is at {padded}"
            )
        elif any(data[at:offset]):
            wrong(f"the padding before level {level} is not zero")
        at = offset + length
    if at < len(data):
        wrong(f"{len(data) - at} bytes follow the last level")
    return found


def _of_descriptor(given: bytes, wanted: bytes, texture: Texture) -> list[Finding]:
    """Section 3.10, and the Khronos Data Format Specification: what the difference means."""
    if len(given) < 24 or struct.unpack_from("<I", given)[0] != len(given):
        return [Finding("error", f"the data format descriptor, {len(given)} bytes, is damaged")]
    names = {12: "colour model", 14: "transfer function"}
    for place, name in names.items():
        if given[place] != wanted[place]:
            form = f"{texture.format} {'sRGB' if texture.srgb else 'linear'}"
            return [
                Finding(
                    "error",
                    f"the descriptor's {name} is {given[place]}; for {form} it is {wanted[place]}",
                )
            ]
    if given[13] != wanted[13]:
        return [Finding("warning", f"the descriptor's primaries are {given[13]}, not BT.709's 1")]
    # BC1 without alpha, and other versions of the descriptor, are right as well.
    if given[20:24] != wanted[16 + 4 : 24]:
        return [Finding("error", "the descriptor's bytes of a plane are not those of a block")]
    return []


def _of_pairs(data: bytes) -> list[Finding]:
    """Section 3.11: lengths, zeros, order of keys."""
    keys: list[bytes] = []
    at = 0
    while at + 4 <= len(data):
        (length,) = struct.unpack_from("<I", data, at)
        pair = data[at + 4 : at + 4 + length]
        key, zero, _ = pair.partition(b"\0")
        if len(pair) < length or not zero or not key:
            return [Finding("error", f"key/value pair {len(keys)} is damaged")]
        keys.append(key)
        at += 4 + -(-length // 4) * 4
    if keys != sorted(keys):
        return [Finding("error", "keys are not in the order of their bytes")]
    if len(set(keys)) < len(keys):
        return [Finding("error", "a key is there twice")]
    if b"KTXwriter" not in keys:
        return [Finding("warning", "no KTXwriter says who wrote the file")]
    return []


def _of_dds(data: bytes, texture: Texture) -> list[Finding]:
    """DDS_HEADER, DDS_PIXELFORMAT, DDS_HEADER_DXT10."""
    found: list[Finding] = []
    flags, _, _, size, depth, mips = struct.unpack_from("<6I", data, 8)
    caps, caps2 = struct.unpack_from("<2I", data, 108)
    dx10 = data[84:88] == b"DX10"
    known = FORMATS[texture.format]

    def odd(text: str) -> None:
        found.append(Finding("warning", text))

    if flags & 0x1007 != 0x1007:
        odd(f"the header's flags, {flags:#x}, lack what every file has, 0x1007")
    if not caps & 0x1000:
        odd(f"the header's caps, {caps:#x}, lack that it is a texture, 0x1000")
    if mips > 1 and not flags & 0x20000:
        odd(f"{mips} mip levels, but no flag that says so, 0x20000")
    if depth > 1 and not caps2 & 0x200000:
        odd(f"a depth of {depth}, but no volume")
    blocks = known.side > 1
    wanted = texture.surface_bytes(0) if blocks else texture.width * known.block_bytes
    if flags & (0x80000 if blocks else 0x8) and size != wanted:
        odd(f"{'linear size' if blocks else 'pitch'} is {size}; it is {wanted}")
    if (texture.faces == 6) != bool(caps2 & 0x200):
        odd("the two headers differ in whether it is a cube map")
    if dx10:
        _, dimension, _, layers, misc2 = struct.unpack_from("<5I", data, 128)
        if dimension != 3:
            odd(f"the resource dimension is {dimension}; of a 2-D texture it is 3")
        if layers < 1:
            odd("the array size is 0; of a plain texture it is 1")
        if misc2 & 7 > 4:
            odd(f"the alpha mode is {misc2 & 7}; known: 0 to 4")
    end = (148 if dx10 else 128) + texture.total_bytes
    if len(data) > end:
        odd(f"{len(data) - end} bytes follow the last surface")
    if blocks and (texture.height % 4 or texture.width % 4):
        odd(f"{texture.width} x {texture.height}: Direct3D 11 wants multiples of 4")
    return found


def _of_texels(texture: Texture) -> list[Finding]:
    """Flags that the texels of the first surface contradict."""
    try:
        texels = decode_surface(texture)
    except MissingExtraError:  # no decoder of this format here: structure alone is looked at
        return []
    if FORMATS[texture.format].light:
        bad = int((~np.isfinite(texels)).sum())
        return [Finding("warning", f"{bad} texel values are no finite numbers")] if bad else []
    found = []
    unit = texels / np.float32(255)
    if texture.premultiplied:
        light = srgb_to_linear(unit[..., :3]) if texture.srgb else unit[..., :3]
        over = float((light.max(axis=-1) > unit[..., 3] + 0.1).mean())
        if over > 0.01:
            found.append(
                Finding(
                    "warning",
                    f"alpha is said to be premultiplied, but {100 * over:.0f} % of the texels are "
                    "brighter than their alpha",
                )
            )
    if texture.srgb and FORMATS[texture.format].channels == "RGBA":
        vectors = 2 * unit[..., :3] - 1
        length = np.linalg.norm(vectors, axis=-1)
        if vectors[..., 2].mean() > 0.5 and (np.abs(length - 1) < 0.05).mean() > 0.95:
            found.append(
                Finding(
                    "warning",
                    "it is sRGB, but its texels are unit vectors: a normal map is linear (--normal)",
                )
            )
    return found
