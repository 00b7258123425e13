"""Fitted pictures against AVIF, WebP and JPEG: rate and quality of real files.

    python benchmarks/fitted.py PICTURES --out benchmarks/results/DATE-fitted-kodak.jsonl

One line a file: bytes and PSNR of the picture decoded from it. Rivals through Pillow: AVIF 4:4:4 at
speed 4, WebP at method 6, JPEG 4:4:4 with optimised, progressive tables. The file is added to, so
that an interrupted run goes on where it stopped. `python benchmarks/report` has the BD-rates.
"""

import argparse
import io
import json
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

import smalti
from smalti.eval.log import conditions
from smalti.eval.metrics import psnr
from smalti.image import to_uint8

LAMBDAS = (1e-4, 3e-4, 8e-4)
QUALITIES = {
    "AVIF": (25, 35, 45, 55, 62, 70, 76, 82, 87, 91),
    "WebP": (10, 30, 50, 70, 80, 88, 94, 97),
    "JPEG": (10, 25, 45, 65, 78, 87, 93, 96, 98),
}
SAVE = {
    "AVIF": {"subsampling": "4:4:4", "speed": 4},
    "WebP": {"method": 6},
    "JPEG": {"subsampling": "4:4:4", "optimize": True, "progressive": True},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--settings", default="fitted:effort=fast", help="of our codec, but lmbda")
    parser.add_argument("--lambdas", nargs="+", type=float, default=LAMBDAS)
    arguments = parser.parse_args()
    done = {(r["picture"], r["codec"], r["quality"]) for r in rows(arguments.out)}
    if not arguments.out.exists():
        write(arguments.out, conditions("cpu"))
    files = [f for p in arguments.pictures for f in (sorted(p.iterdir()) if p.is_dir() else [p])]
    for file in files:
        x = smalti.load(file)
        for name, qualities in QUALITIES.items():
            for quality in qualities:
                if (file.name, name, quality) not in done:
                    write(arguments.out, measure_rival(file.name, to_uint8(x), name, quality))
        for lmbda in arguments.lambdas:
            if (file.name, arguments.settings, lmbda) not in done:
                write(arguments.out, measure(file.name, x, arguments.settings, lmbda))
                sys.stderr.write(f"{file.name} {lmbda:g}\n")


def rows(path: Path) -> list[dict]:
    if not path.exists():
        return []
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [line for line in lines if "picture" in line]


def write(path: Path, row: dict) -> None:
    with path.open("a") as out:
        out.write(json.dumps(row) + "\n")


def measure(picture: str, x, settings: str, lmbda: float) -> dict:
    start = time.process_time()
    data = smalti.encode(x, f"{settings}{',' if ':' in settings else ':'}lmbda={lmbda}")
    middle = time.process_time()
    x_hat = smalti.decode(data)
    end = time.process_time()
    row = row_of(picture, settings, lmbda, to_uint8(x), to_uint8(x_hat), len(data))
    return {**row, "encode_cpu_s": round(middle - start, 1), "decode_cpu_s": round(end - middle, 3)}


def measure_rival(picture: str, levels: np.ndarray, name: str, quality: int) -> dict:
    buffer = io.BytesIO()
    Image.fromarray(levels).save(buffer, name, quality=quality, **SAVE[name])
    decoded = np.asarray(Image.open(buffer).convert("RGB"))
    return row_of(picture, name, quality, levels, decoded, buffer.tell())


def row_of(
    picture: str, codec: str, quality: float, x: np.ndarray, x_hat: np.ndarray, size: int
) -> dict:
    return {
        "picture": picture,
        "codec": codec,
        "quality": quality,
        "bytes": size,
        "bpp": round(8 * size / (x.shape[0] * x.shape[1]), 5),
        "psnr": round(psnr(x, x_hat), 4),
    }


if __name__ == "__main__":
    main()
