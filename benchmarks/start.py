"""What starting costs: wall and processor time and peak memory of whole commands.

    python benchmarks/start.py PICTURE [--large] [--repeats 9] > results/DATE-start.jsonl

Each command runs in a process of its own with the interpreter that runs this script (on
Linux: the peak is from /proc); the first run of
each is reported apart (`first_s`), then the median of --repeats. --large: the picture tiled to 8192 x 8192, from PNG to .dds.
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

from PIL import Image

import smalti
from smalti import native

COMMANDS = {
    "encode a.png a.dds, medium": "encode a.png {out}.dds --force",
    "encode a.png a.dds, fast": "encode a.png {out}.dds --effort fast --force",
    "encode a.png a.dds, medium, --quiet": "encode a.png {out}.dds --quiet --force",
    "--help": "--help",
    "encode --help": "encode --help",
    "help bc7": "help bc7",
    "help fitted": "help fitted",
    "help fsq-1m": "help fsq-1m",
    "metrics of a picture and a small file": "metrics small.png small.smt",
    "unpack --arrays of a small bc7 file": "unpack small.smt --arrays {out}.npz --force",
    "--version": "--version",
    "list": "list",
    "info of a bc7 file": "info small.smt",
    "decode of a small bc7 file": "decode small.smt {out}.png --force",
    "decode a.dds a.png": "decode a.dds {out}.png --force",
}
# The peak is read by the command itself: rusage counts what its parent held before exec, too.
PROBE = """
import sys
from smalti.cli import main
try:
    main()
finally:
    sys.stdout.flush()
    sys.stderr.write(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
LARGE = "encode large.png {out}.dds --effort fast --force"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("picture", type=Path)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--large", action="store_true")
    options = parser.parse_args()
    picture = Image.open(options.picture).convert("RGB")
    say(
        {
            "date": time.strftime("%Y-%m-%d"),
            "smalti": smalti.__version__,
            "picture": f"{options.picture.name}, {picture.width} x {picture.height}",
            "instruction_set": native.instruction_set(),
            "threads": native.threads(),
            "load_average": round(os.getloadavg()[0], 1),
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        picture.save("a.png")
        Path("small.smt").write_bytes(smalti.encode(smalti.load("a.png")[:64, :64]))
        picture.crop((0, 0, 64, 64)).save("small.png")
        Path("a.dds").write_bytes(smalti.encode("a.png", suffix=".dds"))
        for name, command in COMMANDS.items():
            say(measured(name, command, options.repeats))
        if options.large:
            tiled(picture, 8192).save("large.png")
            row = measured("8192 x 8192 PNG to .dds, fast", LARGE, min(options.repeats, 3))
            say(row | {"png_bytes": Path("large.png").stat().st_size})


def say(line: dict) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def tiled(picture: Image.Image, side: int) -> Image.Image:
    large = Image.new("RGB", (side, side))
    for top in range(0, side, picture.height):
        for left in range(0, side, picture.width):
            large.paste(picture, (left, top))
    return large


def measured(name: str, command: str, repeats: int) -> dict:
    runs = [run(command.format(out=f"out{i}").split()) for i in range(repeats + 1)]
    walls, cpus, peaks = zip(*runs, strict=True)
    return {
        "command": name,
        "first_s": round(walls[0], 3),
        "wall_s": round(statistics.median(walls[1:]), 3),
        "cpu_s": round(statistics.median(cpus[1:]), 3),
        "peak_mb": round(max(peaks) / 1e6),
    }


def run(arguments: list[str]) -> tuple[float, float, int]:
    """Seconds by the clock, seconds of processor time, bytes of memory at the peak."""
    before = os.times()
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *arguments], capture_output=True, text=True, check=False
    )
    wall, after = time.perf_counter() - start, os.times()
    said, _, peak = done.stderr.rpartition("VmHWM:")
    if done.returncode:
        raise SystemExit(f"smalti {' '.join(arguments)}: {said}")
    cpu = (
        after.children_user + after.children_system - before.children_user - before.children_system
    )
    return wall, cpu, int(peak.split()[0]) * 1024


if __name__ == "__main__":
    main()
