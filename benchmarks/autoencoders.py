"""Every bundled autoencoder on a folder of pictures: as floating-point models, and from files.

    OMP_NUM_THREADS=1 python benchmarks/autoencoders.py TRAINING LIMIT PICTURES... > benchmarks/results/DATE-autoencoders.jsonl

TRAINING is the folder of photographs to which the linear code is fitted; PICTURES are the folders
that are measured, every n-th picture of those with more than LIMIT. One line a model and way:

- "float": latents as the model makes them, no file. FSQ's are integers in any case.
- "file": through the codec at its default setting; bpp is of the whole file, which for a picture
  with transparency holds its alpha, losslessly for codecs of three channels.
- "linear": the Karhunen-Loève transform (PCA) of 8 x 8 patches to 4, 16 and 32 real numbers, as
  floating-point numbers, fitted to about 260,000 patches of TRAINING. An autoencoder of the same
  number of values for a patch that does not beat it has learned nothing.

PSNR and SSIM are of the 8-bit pictures (smalti/eval/metrics.py), per picture, then the mean.
Models of three channels see the colours alone in the "float" and "linear" rows.
"""

import json
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

import smalti
from smalti import models
from smalti.eval.log import conditions
from smalti.eval.metrics import psnr, ssim
from smalti.files import PICTURE_SUFFIXES
from smalti.image import as_picture, to_uint8
from smalti.models.patch.init import klt
from smalti.models.pictures import to_picture, to_tensor

CODECS = {
    "rgba-boxes": "rgba-ae",
    "rgba-finetune": "rgba-ae:weights=rgba-finetune",
    "fsq-1m": "fsq",
    "patch-f8c16": "patch-ae",
}
PATCH = 8
LINEAR = (4, 16, 32)  # numbers for a patch
FITTED_PICTURES, FITTED_PATCHES = 600, 434  # patches of each picture

Picture = np.ndarray  # H W C
Way = Callable[[Picture], tuple[Picture, float]]  # the decoded picture, bits a texel


def main() -> None:
    training, limit, folders = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    ways = {
        **{(f"KLT {n} of 192", "linear"): run for n, run in linear_codes(training).items()},
        **{(name, "float"): float_code(name) for name in CODECS if name != "fsq-1m"},
        **{(name, "file"): file_code(codec) for name, codec in CODECS.items()},
    }
    for folder in map(Path, folders):
        sys.stdout.writelines(json.dumps(line) + "\n" for line in measure(folder, limit, ways))
        sys.stdout.flush()


def measure(folder: Path, limit: int, ways: dict[tuple[str, str], Way]) -> list[dict[str, Any]]:
    chosen = spread(pictures(folder), limit)
    found: dict[tuple[str, str], list[tuple[float, ...]]] = {way: [] for way in ways}
    for path in chosen:
        x = as_picture(path)
        for way, run in ways.items():
            x_hat, bpp = run(x)
            x_hat = as_picture(x_hat)[..., : x.shape[2]]  # alpha that the picture does not have
            original, decoded = to_uint8(x[..., : x_hat.shape[2]]), to_uint8(x_hat)
            found[way].append((psnr(original, decoded), ssim(original, decoded), bpp))
    set_ = f"{folder.parent.name}/{folder.name}"
    lines: list[dict[str, Any]] = [conditions("cpu") | {"set": set_, "pictures": len(chosen)}]
    for (name, kind), rows in found.items():
        means = [statistics.mean(column) for column in zip(*rows, strict=True)]
        line = {"model": name, "way": kind, "psnr": round(means[0], 3), "ssim": round(means[1], 4)}
        lines.append(line | ({"bpp": round(means[2], 4)} if kind == "file" else {}))
    return lines


def pictures(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES)


def spread(paths: list[Path], limit: int) -> list[Path]:
    """At most `limit` of them, evenly over the whole list."""
    if len(paths) <= limit:
        return paths
    return [paths[i * len(paths) // limit] for i in range(limit)]


def float_code(name: str) -> Way:
    model = smalti.load_model(name).requires_grad_(False)
    form = models.fast(model) if type(model).__name__ in models.FAST else model

    def run(x: Picture) -> tuple[Picture, float]:
        x = with_channels(to_tensor(x, 0)[0], model.channels)
        padded = F.pad(
            x[None],
            (0, -x.shape[2] % model.factor, 0, -x.shape[1] % model.factor),
            mode="replicate",
        )
        y = form.decode(form.encode(2 * padded - 1))[0]
        return to_picture(y[:, : x.shape[1], : x.shape[2]]), 0.0

    return run


def with_channels(x: Tensor, channels: int) -> Tensor:
    """`C H W`: grey as three equal colours; alpha dropped, or opaque where there is none."""
    colour = x[:3] if len(x) >= 3 else x[:1].expand(3, -1, -1)
    if channels == 3:
        return colour
    return torch.cat([colour, x[3:] if len(x) == 4 else torch.ones_like(x[:1])])


def file_code(codec: str) -> Way:
    def run(x: Picture) -> tuple[Picture, float]:
        data = smalti.encode(x, codec)
        return smalti.decode(data), 8 * len(data) / (x.shape[0] * x.shape[1])

    return run


def linear_codes(training: Path) -> dict[int, Way]:
    random = torch.Generator().manual_seed(0)
    found = []
    for path in spread(pictures(training), FITTED_PICTURES):
        cells = cut(with_channels(to_tensor(path, 0)[0], 3))
        found.append(cells[torch.randperm(len(cells), generator=random)[:FITTED_PATCHES]])
    mean, _, basis = klt(torch.cat(found).double())
    mean, basis = mean.float(), basis.float()

    def code(n: int) -> Way:
        def run(x: Picture) -> tuple[Picture, float]:
            x = with_channels(to_tensor(x, 0)[0], 3)
            height, width = x.shape[1:]
            padded = F.pad(x[None], (0, -width % PATCH, 0, -height % PATCH), mode="replicate")[0]
            cells = (cut(padded) - mean) @ basis[:, :n] @ basis[:, :n].T + mean
            grid = cells.view(padded.shape[1] // PATCH, -1, 3, PATCH, PATCH)
            y = grid.permute(2, 0, 3, 1, 4).reshape(padded.shape)
            return to_picture(y[:, :height, :width], 0), 0.0

        return run

    return {n: code(n) for n in LINEAR}


def cut(x: Tensor) -> Tensor:
    """Whole patches of a picture, "N 3*8*8"."""
    return x.unfold(1, PATCH, PATCH).unfold(2, PATCH, PATCH).permute(1, 2, 0, 3, 4).reshape(-1, 192)


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
