"""Who takes part in a comparison: a codec of the registry or a baseline, with its settings."""

import dataclasses
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import PIL

import smalti
from smalti import api, extras, registry, settings, weights
from smalti.codec import Codec, Size, TrainedCodec, with_settings
from smalti.container import HASH_BYTES
from smalti.errors import ImageError, OptionError, WeightsError, unknown
from smalti.eval.baselines import BASELINES
from smalti.eval.results import title
from smalti.files import SMT
from smalti.image import as_picture


def default_contenders(*, all: bool = False) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The codecs of the registry and the baselines, each at a few quick settings.

    What runs on NumPy alone comes first, then the baselines, then what needs torch.

    Args:
        all: each at all of its usual settings.

    Returns:
        Contenders, and the names of those codecs that need a package which is not installed.
    """
    ours = [registry.codec_class(name) for name in registry.CODECS]
    plain = [cls for cls in ours if not issubclass(cls, TrainedCodec)]
    trained = [cls for cls in ours if issubclass(cls, TrainedCodec)]
    classes = [*plain, *BASELINES.values(), *trained]
    here = [cls for cls in classes if _is_installed(cls)]
    chosen = tuple(text for cls in here for text in (cls.settings if all else cls.quick_settings()))
    return chosen, tuple(title(cls.name) for cls in classes if cls not in here)


def _is_installed(cls: type[Codec]) -> bool:
    if cls.name in BASELINES:
        return BASELINES[cls.name].is_installed()
    return not issubclass(cls, TrainedCodec) or extras.installed("torch")


@dataclass(frozen=True)
class Contender:
    """A codec with its settings."""

    text: str  # as the user wrote it
    codec: Codec
    options: dict[str, Any]

    @property
    def is_baseline(self) -> bool:
        return self.codec.name in BASELINES

    @property
    def label(self) -> str:
        """For people: "JPEG quality 75, subsampling 4:4:4"."""
        written = ", ".join(f"{key} {value}" for key, value in settings.split(self.text)[1].items())
        return f"{title(self.codec.name)} {written}".strip()

    @property
    def series(self) -> str:
        """What names its curve: the codec and those settings that are no numbers."""
        values = {f.name: getattr(self.codec, f.name) for f in dataclasses.fields(self.codec)}
        written = settings.split(self.text)[1].items()
        words = [text for key, text in written if isinstance((values | self.options)[key], str)]
        return " ".join([title(self.codec.name), *words])

    @property
    def slug(self) -> str:
        """Its part of a file name."""
        slug = re.sub(r"[^\w.]+", "-", self.text)
        digest = hashlib.sha256(self.text.encode()).hexdigest()
        return slug if len(slug) <= 60 else f"{slug[:50]}-{digest[:8]}"

    @property
    def suffix(self) -> str:
        return BASELINES[self.codec.name].suffix if self.is_baseline else SMT

    @property
    def version(self) -> str:
        """Of everything that the bytes and the pixels depend on."""
        if self.is_baseline:
            return f"Pillow {PIL.__version__}"
        try:
            file = self.codec.weights_file()
        except WeightsError:
            file = None
        digest = weights.sha256(file)[:HASH_BYTES].hex() if file else ""
        return f"smalti {smalti.__version__} {digest}".strip()


def resolve(text: str) -> Contender:
    """A contender from "codec:field=value,...".

    Raises:
        OptionError: an unknown codec, field or value, an effort that the codec does not have.
        WeightsError: its weights are not here.
    """
    name, given = settings.split(text)
    if name in BASELINES:
        return Contender(text, *with_settings(BASELINES[name], given))
    if name not in registry.CODECS:
        known = [*registry.CODECS, *BASELINES]
        raise OptionError(unknown("codec", name, known, listing="smalti list shows all"))
    codec, options = api.resolve(text)
    api.options_of(codec, options)
    codec.weights_file()
    return Contender(text, codec, options)


def encode(
    image: np.ndarray,
    contender: Contender,
    *,
    device: str = "cpu",
    on_step: Callable[[int, int], None] | None = None,
) -> bytes:
    """The bytes of a file.

    Args:
        image: `H W C` uint8.

    Raises:
        SmaltiError: the contender cannot do this picture.
    """
    if not contender.is_baseline:
        options = {"device": device} | contender.options
        return api.encode(image, contender.codec, on_step=on_step, options=options)
    codec = contender.codec
    if image.shape[2] not in codec.channels:  # alpha
        least = int(image[..., -1].min())
        if least < 255:
            raise ImageError(
                f"{title(codec.name)} has no alpha, and this picture's goes down to {least} of 255"
            )
        image = np.ascontiguousarray(image[..., :-1])
    return codec.encode(image, codec.Options(**contender.options))[0]


def decode(data: bytes, contender: Contender, size: Size, *, device: str = "cpu") -> np.ndarray:
    """The picture `H W C` uint8 that a file of `encode` holds; `size` is the original's.

    Raises:
        SmaltiError: the bytes are no such file.
    """
    if not contender.is_baseline:
        return as_picture(api.decode(data, device=device, max_pixels=size.height * size.width))
    codec = contender.codec
    if size.channels in codec.channels:
        return codec.decode([data], size)
    colour = codec.decode([data], size._replace(channels=size.channels - 1))
    return np.concatenate(
        [colour, np.full_like(colour[..., :1], 255)], 2
    )  # only opaque is left out
