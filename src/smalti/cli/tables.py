"""Tables on standard output, as wide as the terminal and no wider."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from smalti.cli.arguments import columns

if TYPE_CHECKING:
    from smalti.eval.profile import Cost

COSTS = ("parameters", "GFLOP", "ms", "GFLOP/s", "peak MB")


def plain(
    heads: tuple[str, ...], rows: Sequence[tuple[str, ...]], *, numbers: tuple[str, ...] = ()
) -> str:
    """Lines of a table; the last column alone is broken where the terminal ends.

    Args:
        numbers: those of the heads whose columns stand to the right.
    """
    cells = [heads, *rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(heads))]
    lines = []
    for row in cells:
        padded = [
            f"{cell:>{width}}" if head in numbers else f"{cell:<{width}}"
            for cell, width, head in zip(row, widths, heads, strict=True)
        ]
        start = "  ".join(padded[:-1]) + "  "
        last = padded[-1] if heads[-1] in numbers else row[-1]
        lines += textwrap.wrap(
            start + last,
            columns(),
            subsequent_indent=" " * len(start),
            break_on_hyphens=False,
            break_long_words=False,
        )
    return "\n".join(line.rstrip() for line in lines) + "\n"


def costs(rows: list["Cost"]) -> str:
    """What `smalti profile` measured."""
    cells = [
        (
            f"{row.model}, {row.half}",
            f"{row.parameters:,}",
            f"{row.gflop:.2f}",
            f"{1e3 * row.seconds:.1f}",
            f"{row.gflop / max(row.seconds, 1e-9):.0f}",
            "-" if row.peak_mb is None else f"{row.peak_mb:.1f}",
        )
        for row in rows
    ]
    return plain(("model", *COSTS), cells, numbers=COSTS)
