"""`smalti decode`: compressed files to pictures."""

import time
from collections.abc import Callable
from pathlib import Path

from smalti import geometry
from smalti.cli import light, machine, paths, show, streams
from smalti.errors import OptionError
from smalti.files import HDR_FORMATS, MAX_PIXELS, WRITTEN_SUFFIXES


def decode(
    inputs: tuple[Path, ...],
    /,
    *,
    out: Path | None = None,
    window: str | None = None,
    size: str | None = None,
    suffix: str = ".png",
    exposure: float = 0.0,
    device: str = "cpu",
    weights: Path | None = None,
    threads: int | None = None,
    max_pixels: int = MAX_PIXELS,
    jobs: int = 1,
    quiet: bool = False,
    json: bool = False,
    force: bool = False,
) -> int:
    """Draw compressed files, one or many at once.

    Args:
        inputs: .smt, .dds and .ktx2 files and folders of them; .exr and .hdr files. A last name
            like a picture's is the output; - is standard input or output.
        out: Folder for the pictures (default: beside each file, a.smt as a.decoded.png).
        window: Only these texels, WIDTHxHEIGHT+LEFT+TOP.
        size: Draw at WIDTHxHEIGHT, for codecs without a fixed resolution.
        suffix: Format of pictures that you did not name: .png, .webp, .avif, .tif, .bmp or .jpg;
            of light also .exr and .hdr.
        exposure: Of light (bc6h, floats, .exr, .hdr), in stops, where 8 bits are written.
        device: Where models run: cpu, cuda or mps.
        weights: The .safetensors file that the file was made with, if it is not a bundled one.
        threads: How many (default: one a core, or SMALTI_NUM_THREADS).
        max_pixels: Refuse files of more texels than this.
        jobs: Files at once, each with its share of the threads.
        quiet: Print nothing but errors.
        json: Print an object a file.
        force: Replace pictures that exist.

    Examples:
        smalti decode a.smt b.png
        smalti decode a.dds b.png --window 64x64+128+0
        smalti decode compressed --out pictures
        smalti decode sky.exr sky.png --exposure=-2
        smalti decode a.smt - >a.png
    """
    box = geometry.window(window) if window else None
    drawn = geometry.size(size) if size else None
    planned = paths.plan(
        inputs,
        out,
        force=force,
        read=paths.FILES,
        written=(*WRITTEN_SUFFIXES, *HDR_FORMATS),
        suffix=suffix,
        beside=".decoded",
    )
    machine.use_threads(threads)

    from smalti import api

    def run(source: Path, target: Path, _: Callable[[int, int], None]) -> show.Result:
        data = streams.read(source)
        started = time.perf_counter()
        x_hat = light.read_light(data, window=box, max_pixels=max_pixels)
        if x_hat is not None:
            if drawn:
                raise OptionError("what holds light has one size; resize after decoding")
            seconds = time.perf_counter() - started
            streams.save_light(x_hat, target, suffix, exposure)
        else:
            api.prepare(data, device, weights)
            started = time.perf_counter()
            x_hat = api.decode(
                data, window=box, size=drawn, device=device, weights=weights, max_pixels=max_pixels
            )
            seconds = time.perf_counter() - started
            streams.save(x_hat, target, suffix)
        height, width, *channels = x_hat.shape
        facts = {"width": width, "height": height, "channels": channels[0] if channels else 1}
        text = f"{width} x {height}, {geometry.CHANNELS[facts['channels']]}"
        return show.Result(text, facts, seconds)

    return show.run_jobs(planned, run, show.Printer(quiet, json), at_once=jobs)
