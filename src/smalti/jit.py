"""numba's compiler with its cache on disk, where there is a place for one."""

from collections.abc import Callable
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
