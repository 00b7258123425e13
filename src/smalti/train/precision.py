"""Number formats of a training step, and what a CPU needs besides to be quick."""

import ctypes
import os
import sys
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from smalti.errors import OptionError

TYPES = {"no": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # mallopt(3)


class Precision:
    """Mixed precision: weights float32, activations and products in a shorter format.

    Args:
        name: "no", "bf16", "fp16" (with a loss scale, since its range is small), or "auto": what
            `accelerate launch` was told, or bf16 where the hardware has it, or else "no".
    """

    def __init__(self, name: str, device: torch.device) -> None:
        if name == "auto":
            launched = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")  # accelerate launch's
            name = launched if launched in TYPES and launched != "no" else best(device)
        if name not in TYPES:
            raise OptionError(f"precision {name!r}; known: auto, {', '.join(TYPES)}")
        self.name, self.device = name, device
        self.scaler = torch.amp.GradScaler(device.type) if name == "fp16" else None

    def autocast(self) -> AbstractContextManager[None]:
        return torch.autocast(self.device.type, TYPES[self.name], enabled=self.name != "no")

    def backward(self, loss: Tensor) -> None:
        (self.scaler.scale(loss) if self.scaler else loss).backward()

    def unscale(self, parameters: Iterable[nn.Parameter]) -> None:
        if self.scaler:
            # A scaler knows gradients by an optimiser of theirs; this one never steps.
            self.scaler.unscale_(torch.optim.SGD(parameters, lr=0.0))

    def accepts(self, norm: Tensor) -> bool:
        """Whether to step; not where fp16 overflowed, and then the loss scale comes down."""
        if self.scaler is None:
            return True
        self.scaler.update()
        return bool(norm.isfinite())

    def state_dict(self) -> dict[str, Any]:
        return self.scaler.state_dict() if self.scaler else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self.scaler and state:
            self.scaler.load_state_dict(state)


def best(device: torch.device) -> str:
    """ "bf16" where the device multiplies bfloat16 in hardware, "no" elsewhere."""
    has = False
    if device.type == "cuda":
        has = torch.cuda.is_bf16_supported(including_emulation=False)
    elif device.type == "cpu":
        found = torch.cpu.get_capabilities()
        has = bool(found.get("avx512_bf16") or found.get("amx_bf16"))
    return "bf16" if has else "no"


def keep_freed_memory() -> None:
    """Have the C library keep freed memory for the next step.

    glibc hands large blocks back to the system at once and takes them anew, page by page, for
    each activation. Nothing where there is no glibc.
    """
    if sys.platform == "linux":
        try:
            libc = ctypes.CDLL("libc.so.6")
            libc.mallopt(M_MMAP_THRESHOLD, 2**30)
            libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        except (OSError, AttributeError):
            return
