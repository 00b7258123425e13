"""How fast codecs are on one picture: warm, by number of threads, encoding and decoding apart."""

import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from smalti import native
from smalti.codec import Size
from smalti.eval.contenders import Contender, decode, encode, resolve
from smalti.eval.metrics import psnr
from smalti.image import as_picture


@dataclass(frozen=True)
class Speed:
    """One contender with so many threads."""

    contender: str
    threads: int
    encode_seconds: float  # median of the runs
    decode_seconds: float
    runs: int
    megapixels: float  # of the picture
    bytes: int
    bpp: float
    psnr: float  # dB, of the 8-bit picture decoded from the file

    @property
    def encode_speed(self) -> float:
        """Megapixels a second."""
        return self.megapixels / self.encode_seconds

    @property
    def decode_speed(self) -> float:
        return self.megapixels / self.decode_seconds


def bench(
    image: np.ndarray,
    contenders: Sequence[str],
    *,
    threads: Sequence[int],
    runs: int,
    seconds: float,
    device: str = "cpu",
    on_step: Callable[[int, int, str], None] = lambda done, total, text: None,
) -> Iterator[Speed]:
    """Time every contender with every number of threads, from memory to memory.

    The first run is not counted: it loads weights and compiles what is compiled. Files are the same
    with any number of threads.

    Args:
        image: `H W C` uint8.
        contenders: "codec:field=value,..." of the registry or a baseline.
        threads: of kernels and of torch; classical codecs have their own.
        runs: of each, at most.
        seconds: after which no further run of a contender begins; there is always one.
        on_step: called with (rows done, rows in all, what is being timed).

    Raises:
        SmaltiError: a contender that there is not, or that cannot do this picture.
    """
    chosen = [resolve(text) for text in contenders]
    pairs = [(each, count) for each in chosen for count in threads]
    for done, (contender, count) in enumerate(pairs):
        on_step(done, len(pairs), f"{contender.text}, threads {count}")
        _use_threads(count)
        yield _speed(image, contender, count, runs, seconds, device)
    _use_threads(None)


def _speed(
    image: np.ndarray, contender: Contender, threads: int, runs: int, seconds: float, device: str
) -> Speed:
    height, width, channels = image.shape
    size = Size(channels, height, width)
    data = encode(image, contender, device=device)
    drawn = as_picture(decode(data, contender, size, device=device))
    taken: dict[str, list[float]] = {"encode": [], "decode": []}
    work: dict[str, Callable[[], object]] = {
        "encode": lambda: encode(image, contender, device=device),
        "decode": lambda: decode(data, contender, size, device=device),
    }
    for half, call in work.items():
        while not taken[half] or (len(taken[half]) < runs and sum(taken[half]) < seconds / 2):
            started = time.perf_counter()
            call()
            taken[half].append(time.perf_counter() - started)
    return Speed(
        contender.text,
        threads,
        statistics.median(taken["encode"]),
        statistics.median(taken["decode"]),
        len(taken["encode"]),
        height * width / 1e6,
        len(data),
        8 * len(data) / (height * width),
        psnr(image, drawn),
    )


def _use_threads(count: int | None) -> None:
    native.set_threads(count)
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(count or native.threads())
