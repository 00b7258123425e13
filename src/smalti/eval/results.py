"""What a comparison found: rows, and means over pictures."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from smalti import registry
from smalti.codec import Codec, Resizes, Samples
from smalti.eval.baselines import BASELINES


@dataclass(frozen=True)
class Row:
    """One picture through one contender; the numbers are NaN where `error` says why."""

    picture: str  # its name in this comparison
    sha256: str  # of the picture file
    contender: str  # "codec:field=value,..."
    codec: str
    version: str  # of the codec's code and weights
    label: str  # the contender for people
    series: str  # rows of one series differ in their numbers only: one curve in a plot
    width: int
    height: int
    channels: int
    megapixels: float  # width * height / 1e6
    bytes: int = 0  # of the file on disk
    bpp: float = math.nan  # 8 * bytes / (width * height)
    psnr: float = math.nan  # dB; inf where the decoded picture is equal
    ssim: float = math.nan
    ms_ssim: float = math.nan
    encode_seconds: float = math.nan
    decode_seconds: float = math.nan
    file: str = ""  # relative to the comparison's folder
    file_sha256: str = ""
    error: str = ""  # one sentence


@dataclass(frozen=True)
class Mean:
    """One contender over the pictures that it got through."""

    contender: str
    codec: str
    title: str  # the codec for people
    label: str  # the contender for people
    series: str
    classical: bool
    for_gpu: bool  # a shader reads single texels of it
    random_access: bool  # reads single texels or windows without decoding the rest
    any_size: bool  # decodes at sizes other than the picture's
    bpp: float  # all bits / all texels
    psnr: float  # mean of the pictures' PSNRs without the equal ones; inf if all are equal
    ssim: float  # mean of the pictures' SSIMs
    ms_ssim: float  # likewise
    encode_seconds: float  # mean for one picture
    decode_seconds: float
    encode_mpix_s: float  # all texels / all seconds / 1e6
    decode_mpix_s: float
    pictures: int
    exact: int  # pictures decoded equal to the original
    failed: int


@dataclass(frozen=True)
class Results:
    """A whole comparison."""

    folder: Path
    sources: dict[str, Path]  # picture name -> the user's file
    rows: tuple[Row, ...]
    conditions: tuple[dict[str, Any], ...]  # of each run that these rows come from, latest last
    # (picture, contender) -> what was decoded just now, H W C uint8: some of it, as memory allows
    decoded: dict[tuple[str, str], np.ndarray] = field(default_factory=dict, repr=False)

    @property
    def failures(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.error)

    def means(self) -> list[Mean]:
        """A mean for each contender that got through at least one picture, in their order."""
        return [mean(rows, len(self._of[key]) - len(rows)) for key, rows in self.whole.items()]

    def unfinished(self) -> list[tuple[str, list[str], str]]:
        """Who could not do which pictures, and why; what has one reason stands together."""
        settings: dict[tuple[str, str], dict[str, None]] = {}
        pictures: dict[tuple[str, str], dict[str, None]] = {}
        for row in self.failures:
            # A picture that cannot be read fails every contender, for a reason of its own.
            key = ("" if row.channels == 0 else title(row.codec), row.error)
            settings.setdefault(key, {})[row.label] = None
            pictures.setdefault(key, {})[row.picture] = None
        return [
            (_who(name, list(settings[name, error])), list(pictures[name, error]), error)
            for name, error in settings
        ]

    @cached_property
    def _of(self) -> dict[str, list[Row]]:
        grouped: dict[str, list[Row]] = {}
        for row in self.rows:
            grouped.setdefault(row.contender, []).append(row)
        return grouped

    @cached_property
    def whole(self) -> dict[str, list[Row]]:
        """Contender -> its rows without an error, if it has any."""
        whole = {key: [row for row in rows if not row.error] for key, rows in self._of.items()}
        return {key: rows for key, rows in whole.items() if rows}


def mean(rows: Sequence[Row], failed: int = 0) -> Mean:
    """The mean of one contender's rows, none with an error."""
    first, cls = rows[0], codec_class(rows[0].codec)
    texels = sum(row.width * row.height for row in rows)
    finite = [row.psnr for row in rows if row.psnr < math.inf]
    encode = sum(row.encode_seconds for row in rows)
    decode = sum(row.decode_seconds for row in rows)
    return Mean(
        contender=first.contender,
        codec=first.codec,
        title=title(first.codec),
        label=first.label,
        series=first.series,
        classical=first.codec in BASELINES,
        for_gpu=cls.for_gpu,
        random_access=issubclass(cls, Samples),
        any_size=issubclass(cls, Resizes),
        bpp=8 * sum(row.bytes for row in rows) / texels,
        psnr=_average(finite) if finite else math.inf,
        ssim=_average(row.ssim for row in rows),
        ms_ssim=_average(row.ms_ssim for row in rows),
        encode_seconds=encode / len(rows),
        decode_seconds=decode / len(rows),
        encode_mpix_s=texels / 1e6 / max(encode, 1e-9),
        decode_mpix_s=texels / 1e6 / max(decode, 1e-9),
        pictures=len(rows),
        exact=len(rows) - len(finite),
        failed=failed,
    )


def codec_class(name: str) -> type[Codec]:
    """The class of a baseline or of a codec of the registry."""
    return BASELINES.get(name) or registry.codec_class(name)


def title(name: str) -> str:
    """A codec's name as people write it."""
    return BASELINES[name].title if name in BASELINES else name


def _average(values: Iterable[float]) -> float:
    """Over those that are defined (SSIM is not, of pictures smaller than its window)."""
    defined = [value for value in values if not math.isnan(value)]
    return sum(defined) / len(defined) if defined else math.nan


def _who(name: str, labels: list[str]) -> str:
    if not name:
        return "every codec"
    return labels[0] if len(labels) == 1 else f"{name} ({len(labels)} settings)"
