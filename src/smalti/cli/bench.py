"""`smalti bench`: how fast codecs are on one picture."""

import dataclasses
from pathlib import Path

from smalti import geometry
from smalti.cli import measured, show, streams, tables
from smalti.errors import OptionError
from smalti.files import MAX_PIXELS

HEADS = ("codec", "threads", "MPix/s enc", "dec", "ms enc", "dec", "bpp", "quality")


def bench(
    picture: Path,
    /,
    *,
    codec: tuple[str, ...] = ("bc7",),
    runs: int = 10,
    seconds: float = 20.0,
    threads: tuple[int, ...] = (),
    device: str = "cpu",
    max_pixels: int = MAX_PIXELS,
    json: bool = False,
) -> int:
    """How fast codecs are: megapixels a second in and out, warm.

    Memory to memory, without files; medians of the runs, the first of which is not counted.

    Args:
        picture: A picture; - is standard input.
        codec: Codecs and baselines, with settings if wanted.
        runs: Of each row, at most.
        seconds: Of each row, after which no further run begins.
        threads: Numbers of them to try (default: 1, 2, 4 and so on up to every core).
        device: Where models run: cpu, cuda or mps.
        max_pixels: Refuse a picture of more texels than this.
        json: Print an object a row.

    Examples:
        smalti bench a.png --codec bc7:effort=fast bc7 jpeg -n 100
    """
    if runs < 1:
        raise OptionError(f"--runs {runs}; it must be 1 or more")
    from smalti import native
    from smalti.eval import bench
    from smalti.image import to_uint8

    counts = threads or _doubling(native.threads())
    image = to_uint8(streams.load(picture, max_pixels=max_pixels))
    printer, rows = show.Printer(json=json), []
    with show.progress() as bar:
        for row in bench.bench(
            image,
            codec,
            threads=counts,
            runs=runs,
            seconds=seconds,
            device=device,
            on_step=bar,
        ):
            rows.append(row)
            if json:
                speeds = {"encode_mpix_s": row.encode_speed, "decode_mpix_s": row.decode_speed}
                printer.tell("", {**dataclasses.asdict(row), **speeds})
    if not json:
        height, width, channels = image.shape
        name = streams.input_name(picture)
        show.note(
            f"{name}, {width} x {height} {geometry.CHANNELS[channels]}, {native.instruction_set()}, "
            f"medians of up to {runs} runs"
        )
        cells = [
            (
                row.contender,
                str(row.threads),
                f"{row.encode_speed:.3g}",
                f"{row.decode_speed:.3g}",
                f"{1e3 * row.encode_seconds:.3g}",
                f"{1e3 * row.decode_seconds:.3g}",
                f"{row.bpp:.3f}",
                measured.decibels(row.psnr),
            )
            for row in rows
        ]
        show.note(tables.plain(HEADS, cells, numbers=HEADS[1:]).rstrip())
    return 0


def _doubling(most: int) -> tuple[int, ...]:
    """1, 2, 4 ... and `most`."""
    counts = [2**power for power in range(most.bit_length()) if 2**power < most]
    return (*counts, most)
