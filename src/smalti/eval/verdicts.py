"""A comparison in words: each of our codecs against what it competes with, in one short sentence.

Codecs for pictures and latents are measured against the best that the classical codecs do in the
same bits. GPU formats are measured against each other: of a JPEG no shader reads a texel.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from smalti.eval.baselines import BASELINES
from smalti.eval.results import Mean, Results, Row, mean

SAME_PSNR = 0.05  # dB; closer than this counts as equal


@dataclass(frozen=True)
class Duel:
    """One of our contenders against the best that the classical codecs do at its size."""

    own: Mean
    rival: str  # the classical codec, or "" where none is of its size
    gap: float  # dB that the rival is ahead; NaN without a rival, inf if only one is exact
    ahead: int  # pictures on which the contender is ahead of a rival of its size
    pictures: int  # pictures on which there is one
    cheaper: bool = False  # the rival takes fewer bits; without a rival: so do all that are worse


@dataclass(frozen=True)
class Verdict:
    """All settings of one of our codecs."""

    codec: str
    sentence: str  # "CODEC: ..."


def verdicts(results: Results) -> list[Verdict]:
    """A sentence for each of our codecs that has something to be measured against."""
    means = [m for m in results.means() if not m.classical]
    textures = [m for m in means if m.for_gpu]
    found: dict[str, str] = {}
    by_codec: dict[str, list[Duel]] = {}
    for duel in duels(results):
        by_codec.setdefault(duel.own.codec, []).append(duel)
    for m in means:
        if m.codec in found:
            continue
        if m.for_gpu:
            found[m.codec] = _among_textures(m.codec, textures)
        elif m.codec in by_codec:
            found[m.codec] = _against_classical(by_codec[m.codec])
    return [Verdict(codec, f"{codec}: {text}") for codec, text in found.items() if text]


def duels(results: Results) -> list[Duel]:
    """Each of our contenders, but GPU formats, against the classical codecs on the same pictures.

    At the contender's bpp a classical curve is interpolated linearly in log bpp between its two
    neighbouring settings; beyond its largest setting that one counts, at fewer bits.
    """
    whole = list(results.whole.values())
    classical = [rows for rows in whole if rows[0].codec in BASELINES]
    ours = [rows for rows in whole if rows[0].codec not in BASELINES and not mean(rows).for_gpu]
    return [_duel(rows, classical) for rows in ours] if classical else []


def _among_textures(codec: str, textures: list[Mean]) -> str:
    """The codec's best setting beside the other GPU formats; "" where there is none."""
    own = max((m for m in textures if m.codec == codec), key=lambda m: (m.psnr, -m.bpp))
    others = [m for m in textures if m.codec != codec and m.pictures == own.pictures]
    if not others:
        return ""
    better = [m for m in others if m.bpp <= own.bpp and m.psnr > own.psnr + SAME_PSNR]
    size = f"{_quality(own.psnr)} in {own.bpp:.2f} bpp"
    if better:
        rival = max(better, key=lambda m: m.psnr)
        more = f"{_quality(rival.psnr)} in {rival.bpp:.2f}"
        return f"{size}; among GPU formats {rival.title} has more, {more}."
    if own.psnr >= max(m.psnr for m in others):
        return f"{size}, the best quality of the GPU formats here."
    if own.bpp <= min(m.bpp for m in others):
        return f"{size}, the smallest of the GPU formats here."
    rival = min((m for m in others if m.psnr > own.psnr), key=lambda m: m.bpp)
    return f"{size}; among GPU formats the next better, {rival.title}, takes {rival.bpp:.2f}."


def _against_classical(duels: list[Duel]) -> str:
    contests = [duel for duel in duels if duel.rival]
    if not contests:
        own = duels[0].own
        size = f"{_quality(own.psnr)} in {own.bpp:.2f} bpp"
        if duels[0].cheaper:
            return f"{size}, better than any classical file here that is no larger."
        return f"{size}, smaller than any classical file here."
    gaps = [duel.gap for duel in contests]
    rivals = list(dict.fromkeys(duel.rival for duel in contests))
    has, rival = ("has" if len(rivals) == 1 else "have"), " and ".join(rivals)
    least, most = min(gaps), max(gaps)
    where = "in no more bits" if any(duel.cheaper for duel in contests) else "at the same size"
    if most == math.inf:
        text = f"{rival} {has} every texel exactly in no more bits"
    elif least > SAME_PSNR:
        text = f"{rival} {has} {_range(least, most)} dB more {where}"
    elif most < -SAME_PSNR:
        text = f"{_range(-most, -least)} dB more than {rival} {where}"
    elif max(-least, most) <= SAME_PSNR:
        text = f"as good as {rival} {where}"
    else:
        span = f"from {max(most, 0):.1f} dB less to {max(-least, 0):.1f} dB more"
        text = f"{span} than {rival} {where}"
    ahead, pictures = sum(d.ahead for d in contests), sum(d.pictures for d in contests)
    if len(contests) == 1 and 0 < ahead < pictures:
        text += f", ahead on {ahead} of {pictures} pictures"
    return f"{text}."


def _range(low: float, high: float) -> str:
    return f"{low:.1f}" if f"{low:.1f}" == f"{high:.1f}" else f"{low:.1f} to {high:.1f}"


def _quality(psnr: float) -> str:
    return "every texel exactly" if psnr == math.inf else f"{psnr:.1f} dB"


def _duel(ours: list[Row], classical: list[list[Row]]) -> Duel:
    own = mean(ours)
    rival = _best_at(own, _curves(classical, {row.picture for row in ours}))
    ahead = contested = 0
    for row in ours:
        alone = mean([row])
        other = _best_at(alone, _curves(classical, {row.picture}))
        if other is not None and not _cheaper_and_worse(alone, other):
            contested += 1
            ahead += _gap(alone, other) < -SAME_PSNR
    if rival is None:
        return Duel(own, "", math.nan, ahead, contested)
    if _cheaper_and_worse(own, rival):
        return Duel(own, "", math.nan, ahead, contested, cheaper=True)
    cheaper = rival.bpp < own.bpp
    return Duel(own, rival.title, _gap(own, rival), ahead, contested, cheaper)


def _curves(classical: Sequence[list[Row]], pictures: set[str]) -> list[list[Mean]]:
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

    title: str
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
            return _Point(best.title, bpp, psnr)
    return _Point(best.title, best.bpp, best.psnr)


def _gap(own: Mean, rival: _Point) -> float:
    return 0.0 if own.psnr == rival.psnr else rival.psnr - own.psnr


def _cheaper_and_worse(own: Mean, rival: _Point) -> bool:
    """No contest: fewer bits buy less."""
    return rival.bpp < own.bpp and _gap(own, rival) < -SAME_PSNR
