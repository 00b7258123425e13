"""What the figures share: colours, swatches of texels, and how a figure becomes a file's bytes."""

import io
import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK = "#222222"
GREY = "#8a8a8a"
PALE = "#d9d9d9"
# Distinct for every kind of colour vision: Okabe and Ito, "Color Universal Design", 2008.
BLUE, GREEN, ORANGE, RED, PURPLE, SKY = (
    "#0072b2", "#009e73", "#e69f00", "#d55e00", "#cc79a7", "#56b4e9"
)  # fmt: skip
SUBSET_COLOURS = (BLUE, RED, GREEN)

DOTS_PER_INCH = 150
TEXEL_SIDE = 16  # pixels of a drawn texel
CHECKER_SIDE = 8  # pixels of a square of what shows through


def file_bytes(figure: Figure, *, svg: bool) -> bytes:
    """The figure as a PNG of 150 dots per inch, or as an SVG."""
    buffer = io.BytesIO()
    if svg:
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    else:
        figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH)
    return buffer.getvalue()


def headline(figure: Figure, title: str, text: str, *, columns: int) -> None:
    """A title and, wrapped to so many columns, what is to be seen; both at the top left."""
    height = figure.get_figheight()
    figure.text(0.015, 1 - 0.12 / height, title, size=13, weight="bold", color=INK, va="top")
    figure.text(
        0.015, 1 - 0.42 / height, textwrap.fill(text, columns),
        size=9.5, color="#444444", va="top", linespacing=1.35,
    )  # fmt: skip


def over_checker(texels: np.ndarray, side: int = TEXEL_SIDE) -> np.ndarray:
    """uint8 (H, W, 4) -> uint8 (H * side, W * side, 3), what is transparent over grey squares."""
    large = texels.repeat(side, axis=0).repeat(side, axis=1).astype(np.float64)
    y, x = np.indices(large.shape[:2]) // CHECKER_SIDE
    under = np.where((x + y) % 2, 200.0, 250.0)[..., None]
    alpha = large[..., 3:] / 255
    return np.round(large[..., :3] * alpha + under * (1 - alpha)).astype(np.uint8)


def swatches(axes: Axes, texels: np.ndarray, *, lines: bool = True) -> None:
    """Draw uint8 (H, W, 4) so that texel (y, x) is the unit square around (x, y)."""
    height, width = texels.shape[:2]
    axes.imshow(
        over_checker(texels),
        extent=(-0.5, width - 0.5, height - 0.5, -0.5),
        interpolation="nearest",
    )
    if lines:
        axes.hlines(np.arange(1, height) - 0.5, -0.5, width - 0.5, color="white", lw=0.7)
        axes.vlines(np.arange(1, width) - 0.5, -0.5, height - 0.5, color="white", lw=0.7)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color(GREY)


def legible_on(texel: np.ndarray) -> str:
    """Black or white, whichever reads better on R, G, B, A 0 .. 255 (weights of Rec. 709)."""
    colour = over_checker(texel.reshape(1, 1, 4)).mean(axis=(0, 1))
    return "black" if float(colour @ (0.2126, 0.7152, 0.0722)) > 128 else "white"
