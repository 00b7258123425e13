"""Digits of one model at sizes and aspects that it was not trained at, and what they come from."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from smalti.explain.drawing import BLUE, GREEN, GREY, INK, ORANGE, RED, headline
from smalti.explain.drawn import DrawnDigits, LargePicture, Size, SizesShown
from smalti.image import to_uint8

WIDTH = 11.0  # inches, of every figure
LEFT = 1.75  # inches, for the name of a row
HEAD = 1.0  # inches
TALLEST = 0.72  # inches, of a row
GAP = 0.04  # of a row's height, between its pictures
STRIP = 100  # texels that a row is high at least, as it is stored
COLOURS = (BLUE, RED, GREEN, ORANGE)


def figures(shown: SizesShown) -> list[tuple[str, Figure | str]]:
    """Every figure by name, or why there is none."""
    drawn: list[tuple[str, Figure | str]] = [
        (f"digits-{_name(d.grid)}", digits(d)) for d in shown.drawn
    ]
    drawn.append(("latents", latents(shown.drawn)))
    drawn.append(("large", large(shown.large) if shown.large else "no large grid was wanted"))
    if shown.real:
        drawn.append(("reconstructions", reconstructions(shown.real, shown.originals)))
    if shown.losses:
        drawn.append(("loss", losses(shown.losses, shown.loss_pictures)))
    return drawn


def digits(drawn: DrawnDigits) -> Figure:
    """A row a size, a column a label; all of a column from one latent."""
    rows = [(_title(size, fit), [*pictures]) for (size, fit), pictures in drawn.pictures.items()]
    text = (
        f"Each column is one latent of {_name(drawn.grid)} cells, drawn by the diffuser for one of "
        "the digits 0 to 9 and decoded at every size, height x width in texels. Both models were "
        "trained on pictures of 32 x 32 and latents of 4 x 4 alone."
    )
    return _rows(rows, f"Digits from {_name(drawn.grid)} latents", text)


def latents(drawn: list[DrawnDigits]) -> Figure:
    """Two rows a grid: three directions of all latents as colours, and one latent's channels."""
    basis = _basis(np.concatenate([d.latents.reshape(-1, d.latents.shape[-1]) for d in drawn]))
    rows = []
    for d in drawn:
        rows.append((f"{_name(d.grid)}: colours", [*_coloured(d.latents, basis)]))
        one = d.latents[len(d.latents) // 3]
        label = d.labels[len(d.latents) // 3]
        channels = [_grey(one[..., c]) for c in range(min(16, one.shape[-1]))]
        rows.append((f"{_name(d.grid)}: the {label},\neach channel", channels))
    text = (
        "Latents as the diffuser draws them. Colours are the three directions in which all latents "
        "of this figure vary most, the same in every row; below, the first channels of one latent, "
        "black to white for -2.5 to 2.5 deviations."
    )
    return _rows(rows, "What the digits are drawn from", text)


def large(drawn: LargePicture) -> Figure:
    """The latent beside the picture."""
    h, w = drawn.latents.shape[:2]
    height, width = drawn.picture.shape
    basis = _basis(drawn.latents.reshape(-1, drawn.latents.shape[-1]))
    figure = Figure(figsize=(WIDTH, HEAD + 5.5))
    text = (
        f"A latent of {h} x {w} cells, where training had 4 x 4, drawn for the digit "
        f"{drawn.label} and decoded at {height} x {width}; {drawn.seconds:.0f} s of one core."
    )
    headline(figure, f"{height} x {width} from {h} x {w}", text, columns=140)
    for place, picture, label in (
        (0.15, _coloured(drawn.latents[None], basis)[0], "latent, as colours"),
        (WIDTH / 2 + 0.05, drawn.picture, "picture"),
    ):
        box = (place / WIDTH, 0.1 / (HEAD + 5.5), 5.2 / WIDTH, 5.2 / (HEAD + 5.5))
        axes = figure.add_axes(box)
        _show(axes, picture)
        axes.set_title(label, size=9, loc="left", color=INK, pad=3)
    return figure


def reconstructions(real: list[DrawnDigits], originals: dict[Size, np.ndarray]) -> Figure:
    """Test pictures over what comes back from latents of each grid, at each size."""
    rows = []
    for size, truth in originals.items():
        rows.append((f"{_name(size)} original", [*truth]))
        for d in real:
            rows.append((f"from {_name(d.grid)}", [*d.pictures[size, "stretch"]]))
    text = (
        "Test pictures at each size (28 x 28, by a bicubic filter), and what is decoded there from "
        "latents of the same pictures at 32 x 32."
    )
    return _rows(rows, "Test pictures through the resampler", text)


def losses(found: dict[Size, tuple[np.ndarray, np.ndarray]], pictures: int) -> Figure:
    """Error of the velocity over the time of the diffusion, a line a grid."""
    figure = Figure(figsize=(WIDTH * 0.75, 5.4))
    text = (
        f"Mean squared error of the velocity that the diffuser finds in noisy latents of {pictures} "
        "test pictures: what it is trained with, on 4 x 4 alone. t is 0 without noise and 1 with "
        "nothing else; finding 0 everywhere would cost 2."
    )
    headline(figure, "Loss over time", text, columns=105)
    axes = figure.add_axes((0.1, 0.11, 0.87, 0.66))
    for (grid, (times, values)), colour in zip(found.items(), COLOURS, strict=False):
        axes.plot(times, values, color=colour, lw=1.6, marker="o", ms=3, label=_name(grid))
    axes.set_yscale("log")
    axes.set_xlabel("t", size=9)
    axes.set_ylabel("mean squared error", size=9)
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize=9, frameon=False, title="latents", title_fontsize=9)
    axes.tick_params(labelsize=8)
    return figure


def _rows(rows: list[tuple[str, list[np.ndarray]]], title: str, text: str) -> Figure:
    """Named rows of pictures, each row of one size and as high as its width allows."""
    strips = [_side_by_side(row) for _, row in rows]
    aspects = [strip.shape[1] / strip.shape[0] for strip in strips]
    heights = [min((WIDTH - LEFT - 0.1) / aspect, TALLEST) for aspect in aspects]
    total = HEAD + sum(heights) + len(rows) * 0.08 + 0.05
    figure = Figure(figsize=(WIDTH, total))
    headline(figure, title, text, columns=140)
    lower = total - HEAD + 0.08
    for (label, _), strip, aspect, height in zip(rows, strips, aspects, heights, strict=True):
        lower -= height + 0.08
        figure.text(0.015, (lower + height / 2) / total, label, size=9, va="center", color=INK)
        box = (LEFT / WIDTH, lower / total, height * aspect / WIDTH, height / total)
        axes = figure.add_axes(box)
        axes.imshow(strip, interpolation="nearest", aspect="auto")
        axes.set_axis_off()
    return figure


def _side_by_side(row: list[np.ndarray]) -> np.ndarray:
    """Pictures (H, W) or (H, W, 3) of one size, with white between them, as one of three channels.

    Texels are repeated, so that the white can be narrower than one of them.
    """
    times = -(-STRIP // row[0].shape[0])
    parts = []
    for picture in row:
        coloured = picture if picture.ndim == 3 else picture[..., None].repeat(3, 2)
        part = coloured.repeat(times, 0).repeat(times, 1)
        parts += [part, np.full((len(part), max(1, round(GAP * len(part))), 3), 255, np.uint8)]
    return np.concatenate(parts[:-1], 1)


def _show(axes: Axes, picture: np.ndarray) -> None:
    axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color(GREY)


def _basis(cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean, and the three directions of largest variance over its root, of (N, c)."""
    mean = cells.mean(0)
    values, vectors = np.linalg.eigh(
        np.cov(cells - mean, rowvar=False).reshape(2 * (cells.shape[1],))
    )
    kept = slice(max(0, len(values) - 3), None)
    directions = vectors[:, kept][:, ::-1] / np.sqrt(np.maximum(values[kept][::-1], 1e-9))
    return mean, np.pad(directions, ((0, 0), (0, 3 - directions.shape[1])))


def _coloured(latents: np.ndarray, basis: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """(N, h, w, c) -> uint8 (N, h, w, 3), 128 at the mean, 2.5 deviations to black and white."""
    mean, directions = basis
    return _levels((latents - mean) @ directions)


def _grey(channel: np.ndarray) -> np.ndarray:
    return _levels(channel)


def _levels(deviations: np.ndarray) -> np.ndarray:
    return to_uint8(deviations / 5 + 0.5)


def _title(size: Size, fit: str) -> str:
    return _name(size) if size[0] == size[1] else f"{_name(size)}, {fit}"


def _name(size: Size) -> str:
    return f"{size[0]}x{size[1]}"
