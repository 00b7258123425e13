"""A step of R2ID and a decode of R2IR: a plain graph of modules, the model, and its fast form.

    OMP_NUM_THREADS=1 python benchmarks/r2_speed.py [ROUNDS] > benchmarks/results/DATE-r2-speed.jsonl
    python benchmarks/r2_speed.py ROUNDS --steps float32    without plain bfloat16, slow where emulated
    python benchmarks/r2_speed.py --decode [SIDE]           of the decodes alone (512)

A step is one latent of 32 x 32 (and 8 x 8) with two conditionings, the published width of 192. The
weights are random, which cost as much time as trained ones; the outputs of all are compared first.
Every contender runs once in each round, so that a busy machine slows all of them; the figures are
medians over the rounds, of processor time. "plain, bfloat16" is the plain graph after
`.to(torch.bfloat16)`, "plain, autocast" under `torch.autocast`.

Operations are those of products of matrices, a multiplication and an addition being two; bytes are
what every operation that is no view reads and writes, each tensor once. Floors: the operations
that no form here avoids, at the rate of a product of two 2048 x 2048 matrices; and 6 token vectors
read or written in a block without text, 8 in one with, which two norms and an attention enforce.
Memory is the highest resident size during a decode to SIDE x SIDE, above that before it, each in a
process of its own.
"""

import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import torch
from r2_plain import PlainDecoder, PlainDiffuser
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from smalti import models
from smalti.eval.log import conditions
from smalti.models.legacy.r2 import LegacyDiffuser, LegacyResampler

SIDES = (32, 8)
DRAWN = 512
MATRIX = 2048
SLOW = 1  # round of what takes more than 5 s
STATUS = Path("/proc/self/status")


def main() -> None:
    if sys.argv[1:2] == ["--peak"]:
        sys.stdout.write(json.dumps(decode_once(sys.argv[2], int(sys.argv[3]))))
        return
    if sys.argv[1:2] == ["--decode"]:
        emit(conditions("cpu"))
        decodes(int(sys.argv[2]) if len(sys.argv) > 2 else DRAWN)
        return
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    quick = sys.argv[2:] == ["--steps", "float32"]
    emit(conditions("cpu") | {"rounds": rounds, "bfloat16_instructions": has_bfloat16()})
    with torch.no_grad():
        a = torch.randn(MATRIX, MATRIX)
        rate = 2 * MATRIX**3 / 1e9 / median_of({"product": lambda: a @ a}, rounds)["product"]
        emit({"product": "float32", "gflop_s": round(rate, 1)})
        for side in SIDES:
            steps(side, rounds, rate, emulated=not quick)
    if not quick:
        decodes(DRAWN)


def decodes(side: int) -> None:
    for form in ("fast", "plain", "fast bounded"):
        command = [sys.executable, __file__, "--peak", form, str(side)]
        emit(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))


def steps(side: int, rounds: int, rate: float, *, emulated: bool) -> None:
    """One line a contender, with plain bfloat16 if `emulated`."""
    model, text = diffuser(), [torch.randn(1, 2, 192) for _ in range(2)]
    z, alpha = torch.randn(1, 64, side, side), torch.tensor([0.5])
    plain, fast = PlainDiffuser(model).eval(), models.fast(model)
    short = deepcopy(plain).to(torch.bfloat16)
    short_text = [t.bfloat16() for t in text]
    rounded = models.fast(model, dtype=torch.bfloat16)
    texts, rounded_texts = fast.texts(text), rounded.texts(text)

    def autocast() -> list[Tensor]:
        with torch.autocast("cpu", torch.bfloat16):
            return plain(z, alpha, text)

    runs: dict[str, Callable[[], list[Tensor]]] = {
        "plain, float32": lambda: plain(z, alpha, text),
        "model, float32": lambda: model(z, alpha, text),
        "fast, float32": lambda: fast(z, alpha, texts),
        "fast, bfloat16": lambda: rounded(z, alpha, rounded_texts),
    }
    if emulated:
        runs["plain, bfloat16"] = lambda: short(z.bfloat16(), alpha.bfloat16(), short_text)
        runs["plain, autocast"] = autocast
    expected = runs["plain, float32"]()
    lines = {}
    for name, run in runs.items():
        with Counter() as counter:
            found = run()
        worst = max(
            float((a - b).abs().max() / b.std()) for a, b in zip(found, expected, strict=True)
        )
        lines[name] = {
            "step": name,
            "latent": side,
            "difference": float(f"{worst:.2g}"),
            "gflop": round(counter.flop / 1e9, 2),
            "gb": round(counter.bytes / 1e9, 3),
            "operations": counter.calls,
        }
    seconds = median_of(runs, rounds)
    for name, line in lines.items():
        emit(line | {"ms": round(1e3 * seconds[name], 1)})
    flop, size = floors(side**2)
    ratios = {
        "fast_float32_times_plain_float32": seconds["plain, float32"] / seconds["fast, float32"],
        "fast_bfloat16_times_plain_float32": seconds["plain, float32"] / seconds["fast, bfloat16"],
    }
    if emulated:
        best = min(seconds["plain, bfloat16"], seconds["plain, autocast"])
        ratios["fast_bfloat16_times_plain_bfloat16"] = best / seconds["fast, bfloat16"]
    emit(
        {
            "latent": side,
            "floor_gflop": round(flop / 1e9, 2),
            "floor_ms": round(1e3 * flop / 1e9 / rate, 1),
            "floor_gb": {"float32": round(4 * size / 1e9, 4), "bfloat16": round(2 * size / 1e9, 4)},
        }
        | {key: round(value, 2) for key, value in ratios.items()}
    )


