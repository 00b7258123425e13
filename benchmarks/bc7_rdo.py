"""BC7 with rate-distortion optimisation: size behind general compressors against quality.

    SMALTI_NUM_THREADS=1 python benchmarks/bc7_rdo.py FOLDER > benchmarks/results/DATE-bc7-rdo.jsonl

One line a Lagrangian and encoder: bits a texel of the blocks behind zstd (level 19, `pip install
zstandard`) and Deflate (zlib, level 9), each picture by itself, and PSNR of RGB after
texture2ddecoder; means over the pictures (PNG, in all folders below FOLDER; a PSNR counts 99 dB at
most). `mpix_s`: texels a second of processor time, the optimisation alone.

--bc7enc PATH runs bc7enc_rdo's command beside it (build: g++ -O3 on its .cpp files) with the options
of --settings, once for each of its lambdas, and optimises its blocks of lambda 0 by ours: the same
blocks before, so that the two ladders compare.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

import numpy as np
import texture2ddecoder
import zstandard

import smalti
from smalti.bc7.encode import encode_image
from smalti.bc7.rdo import optimise
from smalti.eval.log import conditions
from smalti.eval.metrics import psnr

LAGRANGIANS = (0, 1, 2, 4, 8, 16)
LAMBDAS = ("0", "0.1", "0.25", "0.5")
SETTINGS = ("", "-zn -zc1024")
DDS_HEADER = 148  # bytes before the blocks


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--bc7enc", type=Path)
    parser.add_argument("--settings", nargs="*", default=SETTINGS)
    parser.add_argument("--effort", default="medium")
    parser.add_argument("--window", type=int, default=512)
    options = parser.parse_args()

    paths = sorted(options.folder.rglob("*.png"))
    pictures = [picture(path) for path in paths]
    lines = [conditions("cpu") | {"pictures": len(pictures), "window": options.window}]
    before = [encode_image(image, effort=options.effort) for image in pictures]
    lines += ladder(f"smalti {options.effort}", pictures, before, options.window)
    if options.bc7enc:
        version = subprocess.run([options.bc7enc], capture_output=True, text=True).stdout
        lines[0]["bc7enc"] = version.strip().splitlines()[-1]
        theirs = [bc7enc(options.bc7enc, path, "0", "") for path in paths]
        lines += ladder("bc7enc's blocks, smalti's optimisation", pictures, theirs, options.window)
        for settings in options.settings:
            for value in LAMBDAS:
                blocks = [bc7enc(options.bc7enc, path, value, settings) for path in paths]
                name = f"bc7enc {settings}".strip()
                lines.append({"encoder": name, "lambda": value} | measure(pictures, blocks))
    sys.stdout.writelines(json.dumps(line) + "\n" for line in lines)


def picture(path: Path) -> np.ndarray:
    """uint8 (H, W, 4), opaque."""
    rgb = smalti.load(path)[:3].permute(1, 2, 0).numpy()
    colour = np.broadcast_to(np.round(rgb * 255).astype(np.uint8), (*rgb.shape[:2], 3))
    return np.dstack([colour, np.full(colour.shape[:2], 255, np.uint8)])


def ladder(encoder: str, pictures: list[np.ndarray], before: list[bytes], window: int) -> list:
    texels = sum(image.shape[0] * image.shape[1] for image in pictures)
    optimise(before[0], pictures[0], lagrangian=1.0, window=window)  # compiles
    lines = []
    for value in LAGRANGIANS:
        started = time.process_time()
        after = [
            optimise(blocks, image, lagrangian=value, window=window)
            for blocks, image in zip(before, pictures, strict=True)
        ]
        seconds = time.process_time() - started
        line = {"encoder": encoder, "lagrangian": value} | measure(pictures, after)
        lines.append(line | ({"mpix_s": round(texels / 1e6 / seconds, 2)} if value else {}))
    return lines


def measure(pictures: list[np.ndarray], encoded: list[bytes]) -> dict:
    found = []
    for image, blocks in zip(pictures, encoded, strict=True):
        height, width = image.shape[:2]
        bgra = texture2ddecoder.decode_bc7(blocks, width, height)
        x_hat = np.frombuffer(bgra, np.uint8).reshape(height, width, 4)[..., [2, 1, 0, 3]]
        zstd = zstandard.ZstdCompressor(level=19).compress(blocks)
        bits = [8 * len(data) / (height * width) for data in (zstd, zlib.compress(blocks, 9))]
        wrong_alpha = float((x_hat[..., 3] != 255).mean())
        found.append([min(psnr(image[..., :3], x_hat[..., :3]), 99.0), *bits, wrong_alpha])
    names = ("psnr", "bits_zstd", "bits_deflate", "wrong_alpha")
    means = np.mean(found, axis=0)
    return {name: round(float(mean), 4) for name, mean in zip(names, means, strict=True)}


def bc7enc(command: Path, path: Path, value: str, settings: str) -> bytes:
    """Blocks of bc7enc_rdo: bc7enc.cpp, as bc7e.ispc needs another compiler; one thread."""
    rdo = [f"-z{value}", *settings.split()] if value != "0" else []
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "a.dds"
        subprocess.run(
            [command.resolve(), "-q", "-g", "-C", "-zt", *rdo, path.resolve(), target],
            check=True,
            capture_output=True,
            cwd=folder,
        )
        return target.read_bytes()[DDS_HEADER:]


if __name__ == "__main__":
    main()
