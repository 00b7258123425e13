"""The caller's torch state, set aside: the same arithmetic whatever it is."""

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def set_aside(device: str) -> Iterator[None]:
    """Within it new tensors lie on the CPU unless told otherwise, and nothing is cast by itself.

    Args:
        device: on which models run.

    The default dtype is global in torch, for all threads, and is left alone: models name theirs.
    """
    kind = torch.device(device).type
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.device("cpu"))
        if torch.is_autocast_enabled(kind):
            stack.enter_context(torch.autocast(kind, enabled=False))
        yield
