"""The colour line: 16 texels in RGB space, and the lines that a block draws through them."""

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from smalti.explain.anatomy import CHANNELS, Anatomy
from smalti.explain.drawing import GREY, INK, SUBSET_COLOURS, headline

PADDING = 0.08  # of the colours' spread, on each side


def figure(texels: np.ndarray, anatomy: Anatomy, where: str) -> Figure:
    """Draw the block's colours in RGB space, and in the plane where they spread most.

    texels: uint8 (16, 4), the original ones. where: which block this is, for the title.
    """
    figure = Figure(figsize=(12.5, 6.6))
    count = len(anatomy.ends)
    text = (
        f"Mode {anatomy.number} has {'one line' if count == 1 else f'{count} lines'} in a block. "
        "A texel (disc) becomes one of the entries on its line (squares); the grey line between "
        "the two is its error. "
    )
    if anatomy.rotation:
        apart = CHANNELS[anatomy.rotation - 1]
        text += f"{apart} has indices of its own here, so the entries fill a parallelogram. "
    headline(figure, f"Colour line of {where}", text + "Alpha is not shown.", columns=165)

    space = figure.add_axes((0.01, 0.07, 0.47, 0.78), projection="3d")
    _colours(space, texels, anatomy, lambda colours: colours)
    _frame_space(space, texels, anatomy)

    plane = figure.add_axes((0.56, 0.17, 0.41, 0.64))
    centre, axes = _plane(texels, anatomy)
    _colours(plane, texels, anatomy, lambda colours: (colours - centre) @ axes.T)
    _frame_plane(plane, axes)
    figure.legend(handles=_handles(count), loc="lower center", ncols=7, frameon=False, fontsize=9)
    return figure


def _colours(
    axes: Any,
    texels: np.ndarray,
    anatomy: Anatomy,
    project: Callable[[np.ndarray], np.ndarray],
) -> None:
    """Lines, entries, ends, texels and errors, each colour (N, 3) placed by `project`."""
    flat: dict[str, Any] = {} if axes.name == "3d" else {"zorder": 4}
    shaded: dict[str, Any] = {"depthshade": False} if axes.name == "3d" else {}
    for subset, (ends, entries) in enumerate(zip(anatomy.ends, anatomy.palettes, strict=True)):
        colour = SUBSET_COLOURS[subset]
        for line in _outline(entries, bool(anatomy.rotation)):
            axes.plot(*project(line).T, color=colour, lw=1.6, alpha=0.8)
        points = entries[..., :3].reshape(-1, 3)
        axes.scatter(
            *project(points).T, s=26, marker="s", c=points / 255.0, edgecolors=colour,
            linewidths=0.9, **shaded, **flat,
        )  # fmt: skip
        axes.scatter(
            *project(ends[:, :3]).T, s=150, marker="D", facecolors="none", edgecolors=colour,
            linewidths=1.8, **shaded, **flat,
        )  # fmt: skip
    originals, decoded = (project(t[:, :3].astype(np.float64)) for t in (texels, anatomy.texels))
    for pair in zip(originals, decoded, strict=True):
        axes.plot(*np.stack(pair).T, color=GREY, lw=0.9)
    axes.scatter(
        *originals.T, s=80, c=texels[:, :3] / 255.0, edgecolors=INK, linewidths=0.8,
        **shaded, **flat,
    )  # fmt: skip


def _outline(entries: np.ndarray, parallelogram: bool) -> list[np.ndarray]:
    """The colours (N, 3) between which to draw lines: along the entries, or around them."""
    colours = entries[..., :3]
    if not parallelogram:
        return [colours[[0, -1], 0]]
    return [np.stack([colours[0, 0], colours[-1, 0], colours[-1, -1], colours[0, -1],
                      colours[0, 0]])]  # fmt: skip


def _everything(texels: np.ndarray, anatomy: Anatomy) -> np.ndarray:
    entries = [palette[..., :3].reshape(-1, 3) for palette in anatomy.palettes]
    return np.concatenate([texels[:, :3].astype(np.float64), *entries])


def _plane(texels: np.ndarray, anatomy: Anatomy) -> tuple[np.ndarray, np.ndarray]:
    """Centre (3,) and two unit vectors (2, 3): the plane nearest to texels and entries."""
    points = _everything(texels, anatomy)
    centre = points.mean(axis=0)
    axes = np.linalg.svd(points - centre, full_matrices=True)[2][:2]
    signs = np.where(axes[np.arange(2), np.abs(axes).argmax(axis=1)] < 0, -1, 1)
    return centre, axes * signs[:, None]


def _frame_space(axes: Any, texels: np.ndarray, anatomy: Anatomy) -> None:
    """The same scale on the three axes, and as much of the cube of colours as there is to see."""
    points = _everything(texels, anatomy)
    middle = (points.max(axis=0) + points.min(axis=0)) / 2
    half = min(max(8.0, np.ptp(points, axis=0).max() / 2) * (1 + PADDING), 127.5)
    middle = np.clip(middle, half, 255 - half)
    axes.set(
        xlim=(middle[0] - half, middle[0] + half),
        ylim=(middle[1] - half, middle[1] + half),
        zlim=(middle[2] - half, middle[2] + half),
    )
    axes.set_box_aspect((1, 1, 1), zoom=1.0)
    axes.view_init(elev=22, azim=-58)
    for axis, name, colour in zip(
        (axes.xaxis, axes.yaxis, axes.zaxis), "RGB", ("#b03030", "#2a7f3a", "#3050b0"), strict=True
    ):
        axis.set_label_text(name, color=colour, weight="bold")
        axis.set_pane_color((0.97, 0.97, 0.97, 1))
        axis.set_tick_params(labelsize=8, pad=0)
        axis.set_major_locator(MaxNLocator(5))
    axes.grid(True)


def _frame_plane(axes: Any, directions: np.ndarray) -> None:
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(PADDING)
    axes.set_xlabel(f"along {_name(directions[0])}, levels of 255", color=INK, size=9)
    axes.set_ylabel(f"along {_name(directions[1])}", color=INK, size=9)
    axes.set_title("from the side: the plane in which the colours spread most", size=10, color=INK)
    axes.grid(color="#eeeeee")
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _name(direction: np.ndarray) -> str:
    """As "(0.58 R + 0.57 G − 0.58 B)", without the parts that round to nothing."""
    parts = [(v, c) for v, c in zip(direction, "RGB", strict=True) if abs(v) >= 0.005]
    text = " ".join(f"{'+' if v > 0 else '−'} {abs(v):.2f} {c}" for v, c in parts)
    return f"({text.removeprefix('+ ')})"


def _handles(subsets: int) -> list[Line2D]:
    def mark(marker: str, label: str, **style) -> Line2D:
        return Line2D([], [], ls="", marker=marker, label=label, **style)

    handles = [
        mark("o", "texel", mfc="#bbbbbb", mec=INK, ms=8),
        mark("s", "palette entry", mfc="#bbbbbb", mec=GREY, ms=5),
        mark("D", "end", mfc="none", mec=INK, ms=9),
        Line2D([], [], color=GREY, lw=0.9, label="error"),
    ]
    if subsets > 1:
        handles += [
            Line2D([], [], color=SUBSET_COLOURS[s], lw=2, label=f"subset {s}")
            for s in range(subsets)
        ]
    return handles
