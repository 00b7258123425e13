"""Linear attention: softmax(q k') replaced by φ(q) φ(k)', so that the sum over keys is made once.

    S = Σ_m φ(k_m) v_mᵀ     s = Σ_m φ(k_m)      the summary: D x D and D numbers a head
    out_n = φ(q_n)ᵀ S / (φ(q_n)ᵀ s + 1e-8)      φ(u) = elu(u) + 1 > 0

Tokens first: rows are tokens, the heads stand side by side in the channels, nothing is permuted.
Cost is linear in queries and keys. A summary does not depend on the queries: one made of the keys
can be kept, read by any number of queries, and two of two sets of keys add up to that of both.

Equations 4 to 7 of Katharopoulos et al. 2020, arXiv 2006.16236.
"""

from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

EPSILON = 1e-8  # added to the denominator; below the smallest bfloat16 sum, hence float32


@dataclass(frozen=True)
class Summary:
    """All that queries see of keys and values, in float32 or wider."""

    products: Float[Tensor, "B h D E"]  # S
    total: Float[Tensor, "B h D"]  # s

    def __add__(self, other: Self) -> Self:
        """Of the keys and values of both."""
        return type(self)(self.products + other.products, self.total + other.total)


def linear_attention(
    q: Float[Tensor, "B N C"],
    k: Float[Tensor, "B M C"],
    v: Float[Tensor, "B M E"],
    *,
    heads: int,
) -> Float[Tensor, "B N E"]:
    """What N queries take from M keys and values, in the dtype of `q`.

    Sums are in float32 (or float64, if that is what comes in), under autocast as well.

    Args:
        q, k: before φ. Keys and values of one batch entry serve all queries if their B is 1.
        heads: equal parts of the channels that attend apart; divides C and E.
    """
    return read(q, summary(k, v, heads=heads))


def summary(k: Float[Tensor, "B M C"], v: Float[Tensor, "B M E"], *, heads: int) -> Summary:
    """S and s of keys (before φ) and their values."""
    with _without_autocast(k):
        keys, values = phi(_heads(k, heads)), _heads(v, heads)
        return Summary(keys.transpose(2, 3) @ values, keys.sum(2))


def read(q: Float[Tensor, "B N C"], seen: Summary) -> Float[Tensor, "B N E"]:
    """What queries (before φ) take from a summary, in the dtype of `q`."""
    with _without_autocast(q):
        queries = phi(_heads(q, seen.total.shape[1]))
        weight = queries @ seen.total.unsqueeze(3)
        out = queries @ seen.products / (weight + EPSILON)
        return out.transpose(1, 2).flatten(2).to(q.dtype)


def phi(u: Tensor) -> Tensor:
    """elu(u) + 1: exp(u) below 0, u + 1 above."""
    return F.elu(u) + 1


def _heads(x: Float[Tensor, "B N C"], heads: int) -> Float[Tensor, "B h N D"]:
    return (
        x.to(torch.promote_types(x.dtype, torch.float32)).unflatten(2, (heads, -1)).transpose(1, 2)
    )


def _without_autocast(x: Tensor) -> torch.autocast:
    return torch.autocast(x.device.type, enabled=False)
