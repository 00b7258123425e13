"""`smalti fit`: one picture's fit, with its numbers on the way, to be stopped and gone on with."""

import dataclasses
import shlex
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smalti.cli import live as watching
from smalti.cli import measured, paths, show, streams
from smalti.errors import OptionError
from smalti.files import MAX_PIXELS, PICTURE_SUFFIXES, SMT, check_new

if TYPE_CHECKING:
    import numpy as np

    from smalti.cli.fit_state import StateFile
    from smalti.codec import Codec, EncodeOptions
    from smalti.fits.picture.session import Session
    from smalti.fits.picture.watch import Frame


SECONDS_BETWEEN_FRAMES = 0.5


def fit(
    inputs: tuple[Path, ...],
    /,
    *,
    codec: str = "fitted",
    quality: float | None = None,
    effort: str | None = None,
    lmbda: float | None = None,
    target_bpp: float | None = None,
    target_psnr: float | None = None,
    steps: int | None = None,
    texture: bool = False,
    seed: int | None = None,
    threads: int | None = None,
    device: str | None = None,
    live: bool = False,
    max_pixels: int = MAX_PIXELS,
    metrics: bool = False,
    quiet: bool = False,
    json: bool = False,
    force: bool = False,
) -> int:
    """Fit a small network to one picture, step by step.

    Ctrl-C writes the best so far and keeps a.smt.fit, from which the same command goes on; a second
    Ctrl-C stops at once.

    Args:
        inputs: The picture, and the .smt file if it shall not stand beside it; - is standard
            input or output, from which no fit can go on.
        codec: One that is fitted, with settings if wanted, as in fitted:hidden=32.
        quality: 0 (few bytes) to 100 (like the picture), as the codec understands it; its own
            settings win.
        effort: How many steps: ultrafast, fast, medium, high or best (default: medium).
        lmbda: Mean squared error (of 1) that a bit a texel may buy; larger makes smaller files.
        target_bpp: Bits a texel that the file shall have, instead of --lmbda.
        target_psnr: PSNR in dB that the picture shall have, instead of --lmbda.
        steps: How many, instead of --effort.
        texture: Any texel can be decoded alone, from few values.
        seed: Of the first weights and the noise.
        threads: How many (default: one a core, or SMALTI_NUM_THREADS).
        device: cpu or cuda (needs Triton).
        live: Watch it learn, in a window or, without a display, in the terminal.
        max_pixels: Refuse pictures of more texels than this.
        metrics: Measure SSIM and MS-SSIM too, not PSNR alone.
        quiet: Print nothing but errors, and measure nothing.
        json: Print an object.
        force: Replace a file that exists.

    Examples:
        smalti fit a.png a.smt --steps 700
        smalti fit a.png a.smt --target-bpp 0.5
        smalti fit a.png a.smt --live
    """
    jobs = paths.plan(inputs, None, force=True, read=PICTURE_SUFFIXES, written=(SMT,), suffix=SMT)
    if len(jobs) != 1:
        raise OptionError(f"{len(jobs)} pictures; a fit is of one")
    [(source, target)] = jobs
    state_path = None if streams.is_pipe(target) else target.with_name(f"{target.name}.fit")
    if state_path and not state_path.exists():  # a fit that goes on replaces its own file
        check_new(target, force=force)

    from smalti import api
    from smalti.cli.fit_state import StateFile, about
    from smalti.codec import Size

    for name, value in (("--target-bpp", target_bpp), ("--target-psnr", target_psnr)):
        if value is not None and not value > 0:
            raise OptionError(f"{name} {value:g}; it must be above 0")
    given = {
        "effort": effort,
        "lmbda": lmbda,
        "target_bpp": target_bpp,
        "target_psnr": target_psnr,
        "steps": steps,
        "seed": seed,
        "threads": threads,
        "device": device,
    }
    given = {key: value for key, value in given.items() if value is not None}
    chosen, options = _chosen(codec, quality, given, texture)
    image = streams.load(source, max_pixels=max_pixels)
    api.check_texels(chosen, Size(image.shape[2], *image.shape[:2]))
    session = chosen.session(image, options)
    state = StateFile(state_path, about(image, chosen, options, session.fit.steps))
    if state_path:
        target.parent.mkdir(parents=True, exist_ok=True)
    tell = partial(_tell, source, target, image, show.Printer(quiet, json), metrics)
    return _run(session, state, source, target, image, chosen, tell, live=live)


