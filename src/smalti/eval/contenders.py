"""Who takes part in a comparison: a codec of the registry or a baseline, with its settings."""

import dataclasses
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import PIL
import torch
from torch import Tensor

import smalti
from smalti import api, registry, weights
from smalti.codec import Codec, Size, with_settings
from smalti.container import HASH_BYTES
from smalti.errors import ImageError, OptionError, WeightsError
from smalti.eval.baselines import BASELINES
from smalti.eval.results import title


def default_contenders() -> tuple[str, ...]:
    """Every codec of the registry and every baseline, each at its usual settings."""
    ours = [registry.codec_class(name) for name in registry.CODECS]
    return tuple(text for cls in [*ours, *BASELINES.values()] for text in cls.settings)


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
        settings = self.text.partition(":")[2]
        return f"{title(self.codec.name)} {settings.replace('=', ' ').replace(',', ', ')}".strip()

    @property
    def series(self) -> str:
        """What names its curve: the codec and those settings that are no numbers."""
        values = {f.name: getattr(self.codec, f.name) for f in dataclasses.fields(self.codec)}
        words = []
        for part in filter(None, self.text.partition(":")[2].split(",")):
            key, _, value = part.partition("=")
            if isinstance((values | self.options)[key], str):
                words.append(value)
        return " ".join([title(self.codec.name), *words])

    @property
    def slug(self) -> str:
        """Its part of a file name."""
        slug = re.sub(r"[^\w.]+", "-", self.text)
        digest = hashlib.sha256(self.text.encode()).hexdigest()
        return slug if len(slug) <= 60 else f"{slug[:50]}-{digest[:8]}"

    @property
    def suffix(self) -> str:
        return BASELINES[self.codec.name].suffix if self.is_baseline else ".smt"

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
        OptionError: an unknown codec, field or value.
    """
    name, _, settings = text.partition(":")
    if name in BASELINES:
        return Contender(text, *with_settings(BASELINES[name], settings))
    if name not in registry.CODECS:
        known = ", ".join([*registry.CODECS, *BASELINES])
        raise OptionError(f"unknown codec {name!r}; known: {known}")
    return Contender(text, *api.resolve(text))


def encode(
    image: Tensor,
    contender: Contender,
    *,
    device: str = "cpu",
    on_step: Callable[[int, int], None] | None = None,
) -> bytes:
    """The bytes of a file.

    Raises:
        SmaltiError: the contender cannot do this picture.
    """
    if not contender.is_baseline:
        return api.encode(image, contender.text, device=device, on_step=on_step)
    codec = contender.codec
    if image.shape[0] not in codec.channels:  # alpha
        least = round(float(image[-1].min()) * 255)
        if least < 255:
            raise ImageError(
                f"{title(codec.name)} has no alpha, and this picture's goes down to {least} of 255"
            )
        image = image[:-1]
    return codec.encode(image, codec.Options(**contender.options))[0]


def decode(data: bytes, contender: Contender, size: Size, *, device: str = "cpu") -> Tensor:
    """The picture `C H W` in [0, 1] that a file of `encode` holds; `size` is the original's.

    Raises:
        SmaltiError: the bytes are no such file.
    """
    if not contender.is_baseline:
        return api.decode(data, device=device, max_pixels=size.height * size.width)
    codec = contender.codec
    if size.channels in codec.channels:
        return codec.decode([data], size)
    colour = codec.decode([data], size._replace(channels=size.channels - 1))
    return torch.cat([colour, torch.ones_like(colour[:1])])  # only opaque alpha is left out
