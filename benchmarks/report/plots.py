"""Curves of rate and quality as SVG, the same bytes from the same results."""

import statistics
from pathlib import Path

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot
from rates import SETS, is_classical
from stored import Row, rows

MARKERS = "osD^vPX"


def plot(name: str, path: Path) -> None:
    """Mean PSNR over mean bits a texel of every curve of a set; nothing where there are no results."""
    curves: dict[str, dict[str, list[Row]]] = {}
    for row in rows(f"*-rd-{name}.jsonl"):
        curves.setdefault(row["series"], {}).setdefault(row["contender"], []).append(row)
    if not curves:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    style = {"svg.hashsalt": "smalti", "svg.fonttype": "none", "font.family": "sans-serif"}
    with matplotlib.rc_context(style):
        figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
        for number, (series, contenders) in enumerate(curves.items()):
            points = sorted(
                tuple(statistics.fmean(row[key] for row in own) for key in ("bpp", "psnr"))
                for own in contenders.values()
            )
            axes.plot(
                *zip(*points, strict=True),
                color=f"C{number % 10}",
                linestyle="--" if is_classical(series) else "-",
                marker=MARKERS[number % len(MARKERS)],
                markersize=4,
                linewidth=1,
                label=series,
            )
        axes.set(xscale="log", xlabel="bits a texel", ylabel="PSNR, dB", title=SETS[name])
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7, ncols=2)
        figure.savefig(path, metadata={"Date": None})
        pyplot.close(figure)
