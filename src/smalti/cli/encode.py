"""`smalti encode`: pictures to compressed files."""

from collections.abc import Callable
from pathlib import Path

from smalti.cli import machine, paths, show, streams
from smalti.files import MAX_PIXELS, PICTURE_SUFFIXES, SMT


def encode(
    inputs: tuple[Path, ...],
    /,
    *,
    codec: str = "bc7",
    effort: str | None = None,
    out: Path | None = None,
    suffix: str = SMT,
    device: str | None = None,
    seed: int | None = None,
    rdo: float | None = None,
    threads: int | None = None,
    max_pixels: int = MAX_PIXELS,
    force: bool = False,
) -> int:
    """Compress pictures, one or many at once.

    Args:
        inputs: Pictures and folders. A last name that ends in .smt, .dds or .ktx2 is the output;
            - is standard input or output.
        codec: One of `smalti list`, with settings if wanted, as NAME:SETTING=VALUE; `smalti help
            NAME` shows them.
        effort: How long to search: ultrafast, fast, medium, high or best (default: medium).
        out: Folder for the outputs (default: beside each picture).
        suffix: Format of files that you did not name: .smt, .dds or .ktx2.
        device: Where models run: cpu, cuda or mps (default: cpu); for bc7 also gpu, any graphics
            card.
        seed: Of whatever the encoder draws at random.
        rdo: Of bc7: choose blocks that zip and zstd make smaller; 4 is about 15 % for 1 dB.
        threads: How many (default: one a core, or SMALTI_NUM_THREADS).
        max_pixels: Refuse pictures of more texels than this.
        force: Replace files that exist.

    Examples:
        smalti encode a.png a.smt --effort high
        smalti encode a.png a.dds --rdo 4
        smalti encode pictures --codec rgba-ae:step=0.25 --out compressed
        smalti encode - - <a.png >a.smt
    """
    jobs = paths.plan(
        inputs, out, force=force, read=PICTURE_SUFFIXES, written=paths.FILES, suffix=suffix
    )
    machine.use_threads(threads)

    def run(source: Path, target: Path, on_step: Callable[[int, int], None]) -> str:
        from smalti import api

        x = streams.load(source, max_pixels=max_pixels)
        data = api.encode(
            x,
            codec,
            effort=effort,
            device=device,
            seed=seed,
            on_step=on_step,
            options=None if rdo is None else {"rdo": rdo},
            suffix=suffix if streams.is_pipe(target) else target.suffix.lower(),
        )
        streams.write(target, data)
        bpp = 8 * len(data) / (x.shape[0] * x.shape[1])
        return f"{len(data):,} bytes, {bpp:.3f} bpp"

    return show.run_jobs(jobs, run)
