"""BC7: quality and speed of every effort beside other encoders, decoded by another's decoder.

    SMALTI_NUM_THREADS=1 python benchmarks/bc7.py kodak > benchmarks/results/DATE-bc7-kodak12.jsonl

The tables, one JSON line an encoder each, and for people on stderr:

- PICTURES: one table for each folder or file. Pictures with transparency get the alpha columns:
  PSNR of R, G, B and A of all texels, of those that are not invisible (alpha 0), and of the
  premultiplied picture (`smalti.eval.metrics`).
- --textures FOLDER: FOLDER/*/albedo.png, and FOLDER/*/normal.png with the angle between normals.
- --large PICTURE: tiled to 8192 x 8192, each effort in a process of its own (bc7_large.py).

Speed is texels a second of processor time. All encoders take their turns on a picture before the
next one, and a calibration loop takes its turn too: compare the ratios to it, or to etcpak, and not
the MPix/s of different runs. Of each picture the median counts.
"""

import argparse
import importlib.metadata
import io
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import texture2ddecoder
from bc7_contenders import CALIBRATION_MEGA_OPERATIONS, Contender, calibration_loops, contenders
from PIL import Image

from smalti import native
from smalti.bc7.decode import decode_image
from smalti.bc7.search import EFFORTS
from smalti.errors import SmaltiError
from smalti.eval.log import conditions, json_number
from smalti.eval.metrics import PEAK, psnr
from smalti.textures import Texture, write_texture

WARM_SECONDS = 0.1
MOST_SECONDS = 2.0  # of processor time for the runs of one encoder on one picture
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
LARGE_THREADS = (1, 2)


def main() -> None:
    options = _options()
    encoders = contenders(
        options.efforts, options.rivals, options.only, with_packages=not options.no_packages
    )
    if not encoders:
        raise SystemExit("no encoder to measure: --efforts is empty and no rival fits --only")
    tables = {path.resolve().stem: _pictures(path) for path in options.pictures}
    if options.textures:
        for kind in ("albedo", "normal"):
            tables[f"textures {kind}"] = sorted(options.textures.glob(f"*/{kind}.png"))
    for name, paths in tables.items():
        if not paths:
            raise SystemExit(f"{name} holds no picture ({', '.join(SUFFIXES)})")

    _write([conditions("cpu") | _machine()])
    for name, paths in tables.items():
        lines, further = _table(name, paths, encoders, options.repeats)
        _write(lines + further)
        _show(name, lines, further)
    if options.large:
        lines = list(_large(options.large, options.efforts))
        _write(lines)
        _show("8192 x 8192", lines, [])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Quality and speed of the BC7 encoder.")
    parser.add_argument("pictures", nargs="*", type=Path, help="folders or files, a table each")
    parser.add_argument("--efforts", nargs="*", default=list(EFFORTS))
    parser.add_argument("--rivals", nargs="*", type=Path, default=[], help="shared libraries")
    parser.add_argument("--only", nargs="*", default=["*"], help="which rivals: names or patterns")
    parser.add_argument("--no-packages", action="store_true")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each, fewer if it is slow")
    parser.add_argument("--textures", type=Path, help="a folder of materials")
    parser.add_argument("--large", type=Path, help="the picture to tile to 8192 x 8192")
    options = parser.parse_args()
    if options.repeats < 1:
        parser.error(f"--repeats is {options.repeats}; it is at least 1")
    if not (options.pictures or options.textures or options.large):
        parser.error("no pictures: name a folder, --textures or --large")
    for path in [*options.pictures, *options.rivals, options.textures, options.large]:
        if path and not path.exists():
            parser.error(f"{path} does not exist")
    return options


def _pictures(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)


def _machine() -> dict[str, Any]:
    """What decides the speed of kernels."""
    return {
        "instruction_set": native.instruction_set(),
        "texture2ddecoder": importlib.metadata.version("texture2ddecoder"),
    }


def _load(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image.convert("RGBA"))


def _to_whole_blocks(image: np.ndarray) -> np.ndarray:
    """Repeat the edges, as smalti does by itself: not every encoder takes any size."""
    height, width = image.shape[:2]
    return np.pad(image, ((0, -height % 4), (0, -width % 4), (0, 0)), mode="edge")


# One table: the same pictures through all encoders.


