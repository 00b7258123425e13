"""What files hold, and which codecs there are: told without a picture, and without NumPy."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smalti import extras, registry
from smalti.codec import Codec, Resizes, Samples, Size, TrainedCodec
from smalti.files import BUNDLED_WEIGHTS, SMT, content
from smalti.smt import open_file


@dataclass(frozen=True)
class FileInfo:
    """What a file holds, without decoding the picture."""

    codec: str
    config: Codec
    size: Size
    sections: tuple[int, ...]  # bytes of each
    names: tuple[str, ...]  # of the sections: "network", "latents", ...
    weights: str  # hex of the weights hash, or ""
    total: int  # bytes of the file

    @property
    def bpp(self) -> float:
        """Bits of the whole file for each texel."""
        return 8 * self.total / (self.size.height * self.size.width)


def info(data: Any) -> FileInfo:
    """Codec, config, size and sections of a file: its bytes, a path or a file object.

    Raises:
        FormatError: the bytes are no valid file.

    Examples:
        >>> import numpy as np
        >>> import smalti
        >>> found = smalti.info(smalti.encode(np.zeros((8, 12, 3), np.uint8)))
        >>> found.codec, found.size, found.sections
        ('bc7', Size(channels=3, height=8, width=12), (96,))
        >>> round(found.bpp, 2)
        9.5
    """
    data = content(data)
    codec, size, sections, digest = open_file(data)
    lengths = tuple(len(section) for section in sections)
    names = [codec.section_name(index, size) for index in range(len(sections))]
    if not {2, 4} & set(codec.channels) and size.channels in (2, 4):
        names[-1:] = ["alpha"]  # a plane of its own, smalti.channels
    return FileInfo(codec.name, codec, size, lengths, tuple(names), digest.hex(), len(data))


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


@dataclass(frozen=True)
class ModelInfo:
    """A bundled model as the head of its card has it."""

    name: str
    summary: str
    licence: str  # "MIT"
    quality: str  # one figure or two, with what they were measured on
    use: str  # a command that uses it
    bytes: int  # of its weights
    card: Path  # all there is to know of it


def list_models() -> list[ModelInfo]:
    """Every model that comes with this release, language models too, by name."""
    return [_model(card) for card in sorted(BUNDLED_WEIGHTS.glob("*.md"))]


def _model(card: Path) -> ModelInfo:
    head = card.read_text(encoding="utf-8").split("---\n")[1]
    told = dict(line.split(": ", 1) for line in head.splitlines())
    folder = card.with_suffix("")
    weights = next(folder.glob("*.safetensors"), card.with_suffix(".safetensors"))
    return ModelInfo(
        card.stem,
        told["summary"],
        told["license"].upper(),
        told["quality"],
        told["use"],
        weights.stat().st_size,
        card,
    )


def list_codecs() -> list[CodecInfo]:
    """Every codec of this release, in the order of their wire numbers.

    Examples:
        >>> import smalti
        >>> {codec.name: codec.random_access for codec in smalti.list_codecs()}["bc7"]
        True
    """
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
