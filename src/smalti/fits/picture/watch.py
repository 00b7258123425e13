"""A fit being watched: frames with its numbers and pictures, for a window, a page or a line.

session ─watch→ frames ─panels→ pictures to show
                       └line→ one line of text
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from smalti.fits.picture import file
from smalti.fits.picture.session import Session
from smalti.image import to_uint8

MEASURING = 0.05  # of the time at most: looking costs about as much as a step
ERROR_GAIN = 8  # of the error panel
GRIDS = 6  # panels of grids, the coarse ones first
ENVELOPE = 40  # bytes of a file that are neither values nor network, roughly


@dataclass(frozen=True)
class Frame:
    """One look at a fit: what a file written then would give.

    Everything but `step` and the times is of step `seen`, which lags behind where a picture is so
    large that looking after every few steps would cost much.
    """

    step: int
    steps: int
    seconds: float  # of fitting, those before a resumption included
    seconds_left: float
    seen: int
    psnr: float  # dB, of the 8-bit picture; colours weigh as their alpha lets them be seen
    size: float  # bytes of the file, by the context model
    original: np.ndarray  # C H W in [0, 1]
    picture: np.ndarray  # the same
    grids: tuple[np.ndarray, ...]  # rows columns of whole numbers, coarse ones first
    levels: tuple[int, ...]  # of the grids: a node is 2^level texels wide

    @property
    def ratio(self) -> float:
        """How many times smaller than 24 bits a texel."""
        return 3 * self.original[0].size / self.size


def watch(
    session: Session,
    every_seconds: float,
    *,
    before: float = 0.0,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Frame]:
    """Run a fit to its end; a frame about every so many seconds, and after the last step.

    A fit pauses while the next frame is not asked for; that time does not count.

    Args:
        before: seconds of fitting before this session was resumed.
    """
    started = said = clock()
    measuring, frame, first = 0.0, None, None
    for progress in session:
        now = clock()
        last = progress.step >= progress.steps
        if first is None:  # this step loaded or compiled kernels: no measure of those to come
            first = progress.step, now - started
        if (now - said < every_seconds or progress.step == first[0]) and not last:
            continue
        spent = now - started
        a_step = (spent - first[1]) / max(progress.step - first[0], 1)
        left = a_step * (progress.steps - progress.step)
        numbers = progress.step, progress.steps, before + spent, left
        if frame is None or last or measuring <= MEASURING * spent:
            frame = _look(session, *numbers)
            measuring += clock() - now
        else:
            step, steps, seconds, left = numbers
            frame = replace(frame, step=step, steps=steps, seconds=seconds, seconds_left=left)
        said = clock()
        yield frame
        away = clock() - said
        started, said = started + away, said + away


def _look(session: Session, step: int, steps: int, seconds: float, left: float) -> Frame:
    fit = session.fit
    whole = np.rint(fit.values)
    picture = session.picture()
    levels = np.rint(picture * np.float32(255)) / np.float32(255)
    mse = float((fit.weight * np.square(levels - fit.image)).mean(dtype=np.float64))
    network = len(fit.network.to_bytes(file.USUAL))
    offsets, shapes = fit.layout.offsets, fit.layout.shapes
    return Frame(
        step, steps, seconds, left,
        seen=step,
        psnr=-10 * np.log10(max(mse, 1e-10)),
        size=fit.rate(whole, fit.network) / 8 + network + ENVELOPE,
        original=fit.image,
        picture=picture.copy(),
        grids=tuple(whole[a:b].reshape(s) for a, b, s in zip(offsets, offsets[1:], shapes, strict=False)),
        levels=tuple(fit.layout.levels),
    )  # fmt: skip


def line(frame: Frame) -> str:
    """A frame in words."""
    return (
        f"step {frame.step:,} of {frame.steps:,}: {frame.psnr:.2f} dB, about {frame.size:,.0f} bytes, "
        f"{frame.ratio:.1f} times smaller than RGB; {duration(frame.seconds)}, "
        f"{duration(frame.seconds_left)} left"
    )


def duration(seconds: float) -> str:
    """`1:05` or `2:00:10`."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def panels(frame: Frame) -> dict[str, np.ndarray]:
    """What to show of a frame, by its caption: H W 3 uint8, grids at their own resolution."""
    original, picture = _colours(frame.original), _colours(frame.picture)
    error = 0.5 + ERROR_GAIN * (picture - original)
    shown = {
        "original": _levels(original),
        f"reconstruction, {frame.psnr:.2f} dB": _levels(picture),
        f"error, {ERROR_GAIN} times amplified": _levels(error),
    }
    for number, (grid, level) in enumerate(zip(frame.grids, frame.levels, strict=True)):
        if number < GRIDS:
            largest = max(float(np.abs(grid).max()), 1.0)
            grey = 0.5 + 0.5 * grid / largest
            shown[f"grid {number + 1}, 1/{1 << level}"] = _levels(np.repeat(grey[None], 3, 0))
    return shown


def _colours(image: np.ndarray) -> np.ndarray:
    """C H W -> 3 H W over grey."""
    colour = image
    if image.shape[0] in (2, 4):
        alpha = image[-1:]
        colour = alpha * image[:-1] + (1 - alpha) * np.float32(0.5)
    return colour if colour.shape[0] == 3 else np.repeat(colour, 3, axis=0)


def _levels(image: np.ndarray) -> np.ndarray:
    """C H W -> H W C uint8."""
    return to_uint8(np.ascontiguousarray(image.transpose(1, 2, 0)))
