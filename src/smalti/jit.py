"""numba's compiler with its cache on disk, where there is a place for one."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba


def njit(**options: Any) -> Callable[[Callable], Callable]:
    """`numba.njit(cache=True, ...)`; without the cache where no folder can be written.

    A read-only installation run by a user without a home has none, and numba then refuses to
    define the kernel at all; NUMBA_CACHE_DIR names a folder for it.
    """

    def define(function: Callable) -> Callable:
        try:
            return numba.njit(cache=True, **options)(function)
        except RuntimeError:  # "no locator available"
            return numba.njit(**options)(function)

    return define


def announce(kernel: Any, what: str) -> None:
    """Log one line before a call that compiles for many seconds, as the first on a machine does."""
    if kernel.signatures:
        return
    folder = getattr(kernel._cache, "cache_path", None)  # numba has no public name for it
    name = f"{Path(kernel.py_func.__code__.co_filename).stem}.{kernel.py_func.__name__}-*.nbi"
    if folder is None or not any(Path(folder).glob(name)):
        logging.getLogger("smalti").warning("compiling %s for this machine, once", what)
