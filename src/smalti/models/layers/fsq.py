"""Finite scalar quantisation: a few numbers, each rounded to one of a handful of levels.

    z ─bound→ (-(L-1)/2, (L-1)/2) ─round→ digits ─mixed radix→ index

Mentzer et al. 2023, "Finite Scalar Quantization: VQ-VAE Made Simple", arXiv 2309.15505.
The order of the mixed radix is the paper's code: the first digit is the least significant one.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

EPSILON = 1e-3  # widens the bound a little, so that tanh reaches the outermost levels


def codebook_size(levels: tuple[int, ...]) -> int:
    """Number of codes: the product of the levels."""
    return math.prod(levels)


def quantize(z: Float[Tensor, "B D ..."], levels: tuple[int, ...]) -> Float[Tensor, "B D ..."]:
    """Round each of the D channels to its level; gradients pass straight through the rounding.

    Computed in float32 whatever the input, because bfloat16 cannot tell neighbouring codes apart.

    Args:
        z: any real numbers; channel d is quantised to `levels[d]` levels.
        levels: one count, at least 2, for each channel.
    Returns:
        the level's value scaled to [-1, 1] (`dequantize` of the digits), float32.
    """
    bounded = _bound(z.float(), levels)
    rounded = bounded + (bounded.round() - bounded).detach()
    return rounded / _column(rounded, [count // 2 for count in levels])


def to_digits(z: Float[Tensor, "B D ..."], levels: tuple[int, ...]) -> Int[Tensor, "B D ..."]:
    """Digits of the rounded numbers, channel d in 0 .. levels[d] - 1."""
    rounded = _bound(z.float(), levels).round().to(torch.int64)
    return rounded + _column(rounded, [count // 2 for count in levels])


def dequantize(digits: Int[Tensor, "B D ..."], levels: tuple[int, ...]) -> Float[Tensor, "B D ..."]:
    """Values in [-1, 1] of digits, exactly those that `quantize` hands to the decoder."""
    half = _column(digits, [count // 2 for count in levels])
    return (digits - half).float() / half


def to_index(digits: Int[Tensor, "B D ..."], levels: tuple[int, ...]) -> Int[Tensor, "B ..."]:
    """Mixed-radix number of the D digits, 0 .. codebook_size - 1, in 64-bit integers."""
    return (digits * _column(digits, _radix(levels))).sum(1)


def from_index(index: Int[Tensor, "B ..."], levels: tuple[int, ...]) -> Int[Tensor, "B D ..."]:
    """The D digits of each index; the inverse of `to_index`.

    Raises:
        ValueError: if an index lies outside the codebook.
    """
    checked = index.numel() and not torch.compiler.is_compiling()
    if checked and not 0 <= int(index.min()) <= int(index.max()) < codebook_size(levels):
        raise ValueError(
            f"indices {int(index.min())} .. {int(index.max())} outside "
            f"the codebook 0 .. {codebook_size(levels) - 1}"
        )
    return torch.stack(
        [index // radix % count for radix, count in zip(_radix(levels), levels, strict=True)],
        dim=1,
    )


def _bound(z: Tensor, levels: tuple[int, ...]) -> Tensor:
    """Squash into the open interval that rounds to exactly L values (arXiv 2309.15505, sec. 3.1).

    An even count has no middle level: its interval is moved down by half a level.
    """
    half = [(count - 1) * (1 + EPSILON) / 2 for count in levels]
    offset = [0.5 if count % 2 == 0 else 0.0 for count in levels]
    shift = [math.atanh(o / h) for o, h in zip(offset, half, strict=True)]
    return (z + _column(z, shift)).tanh() * _column(z, half) - _column(z, offset)


def _radix(levels: tuple[int, ...]) -> list[int]:
    return [math.prod(levels[:d]) for d in range(len(levels))]


def _column(like: Tensor, numbers: list) -> Tensor:
    """One number a channel, shaped to broadcast over `B D *S`."""
    column = torch.tensor(numbers, dtype=like.dtype, device=like.device)
    return column.view(1, -1, *[1] * (like.ndim - 2))
