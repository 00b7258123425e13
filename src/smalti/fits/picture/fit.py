"""Fitting grids and networks to one picture: distortion + lambda x rate, by gradient descent.

    loss = mean squared error over texels and channels, [0, 1]  +  lambda x bits a texel

In place of rounding, values are rounded softly, ever harder, with uniform noise added (a finish with
straight-through rounding measured worse). For the last steps they are whole numbers (`rounding`), and
only the networks learn on. All of the picture is in every step.

The floor of a step. With G grids, K hidden units, C channels and s values a texel (1.58 for the default
levels): (G + C) K + G C + 6 G multiply-adds for the texel and 560 s for its values, forwards, and three
times that with the gradients: 4,500 for a colour picture. 512 x 512 are 1.2 G: 10 ms of a core that does
114 G a second (AVX-512, two vectors of 16 a clock, 3.5 GHz), 19 ms at 63 G (AVX2). Memory: the
derivatives by doubled features, 28 bytes a texel, written and read once, and some 60 bytes a value for
soft rounding and Adam: 40 MB, 4 ms. Measured, on a core shared with others, x86-64-v4: context model 13
ms, distortion with its gradients 10, doubling backwards 2, soft rounding and Adam 1 of 27 to 32. Of the
multiply-adds forwards and by inputs 60 to 90 of the 114 G are reached, of those by weights 45 to 60
(`native/dense.h`).
"""

import math
from dataclasses import dataclass

import numpy as np

from smalti.fits.picture import context, rounding, synthesis, upsample, values
from smalti.fits.picture.canvas import FEATURE, Canvas
from smalti.fits.picture.layout import Layout
from smalti.fits.picture.network import Network

GRID_RATE, NETWORK_RATE, TAP_RATE = 0.25, 2e-2, 3e-3  # of Adam, falling to 0 with a cosine
TEMPERATURES = 1.0, 0.08  # of the soft rounding, first step and last before the values are whole
NOISE = 0.6, 0.4  # width of the uniform noise, likewise
FINISH, FINISH_RATE = 0.05, 5e-3  # share of the steps with whole values, and Adam's rate there
ROUNDS = (2, 1, 1)  # of optimised rounding, at so many moments of those steps


