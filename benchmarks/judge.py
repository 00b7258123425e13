"""A judge of digits of any size and aspect: what it takes a picture for, and its features.

    OMP_NUM_THREADS=1 python benchmarks/judge.py MNIST JUDGE.pt

    x  N 1 H W in [0, 1], white ink ─resize, short side 32→ 5 convolutions ─mean→ f  N 128 ─→ N 10

MNIST is the folder of its four files. Training takes some 10 minutes of one core and goes on after
an interruption; of a JUDGE.pt that exists only the accuracy is printed: on MNIST's test pictures at
the judge's own size, then at every size and aspect, where it is the ceiling of whatever is judged.

The pictures are 28 -> 32 texels by Pillow's bicubic filter. Three tenths of the batches stay at 32;
the others are brought to sides of 10 to 64 and aspects of 1:2.2 to 2.2:1, half of them stretched, half
of them with the digit's square kept and black beyond it. It sees nothing of any model of ours.
"""

import argparse
import io
import json
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from smalti.errors import OptionError
from smalti.eval.log import conditions
from smalti.files import write_atomically
from smalti.train import field_data

SIDE = 32  # of the pictures that it is trained on, and of the short side that it looks at
LONGEST = 3  # times the short side is all that it looks at of a picture
WIDTHS = (24, 40, 80, 80, 128)  # of the convolutions
BATCH, EPOCHS, RATE = 128, 6, 4e-3
FROZEN = 0.15  # of the steps, the last ones: with the statistics that the judge will judge with
OWN_SHARE, WARPED_SHARE = 0.3, 0.5  # of the batches
SIDES, MOST_ASPECT = (10, 64), 2.2
CHECKPOINT = 200  # steps
SHAPES = (  # height, width: square sizes, then aspects of the long side 48
    *((side, side) for side in (10, 16, 20, 28, 32, 48, 64, 128, 256)),
    *((48, 24), (48, 32), (32, 48), (24, 48)),
)


@dataclass(frozen=True)
class Digits:
    """Pictures `N 28 28` uint8 as MNIST has them, and labels `N` int64."""

    pictures: np.ndarray
    labels: np.ndarray

    def first(self, count: int) -> "Digits":
        return Digits(self.pictures[:count], self.labels[:count])


def read_digits(folder: Path, part: str) -> Digits:
    """MNIST's part "train" or "test".

    Raises:
        OptionError: a file is not there.
        ImageError: a damaged file.
    """
    found = field_data.Digits(folder, part, 28)
    return Digits(found.pictures[:, 0].numpy(), found.labels.numpy())


def resized(pictures: np.ndarray, height: int, width: int) -> np.ndarray:
    """`N H W` uint8 to another size by Pillow's bicubic filter, antialiased where it shrinks."""
    size, filter_ = (width, height), Image.Resampling.BICUBIC
    return np.stack([np.asarray(Image.fromarray(p).resize(size, filter_)) for p in pictures])


def contained(pictures: np.ndarray, height: int, width: int) -> np.ndarray:
    """Square pictures `N S S` within `N height width`: in the middle, undistorted, black beyond."""
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    beyond = ((0, 0), (top, height - side - top), (left, width - side - left))
    return np.pad(resized(pictures, side, side), beyond)


class Judge(nn.Module):
    """A small convolutional network with a mean over the places at its end."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 1
        for place, width in enumerate(WIDTHS):
            kernel, stride = (5, 2) if place == 0 else (3, 1)
            convolution = nn.Conv2d(inputs, width, kernel, stride, kernel // 2, bias=False)
            layers += [convolution, nn.BatchNorm2d(width, momentum=0.01), nn.ReLU()]
            layers += [nn.MaxPool2d(2)] if place in (1, 3) else []
            inputs = width
        self.body, self.head = nn.Sequential(*layers), nn.Linear(inputs, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Logits `N 10` of pictures `N 1 H W` in [0, 1]."""
        return self.head(F.dropout(self.features(x), 0.2, self.training))

    def features(self, x: Tensor) -> Tensor:
        """The `N 128` values that the last layer sees."""
        x = x.contiguous(memory_format=torch.channels_last)
        return self.body(2 * as_seen(x) - 1).mean((2, 3))


