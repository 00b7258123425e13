"""What the command prints: results on standard output, progress and errors on standard error."""

import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from smalti.cli import streams
from smalti.cli.terminal import printable
from smalti.errors import OptionError, SmaltiError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

SECONDS_BEFORE_BAR = 0.5  # what is done sooner shows no bar, and does not wait for its library
SECONDS_BETWEEN_LINES = 10


def note(text: str, target: Path | None = None) -> None:
    """A line of results; on standard error where `target`, the file, goes to standard output."""
    stream = sys.stderr if target is not None and streams.is_stream(target) else sys.stdout
    stream.write(f"{printable(text, stream)}\n")
    stream.flush()  # lines are seen as they come, through a pipe as well


def error(text: str) -> None:
    sys.stderr.write(f"smalti: {printable(text, sys.stderr)}\n")


@contextmanager
def progress() -> Iterator[Callable[[int, int, str], None]]:
    """A bar with time left; call it with (done, total, what is being done).

    Where `done` goes back, something else has begun. Where standard error is no terminal, a line
    every ten seconds.
    """
    with Bar() as bar:
        said = begun = time.monotonic()
        before = 0

        def update(done: int, total: int, text: str) -> None:
            nonlocal said, begun, before
            if done < before:
                begun = time.monotonic()
                bar.remove("")
            before = done
            bar.update("", done, total, text)
            if not sys.stderr.isatty() and time.monotonic() - said >= SECONDS_BETWEEN_LINES:
                said = time.monotonic()
                left = (said - begun) / done * (total - done) if done else None
                about = "" if left is None else f", about {left:.0f} s left"
                shown = printable(text, sys.stderr)
                sys.stderr.write(f"{done} of {total}: {shown}{about}\n")

        yield update


class Bar:
    """Bars on a terminal, one below the other, from the moment that something takes long."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._drawn: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> "Bar":
        return self

    def __exit__(self, *_: object) -> None:
        if self._drawn:
            self._drawn.stop()

    def update(self, key: str, done: int, total: int | None, text: str) -> None:
        """Bring the bar named `key` to done of total; None: it is not known how much there is."""
        if self._drawn is None:
            late = time.monotonic() - self._begun >= SECONDS_BEFORE_BAR
            if not late or not sys.stderr.isatty():
                return
            self._drawn = progress_bars()
            self._drawn.start()
        if key not in self._tasks:
            self._tasks[key] = self._drawn.add_task(text, total=total)
        self._drawn.update(self._tasks[key], completed=done, total=total, description=text)

    def remove(self, key: str) -> None:
        if self._drawn and key in self._tasks:
            self._drawn.remove_task(self._tasks.pop(key))


class Printer(NamedTuple):
    """How a command tells what it wrote: a line for people, JSON for programs, or nothing."""

    quiet: bool = False
    json: bool = False

    def tell(self, line: str, facts: Mapping[str, object], target: Path | None = None) -> None:
        """One result; on standard error where `target` goes to standard output.

        Args:
            facts: the same as the line says, by name; infinity and NaN, which JSON has not, are
                null.
        """
        if self.quiet:
            return
        if self.json:
            import json

            known = {key: None if _is_endless(value) else value for key, value in facts.items()}
            line = json.dumps(known, ensure_ascii=False)
        note(line, target)


def _is_endless(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


class Result(NamedTuple):
    """What was made of one file."""

    text: str  # "123 bytes, 8.003 bpp, 45.91 dB"
    facts: Mapping[str, object]  # the same by name
    seconds: float  # of the work itself


Run = Callable[[Path, Path, Callable[[int, int], None]], Result]


def run_jobs(jobs: list[tuple[Path, Path]], run: Run, printer: Printer, *, at_once: int = 1) -> int:
    """Run every job, tell of each in their order, go on after a failure; 1 if any failed.

    Args:
        at_once: files in the works together, each with its share of the threads.

    Raises:
        OptionError: fewer than one at once.
    """
    if at_once < 1:
        raise OptionError(f"--jobs {at_once}; it must be 1 or more")
    at_once = min(at_once, len(jobs))
    with Bar() as bar:
        if at_once == 1:
            outcomes = (_run_one(run, job, _watch(bar, n, jobs)) for n, job in enumerate(jobs))
            return _tell_all(jobs, outcomes, printer, lambda _: bar.remove("step"))
        return _run_together(jobs, run, printer, bar, at_once)


def _run_together(
    jobs: list[tuple[Path, Path]], run: Run, printer: Printer, bar: "Bar", at_once: int
) -> int:
    from concurrent.futures import ThreadPoolExecutor

    from smalti import native

    native.set_threads(max(1, native.threads() // at_once))
    stopped = False

    def on_step(done: int, total: int) -> None:
        if stopped:
            raise KeyboardInterrupt

    with ThreadPoolExecutor(at_once) as pool:
        try:
            futures = [pool.submit(_run_one, run, job, on_step) for job in jobs]
            outcomes = (future.result() for future in futures)
            return _tell_all(
                jobs, outcomes, printer, lambda n: bar.update("files", n, len(jobs), "files")
            )
        except BaseException:
            stopped = True
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _watch(bar: "Bar", number: int, jobs: list[tuple[Path, Path]]) -> Callable[[int, int], None]:
    name = Path(streams.input_name(jobs[number][0])).name

    def on_step(done: int, total: int) -> None:
        if len(jobs) > 1:
            bar.update("files", number, len(jobs), "files")
        bar.update("step", done, total, name)

    return on_step


def _run_one(
    run: Run, job: tuple[Path, Path], on_step: Callable[[int, int], None]
) -> "Result | str":
    """What came of a job, or the sentence on why nothing did."""
    source, target = job
    try:
        if not streams.is_stream(target):
            target.parent.mkdir(parents=True, exist_ok=True)
        return run(source, target, on_step)
    except (SmaltiError, OSError, MemoryError, RuntimeError) as cause:
        if isinstance(cause, BrokenPipeError):
            raise
        if isinstance(cause, RuntimeError) and "memory" not in str(cause):
            raise  # torch says "out of memory" with it; anything else is our bug
        name = streams.input_name(source)
        text = str(cause).partition("\n")[0] or "not enough memory"
        return text if Path(name).name in text else f"{name}: {text}"


def _tell_all(
    jobs: list[tuple[Path, Path]],
    outcomes: "Iterable[Result | str]",
    printer: Printer,
    after: Callable[[int], None],
) -> int:
    failures = 0
    for number, ((source, target), outcome) in enumerate(zip(jobs, outcomes, strict=True), 1):
        if isinstance(outcome, str):
            failures += 1
            error(outcome)
        else:
            names = {"input": streams.input_name(source), "output": streams.output_name(target)}
            line = f"{names['input']} -> {names['output']}: {outcome.text}, {outcome.seconds:.2f} s"
            facts = {**names, **outcome.facts, "seconds": round(outcome.seconds, 4)}
            printer.tell(line, facts, target)
        after(number)
    return 1 if failures else 0


def progress_bars() -> "Progress":
    """Bars on standard error, none begun."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True, highlight=False, soft_wrap=True),
        transient=True,
        redirect_stdout=sys.stdout.isatty(),  # a line that is printed goes above the bars
    )