def floors(tokens: int) -> tuple[float, float]:
    """Operations of a step and numbers moved, for width C, 8 + 8 blocks and two conditionings.

    C² multiplications a token: 4 of self-attention (q, k, the keys' sum, the read), 8 of the
    feed-forward network, 1 of the text's queries. The first self-attention and text's queries of
    the decoder are shared.
    """
    c = 192
    squares = 8 * 12 + 2 * 8 * 13 - 5
    flop = 2 * tokens * (squares * c**2 + 64 * c * 3)
    return flop, tokens * c * (8 * 6 + 2 * 8 * 8)


def diffuser() -> LegacyDiffuser:
    torch.manual_seed(0)
    return shaken(LegacyDiffuser())


def shaken(model: nn.Module) -> nn.Module:
    """A new model draws nothing: its heads are zero."""
    for name in ("noise_out", "latent_out", "image_out"):
        if hasattr(model, name):
            nn.init.normal_(getattr(model, name).weight, std=0.05)
    return model.eval().requires_grad_(False)


def median_of(runs: dict[str, Callable], rounds: int) -> dict[str, float]:
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for k in range(rounds):
        for name, run in runs.items():
            if k >= SLOW and statistics.median(seconds[name]) > 5:
                continue
            started = time.process_time()
            run()
            seconds[name].append(time.process_time() - started)
    return {name: statistics.median(values) for name, values in seconds.items()}


class Counter(TorchDispatchMode):
    """Operations of products of matrices, and bytes of all."""

    def __init__(self) -> None:
        super().__init__()
        self.flop = self.bytes = self.calls = 0

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        out = function(*arguments, **(options or {}))
        name = function.overloadpacket.__name__
        if function.is_view or name in ("_unsafe_view", "detach", "empty", "new_empty"):
            return out
        tensors = [v for v in (*arguments, *(options or {}).values()) if isinstance(v, Tensor)]
        tensors += [
            t for v in arguments if isinstance(v, list | tuple) for t in v if isinstance(t, Tensor)
        ]
        results = [v for v in (out if isinstance(out, tuple) else (out,)) if isinstance(v, Tensor)]
        self.calls += 1
        self.bytes += sum(size_of(t) for t in [*tensors, *results])
        if name in ("mm", "bmm", "addmm", "addmm_", "baddbmm", "baddbmm_"):
            self.flop += 2 * math.prod(tensors[-2].shape) * tensors[-1].shape[-1]
        elif "convolution" in name:
            self.flop += 2 * results[0].numel() * math.prod(tensors[1].shape[1:])
        return out


def size_of(t: Tensor) -> int:
    """Repeated rows count once."""
    return min(t.numel() * t.element_size(), t.untyped_storage().nbytes())


def decode_once(form: str, side: int) -> dict[str, str | float]:
    """Time and memory of one decode, in a process that has done nothing else."""
    torch.manual_seed(0)
    model = shaken(LegacyResampler())
    z = torch.randn(1, 64, 32, 32).tanh()
    runs = {
        "plain": lambda: PlainDecoder(model)(z, side, side),
        "fast": lambda: models.fast(model).decode(z, (side, side)),
        "fast bounded": lambda: models.fast(model).decode(z, (side, side), bounded=True),
    }
    with torch.no_grad():
        models.fast(model).decode(z, (16, 16))  # loads what any run loads
        before, started = status("VmRSS"), time.process_time()
        out = runs[form]()
        seconds = time.process_time() - started
        peak = status("VmHWM") - before
    # the same pixels in all forms
    return {
        "decode": form,
        "latent": 32,
        "drawn": side,
        "s": round(seconds, 1),
        "peak_mb": round(peak / 1e6),
        "mean": round(float(out.mean()), 6),
        "deviation": round(float(out.std()), 6),
    }


def status(key: str) -> int:
    """Bytes, from a line "VmRSS:   1234 kB"."""
    lines = STATUS.read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:"))


def has_bfloat16() -> bool:
    found = torch.cpu.get_capabilities()
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))


def emit(line: dict) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
