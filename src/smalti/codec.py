"""The one abstraction: a codec turns a picture into byte sections and back.

    x  H W C uint8, uint16 or float32 in [0, 1], sRGB-encoded, straight alpha
    x ─encode→ sections ─container→ .smt file ─container→ sections ─decode→ x̂

A codec is a frozen dataclass. Its fields are the *wire config*: what a decoder needs, packed into
the file. What only costs time, or picks among valid files, is an `EncodeOptions` field and never is.
"""

import dataclasses
import operator
import struct
import typing
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, runtime_checkable

from smalti.entropy.varint import read_varint, unzigzag, write_varint, zigzag
from smalti.errors import FormatError, OptionError, unknown
from smalti.settings import (
    Setting,
    changed,
    check,
    described,
    setting,
    types_of,
    value_of,
)

if TYPE_CHECKING:
    import numpy as np

EFFORTS = ("ultrafast", "fast", "medium", "high", "best")
PART = 1024  # texels along each side of what a decoder draws at once: 16 MB of RGBA floats


class Size(NamedTuple):
    """Shape of a picture as a codec sees it."""

    channels: int  # 1 grey, 2 grey + alpha, 3 RGB, 4 RGBA
    height: int
    width: int


class Window(NamedTuple):
    """A rectangle of texels."""

    top: int
    left: int
    height: int
    width: int


class Part(NamedTuple):
    """A rectangle of a decoded picture."""

    top: int
    left: int
    texels: "np.ndarray"  # `rows columns C`, as `Codec.decode` gives them


@dataclass(frozen=True, kw_only=True)
class EncodeOptions:
    """How to encode. None of it is needed to decode, so none of it is in the file."""

    effort: str = setting("medium", "How long to search.")  # one of the codec's `efforts`
    device: str = setting(
        "cpu", "Where it runs: cpu, or a device of torch's (cuda, mps) where the codec uses torch."
    )
    seed: int = setting(0, "Of whatever is random.", least=0)
    on_step: Callable[[int, int], None] | None = None  # called with (steps done, steps in all)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class Codec(ABC):
    """Base of every codec. A subclass names itself, says what it takes, and encodes and decodes."""

    name: ClassVar[str]
    summary: ClassVar[str]  # one line for `smalti list`
    channels: ClassVar[tuple[int, ...]]  # what `encode` takes; the caller converts the rest
    efforts: ClassVar[Mapping[str, str]] = dict.fromkeys(EFFORTS, "")  # name: what it means here
    max_texels: ClassVar[int | None] = None  # of a picture, for codecs that take much memory
    settings: ClassVar[tuple[str, ...]]  # what `smalti compare --all` runs: "name:field=value,..."
    quick: ClassVar[tuple[str, ...]] = ()  # what it runs without --all; (): the same
    own_devices: ClassVar[tuple[str, ...]] = ()  # kinds that `encode` opens itself: "gpu"
    for_gpu: ClassVar[bool] = False  # a shader reads single texels of what lies in memory
    exact: ClassVar[bool] = False  # decodes to the same 8-bit picture on every machine
    foreign: ClassVar[tuple[str, ...]] = ()  # suffixes of other formats it writes, ".dds"
    Options: ClassVar[type[EncodeOptions]] = EncodeOptions

    def __init_subclass__(cls, **named: Any) -> None:
        super().__init_subclass__(**named)
        # before the decorator of the subclass writes a longer one
        cls.__repr__ = Codec.__repr__  # type: ignore[method-assign]

    def __post_init__(self) -> None:
        check(self, f"{self.name}: ")

    def __repr__(self) -> str:
        """For instance "Fitted(hidden=32)": what is not at its default."""
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in changed(self))
        return f"{type(self).__name__}({fields})"

    @classmethod
    def quick_settings(cls) -> tuple[str, ...]:
        return cls.quick or cls.settings

    @abstractmethod
    def encode(self, image: "np.ndarray", options: Any) -> list[bytes]:
        """Sections of a picture `H W C`, uint8, uint16 or float32 in [0, 1], C one of `channels`.

        options: of the codec's own `Options`.
        """

    @abstractmethod
    def decode(self, sections: Sequence[bytes], size: Size, *, device: str = "cpu") -> "np.ndarray":
        """The picture `H W C`: uint8, or float32 in [0, 1], whichever comes naturally.

        Raises:
            FormatError: the sections are not what `encode` can have written for this size.
        """

    @classmethod
    def of_quality(cls, quality: float) -> dict[str, Any]:
        """Fields and options for a quality of 0 (few bytes) .. 100 (like the picture).

        Raises:
            OptionError: out of range, or there is nothing to turn.
        """
        raise OptionError(f"{cls.name} has one quality; smalti help {cls.name} shows its settings")

    def prepare(self, device: str = "cpu", *, encoding: bool) -> None:
        """Import and load what encoding, or decoding, needs: the next call is the work alone."""
        return

    def parts(
        self, sections: Sequence[bytes], size: Size, drawn: tuple[int, int], *, device: str = "cpu"
    ) -> Iterator[Part]:
        """The picture in rectangles that fill it, so that no decoder holds all of it as floats.

        Between two of them Ctrl-C arrives, and what is held beside the file's own numbers stays
        under 256 MB whatever the size. A codec that draws little by little says so here; this one
        draws everything at once.

        Args:
            drawn: (height, width) to draw at; the picture's own but for codecs of any size.
        """
        if drawn != size[1:]:
            assert isinstance(self, Resizes)
            yield Part(0, 0, self.decode_at(sections, size, *drawn, device=device))
        else:
            yield Part(0, 0, self.decode(sections, size, device=device))

    def weights_file(self) -> Path | None:
        """The trained weights that a decoder needs as well; none for most codecs."""
        return None

    def section_name(self, index: int, size: Size) -> str:
        """What a section is, in a word or two, for `smalti info`."""
        return f"section {index}"

    def arrays(self, sections: Sequence[bytes], size: Size) -> "dict[str, np.ndarray]":
        """What the sections hold, by name, before a picture is drawn of it: latents, tokens, tables.

        Raises:
            FormatError: as `decode`.
        """
        raise OptionError(f"{self.name} has nothing to give as arrays")

    def write_foreign(self, suffix: str, sections: Sequence[bytes], size: Size) -> bytes:
        """The same picture in another file format, one of `foreign`."""
        raise OptionError(f"{self.name} writes no {suffix} files")

    @classmethod
    def read_foreign(cls, data: bytes) -> tuple[list[bytes], Size]:
        """Sections and size of a file in one of the `foreign` formats."""
        raise FormatError(f"{cls.name} reads no other formats")


