"""`smalti decode`: compressed files to pictures."""

from collections.abc import Callable
from pathlib import Path

from smalti.cli import geometry, machine, paths, show, streams
from smalti.files import MAX_PIXELS, WRITTEN_SUFFIXES


def decode(
    inputs: tuple[Path, ...],
    /,
    *,
    out: Path | None = None,
    window: str | None = None,
    size: str | None = None,
    suffix: str = ".png",
    device: str = "cpu",
    weights: Path | None = None,
    threads: int | None = None,
    max_pixels: int = MAX_PIXELS,
    force: bool = False,
) -> int:
    """Draw compressed files, one or many at once.

    Args:
        inputs: .smt, .dds and .ktx2 files and folders of them. A last name like a picture's is the
            output; - is standard input or output.
        out: Folder for the pictures (default: beside each file, a.smt as a.decoded.png).
        window: Only these texels, WIDTHxHEIGHT+LEFT+TOP.
        size: Draw at WIDTHxHEIGHT, for codecs without a fixed resolution.
        suffix: Format of pictures that you did not name: .png, .webp, .avif, .tif, .bmp or .jpg.
        device: Where models run: cpu, cuda or mps.
        weights: The .safetensors file that the file was made with, if it is not a bundled one.
        threads: How many (default: one a core, or SMALTI_NUM_THREADS).
        max_pixels: Refuse files of more texels than this.
        force: Replace pictures that exist.

    Examples:
        smalti decode a.smt b.png
        smalti decode a.dds b.png --window 64x64+128+0
        smalti decode compressed --out pictures
        smalti decode a.smt - >a.png
    """
    box = geometry.window(window) if window else None
    drawn = geometry.size(size) if size else None
    jobs = paths.plan(
        inputs,
        out,
        force=force,
        read=paths.FILES,
        written=WRITTEN_SUFFIXES,
        suffix=suffix,
        beside=".decoded",
    )
    machine.use_threads(threads)

    def run(source: Path, target: Path, _: Callable[[int, int], None]) -> str:
        from smalti import api

        data = streams.read(source)
        x_hat = api.decode(
            data, window=box, size=drawn, device=device, weights=weights, max_pixels=max_pixels
        )
        streams.save(x_hat, target, suffix)
        height, width, *channels = x_hat.shape
        return f"{width} x {height}, {show.CHANNELS[channels[0] if channels else 1]}"

    return show.run_jobs(jobs, run)
