"""The patch autoencoder's fast form against the model as specified, and against TAESD.

    pip install diffusers
    OMP_NUM_THREADS=1 python benchmarks/patch_speed.py [SIDE [RUNS]] > benchmarks/results/DATE-patch-speed.jsonl

One picture of SIDE x SIDE texels (512). TAESD is diffusers' AutoencoderTiny with random weights,
which cost as much time as trained ones. Every contender runs once in each round, so that a busy
machine slows all of them; the figures are medians over the rounds, of processor time. A ratio is
between the best of each side over dtype and memory layout. The share of the peak is of the
machine's own product of two 2048 x 2048 matrices (oneDNN's, the fastest here) in the same dtype.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

import smalti
from smalti import models
from smalti.eval.log import conditions

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
LAYOUTS = {"nchw": torch.contiguous_format, "nhwc": torch.channels_last}
MATRIX = 2048


def main() -> None:
    side = int(sys.argv[1]) if len(sys.argv) > 1 else 512
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    with torch.no_grad():
        runs, peaks = contenders(side), peak_runs()
        gflop = {key: operations(run) / 1e9 for key, run in runs.items()}  # and warms up
        seconds: dict[tuple[str, ...], list[float]] = {key: [] for key in [*runs, *peaks]}
        for _ in range(rounds):
            for key, run in {**runs, **peaks}.items():
                started = time.process_time()
                run()
                seconds[key].append(time.process_time() - started)
    median = {key: statistics.median(values) for key, values in seconds.items()}
    peak = {dtype: 2 * MATRIX**3 / 1e9 / median["product", dtype] for dtype in DTYPES}
    threads = {"threads": torch.get_num_threads(), "side": side, "rounds": rounds}
    lines = [conditions("cpu") | threads]
    lines += [{"product": dtype, "gflop_s": round(value, 1)} for dtype, value in peak.items()]
    for (name, half, dtype, layout), value in gflop.items():
        speed = value / median[name, half, dtype, layout]
        lines.append(
            {
                "model": name,
                "half": half,
                "dtype": dtype,
                "layout": layout,
                "gflop": round(value, 2),
                "ms": round(1e3 * median[name, half, dtype, layout], 1),
                "share_of_peak": round(speed / peak[dtype], 3),
            }
        )
    lines += ratios(median)
    sys.stdout.writelines(json.dumps(line) + "\n" for line in lines)


def contenders(side: int) -> dict[tuple[str, ...], Callable[[], torch.Tensor]]:
    """(model, half, dtype, layout) -> one run."""
    from diffusers import AutoencoderTiny

    torch.manual_seed(0)
    x = 2 * torch.rand(1, 3, side, side) - 1
    found = {}
    for dtype_name, dtype in DTYPES.items():
        for layout_name, layout in LAYOUTS.items():
            plain = smalti.load_model("patch-f8c16").to(dtype, memory_format=layout)
            tiny = AutoencoderTiny().eval().to(dtype, memory_format=layout)
            halves = {
                "plain": (plain.encoder, plain.decoder, 16),
                "taesd": (tiny.encoder, tiny.decoder, 4),
            }
            if layout_name == "nhwc":  # its cells are rows, whatever the layout of the picture
                fast = models.fast(plain)
                halves["fast"] = (fast.encode, fast.decode, 16)
            for name, (encode, decode, channels) in halves.items():
                picture = x.to(dtype, memory_format=layout)
                z = torch.randn(1, channels, side // 8, side // 8).to(dtype, memory_format=layout)
                key = (dtype_name, layout_name)
                found[name, "encode", *key] = lambda run=encode, v=picture: run(v)
                found[name, "decode", *key] = lambda run=decode, v=z: run(v)
    return found


def peak_runs() -> dict[tuple[str, ...], Callable[[], torch.Tensor]]:
    """A large product of matrices in each dtype, through torch's convolution as well as linear."""
    found = {}
    for name, dtype in DTYPES.items():
        a = torch.randn(MATRIX, MATRIX).to(dtype)
        if dtype == torch.float32:  # for 16 pictures and more a 1 x 1 convolution is oneDNN's
            batch = a.view(16, MATRIX // 16, 1, MATRIX).permute(0, 3, 1, 2)
            kernel = a.view(MATRIX, MATRIX, 1, 1)
            found["product", name] = lambda x=batch, w=kernel: F.conv2d(x, w)
        else:
            found["product", name] = lambda x=a: F.linear(x, x)
    return found


def operations(run: Callable[[], torch.Tensor]) -> float:
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def ratios(median: dict[tuple[str, ...], float]) -> list[dict[str, str | float]]:
    def best(name: str, half: str, dtype: str = "") -> float:
        return min(
            value
            for key, value in median.items()
            if key[:2] == (name, half) and dtype in ("", key[2])
        )

    found: list[dict[str, str | float]] = []
    for half in ("encode", "decode"):
        for dtype in DTYPES:
            base = best("plain", half, "float32")
            times = round(base / best("fast", half, dtype), 2)
            found.append({"half": half, "fast": dtype, "times_plain_float32": times})
        times = round(best("taesd", half) / best("fast", half), 2)
        found.append({"half": half, "times_taesd_both_at_their_best": times})
    return found


if __name__ == "__main__":
    main()
