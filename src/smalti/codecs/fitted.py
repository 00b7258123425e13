"""Fitted pictures as a codec: integer grids, a context model and a small network, per picture."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from smalti.codec import Codec, EncodeOptions, Part, Size, Window, between, windows
from smalti.errors import OptionError
from smalti.fits.picture import file
from smalti.fits.picture.canvas import Canvas
from smalti.fits.picture.fit import Fit
from smalti.fits.picture.layout import Layout
from smalti.fits.picture.network import Network
from smalti.fits.picture.session import LAMBDAS, Session
from smalti.image import to_float
from smalti.settings import setting

STEPS = {"ultrafast": 250, "fast": 700, "medium": 2000, "high": 5000, "best": 12000}
IMAGE_LEVELS = (6, 5, 4, 3, 2, 1, 1, 0)
TEXTURE_LEVELS = (6, 5, 4, 3, 3, 2, 2, 2, 1, 1, 1)
MAX_GRIDS, MAX_LEVEL, MAX_HIDDEN = 16, 8, 128
WHOLE, PART_SIDE = 2**21, 1792  # texels drawn at once, and a side of parts of larger pictures
REACH = 4  # nodes of a level that a texel of it may depend on, doubling after doubling


@dataclass(frozen=True, kw_only=True)
class FittedOptions(EncodeOptions):
    lmbda: float = setting(
        2e-4,
        "Mean squared error (of 1) that a bit a texel may buy; larger makes smaller files.",
        least=LAMBDAS[0],
        most=LAMBDAS[1],
    )
    target_bpp: float | None = setting(
        None, "Bits a texel that the file shall have, instead of lmbda.", shown="none"
    )
    target_psnr: float | None = setting(
        None, "PSNR in dB that the picture shall have, instead of lmbda.", shown="none"
    )
    steps: int | None = setting(
        None, "Of the optimiser, instead of effort.", least=1, shown="by effort"
    )
    threads: int | None = setting(
        None, "Of the kernels; the file is the same with any number.", least=1, shown="all cores"
    )


@dataclass(frozen=True)
class Fitted(Codec):
    """x ─fit→ grids of whole numbers, network ─context model, range coder→ sections ─→ x̂

    Sections: the networks' parameters; one stream with the coarse grids; one for each tile with
    the fine ones, row by row, which decode independently of each other. docs/FORMAT.md is
    normative. After Ladune et al. 2023 (Cool-Chic, arXiv 2212.05458) and Kim et al. 2023 (C3, arXiv
    2312.02753).

    With `texture` no grid is finer than half the resolution: 0.97 values a texel in memory in place
    of 1.58, and a little more rate.
    """

    Options: ClassVar[type[EncodeOptions]] = FittedOptions
    name: ClassVar[str] = "fitted"
    summary: ClassVar[str] = "grids and a small network fitted to the picture, near the best bytes"
    efforts: ClassVar[Mapping[str, str]] = {
        name: f"{steps:,} steps" for name, steps in STEPS.items()
    }
    channels: ClassVar[tuple[int, ...]] = (1, 2, 3, 4)
    max_texels: ClassVar[int] = 2**24
    settings: ClassVar[tuple[str, ...]] = (
        "fitted:effort=ultrafast",
        "fitted:lmbda=1e-3,effort=ultrafast",
    )
    quick: ClassVar[tuple[str, ...]] = ("fitted:effort=ultrafast",)

    texture: bool = setting(
        False, "No grid of full resolution: any texel is decoded from few values."
    )
    levels: tuple[int, ...] = setting(
        (), "Halvings of each grid's resolution, falling: 6x5x4x3x2x1x1x0.", shown="by texture"
    )
    hidden: int = setting(48, "Units of the synthesis network.", least=1, most=MAX_HIDDEN)
    tile: int = setting(
        256, "Texels along each side of what decodes alone, a multiple of 16.", least=32, most=4096
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        levels = self.grids
        steps = [a - b for a, b in pairwise(levels)]
        if len(levels) > MAX_GRIDS or not 0 <= min(levels) <= max(levels) <= MAX_LEVEL:
            raise OptionError(f"levels {levels}; at most {MAX_GRIDS} of 0 .. {MAX_LEVEL}")
        if not set(steps) <= {0, 1}:
            raise OptionError(f"levels {levels}; each is the one before it or one less")
        if int(self.tile) % 16:
            raise OptionError(f"tile {self.tile}; it is a multiple of 16")

    @property
    def grids(self) -> tuple[int, ...]:
        return self.levels or (TEXTURE_LEVELS if self.texture else IMAGE_LEVELS)

    @classmethod
    def of_quality(cls, quality: float) -> dict[str, Any]:
        return {"lmbda": between(quality, 1e-2, 5e-6)}

    def session(self, image: np.ndarray, options: FittedOptions) -> Session:
        """The fit that `encode` runs, to be watched, interrupted or resumed."""
        return Session(
            np.array(to_float(image).transpose(2, 0, 1), order="C"),  # its own memory
            self._layout(Size(image.shape[2], *image.shape[:2])),
            hidden=self.hidden,
            steps=STEPS[options.effort] if options.steps is None else options.steps,
            lmbda=options.lmbda,
            target_bpp=options.target_bpp,
            target_psnr=options.target_psnr,
            seed=options.seed,
            threads=options.threads,
            make=_fit_on(options.device),
        )

    def encode(self, image: np.ndarray, options: FittedOptions) -> list[bytes]:
        session = self.session(image, options)
        for progress in session:
            if options.on_step:
                options.on_step(progress.step, progress.steps)
        return session.sections()

    def decode(self, sections: Sequence[bytes], size: Size, *, device: str = "cpu") -> np.ndarray:
        layout, network = self._layout(size), self._network(size)
        values = file.read(sections, layout, network)
        return Canvas(layout, network).render(values.astype(np.float32), network)

    def parts(
        self, sections: Sequence[bytes], size: Size, drawn: tuple[int, int], *, device: str = "cpu"
    ) -> Iterator[Part]:
        """Large rectangles: each decodes what it shares with its neighbours again."""
        if size.height * size.width <= WHOLE:
            yield Part(0, 0, self.decode(sections, size))
            return
        for window in windows(*drawn, PART_SIDE):
            yield Part(*window[:2], self.decode_window(sections, size, window))

    def decode_window(
        self, sections: Sequence[bytes], size: Size, window: Window, *, device: str = "cpu"
    ) -> np.ndarray:
        """The texels of `window`, of the tiles that they depend on."""
        layout, network = self._layout(size), self._network(size)
        # the nodes that the window's texels depend on, in texels
        unit = 1 << max(layout.levels)
        margin = REACH * unit
        top, left = (max(at - margin, 0) // unit * unit for at in window[:2])
        bottom = min(window.top + window.height + margin, size.height)
        right = min(window.left + window.width + margin, size.width)
        wanted = [
            number
            for number, (y, x) in enumerate(layout.tiles)
            if top - layout.tile < y < bottom and left - layout.tile < x < right
        ]
        values = file.read(sections, layout, network, wanted)
        part = Layout(bottom - top, right - left, layout.levels, layout.tile)
        cut = []
        for grid, (rows, columns) in enumerate(part.shapes):
            level = layout.levels[grid]
            whole = values[layout.offsets[grid] : layout.offsets[grid + 1]]
            whole = whole.reshape(layout.shapes[grid])
            y, x = top >> level, left >> level
            cut.append(whole[y : y + rows, x : x + columns].reshape(-1))
        cut_values = np.concatenate(cut).astype(np.float32)
        drawn = Canvas(part, network).render(cut_values, network)
        y, x = window.top - top, window.left - left
        return np.ascontiguousarray(drawn[y : y + window.height, x : x + window.width])

    def section_name(self, index: int, size: Size) -> str:
        return ("networks", "coarse grids")[index] if index < 2 else f"tile {index - 2}"

    def arrays(self, sections: Sequence[bytes], size: Size) -> dict[str, np.ndarray]:
        """The networks' parameters as bytes, and the whole numbers of each grid `h w`."""
        layout = self._layout(size)
        values = file.read(sections, layout, self._network(size))
        found: dict[str, np.ndarray] = {"networks": np.frombuffer(sections[0], np.uint8)}
        for index, shape in enumerate(layout.shapes):
            grid = values[layout.offsets[index] : layout.offsets[index + 1]]
            found[f"grid_{index}"] = grid.reshape(shape)
        return found

    def _layout(self, size: Size) -> Layout:
        return Layout(size.height, size.width, self.grids, self.tile)

    def _network(self, size: Size) -> Network:
        levels = self.grids
        return Network.of(
            len(levels), size.channels, self.hidden, max(levels)
        )  # fmt: skip


def _fit_on(device: str) -> Callable[..., Fit]:
    if device == "cpu":
        return Fit
    from smalti.fits.picture.gpu.fit import GpuFit

    return partial(GpuFit, device=device)
