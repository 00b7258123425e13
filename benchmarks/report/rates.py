"""Rates at equal quality. Rows have picture, bpp and psnr."""

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator
from stored import Row, rows

SETS = {
    "kodak12": "Kodak 1-12",
    "photos-val": "photos/val",
    "faces": "faces",
    "screenshots": "screenshots",
}
ANCHOR = "AVIF 4:4:4 psnr"
CLASSICAL = ("AVIF", "WebP", "JPEG")


@dataclass(frozen=True)
class Spread:
    """A figure of several pictures."""

    mean: float
    least: float
    greatest: float
    pictures: int

    def __str__(self) -> str:
        return f"{self.mean:+.0f} % ({self.least:+.0f} .. {self.greatest:+.0f})"


def bd_rate(ours: list[Row], theirs: list[Row]) -> float:
    """Mean difference of rates at equal PSNR, in per cent; negative: ours need less.

    Bjontegaard 2001 (VCEG-M33), with monotone cubic interpolation (PCHIP) of the logarithm of bpp
    over the PSNR that both reach. NaN where they reach none in common.
    """
    a, b = curve(ours), curve(theirs)
    if min(len(a[0]), len(b[0])) < 2 or max(a[0][0], b[0][0]) >= min(a[0][-1], b[0][-1]):
        return math.nan
    at = np.linspace(max(a[0][0], b[0][0]), min(a[0][-1], b[0][-1]), 200)
    difference = PchipInterpolator(*a)(at) - PchipInterpolator(*b)(at)
    return 100 * math.expm1(float(difference.mean()))


def curve(found: list[Row]) -> tuple[np.ndarray, np.ndarray]:
    """PSNR, strictly rising, and the logarithms of the rates."""
    by_psnr = sorted({row["psnr"]: math.log(row["bpp"]) for row in found}.items())
    return np.array([p for p, _ in by_psnr]), np.array([r for _, r in by_psnr])


def bd_rates(ours: Iterable[Row], theirs: Iterable[Row]) -> Spread | None:
    """BD-rate picture by picture; None where no picture has one."""
    mine, rivals = _by_picture(ours), _by_picture(theirs)
    values = [bd_rate(mine[name], rivals[name]) for name in mine.keys() & rivals.keys()]
    values = [value for value in values if not math.isnan(value)]
    return (
        Spread(statistics.fmean(values), min(values), max(values), len(values)) if values else None
    )


def times(ours: Iterable[Row], theirs: Iterable[Row]) -> float:
    """How many times the rival's bytes each file of ours takes at its PSNR, geometric mean."""
    rivals, logs = _by_picture(theirs), []
    for row in ours:
        quality, rate = curve(rivals[row["picture"]])
        if quality[0] <= row["psnr"] <= quality[-1]:
            logs.append(math.log(row["bpp"]) - float(np.interp(row["psnr"], quality, rate)))
    return math.exp(statistics.fmean(logs)) if logs else math.nan


def against_anchor(name: str) -> dict[str, Spread]:
    """Every curve of a set against AVIF tuned for PSNR."""
    found = list(rows(f"*-rd-{name}.jsonl"))
    anchor = [row for row in found if row["series"] == ANCHOR]
    series = [s for s in dict.fromkeys(row["series"] for row in found) if s != ANCHOR]
    spreads = {s: bd_rates([row for row in found if row["series"] == s], anchor) for s in series}
    return {s: spread for s, spread in spreads.items() if spread}


def is_classical(series: str) -> bool:
    return series.startswith(CLASSICAL) or series.startswith("JPEG XL")


def _by_picture(found: Iterable[Row]) -> dict[str, list[Row]]:
    grouped: dict[str, list[Row]] = {}
    for row in found:
        grouped.setdefault(row["picture"].removesuffix(".png"), []).append(row)
    return grouped
