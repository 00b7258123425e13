"""Exported models in onnxruntime against torch, and the 8-bit forms of the RGBA models.

    pip install 'smalti[onnx]'
    OMP_NUM_THREADS=1 python benchmarks/onnx_export.py kodak rgba > DATE-onnx-export.jsonl

One thread everywhere. Times are medians of processor time; torch and onnxruntime take turns, so
that a busy machine slows both. `torch_fast_ms` is the patch autoencoder's fast form. PSNR of the
8-bit forms: 8-bit pictures through both halves against the picture, on premultiplied RGBA, means
over the pictures of each folder and over the bundled ones.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch

import smalti
from smalti import models
from smalti.eval.log import conditions
from smalti.export.int8 import quantised
from smalti.export.onnx import HALVES, to_onnx
from smalti.files import BUNDLED_PICTURES, PICTURE_SUFFIXES
from smalti.models.base import Model
from smalti.models.pictures import to_tensor

MODELS = ("fsq-1m", "patch-f8c16", "rgba-boxes", "rgba-finetune")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="*", help="pictures for the 8-bit forms")
    parser.add_argument("--models", nargs="*", default=MODELS)
    parser.add_argument("--sides", type=int, nargs="*", default=[256, 512])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    versions = {"onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__}
    start = conditions("cpu") | versions | {"rounds": options.rounds}
    torch.set_num_threads(1)
    say(start | {"threads": 1})
    for name in options.models:
        model = smalti.load_model(name).requires_grad_(False)
        graphs = {half: to_onnx(model, half) for half in HALVES}
        for side in options.sides:
            for line in against_torch(name, model, graphs, side, options.rounds):
                say(line)
        if name.startswith("rgba"):
            forms = {how: quantised(model, graphs, how) for how in ("static", "dynamic")}
            for line in eight_bits(name, {"float32": graphs} | forms, options):
                say(line)


def say(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def session(graph: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(graph.SerializeToString(), options)


def against_torch(
    name: str, model: Model, graphs: dict[str, onnx.ModelProto], side: int, rounds: int
) -> list[dict[str, Any]]:
    """A line for each half at one size: largest difference, and time."""
    x = 2 * torch.rand(1, model.channels, side, side) - 1
    found = []
    for half, given in (("encoder", x), ("decoder", model.encode(x))):
        run = session(graphs[half])
        feed = {run.get_inputs()[0].name: given.numpy()}
        own = model.encode if half == "encoder" else model.decode
        runs: dict[str, Callable] = {
            "torch": lambda own=own, given=given: own(given),
            "onnxruntime": lambda run=run, feed=feed: run.run(None, feed)[0],
        }
        if name.startswith("patch"):
            fast = getattr(models.fast(model), half.removesuffix("r"))
            runs["torch_fast"] = lambda fast=fast, given=given: fast(given)
        expected, got = runs["torch"](), torch.from_numpy(runs["onnxruntime"]())
        line = {"model": name, "half": half, "side": side}
        if got.dtype == torch.int64:
            line["tokens_differing"] = int((got != expected).sum())
        else:
            line["largest_difference"] = float((got - expected).abs().max())
        times = medians(runs, rounds)
        found.append(line | {f"{key}_ms": value for key, value in times.items()})
    return found


def medians(runs: dict[str, Callable], rounds: int) -> dict[str, float]:
    seconds: dict[str, list[float]] = {key: [] for key in runs}
    for _ in range(rounds):
        for key, run in runs.items():
            started = time.process_time()
            run()
            seconds[key].append(time.process_time() - started)
    return {key: round(1e3 * statistics.median(values), 2) for key, values in seconds.items()}


def eight_bits(
    name: str, forms: dict[str, dict[str, onnx.ModelProto]], options: argparse.Namespace
) -> list[dict[str, Any]]:
    """A line for each form: bytes of both files, PSNR on each folder, time at each size."""
    sessions = {form: [session(halves[half]) for half in HALVES] for form, halves in forms.items()}
    lines = {form: {"model": name, "precision": form} for form in forms}
    with tempfile.TemporaryDirectory() as folder:
        for form, halves in forms.items():
            path = Path(folder) / "a.onnx"
            for half in HALVES:
                onnx.save(halves[half], path)
                lines[form][f"{half}_bytes"] = path.stat().st_size
    for folder in (BUNDLED_PICTURES, *options.folders):
        paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in PICTURE_SUFFIXES)
        for form, (encode, decode) in sessions.items():
            values = [psnr(encode, decode, path) for path in paths]
            kind = "bundled" if folder == BUNDLED_PICTURES else folder.name
            lines[form][f"psnr_{kind}"] = round(statistics.mean(values), 3)
    for side in options.sides:
        x = np.random.default_rng(0).random((1, 4, side, side), np.float32)
        for number, half in enumerate(HALVES):
            runs = {
                form: lambda run=both[number], x=x: run.run(None, {run.get_inputs()[0].name: x})
                for form, both in sessions.items()
            }
            for form, value in medians(runs, options.rounds).items():
                lines[form][f"{half}_ms_{side}"] = value
            x = sessions["float32"][0].run(None, {"pictures": x})[0]
    return list(lines.values())


def psnr(
    encode: onnxruntime.InferenceSession, decode: onnxruntime.InferenceSession, path: Path
) -> float:
    x = to_tensor(path, 0)[0]
    x = torch.cat([x, torch.ones_like(x[:1])]) if x.shape[0] == 3 else x
    x = x[:, : x.shape[1] // 16 * 16, : x.shape[2] // 16 * 16].numpy()
    (z,) = encode.run(None, {"pictures": 2 * x[None] - 1})
    x_hat = np.round((decode.run(None, {"latents": z})[0][0] + 1) / 2 * 255) / 255
    difference = np.concatenate([x[:3] * x[3:] - x_hat[:3] * x_hat[3:], x[3:] - x_hat[3:]])
    return float(-10 * np.log10(np.mean(difference**2)))


if __name__ == "__main__":
    main()
