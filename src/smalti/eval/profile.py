"""What a trained model costs: parameters, operations, time and memory of its two halves."""

import ctypes
import gc
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from smalti import api, models
from smalti.errors import OptionError

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
CLEAR_PEAK = "5"  # proc(5): resets the peak of resident memory


@dataclass(frozen=True)
class Cost:
    """Of one half of a model, for one picture."""

    model: str
    half: str  # "encode" or "decode"
    parameters: int
    gflop: float  # a multiplication and an addition are two
    seconds: float  # processor time on a CPU, time until it is done elsewhere; a median
    peak_mb: float | None  # above what the weights and the input take; None if unknown


def profile(
    name: str, *, size: int, dtype: str = "float32", device: str = "cpu", runs: int = 3
) -> list[Cost]:
    """Encode and decode a random picture of `size` x `size` texels with a trained model.

    A model with a `fast` form is measured in both forms.

    Raises:
        WeightsError: no such weights.
        OptionError: a size that the model cannot take.
    """
    api.check_device(device)
    model: Any = api.load_model(name).to(device, getattr(torch, dtype))
    if not hasattr(model, "encode"):
        raise OptionError(f"{name} is a {type(model).__name__}, which neither encodes nor decodes")
    if size < 1 or size % model.factor:
        raise OptionError(f"size {size}; {name} takes multiples of {model.factor} texels")
    forms: dict[str, Any] = {name: model}
    if type(model).__name__ in models.FAST:
        forms[f"{name}, fast"] = models.fast(model)
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(1, model.channels, size, size, generator=generator).to(device, model.dtype)
    found = []
    with torch.no_grad():
        z = model.encode(x)
        for label, form in forms.items():
            drawn = ((size, size),) if model.sized else ()
            calls = (("encode", (x,)), ("decode", (z, *drawn)))
            for (half, arguments), count in zip(calls, model.halves(), strict=True):
                run = partial(getattr(form, half), *arguments)
                with FlopCounterMode(display=False) as counter:
                    run()
                found.append(
                    Cost(
                        model=label,
                        half=half,
                        parameters=count,
                        gflop=counter.get_total_flops() / 1e9,
                        seconds=_seconds(run, device, runs),
                        peak_mb=_peak_mb(run, device),
                    )
                )
    return found


def _seconds(run: Callable[[], Tensor], device: str, runs: int) -> float:
    """Median of `runs`; the counting of operations has warmed up."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    seconds = []
    for _ in range(runs):
        _wait(device)
        started = clock()
        run()
        _wait(device)
        seconds.append(clock() - started)
    return statistics.median(seconds)


def _wait(device: str) -> None:
    if device != "cpu":
        getattr(torch, torch.device(device).type).synchronize()


def _peak_mb(run: Callable[[], Tensor], device: str) -> float | None:
    """Highest memory during a run, above what was taken before it."""
    gc.collect()
    if torch.device(device).type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        return (torch.cuda.max_memory_allocated(device) - before) / 1e6
    if device != "cpu" or sys.platform != "linux":
        return None
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)  # what is freed, but kept for later, is no use
        CLEAR.write_text(CLEAR_PEAK)
    except (OSError, AttributeError):
        return None
    before = _status("VmRSS")
    run()
    return (_status("VmHWM") - before) / 1e6


def _status(key: str) -> int:
    """Bytes, from a line "VmRSS:   1234 kB"."""
    for line in STATUS.read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    return 0
