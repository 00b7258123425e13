"""`smalti encode`: pictures to compressed files."""

import time
from collections.abc import Callable
from pathlib import Path

from smalti.cli import machine, measured, paths, show, streams
from smalti.files import MAX_PIXELS, PICTURE_SUFFIXES, SMT


def encode(
    inputs: tuple[Path, ...],
    /,
    *,
    codec: str = "bc7",
    quality: float | None = None,
    effort: str | None = None,
    out: Path | None = None,
    suffix: str = SMT,
    device: str | None = None,
    seed: int | None = None,
    rdo: float | None = None,
    threads: int | None = None,
    max_pixels: int = MAX_PIXELS,
    jobs: int = 1,
    metrics: bool = False,
    quiet: bool = False,
    json: bool = False,
    force: bool = False,
) -> int:
    """Compress pictures, one or many at once.

    Args:
        inputs: Pictures and folders. A last name that ends in .smt, .dds or .ktx2 is the output;
            - is standard input or output.
        codec: One of `smalti list`, with settings if wanted, as NAME:SETTING=VALUE; `smalti help
            NAME` shows them.
        quality: 0 (few bytes) to 100 (like the picture), as the codec understands it; its own
            settings win.
        effort: How long to search: ultrafast, fast, medium, high or best (default: medium).
        out: Folder for the outputs (default: beside each picture).
        suffix: Format of files that you did not name: .smt, .dds or .ktx2.
        device: Where models run: cpu, cuda or mps (default: cpu); for bc7 also gpu, any graphics
            card.
        seed: Of whatever the encoder draws at random.
        rdo: Of bc7: choose blocks that zip and zstd make smaller; 4 is about 15 % for 1 dB.
        threads: How many (default: one a core, or SMALTI_NUM_THREADS).
        max_pixels: Refuse pictures of more texels than this.
        jobs: Files at once, each with its share of the threads.
        metrics: Measure SSIM and MS-SSIM too, not PSNR alone.
        quiet: Print nothing but errors, and measure nothing.
        json: Print an object a file.
        force: Replace files that exist.

    Examples:
        smalti encode a.png a.smt --effort high
        smalti encode a.png a.dds --rdo 4
        smalti encode a.png a.smt --codec fitted -q 40
        smalti encode pictures --codec rgba-ae:step=0.25 --out compressed
        smalti encode - - <a.png >a.smt
    """
    planned = paths.plan(
        inputs, out, force=force, read=PICTURE_SUFFIXES, written=paths.FILES, suffix=suffix
    )
    machine.use_threads(threads)
    from smalti import api

    chosen, options = api.resolve(codec, quality)
    options |= {} if rdo is None else {"rdo": rdo}
    api.prepare(chosen, device or "cpu")

    def run(source: Path, target: Path, on_step: Callable[[int, int], None]) -> show.Result:
        x = streams.load(source, max_pixels=max_pixels)
        started = time.perf_counter()
        data = api.encode(
            x,
            chosen,
            effort=effort,
            device=device,
            seed=seed,
            on_step=on_step,
            options=options,
            suffix=suffix if streams.is_pipe(target) else target.suffix.lower(),
        )
        seconds = time.perf_counter() - started
        streams.write(target, data)
        size, facts = measured.size(len(data), x.shape)
        near, more = measured.quality(
            x, lambda: api.decode(data, max_pixels=max_pixels), metrics=metrics, quiet=quiet
        )
        facts = {"codec": codec, **facts, **more}
        return show.Result(f"{size}{near}", facts, seconds)

    return show.run_jobs(planned, run, show.Printer(quiet, json), at_once=jobs)
