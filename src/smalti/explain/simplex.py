"""The path of Nelder-Mead on a block: on a plane through its 8 dimensions, and error by iteration."""

from itertools import combinations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from smalti.bc7.mode6 import GOOD_ENOUGH
from smalti.bc7.reference.mode6 import Mode6Block, Step, Trace
from smalti.explain.drawing import BLUE, GREEN, INK, ORANGE, PURPLE, RED, headline

GRID = 72  # points of the landscape a side; each is a block rounded and measured
MARGIN = 0.14  # of the path's extent, on each side
RATIO = 1.12  # width of the landscape to its height
SHOWN = (0, 3, 8, 16, 32)  # iterations whose simplex is drawn
COLOURS = {
    "start": INK, "reflection": BLUE, "expansion": GREEN, "contraction": ORANGE, "shrink": RED,
}  # fmt: skip
PATH = "#c1121f"  # of the best vertex
UNIT = 255.0**2  # levels squared: an error in 0 .. 1 units is an integer error through this


def figure(trace: Trace, where: str) -> Figure:
    """Draw a trace that has steps. where: which block this is, for the title."""
    figure = Figure(figsize=(12.5, 6.1))
    first, last = trace.first_error / UNIT, trace.error / UNIT
    dimensions = len(trace.steps[0].simplex) - 1
    text = (
        f"The simplex has {dimensions + 1} vertices in {dimensions} dimensions, the values of the "
        f"two ends. In {len(trace.steps) - 1} iterations the squared error of the real block, "
        f"16 texels of R, G, B, A in 0 .. 1, goes from {first:.4f} to {last:.4f}. "
    )
    if trace.first_error <= GOOD_ENOUGH:
        text += "The encoder would not search: the first guess is below 0.004."
    headline(figure, f"Nelder-Mead on {where}", text, columns=165)
    _landscape(figure, figure.add_axes((0.065, 0.1, 0.41, 0.70)), trace)
    _curve(figure.add_axes((0.63, 0.1, 0.345, 0.70)), trace)
    return figure


def _landscape(figure: Figure, axes: Axes, trace: Trace) -> None:
    origin, plane = _plane(trace)
    paths = [(step.simplex - origin) @ plane.T for step in trace.steps]
    x_limits, y_limits = _limits(np.concatenate(paths))
    x, y = np.linspace(*x_limits, GRID), np.linspace(*y_limits, GRID)
    errors = np.array([[_error(trace.block, origin + u * plane[0] + v * plane[1]) for u in x]
                       for v in y])  # fmt: skip
    levels = np.log10(np.maximum(errors, 1) / UNIT)
    filled = axes.contourf(x, y, levels, levels=24, cmap="bone", alpha=0.9)
    axes.contour(
        x, y, levels, levels=12, colors="white", linestyles="solid", linewidths=0.4, alpha=0.6
    )
    bar = figure.colorbar(filled, ax=axes, pad=0.02, fraction=0.05)
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{10**value:.3g}"))
    bar.set_label("squared error on this plane", size=9)
    bar.ax.tick_params(labelsize=8)

    chosen = [i for i in SHOWN if i < len(paths)]
    for i in chosen:
        for a, b in combinations(paths[i], 2):
            axes.plot(*np.stack([a, b]).T, color=PURPLE, lw=0.7, alpha=0.25 + 0.6 * i / SHOWN[-1])
    best = np.array([path[0] for path in paths])
    axes.plot(*best.T, color=PATH, lw=2.2, marker="o", ms=3.5)
    for point, marker, text in ((best[0], "o", "start"), (best[-1], "*", "best")):
        axes.plot(*point, marker=marker, ms=15 if marker == "*" else 9, mfc="white", mec=PATH)
        axes.annotate(
            text, point, (8, 8), textcoords="offset points", size=9, color=INK,
            bbox={"boxstyle": "round,pad=0.2", "fc": "white", "ec": "none", "alpha": 0.8},
        )  # fmt: skip
    axes.set(xlim=x_limits, ylim=y_limits)
    axes.set_aspect("equal")
    axes.set_title("best vertex (red), and the simplex now and then (violet)", size=10, color=INK)
    axes.set_xlabel("from the first guess to the best point, levels of 255", size=9)
    axes.set_ylabel("across, where the vertices spread most", size=9)
    axes.tick_params(labelsize=8)


def _plane(trace: Trace) -> tuple[np.ndarray, np.ndarray]:
    """The first guess (8,) and two unit vectors (2, 8): to the best point, and across."""
    visited = np.concatenate([step.simplex for step in trace.steps]) - trace.first
    along = trace.point - trace.first
    if not along.any():  # nothing better was found: the longest axis of what was visited
        along = np.linalg.svd(visited, full_matrices=False)[2][0]
    along = along / np.linalg.norm(along)
    across = np.linalg.svd(visited - np.outer(visited @ along, along), full_matrices=False)[2][0]
    return trace.first, np.stack([along, across])


def _limits(points: np.ndarray) -> tuple[tuple[float, float], tuple[float, float]]:
    low, high = points.min(axis=0), points.max(axis=0)
    middle, half = (low + high) / 2, (high - low) / 2 * (1 + 2 * MARGIN)
    half = np.maximum(half, (half[1] * RATIO, half[0] / RATIO))
    low, high = middle - half, middle + half
    return (low[0], high[0]), (low[1], high[1])


def _error(block: Mode6Block, point: np.ndarray) -> int:
    return block.round_and_choose(np.clip(point, 0, 255))[0]


def _curve(axes: Axes, trace: Trace) -> None:
    steps = trace.steps
    iterations = np.arange(len(steps))
    axes.fill_between(
        iterations, _of(steps, 0), _of(steps, -1), color=PURPLE, alpha=0.18, lw=0,
        label="from best to worst vertex",
    )  # fmt: skip
    axes.plot(iterations, _of(steps, 0), color=PATH, lw=2, label="best vertex")
    for operation, colour in COLOURS.items():
        at = [i for i, step in enumerate(steps) if step.operation == operation]
        axes.scatter(
            at, _of(steps, 0)[at], s=22, color=colour, zorder=4, label=f"{operation} ({len(at)})"
        )
    low, high = 0.9 * trace.error / UNIT, 1.6 * _of(steps, 0)[0]
    if low <= GOOD_ENOUGH / UNIT <= high:
        axes.axhline(GOOD_ENOUGH / UNIT, color=INK, lw=1, ls=":", label="good enough, 0.004")
    axes.set_ylim(low, high)
    axes.tick_params(labelsize=8)
    axes.set_title("error by iteration", size=10, color=INK)
    axes.set_xlabel("iteration", size=9)
    axes.set_ylabel("squared error of the block", size=9)
    axes.grid(color="#eeeeee")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8.5, loc="upper right")


def _of(steps: list[Step], vertex: int) -> np.ndarray:
    return np.array([step.errors[vertex] for step in steps]) / UNIT
