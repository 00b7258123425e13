"""Runs a kernel on bands of rows in threads.

The kernels release the interpreter lock, so plain threads use every core. numba's own parallel
loops are not used: their default threading layer aborts the process where two threads of a program
call it at once.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

from smalti import native

BAND_TEXELS = 1 << 16  # a band of less work than this costs more to hand over than to do


def run_in_bands(kernel: Callable[..., None], rows: int, row_texels: int, *arguments) -> None:
    """Call `kernel(first, last, *arguments)` so that the bands cover rows 0 to `rows`.

    row_texels: how much work a row is. As many threads as `native.threads()`.
    """
    bands = min(native.threads(), rows * row_texels // BAND_TEXELS, rows)
    if bands < 2:
        kernel(0, rows, *arguments)
        return
    edges = [rows * band // bands for band in range(bands + 1)]
    with ThreadPoolExecutor(bands) as pool:
        calls = [pool.submit(kernel, first, last, *arguments) for first, last in pairwise(edges)]
        for call in calls:
            call.result()
