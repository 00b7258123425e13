"""What files hold, and which codecs there are: told without a picture, and without NumPy."""

from dataclasses import dataclass

from smalti import extras, registry
from smalti.codec import Codec, Resizes, Samples, Size, TrainedCodec
from smalti.files import SMT
from smalti.smt import open_file


@dataclass(frozen=True)
class FileInfo:
    """What a file holds, without decoding the picture."""

    codec: str
    config: Codec
    size: Size
    sections: tuple[int, ...]  # bytes of each
    weights: str  # hex of the weights hash, or ""
    total: int  # bytes of the file

    @property
    def bpp(self) -> float:
        """Bits of the whole file for each texel."""
        return 8 * self.total / (self.size.height * self.size.width)


def info(data: bytes) -> FileInfo:
    """Codec, config, size and sections of a file.

    Raises:
        FormatError: the bytes are no valid file.
    """
    codec, size, sections, digest = open_file(data)
    lengths = tuple(len(section) for section in sections)
    return FileInfo(codec.name, codec, size, lengths, digest.hex(), len(data))


@dataclass(frozen=True)
class CodecInfo:
    """One line of `smalti list`."""

    name: str
    number: int  # on the wire
    summary: str
    random_access: bool  # implements Samples
    any_size: bool  # implements Resizes
    writes: tuple[str, ...]  # file suffixes
    efforts: tuple[str, ...]
    extra: str = ""  # of smalti's, "models", where the codec needs one
    installed: bool = True  # and whether it is there


def list_codecs() -> list[CodecInfo]:
    """Every codec of this release, in the order of their wire numbers."""
    classes = [registry.codec_class(name) for name in registry.CODECS]
    return [
        CodecInfo(
            cls.name,
            registry.wire_number(cls.name),
            cls.summary,
            issubclass(cls, Samples),
            issubclass(cls, Resizes),
            (SMT, *cls.foreign),
            tuple(cls.efforts),
            *(("models", extras.installed("torch")) if issubclass(cls, TrainedCodec) else ()),
        )
        for cls in classes
    ]
