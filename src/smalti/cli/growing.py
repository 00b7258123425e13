"""The table of a comparison, growing as its rows arrive.

On a terminal it is drawn anew with every row, the bar below it; elsewhere every row is a line, as
wide as its columns.
"""

import sys
import time
from typing import TYPE_CHECKING

from smalti.cli import show

if TYPE_CHECKING:
    from rich.table import Table

    from smalti.eval.results import Mean

NAME_WIDTH = 40  # of lines; longer names move the numbers
# heading -> (width, format), of lines and of the table
COLUMNS = {
    "bpp": (7, ".3f"),
    "PSNR dB": (8, ".2f"),
    "SSIM": (7, ".4f"),
    "enc s": (7, ".2f"),
    "dec s": (7, ".2f"),
    "pictures": (9, "d"),
}


class GrowingTable:
    """A row for each codec that has had all pictures, and what is being done meanwhile."""

    def __init__(self) -> None:
        self._live = _LiveTable() if sys.stdout.isatty() and sys.stderr.isatty() else None
        self._said = time.monotonic()
        self._headed = False

    def __enter__(self) -> "GrowingTable":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def add(self, mean: "Mean") -> None:
        """A row."""
        values = (
            mean.bpp, mean.psnr, mean.ssim, mean.encode_seconds, mean.decode_seconds, mean.pictures
        )  # fmt: skip
        cells = [
            format(value, how) for value, (_, how) in zip(values, COLUMNS.values(), strict=True)
        ]
        if self._live:
            self._live.add(mean.contender, cells)
            return
        if not self._headed:
            self._headed = True
            self._line("codec", list(COLUMNS))
        self._line(mean.contender, cells)

    def progress(self, done: int, total: int, text: str) -> None:
        """What is being done; without a terminal, said every ten seconds."""
        if self._live:
            self._live.progress(done, total, text)
        elif time.monotonic() - self._said >= show.SECONDS_BETWEEN_LINES:
            self._said = time.monotonic()
            sys.stderr.write(f"{done} of {total}: {text}\n")

    def _line(self, name: str, cells: list[str]) -> None:
        padded = (f"{c:>{width}}" for c, (width, _) in zip(cells, COLUMNS.values(), strict=True))
        show.note(f"{name:<{NAME_WIDTH}}{''.join(padded)}")


class _LiveTable:
    """The table and its bar on a terminal, by rich."""

    def __init__(self) -> None:
        from rich.console import Console, Group
        from rich.live import Live

        self._table = _table("codec", tuple(COLUMNS))
        self._bar = show.progress_bars()
        self._task = self._bar.add_task("", total=None)
        self._live = Live(
            Group(self._table, self._bar),
            console=Console(highlight=False, soft_wrap=True),
            refresh_per_second=4,
            vertical_overflow="visible",
        )

    def start(self) -> None:
        self._live.start()

    def add(self, name: str, cells: list[str]) -> None:
        self._table.add_row(_breakable(name), *cells)

    def progress(self, done: int, total: int, text: str) -> None:
        self._bar.update(self._task, completed=done, total=total, description=text)

    def stop(self) -> None:
        self._live.update(self._table, refresh=True)
        self._live.stop()


def _table(name: str, numbers: tuple[str, ...]) -> "Table":
    """One column gives way in a narrow terminal: no number is ever cut."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE, pad_edge=False)
    table.add_column(name, overflow="fold")
    for number in numbers:
        table.add_column(number, justify="right", no_wrap=True)
    return table


def _breakable(name: str) -> str:
    """A codec and its settings with places to break a line between them, and nowhere else."""
    return name.replace(":", ": ", 1).replace(",", ", ")
