"""A neural texture as the sections of a .smt file and back (docs/FORMAT.md, codec 7).

    maps │ network │ level 0 fine │ level 0 coarse │ level 1 fine │ ...

Memory is a fixed number of bits a node; on disk the adaptive coder makes of them what they hold.
"""

from collections.abc import Sequence

import numpy as np

from smalti.entropy import decode_planes, encode_planes
from smalti.entropy.varint import read_varint, write_varint
from smalti.errors import FormatError, OptionError
from smalti.fits.material.layout import MAX_CHANNELS, Layout
from smalti.fits.material.maps import KINDS, Map, checked_maps
from smalti.fits.material.texture import NeuralTexture

MAX_NAME = 64  # bytes of UTF-8
MAX_WEIGHT = 2.0**10  # magnitude: with features under 1 nothing overflows


def pack_maps(maps: Sequence[Map]) -> bytes:
    """The first section; empty for a picture, which is one map without a name."""
    if not maps:
        return b""
    parts = [write_varint(len(maps))]
    for each in maps:
        name = each.name.encode()
        parts += [write_varint(len(name)), name, bytes([each.channels, KINDS.index(each.kind)])]
    return b"".join(parts)


def unpack_maps(section: bytes) -> tuple[Map, ...]:
    """What `pack_maps` packed.

    Raises:
        FormatError: no such table, or one of maps that no material has.
    """
    if not section:
        return ()
    count, at = read_varint(section)
    if not 1 <= count <= MAX_CHANNELS:
        raise FormatError(f"a material of {count} maps; 1 .. {MAX_CHANNELS}")
    maps = []
    for _ in range(count):
        length, at = read_varint(section, at)
        if length > MAX_NAME or at + length + 2 > len(section):
            raise FormatError(f"the table of maps ends inside a name of {length} bytes")
        channels, kind = section[at + length], section[at + length + 1]
        if kind >= len(KINDS):
            raise FormatError(f"map kind {kind}; known: 0 .. {len(KINDS) - 1}")
        try:
            maps.append(Map(section[at : at + length].decode(), channels, KINDS[kind]))
        except UnicodeDecodeError as cause:
            raise FormatError("the name of a map is no UTF-8") from cause
        at += length + 2
    if at != len(section):
        raise FormatError(f"{len(section) - at} bytes are left over behind the table of maps")
    try:
        return checked_maps(maps)
    except OptionError as cause:
        raise FormatError(f"the table of maps cannot be: {cause}") from cause


def pack_texture(texture: NeuralTexture) -> list[bytes]:
    """The network, and of every grid its planes."""
    sections = [texture.network.astype("<f2").tobytes()]
    for values, shape, grid in texture.layout.grid_slices():
        planes = texture.codes[values].reshape(shape)
        sections.append(encode_planes(planes, [grid.steps + 1] * grid.channels))
    return sections


def unpack_texture(layout: Layout, sections: Sequence[bytes]) -> NeuralTexture:
    """What `pack_texture` packed.

    Raises:
        FormatError: other sections than this layout has.
    """
    slices = layout.grid_slices()
    if len(sections) != 1 + len(slices):
        raise FormatError(
            f"{len(sections)} sections of network and grids; this layout has {1 + len(slices)}"
        )
    if len(sections[0]) != 2 * layout.weight_count:
        raise FormatError(
            f"a network of {len(sections[0])} bytes; this one takes {2 * layout.weight_count}"
        )
    network = np.frombuffer(sections[0], "<f2").astype(np.float16)
    if not (np.abs(network.astype(np.float32)) <= MAX_WEIGHT).all():  # also catches NaN
        raise FormatError(f"the network holds numbers beyond {MAX_WEIGHT:g}, or none")
    codes = np.empty(layout.value_count, np.uint8)
    for section, (values, shape, grid) in zip(sections[1:], slices, strict=True):
        codes[values] = decode_planes(section, shape, [grid.steps + 1] * grid.channels).ravel()
    return NeuralTexture(layout, codes, network)
