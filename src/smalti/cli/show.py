"""What the command prints: results on standard output, progress and errors on standard error."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from smalti.errors import SmaltiError

if TYPE_CHECKING:
    from smalti.api import CodecInfo, FileInfo
    from smalti.codec import Codec
    from smalti.eval.profile import Cost
    from smalti.eval.run import Results

SECONDS_BETWEEN_LINES = 10
NUMBERS = ("bpp", "PSNR dB", "SSIM", "enc s", "dec s", "pictures")
COSTS = ("parameters", "GFLOP", "ms", "GFLOP/s", "peak MB")
CHANNELS = {1: "grey", 2: "grey + alpha", 3: "RGB", 4: "RGBA"}

_out = Console(highlight=False, soft_wrap=True)
_err = Console(stderr=True, highlight=False, soft_wrap=True)


def note(text: str) -> None:
    _out.print(text, markup=False)


def error(text: str) -> None:
    sys.stderr.write(f"smalti: {text}\n")


@contextmanager
def progress() -> Iterator[Callable[[int, int, str], None]]:
    """A bar with time left; call it with (done, total, what is being done).

    Where standard error is no terminal, a line every ten seconds.
    """
    with _bar() as bar:
        task = bar.add_task("", total=None)
        said = time.monotonic()

        def update(done: int, total: int, text: str) -> None:
            nonlocal said
            bar.update(task, completed=done, total=total, description=text)
            if not _err.is_terminal and time.monotonic() - said >= SECONDS_BETWEEN_LINES:
                said = time.monotonic()
                sys.stderr.write(f"{done} of {total}: {text}\n")

        yield update


def run_jobs(
    jobs: list[tuple[Path, Path]],
    run: Callable[[Path, Path, Callable[[int, int], None]], str],
) -> int:
    """Run every job, print one line for each, go on after a failure; 1 if any failed."""
    failures = 0
    with _bar() as bar:
        whole = bar.add_task("files", total=len(jobs), visible=len(jobs) > 1)
        for source, target in jobs:
            step = bar.add_task(source.name, total=None)

            def on_step(done: int, total: int, step=step) -> None:
                bar.update(step, completed=done, total=total)

            started = time.perf_counter()
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                line = run(source, target, on_step)
                seconds = time.perf_counter() - started
                note(f"{source} -> {target}: {line}, {seconds:.2f} s")
            except (SmaltiError, OSError, MemoryError, RuntimeError) as cause:
                if isinstance(cause, RuntimeError) and "memory" not in str(cause):
                    raise  # torch says "out of memory" with it; anything else is our bug
                failures += 1
                text = str(cause).partition("\n")[0] or "not enough memory"
                error(text if source.name in text else f"{source}: {text}")
            bar.remove_task(step)
            bar.advance(whole)
    return 1 if failures else 0


def file_info(path: Path, held: "FileInfo") -> None:
    channels, height, width = held.size
    texels = height * width
    note(
        f"{path}: {held.codec}, {width} x {height} {CHANNELS[channels]}, "
        f"{held.total:,} bytes, {held.bpp:.3f} bpp"
    )
    note(f"  config   {held.config}")
    if held.weights:
        note(f"  weights  SHA-256 {held.weights}...")
    parts = [(f"section {i}", length) for i, length in enumerate(held.sections)]
    parts.append(("envelope", held.total - sum(held.sections)))
    for name, length in parts:
        note(f"  {name:<12} {length:>12,} bytes  {8 * length / texels:8.3f} bpp")


def codec_table(
    codecs: list["CodecInfo"], baselines: dict[str, type["Codec"]], weights: dict[str, Path]
) -> None:
    table = _table("codec", "what", "window", "any size", "writes", gives_way="what")
    for codec in codecs:
        table.add_row(
            codec.name,
            codec.summary,
            _tick(codec.random_access),
            _tick(codec.any_size),
            " ".join(codec.writes),
        )
    for name, baseline in baselines.items():
        table.add_row(name, baseline.summary, "", "", "baseline")
    _out.print(table)
    for name, path in weights.items():
        note(f"weights {name}: {path.stat().st_size / 1e6:.1f} MB")


def comparison(results: "Results") -> int:
    """The table and the verdicts; 1 if a picture could not be read."""
    table = _table("codec", *NUMBERS, gives_way="codec")
    for mean in results.means():
        table.add_row(
            mean.contender,
            f"{mean.bpp:.3f}",
            f"{mean.psnr:.2f}",
            f"{mean.ssim:.4f}",
            f"{mean.encode_seconds:.2f}",
            f"{mean.decode_seconds:.2f}",
            str(mean.pictures),
        )
    _out.print(table)
    for sentence in results.verdicts():
        note(sentence)
    unread = {row.error for row in results.failures if row.channels == 0}
    for sentence in sorted(unread):
        error(sentence)
    return 1 if unread else 0


def costs(rows: list["Cost"]) -> None:
    table = _table("model", *COSTS, gives_way="model")
    for row in rows:
        table.add_row(
            f"{row.model}, {row.half}",
            f"{row.parameters:,}",
            f"{row.gflop:.2f}",
            f"{1e3 * row.seconds:.1f}",
            f"{row.gflop / max(row.seconds, 1e-9):.0f}",
            "-" if row.peak_mb is None else f"{row.peak_mb:.1f}",
        )
    _out.print(table)


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=_err,
        transient=True,
        disable=not _err.is_terminal,
    )


def _table(*columns: str, gives_way: str) -> Table:
    """A table in which one column alone gives way in a narrow terminal: no number is ever cut."""
    table = Table(box=box.SIMPLE, pad_edge=False)
    for name in columns:
        justify = "right" if name in NUMBERS + COSTS else "left"
        table.add_column(name, justify=justify, overflow="fold", no_wrap=name != gives_way)
    return table


def _tick(value: bool) -> str:
    return "yes" if value else ""
