"""Fitting grids and networks to one picture: distortion + lambda x rate, by gradient descent.

    loss = mean squared error over texels and channels, [0, 1]  +  lambda x bits a texel

In place of rounding, values are rounded softly, ever harder, with uniform noise added (a finish with
straight-through rounding measured worse). For the last steps they are whole numbers, and only the
networks learn on. All of the picture is in every step.

Operations a texel and step, with G grids, K hidden, C channels, s values (1.58 for the default levels):
forward (G + C) K + G C + 8 G multiply-adds for the texel and 560 s for its values; the gradients take
twice that, and the hidden layer is computed again: 5,000 for a colour picture. At 100 GFLOP/s (one
AVX-512 core, `ops.dense`) that is 0.1 microseconds, and 26 ms for 512 x 512.
"""

import math
from dataclasses import dataclass

import numpy as np

from smalti.fitted import context, synthesis, upsample, values
from smalti.fitted.draw import FEATURE, Canvas, Crew
from smalti.fitted.layout import Layout, Piece
from smalti.fitted.network import Network

GRID_RATE, NETWORK_RATE, TAP_RATE = 0.25, 2e-2, 3e-3  # of Adam, falling to 0 with a cosine
BETA_1, BETA_2 = 0.9, 0.9  # short memories: gradients change their size within a few dozen steps
TEMPERATURES = 1.0, 0.08  # of the soft rounding, first step and last before the values are whole
NOISE = 0.6, 0.4  # width of the uniform noise, likewise
FINISH, FINISH_RATE = 0.1, 5e-3  # share of the steps with whole values, and Adam's rate there


class Adam:
    """Moments of some arrays, and their step."""

    def __init__(self, arrays: list[np.ndarray]) -> None:
        self.mean = [np.zeros_like(a) for a in arrays]
        self.spread = [np.zeros_like(a) for a in arrays]

    def tasks(
        self, arrays: list[np.ndarray], gradients: list[np.ndarray], rates: list[float], step: int
    ) -> list[tuple]:
        """Arguments of `values.adam`, an array each; `step` counts from 1."""
        numbers = [BETA_1, BETA_2, 1 / (1 - BETA_1**step), 1 / (1 - BETA_2**step)]
        return [
            (0, a.size, *(x.reshape(-1) for x in (a, g, m, v)), *map(np.float32, (rate, *numbers)))
            for a, g, m, v, rate in zip(
                arrays, gradients, self.mean, self.spread, rates, strict=True
            )
        ]


@dataclass
class Progress:
    """Where a fit stands after a step; estimates, as the values still carry noise."""

    step: int
    steps: int
    mse: float  # over channels, weighted, [0, 1]
    bits: float  # of all values

    @property
    def psnr(self) -> float:
        return -10 * math.log10(max(self.mse, 1e-10))


