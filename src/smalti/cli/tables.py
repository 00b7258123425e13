"""Tables on standard output, drawn by rich."""

from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from smalti.about import CodecInfo
    from smalti.eval.baselines import Baseline
    from smalti.eval.profile import Cost

COSTS = ("parameters", "GFLOP", "ms", "GFLOP/s", "peak MB")


def codecs(codecs: list["CodecInfo"], baselines: dict[str, type["Baseline"]]) -> None:
    table = table_of("codec", "what", "window", "any size", "writes", "needs", gives_way="what")
    for codec in codecs:
        table.add_row(
            codec.name,
            codec.summary,
            _tick(codec.random_access),
            _tick(codec.any_size),
            " ".join(codec.writes),
            codec.extra,
        )
    for name, baseline in baselines.items():
        table.add_row(name, baseline.summary, "", "", "baseline", baseline.extra)
    console().print(table)


def costs(rows: list["Cost"]) -> None:
    table = table_of("model", gives_way="model", numbers=COSTS)
    for row in rows:
        table.add_row(
            f"{row.model}, {row.half}",
            f"{row.parameters:,}",
            f"{row.gflop:.2f}",
            f"{1e3 * row.seconds:.1f}",
            f"{row.gflop / max(row.seconds, 1e-9):.0f}",
            "-" if row.peak_mb is None else f"{row.peak_mb:.1f}",
        )
    console().print(table)


def console() -> Console:
    return Console(highlight=False, soft_wrap=True)


def table_of(*columns: str, gives_way: str, numbers: tuple[str, ...] = ()) -> Table:
    """A table in which one column alone gives way in a narrow terminal: no number is ever cut."""
    table = Table(box=box.SIMPLE, pad_edge=False)
    for name in (*columns, *numbers):
        justify = "right" if name in numbers else "left"
        table.add_column(name, justify=justify, overflow="fold", no_wrap=name != gives_way)
    return table


def _tick(value: bool) -> str:
    return "yes" if value else ""
