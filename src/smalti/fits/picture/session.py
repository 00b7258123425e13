"""One picture's fit from beginning to file: targets, progress, interruption, going on later."""

import io
import math
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from smalti.errors import OptionError
from smalti.files import write_atomically
from smalti.fits.picture import file
from smalti.fits.picture.fit import Fit, Progress
from smalti.fits.picture.layout import Layout
from smalti.fits.picture.network import Network

CHECKS = 40  # of the steps towards a target: how often rate or error is measured without noise
STEER_FROM = 0.15  # of the steps: before, a fit is too far from where it will be
GAIN = 0.35  # lambda moves by this power of the miss at each check: it acts on later ones, too
# Logarithms of what a fit loses until its end of its rate, and of its error: a (1 - progress)^b
RATE_FALLS, ERROR_FALLS = (0.9, 1.4), (0.7, 2.0)
LAMBDAS = 1e-7, 1.0
ROUNDS = (2, *[1] * 11)  # towards a target, of optimised rounding; each with another lambda
ROUNDING_GAIN, FARTHEST = 3.0, 100.0  # that lambda moves by this power, so far from the fit's
HURRY = 40  # steps with whole values after an interruption


class Session:
    """`for progress in session: ...` fits; `sections()` is the file's content at any time.

    Args:
        image: `C H W` float32 in [0, 1], C 1 to 4; of 2 and 4 the last is alpha.
        layout, hidden: what the file says of its networks.
        steps: of the optimiser.
        lmbda: mean squared error ([0, 1]) that a bit a texel may buy.
        target_bpp, target_psnr: at most one; lambda is then steered so that the file comes near it.
        threads: of the kernels; None: `native.threads()`.
        make: the class of the fit; another one for a GPU.
    """

    def __init__(
        self,
        image: np.ndarray,
        layout: Layout,
        *,
        hidden: int,
        steps: int,
        lmbda: float,
        target_bpp: float | None = None,
        target_psnr: float | None = None,
        seed: int = 0,
        threads: int | None = None,
        make: Callable[..., Fit] = Fit,
    ) -> None:
        if target_bpp is not None and target_psnr is not None:
            raise OptionError("a target is either bits a texel or a PSNR, not both")
        for name, target in (("target_bpp", target_bpp), ("target_psnr", target_psnr)):
            if target is not None and not 0 < target < 200:
                raise OptionError(f"{name} {target:g}; it must lie between 0 and 200")
        if steps < 1:
            raise OptionError(f"{steps} steps; a fit takes at least 1")
        if not LAMBDAS[0] <= lmbda <= LAMBDAS[1]:
            raise OptionError(f"lmbda {lmbda:g}; it must lie in {LAMBDAS[0]:g} .. {LAMBDAS[1]:g}")
        channels = image.shape[0]
        network = Network.of(len(layout.levels), channels, hidden, max(layout.levels))
        self.target_bpp, self.target_psnr = target_bpp, target_psnr
        self.fit = make(
            image, layout, network,
            lmbda=lmbda, steps=steps, weight=visible(image), seed=seed, threads=threads,
        )  # fmt: skip
        self.last: Progress | None = None
        if target_bpp is not None or target_psnr is not None:
            self.fit.rounds, self.fit.lmbda = ROUNDS, self._first_lmbda()
            self.fit.whole_from = min(self.fit.whole_from, max(steps - len(ROUNDS), steps // 2))

    def __iter__(self) -> Iterator[Progress]:
        while self.fit.done < self.fit.steps:
            self.last = self.fit.step()
            if self.target_bpp is not None or self.target_psnr is not None:
                if self.fit.done > self.fit.whole_from:
                    self._steer_rounding()
                else:
                    self._steer()
            yield self.last

    def _first_lmbda(self) -> float:
        """What brings a photograph about to the target."""
        if self.target_bpp is not None:
            guess = 3e-4 * (self.target_bpp / 0.6) ** -2
        else:
            assert self.target_psnr is not None
            guess = 2e-4 * 10 ** (1.7 * (39.5 - self.target_psnr) / 10)
        return max(min(guess, 4e-3), 1.5e-4)

    def _steer(self) -> None:
        """Towards the target: measure rate or error without noise, and move lambda by the miss."""
        fit = self.fit
        every = max(fit.steps // CHECKS, 1)
        if fit.done % every or not STEER_FROM * fit.steps <= fit.done <= fit.whole_from:
            return
        miss = self._miss(fit.done / fit.whole_from)
        moved = math.log(fit.lmbda) + GAIN * max(min(miss, 0.5), -0.5)
        fit.lmbda = math.exp(max(min(moved, math.log(LAMBDAS[1])), math.log(LAMBDAS[0])))

    def _steer_rounding(self) -> None:
        """The values are whole: what is left of the miss, optimised rounding takes with its own lambda."""
        fit = self.fit
        if not fit.rounds_now():
            return
        now = fit.rounding_lmbda or fit.lmbda
        moved = now * math.exp(ROUNDING_GAIN * max(min(self._miss(), 0.5), -0.5))
        fit.rounding_lmbda = max(min(moved, fit.lmbda * FARTHEST), fit.lmbda / FARTHEST)

    def _miss(self, progress: float = 1.0) -> float:
        """By how much the file will be too large, or too good: a logarithm.

        Args:
            progress: of the learning; 1: of a file written now.
        """
        fit, whole = self.fit, np.rint(self.fit.values)
        if self.target_psnr is not None:
            error = fit.distortion(whole, fit.network) * _left(progress, *ERROR_FALLS)
            return math.log(10 ** (-self.target_psnr / 10) / error)
        assert self.target_bpp is not None  # one of the two is steered by
        steps = file.steps_of(fit) if progress == 1 else file.USUAL
        bits = fit.rate(whole, fit.network) * _left(progress, *RATE_FALLS)
        bits += 8 * len(fit.network.to_bytes(steps))
        return math.log(bits / (self.target_bpp * fit.layout.height * fit.layout.width))

    def hurry(self) -> None:
        """Bring a fit that is not at its end to one within a few steps."""
        self.fit.shorten(HURRY)

    def picture(self) -> np.ndarray:
        """The reconstruction `C H W` as a file written now would have it, but for rounded weights."""
        drawn = self.fit.canvas.render(np.rint(self.fit.values), self.fit.network)
        return drawn.transpose(2, 0, 1)

    def sections(self) -> list[bytes]:
        """Of a file with what has been reached."""
        return file.write(self.fit)

    def save(self, path: Path) -> None:
        """Everything needed to go on later, in one file."""
        data = io.BytesIO()
        np.savez(data, allow_pickle=False, **self.fit.state)
        write_atomically(path, data.getvalue())

    def load(self, path: Path) -> None:
        """Go on from a file that `save` wrote for the same picture and settings.

        Raises:
            OptionError: it is of another picture or other settings.
        """
        try:
            with np.load(path) as state:
                self.fit.state = state
        except (KeyError, ValueError, OSError, zipfile.BadZipFile) as cause:
            raise OptionError(
                f"{path} is not the state of a fit of this picture with these settings; remove it "
                "to begin anew"
            ) from cause


def _left(progress: float, fall: float, power: float) -> float:
    return math.exp(-fall * (1 - progress) ** power)


def visible(image: np.ndarray) -> np.ndarray:
    """Weights of squared errors: a colour counts as much as its alpha lets it be seen."""
    if image.shape[0] not in (2, 4):
        return np.ones((1, 1, 1), np.float32)
    weight = np.repeat(np.square(image[-1:]), image.shape[0], axis=0)
    weight[-1] = 1
    return np.ascontiguousarray(weight, np.float32)