class Fit:
    """One picture being fitted. `step` moves it on; `values` and `network` are its state.

    Args:
        image: `C H W` float32 in [0, 1].
        weight: `C H W` or `1 1 1`, of each squared error.
        lmbda: what a bit a texel costs, in units of mean squared error.
        steps: how many there will be; the rates fall and rounding hardens over them.
    """

    def __init__(
        self,
        image: np.ndarray,
        layout: Layout,
        network: Network,
        *,
        lmbda: float,
        steps: int,
        weight: np.ndarray | None = None,
        seed: int = 0,
        crew: Crew | None = None,
    ) -> None:
        self.image, self.layout, self.network = image, layout, network
        self.weight = np.ones((1, 1, 1), np.float32) if weight is None else weight
        self.lmbda, self.seed, self.done, self.steps = lmbda, seed, 0, steps
        self.whole_from = steps - int(FINISH * steps)  # the step at which values become whole
        self.crew = crew or Crew()
        network.draw(np.random.default_rng(seed))
        self.values = np.zeros(layout.count, np.float32)
        self.canvas = Canvas(layout, network, self.crew)
        self._seen, self._slope, self._gradient = (np.zeros_like(self.values) for _ in range(3))
        self._d_stack = self.canvas.new_stack()
        self._d_picture = self.canvas.new_picture()
        self._d_network = network.zeros_like()
        self._adam = Adam([self.values, *network.arrays])
        self._none = np.zeros(layout.shapes[0][0] * layout.shapes[0][1], np.float32)

    def step(self) -> Progress:
        """One step of the optimiser."""
        learning = self.done < self.whole_from
        if learning:
            self._soften(self.done / self.whole_from)
        elif self.done == self.whole_from:
            self.values = np.rint(self.values)
            self._seen[:], self._slope[:] = self.values, 0
        channels, height, width = self.image.shape
        # all in units of the sum of squared errors
        bits = self._rate(self._seen, self.lmbda * channels)
        self.canvas.fill(self._seen, self.network)
        error = self._distortion()
        self._gradient *= self._slope
        if learning:
            fall = 0.5 * (1 + math.cos(math.pi * self.done / self.whole_from))
            self._update(GRID_RATE * fall, NETWORK_RATE * fall, TAP_RATE * fall)
        else:
            rate = FINISH_RATE * (self.steps - self.done) / (self.steps - self.whole_from)
            self._update(0.0, rate, rate)
        self.done += 1
        return Progress(self.done, self.steps, error / (channels * height * width), bits)

    def shorten(self, steps: int) -> None:
        """End within so many steps, all of them with whole values: when the time is up."""
        if self.done < self.whole_from:
            self.whole_from = self.done
        self.steps = min(self.steps, self.done + steps)

    @property
    def state(self) -> dict[str, np.ndarray]:
        """All that another `Fit` of the same picture and settings needs to go on from here."""
        adam = [*self._adam.mean, *self._adam.spread]
        named = {
            f"{name}{i}": array
            for name, group in (("network", self.network.arrays), ("adam", adam))
            for i, array in enumerate(group)
        }
        numbers = np.array([self.done, self.steps, self.whole_from, self.lmbda])
        return {**named, "values": self.values, "seen": self._seen, "numbers": numbers}

    @state.setter
    def state(self, state: dict[str, np.ndarray]) -> None:
        for key, array in self.state.items():
            if key != "numbers":
                array[...] = state[key]
        done, steps, whole_from, self.lmbda = state["numbers"].tolist()
        self.done, self.steps, self.whole_from = int(done), int(steps), int(whole_from)
        if self.done > self.whole_from:
            self._slope[:] = 0

    def _soften(self, progress: float) -> None:
        """What this step sees of the values; 0 <= progress < 1."""
        warm, cold = TEMPERATURES
        temperature = warm * (cold / warm) ** progress
        noise = NOISE[0] + (NOISE[1] - NOISE[0]) * progress
        key = np.uint32((self.done * 2654435761 + self.seed * 97 + 12345) & 0xFFFFFFFF)
        numbers = np.float32(temperature), np.float32(noise), key
        self.crew.each(
            values.soften,
            [(*part, self.values, *numbers, self._seen, self._slope) for part in self._parts()],
        )

    def _parts(self) -> list[tuple[int, int]]:
        size = 1 << 17
        count = self.layout.count
        return [(first, min(first + size, count)) for first in range(0, count, size)]

    def rate(self, seen: np.ndarray, network: Network) -> float:
        """Bits of flat values by the context model."""
        unused = network.zeros_like()
        return sum(
            self._stream_bits(stream, seen, np.zeros_like(seen), 0.0, network, unused)
            for stream in self.layout.streams
        )

    def distortion(self, seen: np.ndarray, network: Network) -> float:
        """Mean squared error of the 8-bit picture of flat values, weighted."""
        drawn = np.rint(self.canvas.draw(seen, network) * np.float32(255)) / np.float32(255)
        return float((self.weight * np.square(drawn - self.image)).mean(dtype=np.float64))

    def _rate(self, seen: np.ndarray, scale: float) -> float:
        """Bits of all values; their gradients, times `scale`, into those of values and network."""
        streams = self.layout.streams
        parts = [self.network.zeros_like() for _ in streams]
        tasks = [
            (stream, seen, self._gradient, scale, self.network, part)
            for stream, part in zip(streams, parts, strict=True)
        ]
        bits = self._stream_bits(*tasks[0])  # the tiles look at its values
        bits += sum(self.crew.each(self._stream_bits, tasks[1:]))
        self._add(parts)
        return bits

    def _stream_bits(
        self,
        stream: list[Piece],
        seen: np.ndarray,
        gradient: np.ndarray,
        scale: float,
        network: Network,
        d_network: Network,
    ) -> float:
        offsets, bits = self.layout.offsets, 0.0
        for piece in stream:
            own = slice(offsets[piece.grid], offsets[piece.grid + 1])
            coarse, d_coarse = self._none, np.zeros_like(self._none)
            if piece.coarse >= 0:
                other = slice(offsets[piece.coarse], offsets[piece.coarse + 1])
                coarse, d_coarse = seen[other], gradient[other]
            bits += context.tile_cost(
                seen[own], gradient[own], self.layout.shapes[piece.grid][1], piece.box,
                coarse, d_coarse, self.layout.shapes[max(piece.coarse, 0)][1], piece.coarse_box,
                piece.shift, scale, network.context, d_network.context,
            )  # fmt: skip
        return bits

    def _distortion(self) -> float:
        """Weighted sum of squared errors; its gradients into those of values and network."""
        canvas, network = self.canvas, self.network
        bands = canvas.bands
        error = sum(
            self.crew.each(
                synthesis.error,
                [(*b, canvas.picture, self.image, self.weight, self._d_picture) for b in bands],
            )
        )
        parts = [network.zeros_like() for _ in bands]
        self.crew.each(
            synthesis.colour_back,
            [
                (*band, canvas.stack[0], network.synthesis, self._d_picture, self._d_stack[0],
                 part.synthesis)
                for band, part in zip(bands, parts, strict=True)
            ],
        )  # fmt: skip
        self._add(parts)
        self._undouble()
        return error

    def _undouble(self) -> None:
        """Gradients of the texels' features into those of the grids' values and the taps."""
        canvas, layout = self.canvas, self.layout
        taps, d_taps = self.network.taps[0], self._d_network.taps[0]
        for level in range(canvas.top + 1):
            width, inner = canvas.place(level)
            d_target = self._d_stack[level][:, :, :width]
            for channel, grid in enumerate(layout.channels(level)[inner:], inner):
                d = self._gradient[layout.offsets[grid] : layout.offsets[grid + 1]]
                d += FEATURE * d_target[channel].reshape(-1)
            if inner:
                d_source = self._d_stack[level + 1]
                d_source[:] = 0
                found = np.zeros((inner, 4), np.float32)
                self.crew.each(
                    upsample.double_back,
                    [
                        (
                            canvas.stack[level + 1][c],
                            taps[level],
                            d_target[c],
                            d_source[c],
                            found[c],
                        )
                        for c in range(inner)
                    ],
                )
                d_taps[level] += found.sum(0)

    def _update(self, grid_rate: float, network_rate: float, tap_rate: float) -> None:
        """One step of Adam; the gradients are 0 after it."""
        arrays = [self.values, *self.network.arrays]
        gradients = [self._gradient, *self._d_network.arrays]
        rates = [grid_rate] + [
            tap_rate if group is self.network.taps else network_rate
            for group in self.network.groups
            for _ in group
        ]
        tasks = self._adam.tasks(arrays, gradients, rates, self.done + 1)
        self.crew.each(values.adam, [(*part, *tasks[0][2:]) for part in self._parts()])
        for task in tasks[1:]:
            values.adam(*task)

    def _add(self, parts: list[Network]) -> None:
        """Add what each task found to the network's gradients, in a fixed order."""
        for part in parts:
            for total, a in zip(self._d_network.arrays, part.arrays, strict=True):
                total += a
