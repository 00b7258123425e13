"""Rate and quality of every codec on a set of pictures: what docs/RESULTS.md draws its curves from.

    OMP_NUM_THREADS=1 python benchmarks/rate_distortion.py kodak --name kodak12 --work FOLDER
    ... --out benchmarks/results/DATE-rd-kodak12.jsonl

`smalti compare` at fixed settings: ours, and the classical codecs from ten per cent of our rates to
ten times them, AVIF both as libavif writes it (tuned for the eye) and tuned for PSNR. One thread.
FOLDER keeps the files; a run that was stopped goes on there. PSNR and bytes are of the files.
"""

import argparse
import json
import sys
from pathlib import Path

from smalti import native
from smalti.eval.run import compare
from smalti.files import PICTURE_SUFFIXES

CLASSICAL = (
    *[f"jpeg:quality={q},subsampling=4:4:4" for q in (10, 25, 45, 65, 78, 87, 93, 97)],
    *[f"webp:quality={q}" for q in (10, 30, 50, 70, 80, 88, 94, 98)],
    *[
        f"avif:quality={q},subsampling=4:4:4,speed=4{tune}"
        for tune in (",tune=psnr", "")
        for q in (15, 30, 45, 57, 68, 78, 86, 93)
    ],
    *[f"jxl:quality={q}" for q in (10, 30, 50, 70, 82, 90, 95)],
)
OURS = (
    "bc7:effort=fast",
    *[f"patch-ae:step={s}" for s in (0.5, 1, 2)],
    *[f"rgba-ae:weights=rgba-finetune,step={s}" for s in (0.125, 0.25, 0.5)],
    "fsq",
    *[f"resampler:step={s}" for s in (0.5, 1, 2)],
    "latent-texture:effort=ultrafast",
    "latent-texture:bits=6,effort=ultrafast",
    *[f"fitted:effort=ultrafast,lmbda={lmbda:g}" for lmbda in (1e-4, 3e-4, 8e-4)],
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", nargs="+", type=Path)
    parser.add_argument("--name", required=True, help="of the set, in the report")
    parser.add_argument("--work", type=Path, required=True, help="the files, and results so far")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--codecs", nargs="+", default=[*CLASSICAL, *OURS])
    arguments = parser.parse_args()
    native.set_threads(1)
    pictures = [
        file
        for path in arguments.pictures
        for file in (sorted(path.iterdir()) if path.is_dir() else [path])
        if file.suffix.lower() in PICTURE_SUFFIXES
    ]
    results = compare(pictures, arguments.codecs, arguments.work, on_progress=say)
    keys = ("picture", "contender", "codec", "series", "width", "height", "bytes", "bpp", "psnr")
    with arguments.out.open("w") as out:
        for condition in results.conditions:
            out.write(
                json.dumps(condition | {"set": arguments.name, "pictures": len(pictures)}) + "\n"
            )
        for row in results.rows:
            if not row.error:
                line = {key: getattr(row, key) for key in keys} | {"ssim": round(row.ssim, 5)}
                seconds = {
                    k: round(getattr(row, k), 4) for k in ("encode_seconds", "decode_seconds")
                }
                line |= {"bpp": round(row.bpp, 5), "psnr": round(row.psnr, 4)} | seconds
                out.write(json.dumps(line) + "\n")


def say(done: int, total: int, text: str) -> None:
    if " step " not in text:
        sys.stderr.write(f"{done} of {total}: {text}\n")


if __name__ == "__main__":
    main()