def as_seen(x: Tensor) -> Tensor:
    """`N 1 H W` with the short side 32 and the aspect kept, antialiased where it shrinks."""
    height, width = x.shape[2:]
    scale = SIDE / min(height, width)
    size = [min(max(SIDE, round(scale * side)), LONGEST * SIDE) for side in (height, width)]
    if size == [height, width]:
        return x
    return F.interpolate(x, size, mode="bicubic", antialias=True).clamp(0, 1)


def judge_of(
    path: Path,
    mnist: Path | None,
    on_step: Callable[[int, int], None] = lambda done, total: None,
) -> Judge:
    """The judge of a file, or one that is trained now and written there.

    Args:
        path: the file; until training is done, what it has come to is in PATH.part.
        mnist: the folder of MNIST's files, to train with.
        on_step: called with (steps done, steps in all).

    Raises:
        OptionError: no such file and no MNIST, or a file of something else.
    """
    torch.manual_seed(0)
    judge = Judge().to(memory_format=torch.channels_last)
    if not path.is_file():
        if mnist is None:
            raise OptionError(f"{path} is no judge yet, and without MNIST none can be trained")
        train(judge, read_digits(mnist, "train"), path, on_step)
    try:
        judge.load_state_dict(torch.load(path, weights_only=True))
    except (RuntimeError, ValueError, KeyError, EOFError) as cause:
        raise OptionError(f"{path} holds no judge of this kind; delete it to train one") from cause
    return judge.eval().requires_grad_(False)


