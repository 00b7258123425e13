"""Every contender on every picture: real files, decoded from disk, measured on 8-bit pictures."""

import dataclasses
import hashlib
import math
import time
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from smalti import native
from smalti.api import check_device
from smalti.codec import Size
from smalti.errors import OptionError, SmaltiError
from smalti.eval import metrics
from smalti.eval.contenders import Contender, decode, default_contenders, encode, resolve
from smalti.eval.log import Log
from smalti.eval.results import Mean, Results, Row, mean
from smalti.files import write_atomically
from smalti.image import as_picture, to_uint8

__all__ = ["compare", "default_contenders"]

WARM_UP_SIDE = 32  # texels
HELD_PICTURES = 16  # in memory; of more, each is read anew for every contender
METRICS = ("psnr", "ssim", "ms-ssim")  # PSNR is always measured: every verdict needs it
HELD_DECODED = 2**28  # bytes of decoded pictures, kept for the page

OnProgress = Callable[[int, int, str], None]


def compare(
    pictures: Sequence[Path],
    contenders: Sequence[str],
    folder: Path,
    *,
    device: str = "cpu",
    measured: Sequence[str] = METRICS,
    on_progress: OnProgress = lambda done, total, text: None,
    on_mean: Callable[[Mean], None] = lambda mean: None,
) -> Results:
    """Run every contender on every picture, one contender after the other, and measure the files.

    Each compressed file is written to `folder/files`, read back, decoded, converted to 8 bits and
    compared with the user's picture. `folder/results.jsonl` gets a line for each as soon as it is
    there, after a line with the conditions (versions, processor, threads, date). A second call
    with the same folder does only what is missing: pairs without a line, with a failure, with
    another picture file, another version of the codec, or without their compressed file.

    Encoding is timed from the picture in memory to the bytes, decoding from the bytes to the
    picture, neither with the disk. Before its first picture each contender handles a tiny one,
    untimed, so that compilation and the loading of weights count for none.

    Args:
        pictures: files that `smalti.load` reads.
        contenders: "codec" or "codec:field=value,...", of the registry or a baseline.
        folder: for the files and the results; made if missing.
        device: where our codecs run, a torch device. The baselines run on the CPU.
        measured: which of METRICS.
        on_progress: called with (pairs done, pairs in all, what is being done).
        on_mean: called with the mean of each contender that got through a picture, as soon as it
            has had them all.

    Returns:
        The rows of these pictures and contenders. Where one could not do the other, the row has
        the reason instead of numbers.

    Raises:
        OptionError: an unknown contender, setting or metric, or nothing to compare.
        WeightsError: a contender's weights are not here.
    """
    check_device(device)
    for name in measured:
        if name not in METRICS:
            raise OptionError(f"no metric {name!r}; known: {', '.join(METRICS)}")
    wanted = {name.replace("-", "_") for name in measured}
    chosen = [resolve(text) for text in dict.fromkeys(contenders)]
    sources = _names(pictures)
    if not chosen or not sources:
        raise OptionError(
            f"{len(sources)} pictures and {len(chosen)} contenders; a comparison needs one of each"
        )
    (folder / "files").mkdir(parents=True, exist_ok=True)
    log = Log(folder, device)
    rows: list[Row] = []
    decoded: dict[tuple[str, str], np.ndarray] = {}
    held = 0
    total = len(sources) * len(chosen)
    originals = [_Picture(name, path) for name, path in sources.items()]
    for contender in chosen:
        warm: set[int] = set()  # channels
        for picture in originals:
            text = f"{contender.label}: {picture.name}"
            on_progress(len(rows), total, text)
            row = log.find(picture.name, picture.sha256, contender.text, contender.version)
            if row is None or not _has(row, wanted):
                if picture.error == "" and picture.channels not in warm:
                    _warm_up(contender, picture.channels, device)
                    warm.add(picture.channels)

                def on_step(done: int, steps: int, text: str = text) -> None:
                    on_progress(len(rows), total, f"{text}, step {done} of {steps}")

                row, x_hat = _measure(picture, contender, folder, device, wanted, on_step)
                log.append(row)
                if x_hat is not None and held + x_hat.nbytes <= HELD_DECODED:
                    held += x_hat.nbytes
                    decoded[row.picture, row.contender] = x_hat
            rows.append(row)
        own = rows[-len(pictures) :]
        if whole := [row for row in own if not row.error]:
            on_mean(mean(whole, len(own) - len(whole)))
    on_progress(total, total, "done")
    by_picture = tuple(row for name in sources for row in rows if row.picture == name)
    return Results(folder, sources, by_picture, log.conditions_of(rows), decoded)


def _has(row: Row, wanted: set[str]) -> bool:
    """Whether a row of an earlier run has the metrics of now, as far as its picture allows."""
    sides = {"ssim": metrics.SSIM_TAPS, "ms_ssim": metrics.MS_SSIM_SIDE}
    possible = {name for name in wanted if min(row.height, row.width) >= sides.get(name, 1)}
    return not any(math.isnan(getattr(row, name)) for name in possible)