def _table(
    name: str, paths: list[Path], encoders: list[Contender], repeats: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A line an encoder, and lines on the calibration loops and on decoding."""
    loops = calibration_loops()
    _check_decoders(_load(paths[0]), encoders)
    values = {e.name: defaultdict(list) for e in encoders}
    modes = {e.name: np.zeros(9, np.int64) for e in encoders}
    seconds: dict[str, float] = defaultdict(float)
    texels = opaque = transparent = 0
    to_decode: dict[str, list[tuple[bytes, int, int]]] = defaultdict(list)
    for position, path in enumerate(paths):
        _note(f"\r{name}: {position} of {len(paths)} pictures")
        image = _load(path)
        height, width = image.shape[:2]
        whole = _to_whole_blocks(image)
        runs: dict[str, Callable[[], Any]] = {
            e.name: lambda encode=e.encode, whole=whole: encode(whole) for e in encoders
        }
        runs |= {f"loop {language}": loop for language, loop in loops.items()}
        taken, blocks = _take_turns(runs, repeats)
        for run, s in taken.items():
            seconds[run] += s
        texels += height * width
        opaque += int((image[..., 3] == 255).sum())
        transparent += int((image[..., 3] == 0).sum())
        for encoder in encoders:
            x_hat = _decode(blocks[encoder.name], whole)[:height, :width]
            for key, value in _quality(image, x_hat, normals=path.stem == "normal").items():
                values[encoder.name][key].append(value)
            modes[encoder.name] += _mode_counts(blocks[encoder.name])
            to_decode[encoder.name].append((blocks[encoder.name], *whole.shape[:2]))
    _note("\r\033[K")

    speeds = {run: texels / 1e6 / s for run, s in seconds.items()}
    loop_speeds = {
        language: CALIBRATION_MEGA_OPERATIONS * len(paths) / seconds[f"loop {language}"]
        for language in loops
    }
    lines = []
    for encoder in encoders:
        found = values[encoder.name]
        line = {"set": name, "pictures": len(paths), "encoder": encoder.name}
        line |= {"version": encoder.version}
        totals = {"wrong_opaque": opaque, "wrong_transparent": transparent}
        for key, numbers in found.items():
            if key in totals:
                line[key] = _rounded(sum(numbers) / totals[key], 6) if totals[key] else None
            else:
                line[key] = _rounded(statistics.mean(numbers), 4)
        speed = speeds[encoder.name]
        line["mpix_s"] = _rounded(speed, 3)
        for language, mops in loop_speeds.items():
            line[f"kpix_per_gop_{language}"] = _rounded(1e6 * speed / mops, 2)
        if "etcpak linear" in speeds:
            line["to_etcpak"] = _rounded(speed / speeds["etcpak linear"], 3)
        share = 100 * modes[encoder.name] / modes[encoder.name].sum()
        line["modes_percent"] = [_rounded(float(s), 2) for s in share[:8]]
        lines.append(line)
    further = [
        {"set": name, "calibration": language, "mop_s": _rounded(mops, 1)}
        for language, mops in loop_speeds.items()
    ]
    for encoder in encoders:
        if encoder.ours:
            line = {"set": name, "decoder": "smalti", "blocks_of": encoder.name}
            further.append(line | _decoding(to_decode[encoder.name], repeats))
    return lines, further


def _take_turns(
    runs: dict[str, Callable[[], Any]], repeats: int
) -> tuple[dict[str, float], dict[str, Any]]:
    """Median seconds of processor time of each, and what each gave.

    Each turn is one run of all. One whose runs would take over MOST_SECONDS gets fewer turns; one
    that takes less than WARM_SECONDS is run once more before, untimed: what ran before it would
    decide a tenth to a half of its time by what it left in the caches.
    """
    taken: dict[str, list[float]] = {name: [] for name in runs}
    results = {}
    for turn in range(repeats):
        for name, run in runs.items():
            if turn and (turn + 1) * taken[name][0] > MOST_SECONDS:
                continue
            if turn and taken[name][0] < WARM_SECONDS:
                run()
            started = time.process_time()
            results[name] = run()
            taken[name].append(time.process_time() - started)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}, results


def _check_decoders(image: np.ndarray, encoders: list[Contender]) -> None:
    """Stop unless three decoders agree on every encoder's blocks; compiles what is compiled late.

    texture2ddecoder's texels are those that are measured; Pillow reads the same blocks from a DDS
    file.
    """
    whole = _to_whole_blocks(image)
    height, width = whole.shape[:2]
    for encoder in encoders:
        try:
            blocks = encoder.encode(whole)
        except SmaltiError as error:  # such as an unknown effort
            raise SystemExit(str(error)) from error
        x_hat = _decode(blocks, whole)
        texture = Texture("bc7", True, height, width, (blocks,))
        with Image.open(io.BytesIO(write_texture(texture, ".dds"))) as dds:
            by_pillow = np.asarray(dds.convert("RGBA"))
        others = {"Pillow": by_pillow, "smalti": decode_image(blocks, height, width)}
        for other, texels in others.items():
            if not np.array_equal(x_hat, texels):
                count = int((x_hat != texels).any(axis=2).sum())
                raise SystemExit(
                    f"{encoder.name}: texture2ddecoder and {other} differ in {count} texels"
                )


def _decode(blocks: bytes, whole: np.ndarray) -> np.ndarray:
    height, width = whole.shape[:2]
    bgra = texture2ddecoder.decode_bc7(blocks, width, height)
    return np.frombuffer(bgra, np.uint8).reshape(height, width, 4)[..., [2, 1, 0, 3]]


def _quality(x: np.ndarray, x_hat: np.ndarray, *, normals: bool) -> dict[str, float]:
    """PSNRs in dB and counts of texels; x and x_hat are uint8 (H, W, 4)."""
    alpha, alpha_hat = x[..., 3], x_hat[..., 3]
    found = {"psnr": psnr(x[..., :3], x_hat[..., :3])}
    if alpha.min() < 255:
        squares = np.square(x.astype(np.float64) - x_hat)
        found["psnr_rgba"] = _decibels(squares)
        if alpha.max() > 0:
            found["psnr_rgba_visible"] = _decibels(squares[alpha > 0])
        found["psnr_premultiplied"] = psnr(x, x_hat)
    if normals:
        found["mean_degrees"] = _mean_degrees(x, x_hat)
    found["wrong_opaque"] = int((alpha_hat[alpha == 255] != 255).sum())
    found["wrong_transparent"] = int((alpha_hat[alpha == 0] != 0).sum())
    return found


def _decibels(squares: np.ndarray) -> float:
    mse = squares.mean()
    return 10 * math.log10(PEAK**2 / mse) if mse else math.inf


def _mean_degrees(x: np.ndarray, x_hat: np.ndarray) -> float:
    """Mean angle between two maps of unit normals stored as (n + 1) / 2."""
    a, b = (2 * texels[..., :3].astype(np.float64) / 255 - 1 for texels in (x, x_hat))
    # atan2 of cross and dot product: arccos of the dot product is blind to small angles.
    cross = np.linalg.norm(np.cross(a, b), axis=2)
    return float(np.degrees(np.arctan2(cross, (a * b).sum(axis=2))).mean())


def _mode_counts(blocks: bytes) -> np.ndarray:
    """How many blocks have mode 0 .. 7; last, how many have none (first byte 0)."""
    first = np.frombuffer(blocks, np.uint8)[::16].astype(np.uint32) | 0x100
    return np.bincount(np.log2(first & (~first + 1)).astype(int), minlength=9)


def _decoding(sources: list[tuple[bytes, int, int]], repeats: int) -> dict[str, float]:
    """MPix a second of processor time in one thread, and of wall time in one and in two."""
    texels = sum(height * width for _, height, width in sources) / 1e6
    speeds = {}
    for threads in (1, 2):
        native.set_threads(threads)
        wall = processor = 0.0
        for blocks, height, width in sources:
            times = []
            for _ in range(repeats):
                started, processor_started = time.perf_counter(), time.process_time()
                decode_image(blocks, height, width)
                times.append(
                    (time.perf_counter() - started, time.process_time() - processor_started)
                )
            wall += min(run[0] for run in times)
            processor += statistics.median(run[1] for run in times)
        if threads == 1:
            speeds["mpix_s"] = _rounded(texels / processor, 1)
        speeds[f"mpix_s_wall_{threads}"] = _rounded(texels / wall, 1)
    native.set_threads(None)
    return speeds


# A texture as large as games have them.


def _large(path: Path, efforts: list[str]) -> Iterable[dict[str, Any]]:
    script = Path(__file__).with_name("bc7_large.py")
    for effort in efforts:
        for threads in LARGE_THREADS:
            _note(f"\r8192 x 8192: {effort}, {threads} threads\033[K")
            run = subprocess.run(
                [sys.executable, str(script), str(path), effort],
                env=os.environ | {"SMALTI_NUM_THREADS": str(threads)},
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            )
            yield {"set": "8192 x 8192", "picture": path.stem} | json.loads(run.stdout)
    _note("\r\033[K")


# What comes out.


def _rounded(value: float, digits: int) -> Any:
    return json_number(value if not math.isfinite(value) else round(value, digits))


def _write(lines: list[dict[str, Any]]) -> None:
    sys.stdout.writelines(json.dumps(line, allow_nan=False) + "\n" for line in lines)
    sys.stdout.flush()


def _note(text: str) -> None:
    """Progress, for people only."""
    if sys.stderr.isatty():
        sys.stderr.write(text)
        sys.stderr.flush()


def _show(title: str, lines: list[dict[str, Any]], further: list[dict[str, Any]]) -> None:
    """The lines as a table."""
    keys = [key for key in lines[0] if key not in ("set", "pictures", "picture", "version")]
    rows = [keys] + [[_cell(line.get(key)) for key in keys] for line in lines]
    widths = [max(len(row[column]) for row in rows) for column in range(len(keys))]
    sys.stderr.write(f"{title}\n")
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        sys.stderr.write("  ".join(cells) + "\n")
    for line in further:
        sys.stderr.write("  ".join(f"{k} {v}" for k, v in line.items() if k != "set") + "\n")
    sys.stderr.write("\n")


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return "/".join(f"{number:.0f}" for number in value)
    return "" if value is None else str(value)


if __name__ == "__main__":
    main()
