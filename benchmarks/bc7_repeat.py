"""BC7: one picture encoded again and again, and the speed that comes of it.

    SMALTI_NUM_THREADS=1 python benchmarks/bc7_repeat.py picture.png --repeats 100 --efforts pca

MPix a second of processor time; the first run is not counted.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

from smalti.bc7.decode import decode_image
from smalti.bc7.encode import encode_image
from smalti.bc7.mode6 import ENGINES, encode_mode6
from smalti.bc7.search import EFFORTS
from smalti.eval.metrics import psnr


def main() -> None:
    names = list(dict.fromkeys([*ENGINES, *EFFORTS]))
    parser = argparse.ArgumentParser(description="One picture, encoded again and again.")
    parser.add_argument("picture", type=Path)
    parser.add_argument("--efforts", nargs="*", choices=names, default=list(ENGINES))
    parser.add_argument("--repeats", type=int, default=100)
    options = parser.parse_args()
    if options.repeats < 1:
        parser.error(f"--repeats is {options.repeats}; it is at least 1")
    with Image.open(options.picture) as image:
        x = np.asarray(image.convert("RGBA"))
    for effort in options.efforts:
        blocks = _encode(x, effort)
        seconds = []
        for _ in range(options.repeats):
            started = time.process_time()
            _encode(x, effort)
            seconds.append(time.process_time() - started)
        speed = x.shape[0] * x.shape[1] / 1e6 / statistics.median(seconds)
        quality = psnr(x, decode_image(blocks, *x.shape[:2]))
        sys.stdout.write(
            f"{effort}: {quality:.2f} dB, {speed:.2f} MPix/s, median of {options.repeats} runs\n"
        )


def _encode(x: np.ndarray, effort: str) -> bytes:
    if effort in ENGINES:
        return encode_mode6(x, effort)
    return encode_image(x, effort=effort)


if __name__ == "__main__":
    main()
