"""Fitted textures: how the hash and the latent texture learn a picture, and what the grid holds."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from smalti.explain.drawing import BLUE, GREEN, INK, ORANGE, PURPLE, RED, headline
from smalti.explain.error_map import TOP_PERCENTILE, errors
from smalti.explain.fits import WatchedFit

WIDTH = 12.5  # inches, of every figure
DETAIL = 128  # texels a side of the part that is shown larger
COLOURS = (BLUE, RED, GREEN, ORANGE, PURPLE)
TALLEST = 4.2  # inches, of a panel


def figures(
    original: np.ndarray,
    hash_fit: WatchedFit,
    latent_fit: WatchedFit,
    activations: tuple[WatchedFit, ...],
    *,
    name: str,
) -> list[tuple[str, Figure]]:
    """The four figures by name. original: uint8 (H, W, 3). name: of the picture, for titles."""
    return [
        ("quality", quality(original, (hash_fit, latent_fit), name)),
        ("curves", curves((hash_fit, latent_fit), name)),
        ("latent", internals(original, latent_fit, name)),
        ("activations", compare(original, activations, name)),
    ]


def quality(original: np.ndarray, fits: tuple[WatchedFit, ...], name: str) -> Figure:
    """A row a model, a column a number of steps; all show the part of the picture with most detail."""
    part = _detail(original)
    steps = list(fits[0].pictures)
    panels = [
        [("original", original[part])]
        + [
            (f"{fit.name}, {n:,} steps: {fit.curve[n]:.2f} dB", fit.pictures[n][part])
            for n in steps
        ]
        for fit in fits
    ]
    text = (
        "The part of the picture with most detail, after some steps of the published recipes. "
        + ". ".join(f"The {fit.name} has {fit.parameters:,} parameters" for fit in fits)
        + ". PSNR is that of the whole picture."
    )
    return _grid(panels, f"Two fitted textures learn {name}", text)


def curves(fits: tuple[WatchedFit, ...], name: str) -> Figure:
    """PSNR over steps."""
    figure = Figure(figsize=(WIDTH * 0.7, 5.2))
    text = (
        "PSNR of the whole picture, 8 bits, over the steps of a fit with the published recipes: "
        "65,536 random texels a step (or all, of a smaller picture), rates falling to 0 by a cosine."
    )
    headline(figure, f"PSNR over steps on {name}", text, columns=110)
    _curves(figure.add_axes((0.09, 0.12, 0.88, 0.68)), fits)
    return figure


def internals(original: np.ndarray, fit: WatchedFit, name: str) -> Figure:
    """Picture, grid, reconstruction and error."""
    last = max(fit.pictures)
    picture = fit.pictures[last]
    rms = errors(_opaque(original), _opaque(picture))
    top = max(1.0, float(np.percentile(rms, TOP_PERCENTILE)))
    assert fit.channels is not None  # that of a latent texture
    rows, columns = fit.channels.shape[:2]
    channels = [fit.channels, np.zeros((rows, columns, 3))]
    shown: np.ndarray = np.concatenate(channels, axis=2)[..., :3]  # may have fewer than three
    panels = [
        [("original", original), (f"channels 0 to 2 of the grid, {columns} x {rows}", shown)],
        [
            (f"reconstruction, {fit.curve[last]:.2f} dB", picture),
            (f"error, 0 to {top:.0f} levels of 255", np.minimum(rms / top, 1)),
        ],
    ]
    text = (
        f"The coarse grid of the {fit.name} after {last:,} steps, its first three channels as red, "
        "green and blue, each stretched to its range, beside what the network makes of all channels "
        "and where that is wrong (root of the mean square over the colours, bright is large)."
    )
    return _grid(panels, f"Inside the latent texture of {name}", text)


def compare(original: np.ndarray, fits: tuple[WatchedFit, ...], name: str) -> Figure:
    """The curve of each activation, and what it makes of the detail."""
    part = _detail(original)
    last = max(fits[0].pictures)
    figure = Figure(figsize=(WIDTH, 5.6))
    text = (
        f"The same two-scale latent texture and the same {last:,} steps with other activations in "
        "the hidden layers; only sines get their own first weights (SIREN)."
    )
    headline(figure, f"Activations of the decoder on {name}", text, columns=165)
    _curves(figure.add_axes((0.055, 0.1, 0.42, 0.72)), fits)
    for k, fit in enumerate(fits[:4]):
        row, column = divmod(k, 2)
        axes = figure.add_axes((0.505 + 0.245 * column, 0.465 - 0.425 * row, 0.24, 0.37))
        _panel(axes, f"{fit.name}: {fit.curve[last]:.2f} dB", fit.pictures[last][part])
    return figure


def _curves(axes: Axes, fits: tuple[WatchedFit, ...]) -> None:
    for fit, colour in zip(fits, COLOURS, strict=False):
        steps, values = list(fit.curve), list(fit.curve.values())
        label = f"{fit.name}: {values[-1]:.2f} dB"
        axes.plot(steps, values, color=colour, marker="o", ms=3, lw=1.6, label=label)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("steps", size=9)
    axes.set_ylabel("PSNR, dB", size=9)
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize=9, frameon=False, loc="lower right")  # curves rise
    axes.tick_params(labelsize=8)
    axes.margins(x=0.06)


def _grid(panels: list[list[tuple[str, np.ndarray]]], title: str, text: str) -> Figure:
    """Titled pictures in rows, all at the size of the first."""
    height, width = panels[0][0][1].shape[:2]
    across, down = max(map(len, panels)), len(panels)
    panel_width = min((WIDTH - 0.2) / across - 0.1, TALLEST * width / height)
    panel_height = panel_width * height / width
    figure_width = max(across * (panel_width + 0.1) + 0.2, 8.0)
    figure_height = 1.0 + down * (panel_height + 0.3)
    figure = Figure(figsize=(figure_width, figure_height))
    headline(figure, title, text, columns=int(figure_width * 13))
    for row, line in enumerate(panels):
        for column, (label, picture) in enumerate(line):
            left = 0.15 + column * (panel_width + 0.1)
            lower = figure_height - 1.2 - row * (panel_height + 0.3) - panel_height
            place = (left / figure_width, lower / figure_height,
                     panel_width / figure_width, panel_height / figure_height)  # fmt: skip
            _panel(figure.add_axes(place), label, picture)
    return figure


def _panel(axes: Axes, label: str, picture: np.ndarray) -> None:
    """A picture (H, W, 3), or a map of errors (H, W) in 0 .. 1, without axes."""
    if picture.ndim == 2:
        axes.imshow(picture, cmap="inferno", vmin=0, vmax=1)
    else:
        axes.imshow(picture, interpolation="nearest")
    axes.set_axis_off()
    axes.set_title(label, size=8.5, loc="left", color=INK, pad=3)


def _detail(picture: np.ndarray) -> tuple[slice, slice]:
    """The square of at most DETAIL texels a side in which neighbours differ most."""
    side = min(DETAIL, *picture.shape[:2])
    grey = picture.astype(np.float64).mean(2)
    busy = np.zeros_like(grey)
    busy[1:] += np.abs(np.diff(grey, axis=0))
    busy[:, 1:] += np.abs(np.diff(grey, axis=1))
    total = np.pad(busy.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    sums = total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]
    top, left = np.unravel_index(sums.argmax(), sums.shape)
    return slice(int(top), int(top) + side), slice(int(left), int(left) + side)


def _opaque(picture: np.ndarray) -> np.ndarray:
    return np.pad(picture, ((0, 0), (0, 0), (0, 1)), constant_values=255)
