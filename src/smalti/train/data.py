"""Training batches. Picture i of batch `step` is a pure function of (seed, step, i).

So a run that resumes goes on exactly, whatever number of threads prepares its batches, and n
processes with batches of B pictures see what one process with n B would.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from smalti.errors import ImageError, OptionError
from smalti.train.boxes import draw_boxes
from smalti.train.sources import Pictures

DRAWS = 10_000  # of a picture that is large enough, before giving up


class Batches:
    """Random crops of pictures, mirrored at random, and procedural boxes.

    Args:
        pictures: to crop; None for boxes alone.
        side: of a square crop, in texels; other shapes have exactly as many texels.
        channels: of the batches, 3 or 4.
        factor: every side of a crop is a multiple of it.
        aspect: largest ratio of a crop's sides. Each batch has one shape, drawn among all that
            are possible.
        boxes: share of procedural RGBA boxes among the pictures.
        seed: everything follows from it.
        device: that boxes are drawn on, and batches end on.

    Raises:
        ImageError: no picture is large enough.
    """

    def __init__(
        self,
        pictures: Pictures | None,
        *,
        side: int,
        channels: int = 3,
        factor: int = 1,
        aspect: float = 1.0,
        boxes: float = 0.0,
        seed: int = 0,
        device: str | torch.device = "cpu",
    ) -> None:
        self.pictures, self.channels, self.boxes = pictures, channels, boxes
        self.seed, self.device = seed, torch.device(device)
        self.shapes = shapes(side, factor, aspect)
        self.too_small: dict[int, tuple[int, int]] = {}  # index -> the picture's height, width
        if pictures is not None:
            for shape in (self.shapes[0], self.shapes[-1]):
                self._crop(np.random.default_rng((seed, 0)), shape)

    def __call__(
        self, step: int, first: int, count: int
    ) -> Float[Tensor, "count channels height width"]:
        """Pictures number `first` to `first + count` of batch `step`, in [0, 1]."""
        shape = self.shapes[np.random.default_rng((self.seed, step)).integers(len(self.shapes))]
        randoms = [np.random.default_rng((self.seed, step, 1 + first + i)) for i in range(count)]
        drawn = [random.random() < self.boxes or self.pictures is None for random in randoms]
        crops = [self._crop(r, shape) for r, box in zip(randoms, drawn, strict=True) if not box]
        seeds = [r for r, box in zip(randoms, drawn, strict=True) if box]
        parts = []
        if crops:
            levels = torch.from_numpy(np.stack(crops)).to(self.device)
            parts.append(levels.permute(0, 3, 1, 2).float() / 255)
        if seeds:
            parts.append(draw_boxes(seeds, *shape, device=self.device))
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def patches(
        self, side: int, *, black: float, count: int = 16_384
    ) -> Float[Tensor, "count channels side side"]:
        """Patches of the first batches' crops, in black .. 1: what the pictures look like."""
        found: list[Tensor] = []
        step = 0
        while sum(map(len, found)) < count:
            x = self(step, 0, 64).unfold(2, side, side).unfold(3, side, side)
            found.append(x.permute(0, 2, 3, 1, 4, 5).flatten(0, 2))
            step += 1
        return black + (1 - black) * torch.cat(found)[:count]

    def _crop(self, random: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
        """A crop `H W C` of a random picture among those large enough."""
        height, width = shape
        assert self.pictures is not None  # without any, all are boxes
        for _ in range(DRAWS):
            index = int(random.integers(len(self.pictures)))
            known = self.too_small.get(index)
            if known and (known[0] < height or known[1] < width):
                continue
            picture = self.pictures[index]
            size = (0, 0) if picture is None else picture.shape[:2]
            if picture is None or size[0] < height or size[1] < width:
                self.too_small[index] = size
                continue
            top = random.integers(size[0] - height + 1)
            left = random.integers(size[1] - width + 1)
            crop = picture[top : top + height, left : left + width]
            return crop[:, ::-1] if random.random() < 0.5 else crop
        reason = next(iter(self.pictures.unreadable.values()), "")
        raise ImageError(
            f"of {len(self.pictures)} pictures none was found that can be read and is at least "
            f"{width} x {height} (width x height); train on smaller crops with --set side=..."
            + (f"; the first that cannot be read: {reason}" if reason else "")
        )


def shapes(side: int, factor: int, aspect: float) -> list[tuple[int, int]]:
    """Every (height, width) of side² texels, in multiples of `factor`, within a ratio of `aspect`.

    Raises:
        OptionError: `side` is no multiple of `factor`.
    """
    if side % factor:
        raise OptionError(f"side={side}; this model takes multiples of {factor}")
    cells = (side // factor) ** 2
    pairs = [(h, cells // h) for h in range(1, cells + 1) if cells % h == 0]
    return [(factor * h, factor * w) for h, w in pairs if max(h, w) <= aspect * min(h, w)]


def prefetched(
    batch: Callable[[int], Tensor], start: int, stop: int, threads: int
) -> Iterator[Tensor]:
    """batch(start), ..., batch(stop - 1) in order, prepared ahead by threads; by none if 0."""
    if threads == 0:
        yield from map(batch, range(start, stop))
        return
    pool = ThreadPoolExecutor(threads)
    try:
        ahead: deque[Future[Tensor]] = deque()
        for step in range(start, stop):
            ahead.append(pool.submit(batch, step))
            if len(ahead) > 2 * threads:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
