"""BC7: quality and speed of every effort on a folder of pictures, decoded by another's decoder.

    NUMBA_NUM_THREADS=1 python benchmarks/bc7.py FOLDER > benchmarks/results/DATE-bc7.jsonl

One line an effort: mean PSNR of RGB (per picture, then the mean) after texture2ddecoder, texels a
second of processor time (median of five runs of each picture, after one untimed), and the share
of opaque texels whose alpha is not 255. etcpak, if it is installed (`pip install etcpak`), runs in
the same loop; each picture is encoded by all before the next.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import texture2ddecoder

import smalti
from smalti.bc7.decode import decode_image
from smalti.bc7.encode import EFFORTS, encode_image
from smalti.eval.log import conditions
from smalti.eval.metrics import psnr

RUNS = 5


def main() -> None:
    encoders: dict[str, Callable[[np.ndarray], bytes]] = {
        effort: lambda rgba, effort=effort: encode_image(rgba, effort=effort) for effort in EFFORTS
    }
    encoders |= rivals()
    pictures = [picture(path) for path in sorted(Path(sys.argv[1]).glob("*.png"))]
    found = {name: {"psnr": [], "mpix_s": [], "wrong_alpha": []} for name in encoders}
    decoding = []
    for rgba in pictures:
        height, width = rgba.shape[:2]
        for name, encode in encoders.items():
            seconds, blocks = timed(lambda: encode(rgba))  # noqa: B023
            bgra = texture2ddecoder.decode_bc7(blocks, width, height)
            x_hat = np.frombuffer(bgra, np.uint8).reshape(height, width, 4)[..., [2, 1, 0, 3]]
            found[name]["psnr"].append(psnr(rgba[..., :3], x_hat[..., :3]))
            found[name]["mpix_s"].append(height * width / 1e6 / seconds)
            found[name]["wrong_alpha"].append(float((x_hat[..., 3] != 255).mean()))
        seconds, _ = timed(lambda: decode_image(blocks, height, width))  # noqa: B023
        decoding.append(height * width / 1e6 / seconds)
    lines = [conditions("cpu") | {"pictures": len(pictures)}]
    lines += [
        {"encoder": name} | {key: round(statistics.mean(v), 4) for key, v in numbers.items()}
        for name, numbers in found.items()
    ]
    lines.append({"decoder": "smalti", "mpix_s": round(statistics.mean(decoding), 1)})
    sys.stdout.writelines(json.dumps(line) + "\n" for line in lines)


def picture(path: Path) -> np.ndarray:
    rgb = smalti.load(path)[:3].permute(1, 2, 0).numpy()
    colour = np.round(rgb * 255).astype(np.uint8)
    return np.dstack([colour, np.full(colour.shape[:2], 255, np.uint8)])


def rivals() -> dict[str, Callable[[np.ndarray], bytes]]:
    """etcpak's BC7 (bc7enc) with linear weights, if it is installed."""
    try:
        import etcpak
    except ImportError:
        return {}
    parameters = etcpak.BC7CompressBlockParams()
    parameters.init_linear_weights()
    return {
        "etcpak linear": lambda rgba: etcpak.compress_bc7(
            rgba.tobytes(), rgba.shape[1], rgba.shape[0], parameters
        )
    }


def timed(run: Callable[[], bytes]) -> tuple[float, bytes]:
    """Median seconds of processor time, and what the last run gave."""
    run()
    seconds = []
    for _ in range(RUNS):
        started = time.process_time()
        result = run()
        seconds.append(time.process_time() - started)
    return statistics.median(seconds), result


if __name__ == "__main__":
    main()