class Moments:
    """Moments of the values and of a network's parameters, and their step."""

    def __init__(self, count: int, network: Network) -> None:
        self._values = [np.zeros(count, np.float32) for _ in range(2)]
        self._networks = [network.zeros_like() for _ in range(2)]

    @property
    def mean(self) -> list[np.ndarray]:
        """Of the gradients: of the values, then of each array of the network."""
        return [self._values[0], *self._networks[0].arrays]

    @property
    def spread(self) -> list[np.ndarray]:
        """Likewise of their squares."""
        return [self._values[1], *self._networks[1].arrays]

    def step(
        self,
        arrays: list[np.ndarray],
        gradients: list[np.ndarray],
        rates: tuple[float, ...],
        step: int,
        threads: int,
    ) -> None:
        """Values and the parts of the network, each with its rate; `step` counts from 1."""
        moments = zip(
            *([v, *n.parts] for v, n in zip(self._values, self._networks, strict=True)), strict=True
        )
        for a, g, (mean, spread), rate in zip(arrays, gradients, moments, rates, strict=True):
            values.ADAM.step(a, g, mean, spread, rate=rate, step=step, threads=threads)


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
        threads: of the kernels; None: `native.threads()`. The result does not depend on it.
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
        threads: int | None = None,
    ) -> None:
        self.image = np.ascontiguousarray(image, np.float32)
        self.layout, self.network = layout, network
        self.weight = np.ones((1, 1, 1), np.float32) if weight is None else weight
        self.lmbda, self.seed, self.done, self.steps = lmbda, seed, 0, steps
        whole = min(max(int(FINISH * steps), 1), steps // 2)
        self.whole_from = steps - whole  # the step at which values become whole
        self.rounds: tuple[int, ...] = ROUNDS
        self.rounding_lmbda = 0.0  # of optimised rounding; 0: lmbda
        network.initialise(np.random.default_rng(seed))
        self.values = np.zeros(layout.count, np.float32)
        self.canvas = Canvas(layout, network, threads)
        self.threads = self.canvas.threads
        self._weight = None if np.all(self.weight == 1) else self._whole(self.weight)
        self._seen, self._slope, self._gradient = (np.zeros_like(self.values) for _ in range(3))
        self._d_stack = self.canvas.new_stack()
        stride = layout.width + -layout.width % context.LANES
        inner = self.canvas.place(0)[1]
        self._d_doubled = np.empty((inner, layout.height, stride), np.float32) if inner else None
        self._d_network = network.zeros_like()
        self._adam = Moments(layout.count, network)

    def _whole(self, weight: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(np.broadcast_to(weight, self.image.shape), np.float32)

    def step(self) -> Progress:
        """One step of the optimiser."""
        learning = self.done < self.whole_from
        if learning:
            self._soften(self.done / self.whole_from)
        elif rounds := self.rounds_now():
            rounding.improve(self, rounds)
            self._seen[:], self._slope[:] = self.values, 0
        channels, height, width = self.image.shape
        # all in units of the sum of squared errors
        bits = self._rate(self._seen, self.lmbda * channels)
        error = self._distortion(self._seen)
        self._gradient *= self._slope
        if learning:
            fall = 0.5 * (1 + math.cos(math.pi * self.done / self.whole_from))
            self._update(GRID_RATE * fall, NETWORK_RATE * fall, TAP_RATE * fall)
        else:
            rate = FINISH_RATE * (self.steps - self.done) / (self.steps - self.whole_from)
            self._update(0.0, rate, rate)
        self.done += 1
        return Progress(self.done, self.steps, error / (channels * height * width), bits)

    def rounds_now(self) -> int:
        """Rounds of optimised rounding in the next step: values become whole by the first."""
        last = self.steps - self.whole_from
        moments = {n * last // len(self.rounds): rounds for n, rounds in enumerate(self.rounds)}
        return moments.get(self.done - self.whole_from, 0)

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
        own = self.done, self.steps, self.whole_from, self.lmbda, self.rounding_lmbda
        numbers = np.array(own)
        return {**named, "values": self.values, "seen": self._seen, "numbers": numbers}

    @state.setter
    def state(self, state: dict[str, np.ndarray]) -> None:
        for key, array in self.state.items():
            if key != "numbers":
                array[...] = state[key]
        done, steps, whole_from, self.lmbda, self.rounding_lmbda = state["numbers"].tolist()
        self.done, self.steps, self.whole_from = int(done), int(steps), int(whole_from)
        if self.done > self.whole_from:
            self._slope[:] = 0

    def _soften(self, progress: float) -> None:
        """What this step sees of the values; 0 <= progress < 1."""
        warm, cold = TEMPERATURES
        temperature = warm * (cold / warm) ** progress
        noise = NOISE[0] + (NOISE[1] - NOISE[0]) * progress
        key = (self.done * 2654435761 + self.seed * 97 + 12345) & 0xFFFFFFFF
        values.soften(
            self.values, temperature, noise, key, self._seen, self._slope, self.threads
        )  # fmt: skip

    def rate(self, seen: np.ndarray, network: Network) -> float:
        """Bits of flat values by the context model."""
        return context.bits(seen, self.layout, network.parts[2], self.threads)

    def distortion(self, seen: np.ndarray, network: Network) -> float:
        """Mean squared error of the 8-bit picture of flat values, weighted."""
        drawn = self.canvas.render(seen, network, np.uint8).transpose(2, 0, 1)
        error = np.divide(drawn, 255, dtype=np.float32)
        error -= self.image
        np.square(error, out=error)
        if self._weight is not None:
            error *= self._weight
        return float(error.mean(dtype=np.float64))

    def slopes(
        self, seen: np.ndarray, goal: np.ndarray, weight: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Derivatives of the weighted sum of squared errors against a picture `C H W`.

        By the flat values; and by the doubled features of the texels, `n H W`, if there are any.
        """
        kept = self.image, self._weight
        self.image, self._weight = goal, None if np.all(weight == 1) else self._whole(weight)
        self._distortion(seen)
        self.image, self._weight = kept
        by_values = self._gradient.copy()
        self._gradient[:] = 0
        for array in self._d_network.arrays:
            array[:] = 0
        by_doubled = self._d_doubled
        return by_values, by_doubled if by_doubled is None else by_doubled[..., : self.layout.width]

    def _rate(self, seen: np.ndarray, scale: float) -> float:
        """Bits of all values; their gradients, times `scale`, into those of values and network."""
        return context.bits_back(
            seen, self.layout, self.network.parts[2], scale, self._gradient,
            self._d_network.parts[2], self.threads,
        )  # fmt: skip

    def _distortion(self, seen: np.ndarray) -> float:
        """Weighted sum of squared errors; its gradients into those of values and network."""
        canvas, network = self.canvas, self.network
        error = synthesis.distortion(
            canvas.fill(seen, network), network.parts[0], canvas.hidden, self.image, self._weight,
            self._d_doubled, canvas.own(self._gradient, 0), self._d_network.parts[0], self.threads,
        )  # fmt: skip
        taps, d_taps = network.taps[0], self._d_network.taps[0]
        d_target = self._d_doubled  # gradients of what was doubled to a level
        for level in range(canvas.top):
            width, inner = canvas.place(level)
            d_source = self._d_stack[level + 1]
            assert d_target is not None  # only where nothing is doubled
            upsample.double_back(
                canvas.stack[level + 1], taps[level], d_target[:inner], width, d_source,
                d_taps[level], self.threads,
            )  # fmt: skip
            further = canvas.place(level + 1)[1]
            own = canvas.own(self._gradient, level + 1)
            own += FEATURE * d_source[further:]
            d_target = d_source
        return error

    def _update(self, grid_rate: float, network_rate: float, tap_rate: float) -> None:
        """One step of Adam; the gradients are 0 after it."""
        self._adam.step(
            [self.values, *self.network.parts],
            [self._gradient, *self._d_network.parts],
            (grid_rate, network_rate, tap_rate, network_rate),
            self.done + 1,
            self.threads,
        )
