"""The error map: where in the picture an encoder fails, texel by texel."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from smalti.explain.drawing import INK, headline, over_checker

# Inches.
WIDTH, TALLEST = 12.5, 15.0  # of the figure, at most
NARROWEST = 3.1  # room for a panel: what its title takes
TOP = 0.75  # for the headline
TITLE = 0.38  # for the title of a panel
GAP = 0.22  # beside a panel
BAR = 1.05  # for the colour bar and its numbers
MARGIN = 0.12  # below
# Pictures wider than so many heights stand below each other, and those higher than so many widths
# side by side; others two and two.
WIDE = 2.5
TALL = 1.8

TOP_PERCENTILE = 99.9  # of the errors: what is above has the brightest colour too


def errors(original: np.ndarray, decoded: np.ndarray) -> np.ndarray:
    """Root of the mean square over the channels, (H, W), in levels of 255.

    original, decoded: uint8 (H, W, 4). The channels are those of `smalti.eval.metrics`: R, G, B
    where both are opaque, otherwise R, G, B times alpha, and alpha.
    """
    planes = [picture.astype(np.float64) for picture in (original, decoded)]
    if min(original[..., 3].min(), decoded[..., 3].min()) == 255:
        planes = [plane[..., :3] for plane in planes]
    else:
        for plane in planes:
            plane[..., :3] *= plane[..., 3:] / 255
    return np.sqrt(np.square(planes[0] - planes[1]).mean(axis=2))


def psnr(rms: np.ndarray) -> float:
    """In dB, of a map of `errors`; infinite for equal pictures."""
    mse = float(np.square(rms).mean())
    return 10 * math.log10(255**2 / mse) if mse else math.inf


def figure(
    original: np.ndarray, decoded: dict[str, np.ndarray], block: tuple[int, int], name: str
) -> Figure:
    """Draw the picture and the map of each decoded one, all to one scale.

    original: uint8 (H, W, 4). decoded: name of the effort -> picture of that shape; three of them.
    block: its column and row, to be marked. name: of the picture, for the title.
    """
    maps = {effort: errors(original, picture) for effort, picture in decoded.items()}
    top = max(1.0, *(float(np.percentile(rms, TOP_PERCENTILE)) for rms in maps.values()))
    height, width = original.shape[:2]
    figure, panels, bar_axes = _layout(height, width, 1 + len(maps))
    headline(
        figure,
        f"Error map of {name}",
        "Root of the mean square error over the channels, per texel. The square marks the block "
        "of the other figures.",
        columns=int(figure.get_figwidth() * 13),
    )
    panels[0].imshow(over_checker(original, side=1))
    titles = [f"original, {original.shape[1]} x {original.shape[0]}"]
    for axes, (effort, rms) in zip(panels[1:], maps.items(), strict=True):
        image = axes.imshow(rms, cmap="inferno", vmin=0, vmax=top)
        titles.append(f"{effort}: {psnr(rms):.2f} dB, at most {rms.max():.1f} levels")
    for axes, title in zip(panels, titles, strict=True):
        axes.set_axis_off()
        axes.set_title(title, size=10, loc="left", color=INK, pad=4)
        corner = (4 * block[0] - 1.5, 4 * block[1] - 1.5)
        axes.add_patch(Rectangle(corner, 6, 6, fill=False, lw=1.2, ec="#00e5ff"))
    bar = figure.colorbar(image, cax=bar_axes, extend="max")
    bar.set_label("levels of 255", size=9)
    bar.ax.tick_params(labelsize=8)
    return figure


def _layout(height: int, width: int, count: int) -> tuple[Figure, list[Axes], Axes]:
    """The figure, `count` axes of the picture's shape in rows, and those of the colour bar."""
    across = 1 if width > WIDE * height else 4 if height > TALL * width else 2
    down = -(-count // across)
    panel_width = (WIDTH - BAR - GAP * across) / across
    panel_width = min(panel_width, (TALLEST - TOP - TITLE * down) / down * width / height)
    panel_height = panel_width * height / width
    slot = max(panel_width, NARROWEST) + GAP
    figure_height = TOP + down * (panel_height + TITLE)
    figure_width = BAR + across * slot
    figure = Figure(figsize=(figure_width, figure_height))

    def place(left: float, upper: float, w: float, h: float) -> Axes:
        """Axes from their upper left corner, in inches from that of the figure."""
        lower = figure_height - upper - h
        return figure.add_axes(
            (left / figure_width, lower / figure_height, w / figure_width, h / figure_height)
        )

    panels = []
    for i in range(count):
        row, column = divmod(i, across)
        left, upper = column * slot, row * (panel_height + TITLE)
        panels.append(place(GAP + left, TOP + TITLE + upper - MARGIN, panel_width, panel_height))
    bar_height = figure_height - TOP - TITLE - MARGIN
    bar = place(across * slot + GAP / 2, TOP + TITLE - MARGIN, 0.14, bar_height)
    return figure, panels, bar