@dataclass(frozen=True)
class TrainedCodec(Codec):
    """A codec that needs trained weights; the file carries the first 8 bytes of their SHA-256."""

    efforts: ClassVar[Mapping[str, str]] = dict.fromkeys(EFFORTS, "the same: nothing is searched")

    weights: str = setting("", "A bundled set of weights, or a file.", wire=False)

    def weights_file(self) -> Path:
        from smalti import weights

        return weights.find(self.weights)

    @abstractmethod
    def model(self, device: str) -> Any:
        """The model of the weights, loaded once."""

    def prepare(self, device: str = "cpu", *, encoding: bool) -> None:
        self.model(device)


@runtime_checkable
class Samples(Protocol):
    """Random access: a window, or a single texel, without decoding the rest."""

    def decode_window(
        self, sections: Sequence[bytes], size: Size, window: Window, *, device: str = "cpu"
    ) -> "np.ndarray":
        """The texels of `window`, `height width C`, equal to that part of `decode`."""


@runtime_checkable
class Resizes(Protocol):
    """Decoding at any size."""

    def decode_at(
        self, sections: Sequence[bytes], size: Size, height: int, width: int, *, device: str = "cpu"
    ) -> "np.ndarray":
        """The picture drawn at `height width C`."""


def windows(height: int, width: int, side: int = PART) -> Iterator[Window]:
    """Rectangles of at most side x side texels that fill a picture, in reading order."""
    for top in range(0, height, side):
        for left in range(0, width, side):
            yield Window(top, left, min(side, height - top), min(side, width - left))


def joined(parts: Iterable[Part], size: tuple[int, int]) -> "np.ndarray":
    """The picture `height width C` of the parts that fill it."""
    import numpy as np

    picture = np.empty(0)
    for top, left, texels in parts:
        rows, columns, channels = texels.shape
        if (rows, columns) == size:
            return texels
        if not picture.size:
            picture = np.empty((*size, channels), texels.dtype)
        picture[top : top + rows, left : left + columns] = texels
    return picture


def between(quality: float, worst: float, best: float) -> float:
    """A step, or the like, for a quality of 0 .. 100: from `worst` to `best` by equal factors.

    Raises:
        OptionError: out of range.
    """
    return float(worst * (best / worst) ** _share(quality))


def nearest_of(quality: float, choices: Sequence[Any]) -> Any:
    """One of some choices, the first for a quality of 0, the last for 100.

    Raises:
        OptionError: out of range.
    """
    return choices[round(_share(quality) * (len(choices) - 1))]


def _share(quality: float) -> float:
    if not 0 <= quality <= 100:
        raise OptionError(f"quality {quality:g}; it must lie in 0 .. 100")
    return quality / 100


def only(sections: Sequence[bytes], name: str) -> bytes:
    """The one section of a file.

    Raises:
        FormatError: there are more, or none.
    """
    if len(sections) != 1:
        raise FormatError(f"{len(sections)} sections; a file of {name} has 1")
    return sections[0]


