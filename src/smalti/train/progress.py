"""What a run tells of itself: log lines, validation pictures, TensorBoard where it is installed.

FOLDER/log.jsonl                  one JSON object a line: {"step": 100, "loss": ..., ...}
FOLDER/validation/step-00000100.png   originals over reconstructions
FOLDER/tensorboard/               the same numbers and pictures, with `pip install tensorboard`
"""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from smalti import image
from smalti.errors import ImageError
from smalti.eval import metrics
from smalti.files import write_atomically
from smalti.models.base import Model
from smalti.models.pictures import to_picture, to_tensor
from smalti.train.sources import Pictures

MOST_PICTURES = 16  # of the validation set, spread over it
LONGEST_SIDE = 256  # of a validation picture, in texels; larger ones are cut down to their middle


class Validation:
    """Pictures that are not trained on, the same ones every time.

    Args:
        pictures: where they come from; 16 of them, evenly spread, at most 256 x 256 each.

    Raises:
        ImageError: none can be read.
    """

    def __init__(self, pictures: Pictures, *, factor: int) -> None:
        places = np.linspace(0, len(pictures) - 1, min(MOST_PICTURES, len(pictures)))
        chosen = [pictures[int(place)] for place in places.round()]
        self.originals = [_middle(p, factor) for p in chosen if p is not None]
        self.originals = [p for p in self.originals if p.size]
        if not self.originals:
            raise ImageError(
                f"no validation picture can be used: {len(pictures)} are unreadable or smaller "
                f"than {factor} x {factor}"
            )

    @torch.no_grad()
    def run(self, model: Model) -> tuple[dict[str, float], np.ndarray, str]:
        """Mean PSNR in dB and SSIM of the 8-bit reconstructions, a grid `H W C` of both, a note."""
        model.eval()
        decoded = [self._reconstruct(model, picture) for picture in self.originals]
        model.train()
        pairs = list(zip(self.originals, decoded, strict=True))
        numbers = {"psnr": float(np.mean([metrics.psnr(x, y) for x, y in pairs]))}
        ssims = [metrics.ssim(x, y) for x, y in pairs]
        if not np.isnan(ssims).any():  # it is for sides under 11 texels
            numbers["ssim"] = float(np.mean(ssims))
        return numbers, _grid(pairs), f"{numbers['psnr']:.2f} dB on validation pictures"

    def _reconstruct(self, model: Model, picture: np.ndarray) -> np.ndarray:
        x_hat = model(to_tensor(picture, device=model.device))
        return image.to_uint8(to_picture(x_hat))


class Log:
    """The run's log files. A resumed run first forgets what came after its checkpoint."""

    def __init__(self, folder: Path, start: int) -> None:
        self.folder, self.path = folder, folder / "log.jsonl"
        kept = [line for line in self._lines() if json.loads(line)["step"] <= start]
        write_atomically(self.path, "".join(f"{line}\n" for line in kept).encode())
        self.board = None
        if find_spec("tensorboard"):
            from torch.utils.tensorboard import SummaryWriter

            self.board = SummaryWriter(str(folder / "tensorboard"), purge_step=start + 1)

    def write(self, step: int, numbers: dict[str, Any]) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps({"step": step, **numbers}) + "\n")
        if self.board:
            for name, value in numbers.items():
                self.board.add_scalar(name, value, step)

    def picture(self, step: int, grid: np.ndarray) -> Path:
        path = self.folder / "validation" / f"step-{step:08d}.png"
        path.parent.mkdir(exist_ok=True)
        image.save(grid, path)
        if self.board:
            self.board.add_image("validation", grid, step, dataformats="HWC")
        return path

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *_: object) -> None:
        if self.board:
            self.board.close()

    def _lines(self) -> list[str]:
        """Whole lines; a kill can leave half of one at the end."""
        if not self.path.exists():
            return []
        return [line for line in self.path.read_text().splitlines() if line.endswith("}")]


def _middle(picture: np.ndarray, factor: int) -> np.ndarray:
    """The middle of a picture, in multiples of `factor`, at most LONGEST_SIDE on each side."""
    height, width = (min(n, LONGEST_SIDE) // factor * factor for n in picture.shape[:2])
    top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
    return picture[top : top + height, left : left + width]


def _grid(pairs: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Up to eight pairs beside each other, originals above, on white."""
    pairs = pairs[:8]
    height = max(x.shape[0] for x, _ in pairs)
    width = max(x.shape[1] for x, _ in pairs)
    grid = np.full((2 * height, len(pairs) * width, pairs[0][0].shape[2]), 255, np.uint8)
    for column, pair in enumerate(pairs):
        for row, picture in enumerate(pair):
            h, w = picture.shape[:2]
            grid[row * height : row * height + h, column * width : column * width + w] = picture
    return grid
