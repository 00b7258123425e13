"""Fitted pictures: a step and a decode on one core, of this version and of another one.

    python benchmarks/fitted_speed.py PICTURES --against PYTHON --out FILE

PYTHON is an interpreter in whose environment the other version is installed; the two take turns, each
time in a process of its own with one thread. Milliseconds of processor time of a step (the median of
--repeats) and megapixels a second of decoding a file of this version (the best of --repeats, from
bytes to a uint8 picture). With --effort each version also encodes each picture, and the lines say
bytes, PSNR of the decoded 8-bit picture, and seconds.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ONE_THREAD = dict.fromkeys(("SMALTI_NUM_THREADS", "NUMBA_NUM_THREADS", "OMP_NUM_THREADS"), "1")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", nargs="+", type=Path)
    parser.add_argument("--against", help="interpreter of the other version")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--effort", help="encode with it, too")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        name, file = options.worker
        work(name, options.pictures[0], Path(file), options.repeats, options.effort)
        return
    from smalti.eval.log import conditions

    keep(options.out, conditions("cpu"))
    versions = {"this": sys.executable, "other": options.against or sys.executable}
    for picture in options.pictures:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "a.smt")
            for number in range(options.rounds):
                for name, interpreter in versions.items():
                    keep(options.out, run(interpreter, name, picture, file, options, number))


def run(
    interpreter: str, name: str, picture: Path, file: Path, options: argparse.Namespace, number: int
) -> dict:
    command = [interpreter, __file__, picture, "--worker", name, file]
    command += ["--repeats", str(options.repeats)]
    if options.effort and number == 0:
        command += ["--effort", options.effort]
    environment = os.environ | ONE_THREAD
    if name == "other":
        environment.pop("PYTHONPATH", None)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return {"round": number, **json.loads(done.stdout)}


def work(name: str, picture: Path, file: Path, repeats: int, effort: str | None) -> None:
    """One version's numbers, as a line on standard output."""
    import smalti
    from smalti.codecs.fitted import Fitted, FittedOptions

    x = smalti.load(picture)
    pixels = np.asarray(levels(x))
    texels = pixels.shape[0] * pixels.shape[1]
    session = Fitted().session(x, FittedOptions(steps=10 * repeats, threads=1))
    steps = []
    for _ in range(repeats + 3):
        started = time.process_time()
        session.fit.step()
        steps.append(time.process_time() - started)
    row = {
        "picture": picture.name,
        "version": name,
        "step_ms": round(1e3 * statistics.median(steps[3:]), 2),
        "step_best_ms": round(1e3 * min(steps[3:]), 2),
    }
    if effort:
        started = time.process_time()
        data = smalti.encode(x, f"fitted:effort={effort},threads=1")
        row["encode_cpu_s"] = round(time.process_time() - started, 1)
        error = np.square(levels(smalti.decode(data)).astype(np.float64) - pixels).mean()
        row["bytes"] = len(data)
        row["psnr"] = round(10 * np.log10(255**2 / error), 4)
        if name == "this":
            file.write_bytes(data)
    if not file.exists():
        file.write_bytes(smalti.encode(x, "fitted:steps=60,threads=1"))
    data = file.read_bytes()
    seconds = []
    for _ in range(max(repeats // 3, 3)):
        started = time.process_time()
        smalti.decode(data)
        seconds.append(time.process_time() - started)
    row["bpp"] = round(8 * len(data) / texels, 4)
    row["decode_mpix_s"] = round(texels / 1e6 / min(seconds), 3)
    sys.stdout.write(json.dumps(row))


def levels(picture) -> np.ndarray:
    """uint8 `H W C` of what a version's `load` and `decode` give: that, or a tensor `C H W`."""
    if hasattr(picture, "permute"):
        picture = picture.permute(1, 2, 0).numpy()
        return np.rint(picture * np.float32(255)).astype(np.uint8)
    return picture


def keep(path: Path | None, row: dict) -> None:
    line = json.dumps(row) + "\n"
    sys.stdout.write(line)
    if path:
        with path.open("a") as out:
            out.write(line)


if __name__ == "__main__":
    main()