def _chosen(
    text: str, quality: float | None, given: dict, texture: bool
) -> tuple[Any, "EncodeOptions"]:
    """The codec, which has a `session`, and its options."""
    from smalti import api

    codec: Any
    codec, settings = api.resolve(text, quality)
    if not hasattr(codec, "session"):
        raise OptionError(f"{codec.name} is not fitted step by step; smalti encode runs it")
    if texture:
        codec = dataclasses.replace(codec, texture=True)
    return codec, api.options_of(codec, settings | given)


def _run(
    session: "Session",
    state: "StateFile",
    source: Path,
    target: Path,
    image: "np.ndarray",
    codec: "Codec",
    tell: Callable[[bytes, float], None],
    *,
    live: bool,
) -> int:
    from smalti.codec import Size
    from smalti.interrupts import StopSignals
    from smalti.smt import write_file

    before = 0.0
    if state.exists():
        before = state.load(session)
        show.note(f"resumed at step {session.fit.done:,} of {session.fit.steps:,}", target)
    started = time.monotonic()
    view = watching.view_of(f"smalti fit {streams.input_name(source)}", live=live)
    try:
        with StopSignals() as stop:
            end = _attend(session, state, view, target, before, lambda: stop.arrived)
            size = Size(image.shape[2], *image.shape[:2])
            data = write_file(codec, session.sections(), size)
            streams.write(target, data)
            if end == "done":
                state.remove()
    except KeyboardInterrupt:
        view.close()
        kept = f"; {state.path} is kept, {_again()}" if state.exists() else ""
        show.error(f"interrupted, no half-written file is left{kept}")
        return 130
    except BaseException:
        view.close()
        raise
    view.close()
    tell(data, time.monotonic() - started)
    if end == "done":
        return 0
    if state.exists():
        show.note(f"the fit can go on: {state.path} is kept, {_again()}")
    return 130 if end == "stopped" else 0


def _attend(
    session: "Session",
    state: "StateFile",
    view: watching.View,
    target: Path,
    before: float,
    stopped: Callable[[], bool],
) -> str:
    """Run the fit to its end, or to the best that a few steps more can make of it."""
    from smalti.fits.picture.session import HURRY
    from smalti.fits.picture.watch import watch

    seconds = before

    def on_frame(frame: "Frame") -> None:
        nonlocal seconds
        seconds = frame.seconds
        state.save_if_due(session, seconds)

    frames = watch(session, SECONDS_BETWEEN_FRAMES, before=before)
    end = watching.attend(
        frames, view, on_frame, lambda frame: _snapshot(frame, target), stopped
    )  # fmt: skip
    if session.fit.done >= session.fit.steps:
        return "done"
    view.say("finishing with what has been reached; Ctrl-C stops at once")
    state.save(session, seconds)
    session.hurry()
    for _ in islice(session, HURRY):
        pass
    return end


def _tell(
    source: Path,
    target: Path,
    image: "np.ndarray",
    printer: show.Printer,
    metrics: bool,
    data: bytes,
    seconds: float,
) -> None:
    """What was written, and how near it is to the picture."""
    from smalti import api

    texels = image.shape[0] * image.shape[1]
    size, facts = measured.size(len(data), image.shape)
    near, more = measured.quality(
        image, lambda: api.decode(data, max_pixels=texels), metrics=metrics, quiet=printer.quiet
    )
    names = {"input": streams.input_name(source), "output": streams.output_name(target)}
    printer.tell(
        f"{names['input']} -> {names['output']}: {size}{near}, "
        f"{3 * texels / len(data):.1f} times smaller than RGB, {seconds:.2f} s",
        {**names, **facts, **more, "seconds": round(seconds, 3)},
        target,
    )


def _snapshot(frame: "Frame", target: Path) -> list[Path]:
    """The panels of a frame as PNGs beside the output."""
    from smalti.fits.picture.watch import panels
    from smalti.image import save

    written = []
    for caption, picture in list(panels(frame).items())[1:]:
        name = caption.partition(",")[0].replace(" ", "-")
        stem = "fit" if streams.is_pipe(target) else target.stem
        path = target.with_name(f"{stem}.step{frame.seen}.{name}.png")
        save(picture, path)
        written.append(path)
    return written


def _again() -> str:
    return f"and the same command goes on from it: {shlex.join(['smalti', *sys.argv[1:]])}"