def train(
    judge: Judge,
    digits: Digits,
    path: Path,
    on_step: Callable[[int, int], None] = lambda done, total: None,
    *,
    steps: int | None = None,
) -> None:
    """Train until done, from where PATH.part is, and write the weights to PATH."""
    steps = steps or EPOCHS * (len(digits.labels) // BATCH)
    x = torch.from_numpy(resized(digits.pictures, SIDE, SIDE))
    labels = torch.from_numpy(digits.labels)
    optimizer = torch.optim.AdamW(judge.parameters(), weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    parts, part = (judge, optimizer, schedule), path.with_name(path.name + ".part")
    start = 0
    if part.is_file():
        states = torch.load(part, weights_only=True)
        start = states.pop()
        for thing, state in zip(parts, states, strict=True):
            thing.load_state_dict(state)
    judge.train()
    for step in range(start, steps):
        if step >= (1 - FROZEN) * steps:
            # A batch is all of one size, so its own statistics are not those of all sizes.
            judge.body.eval()
        torch.manual_seed(step)
        random = np.random.default_rng((1, step))
        chosen = torch.from_numpy(_batch(len(labels), step))
        loss = F.cross_entropy(judge(_varied(x[chosen], random)), labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        on_step(step + 1, steps)
        if (step + 1) % CHECKPOINT == 0:
            store([*(thing.state_dict() for thing in parts), step + 1], part)
    store(judge.state_dict(), path)
    part.unlink(missing_ok=True)


@torch.inference_mode()
def features(judge: Judge, pictures: Tensor) -> Tensor:
    """`N 128` of pictures `N H W` in [0, 1]."""
    return torch.cat([judge.features(part[:, None]) for part in _parts(pictures)])


@torch.inference_mode()
def judged(judge: Judge, pictures: Tensor) -> Tensor:
    """The digits, `N` int64, that pictures `N H W` in [0, 1] are taken for."""
    return torch.cat([judge(part[:, None]).argmax(1) for part in _parts(pictures)])


def accuracy(judge: Judge, pictures: np.ndarray, labels: np.ndarray) -> float:
    """Share of pictures `N H W` uint8 that are taken for what they are."""
    found = judged(judge, torch.from_numpy(pictures).float() / 255)
    return round(float((found.numpy() == labels).mean()), 4)


def _parts(pictures: Tensor) -> tuple[Tensor, ...]:
    texels = pictures.shape[1] * pictures.shape[2]
    return pictures.split(max(1, min(250, 2**21 // texels)))


def _batch(count: int, step: int) -> np.ndarray:
    """The places of a batch: each epoch is all pictures in an order of its own."""
    whole = count // BATCH or 1
    epoch, place = divmod(step, whole)
    order = np.random.default_rng((2, epoch)).permutation(count)
    return order[place * BATCH : (place + 1) * BATCH]


def _varied(pictures: Tensor, random: np.random.Generator) -> Tensor:
    """Pictures `N 32 32` uint8 as a batch `N 1 H W` in [0, 1], of one size for all."""
    x = pictures[:, None].float() / 255
    if random.random() < WARPED_SHARE:
        x = _warped(x, random)
    if random.random() < OWN_SHARE:
        return x
    # Sides s * sqrt(a) and s / sqrt(a), s and a log-uniform.
    side = math.exp(random.uniform(*np.log(SIDES)))
    aspect = MOST_ASPECT ** random.uniform(-1, 1)
    sizes = [round(side * math.sqrt(a)) for a in (aspect, 1 / aspect)]
    height, width = (min(max(size, SIDES[0]), SIDES[1]) for size in sizes)
    if random.random() < 0.5:
        return F.interpolate(x, (height, width), mode="bicubic", antialias=True).clamp(0, 1)
    side = min(height, width)
    x = F.interpolate(x, (side, side), mode="bicubic", antialias=True).clamp(0, 1)
    top, left = (height - side) // 2, (width - side) // 2
    return F.pad(x, (left, width - side - left, top, height - side - top))


def _warped(x: Tensor, random: np.random.Generator) -> Tensor:
    """Each picture turned by up to 12 degrees, scaled by up to a tenth, sheared and shifted."""
    count = len(x)
    turn, shear = random.uniform(-0.2, 0.2, count), random.uniform(-0.15, 0.15, count)
    scale = np.exp(random.uniform(-0.1, 0.1, (2, count)))
    shift = random.uniform(-0.1, 0.1, (2, count))
    cos, sin = np.cos(turn), np.sin(turn)
    rows = [
        np.stack([scale[0] * cos, scale[0] * (shear - sin), shift[0]], 1),
        np.stack([scale[1] * sin, scale[1] * cos, shift[1]], 1),
    ]
    theta = torch.from_numpy(np.stack(rows, 1)).float()
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, mode="bicubic", align_corners=False).clamp(0, 1)


def store(state: object, path: Path) -> None:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_atomically(path, buffer.getvalue())


def ceilings(judge: Judge, test: Digits) -> list[dict[str, object]]:
    """The accuracy on real pictures of every size and aspect, stretched and contained."""
    rows = []
    for height, width in SHAPES:
        row: dict[str, object] = {"what": "judge", "size": f"{height}x{width}"}
        row["stretch"] = accuracy(judge, resized(test.pictures, height, width), test.labels)
        if height != width:
            row["contain"] = accuracy(judge, contained(test.pictures, height, width), test.labels)
        rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("mnist", type=Path)
    parser.add_argument("judge", type=Path)
    chosen = parser.parse_args()
    torch.set_num_threads(1)

    def tell(done: int, total: int) -> None:
        if done % 100 == 0 or done == total:
            sys.stderr.write(f"training the judge: step {done} of {total}\n")

    judge = judge_of(chosen.judge, chosen.mnist, tell)
    test = read_digits(chosen.mnist, "test")
    own = accuracy(judge, resized(test.pictures, SIDE, SIDE), test.labels)
    for row in ({**conditions("cpu"), "judge": own}, *ceilings(judge, test.first(2000))):
        sys.stdout.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
