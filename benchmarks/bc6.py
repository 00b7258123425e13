"""BC6H: quality and speed of every effort beside ispc-texcomp, decoded by another's decoder.

    SMALTI_NUM_THREADS=1 python benchmarks/bc6.py photos/val made > benchmarks/results/DATE-bc6.jsonl

A table of each set, one JSON line an encoder, and for people on stderr: a folder of photographs, which
are made into light, or `made`, skies and ramps that are drawn (hdr_pictures.py; there are no HDR
photographs that may be passed on).
`log2_rmse` in stops and `mpsnr` in dB (`smalti.eval.light`) are means over the pictures; `mpix_s` is
texels a second of processor time in one thread: each picture by every encoder in turn, the median of
the runs. ispc-texcomp gets its surface ready-made, smalti float16 arrays.
"""

import argparse
import importlib.metadata
import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from hdr_pictures import photograph, ramps, sky

import smalti
from smalti import native
from smalti.bc6.decode import decode_image
from smalti.bc6.encode import encode_image
from smalti.bc6.search import EFFORTS
from smalti.eval.light import log_rmse, multi_exposure_psnr
from smalti.eval.log import conditions

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
MOST_SECONDS = 1.0  # of processor time for the runs of one encoder on one picture

Encoders = dict[str, tuple[str, Callable[[np.ndarray], Callable[[], bytes]]]]


def main() -> None:
    options = _options()
    tables = dict(map(_named, options.sets))
    encoders = _encoders(options.no_packages)
    _write(conditions("cpu") | {"imagecodecs": importlib.metadata.version("imagecodecs")})
    for name, pictures in tables.items():
        for line in _table(name, pictures, encoders, options.repeats):
            _write(line)
            sys.stderr.write("  ".join(f"{value}" for value in line.values()) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Quality and speed of the BC6H encoder.")
    parser.add_argument("sets", nargs="+", help="folders of 8-bit photographs, or made")
    parser.add_argument("--no-packages", action="store_true")
    parser.add_argument("--repeats", type=int, default=3)
    return parser.parse_args()


def _named(which: str) -> tuple[str, list[np.ndarray]]:
    """A set's name and pictures."""
    if which == "made":
        return "skies and ramps, drawn", [_halves(sky(512)), _halves(sky(256)), _halves(ramps(256))]
    folder = Path(which)
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise SystemExit(f"{folder} holds no picture ({', '.join(SUFFIXES)})")
    name = f"photographs made into light, {folder.parent.name}/{folder.name}"
    return name, [_halves(photograph(path)) for path in paths]


def _halves(light: np.ndarray) -> np.ndarray:
    """float16, the sides cut to multiples of 4."""
    height, width = (side // 4 * 4 for side in light.shape[:2])
    return np.ascontiguousarray(light[:height, :width].astype(np.float16))


def _encoders(no_packages: bool) -> Encoders:
    version = f"smalti {smalti.__version__}"
    found: Encoders = {
        effort: (version, lambda light, e=effort: partial(encode_image, light, effort=e))
        for effort in EFFORTS
    }
    if no_packages:
        return found
    import ispc_texcomp

    version = f"ispc-texcomp {importlib.metadata.version('ispc-texcomp')}"

    def ready(light: np.ndarray, profile: str) -> Callable[[], bytes]:
        height, width = light.shape[:2]
        rgba = np.ones((height, width, 4), np.float16)
        rgba[..., :3] = light
        surface = ispc_texcomp.RGBASurface(rgba.tobytes(), width, height, width * 8)
        settings = ispc_texcomp.BC6HEncSettings.from_profile(profile)
        return partial(ispc_texcomp.compress_blocks_bc6h, surface, settings)

    for profile in ("veryfast", "fast", "basic", "slow", "veryslow"):
        found[f"ispc-texcomp {profile}"] = (version, partial(ready, profile=profile))
    return found


def _table(
    name: str, pictures: list[np.ndarray], encoders: Encoders, repeats: int
) -> list[dict[str, Any]]:
    texels = sum(light.shape[0] * light.shape[1] for light in pictures)
    seconds = dict.fromkeys(encoders, 0.0)
    found: dict[str, list[tuple[float, float]]] = {encoder: [] for encoder in encoders}
    for light in pictures:
        for encoder, (_, ready) in encoders.items():
            encode = ready(light)
            runs: list[float] = []
            while len(runs) < repeats and sum(runs) < MOST_SECONDS:
                started = time.process_time()
                blocks = encode()
                runs.append(time.process_time() - started)
            seconds[encoder] += statistics.median(runs)
            decoded = imagecodecs.bcn_decode(blocks, 6, shape=light.shape).astype(np.float16)
            if not np.array_equal(decoded, decode_image(blocks, *light.shape[:2])):
                raise SystemExit(f"{encoder}: two decoders disagree on its blocks")
            found[encoder].append((log_rmse(light, decoded), multi_exposure_psnr(light, decoded)))
    return [
        {
            "set": name,
            "pictures": len(pictures),
            "encoder": encoder,
            "version": version,
            "log2_rmse": round(statistics.mean(error for error, _ in found[encoder]), 5),
            "mpsnr": round(statistics.mean(psnr for _, psnr in found[encoder]), 3),
            "mpix_s": round(texels / seconds[encoder] / 1e6, 2),
        }
        for encoder, (version, _) in encoders.items()
    ]


def _write(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    native.set_threads(1)
    main()
