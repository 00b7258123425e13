"""One 8192 x 8192 texture at one effort, in a process of its own so that its peak memory is known.

    SMALTI_NUM_THREADS=2 python benchmarks/bc7_large.py PICTURE EFFORT

Prints one JSON line; benchmarks/bc7.py --large runs it.
"""

import json
import resource
import sys
import time

import numpy as np
from PIL import Image

from smalti import native
from smalti.bc7.decode import decode_image
from smalti.bc7.encode import encode_image

SIDE = 8192


def main() -> None:
    if len(sys.argv) != 3:
        raise SystemExit("usage: bc7_large.py PICTURE EFFORT")
    path, effort = sys.argv[1:]
    with Image.open(path) as image:
        tile = np.array(image.convert("RGBA"))
    texture = np.empty((SIDE, SIDE, 4), np.uint8)
    for top in range(0, SIDE, tile.shape[0]):
        for left in range(0, SIDE, tile.shape[1]):
            part = texture[top : top + tile.shape[0], left : left + tile.shape[1]]
            part[:] = tile[: part.shape[0], : part.shape[1]]
    before = _peak_mib()
    started, processor_started = time.perf_counter(), time.process_time()
    blocks = encode_image(texture, effort=effort)
    wall, processor = time.perf_counter() - started, time.process_time() - processor_started
    peak = _peak_mib()
    started, processor_started = time.perf_counter(), time.process_time()
    decode_image(blocks, SIDE, SIDE)
    decode_wall = time.perf_counter() - started
    decode_processor = time.process_time() - processor_started
    line = {
        "encoder": effort,
        "threads": native.threads(),
        "wall_seconds": round(wall, 2),
        "mpix_s_wall": round(SIDE * SIDE / 1e6 / wall, 3),
        "mpix_s": round(SIDE * SIDE / 1e6 / processor, 3),
        "peak_mib": round(peak),
        "peak_mib_before_encoding": round(before),
        "decode_mpix_s": round(SIDE * SIDE / 1e6 / decode_processor, 1),
        "decode_mpix_s_wall": round(SIDE * SIDE / 1e6 / decode_wall, 1),
    }
    sys.stdout.write(json.dumps(line) + "\n")


def _peak_mib() -> float:
    """Most memory this process has had so far; Linux counts it in KiB, macOS in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
        2**20 if sys.platform == "darwin" else 2**10
    )


if __name__ == "__main__":
    main()
