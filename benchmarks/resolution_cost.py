"""Time and peak memory of one large decode, in a process of its own.

    OMP_NUM_THREADS=1 python benchmarks/resolution_cost.py r2ir-mnist 2048

Prints one JSON object. `peak_mb` is the whole process (its largest resident set: Python, torch and
the model included), `before_mb` what that was before the decode; MB are 10^6 bytes. The picture
itself, in float32, is `picture_mb` of it.
"""

import json
import re
import resource
import sys
import time
from pathlib import Path

import torch

import smalti


def measure(model: str, side: int, cells: int = 4) -> dict[str, object]:
    """Decode one random latent of cells x cells to side x side."""
    torch.set_num_threads(1)
    resampler = smalti.load_model(model)
    channels = resampler.config.latent_channels
    z = torch.randn(1, channels, cells, cells, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        resampler.decode(z, (32, 32))
        before = _largest_resident()
        wall, process = time.perf_counter(), time.process_time()
        picture = resampler.decode(z, (side, side))
        wall, process = time.perf_counter() - wall, time.process_time() - process
    if tuple(picture.shape[2:]) != (side, side) or not bool(picture.isfinite().all()):
        raise SystemExit(f"{model} gave {tuple(picture.shape)} for {side} x {side}, or no numbers")
    return {
        "what": "cost",
        "size": f"{side}x{side}",
        "seconds": round(wall, 2),
        "core_seconds": round(process, 2),
        "before_mb": round(before / 1e6),
        "peak_mb": round(_largest_resident() / 1e6),
        "picture_mb": round(picture.numel() * picture.element_size() / 1e6, 1),
    }


def _largest_resident() -> int:
    """Bytes. Linux hands `ru_maxrss` down from the process that started this one, so not that."""
    status = Path("/proc/self/status")
    if status.is_file():
        found = re.search(r"^VmHWM:\s+(\d+) kB$", status.read_text(), re.MULTILINE)
        if found:
            return 1024 * int(found[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS: bytes


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(sys.argv[1], int(sys.argv[2]))) + "\n")
