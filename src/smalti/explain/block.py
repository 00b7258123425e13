"""The block concept: 16 texels, the palette, the indices, the 128 bits, and what comes out."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from smalti.bc7.partitions import ANCHORS
from smalti.explain.anatomy import CHANNELS, Anatomy, Field
from smalti.explain.drawing import GREY, INK, headline, legible_on, swatches
from smalti.explain.error_map import errors

BITS_A_ROW = 32
FIELD_COLOURS = {
    "mode": "#4d4d4d", "partition": "#b39ddb", "rotation": "#80cbc4", "selection": "#c5e1a5",
    "R": "#ef9a9a", "G": "#a5d6a7", "B": "#90caf9", "A": "#cfcfcf", "p-bit": "#ffe082",
    "index": "#f5f0e6", "second index": "#e3d3ef",
}  # fmt: skip


def figure(texels: np.ndarray, anatomy: Anatomy, block: bytes, where: str) -> Figure:
    """Draw a block of 16 bytes from its texels to its bits and back.

    texels: uint8 (16, 4), the original ones. where: which block this is, for the title.
    """
    figure = Figure(figsize=(13.0, 7.6))
    headline(figure, f"B{where[1:]}, BC7 mode {anatomy.number}", _sentence(anatomy), columns=170)
    original, decoded = texels.reshape(4, 4, 4), anatomy.texels.reshape(4, 4, 4)
    rms = errors(original, decoded)

    left = iter((0.02, 0.435, 0.63, 0.825))
    frames = [figure.add_axes((next(left), 0.53, 0.155, 0.275)) for _ in range(4)]
    for axes, picture in ((frames[0], original), (frames[1], decoded), (frames[2], decoded)):
        swatches(axes, picture)
        _borders(axes, anatomy.subsets)
    _indices(frames[1], anatomy)
    _difference(frames[3], rms)
    titles = ("16 texels", "indices", "decoded", "difference, RMS in levels")
    for axes, title in zip(frames, titles, strict=True):
        axes.set_title(title, size=10, color=INK)
    _palettes(figure, anatomy)
    _bits(figure.add_axes((0.055, 0.05, 0.93, 0.385)), anatomy, block)
    return figure


def _sentence(anatomy: Anatomy) -> str:
    mode, count = anatomy.mode, len(anatomy.ends)
    text = "One subset of texels" if count == 1 else f"{count} subsets of texels"
    if mode.partition:
        text += f" (partition {anatomy.partition} of {1 << mode.partition})"
    text += f", ends of {mode.colour} bits a colour channel"
    text += f" and {mode.alpha} for alpha" if mode.alpha else ", opaque"
    if mode.endpoint_pbit or mode.subset_pbit:
        text += ", and a lowest bit, P, which the channels of an end share"
        text += " with the other end's" if mode.subset_pbit else ""
    text += f"; {mode.index} bits an index"
    if mode.second_index:
        apart = CHANNELS[anatomy.rotation - 1] if anatomy.rotation else "A"
        bits = mode.index if anatomy.selection else mode.second_index
        text += f" and {mode.second_index} a second one ({apart} has the one of {bits})"
    return text + ". A dot marks an anchor: the top bit of its index is 0 and not stored."


def _palettes(figure: Figure, anatomy: Anatomy) -> None:
    """One strip of entries a subset, or a grid where one channel has indices of its own."""
    count = len(anatomy.palettes)
    bottom, height, gap = 0.53, 0.275, 0.075
    each = (height - gap * (count - 1)) / count
    for subset, entries in enumerate(anatomy.palettes):
        rows = entries.transpose(1, 0, 2)
        share = min(each, 0.1 if len(rows) == 1 else each)
        top = bottom + height - subset * (each + gap) - (each - share) / 2
        axes = figure.add_axes((0.205, top - share, 0.2, share))
        swatches(axes, rows.astype(np.uint8), lines=len(rows) > 1)
        axes.set_aspect("auto")
        axes.set_xticks(range(rows.shape[1]))
        axes.tick_params(length=0, labelsize=7.5, pad=1.5)
        if len(rows) > 1:
            axes.set_yticks(range(len(rows)))
            axes.set_xlabel("index j" if anatomy.selection else "index i", size=8, labelpad=1)
            axes.set_ylabel("index i" if anatomy.selection else "index j", size=8, labelpad=1)
        name = "palette" if count == 1 else f"palette of subset {subset}"
        axes.set_title(name, size=10 if count < 3 else 9, color=INK, pad=3)


def _indices(axes: Axes, anatomy: Anatomy) -> None:
    anchors = set(ANCHORS[anatomy.mode.subsets - 1, anatomy.partition].tolist())
    second = anatomy.second_indices
    size = 11 if second is None else 9.5
    for t in range(16):
        y, x = divmod(t, 4)
        colour = legible_on(anatomy.texels[t])
        text = str(anatomy.indices[t])
        text += "" if second is None else f"|{second[t]}"
        axes.text(x, y, text, ha="center", va="center", size=size, color=colour)
        if t in anchors:
            axes.plot(x - 0.36, y - 0.36, "o", ms=4, color=colour)
    if second is not None:
        axes.set_xlabel("i|j", size=8)


def _borders(axes: Axes, subsets: np.ndarray) -> None:
    """Black lines between texels of different subsets."""
    grid = subsets.reshape(4, 4)
    for y, x in np.ndindex(4, 4):
        if x < 3 and grid[y, x] != grid[y, x + 1]:
            axes.plot((x + 0.5, x + 0.5), (y - 0.5, y + 0.5), color="white", lw=4.5)
            axes.plot((x + 0.5, x + 0.5), (y - 0.5, y + 0.5), color="black", lw=2.2)
        if y < 3 and grid[y, x] != grid[y + 1, x]:
            axes.plot((x - 0.5, x + 0.5), (y + 0.5, y + 0.5), color="white", lw=4.5)
            axes.plot((x - 0.5, x + 0.5), (y + 0.5, y + 0.5), color="black", lw=2.2)


def _difference(axes: Axes, rms: np.ndarray) -> None:
    top = max(1.0, float(rms.max()))
    axes.imshow(rms, cmap="inferno", vmin=0, vmax=top)
    for y, x in np.ndindex(4, 4):
        colour = "black" if rms[y, x] > 0.6 * top else "white"
        axes.text(x, y, f"{rms[y, x]:.1f}", ha="center", va="center", size=9.5, color=colour)
    axes.set(xticks=[], yticks=[])


def _bits(axes: Axes, anatomy: Anatomy, block: bytes) -> None:
    """128 cells in four rows, the lowest bit of the first byte first, each field in its colour."""
    value = int.from_bytes(block, "little")
    for field in anatomy.fields:
        for start, width in _runs(field):
            row, column = divmod(start, BITS_A_ROW)
            axes.add_patch(
                Rectangle((column, 2 * row), width, 1, fc=FIELD_COLOURS[field.group],
                          ec="black", lw=0.8)
            )  # fmt: skip
            axes.text(
                column + width / 2, 2 * row - 0.12, _label(field, width),
                ha="center", va="bottom", size=7.5, color=INK,
            )  # fmt: skip
        for bit in range(field.start, field.start + field.width):
            row, column = divmod(bit, BITS_A_ROW)
            axes.text(
                column + 0.5, 2 * row + 0.52, str(value >> bit & 1), ha="center", va="center",
                size=8.5, family="monospace", color="white" if field.group == "mode" else INK,
            )  # fmt: skip
    for row in range(4):
        axes.text(-0.3, 2 * row + 0.5, f"bytes\n{4 * row} – {4 * row + 3}", ha="right",
                  va="center", size=8, color=GREY)  # fmt: skip
    axes.set(xlim=(0, BITS_A_ROW), ylim=(7.4, -1.2))
    axes.set_axis_off()
    axes.text(
        0,
        -1.15,
        "128 bits: the lowest bit of the first byte first, and the lowest of each field",
        size=10,
        color=INK,
    )


def _runs(field: Field) -> list[tuple[int, int]]:
    """First bit and width of the parts of a field, of which none goes over the end of a row."""
    stop = field.start + field.width
    edge = (field.start // BITS_A_ROW + 1) * BITS_A_ROW
    if stop <= edge:
        return [(field.start, field.width)]
    return [(field.start, edge - field.start), (edge, stop - edge)]


def _label(field: Field, width: int) -> str:
    """Name and value, or less in the few cells that there are."""
    if field.group == "mode":
        return f"mode {field.width - 1}" if width > 1 else "mode"
    if width < 3 and field.group in ("partition", "rotation", "selection"):
        return {"partition": "part.", "rotation": "rot.", "selection": "sel."}[field.group]
    return f"{field.name} = {field.value}" if width > 1 else field.name
