"""Rate-distortion optimised rounding: whole values changed by one where a file gains by it.

    dJ = (error after - error before) + lambda (bits after - bits before),  changed where dJ < 0

A fit's values are rounded to the nearest whole number, each by itself; what that costs in error and in
the bits of all values that look at it is known only now. The bits are exact (`Expected.bits_more`). So
is the error of a grid of full resolution, as its values move one texel each; one of half resolution is
taken for a parabola, by the derivatives of the texels: 3 dx 3 texels and more depend on each value.
Coarser grids are left as they are: an eighth of the values.

Values whose change would gain are changed together where none in reach gains more, so that what each
was promised still holds; a round that brings less than nothing is taken back.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from smalti.fits.picture.context import Expected
from smalti.fits.picture.synthesis import FEATURE

if TYPE_CHECKING:
    from smalti.fits.picture.fit import Fit

REACH = {0: 1, 1: 2}  # level -> nodes around a changed one that stay as they are in that round
HOPE = 1.0  # bits that the values which look at a changed one may save, when candidates are chosen


def improve(fit: "Fit", rounds: int) -> None:
    """Change a fit's whole values where that gains; its gradients are 0 after it."""
    work = _Work(fit)
    for _ in range(rounds):
        for grid, level in reversed(list(enumerate(fit.layout.levels))):
            if level in REACH:
                work.round(grid, level)
    fit.values = work.values


@dataclass
class _Candidates:
    """Changes of a grid's values: -1, 0 or 1, and what each adds to the error."""

    change: np.ndarray
    error: np.ndarray


class _Work:
    def __init__(self, fit: "Fit") -> None:
        self.fit, self.layout = fit, fit.layout
        self.values = np.rint(fit.values).astype(np.float32)
        self.lmbda = fit.rounding_lmbda or fit.lmbda
        self.price = self.lmbda * len(fit.image)  # of a bit, in sums of squared errors
        self.loss = self._loss(self.values)
        self._bends = self._texels_bend() if 1 in self.layout.levels else None

    def round(self, grid: int, level: int) -> None:
        layout, fit = self.layout, self.fit
        part = slice(layout.offsets[grid], layout.offsets[grid + 1])
        errors = self._exact(part) if level == 0 else self._parabola(grid, part)
        expected = Expected.of(self.values, layout, fit.network.parts[2], fit.threads)
        candidates = self._cheapest(part, expected, errors)
        asked = np.zeros_like(self.values)
        asked[part] = candidates.change
        more = expected.bits_more(
            self.values, asked, layout, fit.network.parts[2], fit.threads
        )  # fmt: skip
        gain = np.where(candidates.change != 0, candidates.error + self.price * more[part], 0)
        gain = gain.reshape(layout.shapes[grid])
        best = (gain < 0) & (gain <= _least_around(gain, REACH[level]))
        changed = self.values.copy()
        changed[part] += np.where(best.reshape(-1), candidates.change, 0)
        loss = self._loss(changed)
        if loss < self.loss:
            self.values, self.loss = changed, loss

    def _loss(self, values: np.ndarray) -> float:
        fit = self.fit
        texels = self.layout.height * self.layout.width
        bits = fit.rate(values, fit.network)
        return fit.distortion(values, fit.network) + self.lmbda * bits / texels

    def _cheapest(
        self, part: slice, expected: Expected, errors: dict[float, np.ndarray]
    ) -> _Candidates:
        """Of -1 and 1 what costs less by its own bits alone, where it may gain at all."""
        own, held = expected.part(part), self.values[part]
        now = own.bits(held)
        down, up = (errors[s] + self.price * (own.bits(held + s) - now) for s in (-1.0, 1.0))
        change = np.where(down < up, np.float32(-1), np.float32(1))
        change[np.minimum(down, up) >= HOPE * self.price] = 0
        return _Candidates(change, np.where(change < 0, errors[-1.0], errors[1.0]))

    def _exact(self, part: slice) -> dict[float, np.ndarray]:
        """By change the error that each value of a grid of full resolution adds."""
        before = self._texel_errors(self.values)
        found = {}
        for change in (-1.0, 1.0):
            moved = self.values.copy()
            moved[part] += change
            found[change] = (self._texel_errors(moved) - before).reshape(-1)
        return found

    def _texel_errors(self, values: np.ndarray) -> np.ndarray:
        error = self.fit.canvas.render(values, self.fit.network)
        error -= self.fit.image.transpose(1, 2, 0)
        np.square(error, out=error)
        error *= self.fit.weight.transpose(1, 2, 0)
        return error.sum(2)

    def _parabola(self, grid: int, part: slice) -> dict[float, np.ndarray]:
        slope = self.fit.slopes(self.values, self.fit.image, self.fit.weight)[0][part]
        assert self._bends is not None  # a grid of half resolution has them
        bend = _halved(_halved(self._bends[grid], self._taps, 0), self._taps, 1)
        rows, columns = self.layout.shapes[grid]
        bend = FEATURE**2 * bend[:rows, :columns].reshape(-1)
        return {change: change * slope + bend for change in (-1.0, 1.0)}

    @property
    def _taps(self) -> np.ndarray:
        return self.fit.network.taps[0][0]

    def _texels_bend(self) -> np.ndarray:
        """`n H W`: sums over channels of squared derivatives of colours by doubled features."""
        fit = self.fit
        picture = fit.canvas.render(self.values, fit.network).transpose(2, 0, 1)
        bends = np.zeros((), np.float32)
        for channel, weight in enumerate(np.broadcast_to(fit.weight, fit.image.shape)):
            goal = picture.copy()
            goal[channel] -= 0.5  # the derivative of its square is that of the colour
            by_doubled = fit.slopes(self.values, goal, np.ones((1, 1, 1), np.float32))[1]
            assert by_doubled is not None  # only a picture without grids to double has none
            bends = bends + weight * np.square(by_doubled)
        return bends


def _halved(texels: np.ndarray, taps: np.ndarray, axis: int) -> np.ndarray:
    """Sums over the texels that each node of half resolution reaches, by squared taps."""
    texels = np.moveaxis(texels, axis, 0)
    even, odd = texels[0::2], texels[1::2]
    out = np.zeros((len(even) + 4, *texels.shape[1:]), np.float32)
    for k, tap in enumerate(np.square(taps)):  # `upsample.double`
        out[k : k + len(even)] += tap * even
        out[4 - k : 4 - k + len(odd)] += tap * odd
    return np.moveaxis(out[2 : len(even) + 2], 0, axis)


def _least_around(gain: np.ndarray, reach: int) -> np.ndarray:
    """The least number within `reach` rows and columns of each."""
    for axis in (0, 1):
        gain = np.min([*_shifted(gain, reach, axis)], axis=0)
    return gain


def _shifted(array: np.ndarray, reach: int, axis: int) -> Iterator[np.ndarray]:
    padding = [(0, 0), (0, 0)]
    padding[axis] = (reach, reach)
    padded, n = np.pad(array, padding, constant_values=np.inf), array.shape[axis]
    for k in range(2 * reach + 1):
        yield padded.take(range(k, k + n), axis)
