"""Grids to a picture: doubling, then the synthesis network."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numba import config

from smalti.fitted import synthesis, upsample
from smalti.fitted.layout import Layout, nodes
from smalti.fitted.network import Network

BAND = 64  # rows of a picture that one task does
FEATURE = np.float32(0.2)  # of a grid's value 1


class Crew:
    """A few threads for tasks that release the interpreter lock; their results do not depend on how many."""

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads or config.NUMBA_NUM_THREADS
        self._pool = ThreadPoolExecutor(self.threads) if self.threads > 1 else None

    def each(self, task: Callable[..., Any], arguments: list[tuple]) -> list[Any]:
        """The results of `task(*a)` for every a, in order."""
        if self._pool is None or len(arguments) < 2:
            return [task(*a) for a in arguments]
        return list(self._pool.map(lambda a: task(*a), arguments))

    def close(self) -> None:
        if self._pool:
            self._pool.shutdown()


class Canvas:
    """Space for one picture's features and its stages, and how to fill it.

    `stack[l]` holds, `grids H S`, every grid of level l and coarser, doubled to level l; at level 0
    S is the width rounded up to whole segments. `picture` is colours - 1/2, `C H S`.
    """

    def __init__(self, layout: Layout, network: Network, crew: Crew) -> None:
        self.layout, self.crew = layout, crew
        self.channels = network.synthesis[2].shape[0]
        self.top = max(layout.levels)
        self.stack = self.new_stack()
        self.picture = self.new_picture()

    def new_stack(self) -> list[np.ndarray]:
        stack = []
        for level in range(self.top + 1):
            rows, columns = nodes(self.layout.height, self.layout.width, level)
            if level == 0:
                columns += -columns % synthesis.SEGMENT
            stack.append(
                np.zeros((len(self.layout.channels(level)), rows, columns), np.float32)
            )  # fmt: skip
        return stack

    def new_picture(self) -> np.ndarray:
        return np.zeros((self.channels, *self.stack[0].shape[1:]), np.float32)

    def place(self, level: int) -> tuple[int, int]:
        """Columns that count at a level, and how many of its channels come from coarser levels."""
        inner = len(self.layout.channels(level + 1))
        return nodes(self.layout.height, self.layout.width, level)[1], inner

    @property
    def bands(self) -> list[tuple[int, int]]:
        return [
            (row, min(row + BAND, self.layout.height))
            for row in range(0, self.layout.height, BAND)
        ]  # fmt: skip

    def draw(self, values: np.ndarray, network: Network) -> np.ndarray:
        """The picture `C H W` of flat values, in [0, 1]."""
        self.fill(values, network)
        return np.clip(self.picture[:, :, : self.layout.width] + np.float32(0.5), 0, 1)

    def fill(self, values: np.ndarray, network: Network) -> None:
        """Stack and picture for flat values of all grids."""
        layout, taps = self.layout, network.taps[0]
        for level in range(self.top, -1, -1):
            width, inner = self.place(level)
            target = self.stack[level][:, :, :width]
            if inner:
                self.crew.each(
                    upsample.double,
                    [(self.stack[level + 1][c], taps[level], target[c]) for c in range(inner)],
                )
            for channel, grid in enumerate(layout.channels(level)[inner:], inner):
                held = values[layout.offsets[grid] : layout.offsets[grid + 1]]
                np.multiply(held.reshape(layout.shapes[grid]), FEATURE, out=target[channel])
        self.crew.each(
            synthesis.colour,
            [(*band, self.stack[0], network.synthesis, self.picture) for band in self.bands],
        )
