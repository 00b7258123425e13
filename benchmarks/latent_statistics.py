"""Mean and standard deviation of each latent channel of the bundled models.

    OMP_NUM_THREADS=1 python benchmarks/latent_statistics.py PHOTOGRAPHS --every 6

One JSON object a line: the table MEASURED of smalti/export/latents.py, which is what a
diffusion pipeline standardises latents by.
"""

import argparse
import json
import sys
from pathlib import Path

import smalti
from smalti import weights
from smalti.eval.log import conditions
from smalti.export.latents import measure
from smalti.files import PICTURE_SUFFIXES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--every", type=int, default=6, help="take each n-th picture")
    parser.add_argument("--models", nargs="*", default=list(weights.bundled()))
    options = parser.parse_args()
    found = sorted(p for p in options.folder.rglob("*") if p.suffix.lower() in PICTURE_SUFFIXES)
    pictures = [smalti.load(path)[..., :3] for path in found[:: options.every]]
    sys.stdout.write(json.dumps(conditions("cpu") | {"pictures": len(pictures)}) + "\n")
    for name in options.models:
        model = smalti.load_model(name)
        measured = measure(model, pictures)
        digest = weights.sha256(weights.bundled()[name]).hex()[:16]
        line = {"model": name, "sha256": digest, "mean": measured.mean, "std": measured.std}
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
