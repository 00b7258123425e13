"""Values a second of the entropy coders, beside another version of the package in the same run.

    python benchmarks/entropy.py kodim05.png --fitted kodim05.smt --before OTHER/bin/python \\
        > benchmarks/results/DATE-entropy.jsonl

Planes: a picture's colours, its green part alone, four planes as a model's latents are (a smooth
random field of 60 levels) and five planes of 8 levels as tokens are. `--fitted`: the grids of a file
that `smalti encode picture out.smt --codec fitted` wrote. `--before` is a Python in which the other
version is installed: both are asked for every measurement in turn, in processes of their own, on one
thread, so that a busy machine slows both alike. Figures are medians of processor time over the
rounds, in nanoseconds a value; a ratio is the median of the rounds' ratios. Both must make the same
bytes, and read them.
"""

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

SIGMA = 2.5  # of a latent's innovations
LEVELS = (6, 5, 4, 3, 2, 1, 1, 0)  # of a fitted picture's grids, unless set otherwise
TILE, HIDDEN = 256, 48
GRIDS = "fitted grids"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--fitted", type=Path)
    parser.add_argument("--before", help="a Python with another version of the package")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--worker", action="store_true", help="answer measurements; internal")
    asked = parser.parse_args()
    if asked.worker:
        work(runs(asked.picture, asked.fitted))
        return
    from smalti import native
    from smalti.eval.log import conditions

    header = {"instruction_set": native.instruction_set(), "threads": 1, "rounds": asked.rounds}
    sys.stdout.write(json.dumps(conditions("cpu") | header) + "\n")
    workers = {"now": started(sys.executable, os.environ)}
    if asked.before:
        # of the other version, as it is installed there
        other = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        workers["before"] = started(asked.before, other)
    for case in json.loads(ask(workers["now"], "cases")):
        values, _ = json.loads(ask(workers["now"], f"{case}/facts"))
        line = {"case": case, "values": values}
        digests = {json.loads(ask(w, f"{case}/facts"))[1] for w in workers.values()}
        if len(digests) > 1:
            sys.exit(f"{case}: the two versions make other bytes")
        for direction in ("decode",) if case == GRIDS else ("encode", "decode"):
            seconds: dict[str, list[float]] = {name: [] for name in workers}
            for _ in range(asked.rounds):
                for name, worker in workers.items():
                    seconds[name].append(float(ask(worker, f"{case}/{direction}")))
            for name, found in seconds.items():
                line[f"{direction}_ns_{name}"] = round(statistics.median(found) / values * 1e9, 1)
            if asked.before:
                pairs = zip(seconds["before"], seconds["now"], strict=True)
                line[f"{direction}_ratio"] = round(statistics.median(b / n for b, n in pairs), 2)
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


def started(python: str, environment: dict[str, str]) -> subprocess.Popen:
    """A worker, on one thread."""
    return subprocess.Popen(
        [python, *sys.argv, "--worker"],
        env=dict(environment) | {"SMALTI_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def ask(worker: subprocess.Popen, what: str) -> str:
    worker.stdin.write(what + "\n")
    worker.stdin.flush()
    return worker.stdout.readline()


def work(cases: dict[str, tuple[int, Callable[[], bytes], Callable[[bytes], bool]]]) -> None:
    """Answer lines of standard input until it ends."""
    coded: dict[str, bytes] = {}
    for line in sys.stdin:
        case, _, what = line.strip().partition("/")
        if case == "cases":
            answer = json.dumps(list(cases))
        else:
            values, encode, decode = cases[case]
            if case not in coded:  # compiles, and warms the caches
                coded[case] = encode()
                if not decode(coded[case]):
                    sys.exit(f"{case} does not decode to itself")
            if what == "facts":
                answer = json.dumps([values, hashlib.sha256(coded[case]).hexdigest()])
            else:
                begun = time.process_time()
                encode() if what == "encode" else decode(coded[case])
                answer = str(time.process_time() - begun)
        sys.stdout.write(answer + "\n")
        sys.stdout.flush()


def runs(
    picture: Path, fitted: Path | None
) -> dict[str, tuple[int, Callable[[], bytes], Callable[[bytes], bool]]]:
    """Of each case the number of values, how it is encoded, and whether it decodes to itself."""
    from smalti.entropy import decode_planes, encode_planes

    colours = np.asarray(Image.open(picture).convert("RGB")).transpose(2, 0, 1).astype(np.int32)
    cases = {
        "latents, 4 x 96 x 64, 60 levels": (field(4, 96, 64), 60),
        "tokens, 5 x 64 x 64, 8 levels": (np.clip(field(5, 64, 64) // 8, 0, 7), 8),
        "green, 256 levels": (colours[1:2], 256),
        "colours, 256 levels": (colours, 256),
    }
    found = {}
    for name, (values, count) in cases.items():
        levels = [count] * len(values)
        found[name] = (
            values.size,
            lambda values=values, levels=levels: encode_planes(values, levels),
            lambda data, values=values, levels=levels: np.array_equal(
                decode_planes(data, values.shape, levels), values
            ),
        )
    if fitted:
        found[GRIDS] = grids(fitted)
    return found


def field(planes: int, height: int, width: int) -> np.ndarray:
    """A smooth random field, 0 .. 59."""
    values = np.random.default_rng(2).normal(scale=SIGMA, size=(planes, height, width))
    for y in range(1, height):
        for x in range(1, width):
            values[:, y, x] += 0.55 * values[:, y, x - 1] + 0.4 * values[:, y - 1, x]
    return np.clip(np.rint(values + 30), 0, 59).astype(np.int32)


def grids(path: Path) -> tuple[int, Callable[[], bytes], Callable[[bytes], bool]]:
    """The values of a fitted picture, which is only read here."""
    from smalti import container

    room = "smalti.fitted" if find_spec("smalti.fitted") else "smalti.fits.picture"  # before, now
    draw, file, layouts, networks = (
        import_module(f"{room}.{name}") for name in ("draw", "file", "layout", "network")
    )

    held = container.read(path.read_bytes())
    layout = layouts.Layout(held.height, held.width, LEVELS, TILE)
    # threads of versions before native kernels
    crew = (draw.Crew(1),) if hasattr(draw, "Crew") else ()

    def read() -> np.ndarray:
        network = networks.Network.of(len(LEVELS), held.channels, HIDDEN, max(LEVELS))
        return file.read(held.sections, layout, network, *crew)

    values = read()
    written = values.astype("<i4").tobytes()
    return layout.count, lambda: written, lambda _: np.array_equal(read(), values)


if __name__ == "__main__":
    main()
