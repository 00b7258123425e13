"""The pipeline: from the picture through one block to its bytes, with that block's own numbers."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from smalti.bc7.mode6 import ENGINES, GOOD_ENOUGH
from smalti.bc7.reference.mode6 import Trace
from smalti.explain.drawing import BLUE, GREEN, GREY, INK, ORANGE, headline, over_checker, swatches
from smalti.explain.simplex import UNIT

WIDTH, HEIGHT = 13.5, 5.5  # inches, and the units of everything below
UPPER, MIDDLE, LOWER = 3.7, 2.25, 0.8  # heights of the rows of boxes


def figure(
    original: np.ndarray,
    block: tuple[int, int],
    texels: np.ndarray,
    decoded: np.ndarray,
    *,
    name: str,
    effort: str,
    trace: Trace,
    mode: int,
) -> Figure:
    """Draw how the picture `original`, uint8 (H, W, 4), becomes blocks.

    block: column and row. texels, decoded: uint8 (16, 4) of that block, before and after `effort`.
    trace: of the same block in `nelder-mead`. mode: which one `effort` chose.
    """
    figure = Figure(figsize=(WIDTH, HEIGHT))
    headline(
        figure,
        f"How {name} becomes BC7 blocks",
        "Every block of 4 x 4 texels goes its way alone, so all can go at once; the numbers are "
        "those of the block marked in the picture.",
        columns=170,
    )
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(0, HEIGHT))
    axes.set_axis_off()
    axes.patch.set_alpha(0)

    _picture(figure, axes, original, block)
    _texels(figure, axes, (3.3, MIDDLE), texels, "16 texels")
    _arrow(axes, (2.58, MIDDLE), (2.77, MIDDLE))
    _arrow(axes, (3.85, MIDDLE + 0.3), (4.35, UPPER - 0.25))
    _upper_row(axes, trace)
    _arrow(axes, (10.4, UPPER), (11.1, MIDDLE + 0.42), "yes")
    if effort not in ENGINES:
        _arrow(axes, (3.85, MIDDLE - 0.3), (4.35, LOWER + 0.25))
        _lower_row(axes, effort, mode)
        _arrow(axes, (10.4, LOWER), (11.1, MIDDLE - 0.42))
    _box(axes, (11.35, MIDDLE), 1.05, 0.75, "128 bits", GREY)
    _arrow(axes, (11.9, MIDDLE), (12.2, MIDDLE))
    _texels(figure, axes, (12.75, MIDDLE), decoded, f"decoded\n({effort})")
    return figure


def _picture(figure: Figure, axes: Axes, original: np.ndarray, block: tuple[int, int]) -> None:
    """The whole picture, at most 2.3 inches a side, with the block marked."""
    height, width = original.shape[:2]
    scale = 2.3 / max(height, width)
    w, h = width * scale, height * scale
    inset = _inset(figure, (1.4 - w / 2, MIDDLE - h / 2, w, h))
    inset.imshow(over_checker(original, side=1))
    x, y = 4 * block[0] + 1.5, 4 * block[1] + 1.5
    side = max(6.0, 0.05 * max(height, width))
    inset.add_patch(
        Rectangle((x - side / 2, y - side / 2), side, side, fill=False, ec="#00e5ff", lw=1.6)
    )  # fmt: skip
    axes.text(1.4, MIDDLE - h / 2 - 0.08, f"{width} x {height} texels", ha="center", va="top",
              size=9, color=INK)  # fmt: skip


def _texels(
    figure: Figure, axes: Axes, centre: tuple[float, float], texels: np.ndarray, text: str
) -> None:
    x, y = centre
    inset = _inset(figure, (x - 0.5, y - 0.5, 1.0, 1.0))
    swatches(inset, texels.reshape(4, 4, 4))
    axes.text(x, y - 0.58, text, ha="center", va="top", size=9, color=INK)


def _upper_row(axes: Axes, trace: Trace) -> None:
    """`pca` and `nelder-mead`, with the loop between the second box and the third."""
    axes.text(4.4, UPPER + 0.62, "pca and nelder-mead, mode 6 only", size=10, weight="bold",
              color=BLUE)  # fmt: skip
    _box(axes, (5.3, UPPER), 1.8, 0.85, "line through the\nmean: two ends", BLUE)
    _box(axes, (7.55, UPPER), 1.9, 0.85, "round to 7 bits + P,\nnearest of 16 entries", BLUE)
    first, last = trace.first_error / UNIT, trace.error / UNIT
    _box(axes, (9.6, UPPER), 1.5, 0.85, f"error {first:.4f}\n≤ 0.004?", ORANGE)
    text = "Nelder-Mead: not needed"
    if trace.first_error > GOOD_ENOUGH:
        text = f"Nelder-Mead, {len(trace.steps) - 1} iterations:\nerror {last:.4f}"
    _box(axes, (8.6, MIDDLE), 2.3, 0.7, text, ORANGE)
    _arrow(axes, (6.22, UPPER), (6.57, UPPER))
    _arrow(axes, (8.52, UPPER), (8.82, UPPER))
    _arrow(axes, (9.6, UPPER - 0.45), (9.3, MIDDLE + 0.38), "no")
    _arrow(axes, (7.9, MIDDLE + 0.38), (7.55, UPPER - 0.45), "other ends", side=-1)
    _arrow(axes, (9.79, MIDDLE), (10.79, MIDDLE))
    axes.text(10.25, MIDDLE + 0.07, "best ends", ha="center", va="bottom", size=9, color=INK)


def _lower_row(axes: Axes, effort: str, mode: int) -> None:
    axes.text(4.4, LOWER + 0.62, f"effort {effort}", size=10, weight="bold", color=GREEN)
    _box(axes, (5.3, LOWER), 1.8, 0.85, "principal axis of\neach subset: ends", GREEN)
    _box(axes, (7.55, LOWER), 1.9, 0.85, "nearest indices, ends\nby least squares", GREEN)
    _box(axes, (9.6, LOWER), 1.5, 0.85, f"least error:\nmode {mode}", GREEN)
    _arrow(axes, (6.22, LOWER), (6.57, LOWER))
    _arrow(axes, (8.52, LOWER), (8.82, LOWER))


def _inset(figure: Figure, box: tuple[float, float, float, float]) -> Axes:
    """Axes without frame; left, bottom, width and height in inches."""
    left, bottom, width, height = box
    inset = figure.add_axes((left / WIDTH, bottom / HEIGHT, width / WIDTH, height / HEIGHT))
    inset.set_axis_off()
    return inset


def _box(
    axes: Axes, centre: tuple[float, float], width: float, height: float, text: str, colour: str
) -> None:
    x, y = centre
    style = "round,pad=0,rounding_size=0.12"
    for face, alpha in ((colour, 0.13), ("none", 1.0)):
        axes.add_patch(
            FancyBboxPatch((x - width / 2, y - height / 2), width, height, boxstyle=style,
                           fc=face, ec=colour, lw=1.4, alpha=alpha)
        )  # fmt: skip
    axes.text(x, y, text, ha="center", va="center", size=9.5, color=INK, linespacing=1.4)


def _arrow(
    axes: Axes,
    start: tuple[float, float],
    stop: tuple[float, float],
    text: str = "",
    side: int = 1,
) -> None:
    """An arrow; `text` stands right of its middle, or left where side is -1."""
    axes.add_patch(FancyArrowPatch(start, stop, arrowstyle="-|>", mutation_scale=13, color=INK))
    x, y = (start[0] + stop[0]) / 2 + 0.1 * side, (start[1] + stop[1]) / 2
    axes.text(x, y, text, ha="left" if side > 0 else "right", va="center", size=9, color=INK)
