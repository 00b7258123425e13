"""`smalti compare`: every codec on your pictures."""

from pathlib import Path
from typing import TYPE_CHECKING

from smalti.cli import machine, paths, show
from smalti.files import BUNDLED_PICTURES, PICTURE_SUFFIXES

if TYPE_CHECKING:
    from smalti.eval.results import Results


def compare(
    pictures: tuple[Path, ...] = (),
    /,
    *,
    codecs: tuple[str, ...] = (),
    all: bool = False,
    metrics: tuple[str, ...] = ("psnr", "ssim", "ms-ssim"),
    full: bool = False,
    out: Path = Path("smalti-compare"),
    device: str = "cpu",
    threads: int | None = None,
) -> int:
    """Every codec on your pictures: a table here, and an HTML page.

    Interrupt it whenever you like: the same command goes on where it stopped.

    Args:
        pictures: Pictures and folders; without any, the five bundled ones.
        codecs: Which to run, with settings if wanted: bc7:effort=best jpeg:quality=80
            (default: every codec and baseline at a few quick settings).
        all: Run every codec and baseline at all of its usual settings; takes several times as long.
        metrics: Which to measure: psnr ssim ms-ssim (default: all; PSNR alone takes least time).
        full: The page shows all pictures whole; without, it stays under 5 MB and shows crops.
        out: Folder for the page and every compressed file.
        device: Where models run: cpu, cuda or mps.
        threads: How many (default: one a core, or SMALTI_NUM_THREADS).

    Examples:
        smalti compare
        smalti compare pictures --codecs bc7 jpeg:quality=90
        smalti compare pictures --all
    """
    machine.use_threads(threads)
    chosen = [path for path, _ in paths.expand(pictures or (BUNDLED_PICTURES,), PICTURE_SUFFIXES)]

    from smalti.cli.growing import GrowingTable
    from smalti.eval import report, run

    contenders, left_out = run.default_contenders(all=all)
    with GrowingTable() as table:
        results = run.compare(
            chosen,
            codecs or contenders,
            out,
            device=device,
            measured=metrics,
            on_progress=table.progress,
            on_mean=table.add,
        )
    code = _conclude(results, named=bool(codecs))
    if left_out and not codecs:
        missing = machine.extras()[1]
        show.note(f"without {', '.join(left_out)}, {machine.not_installed(missing)}")
    with show.progress() as bar:
        page = report.write_report(results, out, device=device, full=full, on_progress=bar)
    show.note(f"report: {page.resolve()}")
    return code


def _conclude(results: "Results", *, named: bool) -> int:
    """Say who is ahead, and what could not be done; the exit code.

    1 if a picture could not be read, or a codec that was `named` could not do one, or a codec none.
    That JPEG has no alpha is no failure of a comparison of everything.
    """
    from smalti.eval.verdicts import verdicts

    for verdict in verdicts(results):
        show.note(verdict.sentence)
    for who, pictures, error in results.unfinished():
        some = ", ".join(pictures[:3]) + (f" and {len(pictures) - 3} more" * (len(pictures) > 3))
        show.error(f"{who} failed on {some}: {error}")
    failed = {row.contender for row in results.failures} - results.whole.keys()
    unread = any(row.channels == 0 for row in results.failures)
    return 1 if unread or failed or (named and results.failures) else 0