def _names(pictures: Sequence[Path]) -> dict[str, Path]:
    """A name of its own for each picture, from its file name and, where needed, its folder."""
    names: dict[str, Path] = {}
    taken: set[str] = set()  # in lower case: some file systems know no other difference
    for path in dict.fromkeys(path.absolute() for path in pictures):
        flat = f"{path.parent.name}_{path.name}"
        numbered = (f"{flat}-{number}" for number in range(2, len(pictures) + 2))
        name = next(
            name for name in (path.stem, path.name, flat, *numbered) if name.lower() not in taken
        )
        names[name] = path
        taken.add(name.lower())
    return names


class _Picture:
    """A user's picture, read when it is first needed."""

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.path = path

    @cached_property
    def sha256(self) -> str:
        """Of its file; "" where that cannot be read."""
        try:
            return hashlib.sha256(self.path.read_bytes()).hexdigest()
        except OSError:
            return ""

    @cached_property
    def error(self) -> str:
        """Why it cannot be read, or ""."""
        try:
            self.channels, self.height, self.width = _size(_levels(self.path, self.sha256))
        except (SmaltiError, OSError, MemoryError) as cause:
            self.channels = self.height = self.width = 0
            return _reason(cause)
        return ""

    @property
    def levels(self) -> np.ndarray:
        """`H W C` uint8."""
        assert self.error == ""
        return _levels(self.path, self.sha256)


@lru_cache(maxsize=HELD_PICTURES)
def _levels(path: Path, _sha256: str) -> np.ndarray:
    return to_uint8(as_picture(path))


def _size(levels: np.ndarray) -> Size:
    height, width, channels = levels.shape
    return Size(channels, height, width)


def _measure(
    picture: _Picture,
    contender: Contender,
    folder: Path,
    device: str,
    wanted: set[str],
    on_step: Callable[[int, int], None],
) -> tuple[Row, np.ndarray | None]:
    """The row, and the decoded picture where there is one."""
    failure = picture.error
    row = Row(
        picture=picture.name,
        sha256=picture.sha256,
        contender=contender.text,
        codec=contender.codec.name,
        version=contender.version,
        label=contender.label,
        series=contender.series,
        width=picture.width,
        height=picture.height,
        channels=picture.channels,
        megapixels=picture.width * picture.height / 1e6,
    )
    if failure:
        return dataclasses.replace(row, error=failure), None
    x = picture.levels
    try:
        started = time.perf_counter()
        data = encode(x, contender, device=device, on_step=on_step)
        encode_seconds = time.perf_counter() - started
        path = folder / "files" / f"{picture.name}.{contender.slug}{contender.suffix}"
        write_atomically(path, data)
        data = path.read_bytes()
        started = time.perf_counter()
        x_hat = decode(data, contender, _size(x), device=device)
        decode_seconds = time.perf_counter() - started
        quality = _quality(x, x_hat, wanted)
        whole = dataclasses.replace(
            row,
            bytes=path.stat().st_size,
            bpp=8 * path.stat().st_size / (row.width * row.height),
            psnr=quality.psnr,
            ssim=quality.ssim,
            ms_ssim=quality.ms_ssim,
            encode_seconds=encode_seconds,
            decode_seconds=decode_seconds,
            file=path.relative_to(folder).as_posix(),
            file_sha256=hashlib.sha256(data).hexdigest(),
        )
    except Exception as cause:  # a comparison of hours does not end with one codec's fault
        return dataclasses.replace(row, error=_reason(cause)), None
    return whole, x_hat


def _quality(x: np.ndarray, x_hat: np.ndarray, wanted: set[str]) -> metrics.Quality:
    """What is not wanted is NaN."""
    if wanted == {"psnr"}:
        return metrics.Quality(metrics.psnr(x, x_hat), math.nan, math.nan)
    found = metrics.quality(x, x_hat, threads=native.threads())
    return dataclasses.replace(found, **dict.fromkeys({"ssim", "ms_ssim"} - wanted, math.nan))


def _reason(cause: Exception) -> str:
    """One line; with its type where it is none of our sentences."""
    text = str(cause).partition("\n")[0]
    if isinstance(cause, SmaltiError | OSError):
        return text
    return f"{type(cause).__name__}: {text}" if text else type(cause).__name__


def _warm_up(contender: Contender, channels: int, device: str) -> None:
    ramp = np.linspace(0, 255, WARM_UP_SIDE).astype(np.uint8)
    tiny = np.repeat(np.tile(ramp, (WARM_UP_SIDE, 1))[..., None], channels, axis=2)
    if channels in (2, 4) and {2, 4}.isdisjoint(contender.codec.channels):
        tiny[..., -1] = 255
    if "steps" in {f.name for f in dataclasses.fields(contender.codec.Options)}:
        # An optimisation takes as long on a tiny picture as on a large one; one step is enough.
        contender = dataclasses.replace(contender, options=contender.options | {"steps": 1})
    try:
        decode(encode(tiny, contender, device=device), contender, _size(tiny), device=device)
    except Exception:
        return  # the picture's own row says why, if it fails too
