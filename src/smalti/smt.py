"""A codec's sections in a file: one writer and one opener, by the registry, for any codec.

codec, sections, size ─write_file→ bytes ─open_file→ codec, size, sections, weights hash
"""

from collections.abc import Sequence

from smalti import container, registry
from smalti.codec import Codec, Size, pack_config, unpack_config
from smalti.errors import FormatError


def write_file(codec: Codec, sections: Sequence[bytes], size: Size) -> bytes:
    """The bytes of a .smt file; `size` is the picture's, whatever of it the codec saw.

    Raises:
        WeightsError: the weights that the file names by hash are not here.
    """
    return container.write(
        container.Container(
            codec=registry.wire_number(codec.name),
            channels=size.channels,
            height=size.height,
            width=size.width,
            config=pack_config(codec),
            sections=tuple(sections),
            weights=_weights_hash(codec),
        )
    )


def open_file(data: bytes) -> tuple[Codec, Size, tuple[bytes, ...], bytes]:
    """Codec, size, sections and weights hash of a file in any format that we read.

    Raises:
        FormatError: the bytes are no valid file.
    """
    if cls := registry.codec_class_of_foreign(data):
        sections, size = cls.read_foreign(data)
        return cls(), size, tuple(sections), b""
    held = container.read(data)
    cls = registry.codec_class_of_number(held.codec)
    codec = unpack_config(cls, held.config, held.weights)
    return codec, Size(held.channels, held.height, held.width), held.sections, held.weights


def check_pixels(size: Size, most: int, codec: str) -> None:
    """Refuse a file of more texels than asked for, before anything of their number is made.

    Raises:
        FormatError: it is one.
    """
    texels = size.height * size.width
    if texels > most:
        raise FormatError(
            f"{size.width} x {size.height} = {texels:,} texels of {codec}, over the limit of "
            f"{most:,}; raise it with max_pixels= (--max-pixels)"
        )


def _weights_hash(codec: Codec) -> bytes:
    file = codec.weights_file()
    if file is None:
        return b""
    from smalti.weights import sha256

    return sha256(file)[: container.HASH_BYTES]
