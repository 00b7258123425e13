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
GAIN = 0.8  # lambda moves by this power of the miss at each check
UP = 0.65  # of that, where lambda rises
CODED = 0.95  # what the last steps and the coder's learning leave of the rate, mostly
LAMBDAS = 1e-7, 1.0
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

    def __iter__(self) -> Iterator[Progress]:
        while self.fit.done < self.fit.steps:
            self.last = self.fit.step()
            if self.target_bpp is not None or self.target_psnr is not None:
                self._steer()
            yield self.last

    def _steer(self) -> None:
        """Towards the target: measure rate or error without noise, and move lambda by the miss."""
        fit = self.fit
        every = max(fit.steps // CHECKS, 1)
        if fit.done % every or not STEER_FROM * fit.steps <= fit.done <= fit.whole_from:
            return
        whole = np.rint(fit.values)
        if self.target_bpp is not None:
            texels = fit.layout.height * fit.layout.width
            bits = CODED * fit.rate(whole, fit.network)
            bits += 8 * len(fit.network.to_bytes(file.USUAL))
            miss = math.log(bits / (self.target_bpp * texels))
        else:
            miss = math.log(10 ** (-self.target_psnr / 10) / fit.distortion(whole, fit.network))
        # values move ever less, so lambda must move more
        gain = GAIN / (1.2 - fit.done / fit.whole_from)
        # gently up: what a large lambda sets to 0 comes back slowly
        moved = math.log(fit.lmbda) + gain * max(min(miss, 0.5), -0.5) * (UP if miss > 0 else 1)
        fit.lmbda = math.exp(max(min(moved, math.log(LAMBDAS[1])), math.log(LAMBDAS[0])))

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
        np.savez(data, **self.fit.state)
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


def visible(image: np.ndarray) -> np.ndarray:
    """Weights of squared errors: a colour counts as much as its alpha lets it be seen."""
    if image.shape[0] not in (2, 4):
        return np.ones((1, 1, 1), np.float32)
    weight = np.repeat(np.square(image[-1:]), image.shape[0], axis=0)
    weight[-1] = 1
    return np.ascontiguousarray(weight, np.float32)