def settings_of(cls: type[Codec]) -> list[Setting]:
    """All that can be set of a codec, those that travel in its files first.

    Examples:
        >>> from smalti.codec import settings_of
        >>> from smalti.registry import codec_class
        >>> setting = settings_of(codec_class("rgba-ae"))[0]
        >>> setting.name, setting.default, setting.values, setting.wire
        ('step', '0.125', '0.0001 .. 10000', True)
    """
    values = {"effort": ", ".join(cls.efforts), "device": ", ".join(("cpu", *cls.own_devices))}
    if not cls.own_devices:
        del values["device"]
    options = [
        dataclasses.replace(each, values=values.get(each.name, each.values), wire=False)
        for each in described(cls.Options)
    ]
    options.sort(key=lambda each: each.name in ("device", "seed"))  # last what every codec has
    return sorted(described(cls), key=lambda each: not each.wire) + options


def with_settings(
    cls: type[Codec], given: Mapping[str, str], otherwise: Mapping[str, Any] | None = None
) -> tuple[Codec, dict[str, Any]]:
    """A codec and its options, of fields as people write them (`settings.split`).

    Args:
        otherwise: values of fields that are not given, in place of the defaults.

    Raises:
        OptionError: a field that neither the codec nor its options have, or a bad value.
    """
    of_codec = types_of(cls)
    config: dict[str, Any] = {}
    options: dict[str, Any] = {}
    for key, text in given.items():
        if key in of_codec:
            config[key] = value_of(cls, key, text, whose=f"{cls.name}: ")
        else:
            check_option(cls, key)
            options[key] = value_of(cls.Options, key, text, whose=f"{cls.name}: ")
    for key, found in (otherwise or {}).items():
        (config if key in of_codec else options).setdefault(key, found)
    return cls(**config), options


def check_option(cls: type[Codec], key: str) -> None:
    """Refuse what is no option of a codec that can be written down.

    Raises:
        OptionError: it is none; the sentence names the nearest one.
    """
    known = [name for name in types_of(cls.Options) if name != "on_step"]
    if key not in known:
        shows = f"smalti help {cls.name} shows all"
        raise OptionError(
            unknown(f"setting of {cls.name}", key, [*types_of(cls), *known], listing=shows)
        )


def pack_config(codec: Codec) -> bytes:
    """The wire config: fields in order, trailing ones at their defaults left out.

    bool and int: zigzag varint. float: 8 bytes, IEEE 754 little-endian. tuple of int: count, then
    each as an int. So a field added at the end with a default keeps old files readable.
    """
    types = types_of(type(codec))
    packed = [
        (getattr(codec, f.name) == f.default, _pack(codec, f.name, types[f.name]))
        for f in _wire_fields(type(codec))
    ]
    while packed and packed[-1][0]:
        packed.pop()
    return b"".join(data for _, data in packed)


def unpack_config(cls: type[Codec], data: bytes, digest: bytes = b"") -> Codec:
    """The codec that `pack_config` packed.

    Args:
        digest: the header's weights hash, if any; its hex stands in for the name of the weights.

    Raises:
        FormatError: the bytes fit no config of this codec.
    """
    values: dict[str, Any] = {}
    types = types_of(cls)
    offset = 0
    for f in _wire_fields(cls):
        if offset == len(data):
            break
        values[f.name], offset = _unpack(data, offset, types[f.name])
    if offset != len(data):
        raise FormatError(f"{len(data) - offset} bytes too many in the config of {cls.name}")
    if issubclass(cls, TrainedCodec) != bool(digest):
        raise FormatError(f"a {cls.name} file with{'' if digest else 'out'} a weights hash")
    if digest:
        values["weights"] = digest.hex()
    try:
        return cls(**values)
    except OptionError as cause:
        raise FormatError(f"the config of {cls.name} cannot be: {cause}") from cause


def _wire_fields(cls: type[Codec]) -> list[dataclasses.Field]:
    return [f for f in dataclasses.fields(cls) if f.metadata.get("wire", True)]


def _pack(codec: Codec, key: str, kind: Any) -> bytes:
    """By the declared type, as `_unpack` reads it: `step=1` is a float all the same."""
    held = getattr(codec, key)
    if kind is float:
        return struct.pack("<d", held)
    try:
        if typing.get_origin(kind) is tuple:
            items = [write_varint(zigzag(operator.index(item))) for item in held]
            return write_varint(len(items)) + b"".join(items)
        return write_varint(zigzag(operator.index(held)))
    except TypeError:
        raise OptionError(f"{codec.name}: {key}={held!r} is no whole number") from None


def _unpack(data: bytes, offset: int, kind: Any) -> tuple[Any, int]:
    if kind is float:
        if offset + 8 > len(data):
            raise FormatError("the config ends in the middle of a number")
        return struct.unpack_from("<d", data, offset)[0], offset + 8
    number, offset = read_varint(data, offset)
    if typing.get_origin(kind) is tuple:
        if number > len(data):
            raise FormatError(f"a list of {number} numbers in {len(data)} bytes of config")
        items = []
        for _ in range(number):
            item, offset = _unpack(data, offset, int)
            items.append(item)
        return tuple(items), offset
    return kind(unzigzag(number)), offset
