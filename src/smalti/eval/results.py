"""What a comparison found: rows, means over pictures, and where a classical codec is better."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from smalti import registry
from smalti.codec import Codec, Resizes, Samples, TrainedCodec
from smalti.eval.baselines import BASELINES

SAME_PSNR = 0.05  # dB; closer than this counts as equal


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
class Duel:
    """One of our contenders against the best that the classical codecs do at its size."""

    contender: str
    rival: str  # label of the classical codec, or "" if none is as small
    gap: float  # dB that the rival is ahead; NaN without a rival, inf if only one is exact
    ahead: int  # pictures on which the contender is ahead of a rival of its size
    pictures: int  # pictures on which there is one
    sentence: str


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
        return [mean(rows, len(self._of[key]) - len(rows)) for key, rows in self._whole.items()]

    def duels(self) -> list[Duel]:
        """Each of our contenders against the classical codecs on the same pictures.

        At the contender's bpp a classical curve is interpolated linearly in log bpp between its
        two neighbouring settings; beyond its largest setting that one counts, at fewer bits.
        """
        classical = [rows for rows in self._whole.values() if rows[0].codec in BASELINES]
        ours = [rows for rows in self._whole.values() if rows[0].codec not in BASELINES]
        return [_duel(rows, classical) for rows in ours] if classical else []

    def verdicts(self) -> list[str]:
        """The sentences of `duels`."""
        return [duel.sentence for duel in self.duels()]

    @cached_property
    def _of(self) -> dict[str, list[Row]]:
        grouped: dict[str, list[Row]] = {}
        for row in self.rows:
            grouped.setdefault(row.contender, []).append(row)
        return grouped

    @cached_property
    def _whole(self) -> dict[str, list[Row]]:
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


def _duel(ours: list[Row], classical: list[list[Row]]) -> Duel:
    own = mean(ours)
    curves = _curves(classical, {row.picture for row in ours})
    rival = _best_at(own, curves)
    ahead = contested = 0
    for row in ours:
        alone = mean([row])
        other = _best_at(alone, _curves(classical, {row.picture}))
        if other is not None and not _cheaper_and_worse(alone, other):
            contested += 1
            ahead += _gap(alone, other) < -SAME_PSNR
    gap = _gap(own, rival) if rival else math.nan
    start = f"{own.label} ({own.bpp:.2f} bpp, {_quality(own.psnr)}): "
    if not curves:
        sentence = start + "no classical codec here takes all of its pictures."
    elif rival is None:
        smallest = min((point for curve in curves for point in curve), key=lambda m: m.bpp)
        sentence = start + (
            f"no classical setting here is as small; the smallest, {smallest.label}, "
            f"reaches {_quality(smallest.psnr)} in {smallest.bpp:.2f} bpp."
        )
    elif _cheaper_and_worse(own, rival):
        sentence = start + (
            f"no classical setting here is as large; {rival.label} reaches {_quality(rival.psnr)} "
            f"in {rival.bpp:.2f} bpp."
        )
        rival, gap = None, math.nan
    else:
        sentence = start + _verdict(own, rival, gap)
    if len(ours) > 1 and contested:
        small = "" if contested == len(ours) else " where one is of its size"
        sentence += f" It is ahead on {ahead} of {contested} pictures{small}."
    return Duel(own.contender, rival.label if rival else "", gap, ahead, contested, sentence)


def _curves(classical: list[list[Row]], pictures: set[str]) -> list[list[Mean]]:
    """Classical means over exactly these pictures, a curve for each series, by bpp."""
    curves: dict[str, list[Mean]] = {}
    for rows in classical:
        shared = [row for row in rows if row.picture in pictures]
        if len(shared) == len(pictures):
            curves.setdefault(shared[0].series, []).append(mean(shared))
    return [sorted(curve, key=lambda m: m.bpp) for curve in curves.values()]


@dataclass(frozen=True)
class _Point:
    """What a classical codec reaches."""

    label: str
    series: str
    bpp: float
    psnr: float


def _best_at(own: Mean, curves: list[list[Mean]]) -> _Point | None:
    """The best that any curve reaches in at most the bits of `own`."""
    points = [point for curve in curves if (point := _at(own.bpp, curve)) is not None]
    return max(points, key=lambda point: (point.psnr, -point.bpp), default=None)


def _at(bpp: float, curve: list[Mean]) -> _Point | None:
    within = [m for m in curve if m.bpp <= bpp]
    beyond = [m for m in curve if m.bpp > bpp and m.psnr < math.inf]
    if not within:
        return None
    best = max(within, key=lambda m: (m.psnr, -m.bpp))
    if beyond and within[-1].psnr < math.inf:
        low, high = within[-1], beyond[0]
        share = math.log(bpp / low.bpp) / math.log(high.bpp / low.bpp)
        psnr = low.psnr + share * (high.psnr - low.psnr)
        if psnr > best.psnr:
            return _Point(curve[0].series, curve[0].series, bpp, psnr)
    return _Point(best.label, best.series, best.bpp, best.psnr)


def _gap(own: Mean, rival: _Point) -> float:
    return 0.0 if own.psnr == rival.psnr else rival.psnr - own.psnr


def _cheaper_and_worse(own: Mean, rival: _Point) -> bool:
    """No contest: fewer bits buy less."""
    return rival.bpp < own.bpp and _gap(own, rival) < -SAME_PSNR


def _verdict(own: Mean, rival: _Point, gap: float) -> str:
    size = "at the same size" if rival.bpp == own.bpp else f"in {rival.bpp:.2f} bpp"
    reach = f"{rival.label} reaches {_quality(rival.psnr)} {size}"
    if gap > SAME_PSNR:
        more = f", {gap:.1f} dB more" if gap < math.inf else ""
        return f"{reach}{more}; use {rival.series}{_unless(own)}."
    if gap >= -SAME_PSNR:
        return f"{reach}, no better and no worse."
    less = f", {-gap:.1f} dB less" if gap > -math.inf else ""
    return f"the best classical codec, {reach}{less}."


def _unless(own: Mean) -> str:
    reasons = []
    if own.random_access:
        reasons.append("random access to its texels")
    if own.any_size:
        reasons.append("to decode at any size")
    if issubclass(codec_class(own.codec), TrainedCodec):
        reasons.append("its latents or tokens")
    return f" unless you need {' or '.join(reasons)}" if reasons else ""


def _quality(psnr: float) -> str:
    return "every texel exactly" if psnr == math.inf else f"{psnr:.1f} dB"
