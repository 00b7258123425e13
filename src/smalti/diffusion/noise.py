"""Noise over a field of latents: white at a training picture's latents, and a field between them.

White noise on a finer grid would hide less: its many values average out, so the same noise level
leaves more of the picture visible than in training. Noise that is itself a field has the same
effect however densely it is read, and one seed gives one picture at every size of latents.
"""

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from smalti.errors import OptionError

KINDS = ("field", "white")


def spread(at: Float[Tensor, "b n"], cells: int) -> Float[Tensor, "b n cells+2"]:
    """How much of each knot's value the field has at a point; squares sum to 1 in the frame.

    Knots are the centres of `cells` equal parts of the frame, and one beyond each end:
    cos(π d / 2P) for |d| < P, their distance, so that cos² + sin² = 1 between two of them.
    """
    knots = (torch.arange(-1, cells + 1, device=at.device) + 0.5) / cells - 0.5
    d = (at.unsqueeze(-1) - knots) * cells
    return torch.where(d.abs() < 1, (d * (math.pi / 2)).cos(), 0.0)


def noise(
    knots: Float[Tensor, "B c k k"], rows: Float[Tensor, "b h"], columns: Float[Tensor, "b w"]
) -> Float[Tensor, "B c h w"]:
    """Field of unit variance at rows and columns of points, from white noise at its knots."""
    cells = knots.shape[-1] - 2
    return spread(rows, cells).unsqueeze(1) @ knots @ spread(columns, cells).unsqueeze(1).mT


def seeded(seed: int, index: int, shape: tuple[int, ...]) -> Float[Tensor, "*shape"]:
    """White noise of picture number `index`, which follows from the seed and the index alone."""
    values = np.random.default_rng((seed, index)).standard_normal(shape, np.float32)
    return torch.from_numpy(values)


def first(
    kind: str, seed: int, count: int, channels: int, cells: int, rows: Tensor, columns: Tensor
) -> Float[Tensor, "count channels h w"]:
    """The noise that sampling begins with, of one of `KINDS`.

    Raises:
        OptionError: no such kind.
    """
    if kind not in KINDS:
        raise OptionError(f"no noise {kind!r}; known: {', '.join(KINDS)}")
    if kind == "white":
        shape = (channels, rows.shape[1], columns.shape[1])
        return torch.stack([seeded(seed, i, shape) for i in range(count)])
    knots = [seeded(seed, i, (channels, cells + 2, cells + 2)) for i in range(count)]
    return noise(torch.stack(knots), rows.cpu(), columns.cpu())
